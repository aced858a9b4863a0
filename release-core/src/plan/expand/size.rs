//! How many steps a plan will have, known before any is made.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::flags;
use super::{Change, Expansion};
use crate::ids::IdError;
use crate::model::{Stage, Target};
use crate::plan::strategy;

impl Expansion<'_> {
    /// The number of steps that `stages` and what stands around them come to.
    ///
    /// A rollout has as many steps in one region as in another, and as that of another service with as
    /// many replicas that replaces something too: so one of each kind is made, and counted.
    pub(super) fn size(&self, stages: &[Stage]) -> Result<usize, IdError> {
        let services = self.services.iter().map(|change| &change.service.id);
        let artifacts: usize = services.map(|id| self.verified(id).count()).sum();
        let mut size = artifacts + self.definition.notify.len();
        for stage in stages {
            size = size.saturating_add(self.size_of(stage)?);
        }
        Ok(size)
    }

    fn size_of(&self, stage: &Stage) -> Result<usize, IdError> {
        let Some(environment) = self.environments.get(&stage.environment).copied() else {
            return Ok(0);
        };
        let regions = &environment.regions;
        let waves = if stage.waves.is_empty() { regions.len() } else { stage.waves.len() };
        let Some(region) = regions.first() else {
            return Ok((1 + waves).saturating_add(flags::sizes(stage)));
        };
        let mut known: BTreeMap<(u32, bool), usize> = BTreeMap::new();
        let mut in_region = 0_usize;
        for Change { service, .. } in self.services.iter() {
            let target = Target::new(environment.id.clone(), region.clone(), service.id.clone());
            let Some(site) = self.site((stage, environment), service, &target, 0) else { continue };
            let kind = (site.replicas, site.old.is_some());
            let steps = match known.entry(kind) {
                Entry::Occupied(steps) => *steps.get(),
                Entry::Vacant(free) => {
                    let rollout = strategy::expand(&stage.strategy, &site)?;
                    *free.insert(rollout.steps.len() + rollout.finale.len())
                }
            };
            in_region = in_region.saturating_add(steps);
        }
        // Those to enter it, and those in which its waves meet.
        let steps = in_region.saturating_mul(regions.len()).saturating_add(1 + waves);
        Ok(steps.saturating_add(flags::sizes(stage)))
    }
}
