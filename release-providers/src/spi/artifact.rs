//! Keeps content under its digest.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{ArtifactName, ArtifactRef, Digest};
use serde::{Deserialize, Serialize};

use crate::{Context, Description, ProviderError};

/// Keeps content under its digest.
///
/// # Conformance
/// `conformance!(ArtifactStore, sandbox)` of `release-testkit`: content comes back as it was put, under its own
/// digest; what does not match its digest is `Corrupt`, every time.
#[async_trait]
pub trait ArtifactStore: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Stores content and returns the reference that finds it again.
    ///
    /// # Idempotency
    /// The same content again gives the same digest and changes nothing.
    ///
    /// # Errors
    /// `Unavailable` or `NoSpace`; a reader never sees content that is stored in part.
    async fn put(&self, cx: &Context, request: PutArtifact) -> Result<ArtifactRef, ProviderError>;

    /// Reads content and verifies its digest while doing so, every time.
    ///
    /// # Errors
    /// `NotFound` when the store does not have it, `Corrupt` when the bytes do not match.
    async fn get(
        &self,
        cx: &Context,
        artifact: ArtifactRef,
    ) -> Result<ArtifactContent, ProviderError>;

    /// Reads and hashes the stored content and reports what it found.
    ///
    /// # Errors
    /// As [`ArtifactStore::get`].
    async fn verify(
        &self,
        cx: &Context,
        artifact: ArtifactRef,
    ) -> Result<ArtifactStatus, ProviderError>;
}

/// Content to store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PutArtifact {
    /// The name it gets.
    pub name: ArtifactName,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl PutArtifact {
    /// Content under `name`.
    pub const fn new(name: ArtifactName, bytes: Vec<u8>) -> Self {
        Self { name, bytes }
    }
}

impl fmt::Debug for PutArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PutArtifact({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// Content that was read and whose digest was verified.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArtifactContent {
    /// The verified digest.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl ArtifactContent {
    /// Verified content.
    pub const fn new(digest: Digest, bytes: Vec<u8>) -> Self {
        Self { digest, bytes }
    }
}

impl fmt::Debug for ArtifactContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArtifactContent({}, {} bytes)", self.digest, self.bytes.len())
    }
}

/// What a store found under a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArtifactStatus {
    /// The digest of the bytes that were read.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
}

impl ArtifactStatus {
    /// A status.
    pub const fn new(digest: Digest, bytes: u64) -> Self {
        Self { digest, bytes }
    }
}
