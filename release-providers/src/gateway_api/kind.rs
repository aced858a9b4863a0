//! Gateways as a kind of provider, for hosts that read providers from a file.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::router::{GatewayRouter, description};
use super::settings::GatewaySettings;
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ErrorKind, ProviderError};

/// Opens a [`GatewayRouter`] with [`GatewaySettings`]: the kind `gateway-api`. Who may do what in the cluster says the client,
/// which the host makes: no credentials are in the file.
#[derive(Clone)]
pub struct GatewayKind {
    client: kube::Client,
    session_persistence: bool,
}

impl fmt::Debug for GatewayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("GatewayKind");
        out.field("session_persistence", &self.session_persistence).finish_non_exhaustive()
    }
}

impl GatewayKind {
    /// A kind whose routers ask the API server of `client`, which has the standard channel of the API.
    pub const fn new(client: kube::Client) -> Self {
        Self { client, session_persistence: false }
    }

    /// With the experimental channel of the API, which routers have where their settings say so.
    #[must_use]
    pub const fn with_session_persistence(mut self) -> Self {
        self.session_persistence = true;
        self
    }
}

#[async_trait]
impl ProviderKind for GatewayKind {
    fn manifest(&self) -> Manifest {
        let described = description(self.session_persistence);
        Manifest::new("gateway-api", described.version.clone()).with("traffic_router", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings: GatewaySettings = opening.settings()?;
        if settings.session_persistence && !self.session_persistence {
            let text = "the host does not say that the cluster has `session_persistence`; take it out, or make the kind with it";
            return Err(ProviderError::new(ErrorKind::Invalid, crate::routing::OPEN, text)
                .with_context("provider", &opening.name));
        }
        let router = GatewayRouter::open(settings, self.client.clone(), opening.clock)?;
        Ok(vec![AnyProvider::TrafficRouter(Arc::new(router))])
    }
}
