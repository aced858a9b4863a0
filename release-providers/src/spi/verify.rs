//! Tells whether an artifact is what somebody trusted says it is.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Digest};
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Checks signatures and attestations of artifacts against keys and identities that its host trusts.
///
/// # Conformance
/// `conformance!(ArtifactVerifier, sandbox)` of `release-testkit`: what somebody trusted attested is verified;
/// strangers, missing predicates and other digests are not; predicates that were not asked for are no signature.
#[async_trait]
pub trait ArtifactVerifier: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Looks up what was attested of an artifact, and checks each of it.
    ///
    /// # Contract
    /// It only looks. The verdict is about `request.artifact`'s digest and nothing else: a signature over another
    /// digest, an expired or revoked key, and a predicate that was not asked for count for nothing. What cannot be
    /// checked is [`Verdict::Unverified`] with the reason, never a pass.
    ///
    /// # Errors
    /// `NotFound` for an artifact that is not known; `Unavailable` when signatures or keys cannot be read; `Cancelled`
    /// and `Timeout` for calls that nobody waits for. None has an effect.
    async fn verify(
        &self,
        cx: &Context,
        request: VerifyArtifact,
    ) -> Result<Verification, ProviderError>;
}

message! {
    /// What to check.
    #[derive(Eq)]
    pub struct VerifyArtifact {
        /// The artifact.
        pub artifact: ArtifactRef,
        optional {
            /// The predicate types that must be there, as URIs, for example `https://slsa.dev/provenance/v1`; empty: a
            /// plain signature is asked for, and enough.
            pub predicates: Vec<String>,
        }
    }
}

message! {
    /// What was found.
    #[derive(Eq)]
    pub struct Verification {
        /// What was checked.
        pub digest: Digest,
        /// Whether all that was asked for is there and right.
        pub verdict: Verdict,
        /// Every attestation that was checked and is right.
        pub attestations: Vec<Attested>,
    }
}

/// Whether an artifact can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// All that was asked for was attested by somebody trusted.
    Verified,
    /// Something is missing or wrong.
    Unverified {
        /// What, one line each; at least one.
        reasons: Vec<String>,
    },
}

message! {
    /// An attestation that was checked and is right.
    #[derive(Eq)]
    pub struct Attested {
        /// Its predicate type, as a URI; empty for a plain signature.
        pub predicate: String,
        /// Who attested it: the identity or the key's name.
        pub by: String,
        /// The digest of the attestation itself, so that it can be found again.
        pub digest: Digest,
    }
}
