//! Rules, windows and rights, compiled once and asked together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::model::{Digest, Principal, Timestamp};
use release_core::plan::Place;
use release_core::port::{
    Admission, Binding, CommandRequest, Decision, Grant, Inputs, Policy, Reason, ReasonKind,
};

use super::facts::{Answered, Facts};
use super::index::Index;
use super::needs::{Needed, needed};
use super::rule::{Effect, MAX_RULES, PolicyError, Rule, RuleProblem};
use crate::all_of::combine;
use crate::canonical::Canonical;
use crate::directory::DirectoryState;
use crate::rbac::Rbac;
use crate::window::{ActionClass, Classes, Windows};

/// What is asked of a set, as far as rules go by it.
pub(super) struct Asked<'a> {
    pub(super) place: Option<&'a Place>,
    pub(super) action: Option<ActionClass>,
    pub(super) command: Option<&'static str>,
    pub(super) by: &'a Principal,
    pub(super) now: Timestamp,
    pub(super) pinned: Option<Digest>,
    pub(super) plan: Option<Digest>,
    /// Since when the step waits, if that is known.
    pub(super) since: Option<Timestamp>,
    /// What cases are decided by.
    pub(super) directory: DirectoryState<'a>,
    /// What cases came to, each decided once.
    pub(super) decided: RefCell<BTreeMap<&'a str, Answered>>,
}

/// What is known besides the request.
#[derive(Clone, Copy)]
pub(super) struct Knowledge<'a> {
    pub(super) facts: &'a Facts,
    /// The digest of the facts, if there are any.
    pub(super) digest: Option<Digest>,
    pub(super) directory: DirectoryState<'a>,
}

impl<'a> Knowledge<'a> {
    /// `facts` are empty, and there is no directory.
    const fn none(facts: &'a Facts) -> Self {
        Self { facts, digest: None, directory: DirectoryState::Unread }
    }
}

/// Rules, windows and rights as one policy. Without a rule that allows, it denies everything.
///
/// As a [`Policy`] of its own it knows no facts and no other rules than its own: for those, put it into a
/// [`PolicyBook`](super::PolicyBook).
#[derive(Debug, Clone)]
pub struct PolicySet {
    allows: Vec<Rule>,
    denies: Vec<Rule>,
    allows_at: Index,
    denies_at: Index,
    windows: Option<Windows>,
    rights: Option<Arc<Rbac>>,
    #[cfg(feature = "cedar")]
    cedar: Option<Arc<crate::cedar::CedarRules>>,
    digest: Digest,
}

