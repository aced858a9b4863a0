//! Waves of regions, beside all that could be.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use release_core::model::{Gate, RegionId, Span, Timestamp};
use release_core::plan::Place;
use release_policy::Windows;
use release_policy::train::{
    EXACT, MAX_REGIONS, WaveError, WavePlan, WaveRegion, WaveRules, waves,
};
use release_policy::window::{ActionClass, OnStart, When, WindowSpec};

use super::support::{id, minute};

pub(super) fn rules() -> WaveRules {
    WaveRules {
        most_percent: 50,
        first_percent: 10,
        growth_percent: 400,
        rollout: Span::secs(600),
        first_bake: Span::secs(3_600),
        bake: Span::secs(1_800),
        attended: Span::secs(1_200),
        never_smaller: false,
    }
}

pub(super) fn region(name: &str, users: u64) -> WaveRegion {
    WaveRegion::new(id(name), users)
}

/// Whether a wave may follow when those regions are done, the last of them with so many users, as the rules say it in words, whenever
/// that is.
fn may_follow(
    wave: &[&WaveRegion],
    (done, last): (&[&WaveRegion], u64),
    all: &[WaveRegion],
    rules: WaveRules,
) -> bool {
    let total: u64 = all.iter().map(|region| region.users).sum();
    let (mine, before) = (users(wave) * 100, users(done));
    let small = mine <= total * u64::from(rules.most_percent);
    let grows = if before == 0 {
        mine <= total * u64::from(rules.first_percent)
    } else {
        mine <= before * u64::from(rules.growth_percent)
    };
    let apart =
        || wave.iter().all(|one| wave.iter().all(|other| !one.failover.contains(&other.id)));
    let ends = wave.len() + done.len() == all.len();
    let not_smaller = !rules.never_smaller || ends || users(wave) >= last;
    small && grows && not_smaller && apart()
}

fn users(wave: &[&WaveRegion]) -> u64 {
    wave.iter().map(|region| region.users).sum()
}

/// Whether somebody is there in each region of a wave that begins then, whoever it is, in each minute that it takes. Hours begin and end
/// with whole minutes.
fn is_attended(wave: &[&WaveRegion], rules: WaveRules, at: Timestamp) -> bool {
    let whole = 60_000_000;
    let (from, until) = (at.as_micros(), at.plus(rules.attended).as_micros());
    let minutes = from.div_euclid(whole)..(until + whole - 1).div_euclid(whole);
    // What takes no time needs somebody just then: of the minute that ends, or of the one that begins.
    let minutes = if minutes.is_empty() { None } else { Some(minutes) };
    wave.iter().all(|region| {
        let is_there = |minute: i64| is_on_call(region, minute * whole, (minute + 1) * whole);
        let now = from.div_euclid(whole);
        let there = || match minutes.clone() {
            Some(mut minutes) => minutes.all(is_there),
            None => is_there(now - 1) || is_there(now),
        };
        region.on_call.is_empty() || there()
    })
}

/// Whether somebody is on call all the time between these microseconds, of hours in order.
fn is_on_call(region: &WaveRegion, from: i64, until: i64) -> bool {
    let nth = region.on_call.partition_point(|(begins, _)| begins.as_micros() <= from);
    let last = nth.checked_sub(1).map(|last| region.on_call[last]);
    last.is_some_and(|(_, ends)| until <= ends.as_micros())
}

/// The same hours, as several people share them who take over from each other; many of these shifts are too short alone.
fn shared_out(hours: Vec<(u64, u64)>) -> Vec<(Timestamp, Timestamp)> {
    let mut shifts = Vec::new();
    for (begins, ends) in hours {
        let lasts = if begins.is_multiple_of(2) { 7 + begins % 23 } else { ends - begins };
        let mut from = begins;
        while from < ends {
            let until = (from + lasts).min(ends);
            shifts.push((minute(from), minute(until)));
            from = until;
        }
    }
    shifts
}

