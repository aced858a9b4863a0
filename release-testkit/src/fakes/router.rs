//! A router whose requests are only counted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use release_core::model::{Digest, Target, TrafficRules};
use release_core::plan::Weight;
use release_providers::spi::{Flights, ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use release_providers::{
    Abilities, Context, Description, ErrorKind, Fencing, ProviderError, RouterAbilities, Splitting,
};

use super::script::Stage;
use super::traffic::{Place, Route};
use super::world::State;
use super::{Request, TrafficRouterCall, TrafficRouterOp, World, staged};

/// A [`TrafficRouter`] whose requests are only counted; [`World::send`] sends them.
///
/// It has a backend for what the world's deployer was asked to run.
#[derive(Debug)]
pub struct FakeRouter {
    world: World,
    stage: Stage<TrafficRouterCall>,
    abilities: Abilities,
}

staged!(FakeRouter, TrafficRouterCall, TrafficRouterOp);

impl FakeRouter {
    /// A router in `world` with every capability.
    pub fn of(world: &World) -> Self {
        let mut abilities = Abilities::default();
        abilities.traffic_router.splitting = Splitting::Shares;
        abilities.traffic_router.counts_served = true;
        abilities.traffic_router.counts_in_flight = true;
        abilities.traffic_router.fencing = Fencing::Epochs;
        abilities.traffic_router.header_routes = true;
        abilities.traffic_router.mirroring = true;
        abilities.traffic_router.mirror_matching = true;
        abilities.traffic_router.affinity = true;
        abilities.traffic_router.affinity_to_one = true;
        abilities.tracks = true;
        Self { world: world.clone(), stage: Stage::reached_by(world.access()), abilities }
    }

    /// The same with other abilities, which it declares.
    #[must_use]
    pub fn able(mut self, declare: impl FnOnce(&mut RouterAbilities)) -> Self {
        declare(&mut self.abilities.traffic_router);
        self
    }

    /// Refuses what has to be refused, and changes nothing.
    pub(crate) fn check(&self, request: &SetWeights) -> Result<(), ProviderError> {
        const SET: &str = "traffic.set_weights";
        let SetWeights { target, weights, rules, .. } = request;
        if let Some(problem) = Weight::problem(weights) {
            return Err(ProviderError::new(ErrorKind::Invalid, SET, problem));
        }
        let mut served = weights.iter().filter(|weight| weight.percent > 0);
        let able = &self.abilities.traffic_router;
        let refuse = |text| Err(ProviderError::new(ErrorKind::Unsupported, SET, text));
        if served.clone().count() > 1 && able.splitting == Splitting::Whole {
            return refuse("this router sends all traffic to one version");
        }
        if weights.iter().any(|weight| weight.track.is_some()) && !self.abilities.tracks {
            return refuse("this router keeps no instances of a version apart");
        }
        if let Some(rules) = rules {
            let headers = rules.headers.is_empty() || able.header_routes;
            let mirror = rules.mirror.as_ref().is_none_or(|mirror| {
                able.mirroring && (mirror.only.is_empty() || able.mirror_matching)
            });
            let affinity = rules.affinity.as_ref().is_none_or(|affinity| match affinity.only {
                Some(_) => able.affinity_to_one,
                None => able.affinity,
            });
            if !(headers && mirror && affinity) {
                return refuse("this router has no such rules");
            }
            if served.clone().next().is_none() {
                let text = "there are rules where nobody is served";
                return Err(ProviderError::new(ErrorKind::Invalid, SET, text));
            }
            if let Some(problem) = rules.problem() {
                return Err(ProviderError::new(ErrorKind::Invalid, SET, problem));
            }
        }
        let state = self.world.state();
        known(&state, SET, target)?;
        let wished = |weight: &&Weight| {
            let place = Target { track: weight.track.clone(), ..target.clone() };
            state.deployed(&place, weight.digest).map_or(0, |found| found.desired) > 0
        };
        let missing =
            served.find(|weight| !wished(weight)).map(|weight| weight.version.to_string());
        let missing = missing.or_else(|| {
            let lacks =
                |to: &Digest| state.deployed(target, *to).is_none_or(|found| found.desired == 0);
            rules.iter().flat_map(TrafficRules::targets).find(lacks).map(|to| to.short())
        });
        let Some(missing) = missing else { return Ok(()) };
        Err(ProviderError::new(ErrorKind::NotFound, SET, "there is no backend for this version")
            .with_context("version", missing))
    }

    /// Refuses writers that were taken over, if it is able to.
    pub(crate) fn fence(&self, cx: &Context) -> Result<(), ProviderError> {
        self.world.within_reach("traffic.set_weights")?;
        if self.abilities.traffic_router.fencing == Fencing::Epochs {
            return self.world.fence("traffic.set_weights", cx);
        }
        Ok(())
    }

    fn set_now(&self, cx: &Context, request: &SetWeights) -> Result<(), ProviderError> {
        self.fence(cx)?;
        self.check(request)?;
        let mut weights = request.weights.clone();
        weights.retain(|weight| weight.percent > 0);
        weights.sort();
        let mut state = self.world.state();
        let route = state.routes.entry(request.target.clone()).or_default();
        if route.weights != weights || route.rules != request.rules {
            *route = Route { weights, rules: request.rules.clone(), ..Route::default() };
        }
        Ok(())
    }

    fn observe_now(
        &self,
        operation: &'static str,
        target: &Target,
        lie: bool,
    ) -> Result<TrafficStatus, ProviderError> {
        self.world.within_reach(operation)?;
        let state = self.world.state();
        known(&state, operation, target)?;
        let Some(route) = state.routes.get(target) else {
            return Ok(TrafficStatus::new(target.clone(), Vec::new(), Vec::new(), 0));
        };
        let counts = self.abilities.traffic_router.counts_served;
        let served = if counts { route.served() } else { Vec::new() };
        let mut weights = route.weights.clone();
        if lie {
            for weight in &mut weights {
                weight.digest = super::script::other(weight.digest);
            }
        }
        let mut flights = BTreeMap::<Place, u64>::new();
        for place in state.flying(target) {
            *flights.entry(place.clone()).or_default() += 1;
        }
        let in_flight = flights.values().sum();
        let status = TrafficStatus::new(target.clone(), weights, served, in_flight);
        let flights =
            flights.into_iter().filter(|_| self.abilities.traffic_router.counts_in_flight);
        let flights = flights.map(|((digest, track), n)| Flights::new(digest, track, n));
        Ok(status.by(route.rules.clone()).flying(flights))
    }
}

/// A router knows the targets in which something was deployed.
fn known(state: &State, operation: &'static str, target: &Target) -> Result<(), ProviderError> {
    state.check_target(operation, target)?;
    if state.deployments.contains_key(target) {
        return Ok(());
    }
    Err(ProviderError::new(ErrorKind::NotFound, operation, "nothing was ever deployed here")
        .with_context("target", target))
}

#[async_trait]
impl TrafficRouter for FakeRouter {
    fn describe(&self) -> Description {
        super::describe("fake-router").able(|can| *can = self.abilities)
    }

    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        let call = TrafficRouterCall::SetWeights(request.clone());
        self.stage.play(cx, call, |_| self.set_now(cx, &request)).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        let target = request.target;
        let call = TrafficRouterCall::Observe(ObserveTraffic::new(target.clone()));
        let operation = call.operation();
        self.stage.play(cx, call, |lie| self.observe_now(operation, &target, lie)).await
    }
}
