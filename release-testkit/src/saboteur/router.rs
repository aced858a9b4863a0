//! Routers with one fault each.

mod fault;

pub use fault::RouterFault;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use release_core::model::Target;
use release_core::plan::Weight;
use release_providers::spi::{ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use release_providers::{Context, Description, ErrorKind, Fencing, ProviderError, Splitting};

use super::{
    GivenUp, Late, STANDS, Token, dawdle, given_up, later, renamed, restless, stay_away, telling,
    trip_over, unsure,
};
use crate::fakes::{FakeRouter, World, credential, lock};

/// A [`FakeRouter`] with one planted fault.
#[derive(Debug)]
pub struct SabotagedRouter {
    fault: RouterFault,
    world: World,
    honest: FakeRouter,
    described: AtomicU32,
    busy: AtomicBool,
    desk: Mutex<Vec<Weight>>,
    late: Late<SetWeights>,
    /// What was asked for, where something else is in effect.
    claimed: Mutex<BTreeMap<Target, Vec<Weight>>>,
    seen: Mutex<Option<TrafficStatus>>,
    was_away: AtomicBool,
}

impl SabotagedRouter {
    /// A router in `world` that has `fault`.
    pub fn new(fault: RouterFault, world: &World) -> Self {
        let honest = FakeRouter::of(world);
        if let Some(bent) = fault.bent() {
            world.bend(bent);
        }
        let honest = match fault {
            RouterFault::DeclaresRules => honest.able(|can| {
                can.header_routes = false;
                can.mirroring = false;
                can.mirror_matching = false;
                can.affinity = false;
                can.affinity_to_one = false;
            }),
            RouterFault::DeclaresWeights => honest.able(|can| can.splitting = Splitting::Whole),
            _ => honest,
        };
        Self {
            fault,
            world: world.clone(),
            honest,
            described: AtomicU32::new(0),
            busy: AtomicBool::new(false),
            desk: Mutex::default(),
            late: Late::default(),
            claimed: Mutex::default(),
            seen: Mutex::default(),
            was_away: AtomicBool::new(false),
        }
    }

    /// Faults that do something wrong with shares that an honest router takes.
    async fn mishandle(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        let SetWeights { target, mut weights, .. } = request.clone();
        let world = &self.world;
        let before = world.weights(&target);
        weights.retain(|weight| weight.percent > 0 || self.fault == RouterFault::ReportsZeros);
        weights.sort();
        match self.fault {
            RouterFault::ForgetsShares => {}
            RouterFault::KeepsOldShares => {
                let old =
                    before.into_iter().filter(|old| weights.iter().all(|w| w.digest != old.digest));
                let all = old.chain(weights.clone()).collect();
                world.force_route(&target, all, false);
            }
            RouterFault::RestartsCount | RouterFault::ReportsZeros => {
                world.force_route(&target, weights, false);
            }
            RouterFault::KeepsServing if weights.is_empty() => {}
            RouterFault::RefusesNobody if weights.is_empty() => {
                let text = "somebody must be served";
                return Err(ProviderError::new(ErrorKind::Invalid, "traffic.set_weights", text));
            }
            RouterFault::NeverGoesBack if before.len() > 1 && weights.len() == 1 => {}
            RouterFault::StaysBusy | RouterFault::ActsLate => {
                return self.give_up(cx, request).await;
            }
            RouterFault::SetsOneByOne => {
                world.force_route(&target, Vec::new(), false);
                for weight in weights {
                    dawdle().await;
                    let all = world.weights(&target).into_iter().chain([weight]).collect();
                    world.force_route(&target, all, false);
                }
            }
            RouterFault::SharesItsDesk => {
                lock(&self.desk).clear();
                for weight in weights {
                    dawdle().await;
                    lock(&self.desk).push(weight);
                }
                let all = lock(&self.desk).clone();
                world.force_route(&target, all, false);
            }
            RouterFault::IgnoresWeights => {
                lock(&self.claimed).insert(target.clone(), weights.clone());
                if weights.len() > 1 {
                    for weight in &mut weights {
                        weight.percent = 50;
                    }
                }
                world.force_route(&target, weights, false);
            }
            RouterFault::RevertsLater => {
                self.honest.set_weights(cx, request).await?;
                let world = world.clone();
                later(STANDS, async move { world.force_route(&target, before, false) });
            }
            RouterFault::DoesLaterWhatWasCancelled | RouterFault::ServesNobodyMeanwhile => {
                return self.take_time(cx, request, before).await;
            }
            RouterFault::CountsForEver => world.force_route(&target, weights, true),
            RouterFault::KeepsOldRules
            | RouterFault::RestartsCountByRules
            | RouterFault::SetsRulesFirst => {
                return self.mishandle_rules(cx, request, before).await;
            }
            _ => return self.honest.set_weights(cx, request).await,
        }
        Ok(())
    }

    /// Faults that do something wrong with rules that an honest router takes.
    async fn mishandle_rules(
        &self,
        cx: &Context,
        mut request: SetWeights,
        before: Vec<Weight>,
    ) -> Result<(), ProviderError> {
        match self.fault {
            RouterFault::KeepsOldRules if Weight::same_shares(&before, &request.weights) => {
                let look = ObserveTraffic::new(request.target.clone());
                request.rules = self.honest.observe(cx, look).await?.rules;
            }
            RouterFault::RestartsCountByRules if request.rules.is_some() => {
                self.world.force_route(&request.target, before, false);
            }
            RouterFault::SetsRulesFirst => {
                self.world.force_rules(&request.target, request.rules.clone());
                dawdle().await;
            }
            _ => {}
        }
        self.honest.set_weights(cx, request).await
    }

    /// Faults that do something wrong when a caller gives up.
    async fn give_up(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        if self.fault == RouterFault::ActsLate {
            let mut given_up = GivenUp(&self.late, Some(request.clone()));
            dawdle().await;
            given_up.1 = None;
        } else {
            if self.busy.swap(true, Ordering::AcqRel) {
                let text = "another call is under way";
                return Err(ProviderError::new(ErrorKind::Conflict, "traffic.set_weights", text));
            }
            dawdle().await;
            self.busy.store(false, Ordering::Release);
        }
        self.honest.set_weights(cx, request).await
    }

    /// Faults that do something wrong while a change takes its time.
    async fn take_time(
        &self,
        cx: &Context,
        request: SetWeights,
        before: Vec<Weight>,
    ) -> Result<(), ProviderError> {
        let SetWeights { target, weights, .. } = request.clone();
        if self.fault == RouterFault::ServesNobodyMeanwhile && before != weights {
            lock(&self.claimed).insert(target.clone(), before);
            self.world.force_route(&target, Vec::new(), false);
        }
        dawdle().await;
        lock(&self.claimed).remove(&target);
        if self.fault == RouterFault::DoesLaterWhatWasCancelled && cx.cancellation.is_cancelled() {
            let world = self.world.clone();
            later(STANDS, async move { world.force_route(&target, weights, false) });
            return Err(given_up("traffic.set_weights"));
        }
        self.honest.set_weights(cx, request).await
    }

    /// Faults of when the world is out of reach.
    fn outage(&self, error: ProviderError) -> Result<TrafficStatus, ProviderError> {
        self.was_away.store(true, Ordering::Relaxed);
        match self.fault {
            RouterFault::AnswersFromMemory => lock(&self.seen).clone().ok_or(error),
            RouterFault::CallsOutageInternal => Err(renamed(&error, ErrorKind::Internal)),
            _ => Err(error),
        }
    }

    /// Faults that do something wrong with shares that an honest router refuses.
    fn accept(&self, request: SetWeights, error: ProviderError) -> Result<(), ProviderError> {
        let SetWeights { target, weights, .. } = request;
        let invalid = error.kind() == ErrorKind::Invalid;
        let unknown = error.kind() == ErrorKind::NotFound;
        let sum: u32 = weights.iter().map(|weight| u32::from(weight.percent)).sum();
        let twice = invalid && sum == 100;
        let accepted = match self.fault {
            RouterFault::AcceptsAnySum => invalid && !twice,
            RouterFault::SumsInBytes => invalid && sum == 356,
            RouterFault::AcceptsDoubles => twice,
            RouterFault::AcceptsUnknownTarget => unknown && error.context("target").is_some(),
            RouterFault::AcceptsUnknownVersion | RouterFault::AcceptsUnknownTrack => {
                unknown && error.context("version").is_some()
            }
            RouterFault::AcceptsUnknownBeside => unknown && weights.len() > 1,
            _ => false,
        };
        if accepted {
            self.world.force_route(&target, weights, false);
            return Ok(());
        }
        match self.fault {
            RouterFault::SetsWhatItKnows if unknown => {
                let known = |one: &Weight| {
                    self.world.desired(&target, one.digest).is_some_and(|desired| desired > 0)
                };
                let known: Vec<_> = weights.into_iter().filter(known).collect();
                if !known.is_empty() {
                    self.world.force_route(&target, known, false);
                }
                Err(error)
            }
            RouterFault::RefusesTooLate if invalid => {
                self.world.force_route(&target, weights, false);
                Err(error)
            }
            RouterFault::LeavesEffectOpen if invalid => Err(unsure(error)),
            RouterFault::CallsUnknownInternal if unknown => {
                Err(renamed(&error, ErrorKind::Internal))
            }
            RouterFault::TellsSecret => Err(telling(&error, &credential())),
            _ => Err(error),
        }
    }
}

#[async_trait]
impl TrafficRouter for SabotagedRouter {
    fn describe(&self) -> Description {
        let mut description = self.honest.describe();
        match self.fault {
            RouterFault::RenamesItself => {
                return restless(description, self.described.fetch_add(1, Ordering::Relaxed));
            }
            RouterFault::DeclaresWeights => {
                description.abilities.traffic_router.splitting = Splitting::Shares;
            }
            RouterFault::HidesWeights => {
                description.abilities.traffic_router.splitting = Splitting::Whole;
            }
            RouterFault::HidesFencing => {
                description.abilities.traffic_router.fencing = Fencing::None;
            }
            RouterFault::HidesCounts => {
                description.abilities.traffic_router.counts_served = false;
            }
            RouterFault::HidesRules | RouterFault::DeclaresRules => {
                let declared = self.fault == RouterFault::DeclaresRules;
                let able = &mut description.abilities.traffic_router;
                (able.header_routes, able.mirroring) = (declared, declared);
                able.mirror_matching = declared;
                (able.affinity, able.affinity_to_one) = (declared, declared);
            }
            RouterFault::HidesMatching => {
                description.abilities.traffic_router.mirror_matching = false;
            }
            RouterFault::HidesTracks => description.abilities.tracks = false,
            RouterFault::HidesFlights => {
                description.abilities.traffic_router.counts_in_flight = false;
            }
            _ => {}
        }
        description
    }

    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError> {
        if self.fault == RouterFault::TripsOverFarDeadlines {
            trip_over(cx, "traffic.set_weights")?;
        }
        let cx = self.fault.token().of(cx);
        if self.fault == RouterFault::StaysAway {
            stay_away(&self.was_away, "traffic.set_weights")?;
        }
        if let Err(error) = self.honest.fence(&cx) {
            if self.fault == RouterFault::FencesTooLate {
                self.world.force_route(&request.target, request.weights, false);
            }
            return Err(error);
        }
        // Whatever is wrong, an honest router's refusals come first.
        match self.honest.check(&request) {
            Ok(()) => self.mishandle(&cx, request).await,
            Err(error) => self.accept(request, error),
        }
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        if let Some(late) = self.late.take() {
            self.world.force_route(&late.target, late.weights, false);
        }
        if self.fault == RouterFault::StaysAway {
            stay_away(&self.was_away, "traffic.observe")?;
        }
        let mut status = match self.honest.observe(cx, request.clone()).await {
            Err(error) if self.fault == RouterFault::CallsUnknownInternal => {
                return Err(renamed(&error, ErrorKind::Internal));
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => self.outage(error)?,
            other => other?,
        };
        *lock(&self.seen) = Some(status.clone());
        match self.fault {
            RouterFault::CountsNothing => status.served.clear(),
            RouterFault::CountsNoFlights => status.flights.clear(),
            RouterFault::ForgetsFlights => {
                let shares = &status.weights;
                status.flights.retain(|one| shares.iter().any(|share| share.digest == one.digest));
            }
            _ => {}
        }
        if let Some(claimed) = lock(&self.claimed).get(&request.target) {
            status.weights.clone_from(claimed);
        }
        Ok(status)
    }
}
