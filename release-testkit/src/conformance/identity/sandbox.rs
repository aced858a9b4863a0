//! What the suite of `IdentitySource` may use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::{Delegation, Identity, IdentitySnapshot, PrincipalId};
use release_core::time::Timestamp;
use release_providers::Description;
use release_providers::spi::{IdentitySource, ReadIdentities};

use crate::conformance::{
    Broken, Check, Common, Hook, HookError, Provided, Sandbox, Trouble, broken, hook, shared,
    title, unanswered,
};

/// A source of identities, and what its suite may do with its authority.
#[derive(Clone)]
#[must_use]
pub struct IdentitySandbox {
    pub(super) provider: Arc<dyn IdentitySource>,
    pub(super) account: Option<PrincipalId>,
    change: Option<Hook<u32, ()>>,
    close: Option<Hook<PrincipalId, ()>>,
    reopen: Option<Hook<(), Arc<dyn IdentitySource>>>,
    common: Common,
}

shared!([] IdentitySandbox, dyn IdentitySource, "a change may take to be seen");

impl fmt::Debug for IdentitySandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, account, .. } = self;
        let mut out = f.debug_struct("IdentitySandbox");
        out.field("provider", provider).field("account", account).finish_non_exhaustive()
    }
}

impl IdentitySandbox {
    /// A sandbox: the source, whose authority has at least one account and changes only by what is given here.
    /// Where it has the host's clock, [`IdentitySandbox::clock`] must be given the same one.
    pub fn new(provider: Arc<dyn IdentitySource>) -> Self {
        Self {
            provider,
            account: None,
            change: None,
            close: None,
            reopen: None,
            common: Common::default(),
        }
    }

    /// Changes the authority's content in any way that was not there before, for example adds an account that is
    /// named by the number. Without it the cases about changes are skipped.
    pub fn change<F>(mut self, change: impl Fn(u32) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.change = Some(hook(change));
        self
    }

    /// Closes an account that is active, as when somebody leaves. No other account is closed. Without it the case
    /// about closed accounts is skipped.
    pub fn close_account<F>(
        mut self,
        account: PrincipalId,
        close: impl Fn(PrincipalId) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        (self.account, self.close) = (Some(account), Some(hook(close)));
        self
    }

    pub(super) const fn can_change(&self) -> bool {
        self.change.is_some()
    }

    pub(super) const fn can_close(&self) -> bool {
        self.close.is_some()
    }

    /// Changes the content, if the sandbox can.
    pub(super) async fn make_change(&self, number: u32) -> Check {
        let Some(change) = &self.change else { return Ok(()) };
        change(number).await.map_err(|error| broken("a change of the content", error))
    }

    pub(super) async fn make_closed(&self, account: &PrincipalId) -> Check {
        let Some(close) = &self.close else { return Ok(()) };
        let closed = close(account.clone()).await;
        closed.map_err(|error| broken(format!("the account `{account}` to be closed"), error))
    }

    /// Does `work` while the authority is out of reach, and puts it back, however that went.
    pub(super) async fn while_cut_off<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Broken> {
        self.common.trouble(Trouble::OutOfReach, true).await?;
        let done = work.await;
        self.common.trouble(Trouble::OutOfReach, false).await?;
        Ok(done)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.common.clock.now()
    }

    pub(super) async fn read(&self) -> Result<Snapshot, Broken> {
        let answer = self.provider.read(&self.context(), ReadIdentities::new()).await;
        answer.map(Snapshot).map_err(|error| unanswered("a read", &error))
    }

    /// Reads until an answer is `wanted`, and demands that there is one before patience ends.
    pub(super) async fn read_until(
        &self,
        what: &str,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Result<Snapshot, Broken> {
        let seen = self.common.until(async || {
            let snapshot = self.read().await?;
            Ok(if wanted(&snapshot) { Ok(snapshot) } else { Err(snapshot) })
        });
        seen.await?.map_err(|last| {
            let expected = format!("{what} within {}", self.common.patience);
            broken(expected, format!("the last answer was {last}"))
        })
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Snapshot(pub(super) IdentitySnapshot);

/// What is compared of an answer: the order of accounts means nothing.
pub(super) type Content<'a> = (BTreeMap<&'a PrincipalId, &'a Identity>, Vec<&'a Delegation>);

impl Snapshot {
    pub(super) fn content(&self) -> Content<'_> {
        let IdentitySnapshot { identities, delegations, .. } = &self.0;
        let mut lent: Vec<_> = delegations.iter().collect();
        lent.sort_by_key(|lent| (&lent.from, &lent.role, lent.starts, &lent.to));
        (identities.iter().map(|identity| (&identity.id, identity)).collect(), lent)
    }

    pub(super) fn account(&self, id: &PrincipalId) -> Option<&Identity> {
        self.0.identities.iter().find(|identity| identity.id == *id)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IdentitySnapshot { version, taken_at, identities, .. } = &self.0;
        write!(f, "version {version} of {taken_at} with {} accounts", identities.len())
    }
}

impl Provided for IdentitySandbox {
    fn describe(&self) -> Description {
        self.provider.describe()
    }
}

#[async_trait(?Send)]
impl Sandbox for IdentitySandbox {
    fn common(&self) -> &Common {
        &self.common
    }

    fn title(&self) -> String {
        title(&self.provider.describe())
    }

    async fn prepare(&self) -> Result<(), Broken> {
        Ok(())
    }
}
