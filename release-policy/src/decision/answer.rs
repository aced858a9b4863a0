//! How cases are decided.

use release_core::model::{Gate, GateId, Timestamp};
use release_core::port::{Binding, Decision, Grant, Reason, ReasonKind};

use super::admit::Asked;
use super::case::{
    ApprovalCase, BoardCase, Case, Definition, EntryCase, GlassCase, OwnerCase, ReviewsCase,
};
use super::facts::{About, Answered};
use super::set::PolicySet;
use crate::all_of::combine;
use crate::approval::{ApprovalFacts, ApprovalPolicy, evaluate};
use crate::cab::{self, Board};
use crate::emergency::{Blocked, BreakGlass, Bypass, GlassAnswer, Refusal, blocked, usable};
use crate::promotion::{Pipeline, Verdict, may_enter};

impl Case {
    /// What it comes to now, by what `rules` define under its name.
    pub(super) fn answer(&self, name: &str, rules: &PolicySet, asked: &Asked<'_>) -> Answered {
        let now = asked.now;
        match (self, rules.definition(name)) {
            (Self::Approval(case), Some(Definition::Approval(policy))) => {
                let ApprovalCase { question, facts } = &**case;
                if !question.scope.contains(&asked.scope) {
                    return elsewhere(name, asked);
                }
                Answered::of(&evaluate(policy, question, facts, asked.directory, now))
            }
            (Self::Board(case), Some(Definition::Board(board))) => {
                if !case.question.scope.contains(&asked.scope) {
                    return elsewhere(name, asked);
                }
                case.answer(board, asked)
            }
            (Self::Entry(case), Some(Definition::Entry(pipeline))) => {
                if asked.scope.environment.as_ref() != Some(&case.stage) {
                    return elsewhere(name, asked);
                }
                case.answer(pipeline, now)
            }
            (Self::Glass(case), Some(Definition::Glass { capability, policy })) => {
                case.answer(capability, policy, asked)
            }
            (Self::Owner(case), None) => case.answer(name, asked),
            (Self::Reviews(case), None) => case.answer(asked),
            _ => {
                let text =
                    format!("the rules define nobody, or something else, to decide `{name}`");
                let reason = Reason::new("case/undefined", text, "whoever owns the rules");
                let decision = Decision::deny(vec![reason.kind(ReasonKind::Error)]);
                Answered::free(decision, now, None)
            }
        }
    }
}

impl Definition {
    /// What broken glass has to lift, for nobody to be asked.
    pub(super) const fn lifted_by(&self) -> Option<Bypass> {
        match self {
            Self::Approval(_) => Some(Bypass::Approvals),
            Self::Board(_) => Some(Bypass::Board),
            Self::Entry(_) | Self::Glass { .. } => None,
        }
    }
}

/// What was said of another place says nothing of this one.
fn elsewhere(name: &str, asked: &Asked<'_>) -> Answered {
    let text = format!("what is known of `{name}` is about another place");
    let reason = Reason::new("case/elsewhere", text, "the same question, about this place");
    let decision = Decision::wait(None, vec![reason.kind(ReasonKind::Missing)]);
    Answered::free(decision, asked.now, None)
}

impl OwnerCase {
    fn answer(&self, name: &str, asked: &Asked<'_>) -> Answered {
        let Self { owners, environment, claim } = self;
        if asked.scope.environment.as_ref() != Some(environment) {
            return elsewhere(name, asked);
        }
        let decision = match owners.check(environment, claim) {
            Ok(()) => Decision::permit(),
            Err(refused) => {
                let lifted_by = "whoever owns the environment, or by taking it over";
                let rule = format!("owner/{environment}");
                Decision::deny(vec![Reason::new(rule, refused.to_string(), lifted_by)])
            }
        };
        Answered::free(decision, asked.now, None)
    }
}

impl ReviewsCase {
    fn answer(&self, asked: &Asked<'_>) -> Answered {
        let Self { obligations, kind, directory_max_age } = self;
        let (scope, directory, now) = (&asked.scope, asked.directory, asked.now);
        let found = blocked(obligations, *kind, scope, directory, *directory_max_age, now);
        let until = if let Blocked::Free { until } = found { until } else { None };
        Answered::free(found.decision(), now, until)
    }
}

impl GlassCase {
    fn answer(&self, capability: &str, policy: &BreakGlass, asked: &Asked<'_>) -> Answered {
        let (facts, now) = (&self.facts, asked.now);
        // Whoever asks again, or for another run, takes nothing away from what was confirmed.
        let ours = facts.requests_for(capability, asked.run).map(|request| {
            let of = request.word.seq;
            (request, usable(policy, facts, of, &asked.scope, asked.directory, now))
        });
        // What is usable, what somebody can still confirm, and else the last.
        let rank = |(_, found): &(_, GlassAnswer)| match found {
            GlassAnswer::Usable { .. } => 0,
            GlassAnswer::Refused { because: Refusal::NotConfirmed { .. } } => 1,
            GlassAnswer::Refused { .. } => 2,
        };
        let Some((request, found)) = ours.min_by_key(rank) else {
            let Some(other) = facts.latest(capability) else {
                return Answered::free(policy.unasked(capability), now, None);
            };
            let text = format!("the glass `{capability}` is for the run `{}`", other.run);
            let reason = Reason::new("break_glass/other_run", text, "a request for this run");
            return Answered::free(Decision::deny(vec![reason]), now, None);
        };
        let until = if let GlassAnswer::Usable { until, .. } = found { Some(until) } else { None };
        let about = Some(About { plan: request.plan, policy: None });
        Answered { decision: found.decision(), at: now, until, about }
    }

