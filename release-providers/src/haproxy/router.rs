//! The router itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::model::{Digest, Target};
use release_core::port::Clock;

use super::runtime::Runtime;
use super::settings::HaproxySettings;
use crate::endpoints::{Endpoints, InstanceRouter};
use crate::routing::{
    Fences, Held, IN_FLIGHT, OBSERVE, OPEN, REFRESH, SET, Turns, blocking, whole, write_whole,
};
use crate::shares::Pool;
use crate::spi::{ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use crate::sync::lock;
use crate::{Context, Description, EffectClass, Fencing, ProviderError, Splitting};

/// A [`TrafficRouter`] that drives a HAProxy: see [the module](super). A clone is the same router.
#[derive(Debug, Clone)]
pub struct HaproxyRouter {
    inner: Arc<Inner>,
}

/// What calls share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: HaproxySettings,
    pub(super) endpoints: Arc<dyn Endpoints>,
    pub(super) runtime: Runtime,
    pub(super) fences: Fences,
    /// Held while the files are written that HAProxy reads when it starts.
    pub(super) saving: tokio::sync::Mutex<()>,
    /// Targets with a change that was sent and never heard of again.
    pub(super) doubtful: Mutex<BTreeSet<Target>>,
    turns: Turns,
    held: Mutex<Option<Held>>,
}

impl HaproxyRouter {
    /// Opens the state directory, and makes the files there that HAProxy reads when it starts. HAProxy need not run yet.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense, `Conflict` when another router has the directory, `Corrupt` for a
    /// file that cannot be read, `Unavailable` when the directory cannot be written.
    pub async fn open(
        settings: HaproxySettings,
        endpoints: Arc<dyn Endpoints>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        settings.check()?;
        let known = settings.clone();
        let (held, fences) = blocking(OPEN, move || {
            let held = Held::take(&known.state)?;
            make(&known.servers(), "1\n")?;
            for target in &known.targets {
                make(&target.map(&known.state), "")?;
                make(&target.rules(&known.state), "")?;
            }
            Ok((held, Fences::open(&known.state)?))
        })
        .await?;
        let runtime = Runtime::new(&settings.socket, Arc::clone(&clock), settings.patience());
        let targets = settings.targets.iter().map(|one| one.target.clone());
        let turns = Turns::new(clock, targets);
        let (saving, held) = (tokio::sync::Mutex::default(), Mutex::new(Some(held)));
        let doubtful = Mutex::default();
        let inner = Inner { settings, endpoints, runtime, fences, saving, doubtful, turns, held };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Refuses all further calls, finishes those that change something, and lets go of the state directory. HAProxy goes on
    /// as it is.
    pub async fn close(&self) {
        self.inner.turns.close().await;
        drop(lock(&self.inner.held).take());
    }
}

/// A file that has to be there, with what it begins with.
fn make(path: &Path, text: &str) -> Result<(), ProviderError> {
    if path.exists() { Ok(()) } else { write_whole(OPEN, path, text.as_bytes()) }
}

/// What the router says of itself.
pub(super) fn description() -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0));
    Description::new("haproxy", version, EffectClass::Idempotent)
        .able(|can| {
            can.traffic_router.splitting = Splitting::Shares;
            can.traffic_router.counts_served = true;
            can.traffic_router.counts_in_flight = true;
            can.traffic_router.fencing = Fencing::Epochs;
            can.traffic_router.header_routes = true;
            can.traffic_router.affinity = true;
            can.traffic_router.affinity_to_one = true;
            can.tracks = true;
        })
        .with_config_schema(schemars::schema_for!(HaproxySettings).to_value())
}

#[async_trait]
impl TrafficRouter for HaproxyRouter {
    fn describe(&self) -> Description {
        description()
    }

    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        let target = request.target.clone();
        let (inner, call) = (Arc::clone(&self.inner), cx.clone());
        let work = async move {
            let place = inner.place(SET, &request.target)?;
            inner.set(&call, &place, request).await
        };
        self.inner.turns.change(SET, cx, &target, work).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        let work = async {
            let place = self.inner.place(OBSERVE, &request.target)?;
            self.inner.observe(&place).await
        };
        self.inner.turns.look(OBSERVE, cx, &request.target, work).await
    }
}

#[async_trait]
impl InstanceRouter for HaproxyRouter {
    async fn refresh(&self, cx: &Context, target: &Target) -> Result<(), ProviderError> {
        let target = whole(target);
        let (inner, place) = (Arc::clone(&self.inner), self.inner.place(REFRESH, &target)?);
        let work = async move { inner.refresh(&place).await };
        self.inner.turns.change(REFRESH, cx, &target, work).await
    }

    async fn in_flight(
        &self,
        cx: &Context,
        target: &Target,
        digest: Digest,
    ) -> Result<u64, ProviderError> {
        let (pool, target) = (Pool { digest, track: target.track.clone() }, whole(target));
        let work = async {
            let place = self.inner.place(IN_FLIGHT, &target)?;
            self.inner.in_flight(&place, &pool).await
        };
        self.inner.turns.look(IN_FLIGHT, cx, &target, work).await
    }
}
