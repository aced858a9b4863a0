//! Asks people for their approval where they are.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{Digest, GateId, PrincipalId, RoleId, RunId};
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::JobRef;
use super::message::message;
use crate::{Context, Description, ProviderError};

/// Asks people for their approval where they are: in a chat, by mail, in a portal. It carries what they say; whether
/// that counts is decided elsewhere.
///
/// # Conformance
/// `conformance!(ApprovalChannel, sandbox)` of `release-testkit`: answers are collected in their order with who gave
/// them, and none is taken after the question was taken back.
#[async_trait]
pub trait ApprovalChannel: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Asks.
    ///
    /// # Contract
    /// What people are shown names the plan's digest, so that they know what they answer to. Answers are taken until
    /// `request.expires`. A channel may take one answer of an account, or more; then the last one counts.
    ///
    /// # Idempotency
    /// One key is one question, however it stands by now: asked again, it keeps the answers that it has, and what was taken
    /// back stays so.
    ///
    /// # Errors
    /// `NotFound` for a role that nobody can be asked for; `Unavailable`.
    async fn ask(&self, cx: &Context, request: AskApproval) -> Result<(), ProviderError>;

    /// Collects what was answered so far.
    ///
    /// # Contract
    /// Every answer names the account that gave it, as the channel itself knows it, and never what somebody wrote into
    /// a message. Answers stay in their order, and none goes away.
    ///
    /// # Errors
    /// `NotFound` for a question that was never asked; `Unavailable` when it cannot look.
    async fn observe(
        &self,
        cx: &Context,
        request: JobRef,
    ) -> Result<ApprovalAnswers, ProviderError>;

    /// Takes the question back: answers that come later are not taken.
    ///
    /// # Idempotency
    /// Taking it back again changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a question that was never asked; `Unavailable`.
    async fn withdraw(&self, cx: &Context, request: JobRef) -> Result<(), ProviderError>;
}

message! {
    /// A question.
    #[derive(Eq)]
    pub struct AskApproval {
        /// The run.
        pub run: RunId,
        /// The gate that the answer is for.
        pub gate: GateId,
        /// The plan that is approved.
        pub plan: Digest,
        /// The question, one line.
        pub question: String,
        /// When nobody needs an answer any more.
        pub expires: Timestamp,
        optional {
            /// Who is asked: whoever has one of these roles.
            pub roles: Vec<RoleId>,
        }
    }
}

message! {
    /// What was answered so far.
    #[derive(Eq)]
    pub struct ApprovalAnswers {
        /// The key that the question was asked under.
        pub operation: String,
        /// Whether answers are still taken.
        pub open: bool,
        /// The answers, in their order.
        pub answers: Vec<ApprovalAnswer>,
    }
}

message! {
    /// One answer.
    #[derive(Eq)]
    pub struct ApprovalAnswer {
        /// The account that gave it.
        pub by: PrincipalId,
        /// What it says.
        pub vote: ApprovalVote,
        /// When it was given.
        pub at: Timestamp,
        optional {
            /// What they said besides.
            pub comment: String,
        }
    }
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApprovalVote {
    /// Yes.
    Approve,
    /// No.
    Reject,
}