impl PolicySet {
    /// Compiles rules.
    ///
    /// # Errors
    /// [`PolicyError`] names the first rule that cannot be used.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, PolicyError> {
        let (mut names, mut allows, mut denies) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (number, rule) in (1_usize..).zip(rules) {
            let checked = match names.get(&rule.name) {
                _ if number > MAX_RULES => Err(RuleProblem::TooManyRules(MAX_RULES)),
                Some(other) => Err(RuleProblem::Duplicate(*other)),
                None => rule.check(),
            };
            checked.map_err(|problem| PolicyError {
                rule: rule.name.chars().take(80).collect(),
                number,
                problem,
            })?;
            names.insert(rule.name.clone(), number);
            let list = if rule.effect == Effect::Allow { &mut allows } else { &mut denies };
            list.push(rule);
        }
        allows.sort_by(|a, b| a.name.cmp(&b.name));
        denies.sort_by(|a, b| a.name.cmp(&b.name));
        let digest = Canonical::new("release/policy-set/1")
            .list(allows.iter(), |all: Canonical, rule: &Rule| rule.write(all))
            .list(denies.iter(), |all: Canonical, rule: &Rule| rule.write(all))
            .finish();
        Ok(Self {
            allows_at: Index::new(&allows),
            denies_at: Index::new(&denies),
            allows,
            denies,
            windows: None,
            rights: None,
            #[cfg(feature = "cedar")]
            cedar: None,
            digest,
        })
    }

    /// Adds windows: whatever else allows, they hold what they hold. They are the calendar of decisions,
    /// and always those of the day.
    #[must_use]
    pub fn windows(mut self, windows: Windows) -> Self {
        self.windows = Some(windows);
        self
    }

    /// Adds rights: whatever else allows, nobody starts a step or gives a command who may not. They are
    /// always those of the day, and of the directory that was published last.
    #[must_use]
    pub fn rights(mut self, rights: impl Into<Arc<Rbac>>) -> Self {
        self.rights = Some(rights.into());
        self
    }

    /// Adds rules in Cedar: whatever else allows, they must permit, too. They are always those of the day, and
    /// know the facts that are declared for them.
    #[cfg(feature = "cedar")]
    #[must_use]
    pub fn cedar(mut self, rules: impl Into<Arc<crate::cedar::CedarRules>>) -> Self {
        self.cedar = Some(rules.into());
        self
    }

    /// The digests of all that it consists of.
    pub(super) fn parts(&self) -> [Option<Digest>; 4] {
        #[cfg(feature = "cedar")]
        let cedar = self.cedar.as_ref().map(|rules| rules.digest());
        #[cfg(not(feature = "cedar"))]
        let cedar = None;
        [
            Some(self.digest),
            self.windows.as_ref().map(Windows::digest),
            self.rights.as_ref().map(|rights| rights.rules_digest()),
            cedar,
        ]
    }

    /// The rights that were added.
    pub(super) fn its_rights(&self) -> Option<&Rbac> {
        self.rights.as_deref()
    }

    /// The rules, by name: those that allow, then those that deny.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.allows.iter().chain(&self.denies)
    }

    /// The digest of the rules; windows and rights have digests of their own.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The steps that a host's own capabilities are classed by.
    fn classes(&self) -> Option<&Classes> {
        self.windows.as_ref().map(|windows| &windows.rules().classes)
    }

    /// Answers a request for a step: `pinned` are the rules that allow, `None` if nobody has them any more.
    pub(super) fn admission(
        &self,
        pinned: Option<&Self>,
        request: &Admission<'_>,
        known: Knowledge<'_>,
    ) -> Decision {
        let none = Classes::new();
        let classes = self.classes().unwrap_or(&none);
        let asked = Asked {
            place: request.step.scope.place(),
            action: Some(classes.of_step(request.step, request.rollback)),
            command: None,
            by: request.requester,
            now: request.now,
            pinned: request.pinned,
            plan: request.plan(),
            since: request.since(),
            directory: known.directory,
            decided: RefCell::default(),
        };
        let rules = self.by_rules(pinned, &asked, known);
        let held = self.windows.as_ref().map(|windows| windows.admit(request));
        let may = self.rights.as_ref().map(|rights| rights.admit(request));
        #[cfg(feature = "cedar")]
        let cedar = self.cedar.as_ref().map(|all| all.admission(request, classes, known.facts));
        #[cfg(not(feature = "cedar"))]
        let cedar = None;
        combine([Some(rules), held, may, cedar].into_iter().flatten())
    }

    /// Answers a request to give a command, likewise.
    pub(super) fn authorization(
        &self,
        pinned: Option<&Self>,
        request: &CommandRequest<'_>,
        known: Knowledge<'_>,
    ) -> Decision {
        let asked = Asked {
            place: None,
            action: ActionClass::of_command(request.command),
            command: Some(request.command.name()),
            by: request.by,
            now: request.now,
            pinned: request.pinned,
            plan: None,
            since: None,
            directory: known.directory,
            decided: RefCell::default(),
        };
        let rules = self.by_rules(pinned, &asked, known);
        let held = self.windows.as_ref().map(|windows| windows.authorize(request));
        let may = self.rights.as_ref().map(|rights| rights.authorize(request));
        #[cfg(feature = "cedar")]
        let cedar = self.cedar.as_ref().map(|all| all.authorization(request, known.facts));
        #[cfg(not(feature = "cedar"))]
        let cedar = None;
        combine([Some(rules), held, may, cedar].into_iter().flatten())
    }

    /// What the rules say by themselves: `pinned` those that allow, these those that deny.
    fn by_rules<'a>(
        &self,
        pinned: Option<&'a Self>,
        asked: &Asked<'a>,
        known: Knowledge<'a>,
    ) -> Decision {
        let Knowledge { facts, digest, directory } = known;
        let directory = match directory {
            DirectoryState::Snapshot(directory) => Some(directory.stamp().digest),
            DirectoryState::Down { .. } | DirectoryState::Unread => None,
        };
        let inputs = Inputs {
            policy: Some(self.digest),
            pinned: asked.pinned.filter(|pinned| *pinned != self.digest),
            rights: None,
            calendar: self.windows.as_ref().map(Windows::digest),
            directory: facts.directories(directory),
            facts: digest,
        };
        let mut denied = Vec::new();
        let place = asked.place;
        for rule in self.denies_at.at(place).into_iter().filter_map(|at| self.denies.get(at)) {
            denied.push(match rule.when.holds(asked, facts, false) {
                Ok(false) => continue,
                Ok(true) => reason_of(rule, said(rule, "it denies this"), ReasonKind::Rule),
                Err(fault) => reason_of(rule, fault.to_string(), ReasonKind::Error),
            });
        }
        let leave = match pinned {
            Some(pinned) => pinned.leave(asked, facts),
            None => Leave::unknown(asked.pinned),
        };
        let decision = match leave {
            Leave::Granted(grants) if denied.is_empty() => {
                Decision::Permit { grants, inputs: None }
            }
            Leave::Pending { until, reasons } if denied.is_empty() => {
                Decision::wait(until, reasons)
            }
            Leave::Granted(_) => Decision::deny(denied),
            // Whoever lifts the denial should know what comes next.
            Leave::Refused(reasons) | Leave::Pending { reasons, .. } => {
                denied.extend(reasons);
                Decision::deny(denied)
            }
        };
        decision.from_inputs(inputs)
    }

    /// What the rules that allow say.
    fn leave<'a>(&'a self, asked: &Asked<'a>, facts: &'a Facts) -> Leave {
        let (mut grants, mut pending, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let (mut waits, mut earliest) = (false, None);
        let here = self.allows_at.at(asked.place);
        for rule in here.into_iter().filter_map(|at| self.allows.get(at)) {
            match rule.when.holds(asked, facts, true) {
                Ok(false) => {}
                Err(fault) => refused.push(reason_of(rule, fault.to_string(), ReasonKind::Error)),
                Ok(true) => match needed(rule, asked, facts) {
                    Needed::Nothing { until: valid_until, plan } => {
                        let (rule, policy) = (name_of(rule), asked.pinned);
                        let bound_to = Binding { plan, policy };
                        grants.push(Grant { rule, valid_until, bound_to });
                    }
                    Needed::Pending { until, reasons } => {
                        // Any one of several is enough: the first that comes.
                        waits = true;
                        earliest = match (earliest, until) {
                            (Some(one), Some(two)) => Some(std::cmp::min::<Timestamp>(one, two)),
                            (one, two) => one.or(two),
                        };
                        pending.extend(reasons);
                    }
                    Needed::Refused { reasons } => refused.extend(reasons),
                },
            }
        }
        if !grants.is_empty() {
            return Leave::Granted(grants);
        }
        if waits {
            return Leave::Pending { until: earliest, reasons: pending };
        }
        // What a rule that applies lacks, says more.
        if refused.is_empty() {
            let lifted_by = "a rule that allows it, by whoever owns the rules";
            let none = Reason::new("allow", "no rule allows this", lifted_by);
            refused.push(none.kind(ReasonKind::Missing));
        }
        Leave::Refused(refused)
    }
}

