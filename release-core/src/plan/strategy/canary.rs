//! Give the new version a growing share of the traffic, and judge it at each.

use super::{Rollout, Site};
use crate::ids::IdError;
use crate::model::Canary;

pub(super) fn steps(spec: &Canary, site: &Site<'_>) -> Result<Rollout, IdError> {
    let mut steps =
        vec![site.scale_new("start", site.replicas)?, site.probe("ready", site.replicas)?];
    for step in &spec.steps {
        let weight = step.weight;
        steps.push(site.route(&format!("weight-{weight}"), weight)?);
        steps.extend(site.bake(&format!("weight-{weight}/bake"), step.bake)?);
        steps.extend(site.judge(&format!("weight-{weight}/"), &step.analyses, &steps)?);
        steps.push(site.still_ready(&format!("weight-{weight}/"))?);
    }
    if spec.steps.last().is_some_and(|last| last.weight < 100) {
        steps.push(site.route("promote", 100)?);
        steps.push(site.still_ready("")?);
    }
    Ok(Rollout { steps, finale: site.retire(spec.keep_old)? })
}
