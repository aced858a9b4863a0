//! Plugins that break, hang, flood and lie. Each test shows that the host survives, that the calls of another
//! plugin go on, what the call is worth, what the events tell, and that no process is left.

use release_core::model::{ArtifactRef, Span};
use release_core::port::EffectCertainty;
use release_providers::plugin::HandshakeError;
use release_providers::plugin::host::{Plugin, PluginProblem, PluginState, Revocations};
use release_providers::spi::{
    ApplyRequest, Deployer, DeploymentPhase, DeploymentStatus, ObserveDeployment,
};
use release_providers::{ErrorKind, ProviderError};
use semver::Version;

use super::support::{HOSTILE, ORDINARY, Stage, digest, target, tell};

const CANARY: &str = "canary-7f3a90";

async fn observe(
    deployer: &dyn Deployer,
    stage: &Stage,
) -> Result<DeploymentStatus, ProviderError> {
    deployer.observe(&stage.calm(), ObserveDeployment::new(target(), digest())).await
}

async fn apply(deployer: &dyn Deployer, stage: &Stage) -> Result<(), ProviderError> {
    let artifact = ArtifactRef::new("shop/api".parse().unwrap(), digest());
    let wish = ApplyRequest::new(target(), artifact, Version::new(1, 2, 3), 3);
    deployer.apply(&stage.calm(), wish).await
}

#[track_caller]
fn check(error: &ProviderError, kind: ErrorKind, effect: EffectCertainty) {
    assert_eq!((error.kind(), error.effect()), (kind, effect), "{error}");
}

