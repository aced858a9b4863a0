//! Custom steps that name an operation of a capability: checked before anything moves, followed to their end.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::sync::Arc;

use release_core::engine::{Engine, EngineError, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::Digest;
use release_core::plan::{Action, EdgeKind, Place, Plan, RetryPolicy, Step, StepScope, Undo};
use release_core::port::{Clock as _, Evidence, Performer as _};
use release_core::run::{Event, Outcome};
use release_core::time::Span;
use release_providers::spi::{JobPhase, TestOutcome};
use release_providers::{AnyProvider, EffectClass, ProviderSelector, Registry, RegistryBuilder};
use release_testkit::fakes::*;
use release_testkit::{VirtualClock, fixtures};
use serde_json::{Value, json};

fn step(id: &str, capability: &str, input: Value) -> Step {
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    let action = Action::Custom { capability: capability.into(), input };
    let mut step = Step::new(fixtures::literal(id), action).undo(undo);
    step.scope = StepScope::of(Place::new(fixtures::literal("production")));
    (step.retry, step.timeout) = (RetryPolicy::attempts(2), Span::secs(10));
    step
}

fn plan(steps: Vec<Step>) -> Plan {
    let mut plan = Plan::builder(fixtures::literal("t"), fixtures::literal("r"));
    for (index, step) in (0..).zip(steps) {
        plan.step(step);
        if index > 0 {
            plan.edge(index - 1, index, EdgeKind::Order);
        }
    }
    plan.build().unwrap()
}

/// Everything that is not built from a platform.
struct Bench {
    clock: Arc<VirtualClock>,
    builds: FakeBuildRunner,
    tests: FakeTestRunner,
    migrator: FakeMigrator,
    flags: FakeFlagStore,
    desk: FakeChangeDesk,
    secrets: FakeSecretStore,
    events: FakeEventSink,
}

impl Bench {
    fn new() -> Self {
        let outcomes = [("works", TestOutcome::Passed), ("also-works", TestOutcome::Passed)];
        Self {
            clock: Arc::new(VirtualClock::new()),
            builds: FakeBuildRunner::new().repository("ssh://host/api", "api"),
            tests: FakeTestRunner::new().suite("smoke", &outcomes),
            migrator: FakeMigrator::new().migration(&fixtures::target("db"), "add-column"),
            flags: FakeFlagStore::new().flag("dark-mode", &fixtures::literal("production")),
            desk: FakeChangeDesk::new(),
            secrets: FakeSecretStore::new(),
            events: FakeEventSink::new(),
        }
    }

    fn builder(&self) -> RegistryBuilder {
        let all = [
            AnyProvider::BuildRunner(Arc::new(self.builds.clone())),
            AnyProvider::TestRunner(Arc::new(self.tests.clone())),
            AnyProvider::Migrator(Arc::new(self.migrator.clone())),
            AnyProvider::FlagStore(Arc::new(self.flags.clone())),
            AnyProvider::ChangeDesk(Arc::new(self.desk.clone())),
            AnyProvider::SecretStore(Arc::new(self.secrets.clone())),
            AnyProvider::EventSink(Arc::new(self.events.clone())),
        ];
        let builder = Registry::builder(self.clock.clone());
        all.into_iter()
            .fold(builder, |builder, one| builder.provider(ProviderSelector::everywhere(), one))
    }

    fn run(&self, steps: Vec<Step>) -> History {
        run(&self.clock, self.builder(), steps)
    }
}

fn run(clock: &Arc<VirtualClock>, builder: RegistryBuilder, steps: Vec<Step>) -> History {
    let registry = Arc::new(builder.build().unwrap());
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), registry)
        .clock(Arc::<VirtualClock>::clone(clock))
        .build();
    let work = async {
        let run = fixtures::literal("r-1");
        let handle = engine.start(run, plan(steps), fixtures::requester()).await.unwrap();
        let (Settled::Finished(_) | Settled::NeedsPerson(_)) = handle.settled().await.unwrap();
        engine.load(handle.run()).await.unwrap().0
    };
    clock.run(work).unwrap()
}

