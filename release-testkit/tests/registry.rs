//! The real registry with the real engine over fakes: what it journals when providers are slow.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::analysis::{Conclusion, Trial};
use release_core::engine::{Engine, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{
    Analysis, Finite, Judge, Metric, OnSignal, RollbackScope, ScoreMethod, Scorecard, Scored,
    Signal, SignalKind, SignalResponse, Span,
};
use release_core::plan::{
    Action, Beside, Compensation, Deployment, EdgeKind, Plan, RetryPolicy, SignalRule, Step, Undo,
    UndoPhase, Weight,
};
use release_core::port::{Clock, EffectCertainty, EffectError, Evidence, Performer as _};
use release_core::run::{Cause, Command, Directive, Event, Mode, Outcome};
use release_providers::spi::{ApplyRequest, Deployer};
use release_providers::{
    EffectClass, ErrorKind, ProviderError, ProviderSelector, Registry, Splitting,
};
use release_testkit::fakes::{
    Behaviour, DeployerOp, FakeDeployer, FakePlatform, FakeRouter, HealthProbeOp,
    MetricsSourceCall, TrafficRouterOp,
};
use release_testkit::{VirtualClock, fixtures};

/// Fakes behind a registry, on one clock.
struct Bench {
    clock: Arc<VirtualClock>,
    platform: FakePlatform,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let dynamic: Arc<dyn Clock> = clock.clone();
        let platform = FakePlatform::on(&dynamic);
        platform.world.store(&fixtures::content("api", "1.1.0"));
        Self { clock, platform }
    }

    fn registry(&self, deployer: Arc<FakeDeployer>) -> Registry {
        let FakePlatform { router, health, metrics, .. } = self.platform.clone();
        Registry::builder(self.clock.clone())
            .deployer(ProviderSelector::everywhere(), deployer)
            .router(ProviderSelector::everywhere(), router)
            .health(ProviderSelector::everywhere(), health)
            .metrics(ProviderSelector::everywhere(), metrics)
            .build()
            .unwrap()
    }

    /// Runs `steps` one after the other until they are done or a person is needed.
    fn run(&self, registry: Registry, steps: Vec<Step>) -> History {
        self.run_beside(registry, steps, async {})
    }

    /// The same while something else goes on.
    fn run_beside(
        &self,
        registry: Registry,
        steps: Vec<Step>,
        beside: impl Future<Output = ()>,
    ) -> History {
        let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
        for (index, step) in (0..).zip(steps) {
            plan.step(step);
            if index > 0 {
                plan.edge(index - 1, index, EdgeKind::Order);
            }
        }
        let plan = plan.build().unwrap();
        let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
            .clock(self.clock.clone())
            .build();
        let work = async {
            let handle = engine.start("r-1".parse().unwrap(), plan, fixtures::requester()).await;
            let handle = handle.unwrap();
            let (Settled::Finished(_) | Settled::NeedsPerson(_)) = handle.settled().await.unwrap();
            engine.load(handle.run()).await.unwrap().0
        };
        let both = async { tokio::join!(work, beside).0 };
        self.clock.run(both).unwrap()
    }
}

fn deployment() -> Deployment {
    Deployment {
        target: fixtures::target("api"),
        artifact: fixtures::artifact("api", "1.1.0"),
        version: fixtures::version("1.1.0"),
    }
}

fn step(id: &str, action: Action) -> Step {
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    let mut step = Step::new(id.parse().unwrap(), action).undo(undo);
    (step.retry, step.timeout) = (RetryPolicy::attempts(2), Span::secs(10));
    step
}

fn scale() -> Step {
    step(
        "scale",
        Action::Scale { deployment: deployment().into(), replicas: 2, apart: None, metadata: None },
    )
}

fn route() -> Step {
    let all = vec![Weight::new(deployment().artifact.digest(), deployment().version, 100)];
    step("route", Action::Route { target: deployment().target, weights: all, rules: None })
}

