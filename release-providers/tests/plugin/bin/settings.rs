//! A plugin that is opened with settings: a notifier that refuses every message, and says all that it knows.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use release_providers::kind::{Manifest, Opening, ProviderKind, SecretSetting};
use release_providers::spi::{Notification, Notifier};
use release_providers::{
    AnyProvider, Context, Description, EffectClass, ErrorKind, ProviderError, Secret,
};
use schemars::JsonSchema;
use semver::Version;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where messages go.
    url: String,
    /// By what they are let through.
    token: SecretSetting,
}

/// How often it was opened.
static OPENED: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
struct ChatKind;

#[derive(Debug)]
struct Chat {
    name: String,
    url: String,
    token: Secret,
}

fn described() -> Description {
    Description::new("chat", Version::new(1, 0, 0), EffectClass::Idempotent)
        .with_config_schema(schemars::schema_for!(Settings).to_value())
}

#[async_trait]
impl ProviderKind for ChatKind {
    fn manifest(&self) -> Manifest {
        Manifest::new("chat", Version::new(1, 0, 0)).with("notifier", described())
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let Settings { url, token } = opening.settings()?;
        let token = opening.secrets.value(&token).await?;
        if url == "nowhere" {
            let text = format!("nobody takes the token {}", token.expose());
            return Err(ProviderError::new(ErrorKind::Denied, "chat.open", text));
        }
        if url == "hangs when it is told again" && OPENED.fetch_add(1, Ordering::SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
        Ok(vec![AnyProvider::Notifier(Arc::new(Chat { name: opening.name, url, token }))])
    }
}

#[async_trait]
impl Notifier for Chat {
    fn describe(&self) -> Description {
        described()
    }

    async fn notify(&self, _: &Context, _: Notification) -> Result<(), ProviderError> {
        let Self { name, url, token } = self;
        let token = token.expose();
        let text = format!("{name} at {url} with {token} of {} bytes", token.len());
        Err(ProviderError::new(ErrorKind::Denied, "chat.notify", text))
    }
}

fn main() -> ExitCode {
    release_providers::plugin::serve_kind(ChatKind)
}
