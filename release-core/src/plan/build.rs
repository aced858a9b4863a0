//! The plan itself, and the builder for plans made by hand.

mod checks;
mod signals;
mod unmeasured;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use checks::{Kinds, check_step, named_again};
pub use signals::SignalRule;

use super::error::undecodable;
use super::{
    Edge, EdgeKind, FrozenPlan, Group, Line, PlanError, PlanErrors, Step, compare, flag, graph,
    traffic, undo,
};
use crate::ids::{ChannelId, EnvironmentId, ReleaseId, TrainId};
use crate::model::{Digest, Gate, OnCancel, Priority, RollForwardOnly, Span, Unmeasured};

/// The format of plans that this version reads and writes.
pub const PLAN_FORMAT: &str = "plan/v1";

/// Most steps that a plan may have unless its builder says otherwise.
const DEFAULT_MAX_STEPS: u32 = 2_000_000;

const DEFAULT_MAX_PARALLEL: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);

/// A release as a DAG of typed steps. Immutable and content-addressed.
///
/// Edges are index pairs into the plan's own list of steps; both are part of the hashed bytes, so
/// that an index can never come to mean another step. However a plan is read, it is checked as a
/// builder would check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Plan(Parts);

/// A plan as it is stored, before it is known to be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    format: String,
    train: TrainId,
    release: ReleaseId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    definition: Option<Digest>,
    on_cancel: OnCancel,
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    priority: Priority,
    max_parallel: NonZeroU32,
    /// Part of the plan, so that whoever reads it holds it to the limit of whoever made it.
    #[serde(default = "default_max_steps", skip_serializing_if = "is_default_max_steps")]
    max_steps: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notify: Vec<ChannelId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roll_forward_only: Option<RollForwardOnly>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lines: Vec<Line>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signals: Vec<SignalRule>,
    /// By environment: a plan has one stage in each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unmeasured: BTreeMap<EnvironmentId, Unmeasured>,
    steps: Vec<Step>,
    edges: Vec<Edge>,
    groups: Vec<Group>,
}

