//! Kinds of providers: what a host opens with settings, in its own process or in a plugin's.
//!
//! A provider that a host builds in code needs none of this: `Arc::new(Acme::new(..))` is enough. A *kind* is for
//! providers that are named in a file, with settings that only whoever runs the host knows: it says what it would be
//! able to do and what its settings look like ([`Manifest`]), and makes providers of them ([`ProviderKind::open`]).
//!
//! The macros of the settings need two lines more in the manifest of your package: `serde = { version = "1", features =
//! ["derive"] }`, and `schemars = "1"`, the version that this crate has. All else that the example names, this crate has
//! under the same name.
//!
//! ```
//! use std::sync::Arc;
//!
//! use release_providers::kind::{Manifest, Opening, ProviderKind, SecretSetting};
//! use release_providers::spi::{Notification, Notifier};
//! use release_providers::{
//!     AnyProvider, Context, Description, EffectClass, ProviderError, Secret, Version, async_trait,
//! };
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! /// Where messages go.
//! #[derive(Debug, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// The address of the chat.
//!     url: String,
//!     /// The bot's token.
//!     token: SecretSetting,
//! }
//!
//! #[derive(Debug)]
//! struct ChatKind;
//!
//! #[derive(Debug)]
//! struct Chat { url: String, token: Secret }
//!
//! fn described() -> Description {
//!     Description::new("chat", Version::new(1, 0, 0), EffectClass::Opaque)
//!         .with_config_schema(schemars::schema_for!(Settings).to_value())
//! }
//!
//! #[async_trait]
//! impl ProviderKind for ChatKind {
//!     fn manifest(&self) -> Manifest {
//!         Manifest::new("chat", Version::new(1, 0, 0)).with("notifier", described())
//!     }
//!     async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
//!         let Settings { url, token } = opening.settings()?;
//!         let token = opening.secrets.value(&token).await?;
//!         Ok(vec![AnyProvider::Notifier(Arc::new(Chat { url, token }))])
//!     }
//! }
//!
//! #[async_trait]
//! impl Notifier for Chat {
//!     fn describe(&self) -> Description { described() }
//!     async fn notify(&self, _: &Context, _: Notification) -> Result<(), ProviderError> {
//!         # let _ = (&self.url, &self.token);
//!         // … a request to `self.url`, with `self.token`
//!         Ok(())
//!     }
//! }
//! ```

mod manifest;
mod secrets;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::port::Clock;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::manifest::Manifest;
#[cfg(feature = "plugin")]
pub(crate) use self::secrets::SECRET_TTL;
#[cfg(any(feature = "config", feature = "plugin"))]
pub(crate) use self::secrets::reference;
pub use self::secrets::{SecretSetting, Secrets};
use crate::{AnyProvider, ErrorKind, ProviderError};

/// Something that providers can be made of, with settings.
#[async_trait]
pub trait ProviderKind: fmt::Debug + Send + Sync + 'static {
    /// What its providers will be able to do, and what their settings look like. Always the same.
    fn manifest(&self) -> Manifest;

    /// Makes providers, at most one of each capability of the manifest.
    ///
    /// # Errors
    /// `Invalid` for settings that the schema allows and that make no sense, `Denied` for credentials that do not
    /// work, `Unavailable` for what cannot be reached and has to be for a beginning. Nothing is left behind.
    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError>;
}

/// The settings as an object: none are an empty one.
pub(crate) fn settings_of(config: &Value) -> Value {
    if config.is_null() { Value::Object(serde_json::Map::new()) } else { config.clone() }
}

/// Whether nothing is set.
#[cfg(feature = "plugin")]
pub(crate) fn is_unset(config: &Value) -> bool {
    config.is_null() || config.as_object().is_some_and(serde_json::Map::is_empty)
}

/// What a kind makes providers of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opening {
    /// What the host calls it.
    pub name: String,
    /// The settings, which keep to the manifest's schema.
    pub config: Value,
    /// The host's clock.
    pub clock: Arc<dyn Clock>,
    /// The secrets that the settings name.
    pub secrets: Secrets,
}

impl Opening {
    /// With everything that is needed.
    pub fn new(
        name: impl Into<String>,
        config: Value,
        clock: Arc<dyn Clock>,
        secrets: Secrets,
    ) -> Self {
        Self { name: name.into(), config, clock, secrets }
    }

    /// The settings as a type of their own.
    ///
    /// # Errors
    /// `Invalid`, naming what does not fit.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_value(settings_of(&self.config)).map_err(|error| {
            ProviderError::new(
                ErrorKind::Invalid,
                "open",
                format!("the settings are wrong: {error}"),
            )
            .with_context("provider", &self.name)
        })
    }
}
