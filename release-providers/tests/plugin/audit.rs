//! Runs over plugins that break: the engine lives, a run over another plugin succeeds beside each of them, and the
//! journal says what became of the step, and the host's trail what the plugin did, both without the plugin's secret.

use std::sync::Arc;

use release_core::engine::{Engine, Settled};
use release_core::journal::MemoryJournal;
use release_core::model::{ArtifactRef, Principal, RunId, Span};
use release_core::plan::{Action, Deployment, Place, Plan, RetryPolicy, Step, StepScope, Undo};
use release_core::run::Outcome;
use release_providers::plugin::host::{Plugin, PluginSpec};
use release_providers::spi::{Deployer, Notifier};
use release_providers::{ProviderSelector, Registry};

use super::support::{Stage, digest, target};

const CANARY: &str = "canary-5b1e77";

/// What a run asks of a plugin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Once,
    Twice,
    ForInstances,
}

/// How a run over a plugin that is so ends: well, or with these words in the journal; and with which line in the trail.
struct Row {
    mode: &'static str,
    asks: Asks,
    says: &'static [&'static str],
    trail: &'static str,
}

const fn row(
    mode: &'static str,
    asks: Asks,
    says: &'static [&'static str],
    trail: &'static str,
) -> Row {
    Row { mode, asks, says, trail }
}

/// What the trail has of a plugin that answers, whatever it answers.
const ASKED: &str = "hostile stopped ";

const ROWS: &[Row] = &[
    row("panic", Asks::Once, &["the provider panicked", "standard error says where"], ASKED),
    row(
        "abort",
        Asks::Once,
        &["the plugin ended during the call", "signal: 6"],
        "hostile crashed signal: 6",
    ),
    row(
        "mid-write",
        Asks::Once,
        &["the plugin ended during the call", "exit status: 0"],
        "hostile crashed exit status: 0",
    ),
    row("hang", Asks::Once, &["outcome_unknown", "no answer "], "hostile hung notifier.notify"),
    row("trickle", Asks::Once, &["outcome_unknown", "no answer "], "hostile hung "),
    row("freeze", Asks::Once, &["outcome_unknown", "no answer "], "hostile hung notifier.notify"),
    row(
        "memory",
        Asks::Once,
        &["the plugin ended during the call", "signal: 6"],
        "hostile crashed signal: 6",
    ),
    row(
        "fork",
        Asks::Once,
        &["the plugin was killed during the call", "and may have 20"],
        "hostile fault it has ",
    ),
    row(
        "oversized",
        Asks::Once,
        &["not to be believed", "OutOfRange"],
        "hostile fault `notifier.notify` ended with the gRPC status OutOfRange",
    ),
    row(
        "wrong-id",
        Asks::Once,
        &["not to be believed", "is for another call, `9-9999`"],
        "hostile fault the answer to `notifier.notify` is for another call, `9-9999`",
    ),
    row(
        "replay",
        Asks::Twice,
        &["not to be believed", "that of an earlier call"],
        "hostile fault the answer to `notifier.notify` is that of an earlier call",
    ),
    row(
        "neither",
        Asks::Once,
        &["not to be believed", "neither a result nor an error"],
        "hostile fault the answer to `notifier.notify` breaks the contract",
    ),
    row(
        "nonsense",
        Asks::ForInstances,
        &["not to be believed", "breaks the contract"],
        "hostile fault the answer to `deployer.",
    ),
    row(
        "status",
        Asks::Once,
        &["not to be believed", "the gRPC status Internal"],
        "hostile fault `notifier.notify` ended with the gRPC status Internal",
    ),
    row(
        "garbage-frames",
        Asks::Once,
        &["not to be believed", "the connection broke"],
        "hostile fault the connection broke during `notifier.notify`",
    ),
    row(
        "no-method",
        Asks::Once,
        &["the plugin does not have this method"],
        "hostile fault `notifier.notify` ended with the gRPC status Unimplemented",
    ),
    row("secret", Asks::Once, &["denied", "***"], ASKED),
    row("lies", Asks::ForInstances, &["outcome_unknown", "it has not taken effect"], ASKED),
    row("noise", Asks::Once, &[], ASKED),
];

fn step(id: &str, action: Action, timeout: Span) -> Step {
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    let mut step = Step::new(id.parse().unwrap(), action).undo(undo);
    step.scope = StepScope::of(Place::new("prod".parse().unwrap()));
    (step.retry, step.timeout) = (RetryPolicy::attempts(1), timeout);
    step
}

