//! The stored form of kills of flags: a stream of records for each, under names that no run can have.

use super::wire::{open, origin, unreadable};
use super::{Damage, DamageKind, Record, Sealer};
use crate::flags::{FlagKill, KillEvent};
use crate::ids::RunId;
use crate::time::Timestamp;

/// What the names of these streams begin with.
const PREFIX: &str = "flag-kills.";

/// The name of the stream of a kill that is ordered at `at`; `unique` tells it from others of the same instant. Streams
/// are in the order in which they were begun.
pub fn kill_stream(at: Timestamp, unique: u64) -> Option<RunId> {
    RunId::new(format!("{PREFIX}{:016x}-{unique:016x}", at.as_micros())).ok()
}

/// Whether a stream is of a kill.
pub fn is_kill(stream: &RunId) -> bool {
    stream.as_str().starts_with(PREFIX)
}

impl Sealer {
    /// Seals one event of a kill that happened at `at`.
    pub fn seal_kill(&mut self, at: Timestamp, event: &KillEvent) -> Record {
        self.seal_json(at, None, |bytes| {
            // INVARIANT: events serialise without fail: string keys, numbers, no custom errors.
            let written = serde_json::to_writer(bytes, event);
            debug_assert!(written.is_ok(), "{written:?}");
        })
    }
}

/// Verifies the chain of the records of a kill, decodes and folds them. Nothing, where there are none.
///
/// # Errors
/// [`Damage`] names the first record that is not what was written, or cannot follow.
pub fn verify_kill(stream: &RunId, records: &[Record]) -> Result<Option<FlagKill>, Damage> {
    let (mut kill, mut prev) = (None::<FlagKill>, origin());
    for (record, seq) in records.iter().zip(1_u64..) {
        let damage = |kind| Damage { run: stream.clone(), seq, kind };
        let envelope = open(stream, record, seq, prev).map_err(damage)?;
        let event: KillEvent = serde_json::from_str(envelope.event.get())
            .map_err(|error| damage(unreadable(error)))?;
        let follows = if let Some(kill) = &mut kill {
            kill.evolve(event)
        } else {
            kill = FlagKill::ordered(stream.clone(), envelope.at, event);
            kill.is_some()
        };
        if !follows {
            let found = "an event of a kill that cannot stand here".to_owned();
            return Err(damage(DamageKind::Misplaced { found }));
        }
        prev = record.hash;
    }
    Ok(kill)
}