/// What the rules that allow come to.
enum Leave {
    Granted(Vec<Grant>),
    Pending { until: Option<Timestamp>, reasons: Vec<Reason> },
    Refused(Vec<Reason>),
}

impl Leave {
    /// Rules that nobody has any more allow nothing.
    fn unknown(pinned: Option<Digest>) -> Self {
        let pinned = pinned.map(|digest| digest.to_string()).unwrap_or_default();
        let text = format!("the run pins the rules {pinned}, which are not known here");
        let reason =
            Reason::new("policy/pinned", text, "whoever keeps older versions of the rules");
        Self::Refused(vec![reason.kind(ReasonKind::Error)])
    }
}

pub(super) fn name_of(rule: &Rule) -> String {
    let effect = if rule.effect == Effect::Allow { "allow" } else { "deny" };
    format!("{effect}/{}", rule.name)
}

fn said(rule: &Rule, otherwise: &str) -> String {
    if rule.because.is_empty() { otherwise.to_owned() } else { rule.because.clone() }
}

pub(super) fn reason_of(rule: &Rule, text: String, kind: ReasonKind) -> Reason {
    Reason::new(name_of(rule), text, rule.owner.clone()).kind(kind)
}

impl Policy for PolicySet {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let own = request.pinned.is_none_or(|pinned| pinned == self.digest);
        self.admission(own.then_some(self), request, Knowledge::none(&Facts::default()))
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let own = request.pinned.is_none_or(|pinned| pinned == self.digest);
        self.authorization(own.then_some(self), request, Knowledge::none(&Facts::default()))
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }
}
