//! A source of identities in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::model::{Delegation, Identity, IdentitySnapshot, PrincipalId, RoleId, Timestamp};
use release_core::port::Clock;
use release_providers::spi::{IdentitySource, ReadIdentities};
use release_providers::{Context, Description, ErrorKind, ProviderError};

use super::script::Stage;
use super::{Access, IdentitySourceCall, IdentitySourceOp, Request, lock, staged};

/// An [`IdentitySource`] whose directory a test writes. A scripted lie is an answer without any account.
///
/// Its first version is 1, and each change that changes something makes the next one.
#[derive(Debug, Default)]
pub struct FakeIdentities {
    authority: Arc<Mutex<Authority>>,
    stage: Stage<IdentitySourceCall>,
}

/// What outlasts its readers.
#[derive(Debug)]
struct Authority {
    version: u64,
    identities: BTreeMap<PrincipalId, Identity>,
    delegations: Vec<Delegation>,
    within_reach: bool,
    /// When it was read last.
    read_at: Timestamp,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            version: 1,
            identities: BTreeMap::new(),
            delegations: Vec::new(),
            within_reach: true,
            read_at: Timestamp::from_micros(i64::MIN),
        }
    }
}

staged!(FakeIdentities, IdentitySourceCall, IdentitySourceOp);

impl FakeIdentities {
    /// A source without accounts.
    pub fn new() -> Self {
        Self::default()
    }

    /// A source with these accounts, in its first version.
    pub fn of(accounts: impl IntoIterator<Item = Identity>) -> Self {
        let source = Self::default();
        let named = accounts.into_iter().map(|account| (account.id.clone(), account));
        lock(&source.authority).identities = named.collect();
        source
    }

    /// Another instance over the same directory, as after a restart: its script and its record are empty.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { authority: Arc::clone(&self.authority), stage: self.stage.anew() }
    }

    pub(super) fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.stage.clock().cloned()
    }

    /// Adds an account, or puts it in the place of the one with its id.
    pub fn put(&self, identity: Identity) {
        self.change(|authority| {
            authority.identities.insert(identity.id.clone(), identity);
        });
    }

    /// Takes a role from an account: all its grants of it.
    pub fn revoke(&self, id: &PrincipalId, role: &RoleId) {
        self.change(|authority| {
            if let Some(identity) = authority.identities.get_mut(id) {
                identity.grants.retain(|grant| grant.role != *role);
            }
        });
    }

    /// Closes an account, which stays as an inactive one.
    pub fn close(&self, id: &PrincipalId) {
        self.change(|authority| {
            if let Some(identity) = authority.identities.get_mut(id) {
                identity.active = false;
            }
        });
    }

    /// Adds what somebody lends.
    pub fn lend(&self, delegation: Delegation) {
        self.change(|authority| authority.delegations.push(delegation));
    }

    /// The way on which it is reached.
    pub(super) const fn access(&self) -> &Access {
        self.stage.access()
    }

    /// Puts the directory out of reach, or back.
    pub fn set_within_reach(&self, within_reach: bool) {
        lock(&self.authority).within_reach = within_reach;
    }

    /// What an honest answer is now, also where the directory is out of reach.
    pub fn snapshot(&self) -> IdentitySnapshot {
        let mut authority = lock(&self.authority);
        let taken_at = self.stage.now().max(authority.read_at);
        authority.read_at = taken_at;
        IdentitySnapshot::new(
            authority.version,
            taken_at,
            authority.identities.values().cloned().collect(),
            authority.delegations.clone(),
        )
    }

    /// Changes the content, which is another version if it is another one then.
    fn change(&self, change: impl FnOnce(&mut Authority)) {
        let mut authority = lock(&self.authority);
        let before = (authority.identities.clone(), authority.delegations.clone());
        change(&mut authority);
        if (&before.0, &before.1) != (&authority.identities, &authority.delegations) {
            authority.version += 1;
        }
    }
}

#[async_trait]
impl IdentitySource for FakeIdentities {
    fn describe(&self) -> Description {
        super::describe("fake-identities")
    }

    async fn read(
        &self,
        cx: &Context,
        request: ReadIdentities,
    ) -> Result<IdentitySnapshot, ProviderError> {
        let call = IdentitySourceCall::Read(request);
        let operation = call.operation();
        let read = |lie| {
            if !lock(&self.authority).within_reach {
                let text = "the directory is out of reach";
                return Err(ProviderError::new(ErrorKind::Unavailable, operation, text));
            }
            let mut snapshot = self.snapshot();
            if lie {
                snapshot.identities.clear();
                snapshot.delegations.clear();
            }
            Ok(snapshot)
        };
        self.stage.play(cx, call, read).await
    }
}
