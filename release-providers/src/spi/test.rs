//! Runs suites of tests.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Target};
use release_core::time::Span;
use serde::{Deserialize, Serialize};

use super::message::message;
use super::{JobPhase, JobRef};
use crate::{Context, Description, ProviderError};

/// Runs suites of tests against an artifact, or against what runs in a target.
///
/// # Conformance
/// `conformance!(TestRunner, sandbox)` of `release-testkit`: a run tells every test once; a failed test, and none at
/// all, fail the run; where tests are named no others are run; a run stays as it ended; an unused key is `Unknown`.
#[async_trait]
pub trait TestRunner: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Accepts a run of a suite, and returns before it is done.
    ///
    /// # Idempotency
    /// One key is one run of the suite, also after a crash of the caller or of this provider, and also once it is over:
    /// then it stays as it is.
    ///
    /// # Errors
    /// `NotFound` for an unknown suite, artifact or target, with effect `NotApplied`.
    ///
    /// # Cancellation
    /// Dropping the future leaves the run either accepted or not; [`observe`](Self::observe) tells which.
    async fn start(&self, cx: &Context, request: StartTests) -> Result<(), ProviderError>;

    /// Tells how far a run is, and what each test came to.
    ///
    /// # Contract
    /// [`JobPhase::Succeeded`] means that all tests were run and none failed. A suite without tests, one
    /// whose tests were all skipped, and one that could not be run to its end, has failed.
    ///
    /// # Errors
    /// `Unavailable` when it cannot look. A key that was never used is [`JobPhase::Unknown`], no error.
    async fn observe(&self, cx: &Context, request: JobRef) -> Result<TestStatus, ProviderError>;

    /// Ends a run, if it is under way. What is over stays as it is.
    ///
    /// # Idempotency
    /// Cancelling again changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a key that was never used; `Unavailable` when it cannot be reached.
    async fn cancel(&self, cx: &Context, request: JobRef) -> Result<(), ProviderError>;
}

message! {
    /// Which suite, against what.
    #[derive(Eq)]
    pub struct StartTests {
        /// The suite, as the runner knows it.
        pub suite: String,
        /// What is tested.
        pub artifact: ArtifactRef,
        optional {
            /// Where it runs, for suites that need it to.
            pub target: Option<Target>,
            /// Only these tests of it, by name; empty: all.
            pub only: Vec<String>,
        }
    }
}

message! {
    /// A run of a suite as it is.
    #[derive(Eq)]
    pub struct TestStatus {
        /// The key that it was started under.
        pub operation: String,
        /// How far it is.
        pub phase: JobPhase,
        optional {
            /// What each test came to that is over.
            pub cases: Vec<TestCase>,
        }
    }
}

message! {
    /// One test.
    #[derive(Eq)]
    pub struct TestCase {
        /// Its name, the same in every run.
        pub name: String,
        /// What it came to.
        pub outcome: TestOutcome,
        /// How long it took.
        pub took: Span,
        optional {
            /// What it said, if it failed.
            pub detail: String,
        }
    }
}

/// What a test came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TestOutcome {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// It was not run.
    Skipped,
}
