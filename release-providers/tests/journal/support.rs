//! Plans that do nothing, and records to store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::journal::{Batch, Record, Sealer};
use release_core::model::{Digest, Principal, RunId, StepId, Timestamp};
use release_core::plan::{Action, EdgeKind, Plan, Step, Undo};
use release_core::port::{
    AuthorizedCommand, BindingError, EffectError, Evidence, Observed, Performer,
};
use release_core::run::{Event, Outcome};
use release_providers::sqlite::SqliteJournal;

pub(crate) fn run(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

pub(crate) fn ada() -> Principal {
    Principal::human("ada".parse().unwrap())
}

/// Records `from + 1 ..= from + count` of a run, chained behind `sealer`.
pub(crate) fn records(sealer: &mut Sealer, count: u64) -> Vec<Record> {
    let created = |plan| Event::RunCreated {
        plan,
        definition: None,
        supersedes: None,
        policy: None,
        requester: ada(),
    };
    let seal = |_| {
        let event = if sealer.seq() == 0 {
            created(Digest::of(b"plan"))
        } else {
            Event::Paused { by: ada(), reason: "test".into() }
        };
        sealer.seal(Timestamp::from_micros(1), &event)
    };
    (0..count).map(seal).collect()
}

pub(crate) fn batch(name: &str, expected: u64, epoch: u64, records: Vec<Record>) -> Batch {
    Batch { run: run(name), expected, epoch, records, blobs: Vec::new(), finishes: false }
}

/// The record that ends a run.
pub(crate) fn end(sealer: &mut Sealer) -> Vec<Record> {
    let over = Event::RunFinished { outcome: Outcome::Succeeded };
    vec![sealer.seal(Timestamp::from_micros(1), &over)]
}

/// What is beside a journal: `-wal`, `-head`.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    path.with_extension(format!("db{end}"))
}

/// Counts what it performs.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    pub(crate) performed: AtomicU64,
}

#[async_trait]
impl Performer for Counter {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }
    async fn perform(&self, _: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        self.performed.fetch_add(1, Ordering::SeqCst);
        Ok(Evidence::Done)
    }
    async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> {
        Ok(Observed::NotApplied)
    }
}

/// `n` effects one after the other.
pub(crate) fn line(n: u32) -> Plan {
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    for index in 0..n {
        let action = Action::Custom { capability: "noop".into(), input: serde_json::Value::Null };
        let undo = Undo::point_of_no_return("does nothing", "lead".parse().unwrap());
        plan.step(Step::new(StepId::new(format!("s{index}")).unwrap(), action).undo(undo));
        if index > 0 {
            plan.edge(index - 1, index, EdgeKind::Order);
        }
    }
    plan.build().unwrap()
}

pub(crate) fn engine(journal: &Arc<SqliteJournal>, counter: &Arc<Counter>) -> Engine {
    Engine::builder(Arc::<SqliteJournal>::clone(journal), Arc::<Counter>::clone(counter)).build()
}
