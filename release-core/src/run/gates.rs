//! Gates of a run: who approved them, and for which steps they hold.

use super::event::WakeUp;
use super::state::{Active, RunState, Status, Wait};
use crate::ids::GateId;
use crate::model::{Approval, Gate, Principal};
use crate::plan::Step;
use crate::port::{Reason, ReasonKind};
use crate::time::Timestamp;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GateState {
    pub(super) approvals: Vec<Given>,
    pub(super) rejected: Option<String>,
}

/// An approval of a gate, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// By whom.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
}

impl Given {
    /// The first instant at which it no longer counts, if it is for a time.
    pub fn ends(&self, wanted: &Approval) -> Option<Timestamp> {
        wanted.valid_for.map(|span| self.at.plus(span))
    }

    /// Whether it has ended.
    pub fn is_over(&self, wanted: &Approval, now: Timestamp) -> bool {
        self.ends(wanted).is_some_and(|ends| ends <= now)
    }
}

impl RunState {
    /// Who approved a gate and has not taken it back, in their order; whether they count is for whoever judges the
    /// gate.
    pub fn approvals_of(&self, gate: &GateId) -> &[Given] {
        self.gates.get(gate).map_or(&[], |gate| &gate.approvals)
    }

    /// The approvals that the step at `index` needs as it starts: those of its own gates and, before an effect, of
    /// the gates that were passed for it.
    pub(crate) fn approvals_for(&self, index: u32) -> impl Iterator<Item = &Approval> {
        let own = self.plan.get(index).into_iter().flat_map(|step| &step.gates);
        own.filter_map(Gate::approval).chain(self.passed_before(index))
    }

    /// The gates that were passed for the effect of the step at `index`, unless that has begun and only measures.
    pub(crate) fn passed_before(&self, index: u32) -> impl Iterator<Item = &Approval> {
        let acts = self.plan.get(index).is_some_and(|step| !step.action.is_pure());
        let begins = acts && !self.measures_again(index);
        begins.then(|| self.passed_for(index)).into_iter().flatten()
    }

    /// Whether the step at `index` is an analysis under way, which no policy holds.
    pub(crate) fn measures_again(&self, index: u32) -> bool {
        let measures = |active: &Active| matches!(active.wait, Wait::Measurement { .. });
        self.active(index).is_some_and(measures)
    }

    /// The gates that steps without an effect have passed in whose place the step at `index` lies. A plan without
    /// such steps costs nothing here.
    pub(crate) fn passed_for(&self, index: u32) -> impl Iterator<Item = &Approval> {
        let forward = !self.plan.gated().is_empty() && !self.plan.in_rollback(index);
        let step = self.plan.get(index).filter(|_| forward);
        let passed = step.into_iter().flat_map(move |step| {
            let gated = self.plan.gated().iter().filter(move |at| **at != index);
            let passed = gated.filter(|at| self.status(**at) == Some(Status::Succeeded));
            let passed = passed.filter_map(|at| self.plan.get(*at));
            passed.filter(move |gated| holds_for(gated, step))
        });
        passed.flat_map(|step| &step.gates).filter_map(Gate::approval)
    }

    pub(super) fn approved(&mut self, at: Timestamp, gate: &GateId, by: &Principal) {
        let given = Given { by: by.clone(), at };
        self.gates.change(gate, |gate| gate.approvals.push(given));
        self.wake_gate(at, gate);
    }

    pub(super) fn withdrawn(&mut self, gate: &GateId, by: &Principal) {
        self.gates.change(gate, |gate| gate.approvals.retain(|given| given.by.id != by.id));
    }

    pub(super) fn rejected(&mut self, at: Timestamp, gate: &GateId, by: &Principal, reason: &str) {
        let text = format!("rejected by {by}: {reason}");
        self.gates.change(gate, |gate| gate.rejected = Some(text));
        self.wake_gate(at, gate);
    }

    /// Blocked steps that have this gate are looked at again at once, also when they wait for something
    /// else first: a rejection counts at once.
    fn wake_gate(&mut self, at: Timestamp, gate: &GateId) {
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::WakeNobody) {
            return;
        }
        let waits = |index: u32, active: &Active| {
            matches!(&active.wait, Wait::Blocked(_)) && self.lacks_at(index, active, gate)
        };
        let waiting: Vec<u32> = self
            .active
            .in_order()
            .into_iter()
            .filter(|(i, a)| waits(*i, a))
            .map(|(i, _)| i)
            .collect();
        for index in waiting {
            self.set_wait(index, Wait::Blocked(WakeUp::Instant { at }));
        }
    }

    /// Whether a step that is blocked may be free once somebody approves `gate`: one of its own, or one that was
    /// passed and is said to be what it waits for. (What journals of before held is folded as it was.)
    fn lacks_at(&self, index: u32, active: &Active, gate: &GateId) -> bool {
        let own = self.plan.step(index).gates.iter().filter_map(Gate::approval);
        let named =
            matches!(&active.wait, Wait::Blocked(WakeUp::Approval { gate: id }) if id == gate);
        let mut uncounted = self.uncounted(index, &active.reasons);
        named
            || own.into_iter().any(|approval| approval.id == *gate)
            || uncounted.any(|(approval, _)| approval.id == *gate)
    }

    /// The gates of a step whose approvals a policy does not count any more, as its reasons say.
    pub(crate) fn uncounted<'a>(
        &'a self,
        index: u32,
        reasons: &'a [Reason],
    ) -> impl Iterator<Item = (&'a Approval, &'a Reason)> {
        self.approvals_for(index).flat_map(move |wanted| {
            let about = reasons.iter().filter(|why| is_about(wanted, why));
            about.map(move |why| (wanted, why))
        })
    }
}

/// Whether the gates that `gated` has passed hold for `step`.
fn holds_for(gated: &Step, step: &Step) -> bool {
    match (gated.scope.place(), step.scope.place()) {
        (None, _) => true,
        (Some(place), Some(of)) => place.contains(of),
        // Who does not say where concerns everywhere.
        (Some(_), None) => step.action.mutates(),
    }
}

/// Whether a reason tells what a gate lacks, by what is known of people.
fn is_about(wanted: &Approval, why: &Reason) -> bool {
    why.kind == ReasonKind::Missing
        && why.rule.strip_prefix("gate/").is_some_and(|id| id == wanted.id.as_str())
}
