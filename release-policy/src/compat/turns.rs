//! Which of two changes goes first.

use std::fmt;

use release_core::model::ServiceId;
use serde::{Deserialize, Serialize};

use super::steps::{Asked, changes};
use super::{Broken, Catalogue, NoOrder, Versions};

/// Of two services that both change, which changes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnOf {
    /// The one that changes first.
    pub sooner: ServiceId,
    /// The one that changes once that is done.
    pub later: ServiceId,
    /// The need for which that is so: it would not be met if they changed the other way round.
    pub need: Broken,
}

impl TurnOf {
    /// Whether the service that needs the other one goes first: its old version does not get along with what comes. Else what is needed
    /// goes first: the new version of the other does not get along with what is there.
    pub fn needing_first(&self) -> bool {
        self.need.service == self.sooner
    }
}

impl fmt::Display for TurnOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sooner, later, need } = self;
        write!(f, "`{sooner}` before `{later}`, since otherwise {need}")
    }
}

impl Catalogue {
    /// Of which two services that change from `live` to `target` one has to change first, by the names of the later and then of the sooner
    /// one. An order of the changes leaves every need met that is met now, after each of them, just when it keeps to all of these; and
    /// [`order`](Self::order) is one of them.
    ///
    /// # Errors
    /// [`NoOrder`] as from [`order`](Self::order).
    pub fn turns(&self, live: &Versions, target: &Versions) -> Result<Vec<TurnOf>, Box<NoOrder>> {
        self.order(live, target)?;
        let steps = changes(live, target);
        let befores = self.befores(&steps);
        let turns = steps.iter().zip(befores).flat_map(|(later, before)| {
            let turn = |(sooner, asked): (usize, Asked<'_>)| {
                let sooner = steps.get(sooner)?.service.clone();
                Some(TurnOf { sooner, later: later.service.clone(), need: asked.told()? })
            };
            before.into_iter().filter_map(turn)
        });
        Ok(turns.collect())
    }
}
