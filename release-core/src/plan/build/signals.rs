//! What a plan says of signals from outside.

use serde::{Deserialize, Serialize};

use super::{Plan, PlanBuilder};
use crate::model::{OnSignal, RollbackScope};

/// What a run does about signals of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalRule {
    /// About which, and what.
    pub on: OnSignal,
    /// How much is taken back, seen from where a signal is about.
    #[serde(default)]
    pub scope: RollbackScope,
}

impl Plan {
    /// What a run does about signals; about all others nothing, but that they are journaled.
    pub fn signals(&self) -> &[SignalRule] {
        &self.0.signals
    }

    /// Whether it changes nothing anywhere: every service already runs the version wanted.
    pub fn changes_nothing(&self) -> bool {
        !self.steps().iter().any(|step| step.action.mutates())
    }
}

impl PlanBuilder {
    /// Says what is done about signals of a kind.
    pub fn signal(&mut self, rule: SignalRule) -> &mut Self {
        self.parts.signals.push(rule);
        self
    }
}