/// What each step came to, and how the run ended.
fn course(history: &History) -> (Vec<Value>, Option<Outcome>) {
    let events = || history.facts().iter().map(|fact| &fact.event);
    let outputs = events().filter_map(|event| match event {
        Event::StepSucceeded { evidence: Evidence::Custom { output }, .. } => Some(output.clone()),
        _ => None,
    });
    let outcome = events().find_map(|event| match event {
        Event::RunFinished { outcome } => Some(outcome.clone()),
        _ => None,
    });
    (outputs.collect(), outcome)
}

fn build() -> Value {
    let revision = Digest::of(b"a commit").to_string();
    json!({ "repository": "ssh://host/api", "revision": revision, "recipe": "release" })
}

fn migration() -> Value {
    json!({ "target": fixtures::target("db"), "migration": "add-column" })
}

fn flag(state: &str) -> Value {
    json!({ "flag": "dark-mode", "environment": "production", "state": { "state": state } })
}

fn change() -> Value {
    json!({ "kind": "normal", "summary": "api 2", "plan": Digest::of(b"plan") })
}

#[test]
fn what_is_only_started_is_followed_until_it_is_over() {
    let bench = Bench::new();
    let tests = json!({ "suite": "smoke", "artifact": fixtures::artifact("api", "1.0.0") });
    let history = bench.run(vec![
        step("build", "build_runner.start", build()),
        step("test", "test_runner.start", tests),
        step("expand", "migrator.expand", migration()),
        step("on", "flag_store.set", flag("on")),
        step("contract", "migrator.contract", migration()),
    ]);
    let (outputs, outcome) = course(&history);
    assert_eq!(outcome, Some(Outcome::Succeeded), "{:?}", history.facts().last());
    assert_eq!(outputs[0]["artifacts"].as_array().unwrap().len(), 1, "{outputs:?}");
    assert_eq!(outputs[1], json!({ "passed": 2, "skipped": 0, "failed": [] }));
    assert_eq!(outputs[2], json!({ "phase": "expanded" }));
    assert_eq!(outputs[3], json!({ "revision": 2 }));
    assert_eq!(outputs[4], json!({ "phase": "contracted" }));
    assert!(bench.builds.count(BuildRunnerOp::Observe) > 1, "it was not done at once");
}

#[test]
fn a_step_refers_to_what_an_earlier_one_started() {
    let bench = Bench::new();
    let implementing = json!({ "step": "open", "state": "implementing", "note": "it begins" });
    let history = bench.run(vec![
        step("open", "change_desk.open", change()),
        step("begin", "change_desk.update", implementing),
        step("look", "change_desk.observe", json!({ "step": "open" })),
    ]);
    let (outputs, outcome) = course(&history);
    assert_eq!(outcome, Some(Outcome::Succeeded), "{:?}", history.facts().last());
    assert!(outputs[0]["ticket"].is_string(), "{outputs:?}");
    assert_eq!(
        (&outputs[2]["state"], &outputs[2]["operation"]),
        (&json!("implementing"), &json!("r-1/open/0"))
    );
    assert_eq!(bench.desk.with(|desk| desk.notes("r-1/open/0").to_vec()), ["it begins"]);
}