/// The end of the best of all plans, one by one.
pub(super) fn brute_force(
    all: &[WaveRegion],
    rules: WaveRules,
    start: Timestamp,
) -> Option<Timestamp> {
    let mut best = None;
    go_on(all, rules, (&[], 0), start, &mut best);
    best
}

/// All plans that begin so, but for those that are no better than the best so far.
fn go_on(
    all: &[WaveRegion],
    rules: WaveRules,
    (done, last): (&[&WaveRegion], u64),
    from: Timestamp,
    best: &mut Option<Timestamp>,
) {
    let left: Vec<&WaveRegion> =
        all.iter().filter(|region| !done.iter().any(|other| other.id == region.id)).collect();
    if left.is_empty() {
        *best = Some(from);
        return;
    }
    // Many at once first: then there soon is something to be better than.
    for set in (1_u32..1 << left.len()).rev() {
        let within = |(n, _): &(usize, &&WaveRegion)| set >> n & 1 == 1;
        let wave: Vec<&WaveRegion> =
            left.iter().enumerate().filter(within).map(|(_, region)| *region).collect();
        if !may_follow(&wave, (done, last), all, rules) {
            continue;
        }
        // Nothing becomes possible but when somebody's hours begin.
        let hours = wave.iter().flat_map(|region| region.on_call.iter().map(|(begins, _)| *begins));
        let times: BTreeSet<Timestamp> = hours.filter(|at| *at > from).chain([from]).collect();
        let begins = times.into_iter().find(|at| is_attended(&wave, rules, *at));
        let Some(begins) = begins else { continue };
        let bake = if done.is_empty() { rules.first_bake } else { rules.bake };
        let baked = begins.plus(rules.rollout).plus(bake);
        if best.is_none_or(|best| baked < best) {
            let so_far: Vec<&WaveRegion> = done.iter().chain(&wave).copied().collect();
            go_on(all, rules, (&so_far, users(&wave)), baked, best);
        }
    }
}

/// That a plan has every region once and keeps every rule.
pub(super) fn keeps_the_rules(
    plan: &WavePlan,
    all: &[WaveRegion],
    rules: WaveRules,
    start: Timestamp,
) {
    let of = |names: &BTreeSet<RegionId>| -> Vec<&WaveRegion> {
        all.iter().filter(|region| names.contains(&region.id)).collect()
    };
    let (mut done, mut last, mut since): (Vec<&WaveRegion>, _, _) = (Vec::new(), 0, start);
    for (nth, wave) in plan.waves.iter().enumerate() {
        let regions = of(&wave.regions);
        assert!(wave.begins >= since && !regions.is_empty());
        assert!(may_follow(&regions, (&done, last), all, rules), "{plan}");
        assert!(is_attended(&regions, rules, wave.begins), "{plan}");
        let bake = if nth == 0 { rules.first_bake } else { rules.bake };
        assert_eq!(wave.baked, wave.begins.plus(rules.rollout).plus(bake));
        (since, last) = (wave.baked, users(&regions));
        done.extend(regions);
    }
    let mut names: Vec<_> = done.iter().map(|region| &region.id).collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), done.len()), (all.len(), all.len()));
}

pub(super) fn settings(
    regions: std::ops::RangeInclusive<usize>,
) -> impl Strategy<Value = (Vec<WaveRegion>, WaveRules)> {
    let hours = prop_oneof![
        2 => Just(Vec::new()),
        1 => (0_u64..300, 30_u64..400, 0_u64..200, 30_u64..900).prop_map(|(begins, lasts, pause, again)| {
            let next = begins + lasts + pause;
            shared_out(vec![(begins, begins + lasts), (next, next + again)])
        }),
    ];
    let one = (1_u64..100, hours, proptest::option::of(0_usize..8));
    let rules = (20_u8..=100, 5_u8..=60, 50_u32..600).prop_map(|(most, first, growth)| WaveRules {
        most_percent: most,
        first_percent: first,
        growth_percent: growth,
        ..rules()
    });
    (proptest::collection::vec(one, regions), rules).prop_map(|(regions, rules)| {
        let count = regions.len();
        let of = |(number, (users, on_call, partner)): (usize, (u64, _, Option<usize>))| {
            let to = partner.map(|other| other % count).filter(|other| *other != number);
            let failover = to.into_iter().map(|other| id(&format!("r{other}"))).collect();
            WaveRegion { failover, on_call, ..region(&format!("r{number}"), users) }
        };
        (regions.into_iter().enumerate().map(of).collect(), rules)
    })
}

