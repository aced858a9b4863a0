//! What a rule still needs before it allows.

use release_core::model::{Digest, Timestamp};
use release_core::port::{Decision, Reason, ReasonKind};

use super::facts::{Approved, Facts};
use super::rule::{Need, Rule};
use super::set::{Asked, name_of, reason_of};

/// What a rule that applies needs.
pub(super) enum Needed {
    /// All is there, until some instant, for a plan.
    Nothing { until: Option<Timestamp>, plan: Option<Digest> },
    /// Something may yet come.
    Pending { until: Option<Timestamp>, reasons: Vec<Reason> },
    /// Something is refused, or not known.
    Refused { reasons: Vec<Reason> },
}

/// What is found of all needs of one rule.
struct Found<'a> {
    rule: &'a Rule,
    asked: &'a Asked<'a>,
    /// The plan that is asked for or, where the request does not say, that approvals are of: it is one.
    plan: Option<Digest>,
    /// The first end of what is there.
    ends: Option<Timestamp>,
    /// The last instant that something waits for.
    latest: Option<Timestamp>,
    waits: bool,
    refused: bool,
    reasons: Vec<Reason>,
}

pub(super) fn needed(rule: &Rule, asked: &Asked<'_>, facts: &Facts) -> Needed {
    let (plan, ends, latest, reasons) = (asked.plan, None, None, Vec::new());
    let mut found =
        Found { rule, asked, plan, ends, latest, waits: false, refused: false, reasons };
    for need in &rule.needs {
        match need {
            Need::NotBefore { at } if *at <= asked.now => {}
            Need::NotBefore { at } => {
                found.latest = found.latest.max(Some(*at));
                found.waits = true;
                let reason = Reason::new(name_of(rule), format!("not before {at}"), "time");
                found.reasons.push(reason.kind(ReasonKind::Missing));
            }
            Need::Approval { name } => match facts.approvals.get(name) {
                None => found.unknown(format!("nothing is known of the approval `{name}`")),
                Some(approved) => found.approval(name, approved),
            },
        }
    }
    let Found { plan, ends, latest, waits, refused, reasons, .. } = found;
    match (refused, waits) {
        (true, _) => Needed::Refused { reasons },
        (false, true) => Needed::Pending { until: latest, reasons },
        (false, false) => Needed::Nothing { until: ends, plan },
    }
}

impl Found<'_> {
    fn approval(&mut self, name: &str, approved: &Approved) {
        let Approved { decision, at, until, subject } = approved;
        if *at > self.asked.now {
            return self.unknown(format!("the approval `{name}` is of {at}, which is yet to come"));
        }
        // What people said of something else says nothing of this.
        if *self.plan.get_or_insert(subject.plan) != subject.plan {
            return self.missing(format!("the approval `{name}` is for another plan"));
        }
        if self.asked.pinned.is_some_and(|pinned| pinned != subject.policy) {
            return self.missing(format!(
                "the approval `{name}` was given under other rules than those that the run pins"
            ));
        }
        match decision {
            Decision::Permit { .. } if until.is_some_and(|until| until <= self.asked.now) => {
                self.missing(format!("the approval `{name}` has to be asked for again"));
            }
            Decision::Permit { .. } => {
                self.ends = match (self.ends, *until) {
                    (Some(one), Some(two)) => Some(one.min(two)),
                    (one, two) => one.or(two),
                };
            }
            Decision::Wait { reasons, .. } => {
                self.waits = true;
                let missing = reasons.iter().cloned().map(|why| why.kind(ReasonKind::Missing));
                self.reasons.extend(missing);
            }
            Decision::Deny { reasons, .. } => {
                self.refused = true;
                self.reasons.extend(reasons.iter().cloned());
            }
        }
    }

    fn missing(&mut self, text: String) {
        self.waits = true;
        self.reasons.push(reason_of(self.rule, text, ReasonKind::Missing));
    }

    fn unknown(&mut self, text: String) {
        self.refused = true;
        self.reasons.push(reason_of(self.rule, text, ReasonKind::Error));
    }
}
