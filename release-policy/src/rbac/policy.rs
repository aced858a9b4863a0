//! Rights as a policy of the engine.

use std::sync::{Arc, PoisonError, RwLock};

use release_core::model::{ChangeScope, Digest, GateId, Principal, PrincipalId, Span, Timestamp};
use release_core::plan::Place;
use release_core::port::{
    Admission, CommandRequest, Decision, Grant, Inputs, Policy, Reason, ReasonKind,
};
use release_core::run::{Command, RunState};

use super::access::Book;
use super::{Access, Action, Answer, Denied, Fact, Facts, Miss, Missed, Query, Rules};
use crate::canonical::Canonical;
use crate::decision::{Judges, at_gates};
use crate::directory::{Directory, DirectoryFault, DirectoryStamp, DirectoryState, OlderDirectory};
use crate::window::Classes;

/// The fact that rules can ask for in every request of the engine: a flag, whether somebody acts on a run that
/// they asked for themselves, with whichever account.
pub const OWN_RUN: &str = "own_run";

/// Who may start steps and give commands.
///
/// Steps of a rollback are nobody's business here unless a host asks about them: then they are
/// [`Action::Rollback`].
#[derive(Debug)]
pub struct Rbac {
    source: Source,
    classes: Classes,
    steps: bool,
    digest: Digest,
}

#[derive(Debug)]
enum Source {
    /// Roles come from a directory, which the host replaces as it gets new ones.
    Directory(RwLock<Current>),
    /// The host vouches for the roles of whoever acts.
    Host(Box<Book>),
}

/// The rules with the directory of the day, and the newest one so far, also while it is out of reach.
#[derive(Debug, Clone)]
struct Current {
    access: Arc<Access>,
    newest: Option<Arc<Directory>>,
}

impl Current {
    fn new(access: Arc<Access>) -> Self {
        let newest = access.snapshot().cloned();
        Self { access, newest }
    }
}

impl Rbac {
    /// Roles are those of a directory. Give it a newer one with
    /// [`publish_directory`](Self::publish_directory), or have the [`PolicyBook`](crate::decision::PolicyBook) do
    /// it that these rights belong to.
    pub fn new(access: Access) -> Self {
        Self::over(Source::Directory(RwLock::new(Current::new(Arc::new(access)))))
    }

    /// Roles are those that the host vouches for in each request
    /// ([`Principal::roles`]), everywhere and without end: for hosts whose login says them. There are no
    /// linked accounts and no loans.
    pub fn vouched(rules: Rules) -> Self {
        Self::over(Source::Host(Box::new(Book::new(rules))))
    }

    fn over(source: Source) -> Self {
        Self { source, classes: Classes::new(), steps: true, digest: Digest::of(&[]) }.sealed()
    }

    /// Says of which class the actions of the host's own providers are.
    #[must_use]
    pub fn classes(mut self, classes: Classes) -> Self {
        self.classes = classes;
        self.sealed()
    }

    /// Leaves steps to others: whoever could start a run may have all of its steps done.
    #[must_use]
    pub fn commands_only(mut self) -> Self {
        self.steps = false;
        self.sealed()
    }

    /// The same rights with the same directory, until one of the two is given another.
    pub(crate) fn detached(&self) -> Self {
        let source = match &self.source {
            Source::Directory(current) => {
                let current = current.read().unwrap_or_else(PoisonError::into_inner);
                Source::Directory(RwLock::new(current.clone()))
            }
            Source::Host(book) => Source::Host(book.clone()),
        };
        Self { source, classes: self.classes.clone(), steps: self.steps, digest: self.digest }
    }

    /// Goes by this snapshot from now on. Nothing changes when the host vouches for roles itself.
    ///
    /// # Errors
    /// [`OlderDirectory`] when a newer one was known before: a role that was taken away does not come back.
    pub fn publish_directory(
        &self,
        directory: impl Into<Arc<Directory>>,
    ) -> Result<(), OlderDirectory> {
        let (Source::Directory(current), Some(access)) = (&self.source, self.access()) else {
            return Ok(());
        };
        let directory = directory.into();
        // What takes long is done before anybody has to wait for it.
        let access = access.with_directory(Arc::clone(&directory));
        let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
        OlderDirectory::check(&directory, current.newest.as_deref())?;
        *current = Current::new(Arc::new(access));
        Ok(())
    }

