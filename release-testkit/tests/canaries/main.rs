//! 10,000 runs over providers that say every secret they know: none is in events, logs, plans, errors, panics, reports.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![expect(clippy::indexing_slicing, reason = "providers that do it wrong, and tables of constants")]

mod chance;
mod leaky;
mod listener;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use release_core::engine::{Engine, Settled};
use release_core::journal::{Journal as _, MemoryJournal};
use release_core::plan::{
    Action, Compensation, EdgeKind, Place, Plan, RetryPolicy, Step, StepScope, Undo, UndoPhase,
};
use release_core::port::Performer as _;
use release_core::report::RunReport;
use release_core::time::Span;
use release_providers::layer::{Layers, Redactor};
use release_providers::{ProviderSelector, Registry, Secret};
use release_testkit::fakes::{FakeFleet, Weather};
use release_testkit::{VirtualClock, fixtures};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::leaky::{Leaks, Shared, leaky};
use crate::listener::Listener;

/// As nobody should choose them, and as some are: with quotes, line ends and in another alphabet.
const CANARIES: [&str; 4] = [
    "canary-plain-1b2c",
    "canary \"quoted\\\" 77",
    "-----BEGIN canary-\n-key-9c\n-----END",
    "канарейка-ключ",
];

fn operation(chance: &Chance, digest: &Value) -> (&'static str, Value) {
    let all: &[(&str, Value)] = &[
        (
            "build_runner.start",
            json!({ "repository": FakeFleet::REPOSITORY, "revision": "c0ffee", "recipe": "release" }),
        ),
        (
            "test_runner.start",
            json!({ "suite": "passes", "artifact": fixtures::artifact("api", "1.0.0") }),
        ),
        (
            "scanner.start",
            json!({ "artifact": fixtures::artifact("api", "1.0.0"), "kind": "vulnerabilities" }),
        ),
        (
            "provisioner.plan",
            json!({ "workspace": FakeFleet::WORKSPACE, "declared": { "db": { "size": 1 } } }),
        ),
        ("provisioner.destroy", json!({ "workspace": FakeFleet::WORKSPACE })),
        ("config_source.read", json!({ "environment": "staging" })),
        ("secret_store.lease", json!({ "secret": FakeFleet::SECRET, "ttl": "10m" })),
        ("secret_store.rotate", json!({ "secret": FakeFleet::SECRET })),
        (
            "migrator.expand",
            json!({ "target": fixtures::target("db"), "migration": FakeFleet::MIGRATION }),
        ),
        (
            "flag_store.set",
            json!({ "flag": FakeFleet::FLAG, "environment": "staging", "state": { "state": "on" } }),
        ),
        ("change_desk.open", json!({ "kind": "normal", "summary": "api", "plan": digest })),
        ("incident_source.list", json!({ "since": "2026-01-01T00:00:00Z" })),
        ("clock_source.read", json!({})),
        (FakeFleet::CUSTOM, json!({ "for": "a test" })),
    ];
    all[chance.below(all.len())].clone()
}

fn action(chance: &Chance) -> Action {
    let digest = serde_json::to_value(release_core::model::Digest::of(b"plan")).unwrap();
    if chance.one_in(8) {
        return Action::Notify { channel: fixtures::literal("releases"), message: "hello".into() };
    }
    let (capability, input) = operation(chance, &digest);
    Action::Custom { capability: capability.into(), input }
}

fn plan(chance: &Chance) -> Plan {
    let mut plan = Plan::builder(fixtures::literal("t"), fixtures::literal("r"));
    for index in 0..u32::try_from(2 + chance.below(4)).unwrap() {
        let undo = if chance.one_in(2) {
            Undo::Compensate(vec![Compensation {
                action: action(chance),
                phase: UndoPhase::default(),
            }])
        } else {
            Undo::point_of_no_return("a test", "lead".parse().unwrap())
        };
        let mut step =
            Step::new(fixtures::literal(&format!("s{index}")), action(chance)).undo(undo);
        step.scope = StepScope::of(Place::new(fixtures::literal("staging")));
        (step.retry, step.timeout) = (RetryPolicy::attempts(2), Span::secs(5));
        plan.step(step);
        if index > 0 && chance.one_in(2) {
            plan.edge(index - 1, index, EdgeKind::Order);
        }
    }
    plan.build().unwrap()
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

thread_local! {
    /// What this thread's run does with panics: the hook itself is of the whole process.
    static PANICS: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

fn hook_by_thread() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.with_borrow(|hook| hook.as_ref().unwrap_or(&default)(info));
    }));
}

