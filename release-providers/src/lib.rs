//! release-providers
mod context;
mod describe;
mod error;
#[cfg(feature = "local")]
pub mod local;
mod performer;
mod registry;
pub mod spi;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use context::Context;
pub use describe::{Capability, Description, EffectClass};
pub use error::{ErrorKind, ProviderError, RetryAdvice};
pub use registry::{Places, Registry, RegistryBuilder, RegistryError};
