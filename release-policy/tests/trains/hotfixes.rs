//! Hotfixes that fit the time that is kept for them, what they replace, and far too many of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::model::{HotfixId, RunId, Span};
use release_policy::train::calendar::ScheduledDeparture;
use release_policy::train::departure::{
    Hotfix, Lane, LaneError, MAX_LANE, MAX_NAMED, Superseded, UnderWay, lane,
};
use semver::Version;

use super::departures::{departure, hotfix};
use super::support::{id, minute};

/// Of one departure: how many minutes are kept, and hotfixes by when they come and how much work they are, all of which fits.
type Fitting = (u64, Vec<(u64, u64)>);

/// Some minutes, and hotfixes whose shares of them are drawn: nothing has to be thrown away.
fn fitting() -> impl Strategy<Value = Fitting> {
    let fixes = proptest::collection::vec((0..900_u64, 1..100_u64), 1..5);
    // Of so many hundredths of the time; in a third of all cases of all of it.
    let part = prop_oneof![1 => Just(100_u64), 2 => 20..100_u64];
    (5..200_u64, fixes, part).prop_map(|(kept, mut fixes, part)| {
        fixes.sort_unstable();
        let shares: u64 = fixes.iter().map(|(_, share)| share).sum();
        let all = kept * part / 100;
        let mut left = all;
        let count = fixes.len();
        for (nth, (_, work)) in fixes.iter_mut().enumerate() {
            *work = if nth + 1 == count { left } else { all * *work / shares };
            left -= *work;
        }
        (kept, fixes)
    })
}

