//! Time travel: the state of a run at any point of its past.

use crate::journal::{Damage, History};
use crate::plan::FrozenPlan;
use crate::run::RunState;
use crate::time::Timestamp;

/// A point in the past of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Just after the record with this number, from 1.
    Seq(u64),
    /// After everything that was decided up to this instant, itself included.
    At(Timestamp),
}

/// A point in the past that the run does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TravelError {
    /// There is no record of this number.
    #[error("run `{run}` has no record {seq}; name one from 1 to {last}")]
    NoSuchRecord {
        /// The run.
        run: crate::ids::RunId,
        /// What was named.
        seq: u64,
        /// The number of the last record.
        last: u64,
    },
    /// The run did not exist yet.
    #[error(
        "run `{run}` began at {began}, and there is nothing of it at {at}; name a later instant"
    )]
    BeforeRun {
        /// The run.
        run: crate::ids::RunId,
        /// What was named.
        at: Timestamp,
        /// When it began.
        began: Timestamp,
    },
    /// The history does not fit the plan.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// The state of a run at `position`, folded by the same code that drove it. `plan` is the one that the
/// run pins, as [`Engine::load`](crate::engine::Engine::load) gives it.
///
/// # Errors
/// [`TravelError`] when there is no such point, or when the history does not fit the plan.
pub fn state_at(
    history: &History,
    plan: FrozenPlan,
    position: Position,
) -> Result<RunState, TravelError> {
    let count = records(history, position)?;
    Ok(history.state(plan, Some(count))?)
}

/// How many records there are up to `position`: at least one.
pub(super) fn records(history: &History, position: Position) -> Result<usize, TravelError> {
    let facts = history.facts();
    match position {
        Position::Seq(seq) => {
            let count = usize::try_from(seq).ok().filter(|n| (1..=facts.len()).contains(n));
            count.ok_or_else(|| TravelError::NoSuchRecord {
                run: history.run().clone(),
                seq,
                last: facts.len() as u64,
            })
        }
        Position::At(at) => match facts.iter().take_while(|fact| fact.at <= at).count() {
            0 => Err(TravelError::BeforeRun {
                run: history.run().clone(),
                at,
                began: facts.first().map(|fact| fact.at).unwrap_or_default(),
            }),
            count => Ok(count),
        },
    }
}
