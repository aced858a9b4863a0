//! Plans definitions, with the strategies that a host adds.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::strategy::recreate::Recreate;
use super::strategy::{Known, RolloutStrategy};
use super::{Plan, PlanBuilder, PlanError, PlanErrors, expand};
use crate::model::{Definition, Other, Stage, Strategy};

/// Makes a strategy of its settings; or says what is wrong with them and how to mend it.
type Make = Box<dyn Fn(&Value) -> Result<Box<dyn RolloutStrategy>, String> + Send + Sync>;

/// Makes plans of definitions. [`plan`](super::plan) is one without strategies of the host's own.
#[derive(Default)]
pub struct Planner {
    strategies: BTreeMap<String, Make>,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.strategies.keys()).finish()
    }
}

impl Planner {
    /// A planner that knows the strategies of [`Strategy`] alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a strategy, which stages then name as `other: { name: …, with: … }`. `make` gets what stands under `with`, and
    /// says what is wrong with it, if it makes no sense. One of the same name is replaced.
    #[must_use]
    pub fn strategy(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Value) -> Result<Box<dyn RolloutStrategy>, String> + Send + Sync + 'static,
    ) -> Self {
        self.strategies.insert(name.into(), Box::new(make));
        self
    }

    /// Checks `definition` and expands it into a plan.
    ///
    /// Stages follow each other; in a stage, wave follows wave; in a region, a service follows those
    /// that it needs. A service whose artifact does not change gets no steps. The old versions of a
    /// stage are removed once the whole set is verified in all of the stage's regions.
    ///
    /// When no service changes, there is nothing to agree to, to deploy or to measure: the plan has no
    /// stages and no gates, only tells the channels of `notify` so, and a run of it succeeds at once
    /// ([`Plan::changes_nothing`]). So a train may depart again without harm.
    ///
    /// The same definition always gives the same plan, byte for byte.
    ///
    /// # Errors
    /// [`PlanErrors`] with every fault of the definition, not the first alone.
    pub fn plan(&self, definition: &Definition) -> Result<Plan, PlanErrors> {
        self.plan_with(definition, |_| {})
    }

    /// As [`Planner::plan`], with a say on the plan's limits.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub fn plan_with(
        &self,
        definition: &Definition,
        configure: impl FnOnce(&mut PlanBuilder),
    ) -> Result<Plan, PlanErrors> {
        let mut errors = Vec::new();
        let stages = definition.stages.iter().zip(1..);
        let known = stages.map(|(stage, number)| {
            self.known(stage).map_err(|problem| {
                let environment = stage.environment.clone();
                errors.push(PlanError::BadStrategy { stage: number, environment, problem });
            })
        });
        let strategies: Vec<Option<Known<'_>>> = known.map(Result::ok).collect();
        expand::expand(definition, &strategies, errors, configure)
    }

    fn known<'a>(&self, stage: &'a Stage) -> Result<Known<'a>, String> {
        match &stage.strategy {
            Strategy::Recreate => Ok(Known::Ours(&Recreate)),
            Strategy::Rolling(spec) => Ok(Known::Ours(spec)),
            Strategy::BlueGreen(spec) => Ok(Known::Ours(spec)),
            Strategy::Canary(spec) => Ok(Known::Ours(spec)),
            Strategy::Shadow(spec) => Ok(Known::Ours(spec)),
            Strategy::Other(other) => self.other(other).map(Known::Theirs),
        }
    }

    /// Makes a strategy of the host's own.
    fn other(&self, other: &Other) -> Result<Box<dyn RolloutStrategy>, String> {
        let Some(make) = self.strategies.get(&other.name) else {
            let names: Vec<&str> = self.strategies.keys().map(String::as_str).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(format!(
                "`other.name` is `{}`, and the planner knows {known}; add it by `Planner::strategy` or mend the name",
                other.name.escape_debug()
            ));
        };
        if let Err(problem) = crate::bounds::json(&other.with) {
            return Err(format!("`other.with` of `{}` {problem}", other.name));
        }
        make(&other.with).map_err(|why| format!("`{}`: {why}", other.name))
    }
}
