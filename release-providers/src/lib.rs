//! release-providers
mod context;
mod describe;
mod error;
#[cfg(feature = "local")]
pub mod local;
pub mod spi;

pub use context::Context;
pub use describe::{Capability, Description, EffectClass};
pub use error::{ErrorKind, ProviderError, RetryAdvice};
