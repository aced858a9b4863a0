//! Tells who there is and who holds which role, from wherever that is kept.

use std::fmt;

use async_trait::async_trait;
use release_core::model::IdentitySnapshot;
use serde::{Deserialize, Serialize};

use crate::{Context, Description, ProviderError};

/// Reads identities, grants and delegations from their authority: a directory service, an identity provider,
/// a file.
///
/// Hosts use it, not steps: they read now and then, make a `Directory` of `release-policy` from the answer, and
/// let their policies go by it. Where there is no answer, they say so to their policies, which then deny.
///
/// # Conformance
/// `conformance!(IdentitySource, sandbox)` of `release-testkit`: a snapshot is whole and dated, its version grows
/// with each change, and what cannot be read is an error, never an empty directory.
#[async_trait]
pub trait IdentitySource: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Reads the authority now, and answers with all that it has.
    ///
    /// # Contract
    /// It only looks: it changes nothing, and [`Context::key`] means nothing to it.
    ///
    /// - **All or nothing.** Every answer is the whole directory as it was at one time, however many pages it was
    ///   read in. An authority that cannot be reached is an error: neither an empty snapshot nor one that was
    ///   remembered is an answer.
    /// - **`taken_at`** is when the authority was read, on the host's clock: not before this call, since it is
    ///   asked anew every time, and not after its answer. It is never smaller than in an answer that was there
    ///   before this call. On a clock that was set back it stands still until the clock has caught up, as the
    ///   time of decisions does.
    /// - **`version`** is another one for other content, and never smaller than before; the same content keeps
    ///   its version. That goes for all instances over one authority, also for those that begin anew: a count
    ///   that an instance keeps in memory is no version.
    /// - **Accounts that are closed stay**, as inactive. Whoever is missing was never there.
    /// - **It is sound.** A `Directory` can be made of every answer: no account comes twice, and none refers to one
    ///   that was left out. What breaks those rules in the authority itself is not mended on the way; the
    ///   `Directory` refuses it and names it.
    ///
    /// # Cancellation
    /// Safe at any time, also by dropping the future.
    ///
    /// # Errors
    /// `Unavailable` when the authority cannot be reached, `Denied` when it does not let this host read, `Invalid` or
    /// `Corrupt` for content that is no directory; `Cancelled` and `Timeout` for calls that were cancelled or whose
    /// deadline has passed. None has an effect.
    async fn read(
        &self,
        cx: &Context,
        request: ReadIdentities,
    ) -> Result<IdentitySnapshot, ProviderError>;
}

/// Asks for the whole directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReadIdentities {}

impl ReadIdentities {
    /// All of it.
    pub const fn new() -> Self {
        Self {}
    }
}
