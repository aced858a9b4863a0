//! The suite of [`ArtifactStore`].

use std::sync::Arc;
use std::time::Duration;

use release_core::model::{ArtifactName, ArtifactRef, Digest};
use release_providers::ErrorKind;
use release_providers::spi::{ArtifactStore, PutArtifact};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{
    Broken, Check, broken, case, interrupt_within, length, refused, unanswered,
};
use crate::fixtures;

/// A store of artifacts, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ArtifactStoreSandbox = ProviderSandbox<dyn ArtifactStore, Shelf>;

/// What of a store the suite may use.
#[derive(Debug, Clone)]
#[must_use]
pub struct Shelf {
    stored: ArtifactRef,
    corrupt: Option<ArtifactRef>,
}

impl Shelf {
    /// An artifact that is stored.
    pub const fn new(stored: ArtifactRef) -> Self {
        Self { stored, corrupt: None }
    }

    /// Names an artifact whose content was changed after it was stored. Without it `what_does_not_match_is_corrupt` is
    /// skipped, and said to be.
    pub fn corrupt(mut self, artifact: ArtifactRef) -> Self {
        self.corrupt = Some(artifact);
        self
    }
}

suite!(
    ArtifactStore,
    "artifact_store",
    ArtifactStoreSandbox,
    acting,
    [
        case!(what_was_put_is_got, "content comes back as it was stored, under its own digest"),
        case!(
            same_content_has_one_digest,
            "the same content again, under whatever name, changes nothing"
        ),
        case!(
            what_was_broken_off_is_whole_or_not_there,
            "content whose storing was broken off is `NotFound` or whole, never a part of it"
        ),
        case!(
            what_does_not_match_is_corrupt,
            "`Corrupt` for bytes that do not match their digest, every time",
            |sandbox: &ArtifactStoreSandbox| {
                sandbox.at.corrupt.is_none().then_some("artifact that was changed")
            }
        ),
    ]
);

/// How often storing is broken off, later each time.
const ROUNDS: u32 = 6;
/// So many bytes are more than are written at once.
const LARGE: usize = 256 << 10;

/// The store, and what of it the suite may use. It stores a few contents, of 256 KiB at the most.
pub fn sandbox(provider: Arc<dyn ArtifactStore>, at: Shelf) -> ArtifactStoreSandbox {
    ProviderSandbox::of(provider, at)
        .deed(
            "put",
            |provider, cx, _| async move {
                let request = PutArtifact::new(name(), content(&cx.key));
                text(provider.put(&cx, request).await.map(|artifact| artifact.digest()))
            },
            |provider, cx, _, key| async move {
                let wanted = content(&key);
                let artifact = fixtures::reference("conformance", Digest::of(&wanted));
                match provider.get(&cx, artifact).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => text(Ok(None::<bool>)),
                    found => text(found.map(|found| Some(found.bytes == wanted))),
                }
            },
        )
        .look("get", true, |provider, cx, at| async move {
            text(provider.get(&cx, at.stored.clone()).await)
        })
        .look("verify", true, |provider, cx, at| async move {
            text(provider.verify(&cx, at.stored.clone()).await)
        })
        .refusal("an unknown artifact", ErrorKind::NotFound, |provider, cx, _| async move {
            text(provider.get(&cx, nobodys()).await)
        })
        .refusal(
            "the check of an unknown artifact",
            ErrorKind::NotFound,
            |provider, cx, _| async move { text(provider.verify(&cx, nobodys()).await) },
        )
}

fn name() -> ArtifactName {
    fixtures::literal("conformance")
}

fn content(key: &str) -> Vec<u8> {
    format!("conformance: content of {key}").into_bytes()
}

fn nobodys() -> ArtifactRef {
    fixtures::reference("conformance", Digest::of(b"content that nobody stored"))
}

