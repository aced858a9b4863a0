//! Binaries that must not run any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use release_core::model::Digest;

use crate::sync::lock;

/// The digests of binaries that must not run any more, and why. Clones are the same list.
///
/// A pinned digest says what runs; this says what no longer may, whoever pinned it: a release with a hole, a leaked key
/// of a vendor. It is looked at before each start and, while a plugin runs, with each look at its health
/// ([`PluginSpec::look_every`](super::PluginSpec::look_every)).
///
/// ```
/// use release_providers::model::Digest;
/// use release_providers::plugin::host::Revocations;
///
/// let revocations = Revocations::default();
/// let released = Digest::of(b"the plugin's file");
/// revocations.revoke(released, "ACME-2026-7: answers for other tenants");
/// assert_eq!(revocations.of(released).as_deref(), Some("ACME-2026-7: answers for other tenants"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Revocations(Arc<Mutex<BTreeMap<Digest, String>>>);

impl Revocations {
    /// Lets a binary run no more, because of `reason`, one line for people. One that is revoked already keeps its first
    /// reason.
    pub fn revoke(&self, digest: Digest, reason: impl Into<String>) {
        lock(&self.0).entry(digest).or_insert_with(|| reason.into());
    }

    /// Why a binary must not run, if it must not.
    pub fn of(&self, digest: Digest) -> Option<String> {
        lock(&self.0).get(&digest).cloned()
    }
}
