//! HAProxy as a kind of provider, for hosts that read providers from a file.

use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::Principal;

use super::router::{HaproxyRouter, description};
use super::settings::HaproxySettings;
use crate::endpoints::{Endpoints, Following, InstanceChanges};
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ProviderError};

/// Opens a [`HaproxyRouter`] with [`HaproxySettings`]: the kind `haproxy`.
#[derive(Debug, Clone)]
pub struct HaproxyKind {
    endpoints: Arc<dyn Endpoints>,
    following: Option<Following>,
}

impl HaproxyKind {
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
impl ProviderKind for HaproxyKind {
    fn manifest(&self) -> Manifest {
        let described = description();
        Manifest::new("haproxy", described.version.clone()).with("traffic_router", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings: HaproxySettings = opening.settings()?;
        let targets = settings.targets.iter().map(|one| one.target.clone()).collect();
        let clock = Arc::clone(&opening.clock);
        let router =
            HaproxyRouter::open(settings, Arc::clone(&self.endpoints), opening.clock).await?;
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
        let kind = HaproxyKind::new(Arc::new(FixedEndpoints::new()));
        let (clock, secrets) = (Arc::new(SystemClock::new()), Secrets::none());
        kind.open(Opening::new("edge", config, clock, secrets)).await
    }

    fn config(state: &std::path::Path) -> Value {
        let target = json!({ "environment": "prod", "region": "eu", "service": "api" });
        json!({ "socket": "/run/x.sock", "state": state, "targets": [{ "target": target }] })
    }

    #[tokio::test]
    async fn settings_are_read_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let opened = open(config(&state)).await.unwrap();
        assert!(matches!(opened[..], [AnyProvider::TrafficRouter(_)]));
        assert_eq!(std::fs::read_to_string(state.join("prod:eu:api.map")).unwrap(), "");
        assert_eq!(open(config(&state)).await.unwrap_err().kind(), ErrorKind::Conflict);
        let changes = [
            ("/socket", json!("nowhere")),
            ("/socket", json!("/run/a b")),
            ("/state", json!("relative")),
            ("/state", json!("/x;y")),
            (
                "/targets/0",
                json!({ "target": config(&state)["targets"][0]["target"], "colour": 1 }),
            ),
            ("/targets/0/name", json!("a b")),
            ("/targets/0/versions", json!(1)),
            ("/targets/0/instances", json!(0)),
            ("/patience_ms", json!(-1)),
        ];
        for (at, value) in changes {
            let mut bad = config(&state);
            let (parent, key) = at.rsplit_once('/').unwrap();
            match bad.pointer_mut(parent).unwrap() {
                Value::Array(all) => all[0] = value,
                object => object[key] = value,
            }
            assert_eq!(open(bad).await.unwrap_err().kind(), ErrorKind::Invalid, "{at}");
        }
    }
}
