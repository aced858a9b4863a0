//! The testkit's parts with the real engine: hours in no time, faults of providers and journals.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![expect(clippy::panic, reason = "as do their checks")]
#![expect(clippy::indexing_slicing, reason = "places that were found, and tables of constants")]

#[path = "engine/course.rs"]
mod course;
#[path = "engine/oracle.rs"]
mod oracle;
#[path = "engine/remainders.rs"]
mod remainders;
#[path = "engine/sagas.rs"]
mod sagas;
#[path = "engine/shapes.rs"]
mod shapes;
mod support;
#[path = "engine/waves.rs"]
mod waves;
#[path = "engine/witness.rs"]
mod witness;

use std::sync::Arc;

use release_core::engine::{Engine, EngineError, Settled};
use release_core::journal::{AppendError, Journal, MemoryJournal};
use release_core::model::{RunId, Span, Timestamp};
use release_core::plan::{Weight, plan};
use release_core::port::{Clock, DRIFT, Evidence};
use release_core::run::{Command, Directive, Event, Outcome};
use release_policy::rbac::{Action, Rbac, Role, Rules};
use release_policy::window::When;
use release_policy::{AllOf, WindowSpec, Windows};
use release_providers::spi::{Deployer as _, SetWeights, TrafficRouter as _};
use release_testkit::fakes::{
    Behaviour, DeployerOp, FakePlatform, MetricsSourceOp, TrafficRouterOp,
};
use release_testkit::fixtures::{self, Shop, literal};
use release_testkit::{AppendFault, FaultyJournal, Stuck, VirtualClock};
use support::OverFakes;

/// A shop whose old version is live, and everything that is needed to release the new one.
struct Bench {
    clock: Arc<VirtualClock>,
    platform: FakePlatform,
    journal: Arc<FaultyJournal>,
    shop: Shop,
}

impl Bench {
    fn new(shop: Shop) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let dynamic: Arc<dyn Clock> = clock.clone();
        let platform = FakePlatform::on(&dynamic);
        platform.world.store_all(shop.contents());
        for service in Shop::SERVICES {
            platform.metrics.set_errors(fixtures::digest(service, Shop::NEW), 1.0, 1_000.0);
        }
        let journal = Arc::new(FaultyJournal::new(Arc::new(MemoryJournal::new())));
        let bench = Self { clock, platform, journal, shop };
        bench.clock.run(bench.old_is_live()).unwrap();
        bench
    }

    fn engine(&self) -> Engine {
        let performer = Arc::new(OverFakes(self.platform.clone()));
        Engine::builder(self.journal.clone(), performer).clock(self.clock.clone()).build()
    }

    fn run_id() -> RunId {
        literal("run-1")
    }

    async fn start(&self, engine: &Engine) -> Result<Outcome, EngineError> {
        let plan = plan(&self.shop.definition()).unwrap();
        engine.start(Self::run_id(), plan, fixtures::requester()).await?.wait().await
    }

    /// Deploys the old version everywhere, as earlier releases would have.
    async fn old_is_live(&self) {
        use release_providers::spi::ApplyRequest;
        for step in plan(&self.shop.definition()).unwrap().steps() {
            if let release_core::plan::Action::Route { target, .. } = &step.action {
                let service = target.service.as_str();
                let artifact = fixtures::artifact(service, Shop::OLD);
                let wish =
                    ApplyRequest::new(target.clone(), artifact, fixtures::version(Shop::OLD), 2);
                self.platform.deployer.apply(&fixtures::context("earlier"), wish).await.unwrap();
            }
        }
    }

    /// The versions that run of `service` in production, region `eu`.
    fn live(&self, service: &str) -> Vec<&'static str> {
        let target = fixtures::target(service);
        let runs = |version: &&str| {
            let digest = fixtures::digest(service, version);
            !self.platform.world.instances(&target, digest).is_empty()
        };
        [Shop::OLD, Shop::NEW].into_iter().filter(runs).collect()
    }
}

