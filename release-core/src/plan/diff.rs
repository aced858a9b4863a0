//! What changes from one plan to another, or from one rollback to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Edge, Extension, Plan, Step};
use crate::ids::StepId;

/// What changes from one plan or rollback to another. Steps are matched by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "an unread difference explains nothing"]
pub struct PlanDiff {
    /// Steps that only the new one has.
    pub added: Vec<StepId>,
    /// Steps that only the old plan has.
    pub removed: Vec<StepId>,
    /// Steps that both have and that differ.
    pub changed: Vec<StepChange>,
    /// Orders (before, after) that only the new plan has.
    pub edges_added: Vec<(StepId, StepId)>,
    /// Orders (before, after) that only the old plan has.
    pub edges_removed: Vec<(StepId, StepId)>,
}

/// One step that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepChange {
    /// The step.
    pub step: StepId,
    /// Which of its fields differ.
    pub fields: Vec<&'static str>,
    /// What the old plan does.
    pub from: String,
    /// What the new plan does.
    pub to: String,
}

impl Plan {
    /// What changes from this plan to `to`.
    pub fn diff(&self, to: &Self) -> PlanDiff {
        diff((self.steps(), self.edges()), (to.steps(), to.edges()))
    }
}

impl Extension {
    /// What changes from this rollback to `to`: for example, from one of a region to one of the whole
    /// release, or from now to after the next step.
    pub fn diff(&self, to: &Self) -> PlanDiff {
        diff((&self.steps, &self.edges), (&to.steps, &to.edges))
    }
}

/// Steps, and which waits for which.
type Graph<'a> = (&'a [Step], &'a [Edge]);

fn diff(from: Graph<'_>, to: Graph<'_>) -> PlanDiff {
    let (old, new) = (by_id(from), by_id(to));
    let (old_edges, new_edges) = (edges(from), edges(to));
    let only = |one: &BTreeMap<&StepId, &Step>, other: &BTreeMap<&StepId, &Step>| {
        one.keys().filter(|id| !other.contains_key(*id)).map(|id| (*id).clone()).collect()
    };
    PlanDiff {
        added: only(&new, &old),
        removed: only(&old, &new),
        changed: old.iter().filter_map(|(id, step)| change(step, new.get(id)?)).collect(),
        edges_added: pairs(new_edges.difference(&old_edges)),
        edges_removed: pairs(old_edges.difference(&new_edges)),
    }
}

impl PlanDiff {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn by_id((steps, _): Graph<'_>) -> BTreeMap<&StepId, &Step> {
    steps.iter().map(|step| (&step.id, step)).collect()
}

fn edges((steps, edges): Graph<'_>) -> BTreeSet<(&StepId, &StepId)> {
    let id = |index: u32| steps.get(index as usize).map(|step| &step.id);
    edges.iter().filter_map(|edge| Some((id(edge.from)?, id(edge.to)?))).collect()
}

fn pairs<'a>(pairs: impl Iterator<Item = &'a (&'a StepId, &'a StepId)>) -> Vec<(StepId, StepId)> {
    pairs.map(|(from, to)| ((*from).clone(), (*to).clone())).collect()
}

fn change(from: &Step, to: &Step) -> Option<StepChange> {
    // Destructured, so that a new field has to be considered. Groups are indices into their own
    // plan and say nothing across plans.
    let Step { id, action, scope, gates, retry, timeout, undo, on_failure, group: _, finale } =
        from;
    let differs = [
        ("action", *action != to.action),
        ("scope", *scope != to.scope),
        ("gates", *gates != to.gates),
        ("retry", *retry != to.retry),
        ("timeout", *timeout != to.timeout),
        ("undo", *undo != to.undo),
        ("on_failure", *on_failure != to.on_failure),
        ("finale", *finale != to.finale),
    ];
    let fields: Vec<_> =
        differs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
    if fields.is_empty() {
        return None;
    }
    Some(StepChange {
        step: id.clone(),
        fields,
        from: action.to_string(),
        to: to.action.to_string(),
    })
}

impl fmt::Display for PlanDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.added.iter().try_for_each(|id| writeln!(f, "+ {id}"))?;
        self.removed.iter().try_for_each(|id| writeln!(f, "- {id}"))?;
        for StepChange { step, fields, from, to } in &self.changed {
            writeln!(f, "~ {step} ({}): {from} => {to}", fields.join(", "))?;
        }
        self.edges_added.iter().try_for_each(|(from, to)| writeln!(f, "+ {from} -> {to}"))?;
        self.edges_removed.iter().try_for_each(|(from, to)| writeln!(f, "- {from} -> {to}"))
    }
}
