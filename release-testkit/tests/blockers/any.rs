//! Any waves, stops, failures, descopes and blockers: what the engine lets begin does not wait for its train for ever.

use std::collections::BTreeSet;

use release_core::engine::{RunHandle, Settled};
use release_core::model::{Principal, RegionId, RollbackScope, Span, Timestamp};
use release_core::plan::Part;
use release_core::port::Clock;
use release_core::run::{Command, Directive, Event as RunEvent, Outcome};
use release_policy::train::departure::{Conductor, Event, Stop, TrainSpec};
use release_testkit::fixtures::{self, Shop, literal};

use super::{Host, REGIONS, Ran, blockers, conductor, draw, run, spec, told};

const SCENARIOS: u64 = 96;
/// Long after whatever a run waits for has come: by then it is over, or waits for people.
const LATE: u64 = 100_000;

/// What happens in one.
struct Scenario {
    waves: Vec<Vec<&'static str>>,
    stops: Vec<Vec<&'static str>>,
    /// Where the new versions cannot be measured, so that they fail.
    fails: BTreeSet<&'static str>,
    stop_after: Option<u32>,
    /// When `web` is left behind, in seconds.
    descopes: Option<u64>,
}

impl Scenario {
    fn draw(nth: u64) -> Self {
        let stops = groups(nth, "stops", shuffled(nth, "stops"));
        // Half of the plans go the same way, and some of the others do by chance.
        let order = if draw(nth, "same", 2) == 0 {
            stops.iter().flatten().copied().collect()
        } else {
            shuffled(nth, "waves")
        };
        let fails = |region: &&str| draw(nth, &format!("fails/{region}"), 3) == 0;
        let descopes = 30 + draw(nth, "descopes", 900);
        Self {
            waves: groups(nth, "waves", order),
            stops,
            fails: REGIONS.into_iter().filter(fails).collect(),
            stop_after: u32::try_from(draw(nth, "stop_after", 4)).ok().filter(|most| *most > 0),
            descopes: (draw(nth, "is_descoped", 3) == 0).then_some(descopes),
        }
    }

    fn host(&self) -> Host {
        let host = Host::of(|definition| {
            let criteria = definition.release.rollback.as_mut();
            criteria.unwrap().scope = RollbackScope::Region;
            for stage in &mut definition.stages {
                let wave = |wave: &Vec<&str>| wave.iter().map(|id| literal(id)).collect();
                stage.waves = self.waves.iter().map(wave).collect();
                stage.stop_after_failed_regions = self.stop_after;
            }
        });
        let healthy = REGIONS.into_iter().filter(|region| !self.fails.contains(region));
        let both = |region| {
            Shop::SERVICES.map(|service| fixtures::target_in("production", region, service))
        };
        host.platform.metrics.only_targets(healthy.flat_map(both));
        host
    }

    fn conductor(&self, begin: Timestamp) -> Conductor {
        let stop = |(nth, regions): (usize, &Vec<&str>)| Stop {
            id: literal(&format!("stop-{nth}")),
            regions: regions.iter().map(|region| literal::<RegionId>(region)).collect(),
            takes: Span::secs(600),
        };
        let stops = self.stops.iter().enumerate().map(stop).collect();
        conductor(TrainSpec { stops, ..spec(begin) })
    }
}

/// The regions in some order.
fn shuffled(nth: u64, of: &str) -> Vec<&'static str> {
    let mut all = REGIONS.to_vec();
    all.sort_by_key(|region| draw(nth, &format!("{of}/{region}"), u64::MAX));
    all
}