#[test]
fn hours_of_baking_pass_in_no_time() {
    let bench = Bench::new(Shop::new().bake(Span::secs(3_600)).weights([10, 50]));
    let (engine, begin) = (bench.engine(), bench.clock.now());
    let outcome = bench.clock.run(bench.start(&engine)).unwrap().unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
    for service in Shop::SERVICES {
        assert_eq!(bench.live(service), [Shop::NEW]);
    }
    // Two regions, in each three services one after the other, each with two bakes of an hour.
    let took = bench.clock.now().since(begin);
    assert!(took >= Span::secs(12 * 3_600) && took < Span::secs(13 * 3_600), "{took}");
    assert_eq!(bench.platform.notifier.sent().len(), 1);
    assert_eq!(bench.clock.sleepers(), 0);
}

#[test]
fn a_bad_version_is_rolled_back() {
    let bench = Bench::new(Shop::new());
    bench.platform.metrics.set_errors(fixtures::digest("api", Shop::NEW), 400.0, 1_000.0);
    let engine = bench.engine();
    let outcome = bench.clock.run(bench.start(&engine)).unwrap().unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    for service in Shop::SERVICES {
        assert_eq!(bench.live(service), [Shop::OLD], "{service}");
    }
}

/// The platform said that the new version was ready; in the middle of its last bake it is not any more.
#[test]
fn f11_a_success_that_does_not_last_through_its_bake_is_taken_back() {
    let bench = Bench::new(Shop::new().without_staging().bake(Span::secs(3_600)).regions(["eu"]));
    let engine = bench.engine();
    let reverts = async {
        bench.clock.sleep_until(bench.clock.now().plus(Span::secs(1_800))).await;
        let all = Shop::SERVICES.into_iter();
        let breaking = all.filter(|service| bench.live(service).contains(&Shop::NEW));
        for service in breaking {
            let digest = fixtures::digest(service, Shop::NEW);
            bench.platform.world.set_unready(&fixtures::target(service), digest, 2);
        }
    };
    let both = async { tokio::join!(bench.start(&engine), reverts).0 };
    let outcome = bench.clock.run(both).unwrap().unwrap();
    let Outcome::RolledBack { cause } = &outcome else { panic!("{outcome}") };
    assert!(cause.to_string().contains("still-ready"), "{cause}");
    for service in Shop::SERVICES {
        assert_eq!(bench.live(service), [Shop::OLD], "{service}");
    }
    // The audit has both: that it was ready, and that it was not any more.
    let run = Bench::run_id();
    let (history, _) = bench.clock.run(engine.load(&run)).unwrap().unwrap();
    let of = |name: &str, good: bool| {
        history.facts().iter().any(|fact| match &fact.event {
            Event::StepSucceeded { step, .. } => good && step.id.as_str().ends_with(name),
            Event::StepFailed { step, .. } => !good && step.id.as_str().ends_with(name),
            _ => false,
        })
    };
    assert!(of("/ready", true) && of("/still-ready", false));
}

/// The router said that the new version has its share; in the middle of the bake the old one has all of the traffic again.
#[test]
fn f11_shares_that_do_not_last_through_a_bake_are_taken_back() {
    let bench = Bench::new(Shop::new().without_staging().bake(Span::secs(3_600)).regions(["eu"]));
    let engine = bench.engine();
    let (target, first) = (fixtures::target("catalog"), Shop::SERVICES[0]);
    let old = || {
        let digest = fixtures::digest(first, Shop::OLD);
        vec![Weight::new(digest, fixtures::version(Shop::OLD), 100)]
    };
    let reverts = async {
        bench.clock.sleep_until(bench.clock.now().plus(Span::secs(1_800))).await;
        let shares = bench.platform.world.weights(&target);
        assert_eq!(shares.len(), 2, "both are served: {shares:?}");
        let (cx, wish) = (fixtures::context("by-hand"), SetWeights::new(target.clone(), old()));
        bench.platform.router.set_weights(&cx, wish).await.unwrap();
    };
    let both = async { tokio::join!(bench.start(&engine), reverts).0 };
    let outcome = bench.clock.run(both).unwrap().unwrap();
    let Outcome::RolledBack { cause } = &outcome else { panic!("{outcome}") };
    assert!(cause.to_string().contains("weight-10/still-routed"), "{cause}");
    for service in Shop::SERVICES {
        assert_eq!(bench.live(service), [Shop::OLD], "{service}");
    }
    // The audit has both: that the shares were in effect, and what was seen in their place.
    let run = Bench::run_id();
    let (history, _) = bench.clock.run(engine.load(&run)).unwrap().unwrap();
    let set = history.facts().iter().any(|fact| match &fact.event {
        Event::StepSucceeded { step, evidence: Evidence::Weights { weights, .. }, .. } => {
            step.id.as_str().ends_with("catalog/weight-10") && weights.len() == 2
        }
        _ => false,
    });
    let seen = history.facts().iter().any(|fact| match &fact.event {
        Event::StepFailed { error, evidence: Some(Evidence::Weights { weights, .. }), .. } => {
            error.kind == DRIFT && Weight::same_shares(weights, &old())
        }
        _ => false,
    });
    assert!(set && seen, "{:?}", history.facts());
}