fn lane_of(all: &[Fitting]) -> (Vec<ScheduledDeparture>, Vec<Hotfix>) {
    let departures = all.iter().enumerate().map(|(nth, (kept, _))| departure(nth, *kept)).collect();
    let fixes = all.iter().enumerate().flat_map(|(nth, (_, fixes))| {
        fixes.iter().map(move |(after, work)| (1_000 * nth as u64 + after, *work))
    });
    let hotfixes = fixes.enumerate().map(|(nth, (at, work))| hotfix(nth, at, work)).collect();
    (departures, hotfixes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn what_fits_moves_no_later_departure_and_a_minute_more_moves_just_the_next(
        all in proptest::collection::vec(fitting(), 2..6),
        which in any::<prop::sample::Index>(),
    ) {
        let (departures, mut hotfixes) = lane_of(&all);
        prop_assert!(hotfixes.iter().any(|fix| fix.work > Span::ZERO));
        prop_assert_eq!(lane(&departures, &hotfixes), Ok(Lane::default()));
        // One departure, but for the last, whose hotfixes take a minute more than is kept.
        let one = which.index(all.len() - 1);
        let (kept, fixes) = &all[one];
        let work: u64 = fixes.iter().map(|(_, work)| work).sum();
        let over = all[..one].iter().map(|(_, fixes)| fixes.len()).sum::<usize>() + fixes.len() - 1;
        let more = kept + 1 - work;
        hotfixes[over].work = Span::secs(60 * (fixes[fixes.len() - 1].1 + more));
        let found = lane(&departures, &hotfixes).unwrap();
        let first = &found.slips[0];
        prop_assert_eq!(&first.train, &departures[one + 1].id);
        prop_assert_eq!((first.by, first.departs), (Span::secs(60), departures[one + 1].departs.plus(Span::secs(60))));
        // Of those that share the time, the last one is what does not fit.
        prop_assert_eq!(&first.because, &vec![(hotfixes[over].id.clone(), Span::secs(60))]);
        prop_assert!(found.slips.iter().skip(1).all(|slip| slip.by <= Span::secs(60)));
    }

    #[test]
    fn each_older_rollout_is_replaced_by_exactly_one_decision(
        under_way in proptest::collection::vec((0..3_usize, 1..6_u64), 0..8),
        landed in proptest::collection::vec((0..3_usize, 1..7_u64, any::<bool>()), 1..5),
    ) {
        let named = |nth: usize| ["api", "web", "pay"][nth];
        let mut under_way: Vec<_> = under_way.iter().enumerate().map(|(nth, (service, major))| UnderWay {
            run: id(&format!("run-{nth}")),
            service: id(named(*service)),
            version: Version::new(*major, 0, 0),
        }).collect();
        let mut decided: Vec<Superseded> = Vec::new();
        let mut replaced: BTreeMap<RunId, HotfixId> = BTreeMap::new();
        for (nth, (service, major, rolls)) in landed.into_iter().enumerate() {
            let fix = Hotfix {
                service: id(named(service)),
                version: Version::new(major, 0, 0),
                ..hotfix(nth, 10, 5)
            };
            // All that is older of that service and that no decision replaced before.
            let older: BTreeSet<_> = under_way.iter().filter(|one| {
                one.service == fix.service && one.version < fix.version && !replaced.contains_key(&one.run)
            }).map(|one| (one.run.clone(), one.version.clone())).collect();
            let found = fix.supersedes(&under_way, &decided, minute(20 + nth as u64));
            prop_assert_eq!(found.is_some(), !older.is_empty());
            if let Some(found) = found {
                prop_assert_eq!((&found.by, found.at), (&fix.id, minute(20 + nth as u64)));
                prop_assert_eq!((&found.service, &found.version), (&fix.service, &fix.version));
                let told: BTreeSet<_> = found.replaces.iter().cloned().collect();
                prop_assert_eq!((told.len(), &told), (found.replaces.len(), &older));
                for (run, _) in &found.replaces {
                    prop_assert_eq!(replaced.insert(run.clone(), fix.id.clone()), None);
                }
                decided.push(found);
                // It is decided once, whatever is under way by then.
                prop_assert_eq!(fix.supersedes(&under_way, &decided, minute(90)), None);
            }
            if rolls {
                let run = id(&format!("fix-run-{nth}"));
                under_way.push(UnderWay { run, service: fix.service, version: fix.version });
            }
        }
        let hotfixes: BTreeSet<_> = decided.iter().map(|decision| &decision.by).collect();
        prop_assert_eq!(hotfixes.len(), decided.len());
    }
}

#[test]
fn too_many_are_refused_and_the_most_are_told() {
    let kept = 1;
    let departures =
        |count: usize| -> Vec<_> { (0..count).map(|nth| departure(nth, kept)).collect() };
    let fixes = |count: usize, work: u64| -> Vec<_> {
        (0..count).map(|nth| hotfix(nth, 0, work)).collect()
    };
    let too_many = |what, count| Err(LaneError::TooMany { what, count });
    assert_eq!(lane(&departures(1), &fixes(MAX_LANE + 1, 1)), too_many("hotfixes", MAX_LANE + 1));
    assert_eq!(lane(&departures(MAX_LANE + 1), &[]), too_many("departures", MAX_LANE + 1));
    // Each departure has time for one of them, and the next is moved by all that are left.
    let moved = lane(&departures(11), &fixes(MAX_LANE, 1)).unwrap();
    assert_eq!(moved.slips.len(), 10);
    let named: usize = moved.slips.iter().map(|slip| slip.because.len()).sum();
    assert_eq!((named, moved.left.len()), (10 * MAX_LANE - 55, MAX_LANE - 11));
    let error = lane(&departures(12), &fixes(MAX_LANE, 1)).unwrap_err();
    assert_eq!(error, LaneError::Swamped { train: id("weekly-11") });
    assert!(error.to_string().contains(&MAX_NAMED.to_string()), "{error}");
    // As many of both, all of which fit: nothing is moved.
    let each: Vec<_> = (0..MAX_LANE).map(|nth| hotfix(nth, 1_000 * nth as u64, kept)).collect();
    assert_eq!(lane(&departures(MAX_LANE), &each), Ok(Lane::default()));
}
