//! The suite of [`ArtifactVerifier`].

use std::sync::Arc;

use release_core::model::{ArtifactRef, Digest};
use release_providers::ErrorKind;
use release_providers::spi::{ArtifactVerifier, Verdict, Verification, VerifyArtifact};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, unanswered};
use crate::fixtures;

/// A verifier, and artifacts that it may check.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ArtifactVerifierSandbox = ProviderSandbox<dyn ArtifactVerifier, Attestations>;

/// Artifacts of which something is attested, or nothing.
#[derive(Debug, Clone)]
#[must_use]
pub struct Attestations {
    signed: ArtifactRef,
    predicate: String,
    distrusted: Option<ArtifactRef>,
    unsigned: Option<ArtifactRef>,
    half_trusted: Option<ArtifactRef>,
}

impl Attestations {
    /// An artifact that somebody trusted signed, and of which they attested `predicate`.
    pub fn new(signed: ArtifactRef, predicate: impl Into<String>) -> Self {
        let (distrusted, unsigned, half_trusted) = (None, None, None);
        Self { signed, predicate: predicate.into(), distrusted, unsigned, half_trusted }
    }

    /// Names an artifact that only somebody signed whom nobody trusts. Without it `strangers_count_for_nothing` is
    /// skipped, and said to be.
    pub fn distrusted(mut self, artifact: ArtifactRef) -> Self {
        self.distrusted = Some(artifact);
        self
    }

    /// Names an artifact of which somebody trusted attested the predicate, and that nobody signed plainly. Without it
    /// `a_predicate_is_no_signature` is skipped, and said to be.
    pub fn unsigned(mut self, artifact: ArtifactRef) -> Self {
        self.unsigned = Some(artifact);
        self
    }

    /// Names an artifact that somebody trusted signed plainly, and of which only somebody whom nobody trusts attested
    /// the predicate. Without it `trust_is_not_shared` is skipped, and said to be.
    pub fn half_trusted(mut self, artifact: ArtifactRef) -> Self {
        self.half_trusted = Some(artifact);
        self
    }
}

suite!(
    ArtifactVerifier,
    "artifact_verifier",
    ArtifactVerifierSandbox,
    telling,
    [
        case!(
            what_is_attested_is_verified,
            "what somebody trusted attested is verified, and told with who it was"
        ),
        case!(
            what_was_asked_for_must_be_there,
            "a predicate that nobody attested leaves it unverified, with the reason"
        ),
        case!(
            the_unknown_is_never_verified,
            "the verdict is about the digest that was asked after, and nothing else"
        ),
        case!(
            strangers_count_for_nothing,
            "what nobody trusted attested counts for nothing",
            |sandbox: &ArtifactVerifierSandbox| {
                sandbox.at.distrusted.is_none().then_some("artifact that a stranger signed")
            }
        ),
        case!(
            trust_is_not_shared,
            "what nobody trusted attested counts for nothing, also beside what somebody trusted did",
            |sandbox: &ArtifactVerifierSandbox| {
                sandbox.at.half_trusted.is_none().then_some("artifact that is attested by both")
            }
        ),
        case!(
            a_predicate_is_no_signature,
            "a predicate that was not asked for counts for nothing: where none is, a plain signature must be there",
            |sandbox: &ArtifactVerifierSandbox| {
                sandbox.at.unsigned.is_none().then_some("artifact that has a predicate alone")
            }
        ),
    ]
);

/// The verifier, and artifacts that it may check.
pub fn sandbox(
    provider: Arc<dyn ArtifactVerifier>,
    attestations: Attestations,
) -> ArtifactVerifierSandbox {
    ProviderSandbox::of(provider, attestations).look(
        "verify",
        true,
        |provider, cx, at| async move {
            text(provider.verify(&cx, VerifyArtifact::new(at.signed.clone())).await)
        },
    )
}

