//! Versions for a wish in each region, by what is deployed there.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{RegionId, ServiceId};
use semver::VersionReq;

use super::{Catalogue, Fleet, NoPlan, Plan, Versions};

/// Why a wish cannot be fulfilled everywhere: of each region in which it cannot be, why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoPlans {
    /// By region; at least one.
    pub regions: BTreeMap<RegionId, NoPlan>,
}

impl fmt::Display for NoPlans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is so in several regions is said once.
        let mut told: Vec<(&NoPlan, Vec<&RegionId>)> = Vec::new();
        for (region, why) in &self.regions {
            match told.iter_mut().find(|(known, _)| *known == why) {
                Some((_, regions)) => regions.push(region),
                None => told.push((why, vec![region])),
            }
        }
        for (nth, (why, regions)) in told.into_iter().enumerate() {
            let names: Vec<_> = regions.into_iter().map(|region| format!("`{region}`")).collect();
            write!(f, "{}in {}: {why}", if nth == 0 { "" } else { ". " }, names.join(", "))?;
        }
        Ok(())
    }
}

impl Catalogue {
    /// The [`plan`](Self::plan) of each region for one wish. Regions in which the same is deployed are planned once, so that it costs as
    /// many plans as there are different ones.
    ///
    /// # Errors
    /// [`NoPlans`] by all regions for which there is none; then no other is planned for either.
    pub fn plan_all(
        &self,
        fleet: &Fleet,
        wish: &BTreeMap<ServiceId, VersionReq>,
    ) -> Result<BTreeMap<RegionId, Plan>, NoPlans> {
        let mut alike: BTreeMap<&Versions, Vec<&RegionId>> = BTreeMap::new();
        for (region, live) in fleet {
            alike.entry(live).or_default().push(region);
        }
        let (mut plans, mut regions) = (BTreeMap::new(), BTreeMap::new());
        for (live, those) in alike {
            let each = those.into_iter().cloned();
            match self.plan(live, wish) {
                Ok(plan) => plans.extend(each.map(|region| (region, plan.clone()))),
                Err(why) => regions.extend(each.map(|region| (region, why.clone()))),
            }
        }
        if regions.is_empty() { Ok(plans) } else { Err(NoPlans { regions }) }
    }
}
