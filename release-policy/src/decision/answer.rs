//! How cases are decided.

use release_core::model::{Gate, GateId, Timestamp};
use release_core::port::{Decision, Reason, ReasonKind};

use super::case::{ApprovalCase, BoardCase, Case, EntryCase, GlassCase, OwnerCase, ReviewsCase};
use super::facts::Answered;
use super::set::Asked;
use crate::all_of::combine;
use crate::approval::{ApprovalFacts, ApprovalPolicy, evaluate};
use crate::cab;
use crate::emergency::{Blocked, GlassAnswer, blocked, usable};
use crate::promotion::{Verdict, may_enter};

impl Case {
    /// What it comes to now.
    pub(super) fn answer(&self, asked: &Asked<'_>) -> Answered {
        let Asked { directory, now, .. } = *asked;
        let free = |decision, until| Answered { decision, at: now, until, subject: None };
        match self {
            Self::Approval(case) => {
                let ApprovalCase { policy, question, facts } = &**case;
                Answered::of(&evaluate(policy, question, facts, directory, now))
            }
            Self::Board(case) => case.answer(asked),
            Self::Entry(case) => case.answer(now),
            Self::Owner(case) => {
                let OwnerCase { owners, environment, claim } = &**case;
                free(
                    owners.check(environment, claim).map_or_else(
                        |refused| {
                            let lifted_by = "whoever owns the environment, or by taking it over";
                            let rule = format!("owner/{environment}");
                            Decision::deny(vec![Reason::new(rule, refused.to_string(), lifted_by)])
                        },
                        |()| Decision::permit(),
                    ),
                    None,
                )
            }
            Self::Reviews(case) => {
                let ReviewsCase { obligations, kind, scope, directory_max_age } = &**case;
                let found = blocked(obligations, *kind, scope, directory, *directory_max_age, now);
                let until = if let Blocked::Free { until } = found { until } else { None };
                free(found.decision(), until)
            }
            Self::Glass(case) => {
                let GlassCase { policy, capability, facts, scope } = &**case;
                let Some(of) = facts.latest(capability) else {
                    return free(policy.unasked(capability), None);
                };
                let found = usable(policy, facts, of, scope, directory, now);
                let until =
                    if let GlassAnswer::Usable { until, .. } = found { Some(until) } else { None };
                free(found.decision(), until)
            }
        }
    }
}

impl EntryCase {
    fn answer(&self, now: Timestamp) -> Answered {
        let Self { pipeline, history, stage, evidence } = self;
        let Some(answer) = may_enter(pipeline, history, stage, evidence, now) else {
            let text = format!("the pipeline has no stage `{stage}`");
            let reason = Reason::new("promotion/stage", text, "whoever owns the pipeline");
            let decision = Decision::deny(vec![reason.kind(ReasonKind::Error)]);
            return Answered { decision, at: now, until: None, subject: None };
        };
        let until = match &answer.verdict {
            Verdict::Pass { lease } => Some(lease.valid_until),
            Verdict::Pending { .. } | Verdict::Fail | Verdict::Inconclusive => None,
        };
        let subject = Some(evidence.subject);
        Answered { decision: answer.decision(stage), at: now, until, subject }
    }
}

impl BoardCase {
    fn answer(&self, asked: &Asked<'_>) -> Answered {
        let Self { board, question, facts, .. } = self;
        let outcome = cab::decide(board, question, facts, asked.directory, asked.now);
        let (mut until, subject) = (outcome.next_change, Some(question.subject));
        let mut all = vec![outcome.decision()];
        for condition in outcome.conditions() {
            let (decision, ends) = self.at_gate(condition, asked);
            until = [until, ends].into_iter().flatten().min();
            all.push(decision);
        }
        Answered { decision: combine(all.into_iter()), at: asked.now, until, subject }
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
