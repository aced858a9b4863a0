//! Who may promote into an environment: one owner at a time, each with a higher epoch than the one before.
//!
//! An owner that was replaced and does not know it yet carries an old epoch, and is refused.

use std::collections::BTreeMap;

use release_core::model::{EnvironmentId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

/// Somebody takes an environment over, or takes it again with a new epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// The environment.
    pub environment: EnvironmentId,
    /// Who owns it from now on: a pipeline, an engine, a person.
    pub owner: PrincipalId,
    /// Higher than every epoch before it.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
}

/// What somebody who wants to promote says of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Who they are.
    pub owner: PrincipalId,
    /// The epoch with which they took the environment over.
    pub epoch: u64,
}

/// The owners of environments: the fold over who took them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owners(BTreeMap<EnvironmentId, Taken>);

/// Why a takeover or a promotion is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refused {
    /// Nobody owns the environment yet.
    #[error("nobody owns `{environment}`; take it over first")]
    Unowned {
        /// The environment.
        environment: EnvironmentId,
    },
    /// Somebody with a higher epoch took it over since, or a takeover does not go further than the last.
    #[error(
        "epoch {claimed} of `{environment}` is over: `{owner}` owns it with epoch {epoch} since {since}; read the owners again"
    )]
    Stale {
        /// The environment.
        environment: EnvironmentId,
        /// The epoch that was claimed.
        claimed: u64,
        /// Who owns it.
        owner: PrincipalId,
        /// With which epoch.
        epoch: u64,
        /// Since when.
        since: Timestamp,
    },
    /// Somebody else owns it with this very epoch.
    #[error(
        "`{claimed}` does not own `{environment}`, `{owner}` does; take it over with a higher epoch"
    )]
    NotOwner {
        /// The environment.
        environment: EnvironmentId,
        /// Who claimed it.
        claimed: PrincipalId,
        /// Who owns it.
        owner: PrincipalId,
    },
    /// An epoch that nobody was given.
    #[error(
        "epoch {claimed} of `{environment}` was never given, the last is {epoch}; read the owners again"
    )]
    NeverGiven {
        /// The environment.
        environment: EnvironmentId,
        /// The epoch that was claimed.
        claimed: u64,
        /// The last that was given.
        epoch: u64,
    },
}

impl Owners {
    /// Nobody owns anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds one takeover. One that is refused changes nothing.
    ///
    /// # Errors
    /// [`Refused::Stale`] when its epoch is not higher than the last.
    pub fn take(&mut self, taken: Taken) -> Result<(), Refused> {
        match self.0.get(&taken.environment) {
            Some(held) if taken.epoch <= held.epoch => Err(stale(held, taken.epoch)),
            _ => {
                self.0.insert(taken.environment.clone(), taken);
                Ok(())
            }
        }
    }

    /// Who owns an environment.
    pub fn of(&self, environment: &EnvironmentId) -> Option<&Taken> {
        self.0.get(environment)
    }

    /// Whether whoever claims to own an environment does, now. Asked at admission, just before the promotion, and
    /// the provider is given the same epoch.
    ///
    /// # Errors
    /// [`Refused`] says who owns it instead.
    pub fn check(&self, environment: &EnvironmentId, claim: &Claim) -> Result<(), Refused> {
        let environment = environment.clone();
        let Some(held) = self.0.get(&environment) else {
            return Err(Refused::Unowned { environment });
        };
        if claim.epoch < held.epoch {
            return Err(stale(held, claim.epoch));
        }
        if claim.epoch > held.epoch {
            let (claimed, epoch) = (claim.epoch, held.epoch);
            return Err(Refused::NeverGiven { environment, claimed, epoch });
        }
        if claim.owner != held.owner {
            let (claimed, owner) = (claim.owner.clone(), held.owner.clone());
            return Err(Refused::NotOwner { environment, claimed, owner });
        }
        Ok(())
    }
}

fn stale(held: &Taken, claimed: u64) -> Refused {
    Refused::Stale {
        environment: held.environment.clone(),
        claimed,
        owner: held.owner.clone(),
        epoch: held.epoch,
        since: held.at,
    }
}
