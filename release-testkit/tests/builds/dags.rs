//! Any builds that need each other, in any course, with crashes: over a runner that only says that it builds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use release_core::build::{Build, BuildGraph, BuildStanding, Building};
use release_core::model::BuildId;
use release_core::port::Clock as _;
use release_core::time::Span;
use release_providers::build::{BuildReport, Campaign, CancellationToken};
use release_providers::spi::{BuildRunner, BuildStatus, JobPhase, JobRef, StartBuild};
use release_providers::{Context, Description, ErrorKind, ProviderError, async_trait};
use release_testkit::VirtualClock;
use release_testkit::fakes::FakeBuildRunner;
use release_testkit::fixtures::{self, literal};

/// What a campaign is to go through.
#[derive(Debug, Clone)]
struct Course {
    /// What each build needs of those before it.
    needs: Vec<BTreeSet<usize>>,
    /// Which builds fail.
    fails: BTreeSet<usize>,
    at_once: usize,
    /// How many looks find a build running.
    looks: u32,
    /// When the campaign crashes, each time, in milliseconds from its beginning.
    crashes: Vec<u64>,
    /// Every so many calls are lost on their way, or on their way back.
    loses: usize,
}

fn courses() -> impl Strategy<Value = Course> {
    let needs = (1_usize..14).prop_flat_map(|count| {
        let each = move |number: usize| {
            prop::collection::btree_set(0..number.max(1), 0..=number.min(3))
                .prop_map(move |needs| needs.into_iter().filter(|need| *need < number).collect())
        };
        (0..count).map(each).collect::<Vec<_>>()
    });
    let fails = prop::collection::btree_set(0_usize..14, 0..3);
    let crashes = prop::collection::vec(0_u64..3_000, 0..4);
    (needs, fails, 1_usize..5, 0_u32..6, crashes, 2_usize..9).prop_map(
        |(needs, fails, at_once, looks, crashes, loses)| Course {
            needs,
            fails,
            at_once,
            looks,
            crashes,
            loses,
        },
    )
}

fn name(number: usize) -> BuildId {
    literal(&format!("b{number:02}"))
}

impl Course {
    fn graph(&self) -> BuildGraph {
        let build = |(number, needs): (usize, &BTreeSet<usize>)| {
            let build = Build::new(name(number), "shop", "release");
            needs.iter().fold(build, |build, need| build.needing(name(*need)))
        };
        BuildGraph::new(self.needs.iter().enumerate().map(build)).unwrap()
    }

    /// What has to come of each, told by who needs whom alone.
    fn expected(&self, number: usize) -> Option<BuildStanding> {
        let lost = self.needs[number]
            .iter()
            .any(|need| self.expected(*need) != Some(BuildStanding::Built));
        if lost {
            return None; // cancelled, because of one that failed
        }
        let failed = BuildStanding::Failed { reason: "as was wished".into() };
        Some(if self.fails.contains(&number) { failed } else { BuildStanding::Built })
    }

    fn run(&self, crashes: &[u64], loses: usize) -> (BuildReport, Arc<Told>) {
        let fake = FakeBuildRunner::new().repository("shop", "api");
        fake.with(|builds| builds.jobs.done_after(self.looks));
        let told = Arc::new(Told { course: self.clone(), fake, loses, seen: Mutex::default() });
        let clock = Arc::new(VirtualClock::new());
        let sources =
            (0..self.needs.len()).map(|number| (name(number), format!("commit of {number}")));
        let building =
            Building::new(&self.graph(), sources.collect(), BTreeMap::new(), |_| Span::secs(1));
        let campaign = || {
            Campaign::new("c", Arc::clone(&told) as _, clock.clone(), fixtures::robot())
                .at_once(NonZeroUsize::new(self.at_once).unwrap())
        };
        let stop = CancellationToken::new();
        for crash in crashes {
            let end = clock.now().plus(Span::millis(*crash));
            let one = campaign();
            let cut = async {
                tokio::select! {
                    report = one.run(building.clone(), &stop) => Some(report),
                    () = clock.sleep_until(end) => None,
                }
            };
            if clock.run(cut).unwrap().is_some() {
                break; // it was done before
            }
        }
        let report = clock.run(campaign().run(building, &stop)).unwrap();
        (report, told)
    }
}

