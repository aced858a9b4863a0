//! Creates, changes and removes infrastructure, and finds what changed by other hands.

use std::fmt;

use async_trait::async_trait;
use release_core::model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JobPhase;
use super::message::message;
use crate::{Context, Description, ProviderError};

/// Creates, changes and removes the resources of a workspace as declared.
///
/// # Conformance
/// `conformance!(Provisioner, sandbox)` of `release-testkit`: a plan changes nothing; just the plan is applied, once, and
/// an old one is a `Conflict`, whoever changed the workspace since; drift is told field by field, and no other.
#[async_trait]
pub trait Provisioner: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Works out what would have to change, and keeps that plan.
    ///
    /// # Contract
    /// Nothing of the workspace changes. The plan's digest covers all of it and the state that it starts from.
    ///
    /// # Errors
    /// `NotFound` for an unknown workspace, `Invalid` for a declaration that is wrong; `Unavailable`.
    async fn plan(&self, cx: &Context, request: PlanChange)
    -> Result<ProvisionPlan, ProviderError>;

    /// Accepts a plan that was made before, and returns before it is carried out.
    ///
    /// # Contract
    /// Just that plan is carried out, or nothing: if the workspace changed since, by this provider, or by other hands where
    /// it can see that, it is `Conflict`, with effect `NotApplied`.
    ///
    /// # Idempotency
    /// A plan is carried out once, however often it is asked for.
    ///
    /// # Errors
    /// `NotFound` for an unknown workspace or plan, `Conflict` as said; both with effect `NotApplied`.
    async fn apply(&self, cx: &Context, request: ApplyPlan) -> Result<(), ProviderError>;

    /// Accepts that all resources of a workspace are removed, and returns before they are.
    ///
    /// # Idempotency
    /// What is gone stays gone.
    ///
    /// # Errors
    /// `NotFound` for an unknown workspace, with effect `NotApplied`.
    async fn destroy(&self, cx: &Context, request: WorkspaceRef) -> Result<(), ProviderError>;

    /// Tells how far a workspace is.
    ///
    /// # Errors
    /// `NotFound` for an unknown workspace; `Unavailable` when it cannot look.
    async fn observe(
        &self,
        cx: &Context,
        request: WorkspaceRef,
    ) -> Result<WorkspaceStatus, ProviderError>;

    /// Compares what is with what was declared and with what was applied last, field by field.
    ///
    /// # Contract
    /// It only looks. Every field that differs is told, and no other.
    ///
    /// # Errors
    /// `NotFound` for an unknown workspace; `Unavailable` when it cannot look.
    async fn drift(
        &self,
        cx: &Context,
        request: WorkspaceRef,
    ) -> Result<DriftReport, ProviderError>;
}

message! {
    /// Which workspace: all resources that are declared together.
    #[derive(Eq)]
    pub struct WorkspaceRef {
        /// Its name.
        pub workspace: String,
    }
}

message! {
    /// What a workspace is to be.
    #[derive(Eq)]
    pub struct PlanChange {
        /// The workspace.
        pub workspace: String,
        /// All of its resources as they are to be: by name, an object of fields each.
        pub declared: Value,
    }
}

message! {
    /// What would have to change.
    #[derive(Eq)]
    pub struct ProvisionPlan {
        /// The workspace.
        pub workspace: String,
        /// The plan's digest, by which it is applied.
        pub digest: Digest,
        /// What changes, by resource; empty: nothing.
        pub changes: Vec<ResourceChange>,
    }
}

message! {
    /// One resource that would change.
    #[derive(Eq)]
    pub struct ResourceChange {
        /// Its name.
        pub resource: String,
        /// How.
        pub change: ChangeAction,
    }
}

/// How a resource would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeAction {
    /// It comes into being.
    Create,
    /// It is changed where it is.
    Update,
    /// It is removed and made anew: what it holds is lost.
    Replace,
    /// It is removed.
    Delete,
}

message! {
    /// Which plan to carry out.
    #[derive(Eq)]
    pub struct ApplyPlan {
        /// The workspace.
        pub workspace: String,
        /// The plan's digest.
        pub digest: Digest,
    }
}

message! {
    /// A workspace as it is.
    #[derive(Eq)]
    pub struct WorkspaceStatus {
        /// The workspace.
        pub workspace: String,
        /// How far the last apply or destroy is; [`JobPhase::Unknown`] if there was none.
        pub phase: JobPhase,
        optional {
            /// The plan that was carried out last.
            pub applied: Option<Digest>,
            /// The names of the resources that are there.
            pub resources: Vec<String>,
        }
    }
}

message! {
    /// What changed by other hands.
    #[derive(Eq)]
    pub struct DriftReport {
        /// The workspace.
        pub workspace: String,
        /// Every field that differs, by resource and path.
        pub fields: Vec<DriftedField>,
    }
}

message! {
    /// One field that is not as declared.
    #[derive(Eq)]
    pub struct DriftedField {
        /// The resource.
        pub resource: String,
        /// The field, as a JSON pointer (RFC 6901) into the resource; empty: the whole resource.
        pub path: String,
        optional {
            /// As it was declared last; null if it was not.
            pub declared: Value,
            /// As it was applied last; null if it was not.
            pub applied: Value,
            /// As it is; null if it is gone.
            pub observed: Value,
        }
    }
}
