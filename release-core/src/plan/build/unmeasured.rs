//! Where users may get a version of which nothing was measured, and why.

use std::collections::BTreeMap;

use super::{Plan, PlanBuilder};
use crate::ids::EnvironmentId;
use crate::model::Unmeasured;

impl Plan {
    /// The environments whose stage says why users may get a version of which nothing was measured before, with what it says. See
    /// [`Plan::unmeasured_before_traffic`] for the steps.
    pub const fn unmeasured_by_word(&self) -> &BTreeMap<EnvironmentId, Unmeasured> {
        &self.0.unmeasured
    }
}

impl PlanBuilder {
    /// Keeps why users of `environment` may get a version of which nothing was measured.
    pub fn unmeasured(&mut self, environment: EnvironmentId, word: Unmeasured) -> &mut Self {
        self.parts.unmeasured.insert(environment, word);
        self
    }
}
