//! What the registry waits for before it stops a version, seen with fakes: requests under way, and nothing else; and what it looks
//! at where nothing is to be changed.

use std::sync::Arc;

use release_core::engine::{Engine, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{BlueGreen, Gate, RollbackTrigger, Strategy, Tier, TrackId};
use release_core::plan::{
    Action, Deployment, EdgeKind, OnFailure, Plan, RetryPolicy, Step, Undo, Weight, plan,
};
use release_core::port::{Clock as _, DRIFT, EffectCertainty, Evidence, Performer as _};
use release_core::run::{Event, Outcome};
use release_core::time::Span;
use release_providers::spi::{SetWeights, TrafficRouter as _};
use release_providers::{ProviderSelector, Registry, RouterAbilities};
use release_testkit::conformance::router::Heard;
use release_testkit::fakes::{FakePlatform, FakeRouter};
use release_testkit::fixtures::one_service;
use release_testkit::{VirtualClock, fixtures};

const OLD: &str = "1.0.0";
const NEW: &str = "1.1.0";

struct Bench {
    clock: Arc<VirtualClock>,
    platform: FakePlatform,
    router: Arc<FakeRouter>,
}

fn deployment(version: &str) -> Deployment {
    Deployment {
        target: fixtures::target("api"),
        artifact: fixtures::artifact("api", version),
        version: fixtures::version(version),
    }
}

fn step(id: &str, action: Action) -> Step {
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    let mut step = Step::new(id.parse().unwrap(), action).undo(undo);
    (step.retry, step.timeout) = (RetryPolicy::attempts(1), Span::secs(10));
    step
}

fn scale(id: &str, version: &str, replicas: u32) -> Step {
    step(
        id,
        Action::Scale {
            deployment: deployment(version).into(),
            replicas,
            apart: None,
            metadata: None,
        },
    )
}

fn route(id: &str, version: &str) -> Step {
    let digest = fixtures::digest("api", version);
    let weights = vec![Weight::new(digest, fixtures::version(version), 100)];
    step(id, Action::Route { target: fixtures::target("api"), weights, rules: None })
}

impl Bench {
    fn able(declare: fn(&mut RouterAbilities)) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let platform = FakePlatform::on(&(clock.clone() as Arc<dyn release_core::port::Clock>));
        for version in [OLD, NEW] {
            platform.world.store(&fixtures::content("api", version));
        }
        let router = Arc::new(FakeRouter::of(&platform.world).able(declare));
        Self { clock, platform, router }
    }

    fn new() -> Self {
        Self::able(|_| {})
    }

    /// Runs steps one after the other, beside something else.
    fn run<T>(&self, steps: Vec<Step>, beside: impl Future<Output = T>) -> (History, T) {
        let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
        for (index, step) in (0..).zip(steps) {
            plan.step(step);
            if index > 0 {
                plan.edge(index - 1, index, EdgeKind::Order);
            }
        }
        let registry = Registry::builder(self.clock.clone())
            .deployer(ProviderSelector::everywhere(), self.platform.deployer.clone())
            .router(ProviderSelector::everywhere(), self.router.clone())
            .build()
            .unwrap()
            // What comes of it is seen here.
            .drained(false);
        let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
            .clock(self.clock.clone())
            .build();
        let work = async {
            let run =
                engine.start("r-1".parse().unwrap(), plan.build().unwrap(), fixtures::requester());
            let run = run.await.unwrap();
            let (Settled::Finished(_) | Settled::NeedsPerson(_)) = run.settled().await.unwrap();
            engine.load(run.run()).await.unwrap().0
        };
        self.clock.run(async { tokio::join!(work, beside) }).unwrap()
    }

    fn old(&self) -> usize {
        self.platform.world.instances(&fixtures::target("api"), fixtures::digest("api", OLD)).len()
    }

    /// A request that the old version gets as soon as it serves.
    async fn begins(&self) {
        while !self.platform.world.begin(&fixtures::target("api")) {
            self.clock.sleep_until(self.clock.now().plus(Span::millis(1))).await;
        }
    }

    async fn passes(&self, span: Span) {
        self.clock.sleep_until(self.clock.now().plus(span)).await;
    }

    fn finish(&self) -> Option<Heard> {
        self.platform.world.finish(&fixtures::target("api"))
    }
}