/// The first thing that went wrong, and whether it was journaled as unknown.
fn first_fault(history: &History) -> (bool, EffectError) {
    let fault = history.facts().iter().find_map(|fact| match &fact.event {
        Event::OutcomeUnknown { error, .. } => Some((true, error.clone())),
        Event::StepRetried { error, .. } | Event::StepFailed { error, .. } => {
            Some((false, error.clone()))
        }
        _ => None,
    });
    fault.unwrap()
}

#[test]
fn a_wish_that_was_accepted_and_is_not_fulfilled_in_time_is_unknown_and_looked_for() {
    let bench = Bench::new();
    let slow = Arc::new(FakeDeployer::of(&bench.platform.world).settling_after(u32::MAX));
    let history = bench.run(bench.registry(slow), vec![scale()]);
    let (unknown, error) = first_fault(&history);
    assert_eq!((&*error.kind, error.effect, unknown), ("timeout", EffectCertainty::Unknown, true));
    assert!(error.message.contains("0 of 2 instances run"), "{error}");
    // Whoever does not know looks before it acts again.
    let modes = history.facts().iter().filter_map(|fact| match &fact.event {
        Event::StepStarted { mode, .. } => Some(*mode),
        _ => None,
    });
    assert_eq!(modes.take(3).collect::<Vec<_>>(), [Mode::Perform, Mode::Look, Mode::Perform]);
}

#[test]
fn a_look_that_fails_after_an_accepted_wish_leaves_the_effect_unknown() {
    let lost = || {
        let error = ProviderError::new(ErrorKind::Unavailable, "observe", "gone for lunch");
        assert_eq!(error.effect(), EffectCertainty::NotApplied);
        [Behaviour::Fail(error)]
    };
    let bench = Bench::new();
    bench.platform.deployer.script(DeployerOp::Observe, lost());
    let history = bench.run(bench.registry(bench.platform.deployer.clone()), vec![scale()]);
    let (unknown, error) = first_fault(&history);
    assert_eq!((error.effect, unknown), (EffectCertainty::Unknown, true), "{error}");

    let bench = Bench::new();
    bench.platform.router.script(TrafficRouterOp::Observe, lost());
    let steps = vec![scale(), route()];
    let history = bench.run(bench.registry(bench.platform.deployer.clone()), steps);
    let (unknown, error) = first_fault(&history);
    assert_eq!((error.effect, unknown), (EffectCertainty::Unknown, true), "{error}");
}

/// What became of a call that took effect, or did not, and whose answer was lost.
fn lost(declared: EffectClass, loss: Behaviour) -> (History, usize) {
    let bench = Bench::new();
    let deployer = Arc::new(FakeDeployer::of(&bench.platform.world).declaring(declared));
    deployer.script(DeployerOp::Apply, [loss]);
    let history = bench.run(bench.registry(Arc::clone(&deployer)), vec![scale()]);
    let keys: std::collections::BTreeSet<_> =
        deployer.calls().into_iter().map(|call| call.key).collect();
    assert_eq!(keys.len(), 1, "one operation, one key");
    (history, deployer.count(DeployerOp::Apply))
}

#[test]
fn f10_who_can_be_asked_is_asked_before_anything_is_done_again() {
    for declared in [EffectClass::Idempotent, EffectClass::Queryable] {
        for (loss, applies) in [(Behaviour::ApplyThenLose, 1), (Behaviour::LoseBefore, 2)] {
            let said = format!("{declared:?} {loss:?}");
            let (history, count) = lost(declared, loss);
            let last = &history.facts().last().unwrap().event;
            assert!(
                matches!(last, Event::RunFinished { outcome: Outcome::Succeeded }),
                "{said}: {last:?}"
            );
            assert_eq!(count, applies, "{said}");
        }
    }
}

#[test]
fn f10_an_opaque_provider_is_never_asked_again_and_a_person_must_say() {
    for loss in [Behaviour::ApplyThenLose, Behaviour::LoseBefore] {
        let said = format!("{loss:?}");
        let (history, count) = lost(EffectClass::Opaque, loss);
        let last = &history.facts().last().unwrap().event;
        let Event::NeedsReconcile { error, .. } = last else { panic!("{said}: {last:?}") };
        assert!(error.message.contains("opaque"), "{error}");
        assert_eq!(count, 1, "{said}");
    }
}