/// Those next to each other in groups, of which there are some.
fn groups(nth: u64, of: &str, all: Vec<&'static str>) -> Vec<Vec<&'static str>> {
    let mut groups: Vec<Vec<&'static str>> = Vec::new();
    for region in all {
        match groups.last_mut() {
            Some(last) if draw(nth, &format!("{of}/joins/{region}"), 2) == 0 => last.push(region),
            _ => groups.push(vec![region]),
        }
    }
    groups
}

/// Tells all of it as it happens, and leaves `web` behind on the way.
async fn happens(
    (host, conductor, handle): (&Host, &Conductor, &RunHandle),
    events: &[Event],
    mut descopes: Option<Timestamp>,
) {
    let end = host.after(LATE);
    let mut events = events.iter().peekable();
    loop {
        let next = events.peek().map_or(end, |event| event.at());
        if let Some(at) = descopes.take_if(|at| *at <= next) {
            host.clock.sleep_until(at).await;
            let command = Command::Descope { service: literal("web") };
            let descope = Directive::new(command, Principal::human(literal("ann")), "500s");
            // Where the run is over or goes back, nothing is left to leave behind.
            let _ = handle.send(descope).await;
            continue;
        }
        let Some(event) = events.next() else { return };
        host.clock.sleep_until(event.at()).await;
        if conductor.tell(event.clone()).unwrap() {
            let _ = handle.reconsider().await;
        }
    }
}

/// How it ended, or that it waits for people; none: it waits for ever.
async fn ends(host: &Host, handle: &RunHandle) -> Option<Settled> {
    tokio::select! {
        biased;
        settled = handle.settled() => Some(settled.unwrap()),
        () = host.clock.sleep_until(host.after(LATE)) => None,
    }
}

/// How many scenarios came to what.
#[derive(Debug, Default)]
struct Counts {
    contradicted: usize,
    whole: usize,
    without_region: usize,
    without_service: usize,
    back: usize,
    held: usize,
    after_a_failed_stop: usize,
}

impl Counts {
    fn add(&mut self, scenario: &Scenario, ran: &Ran) {
        let left: &[Part] =
            if let Outcome::SucceededWithout { left } = &ran.outcome { left } else { &[] };
        let is_region = |part: &Part| matches!(part, Part::Region { .. });
        self.whole += usize::from(ran.outcome == Outcome::Succeeded);
        self.without_region += usize::from(left.iter().any(is_region));
        self.without_service += usize::from(left.iter().any(|part| !is_region(part)));
        self.back += usize::from(matches!(ran.outcome, Outcome::RolledBack { .. }));
        self.held += usize::from(!ran.held().is_empty());
        let fails = |stop: &Vec<&'static str>| stop.iter().all(|id| scenario.fails.contains(id));
        let goes_on = scenario.stops.windows(2).any(|two| {
            let [one, next] = two else { return false };
            fails(one) && !ran.starts(next).is_empty()
        });
        self.after_a_failed_stop += usize::from(goes_on);
    }

    /// Each of them.
    const fn all(&self) -> [usize; 7] {
        [
            self.contradicted,
            self.whole,
            self.without_region,
            self.without_service,
            self.back,
            self.held,
            self.after_a_failed_stop,
        ]
    }
}

#[test]
fn whatever_is_left_behind_no_run_waits_for_its_train_for_ever() {
    let mut counts = Counts::default();
    for nth in 0..SCENARIOS {
        let scenario = Scenario::draw(nth);
        let host = scenario.host();
        let conductor = scenario.conductor(host.begin);
        if let Err(mismatch) = conductor.fits(host.plan.plan()) {
            assert!(mismatch.contradicts(), "{nth}: {mismatch}");
            counts.contradicted += 1;
            continue;
        }
        let events = told(&blockers(&host, nth));
        let engine = host.engine(conductor.clone());
        let life = async {
            let handle = host.start(&engine).await;
            let at = scenario.descopes.map(|seconds| host.after(seconds));
            happens((&host, &conductor, &handle), &events, at).await;
            let settled = ends(&host, &handle).await;
            let (history, plan) = engine.load(&run()).await.unwrap();
            (settled, history.facts().to_vec(), plan)
        };
        let (settled, facts, plan) = host.clock.run(life).unwrap();
        let waits = facts.iter().rev().find_map(|fact| match &fact.event {
            RunEvent::StepBlocked { step, reasons, .. } => Some((&step.id, reasons)),
            _ => None,
        });
        let settled = settled.unwrap_or_else(|| panic!("{nth} waits for ever: {waits:?}"));
        // Who waits for people is not over.
        let Settled::Finished(outcome) = settled else { continue };
        let ran = Ran { outcome, facts, plan };
        for two in scenario.stops.windows(2) {
            let [one, next] = two else { continue };
            let last = ran.starts(one).into_iter().map(|(at, ..)| at).max();
            let first = ran.starts(next).into_iter().map(|(at, ..)| at).min();
            assert!(first.is_none() || last <= first, "{nth}: {one:?}, then {next:?}");
        }
        counts.add(&scenario, &ran);
    }
    assert!(counts.all().into_iter().all(|count| count > 0), "{counts:?}");
}
