//! Replace a batch of instances at a time; each version's traffic follows its share of instances.

use super::{Rollout, Site};
use crate::ids::IdError;
use crate::model::Rolling;

pub(super) fn steps(spec: &Rolling, site: &Site<'_>) -> Result<Rollout, IdError> {
    let all = site.replicas;
    let batches = spec.batches.clamp(1, all.max(1));
    let mut steps = Vec::new();
    let mut replaced = 0;
    for batch in 1..=batches {
        let new = share(batch, all, batches);
        let may_miss = spec.max_unavailable.min(new - replaced);
        if may_miss > 0 {
            let left = all - replaced - may_miss;
            if left == 0 && replaced > 0 {
                // Nobody may be sent to an instance that is not there.
                steps.push(site.route(&format!("batch-{batch}/drain"), 100)?);
            }
            steps.extend(site.scale_old(&format!("batch-{batch}/make-room"), left)?);
        }
        steps.push(site.scale_new(&format!("batch-{batch}/start"), new)?);
        steps.push(site.probe(&format!("batch-{batch}/ready"), new)?);
        let percent = u8::try_from(share(100, new, all)).unwrap_or(100);
        steps.push(site.route(&format!("batch-{batch}/serve"), percent)?);
        if may_miss < new - replaced {
            steps.extend(site.scale_old(&format!("batch-{batch}/stop-old"), all - new)?);
        }
        steps.extend(site.bake(&format!("batch-{batch}/bake"), spec.bake)?);
        steps.extend(site.judge(&format!("batch-{batch}/"), &[], &steps)?);
        replaced = new;
    }
    steps.push(site.still_ready("")?);
    Ok(Rollout { steps, finale: Vec::new() })
}

/// `part × whole / parts`, rounded up; at most `whole` when `part <= parts`.
fn share(part: u32, whole: u32, parts: u32) -> u32 {
    let exact = (u64::from(part) * u64::from(whole)).div_ceil(u64::from(parts.max(1)));
    u32::try_from(exact).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn batches_cover_all_instances_without_overflow() {
        assert_eq!((1..=3).map(|batch| share(batch, 7, 3)).collect::<Vec<_>>(), [3, 5, 7]);
        assert_eq!(share(u32::MAX, u32::MAX, u32::MAX), u32::MAX);
        assert_eq!(share(100, 1, 3), 34);
    }
}