/// The plugin is gone by itself, and the next call finds a new one.
async fn is_gone_and_comes_back(stage: &Stage, plugin: &Plugin, error: &ProviderError) {
    check(error, ErrorKind::Unavailable, EffectCertainty::Unknown);
    stage.event("hostile crashed");
    assert_eq!(stage.left(), Vec::<i32>::new());
    assert_eq!(plugin.state(), PluginState::Restarting);
    let error = tell(&plugin.notifier().unwrap(), &stage.calm(), "again").await.unwrap_err();
    check(&error, ErrorKind::Unavailable, EffectCertainty::Unknown);
    stage.happened("hostile loaded", 2).await;
    stage.happened("hostile crashed", 2).await;
    assert_eq!(stage.left(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f36_a_panic_is_an_error_of_the_call_alone() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let (notifier, pid) = (plugin.notifier().unwrap(), plugin.pid());
    let error = stage.beside(tell(&notifier, &stage.calm(), "panic")).await.unwrap_err();
    check(&error, ErrorKind::Internal, EffectCertainty::Unknown);
    tell(&notifier, &stage.calm(), "hello").await.unwrap();
    assert_eq!(plugin.pid(), pid);
    plugin.shutdown().await;
    assert_eq!(stage.left(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f36_a_plugin_that_dies_leaves_an_unknown_outcome_and_is_restarted() {
    for (mode, exit) in [("abort", "crashed signal: 6"), ("mid-write", "crashed exit status: 0")] {
        let stage = Stage::new();
        let plugin = stage.start(stage.hostile(mode)).await.unwrap();
        let notifier = plugin.notifier().unwrap();
        let error = stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap_err();
        assert!(stage.event("hostile crashed").contains(exit), "{:?}", stage.events());
        is_gone_and_comes_back(&stage, &plugin, &error).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f36_all_calls_under_way_learn_of_a_death() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let notifier = plugin.notifier().unwrap();
    let cx = stage.calm();
    let waiting = futures_util::future::join_all((0..20).map(|_| tell(&notifier, &cx, "wait")));
    let (answers, ()) = tokio::join!(waiting, async {
        tell(&notifier, &stage.calm(), "they are under way").await.unwrap();
        let pid = rustix::process::Pid::from_raw(plugin.pid().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    });
    for answer in answers {
        check(&answer.unwrap_err(), ErrorKind::Unavailable, EffectCertainty::Unknown);
    }
    tell(&notifier, &stage.calm(), "hello").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_call_that_hangs_is_killed_with_its_group_after_deadline_and_grace() {
    for mode in ["hang", "trickle", "freeze"] {
        let stage = Stage::new();
        let plugin = stage.start(stage.hostile(mode)).await.unwrap();
        let notifier = plugin.notifier().unwrap();
        let work = async {
            let cx = stage.cx(Span::millis(300));
            (tell(&notifier, &cx, "x").await.unwrap_err(), cx)
        };
        let (error, cx) = stage.beside(work).await;
        check(&error, ErrorKind::Timeout, EffectCertainty::Unknown);
        assert_eq!(stage.event("hostile hung"), "hostile hung notifier.notify", "{mode}");
        assert_eq!(stage.left(), Vec::<i32>::new());
        assert!(stage.clock_is_past(&cx, Span::millis(300)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_who_cancels_waits_for_the_grace_alone_and_the_deadline_still_holds() {
    let stage = Stage::new();
    let (plugin, called) = stage.hanging().await;
    let notifier = plugin.notifier().unwrap();
    let cx = stage.cx(Span::secs(3));
    let (waiting, ()) = tokio::join!(tell(&notifier, &cx, "x"), async {
        stage.eventually("it is called", || called.exists()).await;
        cx.cancellation.cancel();
    });
    check(&waiting.unwrap_err(), ErrorKind::Cancelled, EffectCertainty::Unknown);
    assert_eq!(plugin.state(), PluginState::Running);
    stage.happened("hostile hung", 1).await;
    assert!(stage.clock_is_past(&cx, Span::ZERO));
    assert_eq!(stage.left(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_caller_that_is_gone_does_not_hide_a_hang() {
    let stage = Stage::new();
    let (plugin, called) = stage.hanging().await;
    let notifier = plugin.notifier().unwrap();
    let cx = stage.cx(Span::secs(2));
    tokio::select! {
        _ = tell(&notifier, &cx, "x") => panic!("it hangs"),
        () = stage.eventually("it is called", || called.exists()) => {} // the call is dropped
    }
    stage.happened("hostile hung", 1).await;
    assert_eq!(stage.left(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_frozen_plugin_is_found_out_without_a_call() {
    let stage = Stage::new();
    let mut spec = stage.hostile("good");
    spec.missed_looks = 2;
    let plugin = stage.start(spec).await.unwrap();
    let pid = rustix::process::Pid::from_raw(plugin.pid().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    stage.beside(stage.happened("hostile hung a look at its health", 1)).await;
    assert_eq!(stage.left(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_plugin_that_ignores_every_request_to_end_is_killed() {
    let stage = Stage::new();
    // A signal that is ignored stays ignored by what the shell becomes.
    let text = format!("#!/bin/sh\ntrap '' TERM INT HUP\nexec {HOSTILE} good\n");
    let plugin = stage.start(stage.script("stubborn", &text)).await.unwrap();
    tell(&plugin.notifier().unwrap(), &stage.calm(), "hello").await.unwrap();
    stage.beside(plugin.shutdown()).await;
    assert_eq!(stage.event("stubborn stopped"), "stubborn stopped signal: 9 (SIGKILL)");
    assert_eq!(stage.left(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_memory_is_limited() {
    let stage = Stage::new();
    let mut spec = stage.hostile("memory");
    spec.limits.memory = Some(512 << 20);
    let plugin = stage.start(spec).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    let error = stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap_err();
    let crash = stage.event("hostile crashed");
    assert!(crash.contains("memory allocation"), "{crash}");
    is_gone_and_comes_back(&stage, &plugin, &error).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_processes_are_counted_and_none_escapes() {
    let stage = Stage::new();
    let mut spec = stage.hostile("fork");
    spec.limits.processes = Some(20);
    let plugin = stage.start(spec).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    let error = stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap_err();
    check(&error, ErrorKind::Unavailable, EffectCertainty::Unknown);
    let fault = stage.event("hostile fault");
    assert!(fault.contains("processes, and may have 20"), "{fault}");
    assert_eq!(stage.left(), Vec::<i32>::new(), "half of them had left the group");
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_answers_are_limited() {
    let stage = Stage::new();
    let plugin = stage.start(stage.hostile("oversized")).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    let error = stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap_err();
    check(&error, ErrorKind::Internal, EffectCertainty::Unknown);
    assert!(stage.event("hostile fault").contains("OutOfRange"), "{:?}", stage.events());
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_flood_on_its_output_holds_nobody_up() {
    let stage = Stage::new();
    let plugin = stage.start(stage.hostile("noise").secret_env("SECRET", CANARY)).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap();
    plugin.shutdown().await;
    assert_eq!(stage.left(), Vec::<i32>::new());
}

/// How it is with what a plugin says instead of a handshake.
#[tokio::test(flavor = "multi_thread")]
async fn f39_what_is_no_handshake_starts_nothing() {
    type Refusal = fn(&PluginProblem) -> bool;
    let table: &[(&str, Refusal)] = &[
        ("garbage", |e| matches!(e, PluginProblem::Handshake(HandshakeError::Garbage { .. }))),
        ("endless-line", |e| matches!(e, PluginProblem::Handshake(HandshakeError::None))),
        ("silent", |e| matches!(e, PluginProblem::NotReady { .. })),
        ("quit", |e| matches!(e, PluginProblem::Ended { exit, .. } if exit == "exit status: 7")),
        ("old-core", |e| matches!(e, PluginProblem::Handshake(HandshakeError::Core { found: 2 }))),
        ("version", |e| matches!(e, PluginProblem::Handshake(HandshakeError::Version { .. }))),
        ("tcp", |e| matches!(e, PluginProblem::Handshake(HandshakeError::Transport { .. }))),
        ("elsewhere", |e| matches!(e, PluginProblem::Handshake(HandshakeError::Socket { .. }))),
        ("no-socket", |e| matches!(e, PluginProblem::Handshake(HandshakeError::Socket { .. }))),
        ("no-token", |e| matches!(e, PluginProblem::NoTokenCheck)),
        ("bad-manifest", |e| matches!(e, PluginProblem::Manifest(_))),
        ("large-manifest", |e| e.to_string().contains("is longer than 65536 bytes")),
    ];
    let stage = Stage::new();
    let refusals = async {
        for (mode, is) in table {
            let mut spec = stage.hostile(mode);
            spec.name = (*mode).to_owned();
            if *mode == "silent" {
                spec.start_timeout = Span::millis(500);
            }
            let error = stage.start(spec).await.unwrap_err();
            assert!(is(error.problem()), "{mode}: {error:?}");
            assert_eq!(error.plugin(), *mode);
            stage.event(&format!("{mode} start-failed {}", error.problem()));
        }
    };
    stage.beside(Box::pin(refusals)).await;
    assert_eq!(stage.left(), Vec::<i32>::new());
    assert_eq!(stage.directories(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_answers_that_break_the_contract_are_not_believed() {
    for (mode, fault) in [
        ("wrong-id", "is for another call, `9-9999`"),
        ("neither", "has neither a result nor an error"),
        ("nonsense", "breaks the contract"),
        ("status", "the gRPC status Internal"),
        ("garbage-frames", "the connection broke"),
    ] {
        let stage = Stage::new();
        let plugin = stage.start(stage.hostile(mode).secret_env("SECRET", CANARY)).await.unwrap();
        let deployer = plugin.deployer().unwrap();
        let error = stage.beside(observe(&*deployer, &stage)).await.unwrap_err();
        check(&error, ErrorKind::Internal, EffectCertainty::Unknown);
        assert!(error.to_string().contains("not to be believed"), "{error}");
        assert!(stage.event("hostile fault").contains(fault), "{:?}", stage.events());
        plugin.shutdown().await;
        assert_eq!(stage.left(), Vec::<i32>::new());
        assert!(!format!("{:?} {error}", stage.events()).contains(CANARY));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_a_method_that_is_promised_and_not_there_is_a_fault() {
    let stage = Stage::new();
    let plugin = stage.start(stage.hostile("no-method")).await.unwrap();
    let error = apply(&*plugin.deployer().unwrap(), &stage).await.unwrap_err();
    check(&error, ErrorKind::Unsupported, EffectCertainty::Unknown);
    assert!(stage.event("hostile fault").contains("Unimplemented"));
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_an_answer_that_is_replayed_is_found_out() {
    let stage = Stage::new();
    let plugin = stage.start(stage.hostile("replay")).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    tell(&notifier, &stage.calm(), "first").await.unwrap();
    let error = stage.beside(tell(&notifier, &stage.calm(), "second")).await.unwrap_err();
    check(&error, ErrorKind::Internal, EffectCertainty::Unknown);
    assert!(stage.event("hostile fault").contains("that of an earlier call"));
}

/// Nobody can tell a success that is none from the answer; that is what `observe` is for.
#[tokio::test(flavor = "multi_thread")]
async fn f39_a_success_that_is_none_is_found_by_looking() {
    let stage = Stage::new();
    let plugin = stage.start(stage.hostile("lies")).await.unwrap();
    let deployer = plugin.deployer().unwrap();
    let status = stage.beside(async {
        apply(&*deployer, &stage).await.unwrap();
        observe(&*deployer, &stage).await.unwrap()
    });
    let status = status.await;
    assert_eq!((status.desired, status.running), (None, 0), "it says itself that nothing runs");
    assert_eq!((status.target, status.digest), (target(), digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_after_so_many_faults_a_plugin_is_in_quarantine_until_it_is_released() {
    let stage = Stage::new();
    let mut spec = stage.hostile("abort");
    spec.restarts.faults = 3;
    let plugin = stage.start(spec).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    for _ in 0..3 {
        let error = tell(&notifier, &stage.calm(), "x").await.unwrap_err();
        check(&error, ErrorKind::Unavailable, EffectCertainty::Unknown);
    }
    assert_eq!(stage.event("hostile quarantined"), "hostile quarantined 3");
    assert_eq!((plugin.state(), stage.left()), (PluginState::Quarantined, vec![]));
    let error = stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap_err();
    check(&error, ErrorKind::Unavailable, EffectCertainty::NotApplied);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("quarantine after 3 faults"), "{cause}");
    assert!(plugin.release() && !plugin.release());
    let error = tell(&notifier, &stage.calm(), "x").await.unwrap_err();
    check(&error, ErrorKind::Unavailable, EffectCertainty::Unknown);
    stage.event("hostile released");
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_answers_that_are_not_believed_lead_to_quarantine_too() {
    let stage = Stage::new();
    let mut spec = stage.hostile("wrong-id");
    spec.restarts.faults = 2;
    let plugin = stage.start(spec).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    for _ in 0..2 {
        tell(&notifier, &stage.calm(), "x").await.unwrap_err();
    }
    assert_eq!(plugin.state(), PluginState::Quarantined);
    stage.event("hostile quarantined");
    plugin.shutdown().await;
    stage.all_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_a_plugin_that_is_another_after_a_restart_is_refused() {
    let stage = Stage::new();
    let met = stage.directory.path().join("met");
    let spec = stage.hostile("two-faced").env("STATE", met.display().to_string());
    let plugin = stage.start(spec).await.unwrap();
    let pid = rustix::process::Pid::from_raw(plugin.pid().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    stage.happened("hostile crashed", 1).await;
    let notifier = plugin.notifier().unwrap();
    let error = stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap_err();
    check(&error, ErrorKind::Internal, EffectCertainty::NotApplied);
    assert!(stage.event("hostile start-failed").contains("other things of itself"));
    stage.all_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f40_secrets_in_errors_and_output_reach_nobody() {
    let stage = Stage::new();
    let plugin = stage.start(stage.hostile("secret").secret_env("SECRET", CANARY)).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    let error = stage.beside(tell(&notifier, &stage.calm(), "x")).await.unwrap_err();
    check(&error, ErrorKind::Denied, EffectCertainty::NotApplied);
    assert_eq!(error.context("plugin"), Some("hostile"));
    assert!(
        error.to_string().starts_with("notifier.notify: denied for ***[2J with ***, "),
        "{error}"
    );
    let all = format!("{error:?} {error} {:?} {plugin:?} {notifier:?}", stage.events());
    assert!(!all.contains(CANARY), "{all}");
}

/// What a plugin says of itself is told to everybody: with a secret in it, it is not started.
#[tokio::test(flavor = "multi_thread")]
async fn f40_a_secret_in_a_manifest_starts_nothing_and_is_told_to_nobody() {
    let stage = Stage::new();
    let spec = stage.hostile("secret-in-manifest").secret_env("SECRET", CANARY);
    let error = stage.beside(stage.start(spec)).await.unwrap_err();
    let said = "`deployer.config_schema` holds a secret; take it out";
    assert!(error.to_string().contains(said), "{error}");
    let all = format!("{error:?} {error} {:?}", stage.events());
    assert!(!all.contains(CANARY), "{all}");
    assert_eq!(stage.left(), Vec::<i32>::new());
}

/// An answer goes into the journal: what the plugin was given in secret is taken out of it.
#[tokio::test(flavor = "multi_thread")]
async fn f40_secrets_in_answers_reach_nobody() {
    let stage = Stage::new();
    let spec = stage.hostile("secret-in-answer").secret_env("SECRET", CANARY);
    let plugin = stage.start(spec).await.unwrap();
    let status = stage.beside(observe(&*plugin.deployer().unwrap(), &stage)).await.unwrap();
    assert_eq!(status.phase, DeploymentPhase::Failed { reason: "401 for ***".into() });
    assert_eq!((status.target, status.digest), (target(), digest()), "all else is as it was");
}

/// A plugin's file that is replaced after the start is not started again.
#[tokio::test(flavor = "multi_thread")]
async fn f39_another_content_is_not_started_again() {
    let stage = Stage::new();
    let text = format!("#!/bin/sh\nexec {ORDINARY}\n");
    let spec = stage.script("swapped", &text);
    let path = spec.path.clone();
    let plugin = stage.start(spec).await.unwrap();
    std::fs::write(&path, format!("{text}# and more\n")).unwrap();
    let pid = rustix::process::Pid::from_raw(plugin.pid().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    stage.happened("swapped crashed", 1).await;
    let error = tell(&plugin.notifier().unwrap(), &stage.calm(), "x").await.unwrap_err();
    check(&error, ErrorKind::Corrupt, EffectCertainty::NotApplied);
    assert!(stage.event("swapped start-failed").contains("is pinned"));
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_who_escapes_with_the_streams_of_a_plugin_that_does_not_start_holds_nobody_up() {
    let stage = Stage::new();
    let file = stage.directory.path().join("escaped");
    let escape = format!("setsid env -i sleep 600 & echo $! > {}", file.display());
    let escape =
        escape + "\nwhile read -r name < /proc/$!/comm && [ \"$name\" != sleep ]; do :; done";
    let spec = stage.script("escape", &format!("#!/bin/sh\n{escape}\necho no handshake\nexit 3\n"));
    stage.start(spec).await.unwrap_err();
    // It holds the streams still, and is not waited for.
    let pid: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert_eq!(command, "sleep\n");
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// A binary that is revoked runs no more, be it started already or not, and nobody else is touched.
#[tokio::test(flavor = "multi_thread")]
async fn f39_what_is_revoked_is_killed_and_not_started_again() {
    let revocations = Revocations::default();
    let mut stage = Stage::new();
    stage.host = stage.host.clone().revoking(revocations.clone());
    let plugin = stage.start(stage.hostile("good")).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    tell(&notifier, &stage.calm(), "hello").await.unwrap();
    let binary = stage.hostile("good").digest;
    let revoked = async {
        revocations.revoke(binary, "ACME-7: it sends mail");
        stage.happened("hostile fault its binary is revoked: ACME-7: it sends mail", 1).await;
        tell(&notifier, &stage.calm(), "x").await.unwrap_err()
    };
    let error = stage.beside(revoked).await;
    check(&error, ErrorKind::Unavailable, EffectCertainty::NotApplied);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("is revoked: ACME-7: it sends mail; pin another release"), "{cause}");
    let error = stage.start(stage.hostile("good")).await.unwrap_err();
    assert!(matches!(error.problem(), PluginProblem::Revoked { .. }), "{error:?}");
    assert_eq!(stage.left(), Vec::<i32>::new());
}
