//! An artifact store in memory.

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Digest};
use release_providers::spi::{ArtifactContent, ArtifactStatus, ArtifactStore, PutArtifact};
use release_providers::{Context, Description, ProviderError};

use super::script::{Stage, other};
use super::{ArtifactStoreCall, ArtifactStoreOp, Request, World, staged};

/// An [`ArtifactStore`] of the world's content.
#[derive(Debug)]
pub struct FakeArtifacts {
    world: World,
    stage: Stage<ArtifactStoreCall>,
}

staged!(FakeArtifacts, ArtifactStoreCall, ArtifactStoreOp);

impl FakeArtifacts {
    /// A store in `world`.
    pub fn of(world: &World) -> Self {
        Self { world: world.clone(), stage: Stage::reached_by(world.access()) }
    }

    fn read(&self, call: &ArtifactStoreCall, digest: Digest) -> Result<Vec<u8>, ProviderError> {
        self.world.state().verified(call.operation(), digest).map(<[u8]>::to_vec)
    }
}

#[async_trait]
impl ArtifactStore for FakeArtifacts {
    fn describe(&self) -> Description {
        super::describe("fake-artifacts")
    }

    async fn put(&self, cx: &Context, request: PutArtifact) -> Result<ArtifactRef, ProviderError> {
        let call = ArtifactStoreCall::Put(request.clone());
        let put = |lie| {
            let digest = self.world.store(&request.bytes);
            Ok(ArtifactRef::new(request.name, if lie { other(digest) } else { digest }))
        };
        self.stage.play(cx, call, put).await
    }

    async fn get(
        &self,
        cx: &Context,
        artifact: ArtifactRef,
    ) -> Result<ArtifactContent, ProviderError> {
        let (call, digest) = (ArtifactStoreCall::Get(artifact.clone()), artifact.digest());
        let get = |lie| {
            let bytes = self.read(&ArtifactStoreCall::Get(artifact), digest)?;
            Ok(ArtifactContent::new(if lie { other(digest) } else { digest }, bytes))
        };
        self.stage.play(cx, call, get).await
    }

    async fn verify(
        &self,
        cx: &Context,
        artifact: ArtifactRef,
    ) -> Result<ArtifactStatus, ProviderError> {
        let (call, digest) = (ArtifactStoreCall::Verify(artifact.clone()), artifact.digest());
        let verify = |lie| {
            let bytes = self.read(&ArtifactStoreCall::Verify(artifact), digest)?.len() as u64;
            Ok(ArtifactStatus::new(if lie { other(digest) } else { digest }, bytes))
        };
        self.stage.play(cx, call, verify).await
    }
}
