//! Where the instances of a version are, for routers that have to be told.
//!
//! A router such as `HaproxyRouter` or `EnvoyRouter` divides traffic between versions; [`Endpoints`] tells it the
//! addresses of their instances. Instances come and go while shares stay: [`follow`] has the router look again at every
//! change. Before it stops a version the registry waits until that has answered its last request; [`drained`] does so for hosts
//! that stop instances themselves. Of a version that gives up some of its instances and keeps its share, whoever runs them chooses
//! which: it stops none before those who [follow](InstanceChanges) send nothing there any more, and what was sent is answered.

mod changes;

#[cfg(feature = "local")]
pub(crate) use changes::Followers;
pub use changes::InstanceChanges;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::model::{Digest, Principal, Target};
use release_core::port::{Clock, EffectCertainty};
use release_core::time::Span;
#[cfg(any(feature = "haproxy", feature = "envoy"))]
use tokio::task::JoinSet;

#[cfg(any(feature = "haproxy", feature = "envoy"))]
use crate::Description;
use crate::spi::TrafficRouter;
#[cfg(any(feature = "haproxy", feature = "envoy"))]
use crate::spi::{ObserveTraffic, SetWeights, TrafficStatus};
use crate::sync::lock;
use crate::{Context, ErrorKind, ProviderError};

const OF: &str = "endpoints.of";
const DRAINED: &str = "traffic.drained";
/// How long one look at a target's instances may take.
const PATIENCE: Span = Span::secs(30);
/// When to try again what could not be done.
const AGAIN: Span = Span::secs(1);
/// The first pause between two looks whether a version is drained, and the longest.
const PAUSES: (Span, Span) = (Span::millis(10), Span::millis(200));

/// Tells where the instances of a version are.
#[async_trait]
pub trait Endpoints: fmt::Debug + Send + Sync + 'static {
    /// The addresses of the instances that can take requests now; none while none of them is ready.
    ///
    /// # Errors
    /// `NotFound` for a version that has no instances in this target and is not about to have any, `Unavailable` when
    /// it cannot look.
    async fn of(&self, target: &Target, digest: Digest) -> Result<Vec<SocketAddr>, ProviderError>;
}

/// A table of addresses that only changes when it is told to.
///
/// ```
/// use release_providers::endpoints::FixedEndpoints;
/// # use release_providers::model::{Digest, Target};
/// # fn example(target: Target, digest: Digest) {
/// let endpoints = FixedEndpoints::new();
/// endpoints.set(target, digest, ["10.0.0.7:8080".parse().expect("a literal that is an address")]);
/// # }
/// ```
#[derive(Debug, Default)]
pub struct FixedEndpoints {
    table: Mutex<BTreeMap<(Target, Digest), Vec<SocketAddr>>>,
}

impl FixedEndpoints {
    /// A table of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says where all instances of a version are from now on.
    pub fn set(
        &self,
        target: Target,
        digest: Digest,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) {
        lock(&self.table).insert((target, digest), addresses.into_iter().collect());
    }

    /// Forgets a version.
    pub fn remove(&self, target: &Target, digest: Digest) {
        lock(&self.table).remove(&(target.clone(), digest));
    }
}

#[async_trait]
impl Endpoints for FixedEndpoints {
    async fn of(&self, target: &Target, digest: Digest) -> Result<Vec<SocketAddr>, ProviderError> {
        let found = lock(&self.table).get(&(target.clone(), digest)).cloned();
        found.ok_or_else(|| {
            let text = "the table has no address of this version; set them first";
            ProviderError::new(ErrorKind::NotFound, OF, text)
                .with_context("target", target)
                .with_context("digest", digest)
        })
    }
}

/// A router whose server has to be told where instances are.
#[async_trait]
pub trait InstanceRouter: TrafficRouter {
    /// Tells the server where the instances of all versions with a share are now. Shares, and what was counted, stay.
    ///
    /// A version of which no instance is left keeps the addresses that it had, so that nobody is sent away who might
    /// still be served; that is an error.
    ///
    /// # Errors
    /// As [`TrafficRouter::observe`], and those of [`Endpoints::of`]; the other versions have been seen to.
    async fn refresh(&self, cx: &Context, target: &Target) -> Result<(), ProviderError>;

