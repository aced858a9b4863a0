//! Tells other routers where the platform's instances are.

use std::net::SocketAddr;

use async_trait::async_trait;
use release_core::model::{Digest, Target};

use super::LocalPlatform;
use crate::endpoints::Endpoints;
use crate::{ErrorKind, ProviderError};

const OF: &str = "endpoints.of";

/// The ready instances that are to go on. Whoever is stopping has none of it: drain a version with
/// [`drained`](crate::endpoints::drained) before it is stopped as a whole, since of that the platform waits for its own proxy alone.
#[async_trait]
impl Endpoints for LocalPlatform {
    async fn of(&self, target: &Target, digest: Digest) -> Result<Vec<SocketAddr>, ProviderError> {
        let place = self.inner().known_place(OF, target)?;
        let deployment = place.deployment(digest).filter(|known| known.wish().replicas > 0);
        let Some(deployment) = deployment else {
            let text = "no instance of this version is wished here; apply it first";
            return Err(ProviderError::new(ErrorKind::NotFound, OF, text)
                .with_context("target", target)
                .with_context("digest", digest));
        };
        let ready = deployment.serving().into_iter().filter(|instance| instance.is_ready());
        Ok(ready.map(|instance| instance.backend.address).collect())
    }
}
