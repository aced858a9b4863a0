//! Settings on their way to a plugin, and kinds that are plugins.

use async_trait::async_trait;
use serde_json::Value;
use tonic::Code;

use super::keep::Leases;
use super::process::Line;
use super::spec::Settings;
use super::text::Redactor;
use super::{Host, Plugin, PluginError, PluginProblem, PluginSpec};
use crate::error::chain;
use crate::kind::{Manifest, Opening, ProviderKind, SecretSetting, is_unset, reference};
use crate::plugin::messages::error_from_wire;
use crate::plugin::pb;
use crate::spi::SecretRef;
use crate::{AnyProvider, ErrorKind, ProviderError};

const CONFIGURE: &str = "/release.plugin.v1.Plugin/Configure";

/// The settings as they are told; `None` for a plugin that is told none. `redactor` learns the secrets in them, and
/// `leases` gets what they are leased by.
pub(super) async fn prepare(
    settings: &Settings,
    redactor: &Redactor,
    leases: &mut Leases,
) -> Result<Option<pb::ConfigureRequest>, PluginProblem> {
    match settings {
        Settings::Unasked => Ok(None),
        Settings::None => Ok(Some(pb::ConfigureRequest::default())),
        Settings::Some(opening) => {
            request(opening, redactor, leases).await.map(Some).map_err(PluginProblem::Secret)
        }
    }
}

/// Tells a plugin its settings.
pub(super) async fn tell(
    line: &Line,
    settings: &Settings,
    request: pb::ConfigureRequest,
    redactor: &Redactor,
) -> Result<(), PluginProblem> {
    let answer: Result<pb::ConfigureReply, _> = line.unary(CONFIGURE, request).await;
    match answer {
        Ok(pb::ConfigureReply { error: None }) => Ok(()),
        Ok(pb::ConfigureReply { error: Some(error) }) => {
            let error = error_from_wire(&error, "plugin.configure", |text| redactor.clean(text));
            Err(PluginProblem::Settings(error))
        }
        // Who takes no settings need not know of any.
        Err(status) if status.code() == Code::Unimplemented => match settings {
            Settings::Some(opening) if !is_unset(&opening.config) => {
                let text = "the plugin takes no settings; leave them out";
                Err(PluginProblem::Settings(ProviderError::new(
                    ErrorKind::Invalid,
                    "plugin.configure",
                    text,
                )))
            }
            _ => Ok(()),
        },
        Err(status) => Err(PluginProblem::FirstCall(redactor.clean(&chain(&status)))),
    }
}

/// The settings with all secrets that they name.
async fn request(
    opening: &Opening,
    redactor: &Redactor,
    leases: &mut Leases,
) -> Result<pb::ConfigureRequest, ProviderError> {
    let mut secrets = Vec::new();
    for named in named(&opening.config) {
        let setting = SecretSetting::new(SecretRef::new(named));
        let (secret, lease) = opening.secrets.obtain(&setting).await?;
        redactor.learn(secret.expose());
        if let Some(lease) = lease {
            leases.add(&opening.secrets, lease);
        }
        secrets.push(pb::SecretValue {
            reference: named.to_owned(),
            value: secret.expose().to_owned(),
        });
    }
    Ok(pb::ConfigureRequest {
        name: opening.name.clone(),
        config_json: opening.config.to_string(),
        secrets,
    })
}

/// The secrets that settings name, each once.
fn named(config: &Value) -> Vec<&str> {
    let (mut rest, mut found) = (vec![config], Vec::new());
    while let Some(value) = rest.pop() {
        match (reference(value), value) {
            (Some(secret), _) => found.push(secret),
            (None, Value::Object(all)) => rest.extend(all.values()),
            (None, Value::Array(all)) => rest.extend(all),
            (None, _) => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A kind of providers that live in a plugin: each one that is opened is a process of its own.
#[derive(Debug)]
pub struct PluginKind {
    host: Host,
    spec: PluginSpec,
    manifest: Manifest,
}

impl PluginKind {
    /// Starts the plugin once, without settings, to hear what it is, and ends it.
    ///
    /// # Errors
    /// [`PluginError`], when it cannot be started.
    pub async fn ask(host: &Host, spec: PluginSpec) -> Result<Self, PluginError> {
        let plugin = Plugin::start(host, spec.clone().unasked()).await?;
        let manifest = plugin.manifest().cloned();
        plugin.shutdown().await;
        Ok(Self { host: host.clone(), spec, manifest: manifest? })
    }
}

#[async_trait]
impl ProviderKind for PluginKind {
    fn manifest(&self) -> Manifest {
        self.manifest.clone()
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let failed = |error: PluginError| {
            error.of_settings().unwrap_or_else(|error| {
                error.into_error("plugin.open", "the plugin cannot be started".to_owned())
            })
        };
        let mut spec = self.spec.clone().opening(opening.clone());
        spec.name.clone_from(&opening.name);
        let plugin = Plugin::start(&self.host, spec).await.map_err(failed)?;
        let said = plugin.manifest().map_err(failed)?;
        if *said != self.manifest {
            plugin.shutdown().await;
            let problem = PluginProblem::OtherManifest;
            return Err(failed(PluginError::new(&opening.name, problem)));
        }
        plugin.providers().map_err(failed)
    }
}

/// Without the secret.
impl std::fmt::Debug for pb::SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reference, value: _ } = self;
        f.debug_struct("SecretValue").field("reference", reference).finish_non_exhaustive()
    }
}
