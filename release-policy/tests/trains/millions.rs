//! A million items of a scope, items that a sign-off names, dependencies of a calendar, regions of waves, cars and verified sets: taken in one
//! go, or refused in words that say how much there may be. So many suites, attempts, stages, or windows beside departures are not tried here.
//!
//! Beside this: `calendar_bounds` and `calendar_refused` for what calendars are made of, `models` for histories, `compat_hostile` for
//! catalogues, `departures` and `journeys` for as many as are taken, and `builds::graph` of `release-core` for builds.

use std::collections::BTreeSet;

use release_core::model::{ActivityId, Digest, ItemId, Principal};
use release_policy::compat::{MOST_SETS, VerifiedSet, VerifiedSets, Versions};
use release_policy::train::calendar::{Activity, Calendar, CalendarError, MAX_DEPENDENCIES, Phase};
use release_policy::train::departure::{Boarding, BoardingError, Car, MAX_CARS};
use release_policy::train::{
    Changed, Coverage, How, ItemKind, Lack, MAX_ITEMS, MAX_REGIONS, ReleaseScope, Requirement,
    ScopeError, ScopeItem, SignOff, SignOffs, Signing, Statement, WaveError, waves,
};
use semver::Version;

use super::calendar::{hours, name};
use super::season::autumn;
use super::support::{directory, id, minute};
use super::waves::{region, rules};

const MILLION: usize = 1_000_000;

fn item(number: usize) -> ScopeItem {
    ScopeItem::new(id(&format!("i-{number}")), ItemKind::Fix, "x", id("team"))
}

#[test]
fn a_scope_of_a_million_items_is_refused_and_what_a_sign_off_names_may_be_a_million() {
    let error = ReleaseScope::new((0..MILLION).map(item), []).unwrap_err();
    assert_eq!(error, ScopeError::TooMany(MAX_ITEMS + 1), "it stops at the first too many");
    assert!(error.to_string().contains("are more than 100000; split the release"), "{error}");
    // As many as there may be, and a sign-off that names ten times as many.
    let scope = ReleaseScope::new((0..MAX_ITEMS).map(item), []).unwrap();
    let items: BTreeSet<ItemId> = (0..MILLION).map(|number| id(&format!("i-{number}"))).collect();
    let covers = Coverage { items, ..Coverage::default() };
    let required = Requirement::new(id("all"), id("team"), id("boss"), minute(9)).covering(covers);
    let sign_offs = SignOffs::new([required]).unwrap();
    let covered = sign_offs.covered(&scope, &id("all")).unwrap();
    assert_eq!(covered.len(), MAX_ITEMS);
    let (directory, ann) = (directory(&[("ann", &["boss"])]), Principal::human(id("ann")));
    let asked =
        Signing { scope: &scope, said: &[], by: &ann, directory: &directory, at: minute(1) };
    let said = [sign_offs.sign(&id("all"), covered.digest(), &asked).unwrap()];
    let complete: BTreeSet<ItemId> = scope.items().map(|item| item.id.clone()).collect();
    assert!(sign_offs.readiness(&scope, &said, &complete, minute(2)).is_ready());
    // All of them altered: each is told.
    let altered = |number| ScopeItem { title: "y".into(), ..item(number) };
    let altered = ReleaseScope::new((0..MAX_ITEMS).map(altered), []).unwrap();
    let readiness = sign_offs.readiness(&altered, &said, &complete, minute(2));
    let [missing] = &readiness.missing[..] else { panic!("{}", readiness.missing.len()) };
    let Lack::Voided { changes, .. } = &missing.what else { panic!("{missing}") };
    assert_eq!(changes.len(), MAX_ITEMS);
}

