//! Envoy as a kind of provider, for hosts that read providers from a file.

use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::Principal;

use super::router::{EnvoyRouter, description};
use super::settings::EnvoySettings;
use crate::endpoints::{Endpoints, Following, InstanceChanges};
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ProviderError};

/// Opens a [`EnvoyRouter`] with [`EnvoySettings`]: the kind `envoy`.
#[derive(Debug, Clone)]
pub struct EnvoyKind {
    endpoints: Arc<dyn Endpoints>,
    following: Option<Following>,
}

impl EnvoyKind {
    /// A kind whose routers learn from `endpoints` where instances are.
    pub fn new(endpoints: Arc<dyn Endpoints>) -> Self {
        Self { endpoints, following: None }
    }

    /// The same whose routers look for instances again whenever `changes` counts one, for example those of
    /// `LocalPlatform::instance_changes`, as `principal`: see [`follow`](crate::endpoints::follow). A router does so as long as it is
    /// there. Without it routers look when shares are set, and not between.
    #[must_use]
    pub fn following(mut self, changes: impl Into<InstanceChanges>, principal: Principal) -> Self {
        self.following = Some(Following { changes: changes.into(), principal });
        self
    }
}

#[async_trait]
impl ProviderKind for EnvoyKind {
    fn manifest(&self) -> Manifest {
        let described = description();
        Manifest::new("envoy", described.version.clone()).with("traffic_router", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings: EnvoySettings = opening.settings()?;
        let targets = settings.targets.iter().map(|one| one.target.clone()).collect();
        let clock = Arc::clone(&opening.clock);
        let router =
            EnvoyRouter::open(settings, Arc::clone(&self.endpoints), opening.clock).await?;
        let router = Following::by(self.following.as_ref(), Arc::new(router), clock, targets);
        Ok(vec![AnyProvider::TrafficRouter(router)])
    }
}

#[cfg(test)]
mod tests {
    use release_core::clock::SystemClock;
    use serde_json::{Value, json};

    use super::*;
    use crate::ErrorKind;
    use crate::endpoints::FixedEndpoints;
    use crate::kind::Secrets;

    async fn open(config: Value) -> Result<Vec<AnyProvider>, ProviderError> {
        let kind = EnvoyKind::new(Arc::new(FixedEndpoints::new()));
        let (clock, secrets) = (Arc::new(SystemClock::new()), Secrets::none());
        kind.open(Opening::new("edge", config, clock, secrets)).await
    }

    #[tokio::test]
    async fn settings_are_read_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("xds");
        let target = json!({ "environment": "prod", "region": "eu", "service": "api" });
        let good = json!({
            "admin": "127.0.0.1:9901", "directory": directory, "targets": [{ "target": target }],
        });
        let opened = open(good.clone()).await.unwrap();
        assert!(matches!(opened[..], [AnyProvider::TrafficRouter(_)]));
        assert!(directory.join("prod@eu@api.routes.json").exists());
        assert_eq!(open(good.clone()).await.unwrap_err().kind(), ErrorKind::Conflict);
        let changes = [
            ("admin", json!("nowhere")),
            ("directory", json!("relative")),
            ("targets", json!([{ "target": target, "colour": 1 }])),
            ("targets", json!([{ "target": target, "name": "a/b" }])),
            ("targets", json!([{ "target": target }, { "target": target }])),
            ("colour", json!(1)),
        ];
        for (key, value) in changes {
            let mut bad = good.clone();
            bad[key] = value;
            assert_eq!(open(bad).await.unwrap_err().kind(), ErrorKind::Invalid, "{key}");
        }
    }
}