/// One run, and every text that is left of it.
fn run(seed: u64, leaks: &Arc<Leaks>, listener: &Listener) -> (Redactor, String) {
    let chance = Chance::of(seed);
    let clock = Arc::new(VirtualClock::new());
    let fleet = FakeFleet::on(Arc::clone(&clock), Weather::new(seed));
    let credential = fleet.access().credential().clone();
    let canaries: Vec<String> =
        CANARIES.iter().copied().chain([credential.expose()]).map(str::to_owned).collect();
    let redactor = Redactor::new(canaries.iter().map(Secret::new));
    let plan = plan(&chance);
    let (leaks, describes) = (Arc::clone(leaks), chance.one_in(4));
    let shared = Arc::new(Shared { chance, canaries, leaks, describes });
    let layers = Layers::new(clock.clone()).redacting(redactor.clone());
    let builder = Registry::builder(clock.clone()).layers(layers);
    let registry = leaky(&fleet, &shared)
        .into_iter()
        .fold(builder, |builder, one| builder.provider(ProviderSelector::everywhere(), one))
        .build()
        .unwrap();
    let mut text = format!("{:?}", registry.bindings());
    registry.check(&plan).unwrap();
    let journal = Arc::new(MemoryJournal::new());
    let engine =
        Engine::builder(Arc::clone(&journal) as _, Arc::new(registry)).clock(clock.clone()).build();
    let name: release_core::model::RunId = fixtures::literal("r-1");
    let work = async {
        let handle = engine.start(name.clone(), plan.clone(), fixtures::requester()).await.unwrap();
        let (Settled::Finished(_) | Settled::NeedsPerson(_)) = handle.settled().await.unwrap();
        engine.load(&name).await.unwrap()
    };
    PANICS.set(Some(redactor.panic_hook()));
    let ended = clock.run(work);
    drop(PANICS.take());
    let (history, frozen) = ended.unwrap();
    for fact in history.facts() {
        writeln!(text, "{}\n{:?}", serde_json::to_string(&fact.event).unwrap(), fact.event)
            .unwrap();
    }
    for head in clock.run(journal.heads()).unwrap().unwrap() {
        writeln!(text, "{head:?}").unwrap();
    }
    writeln!(text, "{}\n{}", serde_json::to_string(&plan).unwrap(), plan.to_mermaid()).unwrap();
    let report = RunReport::new(&history, frozen).unwrap();
    writeln!(text, "{report:?}").unwrap();
    text.push_str(&release_core::report::html("a run", &[], &[report]));
    text.push_str(&listener.take());
    (redactor, text)
}

/// Runs of every `of`th seed from `first` on. Returns how much was hidden.
fn share(first: u64, of: u64, leaks: &Arc<Leaks>) -> usize {
    let (listener, mut hidden) = (Listener::default(), 0);
    tracing::subscriber::with_default(listener.clone(), || {
        for seed in (first..10_000).step_by(usize::try_from(of).unwrap()) {
            let (redactor, text) = run(seed, leaks, &listener);
            // What is escaped for JSON or Debug is found as well; for HTML, by its parts without quotes.
            let leaking =
                text.lines().filter_map(|line| redactor.redact(line).map(|clean| (line, clean)));
            let leaking: Vec<_> = leaking.collect();
            assert!(leaking.is_empty(), "seed {seed}: {leaking:#?}");
            assert_eq!(redactor.redact(&text), None, "seed {seed}");
            for part in ["canary", "канарейка"] {
                assert!(!text.contains(part), "seed {seed}: {part}");
            }
            hidden += text.matches("***").count();
        }
    });
    hidden
}

#[test]
fn f40_no_secret_is_left_in_anything_of_ten_thousand_runs() {
    hook_by_thread();
    let leaks = Arc::new(Leaks::default());
    let threads = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let hidden: usize = std::thread::scope(|scope| {
        let leaks = &leaks;
        let shares: Vec<_> =
            (0..threads).map(|first| scope.spawn(move || share(first, threads, leaks))).collect();
        shares.into_iter().map(|share| share.join().unwrap()).sum()
    });
    let Leaks { errors, panics, answers, descriptions } = &*leaks;
    let [errors, panics, answers, descriptions] =
        [errors, panics, answers, descriptions].map(|count| count.load(Ordering::Relaxed));
    assert!(errors > 5_000 && panics > 1_000 && answers > 1_000, "{errors} {panics} {answers}");
    assert!(descriptions > 2_000, "{descriptions}");
    assert!(hidden > 10_000, "{hidden}");
}

#[test]
fn f40_a_plan_with_a_known_secret_in_it_is_refused() {
    let clock = Arc::new(VirtualClock::new());
    let fleet = FakeFleet::on(Arc::clone(&clock), Weather::new(0));
    let layers = Layers::new(clock.clone()).redacting(Redactor::new(CANARIES.map(Secret::new)));
    let registry = fleet.register(Registry::builder(clock).layers(layers)).build().unwrap();
    for canary in CANARIES {
        let mut builder = Plan::builder(fixtures::literal("t"), fixtures::literal("r"));
        let action = Action::Custom {
            capability: FakeFleet::CUSTOM.into(),
            input: json!({ "with": [canary] }),
        };
        let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
        builder.step(Step::new(fixtures::literal("s"), action).undo(undo));
        let errors = registry.check(&builder.build().unwrap()).unwrap_err();
        assert!(errors[0].problem.starts_with("a secret stands in it"), "{errors:?}");
        assert!(!format!("{errors:?}").contains("canary"), "{errors:?}");
    }
}
