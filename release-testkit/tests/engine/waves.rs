//! Waves as their planner divides regions, released by the engine, and a red signal at some moment of them: no region begins
//! that had not, and what is taken back is what the criteria say. However late a wave is, the one before was watched for as long as
//! the rules say, and regions begin while somebody is on call. Looked at on the platform.
//!
//! 300 releases by chance; as many as one likes with `SAGA_CASES=20000 cargo test -p release-testkit --test engine waves`.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::model::{RegionId, Timestamp};
use release_core::port::Clock as _;
use release_core::time::Span;
use release_policy::train::{WavePlan, WaveRegion, WaveRules, waves as plan_waves};
use release_policy::{AllOf, Windows};
use release_testkit::VirtualClock;
use release_testkit::fixtures::literal;

use crate::course::{Course, course};
use crate::oracle::{Ends, ends, failed, stands_still};
use crate::sagas::{Tally, cases, run_cases, whole};
use crate::shapes::{ENVIRONMENT, Mishaps, Shape, mishaps, region_id, shape_in, signal};
use crate::witness::Effect;

/// What the planner is told of a region.
#[derive(Debug, Clone)]
struct Place {
    users: u64,
    partner: Option<usize>,
    /// For how many minutes of each day from the plan on nobody is there, before eight hours in which somebody is; not said: somebody
    /// always is.
    asleep: Option<u64>,
}

#[derive(Debug, Clone)]
struct World {
    places: Vec<Place>,
    rules: WaveRules,
    stop_after: Option<u32>,
    /// Whether waves wait for their time and regions for people, or waves only for each other.
    timed: bool,
    /// How many minutes after it was planned the release begins.
    late: u64,
}

fn world() -> impl Strategy<Value = World> {
    let place = (1_u64..50, proptest::option::of(0_usize..8), proptest::option::of(0_u64..600));
    let place = place.prop_map(|(users, partner, asleep)| Place { users, partner, asleep });
    let rules =
        (40_u8..=100, 10_u8..=60, 100_u32..600).prop_map(|(most, first, growth)| WaveRules {
            most_percent: most,
            first_percent: first,
            growth_percent: growth,
            rollout: Span::secs(600),
            first_bake: Span::secs(3_600),
            bake: Span::secs(1_800),
            attended: Span::secs(600),
            never_smaller: false,
        });
    let stop = proptest::option::of(1_u32..4);
    let late = prop_oneof![1 => Just(0), 2 => 0_u64..3_000];
    let world = (vec(place, 2..=8), rules, stop, any::<bool>(), late);
    world.prop_map(|(places, rules, stop, timed, late)| {
        let stop_after = stop.filter(|stop| *stop as usize <= places.len());
        World { places, rules, stop_after, timed, late }
    })
}

/// Eight hours, shared out among so many people who take over from each other.
fn shifts(begins: Timestamp, people: u64) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let lasts = 8 * 3_600 / people;
    let at = move |nth: u64| begins.plus(Span::secs(lasts * nth));
    (0..people).map(move |nth| (at(nth), at(nth + 1)))
}

impl World {
    /// What the planner is told, with hours for the next forty days.
    fn regions(&self, now: Timestamp) -> Vec<WaveRegion> {
        let region = |(number, place): (usize, &Place)| {
            let partner = place.partner.map(|other| other % self.places.len());
            let failover = partner.filter(|other| *other != number).map(region_id);
            let hours = place.asleep.into_iter().flat_map(|minutes| {
                (0..40).flat_map(move |day| {
                    let begins = now.plus(Span::secs(60 * minutes + 86_400 * day));
                    shifts(begins, if minutes.is_multiple_of(2) { 16 } else { 1 })
                })
            });
            WaveRegion {
                failover: failover.into_iter().collect(),
                on_call: hours.collect(),
                ..WaveRegion::new(region_id(number), place.users)
            }
        };
        self.places.iter().enumerate().map(region).collect()
    }

