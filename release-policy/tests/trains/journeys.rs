//! Stops, sync points, blockers, and days on which nothing may be half done: played minute by minute.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{Span, StopId, SyncPointId, TeamId, Timestamp};
use release_policy::train::departure::{
    Event, Journey, JourneyError, JourneySpec, MAX_STOPS, Missed, Next, Stop, SyncPoint, Why,
};

use super::support::{id, minute};

pub(super) fn minutes(minutes: u64) -> Span {
    Span::secs(60 * minutes)
}

pub(super) fn stop(nth: usize, takes: u64) -> Stop {
    let regions = [id(&format!("region-{nth}"))].into();
    Stop { id: stop_id(nth), regions, takes: minutes(takes) }
}

pub(super) fn stop_id(nth: usize) -> StopId {
    id(&format!("group-{nth}"))
}

pub(super) fn journey(takes: &[u64]) -> JourneySpec {
    let stops = takes.iter().enumerate().map(|(nth, takes)| stop(nth, *takes)).collect();
    JourneySpec {
        departs: minute(10),
        stops,
        sync_points: Vec::new(),
        closed: Vec::new(),
        back: minutes(5),
        tick: minutes(1),
    }
}

pub(super) fn blocked(nth: usize, at: u64) -> Event {
    let (blocker, by) = (id(&format!("bug-{nth}")), id("ann"));
    Event::Blocked { blocker, by, reason: "errors".into(), at: minute(at) }
}

pub(super) fn cleared(nth: usize, at: u64) -> Event {
    Event::Cleared { blocker: id(&format!("bug-{nth}")), by: id("ann"), at: minute(at) }
}

/// What was played.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) events: Vec<Event>,
    pub(super) began: Vec<u64>,
    pub(super) ended: Option<(u64, Next)>,
    /// What was missed, minute by minute, before the train was asked what it does.
    missed: Vec<Vec<Missed>>,
}

/// Plays a journey, asked every minute: stops take what they take, and going back takes what that takes.
fn play(spec: &JourneySpec, happens: Vec<Event>, until: u64) -> Played {
    play_telling((spec, &[]), happens, until)
}

/// The same, where of some stops only that they are done is told.
fn play_telling(told: (&JourneySpec, &[bool]), happens: Vec<Event>, until: u64) -> Played {
    let journey = Journey::new(told.0.clone()).unwrap();
    let missed = |events: &[Event], now| journey.missed(events, now);
    play_by(told, (&|events, now| journey.next(events, now), &missed), happens, until)
}

/// Who says what comes next, and what is missed.
type Asked<'a> =
    (&'a dyn Fn(&[Event], Timestamp) -> Next, &'a dyn Fn(&[Event], Timestamp) -> Vec<Missed>);

/// The same, whoever is asked. Of which stops only that they are done is told, in the minute in which they begin, is said beside the way.
pub(super) fn play_by(
    (spec, only_done): (&JourneySpec, &[bool]),
    (next, missed): Asked<'_>,
    mut happens: Vec<Event>,
    until: u64,
) -> Played {
    let mut played = Played::default();
    let mut under_way: Option<(StopId, u64)> = None;
    let mut back: Option<u64> = None;
    happens.sort_by_key(Event::at);
    for now in 0..until {
        played.events.extend(happens.iter().filter(|event| event.at() == minute(now)).cloned());
        if let Some((stop, _)) = under_way.take_if(|(_, ends)| *ends <= now) {
            played.events.push(Event::Done { stop, at: minute(now) });
        }
        if back.is_some_and(|back| back <= now) {
            played.events.push(Event::WentBack { at: minute(now) });
        }
        played.missed.push(missed(&played.events, minute(now)));
        match next(&played.events, minute(now)) {
            Next::Begins { stop } => {
                assert!(under_way.is_none() && back.is_none(), "{played:?}");
                let nth = spec.stops.iter().position(|one| one.id == stop).unwrap();
                let (takes, at) = (spec.stops[nth].takes, minute(now));
                played.began.push(now);
                if only_done.get(nth) == Some(&true) {
                    assert_eq!(takes, Span::ZERO);
                    played.events.push(Event::Done { stop, at });
                } else {
                    under_way = Some((stop.clone(), now + takes.as_duration().as_secs() / 60));
                    played.events.push(Event::Began { stop, at });
                }
            }
            Next::GoesBack { .. } => {
                assert!(back.is_none(), "it turns back once: {played:?}");
                under_way = None;
                played.events.push(Event::TurnedBack { at: minute(now) });
                let ends = *back.get_or_insert(now + spec.back.as_duration().as_secs() / 60);
                if ends == now {
                    played.events.push(Event::WentBack { at: minute(now) });
                    played.ended = Some((now, Next::WentBack));
                    return played;
                }
            }
            end @ (Next::Through | Next::WentBack) => {
                played.ended = Some((now, end));
                return played;
            }
            Next::Waits { .. } | Next::Halts { .. } => {}
        }
    }
    played
}

