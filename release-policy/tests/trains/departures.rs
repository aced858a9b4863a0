//! Who boards, and the time that is kept for hotfixes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::model::{Digest, HotfixId, ServiceId, Span, Timestamp};
use release_policy::compat::{VerifiedSet, Versions};
use release_policy::train::calendar::ScheduledDeparture;
use release_policy::train::departure::{
    Behind, Boarded, Boarding, BoardingError, Car, Hotfix, Lane, LaneError, MAX_CARS, MAX_VERIFIED,
    NotProven, Superseded, UnderWay, lane,
};
use semver::Version;

use super::support::{id, minute};

/// When boarding ends.
pub(super) const UNTIL: u64 = 100;

pub(super) fn service(nth: usize) -> ServiceId {
    id(&format!("s-{nth}"))
}

fn version(major: u64) -> Version {
    Version::new(major, 0, 0)
}

pub(super) fn all_at(services: usize, major: u64) -> Versions {
    (0..services).map(|nth| (service(nth), version(major))).collect()
}

/// Cars with what they need, and groups that share a version.
pub(super) fn train() -> impl Strategy<Value = (Vec<Car>, Vec<BTreeSet<ServiceId>>)> {
    let car = (any::<u8>(), 0..4_usize);
    let cars = proptest::collection::vec(car, 1..=8).prop_map(|all| {
        let count = all.len();
        let one = |(nth, (needs, ready)): (usize, (u8, usize))| {
            let mut car = Car::new(service(nth), version(2), id("team"));
            // Few of them, or else all depend on all.
            let needs = (0..count).filter(|other| *other != nth && needs >> other & 1 == 1);
            car.needs = needs.take(2).map(service).collect();
            car.ready =
                [None, Some(minute(UNTIL)), Some(minute(UNTIL)), Some(minute(UNTIL + 1))][ready];
            car
        };
        all.into_iter().enumerate().map(one).collect::<Vec<_>>()
    });
    let group = proptest::collection::btree_set((0..10_usize).prop_map(service), 0..3);
    (cars, proptest::collection::vec(group, 0..2))
}

