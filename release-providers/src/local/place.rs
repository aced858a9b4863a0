//! Targets: each with its proxy, its shares and the versions in it.

use std::collections::BTreeMap;
use std::io::ErrorKind as ErrorKindIo;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use release_core::model::{Digest, Target, TrafficRules};
use release_core::plan::Weight;
use release_core::time::{Span, Timestamp};
use tokio::net::TcpListener;

use super::adopt::OPEN;
use super::deployment::Deployment;
use super::files::{lock, write_record};
use super::platform::Inner;
use super::proxy::{Proxy, listen};
use super::record::{FORMAT, TargetRecord};
use super::samples::{Death, Samples};
use super::supervisor;
use crate::{ErrorKind, ProviderError};

/// How long a target waits for the port that it had before.
const PORT_PATIENCE: Span = Span::secs(1);

/// A target: its proxy and the versions in it. A track has instances of its own, and the proxy of its service.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) target: Target,
    pub(super) proxy: Arc<Proxy>,
    /// Held while instances are sampled, so that no sample is noted behind a later one.
    pub(super) samples: tokio::sync::Mutex<Samples>,
    /// Whether shares were begun to be written down that are not in effect.
    pub(super) doubtful: AtomicBool,
    /// When the present shares took effect, known before any of that sampling has begun.
    changed: Mutex<Option<Timestamp>>,
    /// Who ended by itself since samples were noted last; nobody who ends waits for that.
    deaths: Mutex<Vec<(String, Death)>>,
    deployments: Mutex<BTreeMap<Digest, Arc<Deployment>>>,
}

impl Inner {
    pub(super) fn places(&self) -> Vec<Arc<Place>> {
        lock(&self.places).values().map(Arc::clone).collect()
    }

    pub(super) fn place(&self, target: &Target) -> Option<Arc<Place>> {
        lock(&self.places).get(target).map(Arc::clone)
    }

    /// The target, or the error that it is not known.
    pub(super) fn known_place(
        &self,
        operation: &'static str,
        target: &Target,
    ) -> Result<Arc<Place>, ProviderError> {
        self.place(target).ok_or_else(|| {
            let text = "nothing was ever deployed to this target; apply an artifact to it first";
            ProviderError::new(ErrorKind::NotFound, operation, text).with_context("target", target)
        })
    }

    /// The target, made if it is new. Only for whoever has its turn.
    pub(super) async fn ensure_place(
        self: &Arc<Self>,
        operation: &'static str,
        target: &Target,
    ) -> Result<Arc<Place>, ProviderError> {
        if let Some(place) = self.place(target) {
            return Ok(place);
        }
        if target.track.is_none() {
            return self.serve_place(operation, target).await;
        }
        let whole = whole(target);
        // Turns of a track and then of its service are never taken the other way round.
        let turn = self.wait_turn(&whole).await;
        let place = match self.place(&whole) {
            Some(place) => place,
            None => self.serve_place(operation, &whole).await?,
        };
        drop(turn);
        self.make_track(operation, target, &place).await
    }

    async fn serve_place(
        self: &Arc<Self>,
        operation: &'static str,
        target: &Target,
    ) -> Result<Arc<Place>, ProviderError> {
        let (place, listener) = self.make_place(operation, target).await?;
        supervisor::serve(self, &place, listener);
        Ok(place)
    }

    /// A part of a service, whose requests come by the proxy of the whole.
    async fn make_track(
        self: &Arc<Self>,
        operation: &'static str,
        target: &Target,
        whole: &Place,
    ) -> Result<Arc<Place>, ProviderError> {
        let place = self.insert_place(Samples::new(target.clone()), Arc::clone(&whole.proxy));
        if let Err(error) = self.write_target(operation, &place, Vec::new(), None).await {
            lock(&self.places).remove(target);
            return Err(error);
        }
        Ok(place)
    }

    /// Makes what an earlier platform left of a target, or of what nothing but a wish is left: first the whole, then tracks.
    pub(super) async fn reopen(
        self: &Arc<Self>,
        target: &Target,
        record: Option<TargetRecord>,
        samples: Option<Samples>,
    ) -> Result<Option<(Arc<Place>, TcpListener)>, ProviderError> {
        if target.track.is_none() {
            return match record {
                Some(record) => self.restore(record, samples).await.map(Some),
                None => self.make_place(OPEN, target).await.map(Some),
            };
        }
        let whole = self.known_place(OPEN, &whole(target))?;
        let samples = samples.unwrap_or_else(|| Samples::new(target.clone()));
        self.insert_place(samples, Arc::clone(&whole.proxy));
        Ok(None)
    }

    /// A target, and the tracks beside it.
    pub(super) fn with_tracks(&self, target: &Target) -> Vec<Arc<Place>> {
        let mut places = self.places();
        places.retain(|place| whole(&place.target) == *target);
        places
    }

