//! The artifact store: files under the name of their digest, hashed again at every read.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Digest};
use release_core::port::EffectCertainty;

use super::LocalPlatform;
use super::files::{Paths, hash, io_error, write_whole};
use super::platform::description;
use crate::spi::{ArtifactContent, ArtifactStatus, ArtifactStore, PutArtifact};
use crate::{Context, Description, ErrorKind, ProviderError};

#[async_trait]
impl ArtifactStore for LocalPlatform {
    fn describe(&self) -> Description {
        description()
    }

    async fn put(&self, cx: &Context, request: PutArtifact) -> Result<ArtifactRef, ProviderError> {
        const PUT: &str = "artifacts.put";
        let paths = self.inner().paths.clone();
        let work = self.inner().blocking(PUT, move || {
            let digest = Digest::of(&request.bytes);
            let path = paths.artifact(digest);
            // Content that is there and whole stays; damaged content is replaced by the good one.
            if open_verified(&paths, digest, PUT).is_err() {
                write_whole(&path, &request.bytes, 0o755).map_err(|e| io_error(PUT, &path, e))?;
            }
            Ok(ArtifactRef::new(request.name, digest))
        });
        self.inner().bounded(PUT, cx, EffectCertainty::Unknown, work).await
    }

    async fn get(
        &self,
        cx: &Context,
        artifact: ArtifactRef,
    ) -> Result<ArtifactContent, ProviderError> {
        const GET: &str = "artifacts.get";
        let paths = self.inner().paths.clone();
        let work = self.inner().blocking(GET, move || {
            let path = paths.artifact(artifact.digest());
            let mut bytes = Vec::new();
            File::open(&path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .map_err(|e| open_error(GET, &paths, artifact.digest(), e))?;
            compare(GET, &paths, artifact.digest(), Digest::of(&bytes))?;
            Ok(ArtifactContent::new(artifact.digest(), bytes))
        });
        self.inner().bounded(GET, cx, EffectCertainty::NotApplied, work).await
    }

    async fn verify(
        &self,
        cx: &Context,
        artifact: ArtifactRef,
    ) -> Result<ArtifactStatus, ProviderError> {
        const VERIFY: &str = "artifacts.verify";
        let paths = self.inner().paths.clone();
        let work = self.inner().blocking(VERIFY, move || {
            let (_, bytes) = open_verified(&paths, artifact.digest(), VERIFY)?;
            Ok(ArtifactStatus::new(artifact.digest(), bytes))
        });
        self.inner().bounded(VERIFY, cx, EffectCertainty::NotApplied, work).await
    }
}

/// Opens content and hashes it through the very file that is returned.
pub(super) fn open_verified(
    paths: &Paths,
    digest: Digest,
    operation: &'static str,
) -> Result<(File, u64), ProviderError> {
    let path = paths.artifact(digest);
    let mut file = File::open(&path).map_err(|e| open_error(operation, paths, digest, e))?;
    let (found, bytes) = hash(&mut file).map_err(|e| io_error(operation, &path, e))?;
    compare(operation, paths, digest, found)?;
    let fail = |e| io_error(operation, &path, e);
    if file.metadata().map_err(fail)?.permissions().mode() & 0o100 == 0 {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(fail)?;
    }
    Ok((file, bytes))
}

fn open_error(op: &'static str, paths: &Paths, digest: Digest, error: io::Error) -> ProviderError {
    let path = paths.artifact(digest);
    if error.kind() == io::ErrorKind::NotFound {
        let text = "the store does not have this artifact; put it there first";
        return ProviderError::new(ErrorKind::NotFound, op, text)
            .with_context("digest", digest)
            .with_context("path", path.display());
    }
    io_error(op, &path, error)
}

fn compare(
    op: &'static str,
    paths: &Paths,
    expected: Digest,
    found: Digest,
) -> Result<(), ProviderError> {
    if expected == found {
        return Ok(());
    }
    let text = "stored content does not match its digest; find out who changed the file, and put \
                the artifact again";
    Err(ProviderError::new(ErrorKind::Corrupt, op, text)
        .with_context("path", paths.artifact(expected).display())
        .with_context("expected", expected)
        .with_context("found", found))
}
