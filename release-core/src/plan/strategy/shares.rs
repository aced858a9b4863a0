//! What changes of shares say of one version.

use crate::model::{Digest, Target, TrafficRules};
use crate::plan::{Action, Step, Weight};

/// How the traffic of a target is distributed: the shares, and what holds beside them.
pub(super) type Distribution = (Target, Vec<Weight>, Option<Box<TrafficRules>>);

/// Whether an action sets how traffic is distributed, or looks whether it still is.
pub(super) const fn distributes(step: &Step) -> bool {
    matches!(step.action, Action::Route { .. } | Action::Confirm { .. })
}

/// How traffic was distributed by the last of these steps that did that.
pub(super) fn distributed(steps: &[Step]) -> Option<Distribution> {
    steps.iter().rev().find_map(|step| match &step.action {
        Action::Route { target, weights, rules } | Action::Confirm { target, weights, rules } => {
            Some((target.clone(), weights.clone(), rules.clone()))
        }
        _ => None,
    })
}

/// The share of version `new` after this change of shares, in percent.
pub(super) fn share_after(action: &Action, new: Digest) -> Option<u8> {
    let Action::Route { weights, .. } = action else { return None };
    // Of all its instances, those of an experiment too.
    let own = weights.iter().filter(|weight| weight.digest == new);
    Some(own.fold(0, |share, weight| share.saturating_add(weight.percent)))
}

/// Which part of the requests that both versions get the version `new` gets, in percent, after this change of shares.
pub(super) fn share_of_both(action: &Action, new: Digest) -> Option<u8> {
    let share = share_after(action, new)?;
    let Action::Route { rules, .. } = action else { return None };
    let mirror = rules.as_ref().and_then(|rules| rules.mirror.as_ref());
    let mirror = mirror.filter(|mirror| mirror.to == new);
    // Of a hundred requests, and copies of those that the old version gets: of so many at the most, where they are picked.
    let copies =
        u32::from(mirror.map_or(0, |mirror| mirror.percent)) * u32::from(100 - share.min(100));
    let (all, own) = (10_000 + copies, u32::from(share) * 100 + copies);
    u8::try_from((own * 100 + all / 2) / all).ok()
}

/// Whether more than shares and copies of any requests decides who gets which requests.
pub(super) fn steered(rules: Option<&TrafficRules>) -> bool {
    rules.is_some_and(|rules| {
        let picked = rules.mirror.as_ref().is_some_and(|mirror| !mirror.only.is_empty());
        !rules.headers.is_empty() || rules.affinity.is_some() || picked
    })
}
