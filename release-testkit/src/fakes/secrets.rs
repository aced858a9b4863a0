//! A store of secrets that is kept in memory.

use std::collections::BTreeMap;

use release_core::time::{Span, Timestamp};
use release_providers::spi::{
    LeaseRef, LeaseSecret, LeaseStatus, ObserveSecret, RenewLease, RotateSecret, SecretLease,
    SecretRef, SecretStatus,
};
use release_providers::{ErrorKind, ProviderError, Secret};

use super::{Asked, Fake, SecretStoreCall, model};

/// A [`SecretStore`](release_providers::spi::SecretStore) that is kept in memory.
pub type FakeSecretStore = Fake<SecretStoreCall, Vault>;

/// What a [`FakeSecretStore`] knows.
#[derive(Debug, Clone, Default)]
pub struct Vault {
    secrets: BTreeMap<SecretRef, (u64, Secret)>,
    leases: BTreeMap<String, Lease>,
    rotated: BTreeMap<String, SecretStatus>,
}

#[derive(Debug, Clone)]
struct Lease {
    key: String,
    secret: SecretRef,
    version: u64,
    value: Secret,
    expires: Timestamp,
}

impl Fake<SecretStoreCall, Vault> {
    /// An empty store.
    pub fn new() -> Self {
        Self::of("fake-secret-store", Vault::default()).able(|can| can.secret_store.rotation = true)
    }
}

impl Default for Fake<SecretStoreCall, Vault> {
    fn default() -> Self {
        Self::new()
    }
}

impl Vault {
    /// Puts a secret into it.
    pub fn put(&mut self, secret: &SecretRef, value: Secret) {
        let version = self.secrets.get(secret).map_or(1, |(version, _)| version + 1);
        self.secrets.insert(secret.clone(), (version, value));
    }

    fn status(&self, asked: &Asked<'_>, secret: &SecretRef) -> Result<SecretStatus, ProviderError> {
        let known = self.secrets.get(secret).map(|(version, _)| *version);
        let version = asked.found("secret", secret.as_str(), known)?;
        let lasts = |lease: &&Lease| lease.secret == *secret && asked.now < lease.expires;
        let leases = u32::try_from(self.leases.values().filter(lasts).count()).unwrap_or(u32::MAX);
        Ok(SecretStatus::new(secret.clone(), version, leases))
    }
}

impl model::SecretStore for Vault {
    fn lease(
        &mut self,
        asked: &Asked<'_>,
        request: LeaseSecret,
    ) -> Result<SecretLease, ProviderError> {
        let LeaseSecret { secret, ttl, .. } = request;
        if ttl == Span::ZERO {
            return Err(asked.error(ErrorKind::Invalid, "a lease for no time"));
        }
        let same = |(_, lease): &(&String, &Lease)| {
            lease.key == asked.key() && lease.secret == secret && asked.now < lease.expires
        };
        if let Some((id, lease)) = self.leases.iter().find(same) {
            let Lease { version, value, expires, .. } = lease;
            return Ok(SecretLease::new(id.clone(), *version, *expires, value.clone()));
        }
        let known = self.secrets.get(&secret).cloned();
        let (version, value) = asked.found("secret", secret.as_str(), known)?;
        let (id, expires) = (format!("lease-{}", self.leases.len() + 1), asked.now.plus(ttl));
        let key = asked.key().to_owned();
        let lease = Lease { key, secret, version, value: value.clone(), expires };
        self.leases.insert(id.clone(), lease);
        let value = if asked.lie { Secret::new("something else") } else { value };
        Ok(SecretLease::new(id, version, expires, value))
    }

    fn renew(
        &mut self,
        asked: &Asked<'_>,
        request: RenewLease,
    ) -> Result<LeaseStatus, ProviderError> {
        let lease = self.leases.get_mut(&request.lease).filter(|lease| asked.now < lease.expires);
        let lease = asked.found("lease that lasts", &request.lease, lease)?;
        lease.expires = asked.now.plus(request.ttl);
        Ok(LeaseStatus::new(request.lease, lease.expires))
    }

    fn revoke(&mut self, asked: &Asked<'_>, request: LeaseRef) -> Result<(), ProviderError> {
        let lease = self.leases.get_mut(&request.lease);
        let lease = asked.found("lease", &request.lease, lease)?;
        lease.expires = lease.expires.min(asked.now);
        Ok(())
    }

    fn rotate(
        &mut self,
        asked: &Asked<'_>,
        request: RotateSecret,
    ) -> Result<SecretStatus, ProviderError> {
        if let Some(done) = self.rotated.get(asked.key()) {
            return Ok(done.clone());
        }
        let known = self.secrets.get_mut(&request.secret);
        let (version, value) = asked.found("secret", request.secret.as_str(), known)?;
        *version += 1;
        *value = Secret::new(format!("{} after {version} rotations", request.secret));
        let status = self.status(asked, &request.secret)?;
        self.rotated.insert(asked.key().to_owned(), status.clone());
        Ok(status)
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: ObserveSecret,
    ) -> Result<SecretStatus, ProviderError> {
        let mut status = self.status(asked, &request.secret)?;
        if asked.lie {
            status.version += 1;
        }
        Ok(status)
    }
}
