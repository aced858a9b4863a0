//! The plan as running reads it: flat arrays (compressed sparse rows), no graph library, no maps.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::{Edge, Extension, Plan, Step};
use crate::model::{Digest, Gate, GateId};

/// A plan frozen into flat arrays: for each step its successors and the number of its predecessors.
///
/// Costs 8 bytes a step and 4 an edge beyond the plan itself. What is appended while it runs (what takes
/// back a part that is left behind, a rollback) are further segments, whose indices follow those of the
/// plan and of each other.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct FrozenPlan(Arc<Frozen>);

/// Short: a plan can have a million steps, and its digest says which it is.
impl fmt::Debug for FrozenPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrozenPlan({} steps, {:?})", self.len(), self.digest())
    }
}

#[derive(Clone)]
struct Frozen {
    plan: Arc<Plan>,
    digest: Digest,
    bytes: Arc<[u8]>,
    rows: Arc<Rows>,
    /// Steps without an effect before which people have to agree.
    gated: Arc<[u32]>,
    /// What was appended, in order.
    segments: Vec<Arc<Segment>>,
    /// Plans that a run goes on with later.
    later: Vec<FrozenPlan>,
}

/// An extension, and where its steps begin.
struct Segment {
    base: u32,
    extension: Extension,
    rows: Rows,
}

struct Rows {
    offsets: Vec<u32>,
    successors: Vec<u32>,
    in_degrees: Vec<u32>,
    /// The same edges seen from their ends: offsets and predecessors. Running needs none, so they are
    /// made when somebody asks for the first.
    backwards: OnceLock<(Vec<u32>, Vec<u32>)>,
}

impl FrozenPlan {
    pub(super) fn new(plan: Plan, bytes: Vec<u8>) -> Self {
        let rows = Arc::new(Rows::build(plan.steps().len(), plan.edges()));
        let digest = Digest::of(&bytes);
        let gated = (0..).zip(plan.steps()).filter(|(_, step)| step.is_gated());
        let gated = gated.filter(|(_, step)| step.action.is_pure()).map(|(index, _)| index);
        let gated = gated.collect();
        let (plan, bytes) = (Arc::new(plan), bytes.into());
        Self(Arc::new(Frozen {
            plan,
            digest,
            bytes,
            rows,
            gated,
            segments: Vec::new(),
            later: Vec::new(),
        }))
    }

    /// The same plan, with others that a run of it goes on with later: whoever folds the records of a run
    /// that was [migrated](crate::run::migrate) needs all its plans.
    #[must_use]
    pub fn with_later(&self, mut plans: Vec<Self>) -> Self {
        plans.extend(self.0.later.iter().cloned());
        Self(Arc::new(Frozen { later: plans, ..Frozen::clone(&self.0) }))
    }

    /// The plan of this digest, if it is one of those given with [`FrozenPlan::with_later`].
    #[must_use]
    pub fn later(&self, digest: Digest) -> Option<Self> {
        let plan = self.0.later.iter().find(|plan| plan.digest() == digest)?;
        let later = self.0.later.clone();
        Some(Self(Arc::new(Frozen { later, ..Frozen::clone(&plan.0) })))
    }

    /// What is tried instead of the step at `index` when it fails for good.
    pub fn alternate(&self, index: u32) -> Option<&super::Action> {
        let segment = self.segment(index)?;
        let place = index.checked_sub(segment.base)?;
        let mut alternates = segment.extension.alternates.iter();
        Some(&alternates.find(|alternate| alternate.step == place)?.action)
    }