    async fn make_place(
        self: &Arc<Self>,
        operation: &'static str,
        target: &Target,
    ) -> Result<(Arc<Place>, TcpListener), ProviderError> {
        let fixed = self.config.ports.get(target).copied();
        let (listener, address) = bind(operation, self, target, fixed, 0).await?;
        let proxy = Proxy::new(address, self.wiring.clone(), Vec::new(), None);
        let place = self.insert_place(Samples::new(target.clone()), proxy);
        if let Err(error) = self.write_target(operation, &place, Vec::new(), None).await {
            lock(&self.places).remove(target);
            return Err(error);
        }
        Ok((place, listener))
    }

    async fn restore(
        self: &Arc<Self>,
        record: TargetRecord,
        samples: Option<Samples>,
    ) -> Result<(Arc<Place>, TcpListener), ProviderError> {
        let fixed = self.config.ports.get(&record.target).copied();
        let (listener, address) = bind(OPEN, self, &record.target, fixed, record.port).await?;
        let moved = address.port() != record.port;
        let samples = samples.unwrap_or_else(|| Samples::new(record.target));
        let proxy = Proxy::new(address, self.wiring.clone(), record.weights, record.rules);
        let place = self.insert_place(samples, proxy);
        if moved {
            let (target, from) = (&place.target, record.port);
            tracing::warn!(%target, from, to = %address, "the target's port was taken; it moved");
            let (weights, rules) = (place.proxy.weights(), place.proxy.rules());
            self.write_target(OPEN, &place, weights, rules).await?;
        }
        Ok((place, listener))
    }

    fn insert_place(&self, samples: Samples, proxy: Arc<Proxy>) -> Arc<Place> {
        let target = samples.target.clone();
        let place = Arc::new(Place {
            target: target.clone(),
            proxy,
            doubtful: AtomicBool::new(false),
            changed: Mutex::new(samples.changed()),
            samples: tokio::sync::Mutex::new(samples),
            deaths: Mutex::default(),
            deployments: Mutex::default(),
        });
        lock(&self.places).insert(target, Arc::clone(&place));
        place
    }

    pub(super) async fn write_target(
        self: &Arc<Self>,
        operation: &'static str,
        place: &Place,
        weights: Vec<Weight>,
        rules: Option<TrafficRules>,
    ) -> Result<(), ProviderError> {
        let path = self.paths.target(&place.target);
        let (target, port) = (place.target.clone(), place.proxy.address.port());
        let record = TargetRecord { format: FORMAT, target, port, weights, rules };
        self.blocking(operation, move || write_record(operation, &path, &record)).await
    }
}

/// The target of which a track is a part.
pub(super) fn whole(target: &Target) -> Target {
    Target { track: None, ..target.clone() }
}

impl Place {
    pub(super) fn changed(&self) -> Option<Timestamp> {
        *lock(&self.changed)
    }

    pub(super) fn shares_changed(&self, at: Timestamp) {
        *lock(&self.changed) = Some(at);
    }

    /// Takes note of an instance that was ready and ended by itself, before it is seen to be gone.
    pub(super) fn died(&self, instance: String, death: Death) {
        lock(&self.deaths).push((instance, death));
    }

    pub(super) fn take_deaths(&self) -> Vec<(String, Death)> {
        std::mem::take(&mut *lock(&self.deaths))
    }

    pub(super) fn deployment(&self, digest: Digest) -> Option<Arc<Deployment>> {
        lock(&self.deployments).get(&digest).map(Arc::clone)
    }

    pub(super) fn deployments(&self) -> Vec<Arc<Deployment>> {
        lock(&self.deployments).values().map(Arc::clone).collect()
    }

    pub(super) fn insert(&self, deployment: Arc<Deployment>) {
        lock(&self.deployments).insert(deployment.digest, deployment);
    }
}

/// Opens a target's listener: on its fixed port or not at all, else on the port it had before if
/// that is free, else on any.
async fn bind(
    operation: &'static str,
    inner: &Inner,
    target: &Target,
    fixed: Option<u16>,
    before: u16,
) -> Result<(TcpListener, SocketAddr), ProviderError> {
    let clock = &inner.config.clock;
    let patience = clock.now().plus(PORT_PATIENCE);
    let error = loop {
        match listen(fixed.unwrap_or(before)).await {
            Ok(bound) => return Ok(bound),
            // A process that is just being started somewhere may share the listener of an earlier
            // platform until it executes.
            Err(e) if e.kind() == ErrorKindIo::AddrInUse && clock.now() < patience => {}
            Err(error) => break error,
        }
        clock.sleep_until(clock.now().plus(Span::millis(20))).await;
    };
    if let Some(port) = fixed {
        let text = "the target's fixed port cannot be listened on; end what listens there, or give \
                    the target another port";
        return Err(ProviderError::new(ErrorKind::Conflict, operation, text)
            .with_context("address", SocketAddr::from(([127, 0, 0, 1], port)))
            .with_context("target", target)
            .with_source(error));
    }
    listen(0).await.map_err(|e| {
        ProviderError::new(ErrorKind::Unavailable, operation, "no free port on the loopback")
            .with_context("target", target)
            .with_source(e)
    })
}
