//! The suite of [`DataSetStore`].

use std::sync::Arc;

use release_core::model::EnvironmentId;
use release_core::time::Span;
use release_providers::spi::{
    Access, DataSetLease, DataSetLeaseRef, DataSetStatus, DataSetStore, LeaseDataSet,
    ObserveDataSet,
};
use release_providers::{ErrorKind, ProviderError};

use crate::conformance::any::{ProviderSandbox, keyed, outcome, suite, text};
use crate::conformance::{Broken, Check, broken, case, refused, unanswered};

/// A store of data sets, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type DataSetStoreSandbox = ProviderSandbox<dyn DataSetStore, DataSetPlace>;

/// What of a store the suite may use.
#[derive(Debug, Clone)]
#[must_use]
pub struct DataSetPlace {
    data_set: String,
    environment: EnvironmentId,
    raw: Option<String>,
}

impl DataSetPlace {
    /// A data set that nobody else uses, and an environment, not production, in which it may be used.
    pub fn new(data_set: impl Into<String>, environment: EnvironmentId) -> Self {
        Self { data_set: data_set.into(), environment, raw: None }
    }

    /// Names a data set of real people that nobody masked. Without it `raw_production_data_stays_there` is skipped, and
    /// said to be.
    pub fn raw(mut self, data_set: impl Into<String>) -> Self {
        self.raw = Some(data_set.into());
        self
    }

    fn lease(&self, access: Access) -> LeaseDataSet {
        let ttl = Span::secs(600);
        LeaseDataSet::new(self.data_set.clone(), self.environment.clone(), access, ttl)
    }

    fn look(&self) -> ObserveDataSet {
        ObserveDataSet::new(self.data_set.clone())
    }
}

suite!(
    DataSetStore,
    "data_set_store",
    DataSetStoreSandbox,
    acting,
    [
        case!(who_writes_is_alone, "whoever may write has it alone, whoever else asks"),
        case!(readers_share, "any number may read it together"),
        case!(what_is_given_back_can_be_lent_again, "what was given back is lent to the next"),
        case!(leases_are_told, "`observe` tells the leases that last"),
        case!(
            raw_production_data_stays_there,
            "data of real people that is not masked is lent to nobody but production",
            |sandbox: &DataSetStoreSandbox| {
                sandbox.at.raw.is_none().then_some("data set of real people that nobody masked")
            }
        ),
    ]
);

/// The store, and what of it the suite may use.
pub fn sandbox(provider: Arc<dyn DataSetStore>, at: DataSetPlace) -> DataSetStoreSandbox {
    ProviderSandbox::of(provider, at)
        .deed(
            "lease",
            |provider, cx, at| async move {
                text(provider.lease(&cx, at.lease(Access::Read)).await)
            },
            |provider, cx, at, key| async move {
                let cx = keyed(cx, key);
                let answer = provider.lease(&cx, at.lease(Access::Read)).await;
                outcome(answer.map(|lease| (lease.location.is_empty(), (lease.lease, lease.expires))))
            },
        )
        .seen_by_doing()
        .look("observe", true, |provider, cx, at| async move {
            text(provider.observe(&cx, at.look()).await)
        })
        .refusal("an unknown data set", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = at.lease(Access::Read);
            request.data_set = "a data set that nobody has".into();
            text(provider.lease(&cx, request).await)
        })
        .refusal("a look at an unknown data set", ErrorKind::NotFound, |provider, cx, _| async move {
            let request = ObserveDataSet::new("a data set that nobody has".into());
            text(provider.observe(&cx, request).await)
        })
        .refusal("the return of no lease", ErrorKind::NotFound, |provider, cx, _| async move {
            let request = DataSetLeaseRef::new("a lease that nobody has".into());
            text(provider.release(&cx, request).await)
        })
}

async fn who_writes_is_alone(sandbox: &DataSetStoreSandbox) -> Check {
    let lease = lent(sandbox, Access::Write).await?;
    for access in [Access::Read, Access::Write] {
        let answer = ask(sandbox, access).await;
        refused("a lease of what somebody writes", answer, ErrorKind::Conflict)?;
    }
    give_back(sandbox, &lease).await?;
    let lease = lent(sandbox, Access::Read).await?;
    let answer = ask(sandbox, Access::Write).await;
    refused("a lease to write what somebody reads", answer, ErrorKind::Conflict)?;
    give_back(sandbox, &lease).await
}

async fn readers_share(sandbox: &DataSetStoreSandbox) -> Check {
    let (one, two) = (lent(sandbox, Access::Read).await?, lent(sandbox, Access::Read).await?);
    if one.lease == two.lease {
        return Err(broken("two leases", format!("both are {}", one.lease)));
    }
    give_back(sandbox, &one).await?;
    give_back(sandbox, &two).await
}

async fn what_is_given_back_can_be_lent_again(sandbox: &DataSetStoreSandbox) -> Check {
    for _ in 0..3 {
        let lease = lent(sandbox, Access::Write).await?;
        give_back(sandbox, &lease).await?;
        give_back(sandbox, &lease).await?;
    }
    Ok(())
}

async fn leases_are_told(sandbox: &DataSetStoreSandbox) -> Check {
    let lease = lent(sandbox, Access::Write).await?;
    let during = look_at(sandbox).await?;
    give_back(sandbox, &lease).await?;
    let after = look_at(sandbox).await?;
    if during.leases != [lease.lease.clone()] || after.leases.contains(&lease.lease) {
        let expected = format!("{} while it lasts, and not after", lease.lease);
        return Err(broken(expected, format!("{:?}, then {:?}", during.leases, after.leases)));
    }
    Ok(())
}

async fn raw_production_data_stays_there(sandbox: &DataSetStoreSandbox) -> Check {
    let Some(raw) = &sandbox.at.raw else { return Ok(()) };
    let mut request = sandbox.at.lease(Access::Read);
    request.data_set.clone_from(raw);
    let answer = sandbox.provider.lease(&sandbox.context(), request).await;
    refused("data of real people outside of production", answer, ErrorKind::Denied)
}

async fn ask(sandbox: &DataSetStoreSandbox, access: Access) -> Result<DataSetLease, ProviderError> {
    sandbox.provider.lease(&sandbox.context(), sandbox.at.lease(access)).await
}

async fn lent(sandbox: &DataSetStoreSandbox, access: Access) -> Result<DataSetLease, Broken> {
    ask(sandbox, access).await.map_err(|error| unanswered("a lease", &error))
}

async fn give_back(sandbox: &DataSetStoreSandbox, lease: &DataSetLease) -> Check {
    let request = DataSetLeaseRef::new(lease.lease.clone());
    let answer = sandbox.provider.release(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("the return of a lease", &error))
}

async fn look_at(sandbox: &DataSetStoreSandbox) -> Result<DataSetStatus, Broken> {
    let answer = sandbox.provider.observe(&sandbox.context(), sandbox.at.look()).await;
    answer.map_err(|error| unanswered("a look at the data set", &error))
}
