//! What is critical, beside delays that are tried one by one: of up to seven activities, hour by hour.

use proptest::prelude::*;
use release_core::model::ActivityId;
use release_policy::train::calendar::{
    Activity, Calendar, CalendarError, CalendarSpec, Phase, Solution,
};

use super::calendar::{HOURS, Small, hour, hours, name, small_of};
use super::support::id;
use super::waves::count;

/// When each begins and is done, as soon as it can be; `late` does not begin before an hour.
fn soonest(small: &Small, late: Option<(usize, u64)>) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (nth, work) in small.works.iter().enumerate() {
        let from = work.after.iter().map(|before| all[*before].1).max().unwrap_or(0);
        let own = late.filter(|(number, _)| *number == nth).map_or(0, |(_, hour)| hour);
        all.push(begun(small, nth, from.max(work.begins).max(own)));
    }
    all
}

/// When it begins at this hour or later, and is done.
fn begun(small: &Small, nth: usize, from: u64) -> (u64, u64) {
    let work = &small.works[nth];
    (from..).find_map(|start| Some((start, small.done(work, start)?))).unwrap()
}

/// The same, with one hour of its own time lost since `start`.
fn hour_later(small: &Small, nth: usize, start: u64) -> u64 {
    let work = &small.works[nth];
    let lost =
        (start..2 * HOURS).find(|hour| work.hours == 0 || !small.blocked(work, *hour)).unwrap();
    begun(small, nth, lost + 1).0
}

fn is_kept(small: &Small, all: &[(u64, u64)]) -> bool {
    small.works.iter().zip(all).all(|(work, (_, done))| *done <= work.due.unwrap_or(HOURS))
}

/// The last hour at which it can begin so that all is in time, and when it is done then.
fn latest(small: &Small, nth: usize) -> (u64, u64) {
    let can = |start: &u64| {
        let all = soonest(small, Some((nth, *start)));
        all[nth].0 == *start && is_kept(small, &all)
    };
    let start = (0..=HOURS).rev().find(can).unwrap();
    (start, soonest(small, Some((nth, start)))[nth].1)
}

/// Whether what is late of one moves the next, and makes it too late once the slack is used up, by this link alone.
fn binds(small: &Small, one: usize, next: usize) -> bool {
    let early = soonest(small, None);
    let done = |start: u64| begun(small, one, start).1;
    let moved = done(hour_later(small, one, early[one].0)).max(small.works[next].begins);
    let others = small.works[next].after.iter().map(|before| early[*before].1).max().unwrap_or(0);
    let is_later = begun(small, next, moved.max(others)).1 > early[next].1;
    let overdue = done(hour_later(small, one, latest(small, one).0));
    is_later && overdue > latest(small, next).0
}

fn check_path(small: &Small, solution: &Solution) {
    let number = |id: &ActivityId| (0..small.works.len()).find(|nth| name(*nth) == *id).unwrap();
    let path: Vec<usize> = solution.critical_path.iter().map(number).collect();
    let slack = |nth: usize| solution.activities[&name(nth)].slack;
    let least = (0..small.works.len()).map(slack).min().unwrap();
    let (first, end) = (path[0], path[path.len() - 1]);
    let early = soonest(small, None);
    // It ends end of all with so little slack.
    let ends = (0..small.works.len()).filter(|nth| slack(*nth) == least).map(|nth| early[nth].1);
    assert_eq!(ends.max(), Some(early[end].1));
    for pair in path.windows(2) {
        assert!(small.works[pair[1]].after.contains(&pair[0]));
    }
    for nth in path.iter().copied() {
        assert_eq!(slack(nth), least);
        // An hour later than it can begin: the end moves.
        let later = hour_later(small, nth, early[nth].0);
        assert!(soonest(small, Some((nth, later)))[end].1 > early[end].1, "{nth} in {path:?}");
        // An hour later than it has to begin: the end is too late.
        let overdue = hour_later(small, nth, latest(small, nth).0);
        let late = soonest(small, Some((nth, overdue)));
        assert!(late[end].1 > latest(small, end).1 && !is_kept(small, &late), "{nth} in {path:?}");
    }
    // Nothing can be put before it.
    for before in &small.works[first].after {
        let more = slack(*before) == least && binds(small, *before, first);
        assert!(!more, "{before} before {path:?}");
    }
}

