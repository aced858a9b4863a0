//! What a rule still needs before it allows.

use release_core::model::{Digest, Timestamp};
use release_core::port::{Decision, Grant, Reason, ReasonKind};

use super::admit::{Asked, Lifts, name_of, reason_of};
use super::facts::{Answered, Facts};
use super::rule::{Need, Rule};
use super::set::PolicySet;

/// What a rule that applies needs.
pub(super) enum Needed {
    /// All is there, until some instant, for a plan.
    Nothing {
        until: Option<Timestamp>,
        plan: Option<Digest>,
        /// By which leave of broken glass.
        lifted: Vec<Grant>,
    },
    /// Something may yet come.
    Pending { until: Option<Timestamp>, reasons: Vec<Reason> },
    /// Something is refused, or not known.
    Refused { reasons: Vec<Reason> },
}

/// What is found of all needs of one rule.
struct Found<'a, 'b> {
    rule: &'a Rule,
    /// Those that the run pins or, where it pins none, those of the day.
    rules: &'a PolicySet,
    asked: &'a Asked<'b>,
    /// The plan that is asked for or, where the request does not say, that approvals are of: it is one.
    plan: Option<Digest>,
    /// The first end of what is there.
    ends: Option<Timestamp>,
    /// The last instant that something waits for.
    latest: Option<Timestamp>,
    /// Whether something waits for more than time.
    untimed: bool,
    waits: bool,
    refused: bool,
    reasons: Vec<Reason>,
    /// Leaves of broken glass, for what nobody was asked.
    lifted: Vec<Grant>,
}

pub(super) fn needed<'a>(
    rule: &'a Rule,
    (rules, lifts): (&'a PolicySet, Lifts<'_>),
    asked: &Asked<'a>,
    facts: &'a Facts,
) -> Needed {
    let (plan, ends, latest, reasons, lifted) = (asked.plan, None, None, Vec::new(), Vec::new());
    let (untimed, waits, refused) = (false, false, false);
    let mut found =
        Found { rule, rules, asked, plan, ends, latest, untimed, waits, refused, reasons, lifted };
    for need in &rule.needs {
        match need {
            Need::NotBefore { at } if *at <= asked.now => {}
            Need::NotBefore { at } => {
                found.latest = found.latest.max(Some(*at));
                found.waits = true;
                let reason = Reason::new(name_of(rule), format!("not before {at}"), "time");
                found.reasons.push(reason.kind(ReasonKind::Missing));
            }
            Need::Case { name } => {
                let mut case = found.alone();
                match facts.answered(name, rules, asked) {
                    None => case.unknown(format!("nothing is known of the case `{name}`")),
                    Some(answered) => case.case(name, &answered),
                }
                let held = case.waits || case.refused;
                let kind = rules.definition(name).filter(|_| held);
                let leave = kind.and_then(|definition| lifts(definition.lifted_by()?));
                let ours =
                    |leave: &Grant| found.plan.is_none_or(|plan| leave.bound_to.plan == Some(plan));
                match leave.filter(ours) {
                    Some(leave) => found.lift(leave),
                    None => found.and(case),
                }
            }
        }
    }
    let Found { plan, ends, latest, untimed, waits, refused, reasons, lifted, .. } = found;
    match (refused, waits) {
        (true, _) => Needed::Refused { reasons },
        (false, true) => Needed::Pending { until: latest.filter(|_| !untimed), reasons },
        (false, false) => Needed::Nothing { until: ends, plan, lifted },
    }
}

impl Found<'_, '_> {
    /// With nothing found yet, but for what it is about.
    fn alone(&self) -> Self {
        let Self { rule, rules, asked, plan, .. } = *self;
        let (ends, latest, reasons, lifted) = (None, None, Vec::new(), Vec::new());
        let (untimed, waits, refused) = (false, false, false);
        Self { rule, rules, asked, plan, ends, latest, untimed, waits, refused, reasons, lifted }
    }

    /// What is found of one more need.
    fn and(&mut self, other: Self) {
        let Self { plan, ends, latest, untimed, waits, refused, reasons, .. } = other;
        self.plan = plan;
        self.until(ends);
        self.latest = self.latest.max(latest);
        self.untimed |= untimed;
        self.waits |= waits;
        self.refused |= refused;
        self.reasons.extend(reasons);
    }

    fn until(&mut self, ends: Option<Timestamp>) {
        self.ends = match (self.ends, ends) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }

    /// Broken glass gives leave instead of people.
    fn lift(&mut self, leave: Grant) {
        self.until(leave.valid_until);
        self.plan = self.plan.or(leave.bound_to.plan);
        self.lifted.push(leave);
    }

    fn case(&mut self, name: &str, answered: &Answered) {
        let Answered { decision, at, until, about } = answered;
        if *at > self.asked.now {
            return self
                .unknown(format!("the answer to `{name}` is of {at}, which is yet to come"));
        }
        // What people said of something else says nothing of this.
        if let Some(about) = about {
            if *self.plan.get_or_insert(about.plan) != about.plan {
                return self.missing(format!("the answer to `{name}` is for another plan"));
            }
            // Who asks of no plan has no run, and so no rules that it goes by.
            let goes_by = self.asked.plan.map(|_| self.rules.digest());
            let under = self.asked.pinned.or(goes_by);
            if about.policy.zip(under).is_some_and(|(policy, under)| policy != under) {
                return self.missing(format!(
                    "`{name}` was answered under other rules than those that the run goes by"
                ));
            }
        }
        match decision {
            Decision::Permit { .. } if until.is_some_and(|until| until <= self.asked.now) => {
                self.missing(format!("`{name}` has to be asked again"));
            }
            Decision::Permit { .. } => self.until(*until),
            Decision::Wait { until, reasons, .. } => {
                self.waits = true;
                self.untimed |= until.is_none();
                self.latest = self.latest.max(*until);
                let missing = reasons.iter().cloned().map(|why| match why.kind {
                    ReasonKind::Rule => why.kind(ReasonKind::Missing),
                    _ => why,
                });
                self.reasons.extend(missing);
            }
            Decision::Deny { reasons, .. } => {
                self.refused = true;
                self.reasons.extend(reasons.iter().cloned());
            }
        }
    }

    fn missing(&mut self, text: String) {
        (self.waits, self.untimed) = (true, true);
        self.reasons.push(reason_of(self.rule, text, ReasonKind::Missing));
    }

    fn unknown(&mut self, text: String) {
        self.refused = true;
        self.reasons.push(reason_of(self.rule, text, ReasonKind::Error));
    }
}
