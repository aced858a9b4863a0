//! The router itself.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::model::{Digest, Target};
use release_core::port::Clock;
use serde_json::Value;

use super::admin::Admin;
use super::documents::{self, Shares};
use super::settings::{EnvoySettings, routes_file};
use super::table;
use crate::endpoints::{Endpoints, InstanceRouter};
use crate::routing::{
    Fences, Held, IN_FLIGHT, OBSERVE, OPEN, REFRESH, SET, Turns, blocking, whole, write_whole,
};
use crate::shares::Pool;
use crate::spi::{ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use crate::sync::lock;
use crate::{Context, Description, EffectClass, Fencing, ProviderError, Splitting};

/// A [`TrafficRouter`] that drives an Envoy: see [the module](super). A clone is the same router.
#[derive(Debug, Clone)]
pub struct EnvoyRouter {
    inner: Arc<Inner>,
}

/// What calls share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: EnvoySettings,
    pub(super) endpoints: Arc<dyn Endpoints>,
    pub(super) admin: Admin,
    pub(super) fences: Fences,
    /// Held while the list of all clusters is changed.
    pub(super) listing: tokio::sync::Mutex<()>,
    pub(super) turns: Turns,
    held: Mutex<Option<Held>>,
}

impl EnvoyRouter {
    /// Opens the directory, and makes the files there that Envoy reads when it starts. Envoy need not run yet.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense, `Conflict` when another router has the directory, `Corrupt` for a
    /// file that cannot be read, `Unavailable` when the directory cannot be written.
    pub async fn open(
        settings: EnvoySettings,
        endpoints: Arc<dyn Endpoints>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        settings.check()?;
        let known = settings.clone();
        let (held, fences) = blocking(OPEN, move || {
            let held = Held::take(&known.directory)?;
            make(&known.clusters(), &documents::clusters(&known.directory, &[]))?;
            for target in &known.targets {
                let path = known.directory.join(routes_file(&target.name()));
                make(&path, &table::routes(target, &Shares::default()))?;
            }
            Ok((held, Fences::open(&known.directory)?))
        })
        .await?;
        let admin = Admin::new(settings.admin, Arc::clone(&clock), settings.patience());
        let targets = settings.targets.iter().map(|one| one.target.clone());
        let turns = Turns::new(clock, targets);
        let (listing, held) = (tokio::sync::Mutex::default(), Mutex::new(Some(held)));
        let inner = Inner { settings, endpoints, admin, fences, listing, turns, held };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Refuses all further calls, finishes those that change something, and lets go of the directory. Envoy goes on
    /// as it is.
    pub async fn close(&self) {
        self.inner.turns.close().await;
        drop(lock(&self.inner.held).take());
    }
}

/// A file that has to be there, with what it begins with.
fn make(path: &Path, document: &Value) -> Result<(), ProviderError> {
    if path.exists() { Ok(()) } else { write_whole(OPEN, path, document.to_string().as_bytes()) }
}

/// What the router says of itself.
pub(super) fn description() -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0));
    Description::new("envoy", version, EffectClass::Idempotent)
        .able(|can| {
            can.traffic_router.splitting = Splitting::Shares;
            can.traffic_router.counts_served = true;
            can.traffic_router.counts_in_flight = true;
            can.traffic_router.fencing = Fencing::Epochs;
            can.traffic_router.header_routes = true;
            can.traffic_router.mirroring = true;
            can.traffic_router.mirror_matching = true;
            can.traffic_router.affinity = true;
            can.traffic_router.affinity_to_one = true;
            can.tracks = true;
        })
        .with_config_schema(schemars::schema_for!(EnvoySettings).to_value())
}

#[async_trait]
impl TrafficRouter for EnvoyRouter {
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
impl InstanceRouter for EnvoyRouter {
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
