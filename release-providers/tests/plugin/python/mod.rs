//! The example plugin in Python, `examples/plugins/python`, run by the host.

mod build;

use std::io::BufRead as _;
use std::process::{Command, Stdio};

use release_core::model::{EnvironmentId, Span};
use release_core::port::EffectCertainty;
use release_providers::plugin::host::PluginState;
use release_providers::spi::{FlagRef, FlagState, FlagStatus, SetFlag};
use release_providers::{EffectClass, ErrorKind};

use self::build::build;
use super::support::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_python_is_a_provider_like_any_other() {
    let stage = Stage::new();
    let Some(path) = build(stage.directory.path()) else { return };
    let mut spec = stage.spec("python", path).arg("prod/dark-mode");
    spec.stop_grace = Span::secs(20); // it ends by itself
    let plugin = stage.start(spec).await.unwrap();
    let (flags, cx) = (plugin.flag_store().unwrap(), stage.calm());
    let description = flags.describe();
    assert_eq!(
        (&*description.name, description.effects),
        ("python flags", EffectClass::Idempotent)
    );

    let prod: EnvironmentId = "prod".parse().unwrap();
    let set = |state| SetFlag::new("dark-mode".into(), prod.clone(), state);
    let which = |flag: &str| FlagRef::new(flag.into(), prod.clone());
    let status =
        |state, revision| FlagStatus::new("dark-mode".into(), prod.clone(), state, revision);
    assert_eq!(flags.observe(&cx, which("dark-mode")).await.unwrap(), status(FlagState::Off, 1));
    let share = FlagState::Share { percent: 25 };
    for (wish, revision) in [(share, 2), (share, 2), (FlagState::On, 3), (FlagState::Off, 4)] {
        flags.set(&cx, set(wish)).await.unwrap();
        assert_eq!(flags.observe(&cx, which("dark-mode")).await.unwrap(), status(wish, revision));
    }

    let mut only_if = set(FlagState::On);
    only_if.expected = Some(1);
    let too_much = set(FlagState::Share { percent: 101 });
    for (answer, kind, fact) in [
        (flags.set(&cx, only_if).await, ErrorKind::Conflict, Some(("revision", "4"))),
        (flags.set(&cx, too_much).await, ErrorKind::Invalid, None),
        (
            flags.observe(&cx, which("other")).await.map(drop),
            ErrorKind::NotFound,
            Some(("flag", "other")),
        ),
    ] {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, EffectCertainty::NotApplied), "{error}");
        assert_eq!(error.context("plugin"), Some("python"));
        if let Some((name, value)) = fact {
            assert_eq!(error.context(name), Some(value));
        }
    }

    plugin.shutdown().await;
    assert_eq!((plugin.state(), stage.left()), (PluginState::Stopped, vec![]));
    assert_eq!(stage.event("python stopped"), "python stopped exit status: 0");
}

/// Here the host is this test, by hand.
#[test]
fn a_plugin_in_python_ends_with_its_host() {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = build(directory.path()) else { return };
    let by_hand = Command::new(&path).env_clear().output().unwrap();
    let said = String::from_utf8_lossy(&by_hand.stderr);
    assert!(
        by_hand.status.code() == Some(1) && said.starts_with("this program is a plugin"),
        "{said}"
    );

    let mut child = Command::new(&path)
        .env_clear()
        .env("RELEASE_PLUGIN", release_providers::plugin::COOKIE.1)
        .env("PLUGIN_PROTOCOL_VERSIONS", "1")
        .env("PLUGIN_UNIX_SOCKET_DIR", directory.path())
        .env("RELEASE_PLUGIN_TOKEN", "t")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("1|1|unix|{}/plugin.sock|grpc\n", directory.path().display()));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
