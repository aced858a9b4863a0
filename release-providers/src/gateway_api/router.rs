//! The router itself.

use std::sync::Arc;

use async_trait::async_trait;
use release_core::plan::Weight;
use release_core::port::{Clock, EffectCertainty};
use release_core::time::Span;

use super::api::{Route, Server};
use super::document::{self, Note, Shares};
use super::settings::{GatewaySettings, GatewayTarget};
use super::status::Standing;
use crate::routing::{OBSERVE, SET, Turns};
use crate::shares::wanted;
use crate::spi::{ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use crate::{Context, Description, EffectClass, ErrorKind, Fencing, ProviderError, Splitting};

/// The first pause between two looks whether a change is in effect, and the longest.
const PAUSES: (Span, Span) = (Span::millis(10), Span::secs(1));
/// What is wrong with a route that is served and cannot be.
const BROKEN: &str = "the shares are in effect, and a gateway does not find all of their services: requests to those fail; \
                      make them, or set other shares";
/// How often a change is tried that somebody else's comes before.
const TRIES: u32 = 5;

/// A [`TrafficRouter`] over `HTTPRoute`s: see [the module](super). A clone is the same router.
#[derive(Debug, Clone)]
pub struct GatewayRouter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: GatewaySettings,
    server: Server,
    turns: Turns,
}

impl GatewayRouter {
    /// A router over the routes of `settings`; nobody is asked yet.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense.
    pub fn open(
        settings: GatewaySettings,
        client: kube::Client,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        settings.check()?;
        let server = Server::new(client, Arc::clone(&clock), settings.patience());
        let turns = Turns::new(clock, settings.targets.iter().map(|one| one.target.clone()));
        Ok(Self { inner: Arc::new(Inner { settings, server, turns }) })
    }

    /// Refuses all further calls, and finishes those that change something. Routes stay as they are.
    pub async fn close(&self) {
        self.inner.turns.close().await;
    }
}

/// What a router says of itself, with the experimental channel of the API or without it.
pub(super) fn description(session_persistence: bool) -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0));
    Description::new("gateway-api", version, EffectClass::Idempotent)
        .able(|can| {
            can.traffic_router.splitting = Splitting::Shares;
            can.traffic_router.fencing = Fencing::Epochs;
            can.traffic_router.header_routes = true;
            can.traffic_router.mirroring = true;
            can.traffic_router.mirror_matching = true;
            can.traffic_router.affinity = session_persistence;
            can.tracks = true;
        })
        .with_config_schema(schemars::schema_for!(GatewaySettings).to_value())
}

#[async_trait]
impl TrafficRouter for GatewayRouter {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        let target = request.target.clone();
        let (inner, call) = (Arc::clone(&self.inner), cx.clone());
        let work = async move { Box::pin(inner.set(&call, &request)).await };
        self.inner.turns.change(SET, cx, &target, work).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        let work = Box::pin(self.inner.observe(&request));
        self.inner.turns.look(OBSERVE, cx, &request.target, work).await
    }
}

impl Inner {
    fn describe(&self) -> Description {
        description(self.settings.session_persistence)
    }

    fn place(
        &self,
        operation: &'static str,
        target: &release_core::model::Target,
    ) -> Result<&GatewayTarget, ProviderError> {
        self.settings.targets.iter().find(|one| one.target == *target).ok_or_else(|| {
            let text = "the router has no such target; add it to its settings";
            ProviderError::new(ErrorKind::NotFound, operation, text).with_context("target", target)
        })
    }

    async fn observe(&self, request: &ObserveTraffic) -> Result<TrafficStatus, ProviderError> {
        let place = self.place(OBSERVE, &request.target)?;
        let route = self.server.route(OBSERVE, place).await?;
        if route.is_noted() && !route.is_as_noted(place) {
            let text =
                "the rules of the route are not those that this router wrote; set shares again";
            return Err(at(place, ProviderError::new(ErrorKind::Corrupt, OBSERVE, text)));
        }
        if let Ok(Standing::Broken(why)) = route.standing() {
            return Err(at(place, ProviderError::new(ErrorKind::Unavailable, OBSERVE, BROKEN))
                .with_context("because", why));
        }
        let shares = route.in_effect().map_err(|why| unserved(OBSERVE, place, why))?.clone();
        // Nothing of the API tells what is served or under way; neither is declared.
        let status = TrafficStatus::new(place.target.clone(), shares.weights, Vec::new(), 0);
        Ok(status.by(shares.rules))
    }

