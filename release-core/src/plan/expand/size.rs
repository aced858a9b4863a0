//! How many steps a plan will have, known before any is made.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::flags;
use super::{Change, Expansion};
use crate::model::{Stage, Target};
use crate::plan::strategy::{RolloutStrategy, StrategyError};
use crate::plan::triggers;

impl Expansion<'_> {
    /// The number of steps that stand around stages.
    pub(super) fn size(&self) -> usize {
        let services = self.services.iter().map(|change| &change.service.id);
        let artifacts: usize = services.map(|id| self.verified(id).count()).sum();
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
        for Change { service, .. } in self.services.iter() {
            let target = Target::new(environment.id.clone(), region.clone(), service.id.clone());
            let here = (stage, strategy, environment);
            let Some(site) = self.site(here, service, &target, 0) else { continue };
            let kind = (site.replicas, site.old.is_some(), site.returns);
            let steps = match known.entry(kind) {
                Entry::Occupied(steps) => *steps.get(),
                Entry::Vacant(free) => {
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