    /// The same plan, in which the step at `index` is what is tried instead of it.
    #[must_use]
    pub(crate) fn with_alternate(&self, index: u32) -> Self {
        let nth = self.0.segments.iter().rposition(|segment| segment.base <= index);
        let Some((nth, segment)) = nth.and_then(|nth| Some((nth, self.0.segments.get(nth)?)))
        else {
            return self.clone();
        };
        let mut extension = segment.extension.clone();
        let place = index - segment.base;
        let tried = extension.alternates.iter().position(|alternate| alternate.step == place);
        let (Some(tried), Some(step)) = (tried, extension.steps.get_mut(place as usize)) else {
            return self.clone();
        };
        step.action = extension.alternates.remove(tried).action;
        let mut frozen = Frozen::clone(&self.0);
        if let Some(slot) = frozen.segments.get_mut(nth) {
            *slot = Arc::new(Segment::new(segment.base, extension));
        }
        Self(Arc::new(frozen))
    }

    /// The same plan with more steps appended.
    #[must_use]
    pub(crate) fn extended(&self, extension: Extension) -> Self {
        let mut frozen = Frozen::clone(&self.0);
        let base = u32::try_from(self.len()).unwrap_or(u32::MAX);
        frozen.segments.push(Arc::new(Segment::new(base, extension)));
        Self(Arc::new(frozen))
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Identifies the plan by content.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The plan's JSON, whose SHA-256 is [`FrozenPlan::digest`].
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.0.bytes
    }

    /// What was appended, in order, each with the place of its first step: what takes back parts that are
    /// left behind, and last a rollback, if there is one.
    pub fn extensions(&self) -> impl Iterator<Item = (u32, &Extension)> {
        self.0.segments.iter().map(|segment| (segment.base, &segment.extension))
    }

    /// The rollback that was appended, if any, with the place of its first step.
    pub fn rollback(&self) -> Option<(u32, &Extension)> {
        self.extensions().last().filter(|(_, extension)| extension.part.is_none())
    }

    /// What `index` was appended with, and the place of the first step of that.
    pub(crate) fn extension_of(&self, index: u32) -> Option<(u32, &Extension)> {
        let segment = self.segment(index)?;
        Some((segment.base, &segment.extension))
    }

    /// How many steps there are, those that were appended included.
    pub fn len(&self) -> usize {
        match self.0.segments.last() {
            None => self.base_len(),
            Some(last) => last.base as usize + last.extension.steps.len(),
        }
    }

    /// Whether there are no steps.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many steps the plan had before anything was appended.
    pub fn base_len(&self) -> usize {
        self.0.plan.steps().len()
    }

    /// Whether step `index` puts something back: it belongs to a rollback, or to what takes back a part
    /// that is left behind.
    pub fn in_rollback(&self, index: u32) -> bool {
        index as usize >= self.base_len()
    }

    /// The step at `index`, if there is one.
    pub fn get(&self, index: u32) -> Option<&Step> {
        if let Some(step) = self.0.plan.steps().get(index as usize) {
            return Some(step);
        }
        let segment = self.segment(index)?;
        segment.extension.steps.get(index.checked_sub(segment.base)? as usize)
    }

    /// What `index` was appended with; nothing for a step of the plan itself.
    fn segment(&self, index: u32) -> Option<&Segment> {
        self.0.segments.iter().rfind(|segment| segment.base <= index).map(|segment| &**segment)
    }

