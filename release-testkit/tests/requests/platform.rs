//! The providers of a world of single requests.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use release_core::model::{Digest, Finite, Target};
use release_core::port::{Clock as _, EffectCertainty, Measurement};
use release_core::time::Span;
use release_providers::spi::{
    ApplyRequest, CheckHealth, Deployer, DeploymentPhase, DeploymentStatus, Flights, HealthProbe,
    HealthReport, InstanceHealth, MeasureRequest, MetricsSource, ObserveDeployment, ObserveTraffic,
    SetWeights, TrafficRouter, TrafficStatus,
};
use release_providers::{Context, Description, EffectClass, ErrorKind, ProviderError, Splitting};
use release_testkit::{VirtualClock, fixtures};

use super::model::{Lost, Place, Table};
use super::world::World;

/// How long a call is under way, and how long its answer, at most.
const LATE: Span = Span::millis(100);

/// All providers of one world. Every call takes a little time, and so does its answer.
#[derive(Debug, Clone)]
pub(super) struct Platform {
    world: Arc<Mutex<World>>,
    clock: Arc<VirtualClock>,
    counts_in_flight: bool,
}

fn place_of(target: &Target, digest: Digest) -> Place {
    (digest, target.track.clone())
}

impl Platform {
    pub(super) fn new(world: World, clock: &Arc<VirtualClock>, counts_in_flight: bool) -> Self {
        Self { world: Arc::new(Mutex::new(world)), clock: Arc::clone(clock), counts_in_flight }
    }

    /// The world as it is now.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap();
        world.catch_up(self.clock.now());
        world
    }

    async fn passes(&self) {
        let late = self.world().luck.span(Span::ZERO, LATE);
        self.clock.sleep_until(self.clock.now().plus(late)).await;
    }

    async fn act<T: Send>(
        &self,
        cx: &Context,
        operation: &'static str,
        act: impl FnOnce(&mut World) -> T + Send,
    ) -> Result<T, ProviderError> {
        let over = |kind, text| {
            let error = ProviderError::new(kind, operation, text);
            Err(error.with_effect(EffectCertainty::NotApplied))
        };
        self.passes().await;
        if cx.cancellation.is_cancelled() {
            return over(ErrorKind::Cancelled, "cancelled on its way");
        }
        if self.clock.now() >= cx.deadline {
            return over(ErrorKind::Timeout, "came too late");
        }
        let done = act(&mut self.world());
        self.passes().await;
        Ok(done)
    }
}

fn described(name: &str) -> Description {
    let version = fixtures::version("1.0.0");
    Description::new(name, version, EffectClass::Idempotent).able(|can| can.tracks = true)
}

#[async_trait]
impl TrafficRouter for Platform {
    fn describe(&self) -> Description {
        described("balancer").able(|can| {
            can.traffic_router.splitting = Splitting::Shares;
            can.traffic_router.header_routes = true;
            can.traffic_router.mirroring = true;
            can.traffic_router.counts_in_flight = self.counts_in_flight;
        })
    }

    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        const SET: &str = "traffic.set_weights";
        let lost = || {
            let error = ProviderError::new(ErrorKind::Unavailable, SET, "the answer was lost");
            Err(error.with_effect(EffectCertainty::Unknown))
        };
        let mut weights = request.weights;
        weights.retain(|weight| weight.percent > 0);
        let table = Table { weights, rules: request.rules };
        let set = |world: &mut World| {
            let fault = world.loses(&table);
            match fault {
                None | Some(Lost::Answer) => world.set(table),
                Some(Lost::Following) => world.store(table),
                Some(Lost::Call | Lost::Setting) => {}
            }
            if matches!(fault, Some(Lost::Call | Lost::Answer)) { lost() } else { Ok(()) }
        };
        self.act(cx, SET, set).await?
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        const OBSERVE: &str = "traffic.observe";
        let look = |world: &mut World| {
            if world.luck.happens(world.manner.loses / 4) {
                let text = "nobody answers";
                return Err(ProviderError::new(ErrorKind::Unavailable, OBSERVE, text));
            }
            let Table { weights, rules } = world.told().clone();
            let flights = world.flights();
            let all = flights.values().sum();
            let flights = flights.into_iter().filter(|_| self.counts_in_flight);
            let flights = flights.map(|((digest, track), n)| Flights::new(digest, track, n));
            let status = TrafficStatus::new(request.target, weights, Vec::new(), all);
            Ok(status.by(rules).flying(flights))
        };
        self.act(cx, OBSERVE, look).await?
    }
}

#[async_trait]
impl Deployer for Platform {
    fn describe(&self) -> Description {
        described("platform")
    }

    async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError> {
        let place = place_of(&request.target, request.artifact.digest());
        self.act(cx, "deploy.apply", |world| world.wish(&place, request.replicas)).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        let place = place_of(&request.target, request.digest);
        let look = |world: &mut World| world.running(&place);
        let (desired, running, stopping) = self.act(cx, "deploy.observe", look).await?;
        let settled = !stopping && running == desired.unwrap_or_default();
        let phase = if settled { DeploymentPhase::Settled } else { DeploymentPhase::Progressing };
        Ok(DeploymentStatus::new(request.target, request.digest, desired, running, phase))
    }
}

#[async_trait]
impl HealthProbe for Platform {
    fn describe(&self) -> Description {
        described("probe")
    }

    async fn check(
        &self,
        cx: &Context,
        request: CheckHealth,
    ) -> Result<HealthReport, ProviderError> {
        let place = place_of(&request.target, request.digest);
        let look = |world: &mut World| (world.health(&place), self.clock.now());
        let (health, now) = self.act(cx, "health.check", look).await?;
        let instance = |(index, ready): (usize, bool)| {
            let detail = if ready { "200" } else { "503" }.to_owned();
            InstanceHealth::new(format!("api-{index}"), ready, detail)
        };
        let instances = health.into_iter().map(instance).collect();
        Ok(HealthReport::new(request.target, request.digest, instances, now))
    }
}

/// Tells what instances answered, whoever sent it there.
#[async_trait]
impl MetricsSource for Platform {
    fn describe(&self) -> Description {
        described("metrics")
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let place = place_of(&request.target, request.digest);
        let look = |world: &mut World| world.measured(&place, request.since);
        let (bad, all) = self.act(cx, "metrics.measure", look).await?;
        if all == 0 {
            let reason = "no request was answered in this window".to_owned();
            return Ok(Measurement::NoData { reason });
        }
        let [numerator, denominator] = [bad, all].map(|count| Finite::new(count.into()).unwrap());
        Ok(Measurement::Ratio { digest: request.digest, numerator, denominator })
    }
}