/// Compares with all plans that there are, and says whether there is one.
pub(super) fn compare((regions, rules): &(Vec<WaveRegion>, WaveRules)) -> bool {
    let best = brute_force(regions, *rules, minute(0));
    match waves(regions, *rules, minute(0)) {
        Ok(plan) => {
            keeps_the_rules(&plan, regions, *rules, minute(0));
            assert!(plan.shortest);
            assert_eq!(plan.ends(), best, "{plan}");
            assert_eq!(waves(regions, *rules, minute(0)).unwrap(), plan);
        }
        Err(error) => {
            assert_eq!(best, None, "{error}");
            let proven = matches!(
                error,
                WaveError::NobodyThere { .. }
                    | WaveError::Stuck { .. }
                    | WaveError::TooLarge { .. }
                    | WaveError::Smaller { .. }
            );
            assert!(proven, "{error}");
            if let WaveError::NobodyThere { regions: named, from, .. } = &error {
                assert!(!named.is_empty());
                for region in regions.iter().filter(|region| named.contains(&region.id)) {
                    let begins = region.on_call.iter().map(|(begins, _)| *begins);
                    let mut times = begins.filter(|at| at > from).chain([*from]);
                    assert!(!times.any(|at| is_attended(&[region], *rules, at)), "{error}");
                }
            }
            let lax = WaveRules { never_smaller: false, ..*rules };
            let only = rules.never_smaller && waves(regions, lax, minute(0)).is_ok();
            assert_eq!(matches!(error, WaveError::Smaller { .. }), only, "{error}");
        }
    }
    best.is_some()
}

/// Runs so many cases, the same ones every time, and counts those of which `feasible` says so.
pub(super) fn count<S: Strategy>(cases: u32, of: &S, feasible: impl Fn(&S::Value) -> bool) -> u32 {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let found = std::cell::Cell::new(0);
    TestRunner::new_with_rng(config, rng)
        .run(of, |setting| {
            found.set(found.get() + u32::from(feasible(&setting)));
            Ok(())
        })
        .unwrap();
    found.get()
}

#[test]
fn no_plan_of_a_few_regions_ends_sooner() {
    let feasible = count(500, &settings(1..=5), compare);
    println!("{feasible} of 500 can be");
    assert!(feasible >= 150, "{feasible} of 500 can be");
}

#[test]
fn no_plan_of_six_to_eight_regions_ends_sooner() {
    let feasible: Vec<u32> =
        [6, 7, 8].map(|regions| count(100, &settings(regions..=regions), compare)).into();
    println!("{feasible:?} of 100 each can be");
    assert!(feasible.iter().all(|feasible| *feasible >= 60), "{feasible:?} of 100 each can be");
}

/// The same settings, with waves that never get smaller.
pub(super) fn growing(
    regions: std::ops::RangeInclusive<usize>,
) -> impl Strategy<Value = (Vec<WaveRegion>, WaveRules)> {
    settings(regions)
        .prop_map(|(regions, rules)| (regions, WaveRules { never_smaller: true, ..rules }))
}

