//! The platform's own account of what it changed, and for whom.

use std::collections::BTreeSet;

use release_core::model::ArtifactRef;
use release_providers::Context;
use release_providers::local::{EffectChange, EffectRecord, effects};
use release_providers::spi::{Deployer, SetWeights, TrafficRouter};

use crate::support::{
    World, cx, demo, deploy, eventually, kill, put, route, settled, share, target, wish,
};

fn step(key: &str) -> Context {
    cx(key).in_run("r-1".parse().unwrap(), 3)
}

/// The lines of one key, each as one word and what it is about.
fn of(log: &[EffectRecord], key: &str) -> Vec<(&'static str, String)> {
    let word = |line: &EffectRecord| match &line.change {
        EffectChange::Started { instance, .. } => ("started", instance.clone()),
        EffectChange::Stopped { instance } => ("stopped", instance.clone()),
        EffectChange::Died { instance } => ("died", instance.clone()),
        EffectChange::Weights { weights } => ("weights", weights.len().to_string()),
        other => panic!("{other:?}"),
    };
    log.iter().filter(|line| line.key == key).map(word).collect()
}

fn words(log: &[EffectRecord], key: &str) -> Vec<&'static str> {
    of(log, key).into_iter().map(|(word, _)| word).collect()
}

/// The log without the instances that never came to listen, because somebody else had snatched their
/// port: others were rightly started in their places.
fn of_listeners(world: &World) -> Vec<EffectRecord> {
    let snatched = |instance: &str| {
        let log = world.root().join("logs").join(format!("{instance}.log"));
        std::fs::read_to_string(log).is_ok_and(|text| text.contains("cannot listen"))
    };
    let mut log = effects(world.root()).unwrap();
    log.retain(|line| match &line.change {
        EffectChange::Started { instance, .. } | EffectChange::Died { instance } => {
            !snatched(instance)
        }
        _ => true,
    });
    log
}

#[tokio::test]
async fn every_change_is_written_under_the_key_that_asked_for_it_and_none_twice() {
    let (world, eu) = (World::default(), target("eu"));
    let platform = world.open().await;
    let artifact = put(&platform, demo("1.0.0", 0)).await;
    let all = || SetWeights::new(eu.clone(), vec![share(&artifact, "1.0.0", 100)]);
    for _ in 0..3 {
        // The same operation again and again: one effect.
        let two = wish(&eu, &artifact, "1.0.0", 2);
        platform.apply(&step("r-1/start/0"), two).await.unwrap();
        settled(&platform, &eu, &artifact).await;
        platform.set_weights(&step("r-1/serve/0"), all()).await.unwrap();
    }
    platform.apply(&step("r-1/less/0"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    settled(&platform, &eu, &artifact).await;
    let log = of_listeners(&world);
    assert_eq!(words(&log, "r-1/start/0"), ["started", "started"]);
    assert_eq!(words(&log, "r-1/serve/0"), ["weights"]);
    assert_eq!(words(&log, "r-1/less/0"), ["stopped"]);
    assert!(log.iter().all(|line| line.epoch == 3 && line.run == Some("r-1".parse().unwrap())));
    assert!(log.windows(2).all(|pair| pair[0].at <= pair[1].at));

    // One that dies is started again, for the call that wished for it.
    platform.processes(&eu, artifact.digest()).into_values().for_each(kill);
    eventually("another one", || async {
        words(&of_listeners(&world), "r-1/less/0") == ["stopped", "started"]
    })
    .await;
    assert_eq!(words(&of_listeners(&world), "r-1/start/0"), ["started", "started", "died"]);
    platform.destroy().await.unwrap();
    let log = effects(world.root()).unwrap();
    assert_eq!(words(&log, "local.destroy"), ["weights", "stopped"]);
}

/// Takes away what the platform writes after a start, as if it had been killed in between.
fn killed_right_after_the_start(world: &World) -> String {
    let path = world.root().join("effects.jsonl");
    let log = std::fs::read_to_string(&path).unwrap();
    let started = log.find(r#""type":"started""#).unwrap();
    let line = log[..started].rfind('\n').map_or(0, |end| end + 1);
    std::fs::write(&path, &log[..line + 20]).unwrap(); // a torn line, too
    let instances = std::fs::read_dir(world.root().join("instances")).unwrap();
    let record = instances.last().unwrap().unwrap().path();
    let mut value: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    value["process"] = serde_json::Value::Null;
    std::fs::write(&record, value.to_string()).unwrap();
    value["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_start_whose_line_a_crash_prevented_is_written_by_the_next_platform() {
    let (world, eu) = (World::default(), target("eu"));
    let platform = world.open().await;
    let artifact: ArtifactRef = put(&platform, demo("1.0.0", 0)).await;
    let one = wish(&eu, &artifact, "1.0.0", 1);
    platform.apply(&step("r-1/start/0"), one).await.unwrap();
    settled(&platform, &eu, &artifact).await;
    platform.shutdown().await;
    drop(platform);
    let instance = killed_right_after_the_start(&world);
    for _ in 0..2 {
        let platform = world.open().await;
        settled(&platform, &eu, &artifact).await;
        platform.shutdown().await;
    }
    let log = effects(world.root()).unwrap();
    assert_eq!(of(&log, "r-1/start/0"), [("started", instance)]);
    world.open().await.destroy().await.unwrap();
}

#[tokio::test]
async fn a_change_that_cannot_be_written_down_is_not_made_in_silence() {
    let (world, eu) = (World::default(), target("eu"));
    let platform = world.open().await;
    let old = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    let path = world.root().join("effects.jsonl");
    let aside = world.root().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    let all = || vec![share(&old, "1.0.0", 100)];
    let error = route(&platform, &eu, all()).await.unwrap_err();
    assert_eq!(error.effect(), release_core::port::EffectCertainty::Unknown);
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    route(&platform, &eu, all()).await.unwrap();
    assert_eq!(words(&effects(world.root()).unwrap(), "route"), ["weights"]);
    platform.destroy().await.unwrap();
    let keys: BTreeSet<_> = effects(world.root()).unwrap().into_iter().map(|l| l.key).collect();
    assert!(keys.contains("local.destroy"), "{keys:?}");
}
