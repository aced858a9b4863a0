//! What a plan says of going back: of signals from outside, and of what cannot be returned to.

use serde::{Deserialize, Serialize};

use super::{Plan, PlanBuilder};
use crate::model::{OnSignal, RollForwardOnly, RollbackScope};

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

    /// Says of which services there is no version to return to, if there are any.
    pub const fn roll_forward_only(&self) -> Option<&RollForwardOnly> {
        self.0.roll_forward_only.as_ref()
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
