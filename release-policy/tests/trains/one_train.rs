//! One departure as one value: what makes none, who boards it, and that its way is kept whatever the calendar.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{Digest, Timestamp};
use release_policy::compat::VerifiedSet;
use release_policy::train::departure::{
    Behind, Blocker, Boarded, BoardingError, BoardingRule, Car, Event, JourneyError, JourneySpec,
    MAX_CARS, MAX_NEEDS, Next, StraddleRule, SyncPoint, Train, TrainFault, TrainSpec,
};
use semver::Version;

use super::departures::{UNTIL, all_at, most, service, train};
use super::journeys::{blocked, cleared, closed, journey, minutes, play_by, stop, stop_id, takes};
use super::support::{id, minute};

/// A train with these cars that goes this way.
fn spec_of(cars: Vec<Car>, way: &JourneySpec) -> TrainSpec {
    let JourneySpec { departs, stops, sync_points, closed, back, tick } = way.clone();
    TrainSpec {
        id: id("weekly-1"),
        environment: id("production"),
        cut: minute(0),
        boarding_rule: BoardingRule::Ready,
        cars,
        shared: Vec::new(),
        departs,
        stops,
        sync_points,
        blockers: Vec::new(),
        straddle_rule: StraddleRule { closed, back },
        tick,
    }
}

fn car(nth: usize) -> Car {
    Car::new(service(nth), Version::new(2, 0, 0), id("team")).ready(minute(0))
}