    #[expect(
        clippy::expect_used,
        reason = "INVARIANT: run checks indices from journals with `get` first"
    )]
    pub(crate) fn step(&self, index: u32) -> &Step {
        self.get(index).expect("a step index that `run` has checked")
    }

    /// The `nth` step that waits for `index`, in the order of the plan's edges.
    pub fn successor(&self, index: u32, nth: usize) -> Option<u32> {
        let (rows, base) = self.rows_of(index);
        rows.row(index - base).get(nth).map(|to| to + base)
    }

    /// The steps that `index` waits for. The first call for a plan walks all of its edges; then it costs
    /// 4 bytes a step and 4 an edge more.
    pub fn predecessors(&self, index: u32) -> impl Iterator<Item = u32> {
        let (rows, base) = self.rows_of(index);
        rows.backwards(index - base).iter().map(move |from| from + base)
    }

    /// How many steps `index` waits for.
    pub fn in_degree(&self, index: u32) -> u32 {
        let (rows, base) = self.rows_of(index);
        rows.in_degrees.get((index - base) as usize).copied().unwrap_or(0)
    }

    fn rows_of(&self, index: u32) -> (&Rows, u32) {
        match self.segment(index) {
            None => (&self.0.rows, 0),
            Some(segment) => (&segment.rows, segment.base),
        }
    }

    /// Steps without an effect before which people have to agree: gates of stages stand before such a step.
    pub(crate) fn gated(&self) -> &[u32] {
        &self.0.gated
    }

    /// The steps behind the gate called `id`; walks the plan, so not for the hot path.
    pub fn behind(&self, id: &GateId) -> impl Iterator<Item = &Step> {
        let base = self.0.plan.steps().iter();
        let rest = self.extensions().flat_map(|(_, extension)| &extension.steps);
        let has = |step: &&Step| {
            step.gates.iter().filter_map(Gate::approval).any(|approval| approval.id == *id)
        };
        base.chain(rest).filter(has)
    }

    /// The index of the step called `id`; walks the plan, so not for the hot path.
    pub fn find(&self, id: &crate::ids::StepId) -> Option<u32> {
        let base = self.0.plan.steps().iter();
        let rest = self.extensions().flat_map(|(_, extension)| &extension.steps);
        let at = base.chain(rest).position(|step| step.id == *id)?;
        u32::try_from(at).ok()
    }
}

impl Segment {
    fn new(base: u32, extension: Extension) -> Self {
        let rows = Rows::build(extension.steps.len(), &extension.edges);
        Self { base, extension, rows }
    }
}

impl Rows {
    fn build(steps: usize, edges: &[Edge]) -> Self {
        let (offsets, successors) = sort(steps, || edges.iter().map(|edge| (edge.from, edge.to)));
        let mut in_degrees = vec![0_u32; steps];
        for edge in edges {
            if let Some(count) = in_degrees.get_mut(edge.to as usize) {
                *count += 1;
            }
        }
        Self { offsets, successors, in_degrees, backwards: OnceLock::new() }
    }

    fn row(&self, index: u32) -> &[u32] {
        slice(&self.offsets, &self.successors, index)
    }

    fn backwards(&self, index: u32) -> &[u32] {
        let (offsets, predecessors) = self.backwards.get_or_init(|| {
            let froms = || 0..u32::try_from(self.in_degrees.len()).unwrap_or(u32::MAX);
            let edges =
                || froms().flat_map(|from| self.row(from).iter().map(move |to| (*to, from)));
            sort(self.in_degrees.len(), edges)
        });
        slice(offsets, predecessors, index)
    }
}

/// Compressed sparse rows: the second of each pair, in the order of the first; and where the pairs of
/// each first begin.
fn sort<I: Iterator<Item = (u32, u32)>>(
    steps: usize,
    pairs: impl Fn() -> I,
) -> (Vec<u32>, Vec<u32>) {
    let mut offsets = vec![0_u32; steps + 1];
    for (from, _) in pairs() {
        if let Some(count) = offsets.get_mut(from as usize + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for offset in &mut offsets {
        sum += *offset;
        *offset = sum;
    }
    let mut next = offsets.clone();
    let mut seconds = vec![0_u32; sum as usize];
    for (from, to) in pairs() {
        let Some(at) = next.get_mut(from as usize) else { continue };
        if let Some(slot) = seconds.get_mut(*at as usize) {
            *slot = to;
        }
        *at += 1;
    }
    (offsets, seconds)
}

fn slice<'a>(offsets: &[u32], all: &'a [u32], index: u32) -> &'a [u32] {
    let at = |i: usize| offsets.get(i).map_or(0, |offset| *offset as usize);
    all.get(at(index as usize)..at(index as usize + 1)).unwrap_or_default()
}
