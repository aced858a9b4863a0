//! Waves of regions with many hours on call, beside all that could be, and hours that are meant to do harm.

use proptest::prelude::*;
use release_core::model::{Span, Timestamp};
use release_policy::train::{EXACT, MAX_HOURS, WaveError, WavePlan, WaveRegion, WaveRules, waves};
use release_policy::window::When;

use super::support::{id, minute};
use super::waves::{compare, count, keeps_the_rules, region, rules};

/// How many minutes a day has.
const DAY: u64 = 24 * 60;

/// Everything may go at once, but for hours.
fn wide() -> WaveRules {
    WaveRules { most_percent: 100, first_percent: 100, growth_percent: 2_000, ..rules() }
}

/// So many regions that share out 366 days among them: whenever one begins, that of another ends.
fn round_the_clock(regions: u64) -> Vec<WaveRegion> {
    let shift = DAY / regions;
    let of = |number: u64| {
        let begins = (0..366).map(|day| day * DAY + number * shift);
        let on_call = begins.map(|begins| (minute(begins), minute(begins + shift))).collect();
        WaveRegion { on_call, ..region(&format!("r{number}"), 1) }
    };
    (0..regions).map(of).collect()
}

fn planned(all: &[WaveRegion], rules: WaveRules, start: Timestamp) -> WavePlan {
    let plan = waves(all, rules, start).unwrap();
    keeps_the_rules(&plan, all, rules, start);
    plan
}

#[test]
fn regions_that_never_have_people_at_once_go_one_by_one_round_the_clock() {
    let all = round_the_clock(12);
    assert_eq!(all.len(), EXACT);
    // The last begins at ten in the evening, on the first day as on the last.
    for day in [0, 365] {
        let plan = planned(&all, wide(), minute(day * DAY));
        let ends = minute(day * DAY + 22 * 60 + 40);
        assert_eq!((plan.waves.len(), plan.ends(), plan.shortest), (12, Some(ends), true));
    }
    let error = waves(&all, wide(), minute(366 * DAY)).unwrap_err();
    assert!(matches!(&error, WaveError::NobodyThere { regions, .. } if regions.len() == 12));
}

#[test]
fn so_do_more_regions_than_can_all_be_divided_in_every_way() {
    let all = round_the_clock(24);
    let plan = planned(&all, wide(), minute(0));
    assert_eq!((plan.waves.len(), plan.ends()), (24, Some(minute(23 * 60 + 40))), "{plan}");
}

/// Two regions that have to go together, and are there at once only in the last of as many hours as there may be.
#[test]
fn the_only_hour_that_two_regions_share_is_found_behind_all_others() {
    let hour = |begins: u64| (minute(begins), minute(begins + 20));
    let last = 1_000_000;
    let until_then = |offset: u64| {
        let alone = (1..MAX_HOURS as u64).map(|nth| hour(90 * nth + offset));
        alone.chain([hour(last)]).collect::<Vec<_>>()
    };
    let with = |name: &str, users: u64, on_call: Vec<(Timestamp, Timestamp)>| WaveRegion {
        on_call,
        ..region(name, users)
    };
    let all = [
        with("now", 50, vec![hour(0)]),
        with("one", 25, until_then(0)),
        with("other", 25, until_then(40)),
    ];
    assert!(all[1..].iter().all(|region| region.on_call.len() == MAX_HOURS));
    // Neither may go alone after the first, which is as large as both: only the last wave may be smaller.
    let together = WaveRules { most_percent: 50, never_smaller: true, ..wide() };
    let plan = planned(&all, together, minute(0));
    assert_eq!((plan.waves.len(), plan.waves[1].begins), (2, minute(last)), "{plan}");
    // Each alone goes sooner.
    let plan = planned(&all, WaveRules { never_smaller: false, ..together }, minute(0));
    assert!(plan.ends() < Some(minute(300)), "{plan}");
}

#[test]
fn more_hours_than_are_looked_at_are_refused() {
    let hours = |hours: u64| {
        let on_call = (0..hours).map(|nth| (minute(60 * nth), minute(60 * nth + 30))).collect();
        [WaveRegion { on_call, ..region("eu", 1) }, region("us", 1)]
    };
    let error = waves(&hours(1_000_000), wide(), minute(0)).unwrap_err();
    assert_eq!(error, WaveError::TooManyHours { region: id("eu"), hours: 1_000_000 });
    let told = "region `eu` has 1000000 hours on call, and at most 10000 are looked at";
    assert!(error.to_string().starts_with(told), "{error}");
    assert_eq!(planned(&hours(MAX_HOURS as u64), wide(), minute(0)).waves.len(), 1);
}

