//! Rules and a directory, brought together once so that every question after that is cheap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::model::{
    ChangeScope, Delegation, EnvironmentId, Identity, Principal, PrincipalId, PrincipalKind,
    RoleGrant, RoleId, Span, Timestamp,
};

use super::{Action, Deny, Role, Rules, Whom};
use crate::directory::{Directory, DirectoryFault, DirectoryState};

/// Rules with a snapshot of the directory, or with the news that there is none.
///
/// Building it costs time and memory in the number of accounts, grants and rules. Asking it costs what the
/// asked account has itself, and the rules for everybody in that environment.
#[derive(Debug, Clone)]
pub struct Access {
    pub(super) book: Book,
    source: Source,
    max_age: Span,
    pub(super) subjects: Vec<Subject>,
    index: Index,
}

/// Where accounts stand. It is looked up in and never walked.
#[expect(clippy::disallowed_types, reason = "looked up in alone: its order reaches nobody")]
type Index = std::collections::HashMap<PrincipalId, usize>;

#[derive(Debug, Clone)]
enum Source {
    Directory(Arc<Directory>),
    Down { since: Timestamp },
}

/// The rules, by what they are looked up by.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub(super) rules: Rules,
    pub(super) roles: Vec<Role>,
    pub(super) denies: Vec<Deny>,
    role_index: BTreeMap<RoleId, usize>,
    /// Rules for everybody, or for all people or machines.
    general: BTreeMap<Action, BTreeMap<Option<EnvironmentId>, Vec<usize>>>,
    by_principal: BTreeMap<PrincipalId, Vec<usize>>,
    by_role: BTreeMap<RoleId, Vec<usize>>,
}

/// An account with all that concerns it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) id: PrincipalId,
    pub(super) kind: PrincipalKind,
    pub(super) active: bool,
    /// The person behind it.
    pub(super) person: PrincipalId,
    /// The people in whose name it acts.
    pub(super) acts_for: BTreeSet<PrincipalId>,
    /// What this account holds, own and lent.
    pub(super) held: Vec<Held>,
    /// Rules that forbid something to the person by name.
    pub(super) named: BTreeSet<usize>,
    /// Rules that forbid something because of a role that any account behind this holds.
    pub(super) branded: Vec<Brand>,
}

/// A role that an account holds, for a while.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) account: PrincipalId,
    pub(super) grant: Arc<RoleGrant>,
    /// Its place among the roles of the book, if rules say what it allows.
    pub(super) role: Option<usize>,
    pub(super) lent: Option<Arc<Delegation>>,
}

/// A rule that forbids because of a role.
#[derive(Debug, Clone)]
pub(super) struct Brand {
    pub(super) deny: usize,
    pub(super) held: Held,
    /// Whether the account that holds it is active.
    pub(super) active: bool,
}

impl Held {
    pub(super) fn from(&self) -> Timestamp {
        let starts = self.lent.as_ref().map(|lent| lent.starts);
        starts.map_or(self.grant.from, |starts| starts.max(self.grant.from))
    }

    pub(super) fn until(&self) -> Option<Timestamp> {
        let ends = self.lent.as_ref().map(|lent| lent.ends);
        match (self.grant.until, ends) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        }
    }

    pub(super) fn holds(&self, at: Timestamp) -> bool {
        self.grant.holds(at) && self.lent.as_ref().is_none_or(|lent| lent.holds(at))
    }
}

