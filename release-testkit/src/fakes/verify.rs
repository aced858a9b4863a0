//! A verifier and a signer that share what was attested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use release_core::model::Digest;
use release_providers::spi::{
    Attested, ObserveSignature, SignArtifact, Signature, SignatureStatus, Verdict, Verification,
    VerifyArtifact,
};
use release_providers::{ErrorKind, ProviderError};
use serde_json::Value;

use super::script::other;
use super::{ArtifactSignerCall, ArtifactVerifierCall, Asked, Fake, lock, model};

/// An [`ArtifactVerifier`](release_providers::spi::ArtifactVerifier) that goes by a [`Transparency`].
pub type FakeArtifactVerifier = Fake<ArtifactVerifierCall, Trusted>;

/// An [`ArtifactSigner`](release_providers::spi::ArtifactSigner) that writes to a [`Transparency`].
pub type FakeArtifactSigner = Fake<ArtifactSignerCall, Keys>;

/// Everything that was attested. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub struct Transparency(Arc<Mutex<Vec<(Digest, Attested)>>>);

impl Transparency {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) const fn entries(&self) -> &Arc<Mutex<Vec<(Digest, Attested)>>> {
        &self.0
    }

    /// Adds what somebody attested of an artifact; a plain signature if `predicate` is empty.
    pub fn attest(&self, artifact: Digest, predicate: &str, by: &str) -> Digest {
        self.add(artifact, predicate, &Value::Null, by)
    }

    fn add(&self, artifact: Digest, predicate: &str, statement: &Value, by: &str) -> Digest {
        let envelope = Digest::of(format!("{artifact} {predicate} {statement} {by}").as_bytes());
        lock(&self.0).push((artifact, Attested::new(predicate.into(), by.into(), envelope)));
        envelope
    }
}

/// What a [`FakeArtifactVerifier`] knows.
#[derive(Debug, Clone)]
pub struct Trusted {
    log: Transparency,
    /// Whom it trusts.
    pub signers: BTreeSet<String>,
}

impl Fake<ArtifactVerifierCall, Trusted> {
    /// A verifier that trusts these signers.
    pub fn new(log: &Transparency, signers: &[&str]) -> Self {
        let signers = signers.iter().map(|name| (*name).to_owned()).collect();
        Self::of("fake-artifact-verifier", Trusted { log: log.clone(), signers })
    }
}

impl model::ArtifactVerifier for Trusted {
    fn verify(
        &mut self,
        asked: &Asked<'_>,
        request: VerifyArtifact,
    ) -> Result<Verification, ProviderError> {
        let digest = request.artifact.digest();
        let log = lock(&self.log.0);
        let trusted =
            |(of, one): &&(Digest, Attested)| *of == digest && self.signers.contains(&one.by);
        let found: Vec<_> = log.iter().filter(trusted).map(|(_, one)| one.clone()).collect();
        let missing = |predicate: &&String| !found.iter().any(|one| one.predicate == **predicate);
        let mut reasons: Vec<_> = request
            .predicates
            .iter()
            .filter(missing)
            .map(|predicate| format!("nobody trusted attested {predicate}"))
            .collect();
        if request.predicates.is_empty() && missing(&&String::new()) {
            reasons.push("nobody trusted signed it".to_owned());
        }
        let verdict =
            if reasons.is_empty() { Verdict::Verified } else { Verdict::Unverified { reasons } };
        let digest = if asked.lie { other(digest) } else { digest };
        Ok(Verification::new(digest, verdict, found))
    }
}

/// What a [`FakeArtifactSigner`] knows.
#[derive(Debug, Clone)]
pub struct Keys {
    log: Transparency,
    names: BTreeSet<String>,
    signed: BTreeMap<String, Signature>,
}

impl Fake<ArtifactSignerCall, Keys> {
    /// A signer that has keys of these names.
    pub fn new(log: &Transparency, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let keys = Keys { log: log.clone(), names, signed: BTreeMap::new() };
        Self::of("fake-artifact-signer", keys)
    }
}

impl model::ArtifactSigner for Keys {
    fn sign(
        &mut self,
        asked: &Asked<'_>,
        request: SignArtifact,
    ) -> Result<Signature, ProviderError> {
        if let Some(signature) = self.signed.get(asked.key()) {
            return Ok(signature.clone());
        }
        let SignArtifact { artifact, signing_key, predicate, statement, .. } = request;
        asked.found("key", &signing_key, self.names.get(&signing_key))?;
        if !predicate.is_empty() && !statement.is_object() {
            let text = "the statement is no object";
            return Err(asked.error(ErrorKind::Invalid, text));
        }
        let envelope = self.log.add(artifact.digest(), &predicate, &statement, &signing_key);
        let signature = Signature::new(artifact.digest(), signing_key, envelope);
        self.signed.insert(asked.key().to_owned(), signature.clone());
        Ok(signature)
    }

    fn observe(
        &mut self,
        _: &Asked<'_>,
        request: ObserveSignature,
    ) -> Result<SignatureStatus, ProviderError> {
        Ok(SignatureStatus::new(self.signed.get(&request.operation).cloned()))
    }
}
