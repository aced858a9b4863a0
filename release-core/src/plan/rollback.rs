//! The way back, computed from the plan and what has happened: just another plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Alternate, Compensation, Edge, EdgeKind, Extension, FrozenPlan, OnFailure, Part, Plan,
    RetryPolicy, Step, Undo, UndoPhase,
};
use crate::ids::{EnvironmentId, RegionId, StepId};
use crate::model::RollbackScope;

/// Whether a step may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// It never started.
    No,
    /// It started and is not known to be done; whether it took effect does not matter, since undoing
    /// is a desired state too.
    Yes,
    /// It is done.
    Done,
    /// It was given up with a part that is left behind, and what it had changed is as it was before.
    Left,
}

impl Touched {
    /// Whether there may be something to undo.
    pub(crate) const fn is_begun(self) -> bool {
        matches!(self, Self::Yes | Self::Done)
    }
}

/// How far a rollback reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Everything that the run changed.
    Release,
    /// One environment; steps without one, if none is named.
    Environment(Option<EnvironmentId>),
    /// One region of an environment.
    Region(Option<EnvironmentId>, Option<RegionId>),
    /// Some regions of an environment.
    Wave(EnvironmentId, BTreeSet<RegionId>),
}

impl Reach {
    /// As far as `scope` reaches from `step` of `plan`. Where no wave is known, a wave is the environment; of a step that
    /// belongs to all regions of its environment, as those of flags do, the region is all of them.
    pub fn of(plan: &Plan, step: &Step, scope: RollbackScope) -> Self {
        let (environment, region) = (step.scope.environment(), step.scope.region());
        match scope {
            RollbackScope::Release => Self::Release,
            RollbackScope::Wave => {
                match plan.lines().iter().find_map(|line| Some((line, line.wave_of(step)?))) {
                    Some((line, wave)) => {
                        Self::Wave(line.environment.clone(), wave.iter().cloned().collect())
                    }
                    None => Self::Environment(environment.cloned()),
                }
            }
            RollbackScope::Region if region.is_some() => {
                Self::Region(environment.cloned(), region.cloned())
            }
            RollbackScope::Region | RollbackScope::Environment => {
                Self::Environment(environment.cloned())
            }
        }
    }

    /// Whether `step` lies within.
    pub fn covers(&self, step: &Step) -> bool {
        match self {
            Self::Release => true,
            Self::Environment(environment) => step.scope.environment() == environment.as_ref(),
            Self::Wave(environment, regions) => {
                step.scope.environment() == Some(environment)
                    && step.scope.region().is_some_and(|region| regions.contains(region))
            }
            Self::Region(environment, region) => {
                step.scope.environment() == environment.as_ref()
                    && step.scope.region() == region.as_ref()
            }
        }
    }
}

/// A rollback that cannot be, because a step behind it cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{step}` is a point of no return ({justification}); roll forward: mend what failed and retry it, or abandon the run"
)]
pub struct Blocked {
    /// The step.
    pub step: StepId,
    /// Why it was acceptable that it cannot be undone.
    pub justification: String,
}

impl Plan {
    /// The first step within `reach` behind which there is no version to return to, as somebody
    /// acknowledged.
    pub(crate) fn one_way(&self, reach: &Reach) -> Option<Blocked> {
        let acknowledged = self.roll_forward_only()?;
        let first = self.steps().iter().find(|step| {
            let service = step.scope.place().and_then(|place| place.service.as_ref());
            let one_way = service.is_some_and(|service| acknowledged.concerns(service));
            one_way && step.action.mutates() && reach.covers(step)
        })?;
        Some(Blocked { step: first.id.clone(), justification: acknowledged.justification() })
    }
}

