//! Anything that has no trait of its own.

use std::fmt;

use async_trait::async_trait;
use serde_json::Value;

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Performs steps of kind `custom`: whatever a host needs that has no trait of its own.
///
/// # Conformance
/// `conformance!(CustomAction, sandbox)` of `release-testkit`: what was done is observed as it was answered, and
/// nothing under other keys; what it does not perform is `Unsupported`.
#[async_trait]
pub trait CustomAction: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Does it.
    ///
    /// # Idempotency
    /// Asked again with the same key, it does nothing that is already done.
    ///
    /// # Errors
    /// `Unsupported` for a capability that it does not perform, with effect `NotApplied`. Else
    /// [`ProviderError`], whose effect says whether anything may have changed.
    async fn perform(
        &self,
        cx: &Context,
        request: CustomRequest,
    ) -> Result<CustomOutput, ProviderError>;

    /// Looks whether it was done under this key, and returns its answer if so.
    ///
    /// # Errors
    /// [`ProviderError`] when it cannot be told; the step then waits for a person.
    async fn observe(
        &self,
        cx: &Context,
        request: CustomRequest,
    ) -> Result<CustomStatus, ProviderError>;
}

message! {
    /// What a custom step asks for.
    #[derive(Eq)]
    pub struct CustomRequest {
        /// The capability, as the step names it.
        pub capability: String,
        /// The step's input.
        pub input: Value,
    }
}

message! {
    /// What came of it.
    #[derive(Eq)]
    pub struct CustomOutput {
        /// Whatever there is to tell.
        pub output: Value,
    }
}

message! {
    /// Whether it was done.
    #[derive(Eq)]
    pub struct CustomStatus {
        /// What came of it, once it was done.
        pub done: Option<CustomOutput>,
    }
}