    async fn set(&self, cx: &Context, request: &SetWeights) -> Result<(), ProviderError> {
        let place = self.place(SET, &request.target)?;
        self.fence(cx, place).await?;
        let weights = wanted(SET, request, &self.describe().abilities)?;
        let next = Shares { weights, rules: request.rules.clone() };
        self.find(place, &next).await?;
        document::rules(place, &next)?;
        let mut tries = 0;
        let route = loop {
            let route = self.fence(cx, place).await?;
            let same = Weight::same_shares(&route.note.now.weights, &next.weights)
                && route.note.now.rules == next.rules;
            if same && route.is_as_noted(place) {
                break route;
            }
            let before = route.in_effect().map_err(|why| unserved(SET, place, why))?.clone();
            let note = Note { now: next.clone(), before };
            match self.server.apply(SET, place, &route, &note).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                applied => break applied.map_err(|error| at(place, error))?,
            }
        };
        // From here on it may be in effect at any time.
        let taken = async {
            let route = self.taken_over(place, &next, route).await?;
            self.confirm(place, &next, route).await
        };
        taken.await.map_err(|error| at(place, error).with_effect(EffectCertainty::Unknown))
    }

    /// Notes that shares are in effect: what was before them is not told any more, whatever becomes of the route later.
    async fn confirm(
        &self,
        place: &GatewayTarget,
        next: &Shares,
        mut route: Route,
    ) -> Result<(), ProviderError> {
        let note = Note { now: next.clone(), before: next.clone() };
        let mut tries = 0;
        // Another change that came meanwhile says itself what was before it.
        while route.note.now == *next && route.note.before != *next && route.is_as_noted(place) {
            match self.server.apply(SET, place, &route, &note).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                applied => return applied.map(drop),
            }
            route = self.server.route(SET, place).await?;
        }
        Ok(())
    }

    /// Refuses a caller whose run a newer one has taken over; a newer one is noted before anything is done for it. Tells the route
    /// as it is then.
    async fn fence(&self, cx: &Context, place: &GatewayTarget) -> Result<Route, ProviderError> {
        let mut tries = 0;
        loop {
            let route = self.server.route(SET, place).await?;
            let Some(run) = &cx.run else { return Ok(route) };
            let known = route.epochs.of(run);
            if let Some(newest) = known.filter(|known| cx.epoch < *known) {
                let text = "a newer writer has taken this run over; stop, nothing was changed";
                let error = ProviderError::new(ErrorKind::Fenced, SET, text)
                    .with_context("run", run)
                    .with_context("epoch", cx.epoch)
                    .with_context("newest", newest);
                return Err(at(place, error));
            }
            if known == Some(cx.epoch) {
                return Ok(route);
            }
            let mut epochs = route.epochs.clone();
            epochs.raise(run, cx.epoch);
            match self.server.note_epochs(SET, place, &route, &epochs).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                // No share was touched, whether the note is there or not.
                applied => {
                    return applied.map_err(|error| {
                        at(place, error).with_effect(EffectCertainty::NotApplied)
                    });
                }
            }
        }
    }

    /// Demands that every version has its service.
    async fn find(&self, place: &GatewayTarget, shares: &Shares) -> Result<(), ProviderError> {
        for pool in document::pools(shares) {
            let name = place.service(SET, &pool)?;
            if !self.server.has_service(SET, place, &name).await? {
                let text = "there is no service for a version; deploy it first";
                let error = ProviderError::new(ErrorKind::NotFound, SET, text);
                return Err(at(place, error)
                    .with_context("service", name)
                    .with_context("digest", pool.digest));
            }
        }
        Ok(())
    }

    /// Waits until every gateway of the route has these shares in effect; tells the route as it is then.
    async fn taken_over(
        &self,
        place: &GatewayTarget,
        next: &Shares,
        mut route: Route,
    ) -> Result<Route, ProviderError> {
        let clock = &self.turns.clock;
        let (end, mut pause) = (clock.now().plus(self.settings.patience()), PAUSES.0);
        loop {
            if route.note.now != *next || !route.is_as_noted(place) {
                let text = "what came back is not what was applied: the cluster's Gateway API lacks a field, or somebody \
                            else writes the rules too";
                return Err(ProviderError::new(ErrorKind::Unavailable, SET, text));
            }
            match route.standing().map_err(|why| unserved(SET, place, why))? {
                Standing::InEffect => return Ok(route),
                Standing::Refused(why) => {
                    let text = "a gateway refuses the route";
                    return Err(ProviderError::new(ErrorKind::Invalid, SET, text)
                        .with_context("because", why));
                }
                // It may not have seen a service yet that was just made.
                Standing::Broken(why) if clock.now() >= end => {
                    return Err(ProviderError::new(ErrorKind::Unavailable, SET, BROKEN)
                        .with_context("because", why));
                }
                Standing::Broken(_) | Standing::Awaited => {}
            }
            if clock.now() >= end {
                let text = "no controller took over the route in time; see its status";
                return Err(ProviderError::new(ErrorKind::Unavailable, SET, text));
            }
            clock.sleep_until(clock.now().plus(pause)).await;
            pause = Span::from(pause.as_duration().saturating_mul(2)).min(PAUSES.1);
            route = self.server.route(SET, place).await?;
        }
    }
}

fn at(place: &GatewayTarget, error: ProviderError) -> ProviderError {
    error
        .with_context("target", &place.target)
        .with_context("namespace", &place.namespace)
        .with_context("route", &place.route)
}

fn unserved(operation: &'static str, place: &GatewayTarget, why: String) -> ProviderError {
    let text = "the route cannot be in effect anywhere; mend it";
    at(place, ProviderError::new(ErrorKind::Invalid, operation, text)).with_context("because", why)
}
