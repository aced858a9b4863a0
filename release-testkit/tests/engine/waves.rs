//! Waves as their planner divides regions, released by the engine, and a red signal at some moment of them: no region begins
//! that had not, and what is taken back is what the criteria say. Looked at on the platform.
//!
//! 300 releases by chance; as many as one likes with `SAGA_CASES=20000 cargo test -p release-testkit --test engine waves`.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::model::{RegionId, Timestamp};
use release_core::port::Clock as _;
use release_core::time::Span;
use release_policy::Windows;
use release_policy::train::{WavePlan, WaveRegion, WaveRules, waves as plan_waves};
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
    /// For how many minutes nobody is there yet, if that is ever so.
    asleep: Option<u64>,
}

#[derive(Debug, Clone)]
struct World {
    places: Vec<Place>,
    rules: WaveRules,
    stop_after: Option<u32>,
    /// Whether waves wait for their time, or only for each other.
    timed: bool,
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
        });
    let stop = proptest::option::of(1_u32..4);
    (vec(place, 2..=8), rules, stop, any::<bool>()).prop_map(|(places, rules, stop, timed)| {
        let stop_after = stop.filter(|stop| *stop as usize <= places.len());
        World { places, rules, stop_after, timed }
    })
}

impl World {
    /// What the planner makes of it; where the rules allow nothing, with rules that do.
    fn plan(&self, now: Timestamp) -> WavePlan {
        let region = |(number, place): (usize, &Place)| {
            let partner = place.partner.map(|other| other % self.places.len());
            let failover = partner.filter(|other| *other != number).map(region_id);
            let hours = place.asleep.map(|minutes| {
                let begins = now.plus(Span::secs(60 * minutes));
                (begins, begins.plus(Span::secs(30 * 86_400)))
            });
            WaveRegion {
                failover: failover.into_iter().collect(),
                on_call: hours.into_iter().collect(),
                ..WaveRegion::new(region_id(number), place.users)
            }
        };
        let regions: Vec<_> = self.places.iter().enumerate().map(region).collect();
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

    fn windows(&self, plan: &WavePlan, now: Timestamp) -> Option<Windows> {
        let name = |number: usize| literal(&format!("wave-{number}"));
        let freezes = plan.freezes(now, &literal(ENVIRONMENT), &literal("sre"), name);
        let windows = freezes.into_iter().map(|freeze| freeze.build().unwrap());
        self.timed.then(|| Windows::new(windows).unwrap())
    }
}

/// No region is touched before its time, nor before all of the waves before its own are through, but for regions that failed
/// and were left behind.
fn in_turn(world: &World, plan: &WavePlan, course: &Course) -> Result<(), String> {
    let (effects, failed) = (course.witness.effects(), failed(course));
    let steps = || course.plan.plan().steps().iter().filter(|step| !step.finale);
    for (number, wave) in plan.waves.iter().enumerate() {
        let mine = |effect: &Effect| !effect.back && wave.regions.contains(&effect.region);
        let Some(first) = effects.iter().position(mine) else { continue };
        if world.timed && effects[first].begun < wave.begins {
            return Err(format!("{} is before {}", effects[first].step, wave.begins));
        }
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
    let now = clock.now();
    let plan = world.plan(now);
    let (waves, stop_after) = (plan.stage_waves(), world.stop_after);
    let shape = Shape { waves, stop_after, ..shape };
    let course = course(&clock, &shape, mishaps, world.windows(&plan, now).as_ref());
    if let Some(wrong) = course.witness.wrong().first() {
        return Err(wrong.clone());
    }
    let ends = ends(&shape, &course)?;
    whole(&shape, &course, &ends)
        .and_then(|()| stands_still(&course, &ends))
        .and_then(|()| in_turn(world, &plan, &course))
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
    ];
    tally.saw(&wanted, cases);
}