pub(super) fn spec(takes: &[u64]) -> TrainSpec {
    spec_of(vec![car(0)], &journey(takes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn who_is_late_or_not_approved_stays_behind_with_its_dependents_and_moves_nothing(
        (cars, shared) in train(),
        approvals in proptest::collection::vec(0..5_usize, 8),
    ) {
        let said = [None, Some(minute(0)), Some(minute(UNTIL)), Some(minute(UNTIL)), Some(minute(UNTIL + 1))];
        let mut cars = cars;
        for (car, nth) in cars.iter_mut().zip(&approvals) {
            car.approved = said[*nth];
        }
        let way = JourneySpec { departs: minute(UNTIL + 20), ..journey(&[5, 5]) };
        let ready = TrainSpec { cut: minute(UNTIL), shared: shared.clone(), ..spec_of(cars.clone(), &way) };
        let approved = TrainSpec { boarding_rule: BoardingRule::Approved, ..ready.clone() };
        // Who is not approved in time goes along no more than who is not ready.
        let mut strict = cars.clone();
        for car in strict.iter_mut().filter(|car| car.approved.is_none_or(|at| at > minute(UNTIL))) {
            car.ready = None;
        }
        let deployed = all_at(8, 1);
        for (spec, by) in [(ready, &cars), (approved, &strict)] {
            let rule = spec.boarding_rule;
            let train = Train::new(spec).unwrap();
            let Boarded { aboard, behind, .. } = train.board(&deployed, &[]).unwrap();
            let riding: BTreeSet<_> = aboard.keys().cloned().collect();
            prop_assert_eq!(&riding, &most(by, &shared));
            prop_assert_eq!(riding.len() + behind.len(), cars.len());
            for (left, why) in &behind {
                let car = cars.iter().find(|car| car.service == *left).unwrap();
                if let Behind::Unapproved { approved, .. } = why {
                    let in_time = car.ready.is_some_and(|at| at <= minute(UNTIL));
                    prop_assert!(rule == BoardingRule::Approved && in_time, "{}: {}", left, why);
                    prop_assert_eq!(approved, &car.approved);
                }
            }
            // What is left departs by what was verified with it, and just then.
            let mut live = deployed.clone();
            live.extend(aboard.clone());
            let proof = Digest::of(b"report");
            let proved = train.board(&deployed, &[VerifiedSet::of(live, proof)]).unwrap();
            prop_assert_eq!(proved.departing().is_ok(), !aboard.is_empty());
            prop_assert_eq!(train.departs(), minute(UNTIL + 20));
            let early = train.next(&[], minute(UNTIL + 19));
            let waits = matches!(early, Next::Waits { until: Some(at), .. } if at == train.departs());
            prop_assert!(waits, "{:?}", early);
            prop_assert_eq!(train.next(&[], train.departs()), Next::Begins { stop: stop_id(0) });
        }
    }

    #[test]
    fn nothing_straddles_what_is_closed_and_a_stop_is_let_do_what_the_train_does(
        (takes, only_done) in takes(),
        closed in closed(),
        (departs, back) in (0..60_u64, 0..10_u64),
        holds in proptest::collection::vec((0..200_u64, 1..60_u64, any::<bool>()), 0..4),
    ) {
        let way = JourneySpec { departs: minute(departs), back: minutes(back), closed, ..journey(&takes) };
        let blocker = |nth: usize, at: u64| {
            let Event::Blocked { blocker: id, by, reason, at: since } = blocked(nth, at) else { panic!("it blocks") };
            Blocker { id, by, reason, since }
        };
        let mut spec = spec_of(vec![car(0)], &way);
        let mut happens = Vec::new();
        for (nth, (from, lasts, known)) in holds.iter().enumerate() {
            if *known {
                spec.blockers.push(blocker(nth, *from));
            } else {
                happens.push(blocked(nth, *from));
            }
            happens.push(cleared(nth, from + lasts));
        }
        let train = Train::new(spec).unwrap();
        let next = |events: &[Event], now: Timestamp| {
            let next = train.next(events, now);
            for stop in &train.spec().stops {
                let began = events.iter().any(|one| {
                    matches!(one, Event::Began { stop: id, .. } | Event::Done { stop: id, .. } if *id == stop.id)
                });
                let turns = events.iter().any(|one| matches!(one, Event::TurnedBack { .. } | Event::WentBack { .. }));
                let goes = match &next {
                    Next::Begins { stop: first } => began || *first == stop.id,
                    Next::GoesBack { .. } => false,
                    _ => began && !turns,
                };
                let held = train.holds(&stop.id, events, now);
                assert_eq!(held.is_none(), goes, "{}: {next:?}", stop.id);
                assert!(held.is_none_or(|held| held == next));
            }
            next
        };
        let played = play_by((&way, &only_done), (&next, &|events, now| train.missed(events, now)), happens, 600);
        prop_assert!(played.ended.is_some(), "it never ends: {:?}", played);
        let ended = played.ended.as_ref().map_or(600, |(ended, _)| *ended);
        for began in &played.began {
            let held = holds.iter().any(|(from, lasts, _)| (*from..from + lasts).contains(began));
            prop_assert!(*began >= departs && !held, "{:?}", played);
        }
        if let Some(first) = played.began.first() {
            for (from, until) in &way.closed {
                let apart = minute(ended) <= *from || minute(*first) >= *until;
                prop_assert!(apart, "from {} to {}, and {:?} is closed", first, ended, (from, until));
            }
        }
    }
}

#[test]
fn all_that_makes_no_train_is_told_at_once() {
    let mut spec = spec(&[5, 5]);
    spec.cars.extend([car(0), Car { version: Version::new(3, 0, 0), ..car(1) }]);
    spec.shared = vec![[service(0), service(1)].into()];
    spec.stops[1].id = stop_id(0);
    spec.cut = minute(11);
    let point = |name: &str, before, teams: &[&str], deadline| SyncPoint {
        id: id(name),
        before: stop_id(before),
        awaits: teams.iter().map(|team| id(team)).collect(),
        deadline: minute(deadline),
        escalate: id("conductors"),
    };
    let points = [point("a", 0, &["team", "ghosts"], 10), point("b", 7, &["team"], 90)];
    spec.sync_points = points.into_iter().chain([point("c", 0, &["team"], 11)]).collect();
    let bug = Blocker { id: id("bug"), by: id("ann"), reason: "500s".into(), since: minute(1) };
    spec.blockers = vec![bug.clone(), bug];
    let text = serde_json::to_string(&spec).unwrap();
    let faults = Train::new(spec).unwrap_err();
    let told: Vec<_> = faults.all().iter().map(ToString::to_string).collect();
    let (cut, departs) = (minute(11), minute(10));
    let expected = [
        "service `s-0` is two cars; keep one of them".to_owned(),
        "`s-0` 2.0.0 and `s-1` 3.0.0 share one version; give both the same".to_owned(),
        "there are two stops `group-0`; rename one".to_owned(),
        "sync point `b` is before stop `group-7`, which is none; mend the name".to_owned(),
        format!("boarding ends at {cut}, after the departure at {departs}; end it before"),
        "there are two blockers `bug`; rename one".to_owned(),
        "sync point `a` waits for ghosts, who have no car; leave them out, or name their car"
            .to_owned(),
        format!(
            "the deadline of sync point `c`, {cut}, is after `group-0` is to begin, at {departs}; let it be before"
        ),
    ];
    assert_eq!(told, expected);
    assert_eq!(faults.to_string(), expected.join("; also, "));
    let error = serde_json::from_str::<Train>(&text).unwrap_err();
    assert!(error.to_string().contains("two blockers"), "{error}");
}

#[test]
fn a_train_is_what_was_written_down_and_says_no_more_than_it_has_to() {
    let train = Train::new(spec(&[5, 5])).unwrap();
    let text = serde_json::to_string(&train).unwrap();
    assert_eq!(serde_json::from_str::<Train>(&text).unwrap(), train);
    for absent in ["boarding_rule", "shared", "sync_points", "blockers", "closed", "approved"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    let more = text.replacen('{', r#"{"colour":"red","#, 1);
    assert!(serde_json::from_str::<Train>(&more).unwrap_err().to_string().contains("colour"));
    // What is deployed it learns as it boards.
    let needs = TrainSpec { cars: vec![car(0).needing(service(5))], ..spec(&[5]) };
    let nowhere = Train::new(needs).unwrap().board(&all_at(1, 1), &[]).unwrap_err();
    assert!(matches!(nowhere, BoardingError::NeedsNothing { .. }), "{nowhere}");
    assert!(Train::new(TrainSpec { cut: minute(10), ..spec(&[5]) }).is_ok(), "as it departs");
}

#[test]
fn too_much_is_no_train() {
    let refused = |spec: TrainSpec| Train::new(spec).unwrap_err().all().to_vec();
    let too_many = |what, count, most| vec![TrainFault::TooMany { what, count, most }];
    let cars = || vec![car(0); 1_000_000];
    let found = refused(TrainSpec { cars: cars(), ..spec(&[5]) });
    assert_eq!(found, too_many("cars", 1_000_000, MAX_CARS));
    assert_eq!(
        refused(TrainSpec { cars: Vec::new(), ..spec(&[5]) }),
        [BoardingError::Empty.into()]
    );
    assert_eq!(refused(spec(&[])), [JourneyError::Empty.into()]);
    let shared = vec![BTreeSet::new(); MAX_CARS + 1];
    let found = refused(TrainSpec { shared, ..spec(&[5]) });
    assert_eq!(found, too_many("services with shared versions", MAX_CARS + 1, MAX_CARS));
    let needs: BTreeSet<_> = (0..=MAX_NEEDS / 100).map(service).collect();
    let count = 100 * needs.len();
    let cars = (0..100).map(|nth| Car { needs: needs.clone(), ..car(nth) }).collect();
    let found = refused(TrainSpec { cars, ..spec(&[5]) });
    assert_eq!(found, too_many("needs of cars", count, MAX_NEEDS));
    let mut closed = spec(&[5]);
    closed.straddle_rule.closed = (0..20_000).map(|n| (minute(2 * n), minute(2 * n + 1))).collect();
    let JourneyError::TooMany { what, .. } = (match &refused(closed)[..] {
        [TrainFault::Way(fault)] => fault.clone(),
        other => panic!("{other:?}"),
    }) else {
        panic!("it is too much");
    };
    assert_eq!(what, "closed times");
    let stops = (0..20_000).map(|nth| stop(nth, 1)).collect();
    assert_eq!(refused(TrainSpec { stops, ..spec(&[5]) }).len(), 1);
}

#[test]
fn a_stop_has_regions_and_a_blocker_of_the_specification_counts_from_when_it_holds() {
    let mut nowhere = spec(&[5, 5]);
    nowhere.stops[0].regions.clear();
    let faults = Train::new(nowhere).unwrap_err();
    assert_eq!(faults.all(), [TrainFault::NoRegions(stop_id(0))]);
    assert_eq!(
        faults.to_string(),
        "stop `group-0` has no regions; name at least one, or leave it out"
    );

    let bug = Blocker { id: id("bug-1"), by: id("ann"), reason: "500s".into(), since: minute(12) };
    let train = Train::new(TrainSpec { blockers: vec![bug], ..spec(&[5]) }).unwrap();
    let told = [blocked(1, 10), cleared(1, 11), cleared(1, 14)];
    let (begins, halts) =
        (Next::Begins { stop: stop_id(0) }, Next::Halts { blockers: [id("bug-1")].into() });
    for (at, next) in [(11, &begins), (12, &halts), (13, &halts), (14, &begins)] {
        assert_eq!(&train.next(&told, minute(at)), next, "{at}");
    }
}
