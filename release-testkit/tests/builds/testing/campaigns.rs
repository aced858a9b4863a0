//! What a campaign of tests does besides running each suite in its time.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use release_core::build::{Suite, SuiteStanding, Suites};
use release_core::model::{Digest, EnvironmentId, SuiteId};
use release_core::port::Clock as _;
use release_core::time::Span;
use release_providers::build::{
    CancellationToken, OpenStage, StageOrderError, StageVerdict, StagedSuites, TestCampaign,
    TestReport,
};
use release_providers::spi::{JobPhase, JobRef, TestOutcome, TestRunner as _};
use release_providers::{ErrorKind, ProviderError, RetryAdvice, async_trait};
use release_testkit::VirtualClock;
use release_testkit::fakes::{Behaviour, FakeTestRunner, TestRunnerOp};
use release_testkit::fixtures::{self, literal};

fn id(name: &str) -> SuiteId {
    literal(name)
}

fn suite(name: &str, stage: &str) -> Suite {
    Suite::new(id(name), literal(stage), Span::secs(60))
}

/// Suites of one stage that is there.
fn open(suites: impl IntoIterator<Item = Suite>) -> StagedSuites {
    Suites::new(suites).unwrap().into()
}

fn passing(suites: &[&str]) -> FakeTestRunner {
    let one = |fake: FakeTestRunner, suite: &&str| fake.suite(suite, &[("a", TestOutcome::Passed)]);
    let fake = suites.iter().fold(FakeTestRunner::new(), one);
    fake.with(|suites| suites.jobs.done_after(2));
    fake
}

fn campaign(fake: &FakeTestRunner, clock: &Arc<VirtualClock>) -> TestCampaign {
    let (runner, artifact) = (Arc::new(fake.clone()), fixtures::artifact("shop", "1.1.0"));
    TestCampaign::new("c", runner, clock.clone(), fixtures::robot(), artifact)
}

fn run(campaign: &TestCampaign, suites: &StagedSuites, clock: &VirtualClock) -> TestReport {
    clock.run(campaign.run(suites, &CancellationToken::new())).unwrap()
}

/// With two looks that find it running, at 0 and 100 ms, a run is seen to be over at 300 ms.
const SEEN: Span = Span::millis(300);

#[test]
fn what_was_seen_from_its_beginning_to_its_end_is_learned() {
    let (fake, clock) = (passing(&["first", "second"]), Arc::new(VirtualClock::new()));
    let fake = fake.suite("broken", &[("a", TestOutcome::Failed)]);
    let suites = ["first", "second", "broken", "unknown", "empty"].map(|name| suite(name, "dev"));
    let fake = fake.suite("empty", &[]);
    let report = run(&campaign(&fake, &clock), &open(suites.clone()), &clock);
    let took: Vec<_> = report.took.iter().map(|(id, took)| (id.as_str(), *took)).collect();
    // Nobody knows how long those take that could not be run, or have no tests.
    assert_eq!(took, [("broken", SEEN), ("first", SEEN), ("second", SEEN)]);
    let attempts = report.attempts.iter().map(|one| (one.suite.as_str(), one.passed));
    let expected = [("broken", false), ("empty", false), ("first", true), ("second", true)];
    assert_eq!(attempts.collect::<Vec<_>>(), expected);
    // The next is planned by it.
    let next = campaign(&fake, &clock).with_learned(report.learned.clone());
    let slots = next.schedule(&open(suites)).slots;
    let takes = |name: &str| {
        let slot = slots.iter().find(|slot| slot.suite == id(name)).unwrap();
        slot.ends.as_duration().checked_sub(slot.begins.as_duration())
    };
    assert_eq!(takes("first"), Some(SEEN.as_duration()));
    assert_eq!(takes("unknown"), Some(Duration::from_mins(1)));
}

#[test]
fn what_a_crash_left_under_way_is_found_and_not_learned() {
    let (fake, clock) = (passing(&["first", "second"]), Arc::new(VirtualClock::new()));
    let suites = open([suite("first", "dev"), suite("second", "dev")]);
    let (one, end) = (NonZeroUsize::MIN, clock.now().plus(Span::millis(50)));
    let first = campaign(&fake, &clock).at_once(one);
    let stop = CancellationToken::new();
    let crashed = clock.run(async {
        tokio::select! {
            report = first.run(&suites, &stop) => Some(report),
            () = clock.sleep_until(end) => None,
        }
    });
    assert_eq!(crashed, Ok(None));
    assert_eq!(fake.with(|suites| suites.jobs.started().count()), 1);
    let report = run(&campaign(&fake, &clock).at_once(one), &suites, &clock);
    assert!(report.has_passed());
    assert_eq!(report.took.into_iter().collect::<Vec<_>>(), [(id("second"), SEEN)]);
    // All over again: everything is there, and nothing is learned.
    let again = run(&campaign(&fake, &clock), &suites, &clock);
    assert_eq!((again.suites, again.took.len()), (report.suites, 0));
    assert_eq!(fake.with(|suites| suites.jobs.started().count()), 2);
}

/// A stage that is never there.
#[derive(Debug)]
struct Never;

#[async_trait]
impl OpenStage for Never {
    async fn open(&self, stage: &EnvironmentId) -> Result<(), ProviderError> {
        if stage.as_str() == "later" { pending().await } else { Ok(()) }
    }
}