async fn what_was_put_is_got(sandbox: &ArtifactStoreSandbox) -> Check {
    for size in [0_usize, 1, 70_000] {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        let artifact = put(sandbox, name(), bytes.clone()).await?;
        if artifact != ArtifactRef::new(name(), Digest::of(&bytes)) {
            let expected = format!("the digest of {size} bytes, under their name");
            return Err(broken(expected, format!("{artifact:?}")));
        }
        let found = sandbox.provider.get(&sandbox.context(), artifact.clone()).await;
        let found = found.map_err(|error| unanswered("what was stored", &error))?;
        if found.bytes != bytes || found.digest != artifact.digest() {
            return Err(broken(format!("the {size} bytes that were stored"), format!("{found:?}")));
        }
        let status = sandbox.provider.verify(&sandbox.context(), artifact.clone()).await;
        let status = status.map_err(|error| unanswered("a check of what was stored", &error))?;
        if status.digest != artifact.digest() || usize::try_from(status.bytes) != Ok(size) {
            return Err(broken(format!("{size} bytes of {artifact:?}"), format!("{status:?}")));
        }
    }
    Ok(())
}

async fn same_content_has_one_digest(sandbox: &ArtifactStoreSandbox) -> Check {
    let bytes = content("two names");
    let one = put(sandbox, name(), bytes.clone()).await?;
    let two = put(sandbox, fixtures::literal("conformance-too"), bytes.clone()).await?;
    if one.digest() != two.digest() {
        return Err(broken(one.digest(), two.digest()));
    }
    for artifact in [one, two] {
        let found = sandbox.provider.get(&sandbox.context(), artifact).await;
        let found = found.map_err(|error| unanswered("what was stored twice", &error))?;
        if found.bytes != bytes {
            return Err(broken("what was stored", format!("{found:?}")));
        }
    }
    Ok(())
}

async fn what_was_broken_off_is_whole_or_not_there(sandbox: &ArtifactStoreSandbox) -> Check {
    let mut whole = Duration::ZERO; // nothing is known of it before it was done once
    for round in 0..ROUNDS {
        let cx = sandbox.context();
        let bytes: Vec<u8> = content(&cx.key).into_iter().cycle().take(LARGE).collect();
        let artifact = ArtifactRef::new(name(), Digest::of(&bytes));
        let request = PutArtifact::new(name(), bytes.clone());
        interrupt_within(sandbox.provider.put(&cx, request.clone()), round, whole).await;
        sandbox.linger().await;
        match sandbox.provider.get(&sandbox.context(), artifact.clone()).await {
            Ok(found) if found.bytes == bytes => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(found) => {
                return Err(broken("all of what was stored, or nothing", format!("{found:?}")));
            }
            Err(error) => return Err(unanswered("content whose storing was broken off", &error)),
        }
        let again = async || {
            let answer = sandbox.provider.put(&cx, request.clone()).await;
            answer.map_err(|error| unanswered("the same content again", &error))
        };
        whole = whole.max(length(again()).await?);
        let found = sandbox.provider.get(&sandbox.context(), artifact).await;
        let found = found.map_err(|error| unanswered("what was stored after all", &error))?;
        if found.bytes != bytes {
            return Err(broken("what was stored after all", format!("{found:?}")));
        }
    }
    Ok(())
}

async fn what_does_not_match_is_corrupt(sandbox: &ArtifactStoreSandbox) -> Check {
    let Some(corrupt) = &sandbox.at.corrupt else { return Ok(()) };
    for _ in 0..2 {
        let got = sandbox.provider.get(&sandbox.context(), corrupt.clone()).await;
        refused("what was changed", got, ErrorKind::Corrupt)?;
        let checked = sandbox.provider.verify(&sandbox.context(), corrupt.clone()).await;
        refused("a check of what was changed", checked, ErrorKind::Corrupt)?;
    }
    Ok(())
}

async fn put(
    sandbox: &ArtifactStoreSandbox,
    name: ArtifactName,
    bytes: Vec<u8>,
) -> Result<ArtifactRef, Broken> {
    let answer = sandbox.provider.put(&sandbox.context(), PutArtifact::new(name, bytes)).await;
    answer.map_err(|error| unanswered("content to store", &error))
}
