//! The rules of the day, those that runs pin, and what is known of runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::model::{Digest, RunId};
use release_core::port::{Admission, CommandRequest, Decision, Policy};

use super::facts::Facts;
use super::set::PolicySet;

/// All versions of the rules that are in use. What denies, windows and rights are those of the head;
/// what allows is what the run pins.
#[derive(Debug, Clone)]
pub struct PolicyBook {
    head: Arc<PolicySet>,
    versions: BTreeMap<Digest, Arc<PolicySet>>,
    facts: BTreeMap<RunId, (Facts, Digest)>,
}

impl PolicyBook {
    /// A book with one version.
    pub fn new(head: PolicySet) -> Self {
        let book = Self { head: Arc::new(head), versions: BTreeMap::new(), facts: BTreeMap::new() };
        book.keeping_head()
    }

    /// The same book with other rules for the day. Those of before stay for the runs that pin them.
    #[must_use]
    pub fn with_head(mut self, head: PolicySet) -> Self {
        self.head = Arc::new(head);
        self.keeping_head()
    }

    /// The same book, with what is known of a run.
    #[must_use]
    pub fn with_facts(mut self, run: RunId, facts: Facts) -> Self {
        let digest = facts.digest();
        self.facts.insert(run, (facts, digest));
        self
    }

    /// The rules of the day.
    pub fn head(&self) -> &PolicySet {
        &self.head
    }

    fn keeping_head(mut self) -> Self {
        self.versions.insert(self.head.digest(), Arc::clone(&self.head));
        self
    }

    /// What a run that pins nothing is allowed, the rules of the day say.
    fn pinned(&self, pinned: Option<Digest>) -> Option<&PolicySet> {
        match pinned {
            None => Some(&self.head),
            Some(digest) => self.versions.get(&digest).map(|set| &**set),
        }
    }
}

impl Policy for PolicyBook {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let none = Facts::default();
        let known = self.facts.get(request.run);
        let facts = known.map_or(&none, |(facts, _)| facts);
        let digest = known.map(|(_, digest)| *digest);
        self.head.admission(self.pinned(request.pinned), request, facts, digest)
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let none = Facts::default();
        let known = self.facts.get(request.run);
        let facts = known.map_or(&none, |(facts, _)| facts);
        let digest = known.map(|(_, digest)| *digest);
        self.head.authorization(self.pinned(request.pinned), request, facts, digest)
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.head.digest())
    }
}