#[test]
fn once_it_is_cancelled_what_runs_ends_and_nothing_begins() {
    let (fake, clock) = (passing(&["a", "b", "c", "d"]), Arc::new(VirtualClock::new()));
    fake.with(|suites| suites.jobs.done_after(1_000));
    let suites = ["a", "b", "c"].map(|name| suite(name, "dev"));
    let suites = open(suites.into_iter().chain([suite("d", "later")]));
    let campaign = campaign(&fake, &clock).opened_by(Arc::new(Never));
    let campaign = campaign.at_once(NonZeroUsize::new(2).unwrap());
    let stop = CancellationToken::new();
    let later = clock.now().plus(Span::millis(150));
    let cancel = async {
        clock.sleep_until(later).await;
        stop.cancel();
    };
    let (report, ()) =
        clock.run(async { tokio::join!(campaign.run(&suites, &stop), cancel) }).unwrap();
    assert!(report.cancelled && !report.has_passed());
    assert_eq!((report.attempts.len(), report.took.len()), (0, 0));
    for name in ["a", "b"] {
        let result = &report.suites[&id(name)];
        assert_eq!(result.standing, SuiteStanding::Failed);
        assert_eq!(result.reason.as_deref(), Some("it was cancelled"));
        let key = JobRef::new(format!("c/{name}"));
        let status = clock.run(fake.observe(&fixtures::context("look"), key)).unwrap().unwrap();
        assert_eq!(status.phase, JobPhase::Cancelled);
    }
    assert_eq!(report.suites[&id("c")].standing, SuiteStanding::Waiting);
    assert_eq!(fake.with(|suites| suites.jobs.started().count()), 2);
    assert_eq!(report.stages[&literal::<EnvironmentId>("later")], StageVerdict::Unfinished);
    // One that is cancelled before it began does nothing at all.
    let calls = fake.calls().len();
    let idle = clock.run(campaign.run(&suites, &stop)).unwrap();
    assert!(idle.suites.values().all(|one| one.standing == SuiteStanding::Waiting));
    assert_eq!(fake.calls().len(), calls);
}

#[test]
fn a_pause_that_is_advised_is_kept_and_what_cannot_be_reached_has_not_passed() {
    let (fake, clock) = (passing(&["a", "b"]), Arc::new(VirtualClock::new()));
    let suites = open([suite("a", "dev"), suite("b", "dev")]);
    let busy = ProviderError::new(ErrorKind::RateLimited, "test_runner.start", "busy");
    let busy = busy.with_retry(RetryAdvice::After(Duration::from_secs(70)));
    fake.script(TestRunnerOp::Start, [Behaviour::Fail(busy), Behaviour::ApplyThenLose]);
    let begin = clock.now();
    let report = run(&campaign(&fake, &clock), &suites, &clock);
    assert!(report.has_passed(), "{report:?}");
    assert_eq!(fake.count(TestRunnerOp::Start), 4);
    assert!(clock.now().since(begin) >= Span::secs(70));
    // Out of reach for good: nobody knows, so it has not passed; and that is no attempt.
    let fake = passing(&["a", "b"]);
    fake.cut_off(true);
    let report = run(&campaign(&fake, &clock).excusing([id("b")]), &suites, &clock);
    assert!(report.attempts.is_empty() && report.took.is_empty());
    assert!(report.suites.values().all(|one| one.standing == SuiteStanding::Failed));
    let because = [id("a")].into();
    assert_eq!(report.stages[&literal::<EnvironmentId>("dev")], StageVerdict::Failed { because });
    assert!(!report.suites[&id("b")].holds);
}

#[test]
fn attempts_are_of_the_content_that_is_named_and_suites_test_the_artifact() {
    let (fake, clock) = (passing(&["a"]), Arc::new(VirtualClock::new()));
    let suites = open([suite("a", "dev")]);
    let artifact = fixtures::artifact("shop", "1.1.0");
    let report = run(&campaign(&fake, &clock), &suites, &clock);
    assert_eq!(report.attempts[0].content, artifact.digest());
    let whole = Digest::of(b"all that was tested");
    let report = run(&campaign(&fake, &clock).of_content(whole), &suites, &clock);
    assert_eq!(report.attempts[0].content, whole);
    assert_eq!(report.attempts[0].at, clock.now());
    let asked = fake.with(|suites| {
        suites.jobs.started().map(|(_, request)| request.artifact.clone()).collect::<Vec<_>>()
    });
    assert_eq!(asked, [artifact]);
}

#[test]
fn orders_in_which_suites_could_never_be_run_say_why() {
    let order = |suites: &[Suite], stages: &[&str]| {
        let suites = Suites::new(suites.to_vec()).unwrap();
        StagedSuites::in_order(suites, stages.iter().map(|stage| literal(stage)))
    };
    let (dev, prod) = (suite("a", "dev"), suite("z", "prod"));
    let both = [dev.clone(), prod.clone()];
    assert!(order(&both, &["dev", "prod"]).is_ok());
    assert!(order(&both, &["prod", "empty", "dev"]).is_ok());
    let twice = order(&both, &["dev", "prod", "dev"]);
    assert_eq!(twice, Err(StageOrderError::Twice(literal("dev"))));
    let (suite_z, stage) = (id("z"), literal("prod"));
    assert_eq!(order(&both, &["dev"]), Err(StageOrderError::Missing { suite: suite_z, stage }));
    // Over one that holds nothing, too.
    let between = suite("m", "dev").after(id("z")).advisory();
    let last = dev.after(id("m"));
    let all = [last.clone(), between.clone(), prod.clone()];
    let error = StageOrderError::Backwards {
        suite: id("a"),
        stage: literal("dev"),
        after: id("z"),
        later: literal("prod"),
    };
    assert_eq!(order(&all, &["dev", "prod"]), Err(error));
    assert!(order(&all, &["prod", "dev"]).is_ok());
    assert!(order(&[last.advisory(), between, prod], &["dev", "prod"]).is_ok());
}
