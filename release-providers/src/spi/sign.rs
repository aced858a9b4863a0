//! Signs artifacts and statements about them.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Digest};
use serde_json::Value;

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Signs artifacts and statements about them, with keys that never leave it.
///
/// # Conformance
/// `conformance!(ArtifactSigner, sandbox)` of `release-testkit`: a signature names the digest and the key that were
/// asked for, and is observed as it was answered; another statement, or another predicate, has another envelope.
#[async_trait]
pub trait ArtifactSigner: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Signs, and stores the signature where verifiers find it.
    ///
    /// # Contract
    /// What is signed names `request.artifact`'s digest. The answer comes once the signature is stored.
    ///
    /// # Idempotency
    /// Asked again with the same key, it answers with the signature that it made first.
    ///
    /// # Errors
    /// `NotFound` for an unknown key, `Denied` for one that may not be used, `Invalid` for a statement that is none; all
    /// with effect `NotApplied`. `Unavailable` when it cannot sign or store.
    async fn sign(&self, cx: &Context, request: SignArtifact) -> Result<Signature, ProviderError>;

    /// Tells whether something was signed under a key.
    ///
    /// # Errors
    /// `Unavailable` when it cannot look.
    async fn observe(
        &self,
        cx: &Context,
        request: ObserveSignature,
    ) -> Result<SignatureStatus, ProviderError>;
}

message! {
    /// What to sign.
    #[derive(Eq)]
    pub struct SignArtifact {
        /// The artifact.
        pub artifact: ArtifactRef,
        /// Which key, by the name that the signer knows it by. Never the key itself.
        pub signing_key: String,
        optional {
            /// The predicate type of the statement, as a URI; empty for a plain signature.
            pub predicate: String,
            /// The predicate.
            pub statement: Value,
        }
    }
}

message! {
    /// A signature that is stored.
    #[derive(Eq)]
    pub struct Signature {
        /// What was signed.
        pub artifact: Digest,
        /// With which key.
        pub signing_key: String,
        /// The digest of the signed envelope, under which it is found again.
        pub envelope: Digest,
    }
}

message! {
    /// Which signature.
    #[derive(Eq)]
    pub struct ObserveSignature {
        /// The key of the call that asked for it.
        pub operation: String,
    }
}

message! {
    /// What was signed under a key.
    #[derive(Eq)]
    pub struct SignatureStatus {
        /// The signature, once it is stored.
        pub signature: Option<Signature>,
    }
}
