//! The suite of [`DataSetStore`].

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::model::EnvironmentId;
use release_core::time::Span;
use release_providers::spi::{
    Access, Classification, DataSetLease, DataSetLeaseRef, DataSetStatus, DataSetStore,
    LeaseDataSet, ObserveDataSet,
};
use release_providers::{Context, ErrorKind, ProviderError};

use crate::conformance::any::{ProviderSandbox, at_once, keyed, one_wins, outcome, suite, text};
use crate::conformance::{Broken, Check, Sandbox as _, broken, case, refused, unanswered};

/// A store of data sets, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type DataSetStoreSandbox = ProviderSandbox<dyn DataSetStore, DataSetPlace>;

const TTL: Span = Span::secs(600);
/// As long as a lease lasts whose end is waited for.
const BRIEF: Span = Span::secs(2);
/// How many want the same at once.
const CALLERS: usize = 8;

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
        self.lease_for(access, TTL)
    }

    fn lease_for(&self, access: Access, ttl: Span) -> LeaseDataSet {
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
        case!(
            readers_share,
            "any number may read it together, and each is told until it gives it back"
        ),
        case!(
            what_is_given_back_can_be_lent_again,
            "what was given back is lent to the next, who has it then, whoever gives it back late"
        ),
        case!(
            who_writes_is_answered_again,
            "whoever may write is told so again under its key, and one of many who want to gets it"
        ),
        case!(
            leases_end_when_they_say,
            "a lease lasts as long as was asked for, or less; never longer"
        ),
        case!(
            leases_are_over_at_their_end,
            "a lease that ended counts no more, is not handed out again, and the next one gets the data set",
            |sandbox: &DataSetStoreSandbox| sandbox.common().stands_still()
        ),
        case!(locations_hold_no_credentials, "where data is, is a URL without credentials"),
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
        .refusal("a lease for no time", ErrorKind::Invalid, |provider, cx, at| async move {
            text(provider.lease(&cx, at.lease_for(Access::Read, Span::ZERO)).await)
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
    let wanted = BTreeSet::from([one.lease.clone(), two.lease.clone()]);
    let leases = look_at(sandbox).await?.leases;
    if leases.len() != wanted.len() || !leases.iter().all(|lease| wanted.contains(lease)) {
        return Err(broken(format!("the leases {wanted:?}"), format!("{leases:?}")));
    }
    give_back(sandbox, &one).await?;
    // Who still reads is not disturbed by who does no more.
    lent_to(sandbox, &two).await?;
    let answer = ask(sandbox, Access::Write).await;
    refused("a lease to write what somebody still reads", answer, ErrorKind::Conflict)?;
    give_back(sandbox, &two).await
}

async fn what_is_given_back_can_be_lent_again(sandbox: &DataSetStoreSandbox) -> Check {
    let mut before: Option<DataSetLease> = None;
    for _ in 0..3 {
        let lease = lent(sandbox, Access::Write).await?;
        if let Some(before) = &before {
            // Late, and of somebody who has it no more.
            give_back(sandbox, before).await?;
        }
        lent_to(sandbox, &lease).await?;
        give_back(sandbox, &lease).await?;
        give_back(sandbox, &lease).await?;
        let lasting = look_at(sandbox).await?.leases;
        if !lasting.is_empty() {
            return Err(broken("no lease after it was given back", format!("{lasting:?}")));
        }
        before = Some(lease);
    }
    Ok(())
}

async fn raw_production_data_stays_there(sandbox: &DataSetStoreSandbox) -> Check {
    let Some(raw) = &sandbox.at.raw else { return Ok(()) };
    let mut request = sandbox.at.lease(Access::Read);
    request.data_set.clone_from(raw);
    let answer = sandbox.provider.lease(&sandbox.context(), request).await;
    refused("data of real people outside of production", answer, ErrorKind::Denied)?;
    let request = ObserveDataSet::new(raw.clone());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    let status = answer.map_err(|error| unanswered("a look at data of real people", &error))?;
    if status.classification == Classification::Production && status.masked_by.is_none() {
        return Ok(());
    }
    Err(broken("data of production that nobody masked", format!("{status:?}")))
}

async fn who_writes_is_answered_again(sandbox: &DataSetStoreSandbox) -> Check {
    let (cx, request) = (sandbox.context(), sandbox.at.lease(Access::Write));
    let call = |cx: Context| {
        let (provider, request) = (Arc::clone(&sandbox.provider), request.clone());
        async move { provider.lease(&cx, request).await }
    };
    let lease = call(cx.clone()).await.map_err(|error| unanswered("a lease to write", &error))?;
    let mut answers = at_once((0..CALLERS).map(|_| call(cx.clone()))).await?;
    // Whoever loses a race may be told to come again, and then nobody is in the way.
    answers.retain(|answer| {
        answer.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::Conflict)
    });
    answers.push(call(cx.clone()).await);
    for again in answers {
        let again = again.map_err(|error| unanswered("a lease to write, again", &error))?;
        if again != lease {
            return Err(broken(format!("{lease:?} again"), format!("{again:?}")));
        }
    }
    lent_to(sandbox, &lease).await?;
    give_back(sandbox, &lease).await?;
    // Under the key of what was given back there is another one.
    let next =
        call(cx).await.map_err(|error| unanswered("a lease under a key once more", &error))?;
    if next.lease == lease.lease {
        return Err(broken("another lease than was given back", format!("{next:?}")));
    }
    lent_to(sandbox, &next).await?;
    give_back(sandbox, &next).await?;
    let answers = at_once((0..CALLERS).map(|_| call(sandbox.context()))).await?;
    let lease = one_wins("a lease to write", answers)?;
    lent_to(sandbox, &lease).await?;
    give_back(sandbox, &lease).await
}

async fn leases_end_when_they_say(sandbox: &DataSetStoreSandbox) -> Check {
    let from = sandbox.now();
    let lease = lent(sandbox, Access::Read).await?;
    let latest = sandbox.now().plus(TTL);
    if from < lease.expires && lease.expires <= latest {
        return Ok(());
    }
    let expected = format!("an end after {from} and not after {latest}");
    Err(broken(expected, format!("it ends at {}", lease.expires)))
}

async fn leases_are_over_at_their_end(sandbox: &DataSetStoreSandbox) -> Check {
    let (cx, request) = (sandbox.context(), sandbox.at.lease_for(Access::Write, BRIEF));
    let answer = sandbox.provider.lease(&cx, request.clone()).await;
    let lease = answer.map_err(|error| unanswered("a lease to write", &error))?;
    sandbox.common().pass(lease.expires.since(sandbox.now())).await?;
    let next = lent(sandbox, Access::Write).await?;
    lent_to(sandbox, &next).await?;
    let again = sandbox.provider.lease(&cx, request).await;
    refused(
        "what ended and another has by now, asked for under its key,",
        again,
        ErrorKind::Conflict,
    )?;
    // Whoever gives it back all the same has what was wanted.
    give_back(sandbox, &lease).await?;
    lent_to(sandbox, &next).await
}

async fn locations_hold_no_credentials(sandbox: &DataSetStoreSandbox) -> Check {
    for access in [Access::Read, Access::Write] {
        let lease = lent(sandbox, access).await?;
        give_back(sandbox, &lease).await?;
        let (scheme, rest) = lease.location.split_once(':').unwrap_or_default();
        let authority = rest.strip_prefix("//").unwrap_or_default();
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if scheme.is_empty() || rest.is_empty() || authority.contains('@') {
            // What it is may be a secret.
            return Err(broken("a URL without credentials", "another location"));
        }
    }
    Ok(())
}

/// Demands that just this lease of the data set lasts.
async fn lent_to(sandbox: &DataSetStoreSandbox, lease: &DataSetLease) -> Check {
    let leases = look_at(sandbox).await?.leases;
    if leases == [lease.lease.clone()] {
        return Ok(());
    }
    Err(broken(format!("the lease {} alone", lease.lease), format!("{leases:?}")))
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