const fn default_max_steps() -> u32 {
    DEFAULT_MAX_STEPS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_default_max_steps(max_steps: &u32) -> bool {
    *max_steps == DEFAULT_MAX_STEPS
}

impl TryFrom<Parts> for Plan {
    type Error = PlanErrors;
    fn try_from(parts: Parts) -> Result<Self, PlanErrors> {
        if parts.format != PLAN_FORMAT {
            let error = PlanError::UnsupportedFormat { found: parts.format, expected: PLAN_FORMAT };
            return Err(PlanErrors(vec![error]));
        }
        parts.check()?;
        Ok(Self(parts))
    }
}

impl Plan {
    /// Begins a plan made by hand. [`super::plan`] makes one from a definition.
    pub fn builder(train: TrainId, release: ReleaseId) -> PlanBuilder {
        PlanBuilder {
            parts: Parts {
                format: PLAN_FORMAT.into(),
                train,
                release,
                definition: None,
                on_cancel: OnCancel::RollBack,
                priority: Priority::Normal,
                max_parallel: DEFAULT_MAX_PARALLEL,
                max_steps: DEFAULT_MAX_STEPS,
                notify: Vec::new(),
                roll_forward_only: None,
                lines: Vec::new(),
                signals: Vec::new(),
                unmeasured: BTreeMap::new(),
                steps: Vec::new(),
                edges: Vec::new(),
                groups: Vec::new(),
            },
        }
    }

    /// Reads a plan from its JSON and checks it as a builder would, its limit of steps included.
    ///
    /// Nothing that stands in the bytes is passed over: a plan is pinned by its digest, and a step
    /// without a field that this version does not know would do something else than what was
    /// approved.
    ///
    /// # Errors
    /// [`PlanErrors`] as from [`PlanBuilder::build`]; [`PlanError::UnsupportedFormat`] for another
    /// format, [`PlanError::UnknownContent`] for a field or an action that this version does not know,
    /// and [`PlanError::Unreadable`] for other bytes.
    pub fn decode(bytes: &[u8]) -> Result<FrozenPlan, PlanErrors> {
        let parts: Parts = serde_json::from_slice(bytes)
            .map_err(|error| PlanErrors(vec![undecodable(bytes, &error)]))?;
        let plan = Self::try_from(parts)?;
        Ok(FrozenPlan::new(plan, bytes.to_vec()))
    }

    /// The same with changed steps.
    ///
    /// # Errors
    /// As from [`PlanBuilder::build`].
    pub fn with_steps(mut self, change: impl FnMut(&mut Step)) -> Result<Self, PlanErrors> {
        self.0.steps.iter_mut().for_each(change);
        PlanBuilder { parts: self.0 }.build()
    }

    /// Freezes the plan for running, and computes its digest.
    pub fn freeze(self) -> FrozenPlan {
        // INVARIANT: a plan serialises without fail: string keys, finite numbers, no custom errors.
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        FrozenPlan::new(self, bytes)
    }

    /// The train.
    pub const fn train(&self) -> &TrainId {
        &self.0.train
    }

    /// The release.
    pub const fn release(&self) -> &ReleaseId {
        &self.0.release
    }

    /// The digest of the definition that it was made from, if it was made from one.
    pub const fn definition(&self) -> Option<Digest> {
        self.0.definition
    }

    /// What a cancel does with what was already changed.
    pub const fn on_cancel(&self) -> OnCancel {
        self.0.on_cancel
    }

    /// How urgent it is, where permits are waited for.
    pub const fn priority(&self) -> Priority {
        self.0.priority
    }

    /// How many effects may be under way at once.
    pub const fn max_parallel(&self) -> u32 {
        self.0.max_parallel.get()
    }

    /// Who is told of a rollback.
    pub fn notify(&self) -> &[ChannelId] {
        &self.0.notify
    }

    /// The steps; others refer to them by index.
    pub fn steps(&self) -> &[Step] {
        &self.0.steps
    }

    /// How environments go through their regions, where somebody said more than the order of their steps.
    pub fn lines(&self) -> &[Line] {
        &self.0.lines
    }

    /// Which step waits for which.
    pub fn edges(&self) -> &[Edge] {
        &self.0.edges
    }

    /// What is rolled back together.
    pub fn groups(&self) -> &[Group] {
        &self.0.groups
    }

    /// An order in which every edge goes forward: that of the steps, where it is one.
    ///
    /// # Errors
    /// The cycles; never for a plan that came out of [`PlanBuilder::build`] or [`Plan::decode`].
    pub fn order(&self) -> Result<Vec<u32>, PlanErrors> {
        self.0.order()
    }
}

impl Parts {
    fn order(&self) -> Result<Vec<u32>, PlanErrors> {
        // Those of definitions are written down in such an order.
        if self.edges.iter().all(|edge| edge.from < edge.to) {
            return Ok((0..).take(self.steps.len()).collect());
        }
        let pairs: Vec<_> = self.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        graph::order(self.steps.len(), &pairs).map_err(|cycles| {
            let name = |index: &u32| {
                self.steps.get(*index as usize).map_or_else(String::new, |step| step.id.to_string())
            };
            let error = |cycle: Vec<u32>| PlanError::Cycle {
                what: "steps",
                names: cycle.iter().map(name).collect(),
            };
            PlanErrors(cycles.into_iter().map(error).collect())
        })
    }

    fn check_size(&self, steps: usize) -> Result<(), PlanErrors> {
        let limit = self.max_steps as usize;
        if steps <= limit {
            return Ok(());
        }
        Err(PlanErrors(vec![PlanError::TooManySteps { limit }]))
    }

    fn check(&self) -> Result<Kinds, PlanErrors> {
        self.check_size(self.steps.len())?;
        let mut errors = Vec::new();
        let twice = named_again(&self.steps);
        let (mut gates, mut kinds) = (BTreeSet::new(), Kinds::default());
        for (at, step) in self.steps.iter().enumerate() {
            if twice.contains(&at) {
                errors.push(PlanError::Duplicate { what: "step", id: step.id.to_string() });
            }
            check_step(step, self.groups.len(), &mut errors);
            kinds.add(step);
            for gate in &step.gates {
                let Gate::Approval(approval) = gate else { continue };
                if !gates.insert(&approval.id) {
                    errors.push(PlanError::DuplicateGate { id: approval.id.clone() });
                }
                if approval.quorum == 0 {
                    errors.push(PlanError::EmptyQuorum { id: approval.id.clone() });
                }
                if approval.valid_for == Some(Span::ZERO) {
                    errors.push(PlanError::NoValidity { id: approval.id.clone() });
                }
            }
        }
        self.check_indices(&mut errors);
        if errors.is_empty() {
            match self.order() {
                Ok(order) => self.check_references(kinds, &order, &mut errors),
                Err(PlanErrors(cycles)) => errors = cycles,
            }
        }
        if errors.is_empty() { Ok(kinds) } else { Err(PlanErrors(errors)) }
    }

    /// Analyses measure from the start of a step that the journal keeps the start of, and that comes
    /// before them; flags are restored to what such a step read. `order` is the plan's.
    fn check_references(&self, kinds: Kinds, order: &[u32], errors: &mut Vec<PlanError>) {
        if kinds.flags {
            flag::check(&self.steps, &self.edges, order, errors);
        }
        if !kinds.analyses {
            return;
        }
        let windows = self.steps.iter().zip(0_u32..).filter_map(|(step, index)| {
            let super::Action::Analyze { from: Some(from), .. } = &step.action else { return None };
            Some((step, index, from))
        });
        let all = self.steps.iter().zip(0_u32..);
        let all = all.filter(|(step, _)| step.action.begins_a_window());
        let begins: BTreeMap<_, _> = all.map(|(step, index)| (&step.id, index)).collect();
        let mut ancestors = None;
        for (step, index, from) in windows {
            let known = begins.get(from).is_some_and(|before| {
                ancestors
                    .get_or_insert_with(|| graph::Ancestors::new(order, &self.edges))
                    .has(index, *before)
            });
            if !known {
                let (step, from) = (step.id.clone(), from.clone());
                errors.push(PlanError::NoSuchWindow { step, from });
            }
        }
    }

    fn check_indices(&self, errors: &mut Vec<PlanError>) {
        for edge in &self.edges {
            for index in [edge.from, edge.to] {
                if index as usize >= self.steps.len() {
                    let (step, len) =
                        (format!("edge {} → {}", edge.from, edge.to), self.steps.len());
                    errors.push(PlanError::BadIndex { step, what: "step", index, len });
                }
            }
        }
        for (at, group) in self.groups.iter().enumerate() {
            // A group may only come after earlier ones, which also rules out cycles.
            let named = group.after.iter().chain(&group.either);
            for index in named.filter(|index| **index as usize >= at) {
                let (step, index) = (format!("group {}", group.name), *index);
                errors.push(PlanError::BadIndex { step, what: "earlier group", index, len: at });
            }
        }
    }
}

/// Builds a [`Plan`] step by step.
///
/// ```
/// use release_core::plan::{Action, EdgeKind, Plan, Step};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut plan = Plan::builder("shop".parse()?, "r-1".parse()?);
/// let first = plan.step(Step::new("first".parse()?, Action::Sync));
/// let second = plan.step(Step::new("second".parse()?, Action::Sync));
/// plan.edge(first, second, EdgeKind::Order);
/// assert_eq!(plan.build()?.steps().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PlanBuilder {
    parts: Parts,
}