impl Book {
    pub(super) fn new(book: Rules) -> Self {
        let roles: Vec<_> = book.roles().cloned().collect();
        let denies: Vec<_> = book.denies().cloned().collect();
        let role_index = roles.iter().enumerate().map(|(at, role)| (role.id.clone(), at)).collect();
        let mut general: BTreeMap<_, BTreeMap<_, Vec<usize>>> = BTreeMap::new();
        let mut by_principal: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut by_role: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, deny) in denies.iter().enumerate() {
            match &deny.whom {
                Whom::Everyone | Whom::Kind(_) => {
                    for action in &deny.actions {
                        let places = general.entry(*action).or_default();
                        places.entry(deny.reach.environment.clone()).or_default().push(at);
                    }
                }
                Whom::Any { principals, roles } => {
                    for id in principals {
                        by_principal.entry(id.clone()).or_default().push(at);
                    }
                    for role in roles {
                        by_role.entry(role.clone()).or_default().push(at);
                    }
                }
            }
        }
        Self { rules: book, roles, denies, role_index, general, by_principal, by_role }
    }

    /// Rules for everybody, or for all of a kind, that may concern `action` on `resource`.
    pub(super) fn general(
        &self,
        action: Action,
        resource: &ChangeScope,
    ) -> impl Iterator<Item = usize> {
        let places = self.general.get(&action);
        let environment = resource.environment.as_ref();
        // Nothing said is everywhere: then rules of all environments are concerned.
        let all = places.filter(|_| environment.is_none()).into_iter().flatten();
        let narrow = environment.and(places);
        let here = narrow.and_then(|places| places.get(&environment.cloned()));
        let wide = narrow.and_then(|places| places.get(&None));
        let all = all.flat_map(|(_, rules)| rules);
        all.chain(here.into_iter().flatten()).chain(wide.into_iter().flatten()).copied()
    }

    pub(super) fn denies_of_role(&self, role: &RoleId) -> impl Iterator<Item = usize> {
        self.by_role.get(role).into_iter().flatten().copied()
    }

    fn held(
        &self,
        account: &PrincipalId,
        grant: Arc<RoleGrant>,
        lent: Option<Arc<Delegation>>,
    ) -> Held {
        let role = self.role_index.get(&grant.role).copied();
        Held { account: account.clone(), grant, role, lent }
    }

    fn brands<'a>(&'a self, held: &'a Held, active: bool) -> impl Iterator<Item = Brand> + 'a {
        let rules = self.denies_of_role(&held.grant.role);
        rules.map(move |deny| Brand { deny, held: held.clone(), active })
    }

    fn named(&self, id: &PrincipalId) -> impl Iterator<Item = usize> {
        self.by_principal.get(id).into_iter().flatten().copied()
    }

    /// Somebody whose roles the host vouches for, everywhere and as long as it does.
    pub(super) fn vouched(&self, who: &Principal, at: Timestamp) -> Subject {
        let mut subject = Subject::new(who.id.clone(), who.kind);
        for role in &who.roles {
            let grant = RoleGrant::new(role.clone(), at, who.id.clone(), "vouched for by the host");
            let held = self.held(&who.id, Arc::new(grant), None);
            subject.branded.extend(self.brands(&held, true));
            subject.held.push(held);
        }
        subject.named.extend(self.named(&who.id));
        subject
    }
}

impl Subject {
    /// The person whose account it is, and those in whose name it acts.
    pub(super) fn behind(&self) -> impl Iterator<Item = &PrincipalId> {
        std::iter::once(&self.person).chain(&self.acts_for)
    }

    pub(super) fn new(id: PrincipalId, kind: PrincipalKind) -> Self {
        let person = id.clone();
        let (acts_for, named) = (BTreeSet::new(), BTreeSet::new());
        let (held, branded) = (Vec::new(), Vec::new());
        Self { id, kind, active: true, person, acts_for, held, named, branded }
    }
}

impl Access {
    /// Brings rules together with a snapshot, which decides nothing once it is `max_age` old.
    pub fn new(rules: Rules, directory: impl Into<Arc<Directory>>, max_age: Span) -> Self {
        let (book, directory) = (Book::new(rules), directory.into());
        let mut subjects = own(&book, &directory);
        let index: Index =
            subjects.iter().enumerate().map(|(at, who)| (who.id.clone(), at)).collect();
        lend(&book, &directory, &index, &mut subjects);
        forbid(&book, &index, &mut subjects);
        Self { book, source: Source::Directory(directory), max_age, subjects, index }
    }

    /// The rules without a directory, which cannot be reached: everything is denied. One that
    /// [comes back](Self::with_directory) decides nothing once it is five minutes old.
    pub fn down(rules: Rules, since: Timestamp) -> Self {
        let (subjects, index, max_age) = (Vec::new(), Index::new(), Span::secs(5 * 60));
        Self { book: Book::new(rules), source: Source::Down { since }, max_age, subjects, index }
    }

    /// The same rules with another snapshot.
    #[must_use]
    pub fn with_directory(&self, directory: impl Into<Arc<Directory>>) -> Self {
        Self::new(self.book.rules.clone(), directory, self.max_age)
    }

    /// The same rules without a directory, which cannot be reached any more.
    #[must_use]
    pub fn without_directory(&self, since: Timestamp) -> Self {
        Self { max_age: self.max_age, ..Self::down(self.book.rules.clone(), since) }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.book.rules
    }