    /// Has no directory from now on: it could not be reached since then.
    pub fn lose_directory(&self, since: Timestamp) {
        if let Some(access) = self.access() {
            self.set(access.without_directory(since));
        }
    }

    /// Goes by the same rules with what else `access` says.
    pub(crate) fn set(&self, access: Access) {
        if let Source::Directory(current) = &self.source {
            let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
            current.newest = access.snapshot().cloned().or_else(|| current.newest.take());
            current.access = Arc::new(access);
        }
    }

    /// What it goes by now, unless the host vouches for roles itself.
    pub fn access(&self) -> Option<Arc<Access>> {
        match &self.source {
            Source::Directory(current) => {
                let current = current.read().unwrap_or_else(PoisonError::into_inner);
                Some(Arc::clone(&current.access))
            }
            Source::Host(_) => None,
        }
    }

    /// The digest of all that it goes by, but for the directory: rules, where roles come from, how old a directory
    /// may be, classes, and whether it concerns steps.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    fn sealed(mut self) -> Self {
        let all = Canonical::new("release/rights/1").number(u8::from(self.steps));
        let all = self.classes.write(all);
        self.digest = match (&self.source, self.access()) {
            (Source::Host(book), _) => all.text("host").digest(&book.rules.digest()),
            (Source::Directory(_), access) => {
                let age = access.as_deref().map_or(Span::ZERO, Access::max_age);
                let rules = access.map_or(Digest::of(&[]), |access| access.rules().digest());
                let age = i128::try_from(age.as_duration().as_micros()).unwrap_or(i128::MAX);
                all.text("directory").digest(&rules).number(age)
            }
        }
        .finish();
        self
    }

    /// Whether somebody may do something, with all reasons. `requester` asked for the run.
    pub fn ask(
        &self,
        who: &Principal,
        requester: &Principal,
        action: Action,
        resource: &ChangeScope,
        at: Timestamp,
    ) -> Answer {
        match &self.source {
            Source::Directory(current) => {
                let access = {
                    let current = current.read().unwrap_or_else(PoisonError::into_inner);
                    Arc::clone(&current.access)
                };
                access.ask(who, requester, action, resource, at)
            }
            Source::Host(book) => {
                let facts = facts(who.id == requester.id);
                let query = Query::new(&who.id, action, resource, at).facts(&facts);
                let mut answer = Answer::undecided(&book.rules, None);
                book.judge(&book.vouched(who, at), &query, &mut answer, |_| None);
                answer
            }
        }
    }

    /// The roles of which one would allow it, by name.
    fn helpful(&self, action: Action) -> String {
        let names = |rules: &Rules| {
            let may = |role: &&super::Role| {
                role.permissions.iter().any(|permission| permission.actions.contains(&action))
            };
            let names: Vec<_> = rules.roles().filter(may).map(|role| role.id.as_str()).collect();
            names.join(" or ")
        };
        match &self.source {
            Source::Directory(current) => {
                names(current.read().unwrap_or_else(PoisonError::into_inner).access.rules())
            }
            Source::Host(book) => names(&book.rules),
        }
    }

    fn decide(
        &self,
        who: &Principal,
        requester: &Principal,
        action: Action,
        resource: &ChangeScope,
        at: Timestamp,
    ) -> Decision {
        // One directory, for what is said and for what it is said to be made from.
        let access = self.access();
        let answer = match &access {
            Some(access) => access.ask(who, requester, action, resource, at),
            None => self.ask(who, requester, action, resource, at),
        };
        let inputs = self.inputs(access.as_deref());
        if answer.is_allowed() {
            let leave = answer.longest().map(|granted| Grant {
                valid_until: granted.until,
                ..Grant::of(format!("rbac/{}", granted.grant.role))
            });
            let (grants, inputs) = (leave.into_iter().collect(), Some(Box::new(inputs)));
            return Decision::Permit { grants, inputs };
        }
        let mut reasons: Vec<_> = answer.denied.iter().map(|denied| reason(denied, who)).collect();
        let knows = !answer.denied.iter().any(|denied| matches!(denied, Denied::Directory { .. }));
        if answer.granted.is_empty() && knows {
            reasons.push(self.nothing_allows(who, action, &answer.missed));
        }
        // A right that is yet to begin is waited for, if nothing else is in the way.
        let begins = answer.missed.iter().filter_map(|missed| match missed.why {
            Miss::NotYet { from } => Some(from),
            _ => None,
        });
        match begins.min().filter(|_| answer.denied.is_empty() && answer.granted.is_empty()) {
            Some(from) => Decision::wait(Some(from), reasons),
            None => Decision::deny(reasons),
        }
        .from_inputs(inputs)
    }

    /// What an answer by this directory is made from.
    pub(crate) fn inputs(&self, access: Option<&Access>) -> Inputs {
        let directory = access.and_then(|access| access.directory_state().input());
        Inputs { rights: Some(self.digest()), directory, ..Inputs::default() }
    }

    fn nothing_allows(&self, who: &Principal, action: Action, missed: &[Missed]) -> Reason {
        let helpful = self.helpful(action);
        let rule = format!("rbac/{action}");
        if helpful.is_empty() {
            let text = format!("no role may {action}");
            let reason = Reason::new(rule, text, "whoever maintains the rules");
            return reason.kind(ReasonKind::Missing);
        }
        let missed: Vec<_> =
            missed.iter().map(|one| format!("; {} {}", one.role, one.why)).collect();
        let text = format!("{who} has no role here that may {action}{}", missed.concat());
        let lifted_by = format!("somebody who is {helpful}, or whoever grants roles");
        Reason::new(rule, text, lifted_by).kind(ReasonKind::Missing)
    }
}

