//! Plans definitions, with the strategies that a host adds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::strategy::recreate::Recreate;
use super::strategy::{Known, RolloutStrategy};
use super::{Place, Plan, PlanBuilder, PlanError, PlanErrors, Step, expand};
use crate::ids::{EnvironmentId, ServiceId};
use crate::model::{Definition, Other, Stage, Strategy, Tier};

/// Most steps that a refusal names.
const NAMED: usize = 20;

/// Makes a strategy of its settings; or says what is wrong with them and how to mend it.
type Make = Box<dyn Fn(&Value) -> Result<Box<dyn RolloutStrategy>, String> + Send + Sync>;

/// Whose users may get a version of which nothing was measured.
#[derive(Debug, Clone, Copy, Default)]
enum Unmeasured {
    /// Those of stages that say why, where nothing served before, and of what was live a short while ago.
    #[default]
    ByWord,
    /// Nobody's, whatever stages say.
    Never,
    /// Everybody's.
    Always,
}

/// Makes plans of definitions, for whoever is going to run them. [`plan`](super::plan) is for whoever only looks.
#[derive(Default)]
pub struct Planner {
    strategies: BTreeMap<String, Make>,
    unmeasured: Unmeasured,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strategies, unmeasured } = self;
        let names: Vec<&String> = strategies.keys().collect();
        f.debug_struct("Planner")
            .field("strategies", &names)
            .field("unmeasured", unmeasured)
            .finish()
    }
}

impl Planner {
    /// A planner that knows the strategies of [`Strategy`] alone, and demands evidence before traffic in production: see
    /// [`Planner::measured_before_traffic`].
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

    /// Whether users in production may get a version of which nothing was measured before: whether plans with any of
    /// [`Plan::unmeasured_before_traffic`] in an environment of the tier [`Tier::Production`] are refused.
    ///
    /// Where nothing is said, they are refused where a version replaces another, unless the stage says in writing why its users may
    /// do without ([`Stage::unmeasured`]), which is kept in the plan. A service that goes back to a version that was live a short while
    /// ago ([`Stage::rollback_window`]) is not held up by that: it was judged when it was live. `true` refuses them whatever stages
    /// say, also for such a way back, and where nothing served before; `false` refuses none. A stage's
    /// [`before_traffic`](Stage::before_traffic) is what mends such a plan.
    ///
    /// ```
    /// use release_core::plan::Planner;
    ///
    /// let strict = Planner::new().measured_before_traffic(true);
    /// # drop(strict);
    /// ```
    #[must_use]
    pub const fn measured_before_traffic(mut self, wanted: bool) -> Self {
        self.unmeasured = if wanted { Unmeasured::Never } else { Unmeasured::Always };
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
    /// [`PlanErrors`] with every fault of the definition, not the first alone; of one without faults,
    /// [`PlanError::UnmeasuredBeforeTraffic`] where [`Planner::measured_before_traffic`] refuses it.
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
        let plan = expand::expand(definition, &strategies, errors, configure)?;
        self.check_measured(definition, &plan)?;
        Ok(plan)
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

    /// Refuses a plan that gives users in production what nobody measured.
    fn check_measured(&self, definition: &Definition, plan: &Plan) -> Result<(), PlanErrors> {
        let said = |environment: &EnvironmentId| match self.unmeasured {
            Unmeasured::ByWord => plan.unmeasured_by_word().contains_key(environment),
            Unmeasured::Never => false,
            Unmeasured::Always => true,
        };
        let production = definition.environments.iter().filter(|one| one.tier == Tier::Production);
        let held: BTreeSet<&EnvironmentId> =
            production.map(|one| &one.id).filter(|environment| !said(environment)).collect();
        if held.is_empty() {
            return Ok(());
        }
        let first = matches!(self.unmeasured, Unmeasured::Never);
        let release = &definition.release;
        // What was live a short while ago comes back without judging: it was judged then, and the way back is in a hurry.
        let returns = |place: &Place, service: &ServiceId| {
            let mut stages = definition.stages.iter();
            stages.any(|stage| {
                stage.environment == place.environment && expand::returns(release, stage, service)
            })
        };
        let replaces = |place: &Place| {
            let mut services = place.service.iter();
            let was_there = |id: &ServiceId| release.previous.get(id).is_some();
            first || services.any(|id| was_there(id) && !returns(place, id))
        };
        let serves = |step: &&Step| {
            let place = step.scope.place();
            place.is_some_and(|place| held.contains(&place.environment) && replaces(place))
        };
        let mut found = plan.unmeasured().filter(serves).map(|step| step.id.clone());
        let steps: Vec<_> = found.by_ref().take(NAMED).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let more = found.count();
        Err(PlanErrors(vec![PlanError::UnmeasuredBeforeTraffic { steps, more }]))
    }
}
