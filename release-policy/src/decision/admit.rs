//! How a set decides: its rules, windows and rights, asked together.

use std::cell::RefCell;
use std::collections::BTreeMap;

use release_core::model::{
    ChangeScope, Digest, Principal, PrincipalId, RunId, Span, Timestamp, TrainId,
};
use release_core::plan::Place;
use release_core::port::{
    Admission, Binding, CommandRequest, Decision, Grant, Inputs, Policy as _, Reason, ReasonKind,
};

use super::case::Definition;
use super::facts::{Answered, Facts};
use super::gates::{Judges, at_gates};
use super::needs::{Needed, needed};
use super::rule::{Effect, Rule};
use super::set::PolicySet;
use crate::all_of::{combine, together};
use crate::directory::{DirectoryFault, DirectoryState};
use crate::emergency::Bypass;
use crate::rbac::{Access, resource};
use crate::window::{ActionClass, Classes, Windows, places_of};

/// What is asked of a set, as far as rules go by it.
pub(super) struct Asked<'a> {
    pub(super) run: &'a RunId,
    pub(super) place: Option<&'a Place>,
    /// The same, with the train; everything, for what belongs to no place.
    pub(super) scope: ChangeScope,
    pub(super) action: Option<ActionClass>,
    pub(super) command: Option<&'static str>,
    pub(super) by: &'a Principal,
    pub(super) now: Timestamp,
    pub(super) pinned: Option<Digest>,
    pub(super) plan: Option<Digest>,
    /// Since when the step waits, if that is known.
    pub(super) since: Option<Timestamp>,
    /// What cases are decided by, and who has which role.
    pub(super) directory: DirectoryState<'a>,
    /// From which age on it says nothing of roles.
    pub(super) max_age: Span,
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
    /// From which age on the directory does not tell who is who, or who has which role.
    pub(super) max_age: Span,
}

/// Where no rights say how old a directory may be.
const MAX_AGE: Span = Span::secs(5 * 60);

impl<'a> Knowledge<'a> {
    /// `facts` are empty, and there is no directory.
    pub(super) const fn none(facts: &'a Facts) -> Self {
        Self { facts, digest: None, directory: DirectoryState::Unread, max_age: MAX_AGE }
    }

    /// With the directory that the rights go by, where no other was read, and the age that they let it have.
    fn or_of(mut self, rights: Option<&'a Access>) -> Self {
        let Some(access) = rights else { return self };
        self.max_age = access.max_age();
        if matches!(self.directory, DirectoryState::Unread) {
            self.directory = access.directory_state();
        }
        self
    }

    /// Whether two accounts are one person's, as far as that is known.
    fn same_person(&self, one: &PrincipalId, two: &PrincipalId, now: Timestamp) -> bool {
        match self.directory.fresh(now, self.max_age) {
            Ok(known) => known.are_one(one, two),
            Err(DirectoryFault::Unread) => one == two,
            // Nobody can tell any more: then nobody may have waived it for themselves.
            Err(_) => true,
        }
    }
}

/// What something concerns that belongs to a place of a train.
pub(super) fn scope(place: Option<&Place>, train: Option<&TrainId>) -> ChangeScope {
    let mut scope = place.map_or_else(ChangeScope::everywhere, resource);
    scope.train = train.cloned();
    scope
}