impl PlanBuilder {
    /// Adds a step and returns its index.
    pub fn step(&mut self, step: Step) -> u32 {
        self.parts.steps.push(step);
        u32::try_from(self.parts.steps.len() - 1).unwrap_or(u32::MAX)
    }

    /// Lets `to` wait for `from`.
    pub fn edge(&mut self, from: u32, to: u32, why: EdgeKind) {
        self.parts.edges.push(Edge { from, to, why });
    }

    /// Adds a group and returns its index. `after` are earlier groups that it depends on.
    pub fn group(&mut self, name: impl Into<String>, after: Vec<u32>) -> u32 {
        self.group_with(name, after, Vec::new())
    }

    /// As [`PlanBuilder::group`]; of those of `after` that are in `either`, the version from before would
    /// do as well.
    pub fn group_with(
        &mut self,
        name: impl Into<String>,
        after: Vec<u32>,
        either: Vec<u32>,
    ) -> u32 {
        self.parts.groups.push(Group { name: name.into(), after, either });
        u32::try_from(self.parts.groups.len() - 1).unwrap_or(u32::MAX)
    }

    /// Sets how many effects may be under way at once; at least 1, by default 64.
    pub fn max_parallel(&mut self, max_parallel: u32) -> &mut Self {
        self.parts.max_parallel = NonZeroU32::new(max_parallel).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Sets what a cancel does with what was already changed.
    pub const fn on_cancel(&mut self, on_cancel: OnCancel) -> &mut Self {
        self.parts.on_cancel = on_cancel;
        self
    }

    /// Sets how urgent it is, where permits are waited for.
    pub const fn priority(&mut self, priority: Priority) -> &mut Self {
        self.parts.priority = priority;
        self
    }

    /// Sets how many steps are too many; by default two million. The limit is part of the plan, and
    /// [`Plan::decode`] holds it to it.
    pub fn max_steps(&mut self, max_steps: usize) -> &mut Self {
        self.parts.max_steps = u32::try_from(max_steps).unwrap_or(u32::MAX);
        self
    }

    /// Sets who is told of a rollback.
    pub fn notify(&mut self, channels: Vec<ChannelId>) -> &mut Self {
        self.parts.notify = channels;
        self
    }

    /// Says how an environment goes through its regions.
    pub fn line(&mut self, line: Line) -> &mut Self {
        self.parts.lines.push(line);
        self
    }

    pub(super) fn roll_forward_only(&mut self, acknowledged: Option<RollForwardOnly>) {
        self.parts.roll_forward_only = acknowledged;
    }

    pub(super) const fn definition(&mut self, digest: Digest) {
        self.parts.definition = Some(digest);
    }

    /// The steps so far.
    pub(super) fn steps_mut(&mut self) -> &mut [Step] {
        &mut self.parts.steps
    }

    /// Makes room for `steps` steps, unless that is more than the limit.
    pub(super) fn reserve(&mut self, steps: usize) -> Result<(), PlanErrors> {
        self.parts.check_size(steps)?;
        self.parts.steps.reserve_exact(steps);
        Ok(())
    }

    pub(super) const fn len(&self) -> usize {
        self.parts.steps.len()
    }

    /// Checks the whole and returns the plan.
    ///
    /// Among how many analyses the chance of a false alarm is divided ([`Sequential::comparisons`](crate::model::Sequential::comparisons))
    /// is counted here, unless it is already divided among more.
    ///
    /// # Errors
    /// All faults at once: duplicate ids, cycles, steps that nobody says how to undo, indices that do not
    /// exist, too many steps; where there are none of these, steps that what is said does not undo, and what no judge and no router
    /// could do.
    pub fn build(mut self) -> Result<Plan, PlanErrors> {
        let kinds = self.parts.check()?;
        if kinds.analyses {
            compare::divide(&mut self.parts.steps);
        }
        // Not of plans that are read: what could be found was judged when they were made.
        let mut errors = Vec::new();
        for step in &self.parts.steps {
            undo::check_step(step, &mut errors);
            traffic::check_step(step, &mut errors);
        }
        undo::check_nothing(&self.parts.steps, &mut errors);
        if kinds.analyses {
            compare::check_steps(&self.parts.steps, &mut errors);
        }
        if errors.is_empty() { Ok(Plan(self.parts)) } else { Err(PlanErrors(errors)) }
    }
}