/// How long stops take, and of which only that they are done is told: these take no time.
pub(super) fn takes() -> impl Strategy<Value = (Vec<u64>, Vec<bool>)> {
    let one = (0..20_u64, proptest::bool::weighted(0.3));
    let one = one.prop_map(|(takes, only_done)| (if only_done { 0 } else { takes }, only_done));
    proptest::collection::vec(one, 1..5)
        .prop_map(|all| -> (Vec<u64>, Vec<bool>) { all.into_iter().unzip() })
}

pub(super) fn closed() -> impl Strategy<Value = Vec<(Timestamp, Timestamp)>> {
    proptest::collection::vec((1..80_u64, 1..40_u64), 0..4).prop_map(|all| {
        let mut at = 0;
        let mut closed = Vec::new();
        for (open, lasts) in all {
            closed.push((minute(at + open), minute(at + open + lasts)));
            at += open + lasts;
        }
        closed
    })
}

/// A sync point with when each of its teams comes; one in many never does.
#[derive(Debug, Clone)]
struct Meeting {
    before: usize,
    deadline: u64,
    teams: Vec<Option<u64>>,
}

fn meetings() -> impl Strategy<Value = Vec<Meeting>> {
    let comes = prop_oneof![60 => (0..150_u64).prop_map(Some), 1 => Just(None)];
    let one = (any::<usize>(), 0..150_u64, proptest::collection::vec(comes, 1..4));
    let one = one.prop_map(|(before, deadline, teams)| Meeting { before, deadline, teams });
    proptest::collection::vec(one, 0..4)
}

fn team(nth: usize) -> TeamId {
    id(&format!("team-{nth}"))
}

impl Meeting {
    fn point(&self, nth: usize, stops: usize) -> SyncPoint {
        SyncPoint {
            id: id(&format!("point-{nth}")),
            before: stop_id(self.before % stops),
            awaits: (0..self.teams.len()).map(team).collect(),
            deadline: minute(self.deadline),
            escalate: id("conductors"),
        }
    }

    fn arrivals(&self, nth: usize) -> impl Iterator<Item = Event> {
        let point: SyncPointId = id(&format!("point-{nth}"));
        let comes = self.teams.iter().enumerate().filter_map(|(nth, at)| Some((nth, (*at)?)));
        comes.map(move |(nth, at)| Event::Arrived {
            point: point.clone(),
            team: team(nth),
            at: minute(at),
        })
    }

    /// Who is not there at a minute.
    fn missing(&self, now: u64) -> BTreeSet<TeamId> {
        let absent = |(_, at): &(usize, &Option<u64>)| at.is_none_or(|at| at > now);
        self.teams.iter().enumerate().filter(absent).map(|(nth, _)| team(nth)).collect()
    }
}

