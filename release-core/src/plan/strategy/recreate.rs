//! Stop the old version, then start the new one; in production, judge it once it serves.

use super::{Rollout, Site};
use crate::ids::IdError;

pub(super) fn steps(site: &Site<'_>) -> Result<Rollout, IdError> {
    let mut steps = Vec::new();
    steps.extend(site.scale_old("stop-old", 0)?);
    steps.push(site.scale_new("start", site.replicas)?);
    steps.push(site.probe("ready", site.replicas)?);
    steps.push(site.route("serve", 100)?);
    if site.production {
        steps.extend(site.judge("", &[], &steps)?);
    }
    steps.push(site.still_ready("")?);
    Ok(Rollout { steps, finale: Vec::new() })
}
