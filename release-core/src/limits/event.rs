//! What can happen in the ledger of permits. Append-only: variants and fields are added, never changed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::Limits;
use super::ledger::Ledger;
use crate::ids::{EnvironmentId, LimitId, RegionId, RunId, StepId, TeamId};
use crate::model::Principal;

/// Something that happened in the ledger. Every change of it is one event, and an audit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LedgerEvent {
    /// A stream of the ledger begins.
    Opened {
        /// What the stream before it came to, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        carried: Option<Box<Ledger>>,
    },
    /// From now on these limits hold. Who has a permit keeps it.
    Configured {
        /// The limits.
        limits: Limits,
    },
    /// A step wants to start.
    Requested {
        /// What it needs.
        request: Request,
    },
    /// A step has all that it needs.
    Granted {
        /// The step.
        claim: Claim,
        /// The engine that found that it may. One that did so for another's run waits for the other to
        /// take it.
        by: String,
    },
    /// An engine takes what another found to be free for it.
    Taken {
        /// The step.
        claim: Claim,
    },
    /// A step does not want to start any more.
    Withdrawn {
        /// The step.
        claim: Claim,
        /// The epoch of the run's writer that says so.
        epoch: u64,
    },
    /// Permits are given back.
    Released {
        /// The run that had them.
        run: RunId,
        /// For what it had them.
        units: Vec<Unit>,
        /// The epoch of the run's writer that says so; what a later one has is not touched.
        epoch: u64,
        /// Why.
        why: String,
    },
    /// An engine drives a run on: what the run has is its own now, what it waited for is asked for anew.
    Adopted {
        /// The run.
        run: RunId,
        /// The epoch of its new writer.
        epoch: u64,
        /// The engine.
        engine: String,
    },
    /// A person gives back what a run has: nothing of it is under way, as they know.
    ForceReleased {
        /// The run.
        run: RunId,
        /// Who.
        by: Principal,
        /// How they know.
        reason: String,
    },
    /// A person begins a new ledger, because the one before cannot be read as it was written.
    Renewed {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
        /// The stream that could not be read.
        lost: RunId,
    },
    /// What a run has, as its own records say. It keeps that, also where it is more than there is.
    Reclaimed {
        /// What was asked for then.
        request: Request,
    },
    /// The stream is full, and the next goes on from here.
    Closed {
        /// How much happened in it.
        records: u64,
    },
}

/// What is counted as one, in one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "per", rename_all = "snake_case")]
pub enum Unit {
    /// A step.
    Step {
        /// Which.
        step: StepId,
        /// How often it was asked for anew by hand.
        #[serde(default, skip_serializing_if = "is_zero")]
        generation: u32,
    },
    /// All steps in a region.
    Region {
        /// The environment.
        environment: EnvironmentId,
        /// The region.
        region: RegionId,
        /// Whether it is what only tidies up there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        finale: bool,
    },
    /// All steps of the run, in one environment or anywhere.
    Run {
        /// The environment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<EnvironmentId>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(generation: &u32) -> bool {
    *generation == 0
}

impl Unit {
    /// Whether it lasts longer than one step.
    pub const fn outlasts_steps(&self) -> bool {
        !matches!(self, Self::Step { .. })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step, .. } => write!(f, "step `{step}`"),
            Self::Region { environment, region, .. } => write!(f, "region {environment}/{region}"),
            Self::Run { environment: Some(environment) } => write!(f, "all of {environment}"),
            Self::Run { environment: None } => f.write_str("the whole run"),
        }
    }
}

/// What a step needs for one of the units that it is part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The unit.
    pub unit: Unit,
    /// A permit of each of these limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitId>,
    /// One of the amount of each of these quotas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<LimitId>,
}

/// Who asks: a step, as often as it was asked for anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// How often the step was asked for anew by hand.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step `{}` of run `{}`", self.step, self.run)
    }
}

/// How urgent a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It puts something back: it stands in no queue.
    Rollback,
    /// Before all that is not urgent.
    Hotfix,
    /// As all others.
    #[default]
    Normal,
}

/// A step wants all of this at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who.
    pub claim: Claim,
    /// The epoch of the run's writer.
    pub epoch: u64,
    /// The engine that drives the run.
    pub engine: String,
    /// The team that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// How urgent it is.
    #[serde(default)]
    pub class: Class,
    /// What it needs.
    pub wants: Vec<Want>,
}
