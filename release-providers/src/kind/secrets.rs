//! Secrets of settings: the settings name them, and whoever needs one asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use release_core::model::Principal;
use release_core::port::Clock;
use release_core::time::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::layer::Redactor;
use crate::spi::{
    LeaseRef, LeaseSecret, LeaseStatus, RenewLease, SecretLease, SecretRef, SecretStore,
};
use crate::{Context, EffectCertainty, ErrorKind, ProviderError, Secret};

#[cfg(any(feature = "config", feature = "plugin"))]
/// The secret that a setting names, if it names one: `{ secret: <where> }`, and nothing else.
pub(crate) fn reference(setting: &serde_json::Value) -> Option<&str> {
    let all = setting.as_object().filter(|all| all.len() == 1)?;
    all.get("secret")?.as_str()
}

/// How long a call for a secret may take.
const PATIENCE: Span = Span::secs(30);
/// For how long a secret is asked for where nobody says.
pub(crate) const SECRET_TTL: Span = Span::secs(3_600);

/// A setting that is a secret. Only where it is stands in a file: `{ secret: kv/shop/api#token }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSetting {
    secret: SecretRef,
}

impl SecretSetting {
    /// The secret at `secret`.
    pub const fn new(secret: SecretRef) -> Self {
        Self { secret }
    }

    /// Where it is.
    pub const fn reference(&self) -> &SecretRef {
        &self.secret
    }
}

impl JsonSchema for SecretSetting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a secret is, as its store knows it. Never the secret itself.",
            "type": "object",
            "properties": { "secret": { "type": "string", "minLength": 1 } },
            "required": ["secret"],
            "additionalProperties": false,
        })
    }
}

/// Where the secrets of settings come from. Whatever is handed out is known to the [`Redactor`] from then on.
#[derive(Clone)]
pub struct Secrets {
    source: Source,
    redactor: Redactor,
}

#[derive(Clone)]
enum Source {
    /// Nowhere.
    None,
    /// A store, asked in somebody's name.
    Store { store: Arc<dyn SecretStore>, clock: Arc<dyn Clock>, principal: Principal },
    /// They were handed over with the settings.
    Given(Arc<BTreeMap<SecretRef, Secret>>),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::None => f.write_str("Secrets(none)"),
            Source::Store { store, .. } => write!(f, "Secrets({})", store.describe().name),
            Source::Given(all) => write!(f, "Secrets({} given)", all.len()),
        }
    }
}

impl Secrets {
    /// There are none.
    pub fn none() -> Self {
        Self { source: Source::None, redactor: Redactor::default() }
    }

    /// Those of `store`, asked for in the name of `principal`.
    pub fn of(store: Arc<dyn SecretStore>, clock: Arc<dyn Clock>, principal: Principal) -> Self {
        Self { source: Source::Store { store, clock, principal }, redactor: Redactor::default() }
    }

    /// Those that were handed over.
    pub fn given(all: impl IntoIterator<Item = (SecretRef, Secret)>) -> Self {
        let all: BTreeMap<_, _> = all.into_iter().collect();
        let redactor = Redactor::new(all.values().cloned());
        Self { source: Source::Given(Arc::new(all)), redactor }
    }

    /// What is known to be secret by now: for [`Layers::redacting`](crate::layer::Layers::redacting).
    pub const fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The same, which tells `redactor` instead of one of its own; it tells it at once what is known.
    #[must_use]
    pub fn known_to(mut self, redactor: Redactor) -> Self {
        redactor.learn_from(&self.redactor);
        self.redactor = redactor;
        self
    }

    /// Whether there is anywhere to ask.
    pub const fn are_known(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// The value of a secret, of a lease of an hour that nobody renews: for secrets that outlive their leases. Who needs the
    /// lease itself asks for [one](Self::lease), and [renews](Self::renew) it.
    ///
    /// # Errors
    /// As [`Secrets::lease`].
    pub async fn value(&self, setting: &SecretSetting) -> Result<Secret, ProviderError> {
        Ok(self.obtain(setting).await?.0)
    }

    /// The value of a secret, with the lease that it is of, if it is of one.
    pub(crate) async fn obtain(
        &self,
        setting: &SecretSetting,
    ) -> Result<(Secret, Option<SecretLease>), ProviderError> {
        if let Source::Given(all) = &self.source {
            let missing = || missing(setting, "it was not handed over with the settings");
            return Ok((all.get(&setting.secret).cloned().ok_or_else(missing)?, None));
        }
        let lease = self.lease(setting, SECRET_TTL).await?;
        Ok((lease.value.clone(), Some(lease)))
    }

    /// Lets a lease last for `ttl` from now.
    ///
    /// # Errors
    /// As [`SecretStore::renew`]; `NotFound` where there is no store to ask.
    pub async fn renew(
        &self,
        lease: &SecretLease,
        ttl: Span,
    ) -> Result<LeaseStatus, ProviderError> {
        let (store, clock, cx) = self.store(&lease.lease, "renew")?;
        let work = store.renew(&cx, RenewLease::new(lease.lease.clone(), ttl));
        cx.within(clock, "secrets.renew", EffectCertainty::Unknown, work).await
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// As [`SecretStore::revoke`]; `NotFound` where there is no store to ask.
    pub async fn revoke(&self, lease: &SecretLease) -> Result<(), ProviderError> {
        let (store, clock, cx) = self.store(&lease.lease, "revoke")?;
        let work = store.revoke(&cx, LeaseRef::new(lease.lease.clone()));
        cx.within(clock, "secrets.revoke", EffectCertainty::Unknown, work).await
    }

    /// The store, the clock by which it is waited for, and a context of a call to it.
    fn store(
        &self,
        what: &str,
        call: &str,
    ) -> Result<(&dyn SecretStore, &dyn Clock, Context), ProviderError> {
        let Source::Store { store, clock, principal } = &self.source else {
            let text = "there is no store of secrets to ask";
            return Err(ProviderError::new(ErrorKind::NotFound, "secrets", text));
        };
        let now = clock.now();
        // One key a moment: a lease from before may be at its end.
        let key = format!("settings/{call}/{what}/{}", now.as_micros());
        let cx = Context::new(key, now.plus(PATIENCE), principal.clone());
        Ok((&**store, &**clock, cx))
    }

    /// A lease of a secret, for `ttl` at most. Who asked for it renews it, and ends it.
    ///
    /// # Errors
    /// As [`SecretStore::lease`]; `NotFound` where there is no store to ask.
    pub async fn lease(
        &self,
        setting: &SecretSetting,
        ttl: Span,
    ) -> Result<SecretLease, ProviderError> {
        let (store, clock, cx) = self.store(setting.secret.as_str(), "lease")?;
        let work = store.lease(&cx, LeaseSecret::new(setting.secret.clone(), ttl));
        let lease = cx.within(clock, "secrets.lease", EffectCertainty::Unknown, work).await?;
        self.redactor.learn(&lease.value);
        Ok(lease)
    }
}

fn missing(setting: &SecretSetting, why: &str) -> ProviderError {
    ProviderError::new(ErrorKind::NotFound, "secrets.lease", why)
        .with_context("secret", &setting.secret)
}
