//! Webhooks as a kind of provider, for hosts that read providers from a file.

use std::sync::Arc;

use async_trait::async_trait;

use super::action::{Webhook, description};
use super::settings::WebhookSettings;
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ProviderError};

/// Opens a [`Webhook`] with [`WebhookSettings`]: the kind `webhook`.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebhookKind;

#[async_trait]
impl ProviderKind for WebhookKind {
    fn manifest(&self) -> Manifest {
        let described = description();
        Manifest::new("webhook", described.version.clone()).with("custom_action", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings: WebhookSettings = opening.settings()?;
        let mut tokens = Vec::new();
        for place in &settings.places {
            tokens.push(match &place.token {
                Some(token) => Some(opening.secrets.value(token).await?),
                None => None,
            });
        }
        let webhook = Webhook::new(&settings, tokens, opening.clock)?;
        Ok(vec![AnyProvider::CustomAction(Arc::new(webhook))])
    }
}
