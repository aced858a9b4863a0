//! What becomes of a rollout that is under way as a window closes.

use release_core::plan::{Action, FrozenPlan, Step, Weight};
use release_core::run::{RunState, Status};
use serde::{Deserialize, Serialize};

/// What becomes of a rollout that is under way as a freeze begins, or as the last deployment window
/// closes. Where several windows speak, the strictest holds: the greatest in this order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum OnStart {
    /// The rollout goes on to its end; what has not begun waits.
    #[doc(alias = "syncOverrun")]
    Finish,
    /// It goes on to the next safe point and waits there.
    #[default]
    HoldAtSafePoint,
    /// It is rolled back.
    Revert,
}

/// How a step lies to the traffic of its rollout: whether a run can be held just before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Safe: it belongs to no rollout.
    Outside,
    /// Safe: its rollout has moved no traffic yet.
    BeforeShift,
    /// Safe: a batch is done and serves, and this begins the next.
    BetweenBatches,
    /// Safe: all traffic is on one version.
    Whole,
    /// Not safe: it looks at what was just done, or finishes it.
    Amidst,
    /// Not safe: traffic is split between versions.
    Split,
}

impl Point {
    /// Whether a run can be held here.
    pub const fn is_safe(self) -> bool {
        match self {
            Self::Outside | Self::BeforeShift | Self::BetweenBatches | Self::Whole => true,
            Self::Amidst | Self::Split => false,
        }
    }

    /// How the step of `plan` at `index` lies, by the steps before it. A rollout is the steps of one
    /// group, one after the other:
    ///
    /// - before its first [`Action::Route`] no traffic has moved;
    /// - while a route leaves several versions with a share, only the beginning of the next batch is
    ///   safe: an [`Action::Scale`] that follows no other scaling;
    /// - once one version has all traffic, whatever changes something is safe, unless it follows that
    ///   route directly and so belongs to it;
    /// - a step that only looks (a probe, an analysis, a bake) belongs to what it looks at.
    ///
    /// Of a step that is not in the plan, [`Point::Amidst`].
    pub fn before(plan: &FrozenPlan, index: u32) -> Self {
        let Some(step) = plan.get(index) else { return Self::Amidst };
        if step.group.is_none() {
            return Self::Outside;
        }
        let earlier: Vec<_> =
            earlier(plan, index, step).into_iter().filter_map(|at| plan.get(at)).collect();
        let route = earlier.iter().find_map(|step| match &step.action {
            Action::Route { weights, .. } => Some(weights.as_slice()),
            _ => None,
        });
        let last = earlier.first().map(|step| &step.action);
        let scale = matches!(step.action, Action::Scale { .. });
        match route.map(versions) {
            None => Self::BeforeShift,
            Some(2..) if !scale => Self::Split,
            Some(2..) if matches!(last, Some(Action::Scale { .. })) => Self::Amidst,
            Some(2..) => Self::BetweenBatches,
            Some(0 | 1) if !step.action.mutates() => Self::Amidst,
            Some(0 | 1) if matches!(last, Some(Action::Route { .. } | Action::Scale { .. })) => {
                Self::Amidst
            }
            Some(0 | 1) => Self::Whole,
        }
    }
}

/// How many versions have a share.
fn versions(weights: &[Weight]) -> usize {
    let mut served: Vec<_> = weights.iter().filter(|w| w.percent > 0).map(|w| w.digest).collect();
    served.sort_unstable();
    served.dedup();
    served.len()
}

/// The steps of the same group before `index`, the latest first.
fn earlier(plan: &FrozenPlan, index: u32, step: &Step) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = previous(plan, index, step);
    while let Some((index, step)) = next {
        if found.len() >= plan.len() {
            break; // no plan has a cycle
        }
        found.push(index);
        next = previous(plan, index, step);
    }
    found
}

/// The step of the same group that comes just before; the latest in the plan, if several do. Between
/// the steps of a group there may be one that others meet at. A step without a group belongs to no
/// rollout, and none comes before it.
fn previous<'a>(plan: &'a FrozenPlan, index: u32, step: &Step) -> Option<(u32, &'a Step)> {
    step.group.as_ref()?;
    let same = |at: u32| plan.get(at).filter(|other| other.group == step.group).map(|s| (at, s));
    let direct = plan.predecessors(index).filter_map(same).max_by_key(|(at, _)| *at);
    direct.or_else(|| {
        let through = plan.predecessors(index).flat_map(|at| plan.predecessors(at));
        through.filter_map(same).max_by_key(|(at, _)| *at)
    })
}

/// How far a step is as a window closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its effect is under way.
    UnderWay,
    /// It would start next, and its rollout has done nothing yet.
    First,
    /// It would start next, and its rollout has begun.
    Next,
}

impl Standing {
    /// How far the step at `index` of a run is.
    pub fn of(state: &RunState, index: u32) -> Self {
        let status = state.status(index);
        if status == Some(Status::Running) {
            return Self::UnderWay;
        }
        let plan = state.plan();
        let Some(step) = plan.get(index) else { return Self::First };
        let tried = state.active(index).is_some_and(|active| active.attempt > 0);
        let begun = |at: &u32| {
            let acts = plan.get(*at).is_some_and(|step| step.action.mutates());
            acts && state.status(*at) == Some(Status::Succeeded)
        };
        if tried || earlier(plan, index, step).iter().any(begun) { Self::Next } else { Self::First }
    }
}

/// What to do with a step as a window closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MidFlight {
    /// It goes on; ask again about the step after it.
    GoOn,
    /// It does not start until windows are open again.
    Hold,
    /// Its rollout is rolled back, which no window holds.
    Revert,
}

/// What to do with the step of `plan` at `index` as windows close that say `on_start`.
///
/// A step that is under way is never cut off, for then nobody would know what it has done; and a step of
/// a rollback always goes on. So a run is never parked with its traffic split: it goes on until a point
/// [before](Point::before) which it is not, or back.
pub fn mid_flight(
    plan: &FrozenPlan,
    index: u32,
    standing: Standing,
    on_start: OnStart,
) -> MidFlight {
    if plan.in_rollback(index) {
        return MidFlight::GoOn;
    }
    match (on_start, standing) {
        (_, Standing::First) => MidFlight::Hold,
        (OnStart::Revert, Standing::UnderWay | Standing::Next) => MidFlight::Revert,
        (_, Standing::UnderWay) | (OnStart::Finish, Standing::Next) => MidFlight::GoOn,
        (OnStart::HoldAtSafePoint, Standing::Next) => {
            if Point::before(plan, index).is_safe() {
                MidFlight::Hold
            } else {
                MidFlight::GoOn
            }
        }
    }
}
