//! What plugins can do when nothing goes wrong.

use release_core::model::{ArtifactRef, RunId, Span};
use release_core::plan::Weight;
use release_core::port::{EffectCertainty, Served};
use release_core::time::Timestamp;
use release_providers::plugin::host::{Host, Plugin, PluginProblem, PluginState};
use release_providers::spi::{
    ApplyRequest, CheckHealth, DeploymentPhase, DeploymentStatus, ObserveDeployment,
    ObserveTraffic, SetWeights, TrafficStatus,
};
use release_providers::{EffectClass, ErrorKind, Fencing, RetryAdvice};
use semver::Version;
use tokio_util::sync::CancellationToken;

use super::support::{HOSTILE, ORDINARY, Stage, digest, target, tell};

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_a_provider_like_any_other() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let cx = stage.calm();

    let deployer = plugin.deployer().unwrap();
    let description = deployer.describe();
    assert_eq!(
        (&*description.name, description.effects),
        ("memory deployer", EffectClass::Idempotent)
    );
    assert_eq!(description.abilities.deployer.fencing, Fencing::Epochs);
    assert_eq!(description.config_schema, serde_json::json!({ "type": "object" }));
    let artifact = ArtifactRef::new("shop/api".parse().unwrap(), digest()).with_tag("v1").unwrap();
    let version = Version::parse("1.2.3-rc.1").unwrap();
    let wish = ApplyRequest::new(target(), artifact, version.clone(), 3);
    deployer.apply(&cx, wish).await.unwrap();
    let status = deployer.observe(&cx, ObserveDeployment::new(target(), digest())).await.unwrap();
    let settled = DeploymentPhase::Settled;
    assert_eq!(status, DeploymentStatus::new(target(), digest(), Some(3), 3, settled));

    let router = plugin.traffic_router().unwrap();
    let error = router.observe(&cx, ObserveTraffic::new(target())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::NotFound, EffectCertainty::NotApplied));
    assert_eq!(error.context("target"), Some(&*target().to_string()));
    assert_eq!(error.context("plugin"), Some("ordinary"));
    let weights = vec![Weight::new(digest(), version, 100)];
    router.set_weights(&cx, SetWeights::new(target(), weights.clone())).await.unwrap();
    let status = router.observe(&cx, ObserveTraffic::new(target())).await.unwrap();
    let served = vec![Served::new(digest(), 7)];
    assert_eq!(status, TrafficStatus::new(target(), weights, served, 3));

    let probe = plugin.health_probe().unwrap();
    let report = probe.check(&cx, CheckHealth::new(target(), digest())).await.unwrap();
    let instances = report.instances.iter().map(|i| (&*i.instance, i.ready, &*i.detail));
    assert_eq!(instances.collect::<Vec<_>>(), [("a", true, "ok"), ("b", false, "starting")]);
    assert_eq!(report.observed_at, Timestamp::from_micros(-5));

    plugin.shutdown().await;
    assert_eq!((plugin.state(), stage.left()), (PluginState::Stopped, vec![]));
    assert_eq!(stage.directories(), Vec::<std::path::PathBuf>::new());
    assert_eq!(stage.event("ordinary stopped"), "ordinary stopped exit status: 0");
    let error = tell(&plugin.notifier().unwrap(), &cx, "x").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, EffectCertainty::NotApplied)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_is_told_and_answers_crosses_the_boundary() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let notifier = plugin.notifier().unwrap();
    let run: RunId = "run-7".parse().unwrap();
    let mut cx = stage.calm().in_run(run, 9);
    cx.attempt = 4;
    let error = tell(&notifier, &cx, "context").await.unwrap_err();
    assert!(error.to_string().contains("key-1 4 Some(RunId(run-7)) 9 tester"), "{error}");

    let error = tell(&notifier, &cx, "fail").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::RateLimited, EffectCertainty::Applied));
    assert_eq!(error.retry(), RetryAdvice::After(std::time::Duration::from_millis(1_500)));
    assert_eq!(error.context("quota"), Some("7"));
    assert!(error.to_string().starts_with("notifier.notify: slow down: 429, quota: 7"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_gets_nothing_but_what_it_is_given() {
    let stage = Stage::new();
    let mut spec = stage.spec("ordinary", ORDINARY).env("LEVEL", "info");
    spec.limits.memory = Some(3 << 30);
    spec.limits.cpu = Some(Span::secs(77));
    spec.limits.open_files = Some(99);
    let plugin = stage.start(spec).await.unwrap();
    let notifier = plugin.notifier().unwrap();
    let error = tell(&notifier, &stage.calm(), "environment").await.unwrap_err().to_string();
    let expected = "LEVEL PLUGIN_PROTOCOL_VERSIONS PLUGIN_TEST_MARK PLUGIN_UNIX_SOCKET_DIR \
                    RELEASE_PLUGIN RELEASE_PLUGIN_TOKEN; plugin.sock";
    assert!(error.contains(expected), "{error}");

    let error = tell(&notifier, &stage.calm(), "files").await.unwrap_err().to_string();
    let pipes = error.matches("pipe:").count();
    assert!(pipes == 4 && !error.contains(" /"), "stdin twice, stdout and stderr: {error}");

    let error = tell(&notifier, &stage.calm(), "limits").await.unwrap_err().to_string();
    let limits: Vec<&str> = error.split_ascii_whitespace().collect();
    let limits = limits.join(" ");
    for limit in [
        "Max cpu time 77 77",
        "Max core file size 0 0",
        "Max open files 99 99",
        "Max address space 3221225472 3221225472",
        "Max file size 1073741824 1073741824",
    ] {
        assert!(limits.contains(limit), "{limit}: {limits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellation_reaches_the_provider() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let notifier = plugin.notifier().unwrap();
    let mut cx = stage.calm();
    cx.cancellation = CancellationToken::new();
    cx.cancellation.cancel();
    let error = tell(&notifier, &cx, "hello").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Cancelled, EffectCertainty::NotApplied));

    // Often, since the plugin may hear of the end before it hears of the call.
    for _ in 0..50 {
        cx.cancellation = CancellationToken::new();
        let (waiting, ()) = tokio::join!(tell(&notifier, &cx, "wait"), async {
            tell(&notifier, &stage.calm(), "it is under way").await.unwrap();
            cx.cancellation.cancel();
        });
        // Its own answer, or that of the host when it was cancelled before it was sent: nothing was done.
        let error = waiting.unwrap_err();
        let (kind, effect) = (error.kind(), error.effect());
        assert_eq!((kind, effect), (ErrorKind::Cancelled, EffectCertainty::NotApplied), "{error}");
    }

    // A deadline is a cancellation by the host: the plugin answers, and lives.
    let pid = plugin.pid();
    let error = tell(&notifier, &stage.cx(Span::millis(100)), "wait").await.unwrap_err();
    assert!(error.to_string().contains("gave up as asked"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Timeout, "nobody cancelled it");
    let error = tell(&notifier, &stage.cx(Span::ZERO), "hello").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, EffectCertainty::NotApplied));
    assert_eq!(plugin.pid(), pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_lacks_is_named() {
    let stage = Stage::new();
    let plugin = stage.start(stage.hostile("good")).await.unwrap();
    let error = plugin.traffic_router().unwrap_err();
    assert!(
        matches!(error.problem(), PluginProblem::Lacks { has, .. } if has == &["deployer", "notifier"]),
        "{error}"
    );
    tell(&plugin.notifier().unwrap(), &stage.calm(), "hello").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_ends_the_plugin() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let notifier = plugin.notifier().unwrap();
    drop(plugin);
    tell(&notifier, &stage.calm(), "still here").await.unwrap();
    drop(notifier);
    stage.happened("ordinary stopped", 1).await;
    assert_eq!(stage.left(), Vec::<i32>::new());
}

/// Plugins are started by hosts.
#[test]
fn a_plugin_that_is_started_by_hand_says_so() {
    let output = std::process::Command::new(ORDINARY).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("this program is a plugin"), "{said}");
    assert!(output.stdout.is_empty());
}

/// When the host is gone, a plugin is too: here the host is this test, by hand.
#[test]
fn a_plugin_ends_with_its_host() {
    use std::io::BufRead as _;
    let directory = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(ORDINARY)
        .env_clear()
        .env("RELEASE_PLUGIN", release_providers::plugin::COOKIE.1)
        .env("PLUGIN_PROTOCOL_VERSIONS", "1")
        .env("PLUGIN_UNIX_SOCKET_DIR", directory.path())
        .env("RELEASE_PLUGIN_TOKEN", "t")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("1|1|unix|{}/plugin.sock|grpc\n", directory.path().display()));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn f39_only_the_pinned_content_is_started() {
    let stage = Stage::new();
    let mut spec = stage.spec("ordinary", ORDINARY);
    spec.digest = digest();
    let error = stage.start(spec).await.unwrap_err();
    assert!(matches!(error.problem(), PluginProblem::Digest { .. }), "{error}");
    stage.event("ordinary start-failed");

    let spec = stage.script("writable", "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o722);
    std::fs::set_permissions(&spec.path, mode).unwrap();
    let error = stage.start(spec).await.unwrap_err();
    assert!(matches!(error.problem(), PluginProblem::Writable { .. }), "{error}");

    let spec = stage.script("data", "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&spec.path, mode).unwrap();
    let error = stage.start(spec).await.unwrap_err();
    assert!(matches!(error.problem(), PluginProblem::NotExecutable { .. }), "{error}");

    let mut spec = stage.spec("ordinary", HOSTILE);
    spec.path = "target/nothing".into();
    let error = stage.start(spec).await.unwrap_err();
    assert!(matches!(error.problem(), PluginProblem::Open { path, .. } if path.is_absolute()));
    assert!(error.to_string().starts_with("the plugin `ordinary`: cannot read its"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("No such file"), "{cause}");
    assert_eq!(stage.left(), Vec::<i32>::new());
}

/// Sockets and tokens are in the host's directory: it is refused where others can make or move files.
#[tokio::test(flavor = "multi_thread")]
async fn f40_a_directory_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::new();
    let open = stage.directory.path().join("open");
    std::fs::create_dir(&open).unwrap();
    for (mode, is_fine) in [(0o777, false), (0o1777, false), (0o770, false), (0o755, true)] {
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(mode)).unwrap();
        let host = Host::new(stage.clock.clone(), &open);
        let started = Plugin::start(&host, stage.spec("ordinary", ORDINARY)).await;
        match started {
            Ok(plugin) => {
                assert!(is_fine, "{mode:o}");
                plugin.shutdown().await;
            }
            Err(error) => {
                let problem = error.problem();
                assert!(matches!(problem, PluginProblem::OpenDirectory { .. }), "{error}");
                assert!(!is_fine, "{mode:o}: {error}");
            }
        }
    }
    let host = Host::new(stage.clock.clone(), open.join("none"));
    let error = Plugin::start(&host, stage.spec("ordinary", ORDINARY)).await.unwrap_err();
    assert!(matches!(error.problem(), PluginProblem::NoDirectory { .. }), "{error}");
}
