//! What a car has to be when boarding ends.

use release_core::model::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Behind, Car};

/// What a car has to be to go along. Who is not stays behind, and the train does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BoardingRule {
    /// It is ready when boarding ends.
    #[default]
    Ready,
    /// It is ready then, and its team has said by then that it may go along.
    Approved,
}

impl BoardingRule {
    /// Why a car stays behind by itself, if it does.
    pub(super) fn refuses(self, car: &Car, cut: Timestamp) -> Option<Behind> {
        let in_time = |at: Option<Timestamp>| at.is_some_and(|at| at <= cut);
        if !in_time(car.ready) {
            return Some(Behind::Late { ready: car.ready });
        }
        let (team, approved) = (car.team.clone(), car.approved);
        (self == Self::Approved && !in_time(approved))
            .then_some(Behind::Unapproved { team, approved })
    }

    /// Whether it is what holds where nothing is said.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