    /// What the planner makes of it; where the rules allow nothing, with rules that do.
    fn plan(&self, now: Timestamp) -> WavePlan {
        let regions = self.regions(now);
        let lax = WaveRules {
            most_percent: 100,
            first_percent: 100,
            growth_percent: 100_000,
            ..self.rules
        };
        plan_waves(&regions, self.rules, now)
            .or_else(|_| plan_waves(&regions, lax, now))
            .unwrap_or_else(|none| panic!("{none}"))
    }

    /// Windows that hold regions while nobody is on call, of a release that was planned at `now`.
    fn windows(&self, now: Timestamp) -> Windows {
        let freezes = self.regions(now).into_iter().flat_map(|region| {
            let named = |number: usize| literal(&format!("{}-{number}", region.id));
            region.off_call(self.rules.attended, &literal(ENVIRONMENT), &literal("sre"), named)
        });
        Windows::new(freezes.map(|freeze| freeze.build().unwrap())).unwrap()
    }
}

/// What is looked at when a release is over.
struct Played<'a> {
    world: &'a World,
    /// When it was planned.
    planned: Timestamp,
    plan: &'a WavePlan,
    course: &'a Course,
}

impl Played<'_> {
    /// Somebody is on call in a region, whoever it is, at each minute from then on for as long as it takes, and at its end.
    fn attended(&self, region: &RegionId, at: Timestamp) -> bool {
        let regions = self.world.regions(self.planned);
        let region = regions.iter().find(|one| one.id == *region).unwrap();
        let is_there = |at: Timestamp| {
            region.on_call.iter().any(|(begins, ends)| *begins <= at && at <= *ends)
        };
        let until = at.plus(self.world.rules.attended);
        let minutes = std::iter::successors(Some(at), |at| Some(at.plus(Span::secs(60))));
        let mut minutes = minutes.take_while(|at| *at < until);
        region.on_call.is_empty() || (minutes.all(is_there) && is_there(until))
    }

    /// No wave begins before its time, nor before the one before was watched for long enough, but for regions that failed and were left
    /// behind, nor a region while nobody is on call.
    fn in_time(&self, tally: &Tally) -> Result<(), String> {
        let (rules, effects) = (self.world.rules, self.course.witness.effects());
        let failed = failed(self.course);
        let of = |region: &RegionId| {
            effects.iter().position(|effect| !effect.back && effect.region == *region)
        };
        for (number, wave) in self.plan.waves.iter().enumerate() {
            let Some(first) = wave.regions.iter().filter_map(of).min() else { continue };
            let earlier = self.plan.waves[..number].iter().flat_map(|wave| &wave.regions);
            let earlier: BTreeSet<_> = earlier.filter(|region| !failed.contains(*region)).collect();
            let done = effects[..first].iter().filter(|effect| effect.good && !effect.back);
            let done = done.filter(|effect| earlier.contains(&effect.region));
            let over = done.filter_map(|effect| effect.landed).map(|(_, at)| at).max();
            let bake = if number == 1 { rules.first_bake } else { rules.bake };
            let watched = over.map_or(wave.begins, |over| over.plus(bake));
            let (step, begun) = (&effects[first].step, effects[first].begun);
            if begun < wave.begins.max(watched) {
                return Err(format!("{step} is before {} or {watched}", wave.begins));
            }
            let late = watched > wave.begins;
            if late {
                tally.add("a wave that is late is watched for");
            }
            for (region, first) in wave.regions.iter().filter_map(|one| Some((one, of(one)?))) {
                if !self.attended(region, effects[first].begun) {
                    return Err(format!("nobody is on call as {} begins", effects[first].step));
                }
                if late && !self.attended(region, watched) {
                    tally.add("a region that is late waits for people");
                }
            }
        }
        Ok(())
    }
}

