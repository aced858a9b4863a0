//! Stop the old version, then start the new one; in production, judge it once it serves.

use super::{Judged, Rollout, RolloutStrategy, Site, StrategyError};

/// Stop, then start.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Recreate;

impl RolloutStrategy for Recreate {
    fn names(&self) -> &'static [&'static str] {
        &["stop-old", "start", "ready", "serve", "still-ready", "still-routed"]
    }

    fn judged(&self) -> Vec<Judged<'_>> {
        vec![Judged { analyses: Vec::new(), alone: Some("once it serves") }]
    }

    fn runs_both(&self) -> bool {
        false
    }

    fn judges_outside_production(&self) -> bool {
        false
    }

    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let mut steps = Vec::new();
        steps.extend(site.scale_old("stop-old", 0)?);
        // On the way back too, one version stops before the other starts: they may not bear each other.
        steps.push(site.scale_new_in_turn("start", site.replicas, 0)?);
        steps.push(site.probe("ready", site.replicas)?);
        steps.push(site.route("serve", 100)?);
        if site.production {
            steps.extend(site.judge("", &[], &steps)?);
            steps.extend(site.still_routed("", &steps)?);
        }
        steps.push(site.still_ready("", site.replicas)?);
        Ok(Rollout::of(steps))
    }
}