#[test]
fn scripted_faults_of_providers_are_survived() {
    let bench = Bench::new(Shop::new().without_staging().regions(["eu"]));
    let Bench { platform, clock, .. } = &bench;
    let engine = bench.engine();
    platform.deployer.script(
        DeployerOp::Apply,
        [Behaviour::Obey, Behaviour::Obey, Behaviour::Obey].into_iter().chain([
            Behaviour::ApplyThenLose,
            Behaviour::Panic,
            Behaviour::Hang,
        ]),
    );
    platform.router.script(
        TrafficRouterOp::SetWeights,
        [Behaviour::LoseBefore, Behaviour::Slow(Span::secs(9))],
    );
    platform.metrics.script(MetricsSourceOp::Measure, [Behaviour::Lie]);
    let outcome = clock.run(bench.start(&engine)).unwrap().unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
    let applies: Vec<_> = platform.deployer.calls();
    assert!(applies.iter().any(|call| call.attempt > 1 && call.key.starts_with("run-1/")));
}

/// F5 to F7, with the fakes: the run outlasts its journal's fault, and nobody has to resume it.
#[test]
fn a_journal_that_fails_for_a_while_is_outlasted() {
    for (fault, append) in [
        (AppendFault::NoSpace, 6),
        (AppendFault::Unavailable, 6),
        (AppendFault::UnknownStored, 6),
        (AppendFault::UnknownNotStored, 6),
        (AppendFault::NoSpace, 2),
    ] {
        let bench = Bench::new(Shop::new());
        bench.journal.fail_at(append, fault);
        let engine = bench.engine();
        let outcome = bench.clock.run(bench.start(&engine)).unwrap().unwrap();
        assert_eq!(outcome, Outcome::Succeeded, "{fault:?}");
        let [injected] = &bench.journal.injected()[..] else { panic!("one fault") };
        assert_eq!(
            (injected.append, injected.stored),
            (append, fault == AppendFault::UnknownStored)
        );
        for service in Shop::SERVICES {
            assert_eq!(bench.live(service), [Shop::NEW], "{fault:?}");
        }
    }
}

#[test]
fn a_conflict_means_that_another_engine_took_over() {
    let bench = Bench::new(Shop::new());
    bench.journal.fail_at(6, AppendFault::Conflict);
    let engine = bench.engine();
    let stopped = bench.clock.run(bench.start(&engine)).unwrap().unwrap_err();
    assert!(matches!(stopped, EngineError::TakenOver(_)), "{stopped}");
}

#[test]
fn a_run_that_cannot_even_begin_leaves_nothing() {
    let bench = Bench::new(Shop::new());
    bench.journal.fail_next(AppendFault::NoSpace);
    let engine = bench.engine();
    let refused = bench.clock.run(bench.start(&engine)).unwrap().unwrap_err();
    assert!(matches!(refused, EngineError::Append(AppendError::NoSpace { .. })), "{refused}");
    let heads = bench.clock.run(bench.journal.heads()).unwrap().unwrap();
    assert!(heads.is_empty());
    assert_eq!(bench.platform.router.calls(), []);
}

/// Production is frozen for a day; and until when.
fn frozen_for_a_day(bench: &Bench) -> (Windows, Timestamp) {
    let (from, until) = (bench.clock.now(), bench.clock.now().plus(Span::secs(86_400)));
    let when = When::Between { from, until };
    let freeze = WindowSpec::freeze(literal("peak"), when, literal("sre"), "peak");
    let freeze = freeze.in_environment(literal("production")).build().unwrap();
    (Windows::new([freeze]).unwrap(), until)
}

