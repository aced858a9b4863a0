//! A published level is frozen: no case joins it, leaves it, promises something else or asks for something else. What a
//! vendor's report said yesterday it says tomorrow. Whoever has a new promise to make opens the next level. V1 is
//! published with release 0.1; until then, the two lists change on purpose alone.
//!
//! Requests are compared, by what they are and how they are made, each once. What a case demands of the answers is not in
//! the list: that is what the saboteurs hold still, of which each has to be found by the cases that it names.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use release_core::model::Digest;
use release_core::time::Timestamp;
use release_providers::layer::Provider;
use release_providers::{Context, Description, ProviderError, for_each_capability};
use release_testkit::conformance::{Case, Level, Suite, journal};
use release_testkit::fakes::{Around, FakeFleet, FleetSandboxes};

/// All promises of a level, a line each, in the order in which the suites run them.
fn promises(level: Level) -> String {
    let providers = Suite::ALL.iter().map(|suite| (suite.capability(), suite.promises(level)));
    let own = journal::cases(level).iter().map(|case: &Case<_>| (case.name(), case.contract()));
    let suites = providers.chain([("journal", own.collect())]);
    let lines = suites.flat_map(|(suite, cases)| {
        cases.into_iter().map(move |(case, promise)| format!("{suite} {case}: {promise}\n"))
    });
    lines.collect()
}

#[track_caller]
fn is_as_published(level: Level, what: &str, published: &str, now: &str) {
    let (before, after): (Vec<_>, Vec<_>) = (published.lines().collect(), now.lines().collect());
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    let name = level.to_string().to_lowercase();
    let place = format!("{}/conformance-{name}-{what}.txt", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&place, now).unwrap();
    assert!(
        before == after,
        "{level} is published, and is not changed any more.\ngone: {gone:#?}\nnew: {new:#?}\nall: {place}"
    );
}

#[test]
fn v1_promises_what_was_published() {
    let published = include_str!("../conformance-v1.txt");
    is_as_published(Level::V1, "promises", published, &promises(Level::V1));
}

/// What a level promises beyond the one before it.
#[test]
fn v2_promises_what_was_published_beside_all_of_v1() {
    let (before, now) = (promises(Level::V1), promises(Level::V2));
    let gone: Vec<_> = before.lines().filter(|line| !now.contains(*line)).collect();
    assert!(gone.is_empty(), "{gone:#?}");
    let new: String = now.split_inclusive('\n').filter(|line| !before.contains(*line)).collect();
    is_as_published(Level::V2, "promises", include_str!("../conformance-v2.txt"), &new);
}