impl PolicySet {
    /// Answers a request for a step: `pinned` are the rules that allow, `None` if nobody has them any more.
    pub(super) fn admission(
        &self,
        pinned: Option<&Self>,
        request: &Admission<'_>,
        known: Knowledge<'_>,
    ) -> Decision {
        let access = self.its_rights().and_then(|rights| rights.access());
        let known = known.or_of(access.as_deref());
        let none = Classes::new();
        let classes = self.classes().unwrap_or(&none);
        let place = request.step.scope.place();
        let asked = Asked {
            run: request.run,
            place,
            scope: scope(place, request.train()),
            action: Some(classes.of_step(request.step, request.rollback)),
            command: None,
            by: request.requester,
            now: request.now,
            pinned: request.pinned,
            plan: request.plan(),
            since: request.since(),
            directory: known.directory,
            max_age: known.max_age,
            decided: RefCell::default(),
        };
        let mut all = vec![self.by_rules(pinned, &asked, known)];
        all.extend(self.windows.as_ref().map(|windows| {
            let lifted = self.lifted(Bypass::Windows, pinned, &asked, known.facts);
            let same =
                |one: &PrincipalId, two: &PrincipalId| known.same_person(one, two, request.now);
            unless_lifted(windows.admit_knowing(request, &same), lifted)
        }));
        all.extend(self.and_pinned(pinned).flat_map(|set| {
            let rights = set.rights.as_ref().map(|rights| rights.admit(request));
            #[cfg(feature = "cedar")]
            let cedar = set.cedar.as_ref().map(|all| all.admission(request, classes, known.facts));
            #[cfg(feature = "cedar")]
            let cedar = cedar.map(without_policy);
            #[cfg(not(feature = "cedar"))]
            let cedar = None;
            [rights, cedar].into_iter().flatten()
        }));
        by_one_directory(combine(all.into_iter()), known)
    }

    /// Whether approvals at gates count, by the directory and the rights.
    pub(super) fn opening(
        &self,
        pinned: Option<&Self>,
        request: &Admission<'_>,
        known: Knowledge<'_>,
    ) -> Decision {
        let access = self.its_rights().and_then(|rights| rights.access());
        let known = known.or_of(access.as_deref());
        let rights = self.and_pinned(pinned).filter_map(|set| set.rights.as_deref());
        let judges =
            Judges { directory: known.directory, max_age: known.max_age, rights: rights.collect() };
        let by_rights = judges.rights.iter().map(|rights| rights.inputs(None));
        let inputs = std::iter::once(self.inputs(request.pinned, known)).chain(by_rights);
        let inputs = together(&inputs.collect::<Vec<_>>());
        at_gates(request, &judges, inputs.map(|inputs| *inputs).unwrap_or_default())
    }

    /// Answers a request to give a command, likewise.
    pub(super) fn authorization(
        &self,
        pinned: Option<&Self>,
        request: &CommandRequest<'_>,
        known: Knowledge<'_>,
    ) -> Decision {
        let access = self.its_rights().and_then(|rights| rights.access());
        let known = known.or_of(access.as_deref());
        let places = places_of(request);
        let at = |place| Asked {
            run: request.run,
            place,
            scope: scope(place, request.train()),
            action: ActionClass::of_command(request.command),
            command: Some(request.command.name()),
            by: request.by,
            now: request.now,
            pinned: request.pinned,
            plan: request.plan(),
            since: None,
            directory: known.directory,
            max_age: known.max_age,
            decided: RefCell::default(),
        };
        let asked: Vec<_> = places.iter().map(|place| at(place.as_ref())).collect();
        let rules = asked.iter().map(|asked| self.by_rules(pinned, asked, known));
        let mut all: Vec<_> = rules.collect();
        all.extend(self.windows.as_ref().map(|windows| {
            // It has to be lifted in each place.
            let lifts = |asked| self.lifted(Bypass::Windows, pinned, asked, known.facts);
            let lifted = asked.iter().map(lifts);
            let lifted = lifted.collect::<Option<Vec<_>>>();
            let lifted = lifted.and_then(|all| all.into_iter().min_by_key(|one| one.valid_until));
            let same =
                |one: &PrincipalId, two: &PrincipalId| known.same_person(one, two, request.now);
            unless_lifted(windows.authorize_knowing(request, &same), lifted)
        }));
        all.extend(self.and_pinned(pinned).flat_map(|set| {
            let rights = set.rights.as_ref().map(|rights| rights.authorize(request));
            #[cfg(feature = "cedar")]
            let cedar = set.cedar.as_ref().map(|all| all.authorization(request, known.facts));
            #[cfg(feature = "cedar")]
            let cedar = cedar.map(without_policy);
            #[cfg(not(feature = "cedar"))]
            let cedar = None;
            [rights, cedar].into_iter().flatten()
        }));
        combine(all.into_iter())
    }

    /// This set, and the one that is pinned, if that is another: what both must permit.
    fn and_pinned<'a>(&'a self, pinned: Option<&'a Self>) -> impl Iterator<Item = &'a Self> {
        let other = pinned.filter(|pinned| pinned.digest() != self.digest());
        std::iter::once(self).chain(other)
    }

