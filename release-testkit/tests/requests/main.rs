//! Single requests through a balancer whose table lags behind what was set, loses settings or is stuck, while the engine drives
//! releases by the plans of its strategies: none comes to an instance that is gone or not ready, and none is cut off.
//!
//! Everything happens on a clock of its own, one event after the other: each request is routed by the table that the balancer
//! really has when it comes, to one instance, and is under way for a time of its own. No server and no process is needed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod chance;
mod lies;
mod model;
#[cfg(planted_bugs)]
mod planted;
mod platform;
mod stage;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use chance::Chance;
use model::{Counts, Load, Manner, Says};
use release_core::model::{BlueGreen, Other, Strategy};
use release_core::plan::Planner;
use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
use release_core::run::Event;
use release_core::time::{Span, Timestamp};
use release_testkit::fixtures::{self, Shop};
use stage::{LOAD, Told, Trial, defined, fates, routers, strategies, unjudged};

/// So many releases of each strategy: each router meets each fate eighteen times.
const SEEDS: u64 = 504;
/// Two looks with the longest pause between them, and how long calls and their answers are under way.
const SLACK: Span = Span::millis(1_600);

fn said(text: &str) {
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    writeln!(out, "{text}").unwrap();
}

/// What came of many releases.
#[derive(Debug, Default)]
struct Season {
    counts: Counts,
    /// How often which strategy came to which end.
    strategies: BTreeMap<(&'static str, &'static str), u64>,
    /// The same by routers.
    routers: BTreeMap<(&'static str, &'static str), u64>,
    broken: Vec<String>,
}

impl Season {
    /// A release by each strategy, over the router and with the fate that are the seed's turn.
    fn play(&mut self, seed: u64) {
        let mut chance = Chance::new(seed, 3);
        for (name, strategy) in strategies() {
            let (routers, fates) = (routers(&mut chance), fates(&mut chance));
            // Every router meets every fate: their numbers have no divisor in common.
            let turn = |many: usize| usize::try_from(seed).unwrap() % many;
            let (router, manner, stuck) = routers[turn(routers.len())];
            let fate = fates[turn(fates.len())];
            let trial = Trial { fate, stuck, ..Trial::new(chance.draw(), manner) };
            let told = trial.release(&defined(strategy));
            self.counts = self.counts.plus(told.counts);
            *self.strategies.entry((name, told.end)).or_default() += 1;
            *self.routers.entry((router, told.end)).or_default() += 1;
            if told.counts.lost() > 0 {
                self.broken.push(format!("{name}, {router}: {trial:?}: {}", told.course()));
            }
        }
    }

    /// Those whose turn it is, one after the other.
    fn of(next: &AtomicU64) -> Self {
        let mut season = Self::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return season;
            }
            season.play(seed);
        }
    }

    fn plus(mut self, other: Self) -> Self {
        self.counts = self.counts.plus(other.counts);
        let both = [(&mut self.strategies, other.strategies), (&mut self.routers, other.routers)];
        for (ends, others) in both {
            for (end, times) in others {
                *ends.entry(end).or_default() += times;
            }
        }
        self.broken.extend(other.broken);
        self
    }
}

#[test]
fn no_request_is_lost_to_a_release_whatever_the_balancer_does_with_what_it_is_told() {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let season = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| Season::of(&next))).collect();
        let parts = all.into_iter().map(|part| part.join().unwrap());
        parts.fold(Season::default(), Season::plus)
    });
    let Season { counts, strategies: by_strategy, routers, broken } = season;
    let runs: u64 = by_strategy.values().sum();
    let text = format!("{runs} releases, {counts:?}, {by_strategy:?}, {routers:?}");
    said(&text);
    assert!(broken.is_empty(), "{} of {text}; first: {}", broken.len(), broken[0]);
    let all = strategies();
    assert_eq!(runs, SEEDS * u64::try_from(all.len()).unwrap(), "{text}");
    // What was to be shown was tried: requests came, and many while the balancer did not do yet what it was told.
    assert!(counts.sent > runs * 1_000 && counts.behind > runs * 10, "{text}");
    for (name, _) in all {
        let ended = |end| by_strategy.get(&(name, end)).copied().unwrap_or_default();
        // Nothing happened to a fourth of them, and a fourth was taken back by a person on the way.
        assert!(ended("succeeded") >= SEEDS / 20, "{name}: {text}");
        assert!(ended("rolled_back") >= SEEDS / 10, "{name}: {text}");
    }
    for (router, end) in [
        ("exact", "succeeded"),
        ("exact", "rolled_back"),
        ("lagging", "succeeded"),
        ("lagging", "rolled_back"),
        ("lagging much", "rolled_back"),
        ("lossy", "succeeded"),
        ("lossy", "rolled_back"),
        ("stuck", "rolled_back"),
        ("stuck", "needs_person"),
    ] {
        assert!(routers.contains_key(&(router, end)), "{router} never {end}: {text}");
    }
}

fn switched() -> Strategy {
    Strategy::BlueGreen(BlueGreen { bake: stage::BAKE, ..BlueGreen::default() })
}