/// Hours that touch are one: neither a plan nor a freeze sees a gap where somebody takes over.
#[test]
fn whoever_takes_over_goes_on_helping() {
    let shifts = |shifts: &[(u64, u64)]| {
        shifts.iter().map(|(from, until)| (minute(*from), minute(*until))).collect::<Vec<_>>()
    };
    let half = WaveRules { attended: Span::secs(30 * 60), ..wide() };
    let short = WaveRegion { on_call: shifts(&[(0, 20), (20, 40)]), ..region("b", 1) };
    let plan = planned(&[region("a", 1), short.clone()], half, minute(0));
    assert_eq!((plan.waves.len(), plan.waves[0].begins), (1, minute(0)), "{plan}");
    let apart = WaveRegion { on_call: shifts(&[(0, 20), (21, 40)]), ..region("b", 1) };
    let error = waves(&[region("a", 1), apart], half, minute(0)).unwrap_err();
    assert!(matches!(error, WaveError::NobodyThere { .. }), "{error}");
    let freezes = |region: &WaveRegion, rules: WaveRules| -> Vec<When> {
        let named = |number: usize| id(&format!("b-{number}"));
        let freezes = region.off_call(rules.attended, &id("production"), &id("sre"), named);
        freezes.into_iter().map(|freeze| freeze.when).collect()
    };
    let after = |at: u64| Timestamp::from_micros(minute(at).as_micros() + 1);
    let begins = |found: &[When]| -> Vec<Timestamp> {
        let from = found.iter().map(|when| match when {
            When::Between { from, .. } => *from,
            other => panic!("{other:?}"),
        });
        from.collect()
    };
    assert_eq!(begins(&freezes(&short, half)), [after(10)]);
    // Three shifts a day, for three days: closed only as the last one ends.
    let hour = WaveRules { attended: Span::secs(3_600), ..wide() };
    let round: Vec<(u64, u64)> = (0..9).map(|nth| (480 * nth, 480 * (nth + 1))).collect();
    let round = WaveRegion { on_call: shifts(&round), ..region("b", 1) };
    assert_eq!(begins(&freezes(&round, hour)), [after(3 * DAY - 60)]);
    let plan = planned(&[round], hour, minute(450));
    assert_eq!((plan.waves[0].begins, plan.shortest), (minute(450), true));
}

/// What only has to wait until others are done is not said to have nobody.
#[test]
fn only_regions_in_which_nobody_is_there_are_told_of_as_such() {
    let asleep = WaveRegion { on_call: vec![(minute(0), minute(19))], ..region("asleep", 20) };
    let all = [region("first", 10), asleep, region("large", 70)];
    let grow = WaveRules { first_percent: 10, growth_percent: 400, ..wide() };
    let error = waves(&all, grow, minute(0)).unwrap_err();
    let (attended, from) = (grow.attended, minute(70));
    let regions = vec![id("asleep")];
    assert_eq!(error, WaveError::NobodyThere { regions, attended, from });
    // Where somebody is, both go.
    let mut awake = all;
    awake[1].on_call.clear();
    assert_eq!(planned(&awake, grow, minute(0)).waves.len(), 3);
}

/// Regions with many short hours, many of which touch, and some of which are too short.
fn many_hours() -> impl Strategy<Value = (Vec<WaveRegion>, WaveRules)> {
    let hours = proptest::collection::vec((0_u64..40, 1_u64..60), 1..40);
    let all = proptest::collection::vec((1_u64..100, hours), 2..=3);
    (all, 0_u64..40, 50_u8..=100).prop_map(|(all, attended, first_percent)| {
        let of = |(number, (users, hours)): (usize, (u64, Vec<(u64, u64)>))| {
            let mut at = 0;
            let next = |(pause, lasts): (u64, u64)| {
                // Half of them begin as the last ones end.
                let begins = at + pause.saturating_sub(20);
                at = begins + lasts;
                (minute(begins), minute(at))
            };
            let on_call = hours.into_iter().map(next).collect();
            WaveRegion { on_call, ..region(&format!("r{number}"), users) }
        };
        let attended = Span::secs(60 * attended);
        (
            all.into_iter().enumerate().map(of).collect(),
            WaveRules { first_percent, attended, ..wide() },
        )
    })
}

#[test]
fn no_plan_of_regions_with_many_hours_ends_sooner() {
    let feasible = count(300, &many_hours(), compare);
    println!("{feasible} of 300 can be");
    assert!(feasible >= 60, "{feasible} of 300 can be");
}