/// Computes the rollback of what `touched` says was started within `reach`, and of every other region
/// that is under way, as a whole, so that none is left with some services of one set and some of the other. Pure: it
/// can be shown before it is needed ([`RunState::rollback_plan`](crate::run::RunState::rollback_plan)).
///
/// Groups are rolled back in reverse order of what depends on what. In a group, what is to serve is
/// brought up first and checked, then traffic returns, then the rest is removed
/// ([`UndoPhase`](super::UndoPhase)); within a phase, later steps are undone first, and equal
/// compensations are done once. No group waits for what another one only keeps for a while, or tells.
///
/// Where the release has arrived and stays, the old version is kept as long as it was to be, counted anew, and looked
/// after before it is removed. Neither what goes back nor who is told of that waits for it.
///
/// # Errors
/// [`Blocked`] names the first point of no return that was passed.
pub fn rollback(
    plan: &FrozenPlan,
    touched: impl Fn(u32) -> Touched,
    reach: &Reach,
) -> Result<Extension, Blocked> {
    let (undone, finales) = chosen(plan, touched, reach);
    let undo = compensations(plan, &undone)?;
    let mut builder = Builder::new(plan, undone);
    builder.build(plan, undo);
    if !builder.extension.steps.is_empty() {
        let release = plan.plan().release();
        builder.notify(plan, &format!("{release} of {} was rolled back", plan.plan().train()));
    }
    builder.tidy(plan, &finales);
    if !builder.extension.steps.is_empty() {
        builder.pages(plan);
    }
    Ok(builder.extension)
}

/// Computes what takes back a part that is left behind, of which `touched` says what was started, while the
/// rest goes on. As a [`rollback`] of that part alone; nobody is called when it cannot go on, since the run
/// as a whole does, but a step of it that fails waits for a person, without whom the run does not end.
///
/// # Errors
/// [`Blocked`] names the first point of no return that the part passed.
pub fn take_back(
    plan: &FrozenPlan,
    touched: impl Fn(u32) -> Touched,
    part: &Part,
) -> Result<Extension, Blocked> {
    let order = plan.plan().order().unwrap_or_default();
    let covered = |index: &u32| plan.get(*index).is_some_and(|step| part.covers(step));
    let undone: Vec<u32> =
        order.into_iter().filter(|index| covered(index) && touched(*index).is_begun()).collect();
    let undo = compensations(plan, &undone)?;
    let mut builder = Builder::new(plan, undone);
    builder.extension.part = Some(part.clone());
    builder.build(plan, undo);
    if !builder.extension.steps.is_empty() {
        let (release, train) = (plan.plan().release(), plan.plan().train());
        builder.notify(plan, &format!("{part} is left behind by {release} of {train}"));
    }
    Ok(builder.extension)
}

/// The compensations of one step, with the step; a list a group, and one for the steps without.
type Undoing<'a> = Vec<Vec<(&'a Step, &'a Compensation)>>;

/// What undoes these steps, later ones first.
fn compensations<'a>(plan: &'a FrozenPlan, undone: &[u32]) -> Result<Undoing<'a>, Blocked> {
    let groups = plan.plan().groups().len();
    let mut undo: Undoing<'_> = vec![Vec::new(); groups + 1];
    let mut seen: BTreeSet<(usize, String)> = BTreeSet::new();
    for step in undone.iter().rev().filter_map(|index| plan.get(*index)) {
        match &step.undo {
            Undo::Undeclared | Undo::Nothing | Undo::Stays => {}
            Undo::PointOfNoReturn { justification, .. } => {
                return Err(Blocked {
                    step: step.id.clone(),
                    justification: justification.clone(),
                });
            }
            Undo::Compensate(compensations) => {
                let group = step.group.map_or(groups, |group| group as usize);
                let Some(list) = undo.get_mut(group) else { continue };
                for compensation in compensations {
                    let action = serde_json::to_string(&compensation.action).unwrap_or_default();
                    if seen.insert((group, action)) {
                        list.push((step, compensation));
                    }
                }
            }
        }
    }
    Ok(undo)
}