    /// Requests of one version that have begun and are not finished, by the server's own count.
    ///
    /// # Errors
    /// As [`TrafficRouter::observe`].
    async fn in_flight(
        &self,
        cx: &Context,
        target: &Target,
        digest: Digest,
    ) -> Result<u64, ProviderError>;
}

/// Waits until no request of a version is under way, which is final for one without a share. Two looks in a row have to
/// say so: a server of many threads may have begun one just before it took over the shares.
///
/// # Errors
/// Those of [`InstanceRouter::in_flight`]; `Timeout` and `Cancelled` when the caller's patience ends first.
pub async fn drained(
    router: &dyn InstanceRouter,
    clock: &dyn Clock,
    cx: &Context,
    target: &Target,
    digest: Digest,
) -> Result<(), ProviderError> {
    let work = async {
        let (mut pause, longest) = PAUSES;
        let mut quiet = 0;
        loop {
            let under_way = router.in_flight(cx, target, digest).await?;
            quiet = if under_way == 0 { quiet + 1 } else { 0 };
            if quiet > 1 {
                return Ok(());
            }
            clock.sleep_until(clock.now().plus(pause)).await;
            pause = Span::from(pause.as_duration().saturating_mul(2)).min(longest);
        }
    };
    cx.within(clock, DRAINED, EffectCertainty::NotApplied, work).await
}

/// Refreshes all `targets` now and whenever `changes` counts one, for example those of `LocalPlatform::instance_changes`,
/// and tells whoever stops instances how far it is. Tries again after a second what could not be done, and ends once nobody can
/// change anything any more. Give it to a `JoinSet`, and abort it when the router is closed.
pub async fn follow(
    router: Arc<dyn InstanceRouter>,
    clock: Arc<dyn Clock>,
    principal: Principal,
    targets: Vec<Target>,
    changes: impl Into<InstanceChanges>,
) {
    let mut follower = changes.into().begin(&targets);
    loop {
        let count = follower.now();
        let mut failed = false;
        for target in &targets {
            let now = clock.now();
            let key = format!("endpoints/{target}/{}", now.as_micros());
            let cx = Context::new(key, now.plus(PATIENCE), principal.clone());
            match router.refresh(&cx, target).await {
                Ok(()) => follower.has_seen(target, count),
                Err(error) => {
                    tracing::warn!(%target, %error, "the router does not know where instances are now");
                    failed = true;
                }
            }
        }
        if failed {
            let again = clock.sleep_until(clock.now().plus(AGAIN));
            tokio::select! {
                () = again => {}
                more = follower.changed() => if !more { return },
            }
        } else if !follower.changed().await {
            return;
        }
    }
}

/// By what the routers of a kind follow instances.
#[cfg(any(feature = "haproxy", feature = "envoy"))]
#[derive(Debug, Clone)]
pub(crate) struct Following {
    pub(crate) changes: InstanceChanges,
    pub(crate) principal: Principal,
}

#[cfg(any(feature = "haproxy", feature = "envoy"))]
impl Following {
    /// A router that follows instances as long as it is there, if it is to.
    pub(crate) fn by(
        following: Option<&Self>,
        router: Arc<dyn InstanceRouter>,
        clock: Arc<dyn Clock>,
        targets: Vec<Target>,
    ) -> Arc<dyn TrafficRouter> {
        let Some(Self { changes, principal }) = following.cloned() else { return router };
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(Arc::clone(&router), clock, principal, targets, changes));
        Arc::new(Followed { router, _tasks: tasks })
    }
}

/// A router, and the task that tells it of instances, which ends with it.
#[cfg(any(feature = "haproxy", feature = "envoy"))]
#[derive(Debug)]
struct Followed {
    router: Arc<dyn InstanceRouter>,
    _tasks: JoinSet<()>,
}

#[cfg(any(feature = "haproxy", feature = "envoy"))]
#[async_trait]
impl TrafficRouter for Followed {
    fn describe(&self) -> Description {
        self.router.describe()
    }

    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        self.router.set_weights(cx, request).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        self.router.observe(cx, request).await
    }
}
