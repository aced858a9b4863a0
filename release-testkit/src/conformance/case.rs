//! A case, and how it is run: in a fresh sandbox, where it may hang or panic.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use release_core::port::EffectCertainty;
use release_providers::{ErrorKind, ProviderError};

use super::{CaseReport, ConformanceReport, Level, Provided, Sandbox, Verdict, Violation, without};

/// Longest time that a case may take, and its sandbox to be made and to be closed; a case has a hundred times more what its
/// sandbox says that something takes to show.
pub const CASE_LIMIT: Duration = Duration::from_mins(2);

/// One promise and how it is put to the test.
#[derive(Debug, Clone, Copy)]
pub struct Case<S> {
    pub(crate) name: &'static str,
    pub(crate) contract: &'static str,
    /// What the case needs that this sandbox does not offer.
    pub(crate) missing: fn(&S) -> Option<&'static str>,
    pub(crate) run: for<'a> fn(&'a S) -> LocalBoxFuture<'a, Check>,
}

impl<S> Case<S> {
    /// Its name, which is also that of its `#[test]`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The promise, as the trait's documentation has it.
    pub const fn contract(&self) -> &'static str {
        self.contract
    }
}

/// A case that is carried out by the function of its name.
macro_rules! case {
    ($name:ident, $contract:literal) => {
        $crate::conformance::case!($name, $contract, |_| None)
    };
    ($name:ident, $contract:literal, $missing:expr) => {
        $crate::conformance::Case {
            name: stringify!($name),
            contract: $contract,
            missing: $missing,
            run: |sandbox| futures_util::FutureExt::boxed_local($name(sandbox)),
        }
    };
}
pub(crate) use case;

/// What a case returns.
pub(crate) type Check = Result<(), Broken>;

/// A [`Violation`] that does not know its case yet.
#[derive(Debug)]
pub(crate) struct Broken {
    expected: String,
    observed: String,
}

pub(crate) fn broken(expected: impl fmt::Display, observed: impl fmt::Display) -> Broken {
    Broken { expected: expected.to_string(), observed: observed.to_string() }
}

/// Demands that what is told is what was told before.
pub(crate) fn stays<T: PartialEq + fmt::Debug>(before: &T, after: &T) -> Check {
    if before == after {
        return Ok(());
    }
    Err(broken(format!("{before:?} still"), format!("{after:?}")))
}

/// Demands that `result` is a refusal of `kind` that changed nothing.
pub(crate) fn refused<T: fmt::Debug>(
    what: &str,
    result: Result<T, ProviderError>,
    kind: ErrorKind,
) -> Check {
    let wanted = format!("`{}` with effect NotApplied for {what}", kind.as_str());
    match result {
        Ok(answer) => Err(broken(wanted, format!("it was accepted: {answer:?}"))),
        Err(error) if error.kind() == kind && error.effect() == EffectCertainty::NotApplied => {
            Ok(())
        }
        Err(error) => {
            let (kind, effect) = (error.kind().as_str(), error.effect());
            Err(broken(wanted, format!("the error was `{kind}` with effect {effect:?}: {error}")))
        }
    }
}

/// Demands that a call that was cancelled on its way was done, or says that it was cancelled; tells whether it says that
/// nothing was done.
pub(crate) fn cancelled_or_done(
    what: &str,
    answer: Result<(), ProviderError>,
) -> Result<bool, Broken> {
    match answer {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::Cancelled => {
            Ok(error.effect() == EffectCertainty::NotApplied)
        }
        Err(error) => Err(broken(
            format!("{what} that is cancelled to be done, or `cancelled`"),
            format!("the error was `{}`: {error}", error.kind().as_str()),
        )),
    }
}

/// The case of that name, which every suite of providers has.
pub(crate) async fn description_is_stable(sandbox: &impl Provided) -> Check {
    let (first, second) = (sandbox.describe(), sandbox.describe());
    if first.name.is_empty() {
        return Err(broken("a name", "it is empty"));
    }
    if first != second {
        return Err(broken(format!("{first:?} again"), format!("then it was {second:?}")));
    }
    Ok(())
}

/// Demands what a writer that was taken over has to be told, according to what is declared.
pub(crate) fn fenced(declared: bool, answer: Result<(), ProviderError>) -> Check {
    if declared {
        return refused("a writer that was taken over", answer, ErrorKind::Fenced);
    }
    answer.map_err(|error| {
        broken("any epoch to be taken, as fencing is not declared", format!("refused: {error}"))
    })
}

/// Runs one case in a sandbox of its own.
pub(crate) async fn run_one<S: Sandbox>(
    case: &Case<S>,
    factory: &impl AsyncFn() -> S,
) -> (Verdict, Option<String>) {
    let (mut title, mut canary) = (None, None);
    let result = async {
        let made = AssertUnwindSafe(factory()).catch_unwind();
        let sandbox = match bounded(CASE_LIMIT, made).await? {
            Ok(sandbox) => sandbox,
            Err(panic) => {
                let observed = format!("the factory panicked: {}", message(&*panic));
                return Err(broken("a sandbox", observed));
            }
        };
        canary.clone_from(&sandbox.common().canary);
        let work = AssertUnwindSafe(async {
            title = Some(sandbox.title());
            if let Some(missing) = (case.missing)(&sandbox) {
                return Ok(Verdict::Skipped { missing: missing.into() });
            }
            sandbox.prepare().await?;
            (case.run)(&sandbox).await.map(|()| Verdict::Passed)
        });
        // Cases linger many times, and each time as long as something may take to show.
        let limit = CASE_LIMIT + sandbox.common().settle.as_duration() * 100;
        let result = bounded(limit, work.catch_unwind()).await;
        let closed = bounded(CASE_LIMIT, sandbox.common().close()).await;
        let verdict = result?.unwrap_or_else(|panic| {
            Err(broken("an answer", format!("it panicked: {}", message(&*panic))))
        })?;
        closed?.map(|()| verdict)
    }
    .await;
    let verdict = result.unwrap_or_else(|Broken { expected, observed }| {
        let (case, contract) = (case.name.into(), case.contract.into());
        // A report is to be published, also that of a provider that tells its secret.
        let [expected, observed] = [expected, observed].map(|text| without(canary.as_ref(), text));
        Verdict::Violated { violation: Violation { case, contract, expected, observed } }
    });
    (verdict, title.map(|title| without(canary.as_ref(), title)))
}

#[expect(clippy::disallowed_methods, reason = "a vendor's provider lives in real time")]
async fn bounded<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Broken> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| broken(format!("an end within {} seconds", limit.as_secs()), "it hangs"))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Runs all of a level's cases, one after the other.
pub(crate) async fn run_all<S: Sandbox>(
    suite: &str,
    level: Level,
    cases: &[Case<S>],
    factory: &impl AsyncFn() -> S,
) -> ConformanceReport {
    let mut provider = "something that never got to say what it is".to_owned();
    let mut reports = Vec::new();
    for case in cases {
        let (verdict, title) = run_one(case, factory).await;
        provider = title.unwrap_or(provider);
        reports.push(CaseReport { case: case.name.into(), verdict });
    }
    ConformanceReport { suite: suite.into(), level, provider, cases: reports }
}