    /// The leave by which it lifts rules of this kind, if it does.
    pub(super) fn lifts(
        &self,
        what: Bypass,
        (capability, policy): (&str, &BreakGlass),
        asked: &Asked<'_>,
    ) -> Option<Grant> {
        let lifted = &policy.capabilities.get(capability)?.lifts;
        if !lifted.contains(&what) {
            return None;
        }
        let answered = self.answer(capability, policy, asked);
        let plan = answered.about.map(|about| about.plan);
        let ours = plan.is_some() && asked.plan.is_none_or(|asked| plan == Some(asked));
        let until = answered.until.filter(|_| ours && answered.decision.is_permit())?;
        let leave = Grant::of(format!("break_glass/{capability}/{}", what.name()));
        Some(leave.until(until).bound_to(Binding { plan, policy: None }))
    }
}

impl EntryCase {
    fn answer(&self, pipeline: &Pipeline, now: Timestamp) -> Answered {
        let Self { history, stage, evidence } = self;
        let Some(answer) = may_enter(pipeline, history, stage, evidence, now) else {
            let text = format!("the pipeline has no stage `{stage}`");
            let reason = Reason::new("promotion/stage", text, "whoever owns the pipeline");
            let decision = Decision::deny(vec![reason.kind(ReasonKind::Error)]);
            return Answered::free(decision, now, None);
        };
        let until = match &answer.verdict {
            Verdict::Pass { lease } => Some(lease.valid_until),
            Verdict::Pending { .. } | Verdict::Fail | Verdict::Inconclusive => None,
        };
        let about = Some(About::from(&evidence.subject));
        Answered { decision: answer.decision(stage), at: now, until, about }
    }
}

impl BoardCase {
    fn answer(&self, board: &Board, asked: &Asked<'_>) -> Answered {
        let Self { question, facts, .. } = self;
        let outcome = cab::decide(board, question, facts, asked.directory, asked.now);
        let (mut until, about) = (outcome.next_change, Some(About::from(&question.subject)));
        let mut all = vec![outcome.decision()];
        for condition in outcome.conditions() {
            let (decision, ends) = self.at_gate(condition, asked);
            until = [until, ends].into_iter().flatten().min();
            all.push(decision);
        }
        Answered { decision: combine(all.into_iter()), at: asked.now, until, about }
    }

    /// What became of a condition, and until when that holds.
    fn at_gate(
        &self,
        condition: &cab::Condition,
        asked: &Asked<'_>,
    ) -> (Decision, Option<Timestamp>) {
        let cab::Condition { text, gate } = condition;
        let since_when = |at: Option<Timestamp>| match at {
            Some(at) if at <= asked.now => (Decision::permit(), None),
            Some(at) => {
                let text = format!("the board asks for it: {text}");
                let reason = Reason::new("board/condition", text, format!("time, at {at}"));
                (Decision::wait(Some(at), vec![reason]), None)
            }
            None => held(format!("nobody knows since when it waits: {text}")),
        };
        match gate {
            Gate::NotBefore(at) => since_when(Some(*at)),
            Gate::Soak(span) => since_when(asked.since.map(|since| since.plus(*span))),
            Gate::Approval(wanted) => match ApprovalPolicy::of_gate(wanted) {
                Ok(policy) => self.people(&policy, &wanted.id, text, asked),
                Err(error) => held(format!("its gate cannot be used ({error}): {text}")),
            },
            _ => held(format!("its gate is not known here: {text}")),
        }
    }

    /// What people said at the gate of a condition.
    fn people(
        &self,
        policy: &ApprovalPolicy,
        gate: &GateId,
        text: &str,
        asked: &Asked<'_>,
    ) -> (Decision, Option<Timestamp>) {
        let none = ApprovalFacts::default();
        let facts = self.at_gates.get(gate).unwrap_or(&none);
        let outcome = evaluate(policy, &self.question, facts, asked.directory, asked.now);
        let told = |mut reason: Reason| {
            reason.text = format!("{} at the board's gate `{gate}`: {text}", reason.text);
            reason
        };
        let decision = match outcome.decision() {
            Decision::Wait { until, reasons, .. } => {
                Decision::wait(until, reasons.into_iter().map(told).collect())
            }
            Decision::Deny { reasons, .. } => {
                Decision::deny(reasons.into_iter().map(told).collect())
            }
            permit @ Decision::Permit { .. } => permit,
        };
        (decision, outcome.next_change)
    }
}

/// A condition of which nobody can tell whether it is met.
fn held(text: String) -> (Decision, Option<Timestamp>) {
    let reason = Reason::new("board/condition", text, "the board, asked anew");
    (Decision::wait(None, vec![reason.kind(ReasonKind::Error)]), None)
}
