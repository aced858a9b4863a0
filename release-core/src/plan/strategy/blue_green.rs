//! Start the new version beside the old one, then switch all traffic at once.

use super::{Rollout, Site};
use crate::ids::IdError;
use crate::model::BlueGreen;

pub(super) fn steps(spec: &BlueGreen, site: &Site<'_>) -> Result<Rollout, IdError> {
    let mut switch = site.route("switch", 100)?;
    switch.gates = site.own_gates(&spec.gates)?;
    let mut steps = vec![
        site.scale_new("preview", site.replicas)?,
        site.probe("ready", site.replicas)?,
        switch,
    ];
    steps.extend(site.bake("bake", spec.bake)?);
    steps.extend(site.judge("", &spec.analyses, &steps)?);
    steps.push(site.still_ready("")?);
    Ok(Rollout { steps, finale: site.retire(spec.keep_old)? })
}