/// A million pieces that were signed, of which each is looked at: what identifies an item is found once, not for each sign-off.
#[test]
fn two_hundred_sign_offs_of_five_thousand_items_are_all_compared() {
    let scope = ReleaseScope::new((0..5_000).map(item), []).unwrap();
    let covers = scope.covered(&Coverage::default());
    let required = |nth: usize| {
        // The same in the end, said in two ways.
        let owners = if nth.is_multiple_of(2) { BTreeSet::new() } else { [id("team")].into() };
        let covers = Coverage { owners, ..Coverage::default() };
        Requirement::new(id(&format!("s-{nth}")), id("team"), id("boss"), minute(9))
            .covering(covers)
    };
    let sign_offs = SignOffs::new((0..200).map(required)).unwrap();
    let signed = |nth: usize| {
        let (by, covers) = (id("ann"), covers.clone());
        Statement::Signed(SignOff { id: id(&format!("s-{nth}")), by, at: minute(1), covers })
    };
    let said: Vec<Statement> = (0..200).map(signed).collect();
    let complete: BTreeSet<ItemId> = scope.items().map(|item| item.id.clone()).collect();
    assert!(sign_offs.readiness(&scope, &said, &complete, minute(2)).is_ready());
    let mut altered = scope;
    altered.change(ScopeItem { title: "y".into(), ..item(7) }).unwrap();
    let missing = sign_offs.readiness(&altered, &said, &complete, minute(2)).missing;
    assert_eq!(missing.len(), 200);
    for one in missing {
        let Lack::Voided { changes, .. } = &one.what else { panic!("{one}") };
        assert_eq!(*changes, [Changed::Item(id("i-7"), How::Altered)]);
    }
}

#[test]
fn more_than_a_million_dependencies_are_refused() {
    let all: BTreeSet<ActivityId> = (0..1_000).map(name).collect();
    let work = |nth: usize| Activity::new(name(nth), Phase::Qa, id("a"), hours(0));
    let mut spec = autumn();
    spec.activities = (0..2_001).map(work).collect();
    for one in spec.activities.iter_mut().skip(1_000) {
        one.after.clone_from(&all);
    }
    let error = Calendar::new(spec.clone()).unwrap_err();
    let count = MILLION + 1_000;
    let what = "dependencies";
    assert_eq!(error, CalendarError::TooMany { what, count, max: MAX_DEPENDENCIES });
    assert!(error.to_string().contains("at most 1000000 are reckoned with"), "{error}");
    spec.activities.pop();
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    assert_eq!(solution.activities.len(), 2_000);
}

#[test]
fn a_million_regions_and_a_million_cars_are_refused() {
    let all: Vec<_> = (0..MILLION).map(|nth| region(&format!("r-{nth}"), 1)).collect();
    let error = waves(&all, rules(), minute(0)).unwrap_err();
    assert_eq!(error, WaveError::TooMany(MILLION));
    assert!(error.to_string().contains(&format!("are more than {MAX_REGIONS}")), "{error}");
    let car = |nth: usize| Car::new(id(&format!("s-{nth}")), Version::new(1, 0, 0), id("team"));
    let cars: Vec<_> = (0..MILLION).map(car).collect();
    let deployed = Versions::new();
    let (shared, verified, until) = (&[], &[], minute(1));
    let boarding = Boarding { cars: &cars, shared, until, deployed: &deployed, verified };
    let error = boarding.board().unwrap_err();
    assert_eq!(error, BoardingError::TooMany(MILLION));
    assert!(error.to_string().contains(&format!("are more than {MAX_CARS}")), "{error}");
}

/// Of what was verified the last are kept, however many there were.
#[test]
fn of_a_million_verified_sets_the_last_are_kept() {
    let set = |nth: usize| {
        let versions: Versions = [(id("api"), Version::new(1, 0, 0))].into();
        VerifiedSet::of(versions, Digest::of(&nth.to_le_bytes()))
    };
    let mut verified = VerifiedSets::default();
    for nth in 0..MILLION {
        let oldest = verified.record(set(nth)).unwrap();
        assert_eq!(oldest.is_some(), nth >= MOST_SETS);
    }
    assert_eq!(verified.sets().len(), MOST_SETS);
    assert_eq!(verified.sets().last(), Some(&set(MILLION - 1)));
}