/// A runner that fails what is to fail, loses calls, and takes offence at what must not be asked.
#[derive(Debug)]
struct Told {
    course: Course,
    fake: FakeBuildRunner,
    loses: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: usize,
    asked: BTreeMap<String, StartBuild>,
    over: BTreeSet<String>,
    under_way: BTreeSet<String>,
    most: usize,
    offences: Vec<String>,
}

impl Told {
    /// Whether this call is lost on its way, or on its way back.
    fn lost(&self) -> (bool, bool) {
        let mut seen = self.seen.lock().unwrap();
        seen.calls += 1;
        let lost = self.loses > 0 && seen.calls.is_multiple_of(self.loses);
        let back = (seen.calls / self.loses.max(1)).is_multiple_of(2);
        (lost && !back, lost && back)
    }

    fn started(&self, key: &str, request: &StartBuild) {
        let mut seen = self.seen.lock().unwrap();
        let number: usize = key.trim_start_matches("c/b").parse().unwrap();
        for need in &self.course.needs[number] {
            let need = format!("c/{}", name(*need));
            if !seen.over.contains(&need) {
                seen.offences.push(format!("{key} was begun before {need} was over"));
            }
        }
        let first = seen.asked.entry(key.to_owned()).or_insert_with(|| request.clone());
        if first != request {
            let offence = format!("{key} was {first:?}, and then {request:?}");
            seen.offences.push(offence);
        }
        seen.under_way.insert(key.to_owned());
        seen.most = seen.most.max(seen.under_way.len());
    }
}

fn away() -> ProviderError {
    let error = ProviderError::new(ErrorKind::Unavailable, "builds", "away");
    error.with_effect(release_core::port::EffectCertainty::Unknown)
}

#[async_trait]
impl BuildRunner for Told {
    fn describe(&self) -> Description {
        self.fake.describe()
    }

    async fn start(&self, cx: &Context, request: StartBuild) -> Result<(), ProviderError> {
        let (lost, back) = self.lost();
        if lost {
            return Err(away());
        }
        if !self.seen.lock().unwrap().over.contains(&cx.key) {
            self.started(&cx.key, &request);
        }
        self.fake.start(cx, request).await?;
        if back { Err(away()) } else { Ok(()) }
    }

    async fn observe(&self, cx: &Context, request: JobRef) -> Result<BuildStatus, ProviderError> {
        let key = request.operation.clone();
        let mut status = self.fake.observe(cx, request).await?;
        if status.phase == JobPhase::Unknown {
            return Ok(status);
        }
        if status.phase.is_over() {
            let number: usize = key.trim_start_matches("c/b").parse().unwrap();
            if self.course.fails.contains(&number) {
                status.phase = JobPhase::Failed { reason: "as was wished".into() };
                status.artifacts.clear();
            }
            let mut seen = self.seen.lock().unwrap();
            seen.over.insert(key.clone());
            seen.under_way.remove(&key);
        }
        let (lost, back) = self.lost();
        if lost || back { Err(away()) } else { Ok(status) }
    }

    async fn cancel(&self, _: &Context, request: JobRef) -> Result<(), ProviderError> {
        self.seen.lock().unwrap().offences.push(format!("{} was cancelled", request.operation));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_is_begun_once_after_what_it_needs_whatever_crashes(course in courses()) {
        let (smooth, calm) = course.run(&[], 0);
        let (report, told) = course.run(&course.crashes, course.loses);
        prop_assert_eq!(&report.builds, &smooth.builds);
        prop_assert_eq!(&report.built, &smooth.built);
        for told in [&calm, &told] {
            let seen = told.seen.lock().unwrap();
            prop_assert!(seen.offences.is_empty(), "{:?}", seen.offences);
        }
        // What a crash left under way comes on top, until it is found again.
        let most = calm.seen.lock().unwrap().most;
        prop_assert!(most <= course.at_once, "{} at once", most);
        let asked = told.seen.lock().unwrap().asked.clone();
        for number in 0..course.needs.len() {
            let (id, key) = (name(number), format!("c/{}", name(number)));
            let standing = report.builds[&id].standing.clone();
            let expected = course.expected(number);
            prop_assert_eq!(asked.contains_key(&key), expected.is_some(), "{}", key);
            if let Some(expected) = expected {
                prop_assert_eq!(standing, expected);
                continue;
            }
            let BuildStanding::Cancelled { because } = standing else { panic!("{standing:?}") };
            let failed = matches!(report.builds[&because].standing, BuildStanding::Failed { .. });
            prop_assert!(failed, "{} because of {}", id, because);
        }
    }
}
