//! The store: content is found again whole, or not at all.

use std::os::unix::fs::PermissionsExt as _;

use release_core::model::{ArtifactRef, Digest};
use release_providers::ErrorKind;
use release_providers::spi::{ArtifactStore, Deployer, ObserveDeployment};

use crate::support::{World, cx, put, target, wish};

#[tokio::test]
async fn content_is_found_again_and_is_executable() {
    let world = World::default();
    let platform = world.open().await;
    let artifact = put(&platform, b"hello".to_vec()).await;
    assert_eq!(put(&platform, b"hello".to_vec()).await, artifact);
    assert_eq!(artifact.digest(), Digest::of(b"hello"));
    let content = platform.get(&cx("get"), artifact.clone()).await.unwrap();
    assert_eq!(
        (content.bytes.as_slice(), content.digest),
        (b"hello".as_slice(), artifact.digest())
    );
    let status = platform.verify(&cx("verify"), artifact.clone()).await.unwrap();
    assert_eq!((status.digest, status.bytes), (artifact.digest(), 5));
    let path = world.root().join("artifacts/sha256").join(artifact.digest().hex());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn changed_content_is_refused_everywhere_and_can_be_mended() {
    let world = World::default();
    let platform = world.open().await;
    let artifact = put(&platform, b"good".to_vec()).await;
    let path = world.root().join("artifacts/sha256").join(artifact.digest().hex());
    std::fs::write(&path, b"evil").unwrap();
    let errors = [
        platform.get(&cx("get"), artifact.clone()).await.unwrap_err(),
        platform.verify(&cx("verify"), artifact.clone()).await.unwrap_err(),
        platform.apply(&cx("apply"), wish(&target("eu"), &artifact, "1.0.0", 1)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.context("path"), path.to_str());
        assert_eq!(error.context("expected"), Some(Digest::of(b"good").to_string().as_str()));
        assert_eq!(error.context("found"), Some(Digest::of(b"evil").to_string().as_str()));
    }
    let request = ObserveDeployment::new(target("eu"), artifact.digest());
    let status = Deployer::observe(&platform, &cx("look"), request).await.unwrap();
    assert_eq!((status.desired, status.running), (None, 0), "a refused wish leaves nothing");
    assert_eq!(world.marked().len(), 0);
    put(&platform, b"good".to_vec()).await;
    assert_eq!(platform.get(&cx("get"), artifact).await.unwrap().bytes, b"good");
}

#[tokio::test]
async fn unknown_content_is_not_found() {
    let world = World::default();
    let platform = world.open().await;
    let unknown = ArtifactRef::new("api".parse().unwrap(), Digest::of(b"never stored"));
    let errors = [
        platform.get(&cx("get"), unknown.clone()).await.unwrap_err(),
        platform.verify(&cx("verify"), unknown.clone()).await.unwrap_err(),
        platform.apply(&cx("one"), wish(&target("eu"), &unknown, "1.0.0", 1)).await.unwrap_err(),
    ];
    // Undoing what never began needs no content.
    platform.apply(&cx("none"), wish(&target("eu"), &unknown, "1.0.0", 0)).await.unwrap();
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}