#[test]
fn no_plan_of_waves_that_never_get_smaller_ends_sooner() {
    let later = std::cell::Cell::new(0);
    let one = |setting: &(Vec<WaveRegion>, WaveRules)| {
        let found = compare(setting);
        let lax = WaveRules { never_smaller: false, ..setting.1 };
        let ends = |rules| waves(&setting.0, rules, minute(0)).map(|plan| plan.ends());
        later.set(later.get() + u32::from(ends(setting.1) != ends(lax)));
        found
    };
    let few = count(500, &growing(1..=5), one);
    let many: Vec<u32> = [6, 7, 8].map(|all| count(60, &growing(all..=all), one)).into();
    println!("{few} of 500 and {many:?} of 60 each can be, {} no longer or later", later.get());
    assert!(few >= 120, "{few} of 500 can be");
    assert!(many.iter().all(|many| *many >= 25), "{many:?} of 60 each can be");
    assert!(later.get() >= 20, "{} are others than without the rule", later.get());
}

#[test]
fn waves_that_never_get_smaller_grow_until_what_is_left() {
    let all = [("a", 10), ("b", 12), ("c", 16), ("d", 28), ("e", 26), ("f", 8)];
    let all = all.map(|(name, users)| region(name, users));
    let rules = WaveRules { first_percent: 20, most_percent: 40, growth_percent: 150, ..rules() };
    let sizes = |rules: WaveRules| -> Vec<u64> {
        let plan = waves(&all, rules, minute(0)).unwrap();
        keeps_the_rules(&plan, &all, rules, minute(0));
        let of = |names: &BTreeSet<RegionId>| -> u64 {
            all.iter().filter(|region| names.contains(&region.id)).map(|region| region.users).sum()
        };
        plan.waves.iter().map(|wave| of(&wave.regions)).collect()
    };
    let grown = sizes(WaveRules { never_smaller: true, ..rules });
    assert!(grown[..grown.len() - 1].is_sorted(), "{grown:?}");
    assert_eq!(grown.iter().sum::<u64>(), 100);
    // A large region that has to be the first, and small ones that may not go with each other.
    let mut three = [region("big", 60), region("b", 20), region("c", 20)];
    three[1].failover.insert(id("c"));
    three[0].on_call = vec![(minute(0), minute(30))];
    let wide = WaveRules { most_percent: 60, first_percent: 60, never_smaller: true, ..rules };
    let error = waves(&three, wide, minute(0)).unwrap_err();
    assert!(matches!(&error, WaveError::Smaller { .. }), "{error}");
    assert!(error.to_string().contains("set `never_smaller` to false"), "{error}");
    assert!(waves(&three, WaveRules { never_smaller: false, ..wide }, minute(0)).is_ok());
    // Rules of before say nothing of it.
    let text = serde_json::to_string(&rules).unwrap();
    assert!(!text.contains("never_smaller"), "{text}");
    assert_eq!(serde_json::from_str::<WaveRules>(&text).unwrap(), rules);
}

#[test]
fn a_release_goes_round_the_world_while_people_are_awake() {
    let day = |hour: u64| (minute(60 * hour), minute(60 * (hour + 8)));
    let mut all = vec![
        region("tiny", 3),
        region("eu", 30),
        region("us", 40),
        region("eu-2", 12),
        region("us-2", 15),
    ];
    for (number, hour) in [(1, 8), (3, 8), (2, 14), (4, 14)] {
        all[number].on_call = vec![day(hour), day(hour + 24)];
    }
    all[1].failover.insert(id("eu-2"));
    all[2].failover.insert(id("us-2"));
    let plan = waves(&all, rules(), minute(0)).unwrap();
    keeps_the_rules(&plan, &all, rules(), minute(0));
    let told = "wave 1: tiny at 1970-01-01T00:00:00.000000Z, watched until 1970-01-01T01:10:00.000000Z\n\
                wave 2: eu-2 at 1970-01-01T08:00:00.000000Z, watched until 1970-01-01T08:40:00.000000Z\n\
                wave 3: eu at 1970-01-01T08:40:00.000000Z, watched until 1970-01-01T09:20:00.000000Z\n\
                wave 4: us-2 at 1970-01-01T14:00:00.000000Z, watched until 1970-01-01T14:40:00.000000Z\n\
                wave 5: us at 1970-01-01T14:40:00.000000Z, watched until 1970-01-01T15:20:00.000000Z";
    assert_eq!(plan.to_string(), told);
    assert_eq!(plan.ends(), Some(minute(15 * 60 + 20)));
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<WavePlan>(&json).unwrap(), plan);
}

