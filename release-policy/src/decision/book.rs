//! The rules of the day, those that runs pin, and what is known of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use release_core::model::{Digest, RunId, Timestamp};
use release_core::port::{Admission, CommandRequest, Decision, Policy};

use super::admit::Knowledge;
use super::facts::Facts;
use super::set::PolicySet;
use crate::directory::{Directory, DirectoryState, OlderDirectory};
use crate::rbac::Rbac;

/// All versions of the rules that are in use. What denies, the windows and rights are those of the head;
/// what allows is what the run pins.
///
/// An engine asks it while its host keeps it up to date: every answer is made from one state of the book. The
/// directory of the day is the book's, whose rights all go by it: what is published to an [`Rbac`] elsewhere does not
/// reach the book.
#[derive(Debug)]
pub struct PolicyBook {
    pages: RwLock<Pages>,
}

#[derive(Debug)]
struct Pages {
    head: Arc<PolicySet>,
    versions: BTreeMap<Digest, Arc<PolicySet>>,
    facts: BTreeMap<RunId, (Facts, Digest)>,
    directory: Source,
    /// The newest directory so far, also while it is out of reach.
    newest: Option<Arc<Directory>>,
    /// How often other rules were set.
    changes: u64,
}

/// Where people and roles come from.
#[derive(Debug)]
enum Source {
    Unread,
    Read(Arc<Directory>),
    Down { since: Timestamp },
}

impl PolicyBook {
    /// A book with one version.
    pub fn new(head: PolicySet) -> Self {
        let head = Arc::new(head.with_rights_of_its_own());
        let versions = BTreeMap::from([(head.digest(), Arc::clone(&head))]);
        let (facts, directory) = (BTreeMap::new(), Source::Unread);
        let mut pages = Pages { head, versions, facts, directory, newest: None, changes: 0 };
        pages.adopt();
        Self { pages: RwLock::new(pages) }
    }

    /// Sets other rules for the day. Those of before stay for the runs that pin them, until
    /// [`keep`](Self::keep) takes them out. After a restart, publish the old versions first. A directory that comes
    /// with its rights is gone by if it is no older than the one that is known.
    pub fn publish(&self, head: PolicySet) {
        let mut pages = self.write();
        pages.set(head);
        pages.adopt();
    }

    /// Goes by this snapshot of the directory from now on: for cases, for gates, and for the rights of the day and
    /// those that runs pin.
    ///
    /// # Errors
    /// [`OlderDirectory`] when a newer one was published before: a role that was taken away does not come back.
    pub fn publish_directory(
        &self,
        directory: impl Into<Arc<Directory>>,
    ) -> Result<(), OlderDirectory> {
        let directory = directory.into();
        // What takes long is done before anybody has to wait for it.
        let prepared: Vec<_> = self
            .read()
            .rights()
            .filter_map(|rights| Some((Arc::clone(rights), rights.access()?)))
            .collect();
        let prepared: Vec<_> = prepared
            .into_iter()
            .map(|(rights, of)| {
                let access = of.with_directory(Arc::clone(&directory));
                (rights, of, access)
            })
            .collect();
        let mut pages = self.write();
        OlderDirectory::check(&directory, pages.newest.as_deref())?;
        pages.newest = Some(Arc::clone(&directory));
        pages.directory = Source::Read(Arc::clone(&directory));
        for (rights, of, access) in prepared {
            // Unless other rules were published meanwhile.
            if rights.access().is_some_and(|now| Arc::ptr_eq(&now, &of)) {
                rights.set(access);
            }
        }
        pages.align();
        Ok(())
    }

    /// Says that the directory cannot be reached since then: whatever depends on it is denied.
    pub fn lose_directory(&self, since: Timestamp) {
        let mut pages = self.write();
        pages.directory = Source::Down { since };
        pages.align();
    }

    /// Sets what is known of a run, in place of what was known before.
    pub fn know(&self, run: RunId, facts: Facts) {
        let digest = facts.digest();
        self.write().facts.insert(run, (facts, digest));
    }

    /// Forgets what is known of a run, for example once it is over.
    pub fn forget(&self, run: &RunId) {
        self.write().facts.remove(run);
    }

    /// Takes out all versions but these and the head. A run that pins another one is allowed nothing more.
    pub fn keep(&self, pinned: &BTreeSet<Digest>) {
        let mut pages = self.write();
        let head = pages.head.digest();
        pages.versions.retain(|digest, _| *digest == head || pinned.contains(digest));
    }

    /// The same book with other rules for the day, as [`publish`](Self::publish) sets them.
    #[must_use]
    pub fn with_head(self, head: PolicySet) -> Self {
        self.publish(head);
        self
    }

    /// The same book, with what is known of a run.
    #[must_use]
    pub fn with_facts(self, run: RunId, facts: Facts) -> Self {
        self.know(run, facts);
        self
    }

    /// The rules of the day.
    pub fn head(&self) -> Arc<PolicySet> {
        Arc::clone(&self.read().head)
    }