/// The started steps that are undone, in an order in which every edge goes forward, and the finales
/// that are done because nobody else will, in such an order too: the removal of old versions elsewhere, with the time
/// for which they are kept and the look before it.
///
/// A region outside the scope is undone as well, all of it, when it is under way: what is done of it was verified with nothing
/// of the rest. One whose traffic has all arrived, and was judged, is not; it is tidied up.
fn chosen(
    plan: &FrozenPlan,
    touched: impl Fn(u32) -> Touched,
    reach: &Reach,
) -> (Vec<u32>, Vec<u32>) {
    let order = plan.plan().order().unwrap_or_default();
    let steps = || order.iter().filter_map(|index| Some((*index, plan.get(*index)?)));
    // Those whose rollout was begun and is not known to be done.
    let mut begun = BTreeSet::new();
    let mut open = BTreeSet::new();
    for (index, step) in steps().filter(|(_, step)| !step.finale) {
        let whole = Whole::of(step);
        match touched(index) {
            Touched::Done => begun.extend(whole),
            Touched::Yes => {
                begun.extend(whole);
                open.extend(whole);
            }
            Touched::No => open.extend(whole),
            Touched::Left => {}
        }
    }
    let is_under_way =
        |step: &Step| Whole::of(step).is_some_and(|w| begun.contains(&w) && open.contains(&w));
    let is_done = |step: &Step| Whole::of(step).is_some_and(|whole| !open.contains(&whole));
    let (mut undone, mut finales) = (Vec::new(), Vec::new());
    for (index, step) in steps() {
        let touched = touched(index);
        if reach.covers(step) || is_under_way(step) {
            if touched.is_begun() {
                undone.push(index);
            }
        } else if step.finale && is_done(step) && matches!(touched, Touched::No | Touched::Yes) {
            finales.push(index);
        }
    }
    (undone, finales)
}

/// What goes back as one: all services of a region, or a group that belongs to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whole<'a> {
    Region(Option<&'a EnvironmentId>, &'a RegionId),
    Group(u32),
}

impl<'a> Whole<'a> {
    /// That of a step; none of one that is rolled back with no others.
    fn of(step: &'a Step) -> Option<Self> {
        let group = step.group?;
        let region = step.scope.region();
        Some(region.map_or(Self::Group(group), |r| Self::Region(step.scope.environment(), r)))
    }
}

/// What is tried instead when a compensation fails for good: the same again as another operation,
/// since a platform may remember that the first failed; and fewer healthy instances rather than none,
/// since traffic is better there than on what is rolled back.
fn alternate(compensation: &Compensation) -> Option<Action> {
    match (&compensation.action, compensation.phase) {
        (Action::Probe { deployment, min_ready }, UndoPhase::Unwind | UndoPhase::CheckHealth) => {
            (*min_ready > 1).then(|| Action::Probe { deployment: deployment.clone(), min_ready: 1 })
        }
        (action, UndoPhase::Unwind | UndoPhase::RestoreCapacity | UndoPhase::RestoreTraffic) => {
            Some(action.clone())
        }
        _ => None,
    }
}

struct Builder {
    extension: Extension,
    names: BTreeSet<StepId>,
}

impl Builder {
    fn new(plan: &FrozenPlan, undoes: Vec<u32>) -> Self {
        let extension = Extension { undoes, ..Extension::default() };
        // Names are unique in the plan and all that is appended together, since people refer to steps by them.
        let appended = plan.extensions().flat_map(|(_, extension)| &extension.steps);
        let taken = plan.plan().steps().iter().chain(appended).map(|step| &step.id);
        let names = taken.filter(|id| id.as_str().starts_with("rollback/")).cloned().collect();
        Self { extension, names }
    }