/// The most cars that are ready and of which none needs one that is not among them, by trying all sets.
pub(super) fn most(cars: &[Car], shared: &[BTreeSet<ServiceId>]) -> BTreeSet<ServiceId> {
    let riding = |id: &ServiceId| cars.iter().any(|car| car.service == *id);
    let whole = |set: &u32| {
        let within = |nth: usize| set >> nth & 1 == 1;
        let has = |id: &ServiceId| {
            cars.iter().enumerate().any(|(nth, car)| within(nth) && car.service == *id)
        };
        cars.iter().enumerate().filter(|(nth, _)| within(*nth)).all(|(_, car)| {
            let group = shared.iter().filter(|group| group.contains(&car.service)).flatten();
            let mut stays = group.clone().filter(|id| !riding(id));
            let torn = stays.any(|id| all_at(8, 1).contains_key(id));
            let ready = !torn && car.ready.is_some_and(|at| at <= minute(UNTIL));
            ready && car.needs.iter().chain(group).filter(|id| riding(id)).all(has)
        })
    };
    let best = (0..1_u32 << cars.len()).filter(whole).max_by_key(|set| set.count_ones()).unwrap();
    let named = cars.iter().enumerate().filter(|(nth, _)| best >> nth & 1 == 1);
    named.map(|(_, car)| car.service.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn a_late_car_takes_exactly_those_that_depend_on_it((cars, shared) in train()) {
        let deployed = all_at(8, 1);
        let boarding = Boarding { cars: &cars, shared: &shared, until: minute(UNTIL), deployed: &deployed, verified: &[] };
        let Boarded { aboard, behind, proof, instead } = boarding.board().unwrap();
        let riding: BTreeSet<_> = aboard.keys().cloned().collect();
        prop_assert_eq!(&riding, &most(&cars, &shared));
        prop_assert_eq!(riding.len() + behind.len(), cars.len());
        prop_assert!(proof.is_none() && instead.is_none());
        for (left, why) in &behind {
            let car = cars.iter().find(|car| car.service == *left).unwrap();
            let sound = match why {
                Behind::Late { ready } => *ready == car.ready && ready.is_none_or(|at| at > minute(UNTIL)),
                Behind::Needs { service } => car.needs.contains(service) && behind.contains_key(service),
                Behind::Shares { service } => shared.iter().any(|group| group.contains(left) && group.contains(service)),
                _ => false,
            };
            prop_assert!(sound, "{}: {}", left, why);
        }
        // What is left is proved by the set that was verified with it, and by no other.
        let mut live = deployed.clone();
        live.extend(aboard.clone());
        let set = |versions: &Versions| VerifiedSet::of(versions.clone(), Digest::of(b"report"));
        let mut other = live.clone();
        other.insert(service(0), version(9));
        for (verified, proved) in [(set(&live), !aboard.is_empty()), (set(&other), false)] {
            let verified = [verified];
            let again = Boarding { verified: &verified, ..boarding }.board().unwrap();
            prop_assert_eq!(again.proof.is_some(), proved);
            prop_assert_eq!(&again.aboard, &aboard);
            // Just what is proved departs.
            match again.departing() {
                Ok(departing) => prop_assert_eq!((departing, proved), ((&aboard, Digest::of(b"report")), true)),
                Err(NotProven::NobodyAboard { behind }) => prop_assert_eq!((behind, aboard.len()), (cars.len(), 0)),
                Err(NotProven::Together { aboard: named, .. }) => prop_assert_eq!((named, proved), (riding.clone(), false)),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }

    #[test]
    fn hotfixes_that_fit_move_no_departure(
        kept in proptest::collection::vec(0..100_u64, 1..6),
        fixes in proptest::collection::vec((0..6_usize, 0..60_u64, 0..50_u64), 0..8),
    ) {
        let departures: Vec<_> = kept.iter().enumerate().map(|(nth, kept)| departure(nth, *kept)).collect();
        let mut fixes: Vec<_> = fixes.into_iter().filter(|(nth, ..)| *nth < kept.len()).collect();
        fixes.sort_by_key(|(nth, after, _)| (*nth, *after));
        let hotfixes: Vec<_> = fixes.iter().enumerate().map(|(nth, (after, at, work))| hotfix(nth, 1_000 * *after as u64 + at, *work)).collect();
        let Lane { slips: found, left: after_all } = lane(&departures, &hotfixes).unwrap();
        // What each departure is late by, minute by minute: what is left of the work when the time for it is used up.
        let mut left: Vec<(HotfixId, u64)> = Vec::new();
        let mut wanted = Vec::new();
        for (nth, kept) in kept.iter().enumerate() {
            let own = fixes.iter().zip(&hotfixes).filter(|((after, ..), _)| *after == nth);
            left.extend(own.map(|((.., work), hotfix)| (hotfix.id.clone(), *work)));
            for _ in 0..*kept {
                if let Some((_, work)) = left.iter_mut().find(|(_, work)| *work > 0) {
                    *work -= 1;
                }
            }
            left.retain(|(_, work)| *work > 0);
            if nth + 1 < departures.len() && !left.is_empty() {
                wanted.push((departures[nth + 1].id.clone(), left.clone()));
            }
        }
        let minutes = |left: &[(HotfixId, Span)]| -> Vec<_> {
            left.iter().map(|(id, span)| (id.clone(), span.as_duration().as_secs() / 60)).collect()
        };
        prop_assert_eq!(minutes(&after_all), left);
        let told: Vec<_> = found.iter().map(|slip| {
            let because = slip.because.iter().map(|(id, span)| (id.clone(), span.as_duration().as_secs() / 60)).collect::<Vec<_>>();
            (slip.train.clone(), because)
        }).collect();
        prop_assert_eq!(told, wanted);
        for slip in &found {
            let all: u64 = slip.because.iter().map(|(_, span)| span.as_duration().as_secs()).sum();
            prop_assert_eq!(slip.by, Span::secs(all));
            prop_assert_eq!(slip.departs, slip.planned.plus(slip.by));
        }
        let fits = (0..kept.len()).all(|nth| {
            fixes.iter().filter(|(after, ..)| *after == nth).map(|(.., work)| work).sum::<u64>() <= kept[nth]
        });
        prop_assert!(!fits || found.is_empty());
    }
}

/// The departure at so many thousand minutes, with so many minutes for hotfixes.
pub(super) fn departure(nth: usize, kept: u64) -> ScheduledDeparture {
    let departs = minute(1_000 * nth as u64);
    ScheduledDeparture {
        id: id(&format!("weekly-{nth}")),
        boards_until: departs,
        departs,
        validated: departs.plus(Span::secs(600)),
        closes: departs.plus(Span::secs(600 + 60 * kept)),
        deadlines: BTreeMap::new(),
    }
}

pub(super) fn hotfix(nth: usize, arrives: u64, work: u64) -> Hotfix {
    let (arrives, work) = (minute(arrives), Span::secs(60 * work));
    Hotfix { id: id(&format!("fix-{nth}")), arrives, work, service: id("api"), version: version(3) }
}

#[test]
fn an_overflow_says_what_slips_by_how_much_and_why() {
    let departures = [departure(0, 60), departure(1, 30), departure(2, 60)];
    let fixes = [hotfix(1, 10, 50), hotfix(2, 500, 40), hotfix(3, 1_001, 10)];
    let told: Vec<_> =
        lane(&departures, &fixes).unwrap().slips.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "`weekly-1` departs 30m later, at 1970-01-01T17:10:00.000000Z: `fix-2` 30m",
            "`weekly-2` departs 10m later, at 1970-01-02T09:30:00.000000Z: `fix-3` 10m",
        ]
    );
    let error = lane(&departures[1..], &fixes).unwrap_err();
    assert!(matches!(error, LaneError::TooEarly { .. }), "{error}");
    let swapped = [hotfix(2, 500, 40), hotfix(1, 10, 50)];
    assert_eq!(lane(&departures, &swapped), Err(LaneError::OutOfOrder("fix-1".into())));
}

#[test]
fn a_hotfix_that_landed_replaces_what_is_older_by_one_decision() {
    let under_way = |run: &str, service: &str, major| UnderWay {
        run: id(run),
        service: id(service),
        version: version(major),
    };
    let rollouts = [
        under_way("r-2", "api", 2),
        under_way("r-1", "api", 1),
        under_way("r-3", "api", 4),
        under_way("r-4", "web", 1),
    ];
    let fix = hotfix(7, 10, 5);
    let decided = fix.supersedes(&rollouts, &[], minute(20)).unwrap();
    assert_eq!(
        decided.to_string(),
        "1970-01-01T00:20:00.000000Z: hotfix `fix-7` brings `api` 3.0.0 and replaces 1.0.0 of run `r-1`, 2.0.0 of run `r-2`"
    );
    let text = serde_json::to_string(&decided).unwrap();
    let recorded: Superseded = serde_json::from_str(&text).unwrap();
    assert_eq!(fix.supersedes(&rollouts, &[recorded], minute(21)), None, "it is decided once");
    assert_eq!(fix.supersedes(&rollouts[2..], &[], minute(20)), None, "nothing older is under way");
}

fn ready(nth: usize) -> Car {
    Car::new(service(nth), version(2), id("team")).ready(minute(0))
}

#[test]
fn where_nothing_proves_all_of_it_the_most_that_is_proved_is_named() {
    let cars = [ready(0), ready(1).needing(service(0)), ready(2)];
    let deployed = all_at(4, 1);
    let mut tested = deployed.clone();
    tested.extend([(service(0), version(2)), (service(1), version(2))]);
    let mut torn = deployed.clone();
    torn.insert(service(1), version(2)); // without what it needs
    let set = |versions, evidence: &[u8]| VerifiedSet::of(versions, Digest::of(evidence));
    let verified = [set(torn, b"torn"), set(tested, b"two")];
    let boarding = Boarding {
        cars: &cars,
        shared: &[],
        until: minute(UNTIL),
        deployed: &deployed,
        verified: &verified,
    };
    let boarded = boarding.board().unwrap();
    assert_eq!((boarded.aboard.len(), boarded.proof), (3, None));
    let two = [0, 1].map(|nth| (service(nth), version(2)));
    assert_eq!(boarded.instead, Some((two.into(), Digest::of(b"two"))));
    let error = boarded.departing().unwrap_err();
    let told = "nothing proves that `s-0`, `s-1`, `s-2` were verified together, with all that they need and in the versions in which these are deployed; verify just that and board again";
    let or = format!("{told}, or leave behind all but `s-0`, `s-1`, of which it is proven");
    assert_eq!(error.to_string(), or);
    // Neither does anything depart where nothing of it is proven, or all cars stay behind.
    let none = Boarding { verified: &[], ..boarding }.board().unwrap();
    assert_eq!(none.departing().unwrap_err().to_string(), told);
    let late = [Car { ready: None, ..ready(0) }];
    let nobody = Boarding { cars: &late, ..boarding }.board().unwrap();
    assert_eq!(nobody.departing(), Err(NotProven::NobodyAboard { behind: 1 }));
    assert!(nobody.departing().unwrap_err().to_string().contains("wait for the next train"));
}

/// The most of what is aboard that one of these sets proves, as it is said in words.
fn most_proved(
    cars: &[Car],
    shared: &[BTreeSet<ServiceId>],
    aboard: &Versions,
    (deployed, verified): (&Versions, &[VerifiedSet]),
) -> Option<usize> {
    let proved = |set: &&VerifiedSet| {
        let stays = |id: &ServiceId| {
            aboard.get(id).is_some_and(|version| set.versions.get(id) != Some(version))
        };
        let rides = |id: &ServiceId| aboard.contains_key(id) && !stays(id);
        let riding = cars.iter().filter(|car| rides(&car.service));
        let whole = riding.clone().all(|car| {
            let with = shared.iter().filter(|group| group.contains(&car.service)).flatten();
            let known = |id: &ServiceId| set.versions.contains_key(id);
            !car.needs.iter().chain(with).any(stays) && car.needs.iter().all(known)
        });
        let live = |id: &ServiceId| if rides(id) { aboard.get(id) } else { deployed.get(id) };
        whole
            && riding.count() > 0
            && set.versions.iter().all(|(id, version)| live(id) == Some(version))
    };
    let count = |set: &VerifiedSet| {
        aboard.iter().filter(|(id, of)| set.versions.get(id) == Some(of)).count()
    };
    verified.iter().filter(proved).map(count).max()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_departs_instead_is_the_most_that_is_proved(
        (cars, shared) in train(),
        sets in proptest::collection::vec(any::<[u8; 2]>(), 0..12),
    ) {
        let deployed = all_at(8, 1);
        // Of each set some services in the new version, some as they are, and the rest not at all.
        let set = |(nth, [new, named]): (usize, [u8; 2])| {
            let of = |id: usize| (service(id), version(1 + u64::from(new >> id & 1)));
            let versions = (0..8).filter(|id| (new | named | 15) >> id & 1 == 1).map(of).collect();
            VerifiedSet::of(versions, Digest::of(&nth.to_le_bytes()))
        };
        let verified: Vec<_> = sets.into_iter().enumerate().map(set).collect();
        let boarding = Boarding { cars: &cars, shared: &shared, until: minute(UNTIL), deployed: &deployed, verified: &verified };
        let boarded = boarding.board().unwrap();
        let most = most_proved(&cars, &shared, &boarded.aboard, (&deployed, &verified));
        if boarded.proof.is_some() {
            prop_assert_eq!((most, boarded.instead), (Some(boarded.aboard.len()), None));
        } else {
            prop_assert_eq!(boarded.instead.as_ref().map(|(some, _)| some.len()), most);
        }
    }
}

#[test]
fn many_sets_that_tear_pairs_apart_are_looked_through_and_too_many_are_refused() {
    let pairs = 1_000;
    let cars: Vec<_> = (0..2 * pairs).map(ready).collect();
    let shared: Vec<BTreeSet<_>> =
        (0..pairs).map(|nth| [service(2 * nth), service(2 * nth + 1)].into()).collect();
    let deployed = all_at(2 * pairs, 1);
    let all = all_at(2 * pairs, 2);
    let without = |nth: usize| {
        let mut torn = all.clone();
        torn.insert(service(nth), version(1));
        VerifiedSet::of(torn, Digest::of(&nth.to_le_bytes()))
    };
    let pair: Versions = [0, 1].map(|nth| (service(nth), version(2))).into();
    let mut verified: Vec<_> = (0..50).map(without).collect();
    verified.insert(7, VerifiedSet::of(pair.clone(), Digest::of(b"pair")));
    let boarding = Boarding {
        cars: &cars,
        shared: &shared,
        until: minute(UNTIL),
        deployed: &deployed,
        verified: &verified,
    };
    let boarded = boarding.board().unwrap();
    assert_eq!((boarded.aboard.len(), boarded.proof), (2 * pairs, None));
    assert_eq!(boarded.instead, Some((pair.clone(), Digest::of(b"pair"))));
    let mut many = vec![VerifiedSet::of(pair, Digest::of(b"pair")); MAX_VERIFIED];
    assert!(Boarding { verified: &many, ..boarding }.board().is_ok());
    many.push(many[0].clone());
    let error = Boarding { verified: &many, ..boarding }.board().unwrap_err();
    assert_eq!(error, BoardingError::TooManyVerified(MAX_VERIFIED + 1));
    assert!(error.to_string().contains(&format!("are more than {MAX_VERIFIED}")), "{error}");
}

#[test]
fn a_version_that_is_shared_is_not_torn_by_a_member_that_is_no_car() {
    let cars = [ready(0)];
    let shared = [[service(0), service(1)].into()];
    let board = |major| {
        let deployed: Versions = [(service(0), version(1)), (service(1), version(major))].into();
        let boarding = Boarding {
            cars: &cars,
            shared: &shared,
            until: minute(UNTIL),
            deployed: &deployed,
            verified: &[],
        };
        boarding.board().unwrap()
    };
    assert_eq!(board(1).behind[&service(0)], Behind::Shares { service: service(1) });
    assert_eq!(board(2).aboard.len(), 1, "it is there in that version already");
    // As many as there may be, in one group.
    let cars: Vec<_> = (0..MAX_CARS)
        .map(|nth| if nth == 7 { Car { ready: None, ..ready(7) } } else { ready(nth) })
        .collect();
    let shared = [(0..MAX_CARS).map(service).collect()];
    let boarding = Boarding {
        cars: &cars,
        shared: &shared,
        until: minute(UNTIL),
        deployed: &Versions::new(),
        verified: &[],
    };
    let boarded = boarding.board().unwrap();
    assert_eq!((boarded.aboard.len(), boarded.behind.len()), (0, MAX_CARS));
}

#[test]
fn boarding_that_makes_no_sense_is_refused() {
    let deployed = all_at(1, 1);
    let board = |cars: &[Car], shared: &[BTreeSet<ServiceId>]| {
        Boarding { cars, shared, until: minute(UNTIL), deployed: &deployed, verified: &[] }
            .board()
            .unwrap_err()
    };
    assert_eq!(board(&[], &[]), BoardingError::Empty);
    assert_eq!(board(&[ready(1), ready(1)], &[]), BoardingError::Twice(service(1)));
    let nothing = board(&[ready(1).needing(service(5))], &[]);
    assert_eq!(
        nothing.to_string(),
        "car `s-1` needs service `s-5`, which is neither a car nor deployed; deploy it, or mend the name"
    );
    let other = Car { version: version(3), ..ready(2) };
    let two = board(&[ready(1), other], &[[service(1), service(2)].into()]);
    assert_eq!(
        two.to_string(),
        "`s-1` 2.0.0 and `s-2` 3.0.0 share one version; give both the same"
    );
    let many: Vec<_> = (0..=MAX_CARS).map(ready).collect();
    assert_eq!(board(&many, &[]), BoardingError::TooMany(MAX_CARS + 1));
}

#[test]
fn what_is_deployed_stays_what_it_was_when_a_train_leaves_it_behind() {
    let late: Timestamp = minute(UNTIL + 1);
    let cars = [ready(0), Car { ready: Some(late), ..ready(1) }];
    let deployed = all_at(2, 1);
    let boarding = Boarding {
        cars: &cars,
        shared: &[],
        until: minute(UNTIL),
        deployed: &deployed,
        verified: &[],
    };
    let boarded = boarding.board().unwrap();
    assert_eq!(boarded.aboard, BTreeMap::from([(service(0), version(2))]));
    assert_eq!(boarded.behind[&service(1)].to_string(), format!("was ready only at {late}"));
}