/// From the old version to the new one, with a second in which the old one serves.
fn replaced() -> Vec<Step> {
    let serves = step("serves", Action::Bake { duration: Span::secs(1) });
    vec![
        scale("old", OLD, 2),
        route("route-old", OLD),
        serves,
        scale("new", NEW, 2),
        route("route-new", NEW),
        scale("remove-old", OLD, 0),
    ]
}

fn succeeded(history: &History) -> bool {
    let last = history.facts().last().map(|fact| &fact.event);
    matches!(last, Some(Event::RunFinished { outcome: Outcome::Succeeded }))
}

#[test]
fn nothing_is_stopped_that_has_a_request_under_way() {
    let bench = Bench::new();
    let (history, (left, heard)) = bench.run(replaced(), async {
        bench.begins().await;
        bench.passes(Span::secs(7)).await;
        (bench.old(), bench.finish())
    });
    assert!(succeeded(&history));
    assert_eq!((left, bench.old()), (2, 0));
    assert_eq!(heard.map(|heard| heard.from), Some(fixtures::digest("api", OLD)));
}

#[test]
fn a_request_that_does_not_end_in_time_is_an_error_and_nothing_is_stopped() {
    let bench = Bench::new();
    let (history, ()) = bench.run(replaced(), bench.begins());
    let error = history.facts().iter().find_map(|fact| match &fact.event {
        Event::StepFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    let error = error.unwrap();
    assert_eq!((&*error.kind, error.effect), ("timeout", EffectCertainty::NotApplied));
    assert!(error.message.contains("1 requests of the version are under way"), "{error}");
    assert_eq!(bench.old(), 2);
    assert!(bench.finish().is_some());
}

#[test]
fn who_does_not_count_is_not_waited_for() {
    let bench = Bench::able(|can| can.counts_in_flight = false);
    let (history, ()) = bench.run(replaced(), bench.begins());
    assert!(succeeded(&history));
    assert_eq!((bench.old(), bench.finish()), (0, None));
}

/// As `recreate` does it: what still gets requests never has none.
#[test]
fn what_is_stopped_while_it_serves_is_stopped_at_once() {
    let bench = Bench::new();
    let serves = step("serves", Action::Bake { duration: Span::secs(1) });
    let steps = vec![scale("old", OLD, 2), route("route", OLD), serves, scale("stop", OLD, 0)];
    let (history, ()) = bench.run(steps, bench.begins());
    assert!(succeeded(&history));
    assert_eq!((bench.old(), bench.finish()), (0, None));
}

/// What a release removes in the end, when somebody has routed back to it by hand in between.
#[test]
fn what_serves_is_not_removed_behind_a_release() {
    for counts in [true, false] {
        let bench =
            if counts { Bench::new() } else { Bench::able(|can| can.counts_in_flight = false) };
        let (mut steps, kept) = (
            replaced(),
            Step::new("kept".parse().unwrap(), Action::Bake { duration: Span::secs(60) }),
        );
        let remove = steps.pop().unwrap();
        steps.extend(
            [kept, remove].map(|step| Step { finale: true, ..step.on_failure(OnFailure::Hold) }),
        );
        let back = async {
            bench.passes(Span::secs(30)).await;
            let weights =
                vec![Weight::new(fixtures::digest("api", OLD), fixtures::version(OLD), 100)];
            let request = SetWeights::new(fixtures::target("api"), weights);
            bench.router.set_weights(&fixtures::context("by-hand"), request).await.unwrap();
        };
        let (history, ()) = bench.run(steps, back);
        let failed = history.facts().iter().find_map(|fact| match &fact.event {
            Event::StepFailed { step, error, .. } => Some((step.id.to_string(), error.clone())),
            _ => None,
        });
        let (step, error) = failed.unwrap();
        assert_eq!(
            (&*step, &*error.kind, error.effect),
            ("remove-old", "conflict", EffectCertainty::NotApplied)
        );
        assert!(error.message.contains("sends requests to the version"), "{error}");
        assert_eq!(bench.old(), 2);
    }
}

#[test]
fn a_router_that_cannot_be_asked_is_an_error_and_nothing_is_stopped() {
    use release_providers::{ErrorKind, ProviderError};
    use release_testkit::fakes::{Behaviour, TrafficRouterOp};
    let bench = Bench::new();
    let gone = || ProviderError::new(ErrorKind::Unavailable, "observe", "gone for lunch");
    // The two changes of shares are looked at once each.
    let looks = [Behaviour::Obey, Behaviour::Obey, Behaviour::Fail(gone())];
    bench.router.script(TrafficRouterOp::Observe, looks);
    let (history, ()) = bench.run(replaced(), async {});
    let failed = history.facts().iter().any(|fact| {
        matches!(&fact.event, Event::StepFailed { error, .. }
            if error.kind == "unavailable" && error.effect == EffectCertainty::NotApplied)
    });
    assert!(failed && bench.old() == 2);
}

/// A router that goes back on its shares is found out by the look behind the bake, which asks again for a moment whether that is so, and
/// tells it nothing.
#[test]
fn f11_a_router_that_goes_back_on_its_shares_is_found_by_the_look_behind_it() {
    use release_testkit::fakes::TrafficRouterOp;
    let shares = |version| {
        vec![Weight::new(fixtures::digest("api", version), fixtures::version(version), 100)]
    };
    for reverts in [true, false] {
        let bench = Bench::new();
        let bake = step("bake", Action::Bake { duration: Span::secs(60) });
        let (target, weights, rules) = (fixtures::target("api"), shares(NEW), None);
        let look = step("still-routed", Action::Confirm { target, weights, rules });
        let look = look.retry(RetryPolicy::attempts(3));
        let both = [scale("old", OLD, 2), scale("new", NEW, 2)];
        let steps = both.into_iter().chain([route("route-new", NEW), bake, look]).collect();
        let (history, ()) = bench.run(steps, async {
            bench.passes(Span::secs(30)).await;
            if reverts {
                let request = SetWeights::new(fixtures::target("api"), shares(OLD));
                bench.router.set_weights(&fixtures::context("by-hand"), request).await.unwrap();
            }
        });
        assert_eq!(succeeded(&history), !reverts);
        let found = history.facts().iter().any(|fact| match &fact.event {
            Event::StepFailed {
                error, evidence: Some(Evidence::Weights { weights, .. }), ..
            } => error.kind == DRIFT && *weights == shares(OLD),
            _ => false,
        });
        assert_eq!(found, reverts);
        // One look by the step that sets them, and one by the step behind the bake, or so many within its moment.
        let looks = if reverts { 1 + 8 } else { 2 };
        assert_eq!(bench.router.count(TrafficRouterOp::Observe), looks);
        let told = 1 + usize::from(reverts);
        assert_eq!(bench.router.count(TrafficRouterOp::SetWeights), told);
    }
}

/// Where nobody counts, nobody waits; a host that does not say that it minds nothing is told before the run begins.
#[test]
fn a_plan_that_stops_what_nobody_counts_is_refused_unless_that_is_allowed() {
    let planned = |keep_old| {
        let green = BlueGreen { bake: Span::ZERO, keep_old, ..BlueGreen::default() };
        let mut definition = one_service(Strategy::BlueGreen(green), 2);
        definition.environments[0].tier = Tier::Staging;
        definition.release.rollback.as_mut().unwrap().triggers = vec![RollbackTrigger::StepFailed];
        plan(&definition).unwrap()
    };
    let problems = |counts: bool, drained: Option<bool>, keep_old| {
        let declare: fn(&mut RouterAbilities) =
            if counts { |_| {} } else { |can| can.counts_in_flight = false };
        let Bench { clock, platform, router } = Bench::able(declare);
        let everywhere = ProviderSelector::everywhere;
        let registry = Registry::builder(clock)
            .artifacts(platform.artifacts)
            .deployer(everywhere(), platform.deployer)
            .health(everywhere(), platform.health)
            .metrics(everywhere(), platform.metrics)
            .router(everywhere(), router)
            .build()
            .unwrap();
        let registry = match drained {
            Some(drained) => registry.drained(drained),
            None => registry,
        };
        let plan = planned(keep_old);
        // Runs that are under way come to their end, whatever is thought of how they began.
        assert_eq!(registry.check(&plan), Ok(()));
        registry.check_new(&plan).err().unwrap_or_default()
    };
    for (counts, drained, keep_old) in [
        (false, Some(false), Span::ZERO),
        (true, Some(true), Span::ZERO),
        (true, None, Span::ZERO),
        (false, Some(true), Span::secs(30)),
        (false, None, Span::secs(30)),
    ] {
        let found = problems(counts, drained, keep_old);
        assert!(found.is_empty(), "{counts} {drained:?} {keep_old}: {found:?}");
    }
    // Also where nothing is said.
    for drained in [None, Some(true)] {
        let found = problems(false, drained, Span::ZERO);
        assert_eq!(found.len(), 1, "{drained:?}: {found:?}");
        assert!(found[0].step.as_str().ends_with("/remove-old"), "{found:?}");
        for part in
            ["`fake-router`", "(`counts_in_flight`)", "`keep_old`", "`Registry::drained(false)`"]
        {
            assert!(found[0].problem.contains(part), "{part}: {found:?}");
        }
    }
}

/// What is advised can be followed: neither an experiment nor `rolling` has a `keep_old`.
#[test]
fn what_stops_without_a_time_between_is_told_what_it_can_do() {
    let Bench { clock, platform, router } = Bench::able(|can| can.counts_in_flight = false);
    let registry = Registry::builder(clock)
        .deployer(ProviderSelector::everywhere(), platform.deployer)
        .router(ProviderSelector::everywhere(), router)
        .build()
        .unwrap();
    let problems = |steps: Vec<Step>| {
        let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
        let steps: Vec<_> = steps.into_iter().map(|step| plan.step(step)).collect();
        for both in steps.windows(2) {
            plan.edge(both[0], both[1], EdgeKind::Order);
        }
        let problems = registry.check_new(&plan.build().unwrap()).err().unwrap_or_default();
        let told = problems.into_iter().map(|error| error.problem);
        told.filter(|problem| problem.contains("counts_in_flight")).collect::<Vec<_>>()
    };
    let baseline: TrackId = "baseline".parse().unwrap();
    let mut apart = deployment(OLD);
    apart.target = apart.target.on(baseline.clone());
    let stop = Action::Scale { deployment: apart.into(), replicas: 0, apart: None, metadata: None };
    let stop = || step("steps/experiment/stop", stop.clone());
    let mut shared = route("shared", NEW);
    if let Action::Route { weights, .. } = &mut shared.action {
        weights[0].percent = 90;
        let old = Weight::new(fixtures::digest("api", OLD), fixtures::version(OLD), 10);
        weights.push(Weight { track: Some(baseline), ..old });
    }
    for (steps, advice) in [
        (vec![shared, route("routed", NEW), stop()], "on track `baseline` no share"),
        (
            vec![route("routed", NEW), scale("batch-3/stop-old", OLD, 0)],
            "`rolling` stops instances right after each batch",
        ),
        (vec![route("routed", NEW), scale("remove-old", OLD, 0)], "as `keep_old` does"),
    ] {
        let told = problems(steps);
        let [told] = told.as_slice() else { panic!("{advice}: {told:?}") };
        assert!(told.contains(advice), "{advice}: {told}");
        assert_eq!(told.contains("`keep_old`"), advice.contains("keep_old"), "{told}");
    }
    // What never had a share has nothing under way, whatever else has just changed; and time passes in more than bakes.
    assert_eq!(problems(vec![route("routed", NEW), stop()]), [""; 0]);
    let mut later = scale("remove-old", OLD, 0);
    later.gates.push(Gate::Soak(Span::secs(30)));
    assert_eq!(problems(vec![route("routed", NEW), later]), [""; 0]);
}
