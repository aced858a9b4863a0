//! A runner and stages that do what a course says, lose calls, and take offence at what must not be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use release_core::model::EnvironmentId;
use release_core::port::{Clock as _, EffectCertainty};
use release_core::time::Span;
use release_providers::build::OpenStage;
use release_providers::spi::{JobPhase, JobRef, StartTests, TestOutcome, TestRunner, TestStatus};
use release_providers::{Context, Description, ErrorKind, ProviderError, async_trait};
use release_testkit::VirtualClock;
use release_testkit::fakes::FakeTestRunner;

use super::course::{Comes, Course, STAGES, name, stage, target};

/// So many attempts of a call may be lost.
const LOST: u32 = 4;

/// The fake, in the hands of a course.
#[derive(Debug)]
pub(crate) struct Told {
    course: Course,
    pub(crate) fake: FakeTestRunner,
    /// The seed by which calls are lost, if any are.
    chance: Option<u64>,
    seen: Mutex<Seen>,
}

/// What was seen of a campaign.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    /// Every call, in order.
    pub(crate) calls: Vec<String>,
    /// What each key was asked for.
    pub(crate) asked: BTreeMap<String, StartTests>,
    /// How each ended.
    over: BTreeMap<String, bool>,
    opened: BTreeSet<usize>,
    /// What the present executor has under way.
    under_way: BTreeSet<String>,
    /// The most that one executor had.
    pub(crate) most: usize,
    pub(crate) offences: Vec<String>,
}

/// The key of a suite.
fn key_of(number: usize) -> String {
    format!("c/{}", name(number))
}

/// What the numbers make together: by Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
const fn mixed(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Told {
    pub(crate) fn new(course: &Course, chance: Option<u64>) -> Self {
        use TestOutcome::{Failed, Passed, Skipped};
        let mut fake = FakeTestRunner::new();
        for (number, one) in course.suites.iter().enumerate() {
            let tests: &[_] = match one.comes {
                Comes::Unknown => continue,
                Comes::Passes => &[("a", Passed), ("b", Skipped), ("c", Passed)],
                Comes::Fails | Comes::Lies => &[("a", Passed), ("b", Failed)],
            };
            fake = fake.suite(name(number).as_str(), tests);
        }
        fake.with(|suites| suites.jobs.done_after(course.looks));
        Self { course: course.clone(), fake, chance, seen: Mutex::default() }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// The executor is gone, and knows of nothing any more.
    pub(crate) fn crashed(&self) {
        self.seen.lock().unwrap().under_way.clear();
    }

    /// Whether this call is lost on its way, or on its way back.
    fn lost(&self, cx: &Context, call: &str) -> (bool, bool) {
        let mut seen = self.seen.lock().unwrap();
        seen.calls.push(format!("{call} {} {}", cx.key, cx.attempt));
        let Some(chance) = self.chance.filter(|_| cx.attempt < LOST) else { return (false, false) };
        let drawn = mixed(chance ^ mixed(seen.calls.len() as u64)) % 12;
        (drawn < 2, drawn == 2 || drawn == 3)
    }

    fn number(&self, key: &str) -> usize {
        let mut numbers = 0..self.course.suites.len();
        numbers.find(|number| key_of(*number) == key).unwrap()
    }

    /// Whether it may begin now, and is what it always was.
    fn begins(&self, key: &str, request: &StartTests) {
        let mut guard = self.seen.lock().unwrap();
        let seen = &mut *guard;
        let suites = &self.course.suites;
        let number = self.number(key);
        let one = &suites[number];
        let mut offend = |offence: String| seen.offences.push(format!("{key}: {offence}"));
        let passed = |number: &usize| seen.over.get(&key_of(*number)) == Some(&true);
        for before in &one.after {
            let waits = suites[*before].holds() && !passed(before);
            // One that the runner does not know is over as soon as it is asked for.
            let before_key = key_of(*before);
            let over = seen.over.contains_key(&before_key)
                || suites[*before].comes == Comes::Unknown && seen.asked.contains_key(&before_key);
            if waits || !over {
                offend(format!("begun before {}", name(*before)));
            }
        }
        if !seen.opened.contains(&one.stage) {
            offend(format!("begun before {} was open", stage(one.stage)));
        }
        let earlier = |other: &&usize| suites[**other].stage < one.stage && suites[**other].holds();
        let numbers: Vec<usize> = (0..suites.len()).collect();
        for other in numbers.iter().filter(earlier).filter(|_| self.course.ordered) {
            if !passed(other) {
                offend(format!("begun before the earlier {} passed", name(*other)));
            }
        }
        if request.suite != name(number).as_str() || request.target != Some(target(one.stage)) {
            offend(format!("asked for as {request:?}"));
        }
        let first = seen.asked.entry(key.to_owned()).or_insert_with(|| request.clone());
        if first != request {
            offend(format!("was {first:?}, and then {request:?}"));
        }
    }
}

fn away() -> ProviderError {
    let error = ProviderError::new(ErrorKind::Unavailable, "tests", "away");
    error.with_effect(EffectCertainty::Unknown)
}

#[async_trait]
impl TestRunner for Told {
    fn describe(&self) -> Description {
        self.fake.describe()
    }

    async fn start(&self, cx: &Context, request: StartTests) -> Result<(), ProviderError> {
        let (lost, back) = self.lost(cx, "start");
        if lost {
            return Err(away());
        }
        self.begins(&cx.key, &request);
        self.fake.start(cx, request).await?;
        let mut seen = self.seen.lock().unwrap();
        if !seen.over.contains_key(&cx.key) {
            seen.under_way.insert(cx.key.clone());
            seen.most = seen.most.max(seen.under_way.len());
        }
        if back { Err(away()) } else { Ok(()) }
    }

    async fn observe(&self, cx: &Context, request: JobRef) -> Result<TestStatus, ProviderError> {
        let (lost, back) = self.lost(cx, "observe");
        if lost {
            return Err(away());
        }
        let key = request.operation.clone();
        let mut status = self.fake.observe(cx, request).await?;
        if status.phase.is_over() {
            let one = &self.course.suites[self.number(&key)];
            if one.comes == Comes::Lies {
                status.phase = JobPhase::Succeeded;
            }
            let mut seen = self.seen.lock().unwrap();
            seen.over.insert(key.clone(), one.passes());
            seen.under_way.remove(&key);
        }
        if back { Err(away()) } else { Ok(status) }
    }

    async fn cancel(&self, _: &Context, request: JobRef) -> Result<(), ProviderError> {
        self.seen.lock().unwrap().offences.push(format!("{} was cancelled", request.operation));
        Ok(())
    }
}

/// Opens stages, each later than the one before.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) told: Arc<Told>,
    pub(crate) clock: Arc<VirtualClock>,
}

#[async_trait]
impl OpenStage for Gate {
    async fn open(&self, id: &EnvironmentId) -> Result<(), ProviderError> {
        let at = (0..STAGES).find(|at| stage(*at) == *id).unwrap();
        self.clock.sleep_until(self.clock.now().plus(Span::millis(70 * at as u64))).await;
        let mut seen = self.told.seen.lock().unwrap();
        seen.calls.push(format!("open {id}"));
        if self.told.course.closed.contains(&at) {
            return Err(ProviderError::new(ErrorKind::Denied, "stage.open", id.as_str()));
        }
        seen.opened.insert(at);
        Ok(())
    }
}
