//! How many steps a plan will have, known before any is made.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Expansion;
use super::flags;
use crate::model::{Stage, Target};
use crate::plan::strategy::{RolloutStrategy, StrategyError};
use crate::plan::triggers;

impl Expansion<'_> {
    /// The number of steps that stand around stages.
    pub(super) fn size(&self) -> usize {
        let artifacts: usize =
            self.services.iter().map(|change| self.verified(change).count()).sum();
        artifacts + self.definition.notify.len()
    }

    /// The number of steps that a stage comes to.
    ///
    /// A rollout has as many steps in one region as in another, and as that of another service with as
    /// many replicas that replaces something too: so one of each kind is made, and counted.
    pub(super) fn size_of(
        &self,
        stage: &Stage,
        strategy: &dyn RolloutStrategy,
    ) -> Result<usize, StrategyError> {
        let Some(environment) = self.environments.get(&stage.environment).copied() else {
            return Ok(0);
        };
        let regions = &environment.regions;
        let waves = if stage.waves.is_empty() { regions.len() } else { stage.waves.len() };
        let gated = stage.wave_gates.iter().filter(|gates| !gates.is_empty()).count();
        let waves = waves + gated;
        let Some(region) = regions.first() else {
            return Ok((1 + waves).saturating_add(flags::sizes(stage)));
        };
        let mut known: BTreeMap<(u32, bool, bool), usize> = BTreeMap::new();
        let mut in_region = 0_usize;
        for change in self.services.iter() {
            let service = change.service;
            let returns = self.returns(stage, &service.id);
            let steps = match known.entry((service.replicas, change.old.is_some(), returns)) {
                Entry::Occupied(steps) => *steps.get(),
                Entry::Vacant(free) => {
                    let (environment_id, region) = (environment.id.clone(), region.clone());
                    let target = Target::new(environment_id, region, service.id.clone());
                    let site = self.site(
                        (stage, strategy, environment),
                        change,
                        (&target, target.to_string()),
                        0,
                    );
                    *free.insert(triggers::expand(strategy, stage, &site)?.len())
                }
            };
            in_region = in_region.saturating_add(steps);
        }
        // Those to enter it, and those in which its waves meet.
        let steps = in_region.saturating_mul(regions.len()).saturating_add(1 + waves);
        Ok(steps.saturating_add(flags::sizes(stage)))
    }
}