/// An earlier wish's status is no answer to this one.
#[test]
fn f12_what_an_earlier_wish_settled_to_is_no_success() {
    let bench = Bench::new();
    let deployer = Arc::new(FakeDeployer::of(&bench.platform.world));
    deployer.script(DeployerOp::Observe, [Behaviour::Lie]);
    let history = bench.run(bench.registry(deployer), vec![scale()]);
    let kinds = history.facts().iter().filter_map(|fact| match &fact.event {
        Event::StepFailed { error, .. } => Some(error.kind.as_str()),
        _ => None,
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["identity_mismatch"]);
}

#[test]
fn waiting_for_readiness_changes_nothing_and_says_so() {
    let bench = Bench::new();
    let Deployment { target, artifact, .. } = deployment();
    bench.platform.world.set_unready(&target, artifact.digest(), 2);
    let probe = step("probe", Action::Probe { deployment: deployment().into(), min_ready: 2 });
    let registry = bench.registry(bench.platform.deployer.clone());
    let history = bench.run(registry, vec![scale(), probe]);
    let (unknown, error) = first_fault(&history);
    assert_eq!(
        (&*error.kind, error.effect, unknown),
        ("timeout", EffectCertainty::NotApplied, false)
    );
    assert!(bench.platform.health.count(HealthProbeOp::Check) > 1);
}

#[test]
fn an_analysis_counts_what_happened_in_its_bake_and_nothing_before() {
    let (bench, minute) = (Bench::new(), Span::secs(60));
    let Bench { clock, platform, .. } = &bench;
    let count = |bad: f64, all: f64| {
        let digest = deployment().artifact.digest();
        platform.metrics.count_up(digest, fixtures::FAILED_REQUESTS, bad);
        platform.metrics.count_up(digest, fixtures::ALL_REQUESTS, all);
    };
    // An earlier share of the traffic saw two of five requests fail.
    count(400.0, 1_000.0);
    clock.advance(minute);
    let mut analysis = fixtures::error_rate();
    analysis.count = 3;
    let interval = analysis.interval;
    let analyze = Action::Analyze {
        deployment: deployment().into(),
        analysis: Arc::new(analysis),
        from: Some(fixtures::literal("bake")),
        beside: None,
        until: None,
    };
    let steps = vec![
        scale(),
        route(),
        step("bake", Action::Bake { duration: minute }),
        step("analyze", analyze.clone()),
        // Found in review: only the first analysis of a bake measured the bake.
        step("analyze-more", analyze),
    ];
    let begin = clock.now();
    let good_traffic = async {
        clock.sleep_until(begin.plus(Span::secs(30))).await;
        count(401.0, 1_100.0);
        // And goes on: looks at which nothing came since the last one say nothing.
        let half = Span::from(interval.as_duration() / 2);
        let mut next = begin.plus(minute).plus(half);
        for n in 0..4 {
            clock.sleep_until(next).await;
            count(401.0, 1_200.0 + 100.0 * f64::from(n));
            next = next.plus(interval);
        }
    };
    let registry = bench.registry(platform.deployer.clone());
    let history = bench.run_beside(registry, steps, good_traffic);
    let said = history.facts().iter().filter_map(|fact| match &fact.event {
        Event::StepSucceeded { because: Some(because), .. } => Some(because.clone()),
        _ => None,
    });
    let said: Vec<_> = said.collect();
    let [first, more] = &said[..] else { panic!("{said:?}") };
    assert!(first.contains("(1 of 300)") && more.contains("(1 of 500)"), "{said:?}");
    // All their measurements have one window, which began with the bake.
    let windows = platform.metrics.calls().into_iter().map(|call| {
        let MetricsSourceCall::Measure(request) = call.request;
        clock.now().since(request.since)
    });
    let windows: Vec<_> = windows.collect();
    let took = minute.as_duration() + interval.as_duration() * 4;
    assert_eq!(windows, [Span::from(took); 6]);
}

/// The version from before, which serves beside the new one.
fn before() -> Deployment {
    let (artifact, version) = (fixtures::artifact("api", "1.0.0"), fixtures::version("1.0.0"));
    Deployment { target: fixtures::target("api"), artifact, version }
}

#[test]
fn a_scorecard_is_measured_metric_by_metric_of_both_versions_and_says_by_which_seed() {
    let bench = Bench::new();
    let metrics = &bench.platform.metrics;
    for (deployment, latency) in [(deployment(), 0.3), (before(), 0.1)] {
        let digest = deployment.artifact.digest();
        metrics.set(digest, "latency", latency);
        metrics.set(digest, "memory", 5.0);
    }
    let scored = |name: &str| Scored::new(name, "all", Metric::Query { query: name.into() });
    let card = Scorecard {
        method: ScoreMethod::NetflixAca { seed: 42 },
        metrics: vec![scored("memory"), scored("latency")],
        group_weights: BTreeMap::new(),
        pass: Finite::new(95.0).unwrap(),
        marginal: Finite::new(75.0).unwrap(),
        every: None,
    };
    let metric = card.metrics[0].metric.clone();
    let analysis = Analysis {
        count: 6,
        ..Analysis::judged(fixtures::literal("score"), metric, Judge::Scorecard(card))
    };
    let action = Action::Analyze {
        deployment: deployment().into(),
        analysis: Arc::new(analysis),
        from: None,
        beside: Some(Box::new(Beside::new(before(), 50))),
        until: None,
    };
    let registry = bench.registry(bench.platform.deployer.clone());
    let history = bench.run(registry, vec![step("score", action.clone())]);
    let mut trial = Trial::new(action).unwrap();
    let mut found = Vec::new();
    for fact in history.facts() {
        let (Event::StepMeasured { evidence, finding: Some(finding), .. }
        | Event::StepFailed { evidence: Some(evidence), finding: Some(finding), .. }) = &fact.event
        else {
            continue;
        };
        assert!(matches!(evidence, Evidence::Comparisons { of } if of.len() == 2), "{evidence:?}");
        assert_eq!(trial.look(fact.at, evidence).unwrap().0, **finding);
        found.push(finding.clone());
    }
    let last = found.last().unwrap();
    assert_eq!((found.len(), last.conclusion), (6, Conclusion::Regressed));
    // Neither version varies, so that Kayenta's judge draws noise: from this seed.
    assert_eq!(last.seed, Some(42));
    let said: Vec<_> = last.parts.iter().map(|part| (&*part.name, &*part.says)).collect();
    assert_eq!(said, [("memory", "Pass"), ("latency", "High")]);
    assert_eq!(metrics.calls().len(), 6 * 4);
}

#[test]
fn a_real_engine_takes_back_what_an_incident_is_about() {
    let bench = Bench::new();
    let scaled = |replicas| Action::Scale {
        deployment: deployment().into(),
        replicas,
        apart: None,
        metadata: None,
    };
    let undo = Compensation { action: scaled(0), phase: UndoPhase::Remove };
    let begin = step("scale", scaled(2)).undo(Undo::Compensate(vec![undo]));
    let hour = Span::secs(3_600);
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    plan.step(begin);
    plan.step(Step::new(fixtures::literal("bake"), Action::Bake { duration: hour }));
    plan.edge(0, 1, EdgeKind::Order);
    let on = OnSignal { kind: SignalKind::Incident, source: None, then: SignalResponse::RollBack };
    plan.signal(SignalRule { on, scope: RollbackScope::Release });
    let plan = plan.build().unwrap();
    let registry = bench.registry(bench.platform.deployer.clone());
    let journal = Arc::new(MemoryJournal::new());
    let engine = Engine::builder(journal, Arc::new(registry)).clock(bench.clock.clone()).build();
    let tell = |kind, reference: &str| {
        let signal = Box::new(Signal::new(kind, "pager", reference));
        Directive::new(Command::Signal { signal }, fixtures::operator(), "customers call")
    };
    let work = async {
        let handle = engine.start("r-1".parse().unwrap(), plan, fixtures::requester()).await;
        let handle = handle.unwrap();
        bench.clock.sleep_until(bench.clock.now().plus(Span::secs(60))).await;
        // What nobody planned for changes nothing; what is planned for takes back what the run did.
        handle.send(tell(SignalKind::Alert, "A-1")).await.unwrap();
        handle.send(tell(SignalKind::Incident, "INC-1")).await.unwrap();
        let outcome = handle.wait().await.unwrap();
        (outcome, engine.load(handle.run()).await.unwrap().0)
    };
    let (outcome, history) = bench.clock.run(work).unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { cause: Cause::Signalled { .. } }), "{outcome}");
    let answers: Vec<_> = history
        .facts()
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::Signalled { signal, answer, .. } => Some(format!("{signal}: {answer}")),
            _ => None,
        })
        .collect();
    assert_eq!(
        answers,
        [
            "alert `A-1` of pager: recorded only: the release planned nothing for it",
            "incident `INC-1` of pager: the run goes back"
        ]
    );
    let digest = deployment().artifact.digest();
    assert!(bench.platform.world.instances(&deployment().target, digest).is_empty());
}