/// Compares all times and the path; says whether there is a path of several.
fn compare(small: &Small) -> bool {
    let spec = small.spec();
    let calendar = match Calendar::new(spec.clone()) {
        Ok(calendar) => calendar,
        Err(
            CalendarError::DueBeforeItBegins { .. } | CalendarError::DueBeforeWhatItWaitsFor { .. },
        ) => return false,
        Err(other) => panic!("{other}"),
    };
    let early = soonest(small, None);
    let Ok(solution) = calendar.solve() else {
        assert!(!is_kept(small, &early));
        return false;
    };
    assert!(is_kept(small, &early));
    for (nth, (start, done)) in early.into_iter().enumerate() {
        let timing = &solution.activities[&name(nth)];
        assert_eq!((timing.earliest_start, timing.earliest_finish), (hour(start), hour(done)));
        let (last, done) = latest(small, nth);
        assert_eq!((timing.latest_start, timing.latest_finish), (hour(last), hour(done)));
        let free = (start..last).filter(|hour| !small.blocked(&small.works[nth], *hour));
        assert_eq!(timing.slack, hours(free.count() as u64));
    }
    check_path(small, &solution);
    // In whatever order the activities are listed.
    let mut turned = spec;
    turned.activities.reverse();
    assert_eq!(Calendar::new(turned).unwrap().solve().unwrap(), solution);
    solution.critical_path.len() > 1
}

#[test]
fn what_is_critical_moves_the_end_and_nothing_can_be_put_before_it() {
    let several = count(3_000, &small_of(7), compare);
    println!("{several} of 3000 have a path of several activities");
    assert!(several >= 150, "{several} of 3000 have a path of several activities");
}

/// Two ways of the same length: one of them is told, the same one in any order of the list; and the longer one where a milestone is last.
#[test]
fn of_two_ways_of_one_length_it_is_always_the_same() {
    let work = |nth: usize, lasts: u64| Activity::new(name(nth), Phase::Qa, id("a"), hours(lasts));
    let both = [
        work(0, 2),
        work(1, 2),
        work(2, 1).after(name(0)).after(name(1)),
        work(3, 0).after(name(2)),
    ];
    for turn in 0..4 {
        let mut spec = CalendarSpec::new(hour(0), hour(HOURS));
        spec.activities = both.to_vec();
        spec.activities.rotate_left(turn);
        let path = Calendar::new(spec).unwrap().solve().unwrap().critical_path;
        assert_eq!(path, [name(0), name(2), name(3)], "turned by {turn}");
    }
}

/// Of all ways that end with it, one by one.
fn longest(small: &Small, nth: usize) -> u64 {
    let work = &small.works[nth];
    let before = work.after.iter().map(|before| longest(small, *before)).max();
    before.unwrap_or(0) + work.hours
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Without hours, holidays, freezes and deadlines it is the longest way of all that there are.
    #[test]
    fn where_everybody_is_always_there_it_is_the_longest_way(small in small_of(7)) {
        let mut small = small;
        small.always();
        let Ok(solution) = Calendar::new(small.spec()).unwrap().solve() else { return Ok(()) };
        let most = (0..small.works.len()).map(|nth| longest(&small, nth)).max().unwrap();
        let of = |nth: &usize| solution.critical_path.contains(&name(*nth));
        let on_path: u64 = (0..small.works.len()).filter(of).map(|nth| small.works[nth].hours).sum();
        prop_assert_eq!(on_path, most);
    }
}
