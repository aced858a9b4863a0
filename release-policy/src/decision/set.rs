//! Rules, definitions, windows and rights, compiled once.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::model::Digest;
use release_core::port::{Admission, CommandRequest, Decision, Policy};

use super::admit::Knowledge;
use super::case::Definition;
use super::facts::Facts;
use super::index::Index;
use super::rule::{Effect, MAX_RULES, PolicyError, Rule, RuleProblem};
use crate::approval::ApprovalPolicy;
use crate::canonical::Canonical;
use crate::rbac::Rbac;
use crate::window::{Classes, Windows};

/// Rules, windows and rights as one policy. Without a rule that allows, it denies everything.
///
/// As a [`Policy`] of its own it knows no facts and no other rules than its own: for those, put it into a
/// [`PolicyBook`](super::PolicyBook).
#[derive(Debug, Clone)]
pub struct PolicySet {
    pub(super) allows: Vec<Rule>,
    pub(super) denies: Vec<Rule>,
    pub(super) allows_at: Index,
    pub(super) denies_at: Index,
    definitions: BTreeMap<String, Definition>,
    guard: Option<ApprovalPolicy>,
    pub(super) windows: Option<Windows>,
    pub(super) rights: Option<Arc<Rbac>>,
    #[cfg(feature = "cedar")]
    pub(super) cedar: Option<Arc<crate::cedar::CedarRules>>,
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
        let set = Self {
            allows_at: Index::new(&allows),
            denies_at: Index::new(&denies),
            allows,
            denies,
            definitions: BTreeMap::new(),
            guard: None,
            windows: None,
            rights: None,
            #[cfg(feature = "cedar")]
            cedar: None,
            digest: Digest::of(&[]),
        };
        Ok(set.sealed())
    }

    /// Says who has to agree, or by which criteria, where rules need the case of this name; the last of one name
    /// counts.
    #[must_use]
    pub fn define(mut self, name: impl Into<String>, by: impl Into<Definition>) -> Self {
        self.definitions.insert(name.into(), by.into());
        self.sealed()
    }

    /// Says who has to agree to other rules than these: see
    /// [`PolicyBook::publish_approved`](super::PolicyBook::publish_approved).
    #[must_use]
    pub fn guarded_by(mut self, quorum: ApprovalPolicy) -> Self {
        self.guard = Some(quorum);
        self.sealed()
    }

    /// Adds windows: whatever else allows, they hold what they hold. They are the calendar of decisions,
    /// and always those of the day.
    #[must_use]
    pub fn windows(mut self, windows: Windows) -> Self {
        self.windows = Some(windows);
        self
    }

    /// Adds rights: whatever else allows, nobody starts a step or gives a command who may not, by the directory
    /// that was published last. A run needs the rights of the day *and* those that it pinned.
    #[must_use]
    pub fn rights(mut self, rights: impl Into<Arc<Rbac>>) -> Self {
        self.rights = Some(rights.into());
        self.sealed()
    }

    /// Adds rules in Cedar: whatever else allows, they must permit, too; those of the day *and* those that a run
    /// pinned. They know the facts that are declared for them.
    #[cfg(feature = "cedar")]
    #[must_use]
    pub fn cedar(mut self, rules: impl Into<Arc<crate::cedar::CedarRules>>) -> Self {
        self.cedar = Some(rules.into());
        self.sealed()
    }

    /// With the digest of what is in it now.
    fn sealed(mut self) -> Self {
        let of = |all: Canonical, digest: Digest| all.digest(&digest);
        // INVARIANT: every key of every map in them is text, so that they can always be written.
        let defined = serde_json::to_vec(&(&self.definitions, &self.guard))
            .unwrap_or_else(|error| error.to_string().into_bytes());
        self.digest = Canonical::new("release/policy-set/2")
            .list(self.allows.iter(), |all: Canonical, rule: &Rule| rule.write(all))
            .list(self.denies.iter(), |all: Canonical, rule: &Rule| rule.write(all))
            .digest(&Digest::of(&defined))
            .maybe(self.rights.as_ref().map(|rights| rights.digest()), of)
            .maybe(self.cedar_digest(), of)
            .finish();
        self
    }

    #[cfg(feature = "cedar")]
    fn cedar_digest(&self) -> Option<Digest> {
        self.cedar.as_ref().map(|rules| rules.digest())
    }

    #[cfg(not(feature = "cedar"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    const fn cedar_digest(&self) -> Option<Digest> {
        None
    }

    /// Who has to agree to other rules.
    pub(super) const fn guard(&self) -> Option<&ApprovalPolicy> {
        self.guard.as_ref()
    }

    /// Who decides a case, or how.
    pub(super) fn definition(&self, name: &str) -> Option<&Definition> {
        self.definitions.get(name)
    }

    /// The same set, whose rights nobody else gives a directory.
    pub(super) fn with_rights_of_its_own(mut self) -> Self {
        self.rights = self.rights.map(|rights| Arc::new(rights.detached()));
        self
    }

    /// The rights that were added.
    pub(super) fn its_rights(&self) -> Option<&Arc<Rbac>> {
        self.rights.as_ref()
    }

    /// The digest of the windows.
    pub(super) fn calendar(&self) -> Option<Digest> {
        self.windows.as_ref().map(Windows::digest)
    }

    /// The rules, by name: those that allow, then those that deny.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.allows.iter().chain(&self.denies)
    }

    /// The digest of all that a run pins: rules, definitions, rights and rules in Cedar. Windows have a digest of
    /// their own, and who holds which role is the directory's.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The steps that a host's own capabilities are classed by.
    pub(super) fn classes(&self) -> Option<&Classes> {
        self.windows.as_ref().map(|windows| &windows.rules().classes)
    }
}

impl Policy for PolicySet {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let own = request.pinned.is_none_or(|pinned| pinned == self.digest);
        self.admission(own.then_some(self), request, Knowledge::none(&Facts::default()))
    }

    fn opens(&self, request: &Admission<'_>) -> Decision {
        let own = request.pinned.is_none_or(|pinned| pinned == self.digest);
        self.opening(own.then_some(self), request, Knowledge::none(&Facts::default()))
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let own = request.pinned.is_none_or(|pinned| pinned == self.digest);
        self.authorization(own.then_some(self), request, Knowledge::none(&Facts::default()))
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }
}