    fn build(&mut self, plan: &FrozenPlan, undo: Undoing<'_>) {
        let groups = plan.plan().groups();
        // For each group, what has to be undone before it: of those groups, the last steps up to `Remove`. What they keep
        // for a while, and whom they tell, holds up nobody's way back.
        let mut waits: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); groups.len() + 1];
        for (at, mut list) in undo.into_iter().enumerate().rev() {
            list.sort_by_key(|(_, compensation)| compensation.phase); // stable: later steps first
            let mut last = waits.get_mut(at).map(std::mem::take).unwrap_or_default();
            let mut back = last.clone();
            for (origin, compensation) in list {
                let index = self.step(origin, compensation);
                for from in last {
                    self.edge(from, index);
                }
                last = BTreeSet::from([index]);
                if compensation.phase <= UndoPhase::Remove {
                    back.clone_from(&last);
                }
            }
            for before in groups.get(at).into_iter().flat_map(|group| &group.after) {
                if let Some(set) = waits.get_mut(*before as usize) {
                    set.extend(&back);
                }
            }
        }
    }

    /// What is left of finales: those of each group one after the other, behind nothing else.
    fn tidy(&mut self, plan: &FrozenPlan, finales: &[u32]) {
        let mut last: BTreeMap<u32, u32> = BTreeMap::new();
        for step in finales.iter().filter_map(|index| plan.get(*index)) {
            let mut action = step.action.clone();
            if let Action::Analyze { from, until, .. } = &mut action {
                // Those steps are not done again: it measures from its own start.
                (*from, *until) = (None, None);
            }
            let at = self.step(step, &Compensation { action, phase: UndoPhase::Retire });
            if let Some(before) = step.group.and_then(|group| last.insert(group, at)) {
                self.edge(before, at);
            }
        }
    }

    fn step(&mut self, origin: &Step, compensation: &Compensation) -> u32 {
        let id = self.name(&format!("rollback/{}/{}", origin.id, compensation.action.name()));
        let mut step = Step::new(id, compensation.action.clone());
        step.scope = origin.scope.clone();
        step.timeout = origin.timeout;
        step.retry = RetryPolicy::attempts(origin.retry.max_attempts.max(5));
        step.on_failure = match compensation.phase {
            UndoPhase::Tell => OnFailure::Continue,
            _ => OnFailure::Hold,
        };
        let index = self.push(step);
        self.extension
            .alternates
            .extend(alternate(compensation).map(|action| Alternate { step: index, action }));
        index
    }

    /// Who is told when the rollback is stuck. They wait for that, and for nothing else.
    fn pages(&mut self, plan: &FrozenPlan) {
        let plan = plan.plan();
        for channel in plan.notify() {
            let message = format!(
                "the rollback of {} of {} is stuck and needs a person",
                plan.release(),
                plan.train()
            );
            let id = self.name(&format!("rollback/page/{channel}"));
            let action = Action::Notify { channel: channel.clone(), message };
            let mut step = Step::new(id, action).on_failure(OnFailure::Continue);
            step.retry = RetryPolicy::attempts(5);
            let at = self.push(step);
            self.extension.pages.push(at);
        }
    }

    fn notify(&mut self, plan: &FrozenPlan, message: &str) {
        let plan = plan.plan();
        let ends: BTreeSet<u32> = self.extension.edges.iter().map(|edge| edge.from).collect();
        let count = u32::try_from(self.extension.steps.len()).unwrap_or(u32::MAX);
        for channel in plan.notify() {
            let message = message.to_owned();
            let id = self.name(&format!("rollback/notify/{channel}"));
            let action = Action::Notify { channel: channel.clone(), message };
            let mut step = Step::new(id, action).on_failure(OnFailure::Continue);
            step.retry = RetryPolicy::attempts(3);
            let at = self.push(step);
            (0..count).filter(|from| !ends.contains(from)).for_each(|from| self.edge(from, at));
        }
    }

    fn push(&mut self, step: Step) -> u32 {
        self.extension.steps.push(step);
        u32::try_from(self.extension.steps.len() - 1).unwrap_or(u32::MAX)
    }

    fn edge(&mut self, from: u32, to: u32) {
        self.extension.edges.push(Edge { from, to, why: EdgeKind::Order });
    }

    /// `wanted`, or with a number behind it when it is taken or too long.
    fn name(&mut self, wanted: &str) -> StepId {
        let numbered =
            (1..u32::MAX).map(|n| if n == 1 { wanted.to_owned() } else { format!("{wanted}-{n}") });
        let short = (1..u32::MAX).map(|n| format!("rollback/{n}"));
        let free = |name: String| StepId::new(name).ok().filter(|id| !self.names.contains(id));
        let fits = wanted.len() + 11 <= crate::ids::MAX_STEP_ID_LEN;
        let found = if fits {
            numbered.chain(short).find_map(free)
        } else {
            short.into_iter().find_map(free)
        };
        #[expect(clippy::expect_used, reason = "INVARIANT: four billion names cannot all be taken")]
        let id = found.expect("a free name");
        self.names.insert(id.clone());
        id
    }
}
