//! Runs that an engine drives, started in one call.

use release_core::engine::{RunHandle, Settled};
use release_core::journal::{History, Journal};
use release_core::model::RunId;
use release_core::plan::FrozenPlan;
use release_core::run::{Awaiting, Command, Directive, Event};
use std::sync::Arc;

use super::samples::{id, person};
use super::world::{Act, Call, World, engine, memory};

pub(crate) fn run_id() -> RunId {
    id("run-1")
}

pub(crate) async fn start(
    journal: &Arc<dyn Journal>,
    world: &Arc<World>,
    plan: FrozenPlan,
) -> RunHandle {
    engine(journal, world, "first").start_frozen(run_id(), plan, person("ann")).await.unwrap()
}

/// Runs `plan` in a world that follows `script`, until nothing moves by itself.
pub(crate) async fn settle(
    plan: FrozenPlan,
    script: impl Fn(&Call) -> Act + Send + Sync + 'static,
) -> (RunHandle, Arc<World>, Settled) {
    let journal = memory();
    let world = World::new(&journal, script);
    let handle = start(&journal, &world, plan).await;
    let settled = handle.settled().await.unwrap();
    assert_eq!(world.unannounced(), [], "effects without a durable record");
    (handle, world, settled)
}

pub(crate) fn command(command: Command, by: &str) -> Directive {
    Directive::new(command, person(by), "because")
}

pub(crate) async fn events(journal: &Arc<dyn Journal>) -> Vec<Event> {
    let records = journal.read(&run_id()).await.unwrap();
    let history = History::verify(&run_id(), &records).unwrap();
    history.facts().iter().map(|fact| fact.event.clone()).collect()
}

pub(crate) fn operator(step: &str) -> Settled {
    Settled::NeedsPerson(vec![Awaiting::Operator(id(step))])
}
