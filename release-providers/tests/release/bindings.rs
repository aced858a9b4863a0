//! A plan that nobody can perform is refused before anything moves.

use std::sync::Arc;

use release_core::engine::{Engine, EngineError};
use release_core::journal::{Journal as _, MemoryJournal};
use release_core::model::Principal;
use release_providers::spi::{Deployer, TrafficRouter};
use release_providers::{ProviderSelector, Registry};

use crate::support::{WallClock, World, demo, put};
use crate::train::definition;

#[tokio::test]
async fn every_step_without_a_provider_is_named() {
    let world = World::default();
    let platform = world.open().await;
    let new = put(&platform, demo("2.0.0", 0)).await;
    let shared = Arc::new(platform.clone());
    // A deployer that serves another region only, and no metrics source, probe or artifact store.
    let elsewhere =
        ProviderSelector::environment("prod".parse().unwrap()).region("us".parse().unwrap());
    let registry = Registry::builder(Arc::new(WallClock))
        .deployer(elsewhere, Arc::clone(&shared) as Arc<dyn Deployer>)
        .router(
            ProviderSelector::environment("prod".parse().unwrap()),
            shared as Arc<dyn TrafficRouter>,
        )
        .build()
        .unwrap();
    let journal = Arc::new(MemoryJournal::new());
    let engine = Engine::builder(Arc::<MemoryJournal>::clone(&journal), Arc::new(registry)).build();
    let plan = release_core::plan::plan(&definition(&new, None)).unwrap();
    let ada = Principal::human("ada".parse().unwrap());
    let refused = engine.start("run".parse().unwrap(), plan, ada).await.unwrap_err();
    let EngineError::Bindings(errors) = &refused else { panic!("{refused}") };
    let steps: Vec<_> = errors.iter().map(|error| error.step.as_str()).collect();
    let [artifact, place] = ["artifacts/api/new", "prod/eu/api"];
    let probes = ["ready", "still-ready"].map(|probe| format!("{place}/{probe}"));
    assert_eq!(steps, [artifact, &format!("{place}/start"), &*probes[0], &*probes[1]]);
    let missing = "no deployer is registered for environment prod, region eu, service api";
    assert!(refused.to_string().contains(missing), "{refused}");
    assert!(journal.heads().await.unwrap().is_empty(), "nothing was started");
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn one_capability_for_the_same_places_twice_is_refused() {
    let world = World::default();
    let platform = Arc::new(world.open().await);
    let twice = Registry::builder(Arc::new(WallClock))
        .platform(ProviderSelector::everywhere(), Arc::clone(&platform))
        .deployer(ProviderSelector::everywhere(), Arc::clone(&platform) as Arc<dyn Deployer>)
        .build();
    let errors = twice.unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(
        errors
            .iter()
            .all(|error| error.to_string().contains("registered as deployer for `everywhere`")),
        "{errors:?}"
    );
    platform.destroy().await.unwrap();
}