#[test]
fn roles_say_who_may_pause_and_a_paused_run_waits_for_a_person() {
    let bench = Bench::new(Shop::new().without_staging());
    let begin = bench.clock.now();
    let on_call = Role::new(literal("on-call")).may([Action::Pause]);
    let policy = AllOf::new()
        .and(frozen_for_a_day(&bench).0)
        .and(Rbac::vouched(Rules::new([on_call], []).unwrap()).commands_only());
    let performer = Arc::new(OverFakes(bench.platform.clone()));
    let engine = Engine::builder(bench.journal.clone(), performer)
        .clock(bench.clock.clone())
        .policy(policy)
        .build();
    let work = async {
        let plan = plan(&bench.shop.definition()).unwrap();
        let handle = engine.start(Bench::run_id(), plan, fixtures::requester()).await.unwrap();
        let pause = |by| handle.send(Directive::new(Command::Pause, by, "lunch"));
        assert!(pause(fixtures::requester()).await.is_err());
        assert!(pause(fixtures::operator()).await.is_ok());
        let Settled::NeedsPerson(_) = handle.settled().await.unwrap() else { panic!("paused") };
    };
    bench.clock.run(work).unwrap();
    assert_eq!(bench.platform.router.count(TrafficRouterOp::SetWeights), 0);
    assert_eq!(bench.clock.now(), begin);
}

#[test]
fn a_freeze_holds_a_run_until_it_ends() {
    let bench = Bench::new(Shop::new().without_staging());
    let (policy, thaw) = frozen_for_a_day(&bench);
    let performer = Arc::new(OverFakes(bench.platform.clone()));
    let engine = Engine::builder(bench.journal.clone(), performer)
        .clock(bench.clock.clone())
        .policy(policy)
        .build();
    assert_eq!(bench.clock.run(bench.start(&engine)).unwrap().unwrap(), Outcome::Succeeded);
    assert!(bench.clock.now() >= thaw);
    assert!(bench.clock.now() < thaw.plus(Span::secs(2 * 3_600)), "{}", bench.clock.now());
}

#[test]
fn approvals_are_asked_for_and_counted() {
    let bench = Bench::new(Shop::new().without_staging().approvals(2));
    let engine = bench.engine();
    let work = async {
        let plan = plan(&bench.shop.definition()).unwrap();
        let handle = engine.start(Bench::run_id(), plan, fixtures::requester()).await.unwrap();
        let Settled::NeedsPerson(_) = handle.settled().await.unwrap() else { panic!("approval") };
        let approve = || Command::Approve { gate: literal("production/cab") };
        for by in [fixtures::approver(), fixtures::second_approver()] {
            handle.send(Directive::new(approve(), by, "looks good")).await.unwrap();
        }
        handle.wait().await.unwrap()
    };
    assert_eq!(bench.clock.run(work).unwrap(), Outcome::Succeeded);
}

#[tokio::test]
async fn a_clock_wakes_only_those_whose_time_has_come() {
    let clock = Arc::new(VirtualClock::at(Timestamp::from_micros(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for second in [3_i64, 1, 2] {
        let clock = Arc::clone(&clock);
        let at = Timestamp::from_micros(second * 1_000_000);
        tasks.spawn(async move {
            clock.sleep_until(at).await;
            second
        });
    }
    while clock.sleepers() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clock.asleep().await, Timestamp::from_micros(1_000_000));
    for second in [1, 2, 3] {
        clock.advance(Span::millis(999));
        assert_eq!(clock.next_wakeup(), Some(Timestamp::from_micros(second * 1_000_000)));
        assert_eq!(clock.asleep().await.as_micros(), second * 1_000_000);
        clock.advance(Span::millis(1));
        assert_eq!(tasks.join_next().await.unwrap().unwrap(), second);
    }
    // Giving up, and a clock that is set back.
    clock.set(Timestamp::from_micros(0));
    tokio::select! {
        () = clock.sleep_until(Timestamp::from_micros(9)) => panic!("too early"),
        at = clock.asleep_until(Timestamp::from_micros(9)) => assert_eq!(at.as_micros(), 9),
    }
    assert_eq!((clock.sleepers(), clock.jump()), (0, None));
    clock.sleep_until(Timestamp::from_micros(-1)).await;
}

#[test]
fn a_clock_says_when_nothing_can_happen_any_more() {
    let clock = VirtualClock::new();
    assert_eq!(clock.run(std::future::pending::<()>()), Err(Stuck { now: clock.now() }));
}
