//! Waves of more regions than can all be divided in every way: what is refused as impossible is, and nearly all that can be is found.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{RegionId, Span};
use release_policy::train::{EXACT, WaveError, WaveRegion, WaveRules, waves};

use super::support::{id, minute};
use super::waves::{brute_force, count, growing, keeps_the_rules, region, rules, settings};

/// Whether there is no doubt about it.
fn is_certain(error: &WaveError) -> bool {
    matches!(
        error,
        WaveError::NobodyThere { .. } | WaveError::Stuck { .. } | WaveError::TooLarge { .. }
    )
}

/// Regions whose hours and users brute force can go through, beside so many without users that there are more than [`EXACT`]. These may go
/// with any wave and never hold one, and so change nothing, where the first wave is watched no longer than others.
fn padded(regions: &[WaveRegion]) -> Vec<WaveRegion> {
    let more = (regions.len()..=EXACT).map(|nth| region(&format!("empty-{nth}"), 0));
    regions.iter().cloned().chain(more).collect()
}

#[test]
fn beside_brute_force_nothing_is_refused_falsely_and_nearly_all_is_found() {
    let (missed, longer, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let one = |(regions, rules): &(Vec<WaveRegion>, WaveRules)| {
        let rules = WaveRules { first_bake: rules.bake, ..*rules };
        let best = brute_force(regions, rules, minute(0));
        let all = padded(regions);
        match (waves(&all, rules, minute(0)), best) {
            (Ok(plan), Some(best)) => {
                keeps_the_rules(&plan, &all, rules, minute(0));
                assert!(!plan.shortest);
                let ends = plan.ends().unwrap();
                assert!(ends >= best, "{plan}");
                longer.set(longer.get() + u32::from(ends > best));
            }
            (Err(WaveError::NoneFound { .. }), Some(_)) => missed.set(missed.get() + 1),
            (Err(error), None) => refused.set(refused.get() + u32::from(is_certain(&error))),
            (found, best) => panic!("{found:?}, and brute force says {best:?}"),
        }
        best.is_some()
    };
    let few = count(1_000, &settings(1..=5), one);
    let more = count(200, &settings(6..=8), one);
    let (feasible, infeasible) = (few + more, 1_200 - few - more);
    let (missed, longer, refused) = (missed.get(), longer.get(), refused.get());
    println!(
        "{feasible} can be: {missed} of these missed, {longer} take longer than the best; {infeasible} cannot: of {refused} that is certain"
    );
    assert!(feasible >= 300 && missed * 100 <= feasible, "{missed} of {feasible} are missed");
    assert!(longer * 5 <= feasible, "{longer} of {feasible} take longer than the best");
    assert!(refused * 2 >= infeasible, "of {refused} of {infeasible} it is certain");
}

/// Of each region: users, by what it is sorted into waves, hours before and after its wave, and a partner.
type Drawn = (u64, u32, Option<(u64, u64)>, Option<prop::sample::Index>);

/// Regions for which there are waves: drawn first, and then the rules and hours that just allow them.
///
/// Hours begin and end at most `spare` minutes before and after; so many regions have any.
fn planted(spare: u64, with_hours: f64) -> impl Strategy<Value = (Vec<WaveRegion>, WaveRules)> {
    let hours = proptest::option::weighted(with_hours, (0..spare, 0..spare));
    let partner = proptest::option::weighted(0.3, any::<prop::sample::Index>());
    let one = (1_u64..100, any::<u32>(), hours, partner);
    let sizes = proptest::collection::vec((1_usize..7, 0_u64..40), 40);
    (proptest::collection::vec(one, 13..=40), sizes).prop_map(|(mut drawn, sizes)| {
        drawn.sort_by_key(|(users, lot, ..)| {
            (*lot / 8 + u32::try_from(*users).unwrap() * 5_000_000, *lot)
        });
        plant(&drawn, &sizes)
    })
}

fn plant(drawn: &[Drawn], sizes: &[(usize, u64)]) -> (Vec<WaveRegion>, WaveRules) {
    let total: u64 = drawn.iter().map(|(users, ..)| users).sum();
    let (mut all, mut rules) =
        (Vec::new(), WaveRules { most_percent: 1, first_percent: 1, growth_percent: 1, ..rules() });
    let (mut left, mut before, mut at) = (drawn, 0, 0);
    let mut wave_of = Vec::new();
    for (nth, (size, waits)) in sizes.iter().enumerate() {
        let (wave, rest) = left.split_at((*size).min(left.len()));
        if wave.is_empty() {
            break;
        }
        let users: u64 = wave.iter().map(|(users, ..)| users).sum();
        let percent = u8::try_from((users * 100).div_ceil(total)).unwrap();
        rules.most_percent = rules.most_percent.max(percent);
        if nth == 0 {
            rules.first_percent = percent;
        } else {
            let growth = u32::try_from((users * 100).div_ceil(before)).unwrap();
            rules.growth_percent = rules.growth_percent.max(growth);
        }
        let begins = at + waits;
        for (users, _, hours, _) in wave {
            let name = format!("r{}", all.len());
            let on_call = hours.map(|(early, late)| {
                (minute(begins.saturating_sub(early)), minute(begins + 20 + late))
            });
            all.push(WaveRegion {
                on_call: on_call.into_iter().collect(),
                ..region(&name, *users)
            });
            wave_of.push(nth);
        }
        at = begins + 10 + if nth == 0 { 60 } else { 30 };
        (left, before) = (rest, before + users);
    }
    // Partners in other waves.
    for (number, (.., partner)) in drawn.iter().enumerate() {
        let other = partner.map(|other| other.index(drawn.len()));
        if let Some(other) = other.filter(|other| wave_of[*other] != wave_of[number]) {
            all[number].failover.insert(id(&format!("r{other}")));
        }
    }
    (all, rules)
}

/// How many are found of so many for which there is a plan, in an order that nobody would guess, with rules that allow just that.
fn found(cases: u32, spare: u64, with_hours: f64) -> u32 {
    let one =
        |(regions, rules): &(Vec<WaveRegion>, WaveRules)| match waves(regions, *rules, minute(0)) {
            Ok(plan) => {
                keeps_the_rules(&plan, regions, *rules, minute(0));
                assert_eq!(waves(regions, *rules, minute(0)).unwrap(), plan);
                !plan.shortest
            }
            Err(WaveError::NoneFound { regions }) => {
                assert!(!regions.is_empty());
                false
            }
            Err(error) => panic!("there are waves: {error}"),
        };
    let found = count(cases, &planted(spare, with_hours), one);
    println!("with {spare} minutes to spare {found} of {cases} are found");
    found
}

#[test]
fn of_many_regions_for_which_there_are_waves_most_are_found_and_none_is_called_impossible() {
    assert!(found(400, 120, 0.6) >= 380);
    assert!(found(200, 30, 0.8) >= 150);
    assert!(found(200, 10, 0.95) >= 100);
}

#[test]
fn plans_of_many_regions_keep_the_rules() {
    let certain = Cell::new(0);
    let found = count(500, &settings(13..=40), |(regions, rules)| {
        match waves(regions, *rules, minute(0)) {
            Ok(plan) => {
                keeps_the_rules(&plan, regions, *rules, minute(0));
                !plan.shortest
            }
            Err(error) => {
                certain.set(certain.get() + u32::from(is_certain(&error)));
                false
            }
        }
    });
    println!("{found} of 500 are found, and {} cannot be", certain.get());
    assert!(found >= 450, "{found} of 500 are found");
    assert!(
        found + certain.get() >= 490,
        "{found} of 500 are found, and {} cannot be",
        certain.get()
    );
}

#[test]
fn plans_of_many_regions_never_get_smaller_where_they_must_not() {
    let found =
        count(300, &growing(13..=40), |(regions, rules)| match waves(regions, *rules, minute(0)) {
            Ok(plan) => {
                keeps_the_rules(&plan, regions, *rules, minute(0));
                true
            }
            Err(WaveError::Smaller { .. }) => panic!("not all were looked at"),
            Err(_) => false,
        });
    println!("{found} of 300 are found");
    assert!(found >= 60, "{found} of 300 are found");
}

/// Everything may go at once, but for hours and partners.
fn wide() -> WaveRules {
    WaveRules { most_percent: 100, first_percent: 100, growth_percent: 500, ..rules() }
}

fn small(count: usize) -> impl Iterator<Item = WaveRegion> {
    (0..count).map(|nth| region(&format!("small-{nth:02}"), 1))
}

#[test]
fn who_has_to_begin_first_does_although_another_is_as_large() {
    let rules = WaveRules { first_bake: Span::secs(3_600), bake: Span::secs(3_600), ..wide() };
    let mut two = [region("a", 50), region("b", 50)];
    two[1].on_call = vec![(minute(0), minute(30))];
    two[1].failover.insert(id("a"));
    let all: Vec<_> = two.into_iter().chain(small(11)).collect();
    assert_eq!(all.len(), EXACT + 1);
    let plan = waves(&all, rules, minute(0)).unwrap();
    keeps_the_rules(&plan, &all, rules, minute(0));
    assert!(plan.waves[0].regions.contains(&id("b")), "{plan}");
    assert_eq!((plan.waves.len(), plan.ends()), (2, Some(minute(140))), "{plan}");
}

#[test]
fn what_cannot_be_is_called_so_where_that_is_shown() {
    let named = |names: &[&str]| names.iter().map(|name| id(name)).collect::<Vec<RegionId>>();
    let refused = |all: Vec<WaveRegion>, rules: WaveRules| {
        assert!(all.len() > EXACT);
        waves(&all, rules, minute(0)).unwrap_err()
    };
    let with = |one: WaveRegion| [one].into_iter().chain(small(12)).collect::<Vec<_>>();
    let attended = wide().attended;
    let nobody = |from| WaveError::NobodyThere { regions: named(&["big"]), attended, from };
    // Hours that are too short, and those that are over when a wave that large may follow.
    let big = |on_call: Vec<(u64, u64)>| WaveRegion {
        on_call: on_call.into_iter().map(|(from, until)| (minute(from), minute(until))).collect(),
        ..region("big", 30)
    };
    assert_eq!(refused(with(big(vec![(0, 19), (30, 49)])), wide()), nobody(minute(0)));
    let narrow = WaveRules { first_percent: 15, ..wide() };
    assert_eq!(refused(with(big(vec![(0, 89)])), narrow), nobody(minute(70)));
    assert!(waves(&with(big(vec![(0, 90)])), narrow, minute(0)).is_ok());
    // Growth that never reaches so far.
    let slow = WaveRules { growth_percent: 200, ..narrow };
    let stuck = WaveError::Stuck { regions: named(&["big"]) };
    assert_eq!(refused(with(big(Vec::new())), slow), stuck);
    let first = WaveRules { first_percent: 1, ..wide() };
    let error = refused(with(big(Vec::new())), first);
    assert!(matches!(&error, WaveError::Stuck { regions } if regions.len() == 13), "{error}");
}

#[test]
fn what_was_only_not_found_is_not_called_impossible() {
    let mut two = [region("a", 50), region("b", 50)];
    for one in &mut two {
        one.on_call = vec![(minute(0), minute(30))];
    }
    two[1].failover.insert(id("a"));
    let all: Vec<_> = two.into_iter().chain(small(11)).collect();
    let error = waves(&all, wide(), minute(0)).unwrap_err();
    let WaveError::NoneFound { regions } = &error else { panic!("{error:?}") };
    let left: BTreeSet<_> = regions.iter().map(RegionId::as_str).collect();
    assert!(left.len() == 1 && left.is_subset(&["a", "b"].into()), "{left:?}");
    let told = error.to_string();
    for part in ["There may be some all the same", "parts of at most 12 regions", "name more hours"]
    {
        assert!(told.contains(part), "{told}");
    }
}
