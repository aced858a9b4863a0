//! An artifact store in memory.

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Digest};
use release_providers::spi::{ArtifactContent, ArtifactStatus, ArtifactStore, PutArtifact};
use release_providers::{Context, Description, ProviderError};

use super::script::{Stage, other};
use super::{Request, World, staged};

/// An [`ArtifactStore`] of the world's content.
#[derive(Debug)]
pub struct FakeArtifacts {
    world: World,
    stage: Stage<ArtifactsCall>,
}

/// What a [`FakeArtifacts`] was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactsCall {
    /// [`ArtifactStore::put`].
    Put(PutArtifact),
    /// [`ArtifactStore::get`].
    Get(ArtifactRef),
    /// [`ArtifactStore::verify`].
    Verify(ArtifactRef),
}

/// The operations of a [`FakeArtifacts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArtifactsOp {
    /// [`ArtifactStore::put`].
    Put,
    /// [`ArtifactStore::get`].
    Get,
    /// [`ArtifactStore::verify`].
    Verify,
}

impl Request for ArtifactsCall {
    type Op = ArtifactsOp;

    fn op(&self) -> ArtifactsOp {
        match self {
            Self::Put(_) => ArtifactsOp::Put,
            Self::Get(_) => ArtifactsOp::Get,
            Self::Verify(_) => ArtifactsOp::Verify,
        }
    }

    fn operation(&self) -> &'static str {
        match self {
            Self::Put(_) => "artifacts.put",
            Self::Get(_) => "artifacts.get",
            Self::Verify(_) => "artifacts.verify",
        }
    }
}

staged!(FakeArtifacts, ArtifactsCall, ArtifactsOp);

impl FakeArtifacts {
    /// A store in `world`.
    pub fn of(world: &World) -> Self {
        Self { world: world.clone(), stage: Stage::default() }
    }

    fn read(&self, call: &ArtifactsCall, digest: Digest) -> Result<Vec<u8>, ProviderError> {
        self.world.state().verified(call.operation(), digest).map(<[u8]>::to_vec)
    }
}

#[async_trait]
impl ArtifactStore for FakeArtifacts {
    fn describe(&self) -> Description {
        super::describe("fake-artifacts")
    }

    async fn put(&self, cx: &Context, request: PutArtifact) -> Result<ArtifactRef, ProviderError> {
        let call = ArtifactsCall::Put(request.clone());
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
        let (call, digest) = (ArtifactsCall::Get(artifact.clone()), artifact.digest());
        let get = |lie| {
            let bytes = self.read(&ArtifactsCall::Get(artifact), digest)?;
            Ok(ArtifactContent::new(if lie { other(digest) } else { digest }, bytes))
        };
        self.stage.play(cx, call, get).await
    }

    async fn verify(
        &self,
        cx: &Context,
        artifact: ArtifactRef,
    ) -> Result<ArtifactStatus, ProviderError> {
        let (call, digest) = (ArtifactsCall::Verify(artifact.clone()), artifact.digest());
        let verify = |lie| {
            let bytes = self.read(&ArtifactsCall::Verify(artifact), digest)?.len() as u64;
            Ok(ArtifactStatus::new(if lie { other(digest) } else { digest }, bytes))
        };
        self.stage.play(cx, call, verify).await
    }
}