#[test]
fn what_fails_by_itself_fails_the_step_and_says_why() {
    let bench = Bench::new();
    bench.builds.with(|builds| builds.jobs.done_after(u32::MAX));
    let builds = bench.builds.clone();
    let failed = || JobPhase::Failed { reason: "exit 2".into() };
    let ending = async {
        // As soon as it runs, it fails.
        while !builds.with(|builds| builds.jobs.end("r-1/build/0", failed())) {
            bench.clock.sleep_until(bench.clock.now().plus(Span::millis(1))).await;
        }
    };
    let registry = Arc::new(bench.builder().build().unwrap());
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), registry)
        .clock(bench.clock.clone())
        .build();
    let work = async {
        let steps = vec![step("build", "build_runner.start", build())];
        let handle = engine
            .start(fixtures::literal("r-1"), plan(steps), fixtures::requester())
            .await
            .unwrap();
        let (Settled::Finished(_) | Settled::NeedsPerson(_)) = handle.settled().await.unwrap();
        engine.load(handle.run()).await.unwrap().0
    };
    let both = async { tokio::join!(work, ending).0 };
    let history = bench.clock.run(both).unwrap();
    let error = history.facts().iter().find_map(|fact| match &fact.event {
        Event::StepFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    let error = error.unwrap();
    assert_eq!(&*error.kind, "failed");
    assert!(error.message.contains("build_runner.start: exit 2"), "{error}");
}

#[test]
fn a_lost_answer_is_looked_for_before_it_is_asked_again() {
    for (loss, starts) in [(Behaviour::ApplyThenLose, 1), (Behaviour::LoseBefore, 2)] {
        let (bench, said) = (Bench::new(), format!("{loss:?}"));
        bench.migrator.script(MigratorOp::Expand, [loss]);
        let history = bench.run(vec![step("expand", "migrator.expand", migration())]);
        assert_eq!(course(&history).1, Some(Outcome::Succeeded), "{said}");
        let looked = history.facts().iter().any(|fact| {
            matches!(&fact.event, Event::StepStarted { mode: release_core::run::Mode::Look, .. })
        });
        assert!(looked, "{said}");
        // What is on its way may be asked for again: it is one operation.
        let asked = bench.migrator.count(MigratorOp::Expand);
        assert!((starts..=2).contains(&asked), "{said}: {asked}");
    }
}

/// Whoever says that it can be asked is asked, and does nothing twice; no person is called for that.
#[test]
fn who_can_be_asked_is_asked_what_became_of_a_lost_answer() {
    let log = Transparency::default();
    let artifact = fixtures::artifact("api", "1.0.0");
    let event =
        json!({ "id": "e-1", "source": "/shop", "kind": "deployed", "at": "2026-01-01T00:00:00Z" });
    let after: fn() -> Behaviour = || Behaviour::ApplyThenLose;
    let before: fn() -> Behaviour = || Behaviour::LoseBefore;
    for (loss, times) in [(after, 1), (before, 2)] {
        let pager = FakePager::new([fixtures::literal("sre")]).declaring(EffectClass::Queryable);
        let signer = FakeArtifactSigner::new(&log, &["release"]).declaring(EffectClass::Queryable);
        let sink = FakeEventSink::new().declaring(EffectClass::Queryable);
        let desk = FakeChangeDesk::new().declaring(EffectClass::Queryable);
        pager.script(PagerOp::Page, [loss()]);
        pager.script(PagerOp::Resolve, [loss()]);
        signer.script(ArtifactSignerOp::Sign, [loss()]);
        sink.script(EventSinkOp::Publish, [loss()]);
        desk.script(ChangeDeskOp::Update, [loss()]);
        let clock = Arc::new(VirtualClock::new());
        let builder = [
            AnyProvider::Pager(Arc::new(pager.clone())),
            AnyProvider::ArtifactSigner(Arc::new(signer.clone())),
            AnyProvider::EventSink(Arc::new(sink.clone())),
            AnyProvider::ChangeDesk(Arc::new(desk.clone())),
        ]
        .into_iter()
        .fold(Registry::builder(clock.clone()), |builder, one| {
            builder.provider(ProviderSelector::everywhere(), one)
        });
        let page = json!({ "team": "sre", "severity": "critical", "summary": "it burns" });
        let sign = json!({ "artifact": artifact, "signing_key": "release" });
        let implementing = json!({ "step": "open", "state": "implementing" });
        let history = run(
            &clock,
            builder,
            vec![
                step("page", "pager.page", page),
                step("resolve", "pager.resolve", json!({ "step": "page" })),
                step("sign", "artifact_signer.sign", sign),
                step("publish", "event_sink.publish", json!({ "events": [event] })),
                step("open", "change_desk.open", change()),
                step("update", "change_desk.update", implementing),
            ],
        );
        let (outputs, outcome) = course(&history);
        assert_eq!(outcome, Some(Outcome::Succeeded), "{:?}: {:?}", loss(), history.facts().last());
        assert_eq!(outputs[2]["signing_key"], "release", "the answer that was lost: {outputs:?}");
        let asked = [
            pager.count(PagerOp::Page),
            pager.count(PagerOp::Resolve),
            signer.count(ArtifactSignerOp::Sign),
            sink.count(EventSinkOp::Publish),
            desk.count(ChangeDeskOp::Update),
        ];
        assert_eq!(asked, [times; 5], "{:?}", loss());
    }
}

#[test]
fn a_plan_that_asks_for_what_nobody_can_do_is_refused_with_the_steps_and_the_providers_name() {
    let bench = Bench::new();
    let with = |key: &str, value: Value| {
        let mut input = build();
        input[key] = value;
        input
    };
    let table = [
        (
            "build_runner.begin",
            build(),
            "`build_runner` has no operation `begin`; it has `start`, `observe`, `cancel`",
        ),
        ("build_runner.start", with("branch", json!("main")), "there is no field `branch`"),
        ("build_runner.start", with("parameters", json!(3)), "its input is wrong: invalid type"),
        (
            "build_runner.start",
            json!({}),
            "`build_runner.start` of `fake-build-runner` cannot be asked for: its input is wrong: missing field `repository`",
        ),
        ("deployer.apply", json!({}), "`deployer.apply` has a step of its own; use `scale`"),
        (
            "scanner.start",
            json!({}),
            "no scanner is registered for environment production; register one that serves it",
        ),
        (
            "shave.yak",
            json!({}),
            "no custom action is registered for environment production, action shave.yak",
        ),
        (
            "change_desk.update",
            json!({ "step": "nobody", "state": "failed" }),
            "names the step `nobody`, and the plan has no such step",
        ),
    ];
    let registry = bench.builder().build().unwrap();
    for (capability, input, wanted) in table {
        let errors = registry.check(&plan(vec![step("odd", capability, input)])).unwrap_err();
        let [error] = &*errors else { panic!("{errors:?}") };
        assert!(error.to_string().starts_with("step `odd` cannot be performed: "), "{error}");
        assert!(error.problem.contains(wanted), "{error}\n{wanted}");
    }
}

#[test]
fn an_ability_that_a_provider_does_not_declare_is_missed_before_the_run() {
    let bench = Bench::new();
    let rotate =
        || plan(vec![step("rotate", "secret_store.rotate", json!({ "secret": "kv/api" }))]);
    assert_eq!(bench.builder().build().unwrap().check(&rotate()), Ok(()));
    let plain = Fake::of("plain-secrets", Vault::default());
    let builder = Registry::builder(bench.clock);
    let registry =
        builder.provider(ProviderSelector::everywhere(), AnyProvider::SecretStore(Arc::new(plain)));
    let errors = registry.build().unwrap().check(&rotate()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "step `rotate` cannot be performed: the secret store `plain-secrets` does not declare that it can put a \
         new value in the place of a secret; use another provider, or another step"
    );
}

#[test]
fn the_compensations_of_a_step_are_checked_too() {
    let bench = Bench::new();
    let mut open = step("open", "change_desk.open", change());
    let back = json!({ "step": "opened", "state": "failed" });
    let action = Action::Custom { capability: "change_desk.update".into(), input: back };
    open.undo = Undo::Compensate(vec![release_core::plan::Compensation {
        action,
        phase: release_core::plan::UndoPhase::default(),
    }]);
    let errors = bench.builder().build().unwrap().check(&plan(vec![open])).unwrap_err();
    assert!(errors[0].problem.contains("names the step `opened`"), "{errors:?}");
}

#[test]
fn what_a_host_registers_by_that_name_is_preferred_and_everything_else_is_not() {
    let bench = Bench::new();
    let own = FakeCustomAction::new();
    let name = "migrator.expand";
    let custom = |selector| {
        bench.builder().provider(selector, AnyProvider::CustomAction(Arc::new(own.clone())))
    };
    let provider =
        |registry: &Registry| registry.provider(&step("expand", name, migration())).unwrap();
    assert_eq!(
        provider(&custom(ProviderSelector::action(name)).build().unwrap()),
        "fake-custom-action"
    );
    assert_eq!(provider(&custom(ProviderSelector::everywhere()).build().unwrap()), "fake-migrator");
    // It is the one for what nobody else does.
    let registry = custom(ProviderSelector::everywhere()).build().unwrap();
    assert_eq!(registry.check(&plan(vec![step("yak", "shave.yak", Value::Null)])), Ok(()));
}

#[test]
fn nobody_is_started_who_cannot_be_checked() {
    let bench = Bench::new();
    let registry = Arc::new(bench.builder().build().unwrap());
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), registry)
        .clock(bench.clock.clone())
        .build();
    let steps = vec![step("scan", "scanner.start", json!({}))];
    let started = engine.start(fixtures::literal("r-1"), plan(steps), fixtures::requester());
    let refused = bench.clock.run(started).unwrap().unwrap_err();
    assert!(matches!(refused, EngineError::Bindings(_)), "{refused}");
}

