//! The suite of [`ArtifactSigner`].

use std::sync::Arc;

use release_core::model::{ArtifactRef, Digest};
use release_providers::ErrorKind;
use release_providers::spi::{
    ArtifactSigner, ObserveSignature, SignArtifact, Signature, SignatureStatus,
};
use serde_json::json;

use crate::conformance::any::{ProviderSandbox, outcome, suite, text};
use crate::conformance::{Broken, Check, broken, case, unanswered};

/// A signer, and what it may sign with which key.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ArtifactSignerSandbox = ProviderSandbox<dyn ArtifactSigner, SignArtifact>;

suite!(
    ArtifactSigner,
    "artifact_signer",
    ArtifactSignerSandbox,
    acting,
    [
        case!(
            what_is_signed_names_the_artifact,
            "a signature names the digest and the key that were asked for, and nothing else"
        ),
        case!(what_was_signed_is_observed, "the signature that was answered is the one observed"),
        case!(statements_differ, "another statement, or another predicate, has another envelope"),
        case!(an_unused_key_signed_nothing, "under a key that was never used nothing is signed"),
    ]
);

const PREDICATE: &str = "https://example.com/conformance/v1";

/// The signer, and an artifact that a test may sign with one of its keys.
pub fn sandbox(
    provider: Arc<dyn ArtifactSigner>,
    artifact: ArtifactRef,
    signing_key: impl Into<String>,
) -> ArtifactSignerSandbox {
    ProviderSandbox::of(provider, SignArtifact::new(artifact, signing_key.into()))
        .deed(
            "sign",
            |provider, cx, at| async move { text(provider.sign(&cx, (*at).clone()).await) },
            |provider, cx, _, key| async move {
                let answer = provider.observe(&cx, ObserveSignature::new(key)).await;
                outcome(answer.map(|status| {
                    let whose = status.signature.as_ref();
                    let whose = whose.map(|one| (one.artifact, one.signing_key.clone()));
                    (whose, status.signature)
                }))
            },
        )
        .look("observe", true, |provider, cx, _| async move {
            text(provider.observe(&cx, ObserveSignature::new("nobody's call".into())).await)
        })
        .refusal("an unknown key", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = (*at).clone();
            request.signing_key = "a key that nobody has".into();
            text(provider.sign(&cx, request).await)
        })
        .refusal("a statement that is none", ErrorKind::Invalid, |provider, cx, at| async move {
            let mut request = (*at).clone();
            (request.predicate, request.statement) = (PREDICATE.into(), json!("no object"));
            text(provider.sign(&cx, request).await)
        })
}

async fn what_is_signed_names_the_artifact(sandbox: &ArtifactSignerSandbox) -> Check {
    let SignArtifact { artifact, signing_key, .. } = &*sandbox.at;
    for bytes in [None, Some(b"other content")] {
        let mut request = (*sandbox.at).clone();
        if let Some(bytes) = bytes {
            request.artifact = ArtifactRef::new(artifact.name().clone(), Digest::of(bytes));
        }
        let wanted = request.artifact.digest();
        let signature = sign(sandbox, &sandbox.context(), request).await?;
        if signature.artifact != wanted || signature.signing_key != *signing_key {
            let expected = format!("{wanted} signed with `{signing_key}`");
            return Err(broken(expected, format!("{signature:?}")));
        }
    }
    Ok(())
}

async fn what_was_signed_is_observed(sandbox: &ArtifactSignerSandbox) -> Check {
    let cx = sandbox.context();
    let signature = sign(sandbox, &cx, (*sandbox.at).clone()).await?;
    let seen = look_at(sandbox, &cx.key).await?;
    if seen.signature.as_ref() == Some(&signature) {
        return Ok(());
    }
    Err(broken(format!("{signature:?}"), format!("{seen:?}")))
}

async fn statements_differ(sandbox: &ArtifactSignerSandbox) -> Check {
    let mut envelopes = Vec::new();
    for (predicate, number) in [(0, 0), (0, 1), (1, 1)] {
        let mut request = (*sandbox.at).clone();
        request.predicate = format!("{PREDICATE}/{predicate}");
        request.statement = json!({ "number": number });
        let envelope = sign(sandbox, &sandbox.context(), request).await?.envelope;
        if envelopes.contains(&envelope) {
            return Err(broken("an envelope for each statement", format!("two are {envelope}")));
        }
        envelopes.push(envelope);
    }
    Ok(())
}

async fn an_unused_key_signed_nothing(sandbox: &ArtifactSignerSandbox) -> Check {
    sign(sandbox, &sandbox.context(), (*sandbox.at).clone()).await?;
    let status = look_at(sandbox, &sandbox.context().key).await?;
    match status.signature {
        None => Ok(()),
        Some(signature) => Err(broken("nothing", format!("{signature:?}"))),
    }
}

async fn sign(
    sandbox: &ArtifactSignerSandbox,
    cx: &release_providers::Context,
    request: SignArtifact,
) -> Result<Signature, Broken> {
    let answer = sandbox.provider.sign(cx, request).await;
    answer.map_err(|error| unanswered("a signature", &error))
}

async fn look_at(sandbox: &ArtifactSignerSandbox, key: &str) -> Result<SignatureStatus, Broken> {
    let request = ObserveSignature::new(key.to_owned());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a look at what was signed", &error))
}