/// A deployer of at most three, and a router that does not split, behind a registry.
fn modest(bench: &Bench) -> Registry {
    let most = std::num::NonZeroU32::new(3);
    let world = &bench.platform.world;
    let deployer = FakeDeployer::of(world).able(|can| can.most_replicas = most);
    let router = FakeRouter::of(world).able(|can| can.splitting = Splitting::Whole);
    Registry::builder(bench.clock.clone())
        .deployer(ProviderSelector::everywhere(), Arc::new(deployer))
        .router(ProviderSelector::everywhere(), Arc::new(router))
        .build()
        .unwrap()
}

#[test]
fn a_plan_that_needs_more_than_is_declared_is_refused_with_the_steps_and_the_providers_name() {
    let bench = Bench::new();
    let many = step(
        "many",
        Action::Scale { deployment: deployment().into(), replicas: 4, apart: None, metadata: None },
    );
    let other = Weight::new(fixtures::digest("api", "1.0.0"), fixtures::version("1.0.0"), 50);
    let half = Weight {
        percent: 50,
        ..Weight::new(deployment().artifact.digest(), deployment().version, 50)
    };
    let weights = vec![half, other];
    let split = step("split", Action::Route { target: deployment().target, weights, rules: None });
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    for step in [scale(), many, route(), split] {
        plan.step(step);
    }
    let errors = modest(&bench).check(&plan.build().unwrap()).unwrap_err();
    let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let other = "use another provider, or another step";
    assert_eq!(
        said,
        [
            format!(
                "step `many` cannot be performed: the deployer `fake-deployer` does not declare that it can run more than 3 instances; {other}"
            ),
            format!(
                "step `split` cannot be performed: the traffic router `fake-router` does not declare that it can split traffic by weight; {other}"
            ),
        ]
    );
}

#[test]
fn what_is_not_declared_does_not_reach_a_provider() {
    let bench = Bench::new();
    let deployer = modest(&bench).find::<dyn Deployer>(&ProviderSelector::everywhere()).unwrap();
    let Deployment { target, artifact, version } = deployment();
    let wish =
        |replicas| ApplyRequest::new(target.clone(), artifact.clone(), version.clone(), replicas);
    let cx = fixtures::context("k");
    let (few, many) = bench
        .clock
        .run(async { (deployer.apply(&cx, wish(3)).await, deployer.apply(&cx, wish(4)).await) })
        .unwrap();
    few.unwrap();
    let error = many.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unsupported, EffectCertainty::NotApplied)
    );
    assert!(
        error.to_string().contains("`fake-deployer` does not declare that it can run more than 3"),
        "{error}"
    );
}