fn plan(asks: Asks, (channel, message): (&str, &str), timeout: Span) -> Plan {
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    let channel = channel.parse().unwrap();
    let message = Action::Notify { channel, message: message.into() };
    match asks {
        Asks::Once => {
            plan.step(step("tell", message, timeout));
        }
        Asks::Twice => {
            plan.step(step("tell", message.clone(), timeout));
            plan.step(step("tell-again", message, timeout));
        }
        Asks::ForInstances => {
            let artifact = ArtifactRef::new("shop/api".parse().unwrap(), digest());
            let version = semver::Version::new(1, 2, 3);
            let deployment = Deployment { target: target(), artifact, version };
            plan.step(step(
                "scale",
                Action::Scale {
                    deployment: deployment.into(),
                    replicas: 3,
                    apart: None,
                    metadata: None,
                },
                timeout,
            ));
        }
    }
    plan.build().unwrap()
}

fn spec(stage: &Stage, mode: &str) -> PluginSpec {
    let mut spec = match mode {
        "panic" => stage.spec("hostile", super::support::ORDINARY),
        mode => stage.hostile(mode),
    };
    let file = stage.directory.path().join("state");
    spec = spec.env("STATE", file.display().to_string()).secret_env("SECRET", CANARY);
    match mode {
        "memory" => spec.limits.memory = Some(512 << 20),
        "fork" => spec.limits.processes = Some(20),
        _ => {}
    }
    spec
}

/// Runs a plan, and gives how it ended and all that the journal has of it.
async fn run(engine: &Engine, id: &str, plan: Plan) -> (Settled, String) {
    let (run, robot): (RunId, _) = (id.parse().unwrap(), "tester".parse().unwrap());
    let handle = engine.start(run, plan, Principal::service(robot)).await.unwrap();
    let settled = handle.settled().await.unwrap();
    let (history, _) = engine.load(handle.run()).await.unwrap();
    let events: Vec<_> = history.facts().iter().map(|fact| &fact.event).collect();
    (settled, serde_json::to_string(&events).unwrap())
}

async fn check(Row { mode, asks, says, trail }: &Row) {
    let stage = Stage::new();
    let hostile = stage.start(spec(&stage, mode)).await.unwrap();
    let ordinary = stage.ordinary().await;
    let registry = registry(&stage, &hostile, &ordinary);
    let journal = Arc::new(MemoryJournal::new());
    let clock = Arc::clone(&stage.clock);
    let engine = Engine::builder(journal, Arc::new(registry)).clock(clock).build();
    let waits = matches!(*mode, "hang" | "trickle" | "freeze" | "lies");
    let timeout = if waits { Span::millis(500) } else { Span::secs(30) };

    let (ended, other) = tokio::join!(
        run(&engine, "hostile", plan(*asks, ("ops", mode), timeout)),
        run(&engine, "other", plan(Asks::Twice, ("calm", "hello"), Span::secs(30))),
    );
    let (settled, facts) = ended;
    assert_eq!(other.0, Settled::Finished(Outcome::Succeeded), "{mode}: {}", other.1);
    let well = settled == Settled::Finished(Outcome::Succeeded);
    assert_eq!(well, says.is_empty(), "{mode}: {settled:?}: {facts}");
    for word in *says {
        assert!(facts.contains(word), "{mode}: no `{word}` in {facts}");
    }
    assert!(!facts.contains(CANARY), "{mode}: {facts}");

    if *trail != ASKED {
        let told = || stage.events().iter().any(|event| event.starts_with(trail));
        stage.eventually(&format!("{mode}: {trail}"), told).await;
    }
    hostile.shutdown().await;
    ordinary.shutdown().await;
    assert_eq!(stage.left(), Vec::<i32>::new(), "{mode}");
    stage.event("hostile loaded sha256:");
    stage.event(trail); // which panics when there is none
    let kept = std::fs::read_to_string(stage.trail()).unwrap();
    assert!(!kept.contains(CANARY), "{mode}: {kept}");
}

fn registry(stage: &Stage, hostile: &Plugin, ordinary: &Plugin) -> Registry {
    let notifier = |plugin: &Plugin| -> Arc<dyn Notifier> { plugin.notifier().unwrap() };
    let mut builder = Registry::builder(stage.clock.clone())
        .notifier("ops".parse().unwrap(), notifier(hostile))
        .notifier("calm".parse().unwrap(), notifier(ordinary));
    if let Ok(deployer) = hostile.deployer() {
        let deployer: Arc<dyn Deployer> = deployer;
        builder = builder.deployer(ProviderSelector::everywhere(), deployer);
    }
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_the_journal_says_what_a_plugin_did() {
    futures_util::future::join_all(ROWS.iter().map(check)).await;
}