impl Answer {
    pub(super) fn undecided(rules: &Rules, directory: Option<DirectoryStamp>) -> Self {
        let (granted, denied, missed) = (Vec::new(), Vec::new(), Vec::new());
        Self { granted, denied, missed, rules: rules.digest(), directory }
    }
}

impl Access {
    fn ask(
        &self,
        who: &Principal,
        requester: &Principal,
        action: Action,
        resource: &ChangeScope,
        at: Timestamp,
    ) -> Answer {
        let facts = facts(self.are_one(&who.id, &requester.id));
        let query = Query::new(&who.id, action, resource, at).facts(&facts);
        self.authorize(&query.requested_by(&requester.id))
    }

    /// Whether one person is behind both accounts.
    fn are_one(&self, one: &PrincipalId, two: &PrincipalId) -> bool {
        let (Some(a), Some(b)) = (self.subject(one), self.subject(two)) else { return one == two };
        a.behind().any(|person| b.behind().any(|other| person == other))
    }
}

fn facts(own_run: bool) -> Facts {
    Facts::from([(OWN_RUN.to_owned(), Fact::Flag(own_run))])
}

fn reason(denied: &Denied, who: &Principal) -> Reason {
    match denied {
        Denied::Directory { fault } => {
            let lifted_by = match fault {
                DirectoryFault::Future { .. } => "whoever keeps the clocks",
                _ => "a fresh snapshot of the directory",
            };
            Reason::new("rbac/directory", fault.to_string(), lifted_by).kind(ReasonKind::Error)
        }
        Denied::Unknown => {
            let text = format!("the directory has no account {who}");
            Reason::new("rbac/unknown", text, "whoever opens accounts")
        }
        Denied::Inactive => {
            let text = format!("the account {who} may not be used");
            Reason::new("rbac/inactive", text, "whoever opens accounts")
        }
        Denied::Rule { rule, reason, owner, error } => {
            let (text, kind) = match error {
                None => (format!("{who} is forbidden this: {reason}"), ReasonKind::Rule),
                Some(error) => {
                    (format!("cannot be judged, and so forbids: {error}"), ReasonKind::Error)
                }
            };
            Reason::new(format!("deny/{rule}"), text, owner.to_string()).kind(kind)
        }
    }
}

