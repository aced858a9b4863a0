//! A platform that ends leaves its instances running, and the next one takes them over.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use release_core::model::Target;
use release_providers::ErrorKind;
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::Deployer;

use crate::support::{
    World, cx, demo, deploy, eventually, get, kill, put, route, settled, share, slow, status,
    target, wish,
};

/// Opens a root whose last platform is just ending.
async fn reopen(config: &LocalConfig) -> LocalPlatform {
    let opened = std::cell::RefCell::new(None);
    eventually("the root is free", || async {
        match LocalPlatform::open(config.clone()).await {
            Ok(platform) => opened.replace(Some(platform)).is_none(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                false
            }
        }
    })
    .await;
    opened.into_inner().unwrap()
}

#[tokio::test]
async fn instances_outlive_a_dropped_platform_and_are_adopted() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let artifact = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 2).await;
    route(&platform, &eu, vec![share(&artifact, "1.0.0", 100)]).await.unwrap();
    let (pids, address) = (platform.processes(&eu, artifact.digest()), platform.address(&eu));
    drop(platform);
    assert_eq!(world.marked().len(), 2);

    let platform = reopen(&world.config()).await;
    assert_eq!(platform.processes(&eu, artifact.digest()), pids);
    assert_eq!(platform.address(&eu), address, "the same port again");
    let reply = get(address.unwrap(), "/").await;
    assert_eq!(reply.status, 200, "shares are back and adopted instances serve at once");
    settled(&platform, &eu, &artifact).await;
    assert_eq!(world.marked().len(), 2, "no second copy");

    // What was adopted is supervised: its end is seen, and it can be stopped.
    let before = world.marked();
    kill(*before.first().unwrap());
    eventually("a restart", || async { world.marked().len() == 2 && world.marked() != before })
        .await;
    platform.destroy().await.unwrap();
    assert_eq!(world.marked().len(), 0);
}

#[tokio::test]
async fn an_instance_whose_pid_was_never_written_is_found_by_its_mark() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let artifact = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 2).await;
    let pids = platform.processes(&eu, artifact.digest());
    platform.shutdown().await;
    for entry in std::fs::read_dir(world.root().join("instances")).unwrap() {
        let path = entry.unwrap().path();
        let mut record: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert!(record["process"].is_object());
        record["process"] = serde_json::Value::Null;
        record["ready"] = false.into();
        std::fs::write(&path, record.to_string()).unwrap();
    }
    let platform = world.open().await;
    assert_eq!(platform.processes(&eu, artifact.digest()), pids);
    settled(&platform, &eu, &artifact).await;
    assert_eq!(world.marked(), pids.into_values().collect());
    platform.destroy().await.unwrap();
    assert_eq!(world.marked().len(), 0);
}

#[tokio::test]
async fn what_died_meanwhile_is_replaced_and_what_is_nobodys_is_killed() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let artifact = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 2).await;
    let pids = platform.processes(&eu, artifact.digest());
    platform.shutdown().await;
    let (dead, stray) = (pids.values().next().unwrap(), pids.values().nth(1).unwrap());
    kill(*dead);
    // As if the record had been lost: nobody would ever stop that process.
    let id = pids.iter().find(|(_, pid)| *pid == stray).unwrap().0;
    std::fs::remove_file(world.root().join(format!("instances/{id}.json"))).unwrap();
    let platform = world.open().await;
    settled(&platform, &eu, &artifact).await;
    let now = platform.processes(&eu, artifact.digest());
    eventually("only new ones", || async { world.marked() == now.values().copied().collect() })
        .await;
    assert!(now.values().all(|pid| pid != dead && pid != stray) && now.len() == 2);
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn two_platforms_on_one_root_are_refused() {
    let world = World::default();
    let first = world.open().await;
    let error = LocalPlatform::open(world.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(error.context("root"), world.root().to_str());
    first.shutdown().await;
    let second = world.open().await; // at once: a shutdown gives the root back before it returns
    second.shutdown().await;
}

#[tokio::test]
async fn an_unreadable_record_is_an_error_that_names_it() {
    let world = World::default();
    let platform = world.open().await;
    let artifact = put(&platform, slow()).await;
    platform.apply(&cx("apply"), wish(&target("eu"), &artifact, "1.0.0", 0)).await.unwrap();
    platform.shutdown().await;
    let path = world.root().join("targets/prod@eu@api.json");
    std::fs::write(&path, "{}").unwrap();
    let error = LocalPlatform::open(world.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.context("path"), path.to_str());
}

const ROOT_VARIABLE: &str = "LOCAL_TEST_ROOT";

/// The orchestrator that is killed.
async fn orchestrator(root: std::path::PathBuf) {
    let config = LocalConfig::new(root, std::sync::Arc::new(crate::support::WallClock));
    let platform = LocalPlatform::open(config).await.unwrap();
    let eu: Target = target("eu");
    let artifact = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 3).await;
    route(&platform, &eu, vec![share(&artifact, "1.0.0", 100)]).await.unwrap();
    println!("\norchestrator is up");
    std::future::pending::<()>().await;
}

#[expect(clippy::disallowed_methods, reason = "how the test tells its victim")]
#[tokio::test]
async fn killed_orchestrator_leaves_instances_to_adopt() {
    // The test starts itself again as the orchestrator.
    if let Some(root) = std::env::var_os(ROOT_VARIABLE) {
        return orchestrator(root.into()).await;
    }
    let world = World::default();
    let mut orchestrator = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adoption::killed_orchestrator_leaves_instances_to_adopt", "--nocapture"])
        .env(ROOT_VARIABLE, world.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(orchestrator.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "orchestrator is up"), "it ended before it was up");
    let pids = world.marked();
    assert_eq!(pids.len(), 3);
    orchestrator.kill().unwrap(); // SIGKILL
    orchestrator.wait().unwrap();
    assert_eq!(world.marked(), pids, "they live on");

    let platform = world.open().await;
    let eu = target("eu");
    let artifact = put(&platform, demo("1.0.0", 0)).await;
    settled(&platform, &eu, &artifact).await;
    assert_eq!(world.marked(), pids, "the same processes, and no second copy");
    assert_eq!(status(&platform, &eu, &artifact).await.running, 3);
    assert_eq!(get(platform.address(&eu).unwrap(), "/").await.status, 200);
    platform.destroy().await.unwrap();
    assert_eq!(world.marked().len(), 0);
}
