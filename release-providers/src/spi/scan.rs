//! Scans artifacts for weaknesses.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Digest};
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::message::message;
use super::{JobPhase, JobRef};
use crate::{Context, Description, ProviderError};

/// Scans artifacts for weaknesses and reports them in SARIF 2.1.0
/// (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>).
///
/// # Conformance
/// `conformance!(Scanner, sandbox)` of `release-testkit`: a report is about the content that was scanned, its counts
/// are those of its SARIF log, and its knowledge is not of the future; a scan stays as it ended.
#[async_trait]
pub trait Scanner: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Accepts a scan, and returns before it is done.
    ///
    /// # Idempotency
    /// One key is one scan, also once it is over: then it stays as it is.
    ///
    /// # Errors
    /// `NotFound` for an unknown artifact, `Unsupported` for a kind of scan that this does not do; both with effect
    /// `NotApplied`.
    async fn start(&self, cx: &Context, request: StartScan) -> Result<(), ProviderError>;

    /// Tells how far a scan is, and what it found.
    ///
    /// # Contract
    /// [`JobPhase::Succeeded`] means that the scan came to its end, whatever it found. Its report is about
    /// `artifact`'s bytes and names the state of knowledge that it was made with. Its counts are those of its
    /// SARIF log.
    ///
    /// # Errors
    /// `Unavailable` when it cannot look. A key that was never used is [`JobPhase::Unknown`], no error.
    async fn observe(&self, cx: &Context, request: JobRef) -> Result<ScanStatus, ProviderError>;
}

message! {
    /// What to scan, and for what.
    #[derive(Eq)]
    pub struct StartScan {
        /// The artifact.
        pub artifact: ArtifactRef,
        /// For what.
        pub kind: ScanKind,
    }
}

/// What a scan looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScanKind {
    /// Known vulnerabilities of what it is made of.
    Vulnerabilities,
    /// Weaknesses of its own code.
    Code,
    /// Secrets that were left in it.
    Secrets,
    /// Licences of what it is made of.
    Licences,
}

message! {
    /// A scan as it is.
    #[derive(Eq)]
    pub struct ScanStatus {
        /// The key that it was started under.
        pub operation: String,
        /// How far it is.
        pub phase: JobPhase,
        optional {
            /// What it found, once it is done.
            pub report: Option<ScanReport>,
        }
    }
}

message! {
    /// What a scan found.
    #[derive(Eq)]
    pub struct ScanReport {
        /// The content that was scanned.
        pub digest: Digest,
        /// When what is known of weaknesses was last brought up to date.
        pub known_until: Timestamp,
        /// Findings of SARIF level `error`.
        pub errors: u32,
        /// Findings of SARIF level `warning`.
        pub warnings: u32,
        /// Findings of SARIF level `note`.
        pub notes: u32,
        /// The report itself: one SARIF 2.1.0 log, as JSON.
        pub sarif: String,
    }
}
