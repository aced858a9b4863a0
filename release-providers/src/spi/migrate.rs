//! Migrates data in steps that both versions can live with.

use std::fmt;

use async_trait::async_trait;
use release_core::model::Target;
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Migrates data in two steps: first what the new version needs besides (expand), then, once nobody runs the old
/// version, what only that one needed (contract).
///
/// # Conformance
/// `conformance!(Migrator, sandbox)` of `release-testkit`: nothing is contracted before it is expanded, and it never
/// goes back.
#[async_trait]
pub trait Migrator: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Accepts the first step, and returns before it is done. Both versions can work after it, and on its way.
    ///
    /// # Idempotency
    /// What is expanded stays so, however often it is asked for.
    ///
    /// # Errors
    /// `NotFound` for an unknown target or migration, with effect `NotApplied`.
    async fn expand(&self, cx: &Context, request: MigrationRef) -> Result<(), ProviderError>;

    /// Accepts the second step, and returns before it is done. The old version cannot work any more after it.
    ///
    /// # Contract
    /// What is not expanded is not contracted: `Conflict`, with effect `NotApplied`.
    ///
    /// # Idempotency
    /// What is contracted stays so, however often it is asked for.
    ///
    /// # Errors
    /// `NotFound` for an unknown target or migration, `Conflict` as said; both with effect `NotApplied`.
    async fn contract(&self, cx: &Context, request: MigrationRef) -> Result<(), ProviderError>;

    /// Tells how far a migration is.
    ///
    /// # Errors
    /// `NotFound` for an unknown target or migration; `Unavailable` when it cannot look.
    async fn observe(
        &self,
        cx: &Context,
        request: MigrationRef,
    ) -> Result<MigrationStatus, ProviderError>;
}

message! {
    /// Which migration, of what.
    #[derive(Eq)]
    pub struct MigrationRef {
        /// Whose data.
        pub target: Target,
        /// Which, by the name that the migrator knows it by.
        pub migration: String,
    }
}

message! {
    /// A migration as it is.
    #[derive(Eq)]
    pub struct MigrationStatus {
        /// Which.
        pub migration: String,
        /// How far it is.
        pub phase: MigrationPhase,
    }
}

/// How far a migration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MigrationPhase {
    /// Nothing was done.
    Pending,
    /// The first step is under way.
    Expanding,
    /// Both versions can work.
    Expanded,
    /// The second step is under way.
    Contracting,
    /// Only the new version can work.
    Contracted,
    /// It will not get on by itself.
    Failed {
        /// What is wrong, in one line.
        reason: String,
    },
}