    /// How often other rules were set so far, and the rules of the day, of one moment.
    pub(super) fn today(&self) -> (u64, Arc<PolicySet>) {
        let pages = self.read();
        (pages.changes, Arc::clone(&pages.head))
    }

    /// Sets other rules for the day unless somebody else did since: whether it did. A directory that comes with
    /// them is none that is gone by.
    pub(super) fn publish_after(&self, changes: u64, head: PolicySet) -> bool {
        let mut pages = self.write();
        let same = pages.changes == changes;
        if same {
            pages.set(head);
            pages.align();
        }
        same
    }

    /// What `ask` says by the directory of the day.
    pub(super) fn by_directory<T>(&self, ask: impl FnOnce(DirectoryState<'_>) -> T) -> T {
        ask(self.read().directory())
    }

    fn read(&self) -> RwLockReadGuard<'_, Pages> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Pages> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn set(&mut self, head: PolicySet) {
        let head = Arc::new(head.with_rights_of_its_own());
        self.versions.insert(head.digest(), Arc::clone(&head));
        self.head = head;
        self.changes += 1;
    }

    /// Goes by the directory that came with the rights of the day, if it is newer than the one that is known; and by
    /// the news that there is none, if nothing newer is known. One that was lost comes back with one that was read
    /// afterwards.
    fn adopt(&mut self) {
        let access = self.head.its_rights().and_then(|rights| rights.access());
        let Some(access) = access else { return self.align() };
        match (access.snapshot(), access.directory_state()) {
            (Some(directory), _) => {
                let newer = |known: &Arc<Directory>| {
                    let of =
                        |directory: &Directory| (directory.version(), directory.stamp().taken_at);
                    of(directory) > of(known) && directory.follows(known)
                };
                let taken_at = directory.stamp().taken_at;
                let after = |since: Timestamp| taken_at > since;
                let back = self.down_since().is_none_or(after);
                if back && self.newest.as_ref().is_none_or(newer) {
                    self.newest = Some(Arc::clone(directory));
                    self.directory = Source::Read(Arc::clone(directory));
                }
            }
            (None, DirectoryState::Down { since }) => {
                let before = |known: &Arc<Directory>| known.stamp().taken_at <= since;
                if self.down_since().is_none() && self.newest.as_ref().is_none_or(before) {
                    self.directory = Source::Down { since };
                }
            }
            (None, _) => {}
        }
        self.align();
    }

    const fn down_since(&self) -> Option<Timestamp> {
        match &self.directory {
            Source::Down { since } => Some(*since),
            Source::Unread | Source::Read(_) => None,
        }
    }

    /// All rights that are asked: those of the day, and those that runs pin.
    fn rights(&self) -> impl Iterator<Item = &Arc<Rbac>> {
        self.versions.values().filter_map(|set| set.its_rights())
    }

    /// Has all rights go by the directory of the day.
    fn align(&self) {
        for rights in self.rights() {
            let Some(access) = rights.access() else { continue };
            match &self.directory {
                Source::Unread => {}
                Source::Read(directory) => {
                    let same = access.snapshot().is_some_and(|known| Arc::ptr_eq(known, directory));
                    if !same {
                        rights.set(access.with_directory(Arc::clone(directory)));
                    }
                }
                Source::Down { since } => rights.set(access.without_directory(*since)),
            }
        }
    }

    /// What a run that pins nothing is allowed, the rules of the day say.
    fn pinned(&self, pinned: Option<Digest>) -> Option<&PolicySet> {
        match pinned {
            None => Some(&self.head),
            Some(digest) => self.versions.get(&digest).map(|set| &**set),
        }
    }

    fn known<'a>(&'a self, run: &RunId, none: &'a Facts) -> Knowledge<'a> {
        let (facts, digest) = self.facts.get(run).map(|(facts, digest)| (facts, *digest)).unzip();
        let known = Knowledge::none(facts.unwrap_or(none));
        Knowledge { digest, directory: self.directory(), ..known }
    }

    fn directory(&self) -> DirectoryState<'_> {
        match &self.directory {
            Source::Unread => DirectoryState::Unread,
            Source::Read(directory) => DirectoryState::Snapshot(directory),
            Source::Down { since } => DirectoryState::Down { since: *since },
        }
    }
}

impl Policy for PolicyBook {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let (pages, none) = (self.read(), Facts::default());
        let pinned = pages.pinned(request.pinned);
        pages.head.admission(pinned, request, pages.known(request.run, &none))
    }

    fn opens(&self, request: &Admission<'_>) -> Decision {
        let (pages, none) = (self.read(), Facts::default());
        let pinned = pages.pinned(request.pinned);
        pages.head.opening(pinned, request, pages.known(request.run, &none))
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let (pages, none) = (self.read(), Facts::default());
        let pinned = pages.pinned(request.pinned);
        pages.head.authorization(pinned, request, pages.known(request.run, &none))
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.read().head.digest())
    }
}