#[test]
fn what_cannot_be_is_told_with_what_to_change() {
    let told =
        |regions: &[WaveRegion], rules: WaveRules| waves(regions, rules, minute(0)).unwrap_err();
    assert_eq!(told(&[], rules()), WaveError::Empty);
    let two = || vec![region("a", 50), region("b", 50)];
    let stuck = told(&two(), rules());
    assert!(matches!(&stuck, WaveError::Stuck { regions } if regions.len() == 2), "{stuck}");
    assert!(stuck.to_string().contains("a larger first wave"), "{stuck}");
    let large = told(&[region("a", 90), region("b", 10)], rules()).to_string();
    assert!(
        large.contains("region `a` has 90 % of all users, and a wave may reach 50 %"),
        "{large}"
    );
    let wide = WaveRules { first_percent: 100, most_percent: 100, ..rules() };
    let mut asleep = two();
    asleep[1].on_call = vec![(minute(0), minute(19))];
    let nobody = told(&asleep, wide);
    assert!(matches!(nobody, WaveError::NobodyThere { .. }), "{nobody}");
    asleep[1].on_call = vec![(minute(5), minute(30)), (minute(20), minute(40))];
    assert_eq!(told(&asleep, wide), WaveError::Hours(id("b")));
    let mut alone = two();
    alone[0].failover.insert(id("a"));
    assert!(matches!(told(&alone, wide), WaveError::FailsOverToNothing { .. }));
    assert_eq!(told(&[region("a", 1), region("a", 1)], wide), WaveError::Same(id("a")));
    let none = WaveRules { first_percent: 0, ..wide };
    assert!(told(&two(), none).to_string().contains("`first_percent` is 0; write 1 to 100"));
    let many: Vec<_> = (0..=MAX_REGIONS).map(|n| region(&format!("r{n}"), 1)).collect();
    assert_eq!(told(&many, wide), WaveError::TooMany(MAX_REGIONS + 1));
    // As many as are allowed, and no users at all.
    let plan = waves(&many[..MAX_REGIONS], wide, minute(0)).unwrap();
    assert_eq!((plan.waves.len(), plan.shortest, EXACT < MAX_REGIONS), (1, false, true));
    let empty: Vec<_> = (0..3).map(|n| region(&format!("r{n}"), 0)).collect();
    assert_eq!(waves(&empty, rules(), minute(0)).unwrap().waves.len(), 1);
}

/// What a definition is given of a plan: the order, and what each wave waits for.
#[test]
fn waves_are_a_stage_in_which_each_waits_for_its_time_and_for_the_bake_of_the_one_before() {
    let mut all = vec![region("eu", 10), region("us", 45), region("ap", 45)];
    all[1].failover.insert(id("ap"));
    let rules = WaveRules { growth_percent: 900, ..rules() };
    let plan = waves(&all, rules, minute(5)).unwrap();
    let stage = plan.stage_waves();
    let planned = plan.waves.iter().map(|wave| wave.regions.iter().cloned().collect::<Vec<_>>());
    assert_eq!(stage, planned.collect::<Vec<_>>());
    assert_eq!((stage.len(), &stage[0][..]), (3, &[id("eu")][..]));
    let begins = |number: usize| Gate::NotBefore(plan.waves[number].begins);
    assert_eq!(begins(0), Gate::NotBefore(minute(5)));
    assert_eq!(
        plan.wave_gates(rules),
        [
            vec![begins(0)],
            vec![begins(1), Gate::Soak(rules.first_bake)],
            vec![begins(2), Gate::Soak(rules.bake)]
        ]
    );
}