    /// The snapshot as others can keep it, if there is one.
    pub(crate) const fn snapshot(&self) -> Option<&Arc<Directory>> {
        match &self.source {
            Source::Directory(directory) => Some(directory),
            Source::Down { .. } => None,
        }
    }

    /// The snapshot, or since when there is none.
    pub(crate) fn directory_state(&self) -> DirectoryState<'_> {
        match &self.source {
            Source::Directory(directory) => DirectoryState::Snapshot(directory),
            Source::Down { since } => DirectoryState::Down { since: *since },
        }
    }

    /// From which age on a snapshot decides nothing.
    pub const fn max_age(&self) -> Span {
        self.max_age
    }

    /// The snapshot, whatever its age, if there is one.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.source {
            Source::Directory(directory) => Some(directory),
            Source::Down { .. } => None,
        }
    }

    /// The snapshot, if it can be gone by at `at`.
    ///
    /// # Errors
    /// [`DirectoryFault`] says why it cannot.
    pub fn fresh(&self, at: Timestamp) -> Result<&Directory, DirectoryFault> {
        self.directory_state().fresh(at, self.max_age)
    }

    pub(super) fn subject(&self, id: &PrincipalId) -> Option<&Subject> {
        self.index.get(id).and_then(|at| self.subjects.get(*at))
    }

    /// Roles that are granted or lent and that no rules define: they allow nothing. Each with who has it.
    pub fn undefined_roles(&self) -> impl Iterator<Item = (&PrincipalId, &RoleId)> {
        let held = self.subjects.iter().flat_map(|who| &who.held);
        held.filter(|held| held.role.is_none()).map(|held| (&held.account, &held.grant.role))
    }
}

/// Every account with the roles of its own.
fn own(book: &Book, directory: &Directory) -> Vec<Subject> {
    let own = |identity: &Identity| {
        let mut subject = Subject::new(identity.id.clone(), identity.kind);
        subject.active = identity.active;
        subject.person = directory.human(&identity.id).clone();
        subject.acts_for = identity.acts_for.iter().map(|id| directory.human(id).clone()).collect();
        let grants = identity.grants.iter();
        subject.held =
            grants.map(|grant| book.held(&identity.id, Arc::new(grant.clone()), None)).collect();
        subject
    };
    directory.identities().map(own).collect()
}

/// Adds what was lent: each grant of the lender's own, while both it and the loan hold.
fn lend(book: &Book, directory: &Directory, index: &Index, subjects: &mut [Subject]) {
    let at = |id: &PrincipalId| index.get(id).copied();
    let mut all = Vec::new();
    for lent in directory.delegations() {
        let Some(lender) = at(&lent.from).and_then(|at| subjects.get(at)) else { continue };
        let loan = Arc::new(lent.clone());
        let own = lender.held.iter().filter(|held| held.grant.role == lent.role);
        let own = own.filter(|_| lender.active);
        all.extend(
            own.map(|held| book.held(&lent.to, Arc::clone(&held.grant), Some(Arc::clone(&loan)))),
        );
    }
    for held in all {
        if let Some(subject) = at(&held.account).and_then(|at| subjects.get_mut(at)) {
            subject.held.push(held);
        }
    }
}

/// Adds what is forbidden to whoever is behind each account.
fn forbid(book: &Book, index: &Index, subjects: &mut [Subject]) {
    let mut people: BTreeMap<&PrincipalId, Vec<usize>> = BTreeMap::new();
    for subject in &*subjects {
        if let Some(at) = index.get(&subject.id) {
            people.entry(&subject.person).or_default().push(*at);
        }
    }
    let forbidden: Vec<_> = subjects
        .iter()
        .map(|subject| {
            let mut named = BTreeSet::new();
            let mut branded = Vec::new();
            let behind: BTreeSet<_> = subject.behind().collect();
            let accounts = behind.into_iter().filter_map(|person| people.get(person)).flatten();
            for account in accounts.filter_map(|at| subjects.get(*at)) {
                named.extend(book.named(&account.id));
                let brands = account.held.iter().flat_map(|held| book.brands(held, account.active));
                branded.extend(brands);
            }
            (named, branded)
        })
        .collect();
    for (subject, (named, branded)) in subjects.iter_mut().zip(forbidden) {
        subject.named = named;
        subject.branded = branded;
    }
}