/// How a run over a whole fleet ended, and why a step of it failed.
fn verdict(fleet: &FakeFleet, steps: Vec<Step>) -> (Option<Outcome>, String) {
    let clock = fleet.clock();
    let history = run(clock, fleet.register(Registry::builder(clock.clone())), steps);
    let why = history.facts().iter().find_map(|fact| match &fact.event {
        Event::StepFailed { error, .. } => Some(error.message.clone()),
        _ => None,
    });
    (course(&history).1, why.unwrap_or_default())
}

#[test]
fn a_step_that_asks_whether_something_is_right_fails_when_it_is_not() {
    let artifact = fixtures::artifact("api", "1.0.0");
    let fleet = FakeFleet::new();
    let findings = [("CVE-2026-1", "error"), ("old", "note")];
    drop(fleet.scanner.clone().content(artifact.digest(), &findings));
    let verify = json!({ "artifact": artifact, "predicates": [FakeFleet::PREDICATE] });
    let scan = json!({ "artifact": artifact, "kind": "vulnerabilities" });
    for (operation, input, why) in [
        ("artifact_verifier.verify", verify, "the artifact is not verified"),
        ("scanner.start", scan, "the scan found 1 errors"),
    ] {
        let (outcome, said) = verdict(&fleet, vec![step("ask", operation, input)]);
        assert!(matches!(outcome, Some(Outcome::Failed { .. })), "{operation}: {outcome:?}");
        assert!(said.contains(why), "{operation}: {said}");
    }
    let bench = Bench::new();
    let ask = json!({ "summary": "x" });
    let errors = bench.builder().build().unwrap().check(&plan(vec![step(
        "ask",
        "approval_channel.ask",
        ask,
    )]));
    assert!(errors.unwrap_err()[0].problem.contains("use a gate"));
}

#[test]
fn a_step_refers_to_nothing_but_what_an_earlier_one_starts() {
    let bench = Bench::new();
    let update = |id: &str, of: &str| {
        step(id, "change_desk.update", json!({ "step": of, "state": "implementing" }))
    };
    let open = || step("open", "change_desk.open", change());
    let registry = bench.builder().build().unwrap();
    for (steps, why) in [
        (vec![update("a", "a"), open()], "which starts nothing of a `change_desk`"),
        (vec![update("a", "open"), open()], "which does not come before it"),
        (
            vec![open(), update("a", "open"), update("b", "a")],
            "which starts nothing of a `change_desk`",
        ),
    ] {
        let errors = registry.check(&plan(steps)).unwrap_err();
        assert!(errors[0].problem.contains(why), "{errors:?}");
    }
    let mut taken_back = open();
    let back = json!({ "step": "open", "state": "failed" });
    let action = Action::Custom { capability: "change_desk.update".into(), input: back };
    let phase = release_core::plan::UndoPhase::default();
    taken_back.undo = Undo::Compensate(vec![release_core::plan::Compensation { action, phase }]);
    assert_eq!(registry.check(&plan(vec![taken_back, update("a", "open")])), Ok(()));
}