impl Policy for Rbac {
    /// Whether the requester may do what the step does, where it does it. A step that changes something and says of
    /// no place where, does it everywhere; any other that belongs to no place is nobody's business here.
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let place = request.step.scope.place();
        let concerns = self.steps && (place.is_some() || request.step.action.mutates());
        if !concerns {
            // What is said of gates goes by a directory, and so it is known which.
            let gated = request.gates().next().is_some();
            let permit = Decision::permit();
            return if gated {
                permit.from_inputs(self.inputs(self.access().as_deref()))
            } else {
                permit
            };
        }
        let class = self.classes.of_step(request.step, request.rollback);
        let (who, action) = (request.requester, Action::of_class(class));
        let mut resource = place.map_or_else(ChangeScope::everywhere, resource);
        resource.train = request.train().cloned();
        self.decide(who, who, action, &resource, request.now)
    }

    /// Whether approvals at gates count, by the directory that it goes by, and whether those who gave them may.
    fn opens(&self, request: &Admission<'_>) -> Decision {
        let access = self.access();
        let directory = access.as_deref().map_or(DirectoryState::Unread, Access::directory_state);
        let max_age = access.as_deref().map_or(Span::ZERO, Access::max_age);
        let judges = Judges { directory, max_age, rights: vec![self] };
        at_gates(request, &judges, self.inputs(access.as_deref()))
    }

    /// Whether somebody may give a command. The place of an approval is what the steps behind its gate have in common,
    /// or where the run is not known, the environment that the gate's name begins with; what is about one step
    /// belongs to its place, and leaving a member behind to that service. All else concerns the whole release, so
    /// that only rights over all of its train are enough.
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let Some(action) = Action::of_command(request.command) else {
            let text = format!("no rule knows the command `{}`", request.command.name());
            let reason = Reason::new("rbac/command", text, "a newer version of this library");
            return Decision::deny(vec![reason]);
        };
        let resource = match request.command {
            Command::Approve { gate } | Command::Withdraw { gate } | Command::Reject { gate } => {
                match request.state {
                    Some(state) => behind(state, gate),
                    None => environment(gate),
                }
            }
            Command::Retry { step }
            | Command::EndBake { step }
            | Command::Reconcile { step, .. } => {
                let plan = request.state.map(RunState::plan);
                let step = plan.and_then(|plan| plan.get(plan.find(step)?));
                step.and_then(|step| step.scope.place()).map(resource)
            }
            Command::Descope { service } => {
                Some(ChangeScope::everywhere().of_service(service.clone()))
            }
            _ => None,
        };
        let mut resource = resource.unwrap_or_else(ChangeScope::everywhere);
        resource.train = request.train().cloned();
        self.decide(request.by, request.requester, action, &resource, request.now)
    }
}

/// What something in a place concerns.
pub(crate) fn resource(place: &Place) -> ChangeScope {
    let mut scope = ChangeScope::new(place.environment.clone());
    scope.services.extend(place.service.clone());
    scope.region.clone_from(&place.region);
    scope
}

/// What all steps behind a gate have in common; nothing, if there are none.
fn behind(state: &RunState, gate: &GateId) -> Option<ChangeScope> {
    let places = state.plan().behind(gate).map(|step| step.scope.place().map(resource));
    let all: Option<Vec<_>> = places.collect();
    all?.into_iter().reduce(|one, other| {
        let mut common = ChangeScope::everywhere();
        common.environment = one.environment.filter(|id| other.environment.as_ref() == Some(id));
        common.region = one.region.filter(|id| other.region.as_ref() == Some(id));
        if one.services == other.services {
            common.services = one.services;
        }
        common
    })
}

/// Gates of stages are named after their environment, as in `production/cab`.
fn environment(gate: &GateId) -> Option<ChangeScope> {
    let (environment, _) = gate.as_str().split_once('/')?;
    environment.parse().ok().map(ChangeScope::new)
}