async fn what_is_attested_is_verified(sandbox: &ArtifactVerifierSandbox) -> Check {
    let Attestations { signed, predicate, .. } = &*sandbox.at;
    for predicates in [Vec::new(), vec![predicate.clone()]] {
        let found = verify(sandbox, signed, predicates.clone()).await?;
        let told = predicates.iter().all(|wanted| {
            found.attestations.iter().any(|one| one.predicate == *wanted && !one.by.is_empty())
        });
        let right = found.digest == signed.digest() && found.verdict == Verdict::Verified;
        if !right || !told || found.attestations.is_empty() {
            let expected = format!("{} to be verified by {predicates:?}", signed.digest());
            return Err(broken(expected, format!("{found:?}")));
        }
    }
    Ok(())
}

async fn what_was_asked_for_must_be_there(sandbox: &ArtifactVerifierSandbox) -> Check {
    let Attestations { signed, predicate, .. } = &*sandbox.at;
    let nobodys = "https://example.com/a-predicate-that-nobody-attested".to_owned();
    let found = verify(sandbox, signed, vec![predicate.clone(), nobodys]).await?;
    unverified("what lacks a predicate", &found)
}

async fn the_unknown_is_never_verified(sandbox: &ArtifactVerifierSandbox) -> Check {
    let digest = Digest::of(b"content that nobody signed");
    let name = sandbox.at.signed.name().as_str();
    let request = VerifyArtifact::new(fixtures::reference(name, digest));
    match sandbox.provider.verify(&sandbox.context(), request).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unanswered("a check of what nobody signed", &error)),
        Ok(found) if found.digest != digest => Err(broken(digest, format!("{found:?}"))),
        Ok(found) => unverified("what nobody signed", &found),
    }
}

async fn strangers_count_for_nothing(sandbox: &ArtifactVerifierSandbox) -> Check {
    let Some(distrusted) = &sandbox.at.distrusted else { return Ok(()) };
    let found = verify(sandbox, distrusted, Vec::new()).await?;
    if !found.attestations.is_empty() {
        return Err(broken("nothing that counts", format!("{found:?}")));
    }
    unverified("what only a stranger signed", &found)
}

async fn trust_is_not_shared(sandbox: &ArtifactVerifierSandbox) -> Check {
    let Some(artifact) = &sandbox.at.half_trusted else { return Ok(()) };
    let predicate = &sandbox.at.predicate;
    verified("what somebody trusted signed", &verify(sandbox, artifact, Vec::new()).await?)?;
    let found = verify(sandbox, artifact, vec![predicate.clone()]).await?;
    if found.attestations.iter().any(|one| one.predicate == *predicate) {
        return Err(broken("no attestation of a stranger", format!("{found:?}")));
    }
    unverified("what only a stranger attested", &found)
}

async fn a_predicate_is_no_signature(sandbox: &ArtifactVerifierSandbox) -> Check {
    let Some(artifact) = &sandbox.at.unsigned else { return Ok(()) };
    let predicates = vec![sandbox.at.predicate.clone()];
    verified("the predicate that is there", &verify(sandbox, artifact, predicates).await?)?;
    unverified("what nobody signed plainly", &verify(sandbox, artifact, Vec::new()).await?)
}

fn verified(what: &str, found: &Verification) -> Check {
    match &found.verdict {
        Verdict::Verified => Ok(()),
        _ => Err(broken(format!("{what} to be verified"), format!("{found:?}"))),
    }
}

fn unverified(what: &str, found: &Verification) -> Check {
    match &found.verdict {
        Verdict::Unverified { reasons } if !reasons.is_empty() => Ok(()),
        _ => Err(broken(format!("{what} to be unverified, with the reason"), format!("{found:?}"))),
    }
}

async fn verify(
    sandbox: &ArtifactVerifierSandbox,
    artifact: &ArtifactRef,
    predicates: Vec<String>,
) -> Result<Verification, Broken> {
    let mut request = VerifyArtifact::new(artifact.clone());
    request.predicates = predicates;
    let answer = sandbox.provider.verify(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a check", &error))
}