/// No region is touched before all of the waves before its own are through, but for regions that failed and were left behind.
fn in_turn(plan: &WavePlan, course: &Course) -> Result<(), String> {
    let (effects, failed) = (course.witness.effects(), failed(course));
    let steps = || course.plan.plan().steps().iter().filter(|step| !step.finale);
    for (number, wave) in plan.waves.iter().enumerate() {
        let mine = |effect: &Effect| !effect.back && wave.regions.contains(&effect.region);
        let Some(first) = effects.iter().position(mine) else { continue };
        let done = effects[..first].iter().filter(|effect| effect.good);
        let done: BTreeSet<_> = done.map(|effect| &effect.step).collect();
        let earlier = plan.waves[..number].iter().flat_map(|wave| &wave.regions);
        for region in earlier.filter(|region| !failed.contains(*region)) {
            let here = steps().filter(|step| step.scope.region() == Some(region));
            let open = here.filter(|step| !step.action.is_pure() && !done.contains(&step.id));
            if let Some(open) = open.into_iter().next() {
                return Err(format!("{} is before {}", effects[first].step, open.id));
            }
        }
    }
    Ok(())
}

fn check(world: &World, shape: Shape, mishaps: &Mishaps, tally: &Tally) -> Result<(), String> {
    let clock = Arc::new(VirtualClock::new());
    let planned = clock.now();
    let plan = world.plan(planned);
    clock.advance(Span::secs(60 * world.late));
    let (waves, stop_after) = (plan.stage_waves(), world.stop_after);
    let wave_gates = if world.timed { plan.wave_gates(world.rules) } else { Vec::new() };
    let shape = Shape { waves, wave_gates, stop_after, ..shape };
    let hours = || AllOf::new().and(world.windows(planned));
    let course = course(&clock, &shape, mishaps, |_| world.timed.then(hours));
    if let Some(wrong) = course.witness.wrong().first() {
        return Err(wrong.clone());
    }
    let ends = ends(&shape, &course)?;
    let played = Played { world, planned, plan: &plan, course: &course };
    whole(&shape, &course, &ends)
        .and_then(|()| stands_still(&course, &ends))
        .and_then(|()| in_turn(&plan, &course))
        .and_then(|()| if world.timed { played.in_time(tally) } else { Ok(()) })
        .map_err(|wrong| format!("{wrong}; the run {}\n{plan}", course.outcome))?;
    count(tally, &plan, &course, &ends);
    Ok(())
}

/// What the waves that came before the one under way, and those behind it, came to.
fn count(tally: &Tally, plan: &WavePlan, course: &Course, ends: &Ends) {
    tally.add(course.outcome.name());
    let effects = course.witness.effects();
    let begun = |region: &RegionId| effects.iter().any(|effect| effect.region == *region);
    let is_new = |region: &RegionId| ends.new.contains(region);
    let last = plan.waves.iter().rposition(|wave| wave.regions.iter().any(begun));
    let (Some(_), Some(last)) = (ends.stop, last) else { return };
    let earlier = || plan.waves[..last].iter().flat_map(|wave| &wave.regions);
    for (what, is) in [
        ("waves that never begin", last + 1 < plan.waves.len()),
        ("an earlier wave stands", earlier().any(is_new)),
        ("an earlier wave goes back", earlier().any(|region| begun(region) && !is_new(region))),
        ("part of the wave stands", plan.waves[last].regions.iter().any(is_new)),
    ] {
        if is {
            tally.add(what);
        }
    }
}

#[test]
fn a_red_signal_stops_all_regions_that_have_not_begun_and_takes_back_what_the_criteria_say() {
    let cases = cases(300);
    let tally = Tally::default();
    let told = proptest::option::weighted(0.6, signal(1..150, 8));
    // The planner of waves says which regions go together, in `check`.
    let shape = shape_in(1..=3, Just((Vec::new(), None)));
    let strategy = (world(), shape, mishaps(0..=1, told));
    run_cases(cases, &strategy, |(world, shape, mishaps)| check(&world, shape, &mishaps, &tally));
    let wanted = [
        "succeeded",
        "rolled_back",
        "waves that never begin",
        "an earlier wave stands",
        "an earlier wave goes back",
        "a wave that is late is watched for",
        "a region that is late waits for people",
    ];
    tally.saw(&wanted, cases);
}