fn place(region: &str) -> Place {
    Place { region: Some(id(region)), ..Place::new(id("production")) }
}

/// A region's freezes, and all of them compiled.
fn off_call(region: &WaveRegion, attended: Span) -> (Vec<WindowSpec>, Windows) {
    let named = |number: usize| id(&format!("{}-{number}", region.id));
    let freezes = region.off_call(attended, &id("production"), &id("sre"), named);
    let built = freezes.iter().cloned().map(|freeze| freeze.build().unwrap());
    let windows = Windows::new(built).unwrap();
    (freezes, windows)
}

#[test]
fn a_region_is_frozen_whenever_nobody_would_be_there_long_enough() {
    let microsecond = |at: Timestamp, more: i64| Timestamp::from_micros(at.as_micros() + more);
    let feasible = count(500, &settings(1..=4), |(regions, rules)| {
        for region in regions {
            let (freezes, windows) = off_call(region, rules.attended);
            assert_eq!(freezes.is_empty(), region.on_call.is_empty());
            let edges = region.on_call.iter().flat_map(|(begins, ends)| {
                let last = microsecond(*ends, -1_200_000_000);
                [-1, 0, 1].map(|more| [*begins, last, *ends].map(|at| microsecond(at, more)))
            });
            let edges = edges.flatten().filter(|at| *at >= minute(0));
            for at in (0..2_000).map(minute).chain(edges) {
                let frozen = windows.freeze_in(&place(region.id.as_str()), at).is_some();
                assert_eq!(frozen, !is_attended(&[region], *rules, at), "{region:?} at {at}");
                assert!(windows.freeze_in(&place("elsewhere"), at).is_none());
            }
        }
        regions.iter().any(|region| !region.on_call.is_empty())
    });
    assert!(feasible >= 200, "{feasible} of 500 have hours");
}

#[test]
fn freezes_of_a_region_say_why_and_hold_for_ever_after_its_last_hours() {
    let mut us = region("us", 1);
    us.on_call =
        vec![(minute(60), minute(120)), (minute(130), minute(140)), (minute(200), minute(260))];
    let (freezes, windows) = off_call(&us, Span::secs(1_200));
    let ids: Vec<_> = freezes.iter().map(|freeze| freeze.id.to_string()).collect();
    assert_eq!(ids, ["us-1", "us-2", "us-3"], "ten minutes are not long enough");
    let after = |at: u64| Timestamp::from_micros(minute(at).as_micros() + 1);
    let whens = [(minute(0), minute(60)), (after(100), minute(200))];
    for (freeze, (from, until)) in freezes.iter().zip(whens) {
        assert_eq!(freeze.when, When::Between { from, until });
        assert_eq!(freeze.reason, "nobody is on call in `us` for 20m");
        assert_eq!(freeze.scope.regions, BTreeSet::from([id("us")]));
        assert_eq!(freeze.scope.environments, BTreeSet::from([id("production")]));
        assert_eq!(freeze.on_start, OnStart::Finish);
        let held = [ActionClass::Deploy, ActionClass::Advance, ActionClass::Migrate];
        assert_eq!(freeze.actions, held.into());
    }
    assert_eq!(freezes[2].reason, "no later hours are named in which somebody is on call in `us`");
    let century = id::<Timestamp>("2100-01-01T00:00:00Z");
    assert!(windows.freeze_in(&place("us"), century).is_some());
    // Hours out of order, which no planner takes, open nothing that is not in one of them.
    us.on_call =
        vec![(minute(200), minute(260)), (minute(60), minute(120)), (minute(230), minute(240))];
    let (_, windows) = off_call(&us, Span::secs(1_200));
    let open = (0..400).filter(|at| windows.freeze_in(&place("us"), minute(*at)).is_none());
    assert!(open.clone().count() > 0 && open.into_iter().all(|at| (200..=240).contains(&at)));
}