#[test]
fn every_promise_is_told_apart() {
    let told = promises(Level::V2);
    let mut names: Vec<_> = told.lines().filter_map(|line| line.split(':').next()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two cases of a suite have one name");
    assert!(told.lines().all(|line| line.contains(": ") && !line.ends_with(": ")), "{told}");
}

/// What each case asks of an honest fake, whose answers are always the same: as a digest, since it is much.
#[tokio::test(start_paused = true)]
async fn v1_asks_what_was_published() {
    let now = asked(Level::V1).await;
    is_as_published(Level::V1, "requests", include_str!("../conformance-v1-requests.txt"), &now);
}

#[tokio::test(start_paused = true)]
async fn v2_asks_what_was_published_beside_all_of_v1() {
    let (before, now) = (asked(Level::V1).await, asked(Level::V2).await);
    assert!(before.lines().all(|line| now.contains(line)), "{now}");
    let new: String = now.split_inclusive('\n').filter(|line| !before.contains(*line)).collect();
    is_as_published(Level::V2, "requests", include_str!("../conformance-v2-requests.txt"), &new);
}

async fn asked(level: Level) -> String {
    let mut now = String::new();
    for suite in Suite::ALL {
        let sandboxes = FleetSandboxes(Listening::default());
        let report = suite.run(level, &sandboxes).await;
        assert!(report.is_conformant(), "{report}");
        let asked = sandboxes.0.0.lock().unwrap();
        let cases = suite.promises(level);
        assert_eq!(asked.len(), cases.len(), "one sandbox a case");
        for ((case, _), asked) in cases.iter().zip(&*asked) {
            let all: String = asked.lock().unwrap().iter().cloned().collect();
            let digest = Digest::of(all.as_bytes()).to_string();
            let digest = digest.get(..23).unwrap();
            writeln!(now, "{} {case} {digest}", suite.capability()).unwrap();
        }
    }
    now
}

/// What was asked in one sandbox: each thing once, however often and in which order.
type Asked = Arc<Mutex<BTreeSet<String>>>;

/// Stands around the provider of every sandbox, and writes down what it is asked.
#[derive(Debug, Clone, Default)]
struct Listening(Arc<Mutex<Vec<Asked>>>);

#[derive(Debug)]
struct Heard<T: ?Sized> {
    asked: Asked,
    inner: Arc<T>,
}

fn note(asked: &Asked, operation: &str, cx: &Context, request: &impl Debug) {
    let (late, far) = (Timestamp::default(), Timestamp::from_micros(i64::MAX));
    let when = [(late, "late"), (far, "far")].into_iter().find(|(at, _)| *at == cx.deadline);
    let (cancelled, run) = (cx.cancellation.is_cancelled(), cx.run.is_some().then_some(cx.epoch));
    let how = (when.map(|(_, when)| when), cx.attempt, cancelled, run);
    // Fields that came later, where they ask for nothing.
    let request = unnumbered(&format!("{request:?}")).replace(", apart: None", "");
    let request = request.replace(", metadata: None", "");
    asked.lock().unwrap().insert(format!("{operation} {how:?} {request}\n"));
}

/// Without the numbers of keys, and without contents that hold a key, and their digests: every sandbox has others.
fn unnumbered(text: &str) -> String {
    let digits = |c: char| c.is_ascii_digit();
    let text = without(text, "conformance/", digits);
    let text = without(&text, "Digest(", |c| c.is_ascii_hexdigit());
    let text = without(&text, "sha256:", |c| c.is_ascii_hexdigit());
    without(&text, "content: [", |c| digits(c) || c == ',' || c == ' ')
}

/// Without what comes after a mark.
fn without(text: &str, mark: &str, what: impl Fn(char) -> bool + Copy) -> String {
    let mut parts = text.split(mark);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + mark + part.trim_start_matches(what))
}

macro_rules! heard {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => { $(
        #[async_trait]
        impl release_providers::spi::$trait for Heard<dyn release_providers::spi::$trait> {
            fn describe(&self) -> Description {
                self.inner.description()
            }

            $(
                async fn $operation(&self, cx: &Context, request: $request) -> Result<$answer, ProviderError> {
                    note(&self.asked, stringify!($operation), cx, &request);
                    self.inner.$operation(cx, request).await
                }
            )*
        }

        impl Around<dyn release_providers::spi::$trait> for Listening {
            fn around(
                &self,
                inner: Arc<dyn release_providers::spi::$trait>,
                _: &FakeFleet,
            ) -> LocalBoxFuture<'_, Arc<dyn release_providers::spi::$trait>> {
                let asked = Asked::default();
                self.0.lock().unwrap().push(Arc::clone(&asked));
                let heard: Arc<dyn release_providers::spi::$trait> = Arc::new(Heard { asked, inner });
                std::future::ready(heard).boxed_local()
            }

            /// What is asked of another instance belongs to the same sandbox.
            fn again(
                &self,
                inner: Arc<dyn release_providers::spi::$trait>,
                _: &FakeFleet,
            ) -> LocalBoxFuture<'_, Arc<dyn release_providers::spi::$trait>> {
                let asked = self.0.lock().unwrap().last().map(Arc::clone).unwrap();
                let heard: Arc<dyn release_providers::spi::$trait> = Arc::new(Heard { asked, inner });
                std::future::ready(heard).boxed_local()
            }
        }
    )* };
}
for_each_capability!(heard);