    /// The leave of glass that is broken for the run and lifts rules of a kind, by what the run pinned and by what
    /// stands today.
    fn lifted(
        &self,
        what: Bypass,
        pinned: Option<&Self>,
        asked: &Asked<'_>,
        facts: &Facts,
    ) -> Option<Grant> {
        let one = pinned?.lifts(what, asked, facts)?;
        let two = self.lifts(what, asked, facts)?;
        Some(if two.valid_until < one.valid_until { two } else { one })
    }

    fn lifts(&self, what: Bypass, asked: &Asked<'_>, facts: &Facts) -> Option<Grant> {
        facts.glasses().find_map(|(name, glass)| match self.definition(name)? {
            Definition::Glass { capability, policy } => {
                glass.lifts(what, (capability, policy), asked)
            }
            _ => None,
        })
    }

    /// What answers are made from, but for rights.
    fn inputs(&self, pinned: Option<Digest>, known: Knowledge<'_>) -> Inputs {
        Inputs {
            policy: Some(self.digest()),
            pinned: pinned.filter(|pinned| *pinned != self.digest()),
            rights: None,
            calendar: self.windows.as_ref().map(Windows::digest),
            directory: known.facts.directories(known.directory.input()),
            facts: known.digest,
        }
    }

    /// What the rules say by themselves: `pinned` those that allow, these those that deny.
    fn by_rules<'a>(
        &self,
        pinned: Option<&'a Self>,
        asked: &Asked<'a>,
        known: Knowledge<'a>,
    ) -> Decision {
        let (facts, inputs) = (known.facts, self.inputs(asked.pinned, known));
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
            Some(pinned) => {
                let lifts = |what| self.lifted(what, Some(pinned), asked, facts);
                pinned.leave(asked, facts, &lifts)
            }
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
    fn leave<'a>(&'a self, asked: &Asked<'a>, facts: &'a Facts, lifts: Lifts<'_>) -> Leave {
        let (mut grants, mut pending, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let (mut waits, mut timed, mut earliest) = (false, true, None);
        let here = self.allows_at.at(asked.place);
        for rule in here.into_iter().filter_map(|at| self.allows.get(at)) {
            match rule.when.holds(asked, facts, true) {
                Ok(false) => {}
                Err(fault) => refused.push(reason_of(rule, fault.to_string(), ReasonKind::Error)),
                Ok(true) => match needed(rule, (self, lifts), asked, facts) {
                    Needed::Nothing { until: valid_until, plan, lifted } => {
                        grants.extend(lifted);
                        let (rule, policy) = (name_of(rule), asked.pinned);
                        let bound_to = Binding { plan, policy };
                        grants.push(Grant { rule, valid_until, bound_to });
                    }
                    Needed::Pending { until, reasons } => {
                        // Any one of several is enough: the first that comes.
                        waits = true;
                        timed &= until.is_some();
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
            // What people can give may come before any instant.
            return Leave::Pending { until: earliest.filter(|_| timed), reasons: pending };
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

/// Rules in Cedar are in the digest of the set that they belong to.
#[cfg(feature = "cedar")]
fn without_policy(decision: Decision) -> Decision {
    let inputs = decision.inputs().copied().unwrap_or_default();
    decision.from_inputs(Inputs { policy: None, ..inputs })
}

/// Whatever was asked of it went by one directory, and what the facts were taken from.
fn by_one_directory(decision: Decision, known: Knowledge<'_>) -> Decision {
    let inputs = decision.inputs().copied().unwrap_or_default();
    let directory = known.facts.directories(known.directory.input());
    decision.from_inputs(Inputs { directory, ..inputs })
}

/// What windows say, unless broken glass lifts them.
fn unless_lifted(windows: Decision, lifted: Option<Grant>) -> Decision {
    match (windows.is_permit(), lifted) {
        (false, Some(grant)) => {
            let inputs = windows.inputs().copied().map(Box::new);
            Decision::Permit { grants: vec![grant], inputs }
        }
        _ => windows,
    }
}

/// What glass gives leave from a kind of rule.
pub(super) type Lifts<'a> = &'a dyn Fn(Bypass) -> Option<Grant>;

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