/// When the step that removes the old version began.
fn removal_began(told: &Told) -> Option<Timestamp> {
    let mut facts = told.history.facts().iter();
    let began = facts.rfind(|fact| match &fact.event {
        Event::StepStarted { step, .. } => step.id.as_str().ends_with("remove-old"),
        _ => false,
    });
    began.map(|fact| fact.at)
}

/// How long it lasts until the old version is stopped once that is its turn, on average.
fn drains(load: Load) -> Span {
    const RUNS: u32 = 40;
    let mut all = std::time::Duration::ZERO;
    for seed in 0..u64::from(RUNS) {
        let mut definition = defined(switched());
        definition.stages[0].step_timeout = Span::secs(600);
        let told = Trial { load, ..Trial::new(seed, Manner::EXACT) }.release(&definition);
        assert_eq!((told.end, told.counts.lost()), ("succeeded", 0), "{}", told.course());
        let [stop] = &told.stops[..] else { panic!("{}", told.course()) };
        assert_eq!(stop.place.0, fixtures::digest("api", Shop::OLD));
        let began = removal_began(&told).unwrap();
        let last = stop.last.unwrap();
        // Neither before the last of its requests is finished, nor much later.
        assert!(stop.at >= last && stop.at <= last.max(began).plus(SLACK), "{}", told.course());
        all += stop.at.since(began).as_duration();
    }
    (all / RUNS).into()
}

/// The slowest of the requests says how long, and no setting: there is none.
#[test]
fn how_long_draining_lasts_follows_from_the_requests_under_way() {
    let slow = |slow, long| Load { slow, long, ..LOAD };
    let [short, rare, often] =
        [slow(0, Span::ZERO), slow(2, Span::secs(10)), slow(20, Span::secs(10))].map(drains);
    said(&format!("draining lasts {short} of short requests, {rare} and {often} of slow ones"));
    assert!(short < SLACK, "{short}");
    assert!(rare.as_duration() > short.as_duration() * 2, "{short}, {rare}");
    assert!(often.as_duration() > rare.as_duration() * 2, "{rare}, {often}");
}

/// Gives the new version traffic without looking whether it is ready.
#[derive(Debug)]
struct Blind;

impl RolloutStrategy for Blind {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let steps = vec![site.scale_new("start", site.replicas())?, site.route("all", 100)?];
        Ok(Rollout { finale: site.retire(Span::ZERO)?, ..Rollout::of(steps) })
    }
}

/// What is lost in some releases, of which each breaks the same promise.
fn broken(manner: Manner, change: impl Fn(&mut Trial)) -> Counts {
    let mut all = Counts::default();
    for seed in 0..20 {
        let mut trial = Trial::new(seed, manner);
        change(&mut trial);
        all = all.plus(trial.release(&unjudged(switched())).counts);
    }
    said(&format!("{manner:?}: {all:?}"));
    all
}

#[test]
fn a_driver_that_does_not_drain_cuts_requests_off() {
    let counts = broken(Manner::EXACT, |trial| trial.counts_in_flight = false);
    assert!(counts.cut > 0 && counts.terminated == 0 && counts.unready == 0, "{counts:?}");
}

/// Whose router answers with what was set acts on that, and not on what is so.
#[test]
fn a_driver_that_acts_on_shares_that_were_set_sends_requests_to_instances_that_are_gone() {
    let late = (Span::secs(10), Span::secs(20));
    let counts = broken(Manner { lag: late, says: Says::AllIsWell, ..Manner::EXACT }, |_| {});
    assert!(counts.terminated > 0, "{counts:?}");
}

/// The new shares are still on their way when the release goes back, and the call that takes them back is lost: that the shares
/// of before are in effect says nothing of whether others are to come.
#[test]
fn a_call_that_may_be_lost_on_the_way_back_is_made_again_whatever_is_in_effect() {
    let late = (Span::secs(45), Span::secs(45));
    for seed in 0..20 {
        let manner = Manner { lag: late, loses_way_back: true, ..Manner::EXACT };
        let told = Trial::new(seed, manner).release(&unjudged(switched()));
        assert_eq!((told.end, told.counts.lost()), ("rolled_back", 0), "{}", told.course());
    }
}

/// That no earlier shares take effect once later ones were accepted is up to the router: nobody can see them coming.
#[test]
fn a_router_that_comes_back_to_shares_that_were_replaced_is_beyond_help() {
    let late = (Span::secs(10), Span::secs(50));
    let counts = broken(Manner { lag: late, each: true, ..Manner::EXACT }, |_| {});
    assert!(counts.terminated + counts.unready > 0, "{counts:?}");
}

#[test]
fn a_strategy_that_does_not_look_sends_requests_to_what_is_not_ready() {
    let other = Other { name: "blind".into(), with: serde_json::Value::Null };
    let definition = defined(Strategy::Other(other));
    let planner =
        Planner::new().measured_before_traffic(false).strategy("blind", |_| Ok(Box::new(Blind)));
    let plan = || planner.plan(&definition).unwrap_or_else(|errors| panic!("{errors}"));
    let lost = (0..20).map(|seed| Trial::new(seed, Manner::EXACT).drive(plan()).counts.unready);
    assert!(lost.sum::<u64>() > 0);
}
