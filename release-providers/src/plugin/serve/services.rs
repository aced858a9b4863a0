//! What a plugin serves: at once, or once it was told its settings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use release_core::clock::SystemClock;
use serde_json::Value;

use super::Provider;
use crate::kind::{Manifest, Opening, ProviderKind, Secrets, is_unset};
use crate::plugin::boundary::Served;
use crate::plugin::pb;
use crate::spi::SecretRef;
use crate::sync::lock;
use crate::{ErrorKind, ProviderError, Secret};

type All = BTreeMap<&'static str, Arc<dyn Served>>;

/// The services of a plugin, by their names on the wire.
pub(super) struct Services {
    all: Mutex<All>,
    kind: Option<(Arc<dyn ProviderKind>, Manifest)>,
    /// Held while they are opened.
    opening: tokio::sync::Mutex<()>,
}

impl Services {
    /// Those that there are.
    pub(super) fn ready(all: All) -> Self {
        Self { all: Mutex::new(all), kind: None, opening: tokio::sync::Mutex::default() }
    }

    /// Those that `kind` makes, which was asked for its manifest.
    pub(super) fn of(kind: Arc<dyn ProviderKind>, manifest: Manifest) -> Self {
        let opening = tokio::sync::Mutex::default();
        Self { all: Mutex::default(), kind: Some((kind, manifest)), opening }
    }

    pub(super) fn get(&self, service: &str) -> Option<Arc<dyn Served>> {
        lock(&self.all).get(service).map(Arc::clone)
    }

    /// Opens what there is to open. Calls that begin after that go there; those that have begun go on where they are.
    pub(super) async fn configure(&self, told: pb::ConfigureRequest) -> Result<(), ProviderError> {
        let invalid =
            |text: String| ProviderError::new(ErrorKind::Invalid, "plugin.configure", text);
        let config = match &*told.config_json {
            "" => Value::Null,
            text => serde_json::from_str(text)
                .map_err(|error| invalid(format!("the settings are no JSON: {error}")))?,
        };
        let Some((kind, manifest)) = &self.kind else {
            let text = "the plugin takes no settings; leave them out";
            return if is_unset(&config) { Ok(()) } else { Err(invalid(text.into())) };
        };
        let _alone = self.opening.lock().await;
        let secrets = told.secrets.into_iter();
        let secrets = secrets.map(|one| (SecretRef::new(one.reference), Secret::new(one.value)));
        let (clock, secrets) = (Arc::new(SystemClock::new()), Secrets::given(secrets));
        let opened = kind.open(Opening::new(told.name, config, clock, secrets)).await?;
        let mut all = All::new();
        for provider in opened {
            let capability = provider.capability();
            // What a host was promised is what it gets: it holds a plugin that says other things for another one.
            if manifest.capabilities.get(capability) != Some(&provider.describe()) {
                let text =
                    format!("`{capability}` is not as its kind's manifest says; mend the kind");
                return Err(ProviderError::new(ErrorKind::Internal, "plugin.configure", text));
            }
            let Provider { service, served, .. } = provider.into();
            all.insert(service, served);
        }
        if all.len() < manifest.capabilities.len() {
            let text = "not all that the kind's manifest promises was opened; mend the kind";
            return Err(ProviderError::new(ErrorKind::Internal, "plugin.configure", text));
        }
        *lock(&self.all) = all;
        Ok(())
    }
}