/// That nothing begins before all are there, and that those are told who are missing from the deadline on until the stop begins, and no
/// others.
fn keeps_appointments(played: &Played, meetings: &[Meeting], stops: usize) {
    let began = |stop: &StopId| {
        played.events.iter().find_map(|event| match event {
            Event::Began { stop: other, at } | Event::Done { stop: other, at } => {
                (other == stop).then_some(*at)
            }
            _ => None,
        })
    };
    let turned = played.events.iter().find_map(|event| match event {
        Event::TurnedBack { at } => Some(*at),
        _ => None,
    });
    for (now, told) in (0..).zip(&played.missed) {
        let mut expected = Vec::new();
        for (nth, meeting) in meetings.iter().enumerate() {
            let SyncPoint { id: point, before, awaits, deadline, escalate } =
                meeting.point(nth, stops);
            let missing = meeting.missing(now);
            // Asked in the minute in which it begins, it has not begun yet.
            let open = began(&before).is_none_or(|at| at >= minute(now));
            let on_its_way = turned.is_none_or(|at| at >= minute(now));
            if now >= meeting.deadline && !missing.is_empty() && open && on_its_way {
                let (waiting, stop) = (&awaits - &missing, Some(before.clone()));
                let since = deadline;
                expected.push(Missed { point, stop, waiting, missing, since, escalate });
            }
            if began(&before) == Some(minute(now)) {
                assert_eq!(meeting.missing(now), BTreeSet::new(), "{played:?}");
            }
        }
        assert_eq!(*told, expected, "at {now}: {played:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_half_done_when_that_may_not_be_and_blockers_halt_at_once(
        (takes, only_done) in takes(),
        closed in closed(),
        (departs, back) in (0..60_u64, 0..10_u64),
        blockers in proptest::collection::vec((0..200_u64, 1..60_u64), 0..4),
        meetings in meetings(),
    ) {
        let stops = takes.len();
        let sync_points = meetings.iter().enumerate().map(|(nth, one)| one.point(nth, stops)).collect();
        let journey = JourneySpec { departs: minute(departs), back: minutes(back), closed, sync_points, ..journey(&takes) };
        let held: Vec<(u64, u64)> = blockers.iter().map(|(at, lasts)| (*at, at + lasts)).collect();
        let both = held.iter().enumerate().flat_map(|(nth, (from, until))| [blocked(nth, *from), cleared(nth, *until)]);
        let arrivals = meetings.iter().enumerate().flat_map(|(nth, one)| one.arrivals(nth));
        let played = play_telling((&journey, &only_done), both.chain(arrivals).collect(), 600);
        let never = meetings.iter().any(|one| one.teams.contains(&None));
        // Who never comes is waited for; at the latest what is closed turns the train back.
        prop_assert!(played.ended.is_some() || never, "it never ends: {:?}", played);
        let ended = played.ended.as_ref().map_or(600, |(ended, _)| *ended);
        for began in &played.began {
            prop_assert!(*began >= departs);
            // From the very question after it came on, until it is mended.
            prop_assert!(!held.iter().any(|(from, until)| (*from..*until).contains(began)), "{:?}", played);
        }
        if let Some(first) = played.began.first() {
            for (from, until) in &journey.closed {
                let apart = minute(ended) <= *from || minute(*first) >= *until;
                prop_assert!(apart, "from {} to {}, and {:?} is closed: {:?}", first, ended, (from, until), played);
            }
        }
        keeps_appointments(&played, &meetings, stops);
    }
}

#[test]
fn a_train_that_is_not_held_is_through_when_its_stops_are() {
    let played = play(&journey(&[10, 20, 30]), Vec::new(), 100);
    assert_eq!(played.began, [10, 20, 40]);
    assert_eq!(played.ended, Some((70, Next::Through)));
}

#[test]
fn a_train_waits_for_a_gap_in_which_it_can_be_through_or_back() {
    let closed = vec![(minute(50), minute(60)), (minute(90), minute(95))];
    let journey = JourneySpec { closed, ..journey(&[10, 20]) };
    // Thirty minutes, five to go back and one until the next question would be six too many from 20 on.
    let late = JourneySpec { departs: minute(20), ..journey.clone() };
    let why = Next::Waits { until: Some(minute(60)), why: Why::Closed };
    assert_eq!(Journey::new(late.clone()).unwrap().next(&[], minute(20)), why);
    assert_eq!(play(&journey, Vec::new(), 200).began, [10, 20]);
    assert_eq!(play(&late, Vec::new(), 200).began, [95, 105], "from 60 to 90 is too short");
    // Held too long, it goes back in time.
    let played = play(&journey, vec![blocked(1, 12), cleared(1, 40)], 200);
    assert_eq!(played.began, [10]);
    assert_eq!(played.ended, Some((36, Next::WentBack)));
}

#[test]
fn teams_are_waited_for_until_a_deadline_and_then_somebody_is_called() {
    let point = SyncPoint {
        id: id("schema"),
        before: stop_id(1),
        awaits: [id("billing"), id("search")].into(),
        deadline: minute(30),
        escalate: id("conductors"),
    };
    let journey = JourneySpec { sync_points: vec![point], ..journey(&[5, 5]) };
    let journey = Journey::new(journey).unwrap();
    let arrived =
        |team: &str, at| Event::Arrived { point: id("schema"), team: id(team), at: minute(at) };
    let mut events = vec![
        Event::Began { stop: stop_id(0), at: minute(10) },
        Event::Done { stop: stop_id(0), at: minute(15) },
        arrived("billing", 12),
    ];
    let missing: BTreeSet<_> = [id("search")].into();
    let why = Why::SyncPoint { point: id("schema"), missing };
    assert_eq!(journey.next(&events, minute(15)), Next::Waits { until: Some(minute(30)), why });
    assert_eq!(journey.missed(&events, minute(29)), []);
    let Next::Waits { until: None, why: Why::Missed(missed) } = journey.next(&events, minute(30))
    else {
        panic!("{:?}", journey.next(&events, minute(30)));
    };
    assert_eq!(
        missed.to_string(),
        format!(
            "sync point `schema`: stop `group-1` waits with billing for search, due at {}; call conductors",
            minute(30)
        )
    );
    assert_eq!(journey.missed(&events, minute(30)), [missed]);
    events.push(arrived("search", 40));
    assert_eq!(journey.next(&events, minute(40)), Next::Begins { stop: stop_id(1) });
    assert_eq!(journey.missed(&events, minute(40)), []);
}

/// One page for a point at which two teams are missing, also when one of them comes.
#[test]
fn a_miss_has_one_key_while_teams_come_one_by_one() {
    let point = |name: &str, before: usize| SyncPoint {
        id: id(name),
        before: stop_id(before),
        awaits: [id("billing"), id("search")].into(),
        deadline: minute(30),
        escalate: id("conductors"),
    };
    let sync_points = vec![point("schema", 0), point("docs", 1)];
    let journey = Journey::new(JourneySpec { sync_points, ..journey(&[5, 5]) }).unwrap();
    let came = Event::Arrived { point: id("schema"), team: id("billing"), at: minute(32) };
    let (one, two) = (id("weekly-20261201"), id("weekly-20261208"));
    let [before, after] =
        [31, 32].map(|now| journey.missed(std::slice::from_ref(&came), minute(now)));
    for told in [&before, &after] {
        let keys: Vec<_> = told.iter().map(|missed| missed.key(&one)).collect();
        assert_eq!(keys, ["weekly-20261201/schema", "weekly-20261201/docs"]);
        assert!(told.iter().all(|missed| missed.key(&two) != missed.key(&one)));
    }
    let due = minute(30);
    let told = [&before[0], &after[0]].map(ToString::to_string);
    let page = |who: &str| {
        format!("sync point `schema`: stop `group-0` waits {who}, due at {due}; call conductors")
    };
    assert_eq!(told, [page("for billing, search"), page("with billing for search")]);
    let text = serde_json::to_string(&after[0]).unwrap();
    assert_eq!(serde_json::from_str::<Missed>(&text).unwrap(), after[0]);
    // As it was written before it said who waits.
    let old = format!(
        r#"{{"point":"docs","missing":["billing"],"since":"{due}","escalate":"conductors"}}"#
    );
    let old: Missed = serde_json::from_str(&old).unwrap();
    assert_eq!(
        old.to_string(),
        format!("sync point `docs`: the train waits for billing, due at {due}; call conductors")
    );
    assert_eq!(serde_json::to_value(&old).unwrap().as_object().unwrap().len(), 4);
}

#[test]
fn a_train_that_turned_back_does_not_go_on_however_long_it_takes() {
    let closed = vec![(minute(50), minute(60))];
    let journey = Journey::new(JourneySpec { closed, ..journey(&[10, 20]) }).unwrap();
    let mut events = vec![
        Event::Began { stop: stop_id(0), at: minute(10) },
        Event::Done { stop: stop_id(0), at: minute(20) },
        blocked(1, 21),
    ];
    assert_eq!(journey.next(&events, minute(31)), Next::GoesBack { before: minute(50) });
    events.extend([Event::TurnedBack { at: minute(31) }, cleared(1, 40)]);
    let back = Next::Waits { until: Some(minute(36)), why: Why::GoingBack };
    assert_eq!(journey.next(&events, minute(32)), back);
    assert_eq!(journey.next(&events, minute(62)), back, "it is late, and half back all the same");
    events.push(Event::WentBack { at: minute(63) });
    assert_eq!(journey.next(&events, minute(63)), Next::WentBack);
}

/// What is done has departed, whoever told of it; what was left behind before it began has not.
#[test]
fn a_train_of_which_only_is_told_what_is_done_goes_back_as_well() {
    let point = SyncPoint {
        id: id("schema"),
        before: stop_id(0),
        awaits: [id("billing")].into(),
        deadline: minute(9),
        escalate: id("conductors"),
    };
    let closed = vec![(minute(50), minute(60))];
    let way = JourneySpec { closed, sync_points: vec![point], ..journey(&[10, 20]) };
    let journey = Journey::new(way).unwrap();
    let done = [Event::Done { stop: stop_id(0), at: minute(20) }];
    let begins = Next::Begins { stop: stop_id(1) };
    assert_eq!(journey.next(&done, minute(30)), begins);
    assert_eq!(journey.next(&done, minute(40)), Next::GoesBack { before: minute(50) });
    assert_eq!(journey.holds(&stop_id(0), &done, minute(30)), None);
    assert_eq!(
        (journey.missed(&[], minute(20)).len(), journey.missed(&done, minute(20))),
        (1, vec![])
    );
    let left = [Event::LeftBehind { stop: stop_id(0), at: minute(20) }];
    let waits = Next::Waits { until: Some(minute(60)), why: Why::Closed };
    for at in [30, 40] {
        assert_eq!(journey.next(&left, minute(at)), waits, "{at}");
        assert_eq!(journey.holds(&stop_id(1), &left, minute(at)), Some(waits.clone()));
    }
    assert_eq!(journey.missed(&left, minute(20)), []);
    assert_eq!(journey.next(&left, minute(60)), begins);
    let text = serde_json::to_string(&left[0]).unwrap();
    assert!(text.starts_with(r#"{"type":"left_behind","stop":"group-0""#), "{text}");
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), left[0]);
}

#[test]
fn a_stop_under_way_goes_on_and_none_follows_while_something_holds_the_train() {
    let events =
        [Event::Began { stop: stop_id(0), at: minute(10) }, blocked(1, 11), blocked(2, 12)];
    let journey = Journey::new(journey(&[5, 5])).unwrap();
    let why = Why::Stop { stop: stop_id(0) };
    assert_eq!(journey.next(&events, minute(10)), Next::Waits { until: Some(minute(15)), why });
    let halts = |of: &[&str]| Next::Halts { blockers: of.iter().map(|name| id(name)).collect() };
    assert_eq!(journey.next(&events, minute(11)), halts(&["bug-1"]));
    assert_eq!(journey.next(&events, minute(12)), halts(&["bug-1", "bug-2"]));
}

#[test]
fn a_journey_that_makes_no_sense_is_refused() {
    let refused = |journey: JourneySpec, why: &str| {
        let text = serde_json::to_string(&journey).unwrap();
        assert!(serde_json::from_str::<Journey>(&text).is_err());
        let error = Journey::new(journey).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    };
    assert_eq!(Journey::new(journey(&[])), Err(JourneyError::Empty));
    let mut twice = journey(&[1, 1]);
    twice.stops[1].id = stop_id(0);
    refused(twice, "two stops `group-0`");
    let mut region = journey(&[1, 1]);
    region.stops[1].regions = region.stops[0].regions.clone();
    refused(region, "region `region-0` is in two stops");
    let point = |before, awaits: &[&str]| SyncPoint {
        id: id("p"),
        before: stop_id(before),
        awaits: awaits.iter().map(|team| id(team)).collect(),
        deadline: minute(1),
        escalate: id("x"),
    };
    let with = |points: Vec<SyncPoint>| JourneySpec { sync_points: points, ..journey(&[1]) };
    refused(with(vec![point(4, &["a"])]), "before stop `group-4`, which is none");
    refused(with(vec![point(0, &[])]), "waits for nobody");
    refused(with(vec![point(0, &["a"]), point(0, &["a"])]), "two sync points `p`");
    let closed = vec![(minute(5), minute(6)), (minute(4), minute(7))];
    refused(JourneySpec { closed, ..journey(&[1]) }, "stands behind a later one");
}

#[test]
fn a_journey_of_too_much_is_refused() {
    let refused = |journey: JourneySpec, what: &'static str, count| {
        assert_eq!(Journey::new(journey), Err(JourneyError::TooMany { what, count }));
    };
    let many: Vec<u64> = vec![1; MAX_STOPS];
    let most = Journey::new(journey(&many)).unwrap();
    assert_eq!(most.next(&[], minute(10)), Next::Begins { stop: stop_id(0) });
    let mut more = journey(&many);
    more.stops.push(stop(MAX_STOPS, 1));
    refused(more, "stops", MAX_STOPS + 1);
    let mut wide = journey(&[1]);
    wide.stops[0].regions = (0..=MAX_STOPS).map(|nth| id(&format!("region-{nth}"))).collect();
    refused(wide, "regions", MAX_STOPS + 1);
    let closed = (0..1_000_000).map(|nth| (minute(2 * nth), minute(2 * nth + 1))).collect();
    refused(JourneySpec { closed, ..journey(&[1]) }, "closed times", 1_000_000);
    let meeting = Meeting { before: 0, deadline: 1, teams: vec![None; 11] };
    let points = |count: usize| (0..count).map(|nth| meeting.point(nth, 1)).collect();
    refused(JourneySpec { sync_points: points(1_000), ..journey(&[1]) }, "awaited teams", 11_000);
    let sync_points = points(MAX_STOPS + 1);
    refused(JourneySpec { sync_points, ..journey(&[1]) }, "sync points", MAX_STOPS + 1);
}
