//! Calendars that are near several of their limits at once, and what all of it together may be.

use release_core::model::{Span, Timestamp};
use release_core::plan::Place;
use release_policy::train::calendar::{
    Activity, Calendar, CalendarError as Error, CalendarSpec, Crew, FrozenDeparture, MAX_FROZEN,
    MAX_STRETCHES, Phase, ReleaseTrain,
};
use release_policy::window::{
    Holiday, HolidayCalendar, When, Window, WindowRules, WindowSpec, Windows,
};

use super::calendar::{hours, name};
use super::season::at;
use super::support::id;

/// When all seasons here begin.
fn begin() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

fn after(count: u64) -> Timestamp {
    begin().plus(hours(count))
}

/// Hours of two years.
const TWO_YEARS: u64 = 2 * 365 * 24;

fn freeze(name: &str, when: When) -> Window {
    WindowSpec::freeze(id(name), when, id("sre"), "nobody is there").build().unwrap()
}

/// Each hour a train departs, so many times.
fn hourly(departures: u64, freezes: Vec<Window>) -> CalendarSpec {
    let rule = format!("FREQ=HOURLY;COUNT={departures}");
    let train = ReleaseTrain::new(id("hourly"), id("release"), "UTC", "2026-01-01T00:00", rule);
    let mut spec = CalendarSpec::new(begin(), after(TWO_YEARS)).with_train(train);
    spec.windows = Windows::new(freezes).unwrap();
    spec
}

#[test]
fn of_thousands_of_departures_each_is_told_with_each_of_hundreds_of_freezes_that_hold() {
    let (departures, freezes) = (2_000, 500);
    // Each holds for six hours, and one begins every four.
    let holds = |nth: u64| 4 * nth..4 * nth + 6;
    let window = |nth: u64| {
        let when = When::Between { from: after(holds(nth).start), until: after(holds(nth).end) };
        freeze(&format!("w-{nth}"), when)
    };
    // Written backwards: the order of windows is not that of time.
    let windows = (0..freezes).rev().map(window).collect();
    let calendar = Calendar::new(hourly(departures, windows)).unwrap();
    let solution = calendar.solve().unwrap();
    let mut expected = Vec::new();
    for (hour, one) in (0..departures).zip(calendar.departures()) {
        assert_eq!(one.departs, after(hour));
        for nth in (0..freezes).rev().filter(|nth| holds(*nth).contains(&hour)) {
            let (train, window) = (one.id.clone(), id(&format!("w-{nth}")));
            expected.push(FrozenDeparture { train, departs: one.departs, window });
        }
    }
    assert!(expected.len() > 2_900);
    assert!(solution.frozen == expected, "{:?}", solution.frozen.first());
}

#[test]
fn departures_and_freezes_are_refused_where_too_many_meet() {
    let always = |nth: u64| {
        freeze(&format!("w-{nth}"), When::Between { from: begin(), until: after(TWO_YEARS) })
    };
    let spec = |freezes: u64| hourly(2_000, (0..freezes).map(always).collect());
    Calendar::new(spec(500)).unwrap();
    let error = Calendar::new(spec(501)).unwrap_err();
    let count = 501 * 2_000;
    assert_eq!(error, Error::TooMany { what: "departures in freezes", count, max: MAX_FROZEN });
    assert_eq!(
        error.to_string(),
        "there are 1002000 departures in freezes, and at most 1000000 are reckoned with; divide the season"
    );
}

/// What an owner's work is, and when the owner is away, in hours.
struct Owned {
    begins: u64,
    takes: u64,
    away: u64,
}

impl Owned {
    fn of(nth: u64) -> Self {
        let begins = nth * 7 % 17_000;
        // For some right when their work begins.
        let away = if nth.is_multiple_of(3) { begins + 2 } else { nth * 13 % 17_000 };
        Self { begins, takes: nth % 50 + 1, away }
    }

    /// Whether anything is done in an hour: not from ten in the evening until six, nor while the owner is away.
    fn free(&self, hour: u64) -> bool {
        (6..22).contains(&(hour % 24)) && !(self.away..self.away + 5).contains(&hour)
    }
}

#[test]
fn one_nightly_freeze_of_two_years_holds_the_work_of_twenty_thousand_owners() {
    let mut spec = CalendarSpec::new(begin(), after(TWO_YEARS));
    spec.windows = Windows::new([freeze("nightly", When::cron("0 22 * * *", "8h"))]).unwrap();
    for nth in 0..20_000_u64 {
        let Owned { begins, takes, away } = Owned::of(nth);
        let team = format!("team-{nth}");
        let crew = Crew::new(id(&team), "UTC").away(after(away), after(away + 5), "away");
        spec.crews.push(crew);
        let named = name(usize::try_from(nth).unwrap());
        let work = Activity::new(named, Phase::Operations, id(&team), hours(takes));
        let work = work.at(Place::new(id("production")));
        spec.activities.push(Activity { not_before: Some(after(begins)), ..work });
    }
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    assert_eq!(solution.activities.len(), 20_000);
    for nth in (0..20_000_u64).step_by(1_111) {
        let owned = Owned::of(nth);
        let count = usize::try_from(owned.takes).unwrap();
        let sooner = (owned.begins..).filter(|hour| owned.free(*hour));
        let sooner: Vec<u64> = sooner.take(count).collect();
        let later = (0..TWO_YEARS).rev().filter(|hour| owned.free(*hour));
        let later: Vec<u64> = later.take(count).collect();
        let timing = &solution.activities[&name(usize::try_from(nth).unwrap())];
        let earliest = (timing.earliest_start, timing.earliest_finish);
        assert_eq!(earliest, (after(sooner[0]), after(sooner[count - 1] + 1)), "{nth}");
        let latest = (timing.latest_start, timing.latest_finish);
        assert_eq!(latest, (after(later[count - 1]), after(later[0] + 1)), "{nth}");
        let between = (sooner[0]..later[count - 1]).filter(|hour| owned.free(*hour)).count();
        assert_eq!(timing.slack, hours(between as u64), "{nth}");
        // It is told what was in the way, the first to begin first.
        let times = timing.held.iter().map(|held| held.from);
        assert!(times.is_sorted(), "{nth}: {:?}", timing.held);
        let stopped = (owned.begins..=sooner[count - 1]).any(|hour| !owned.free(hour));
        assert_eq!(!timing.held.is_empty(), stopped, "{nth}");
    }
}

#[test]
fn teams_are_refused_that_have_too_many_stretches_together() {
    let mut spec = CalendarSpec::new(begin(), after(TWO_YEARS));
    // Half of each hour, so that each has as many stretches as there are hours.
    let works = || Some(When::rrule("2026-01-01T00:00", "FREQ=HOURLY", "30m"));
    let count = MAX_STRETCHES / 17_520 + 1;
    let crew = |nth: usize| Crew { works: works(), ..Crew::new(id(&format!("t-{nth}")), "UTC") };
    spec.crews = (0..count).map(crew).collect();
    let (what, count) = ("stretches that hold work", count * 17_520);
    let error = Calendar::new(spec).unwrap_err();
    assert_eq!(error, Error::TooMany { what, count, max: MAX_STRETCHES });
    assert!(error.to_string().ends_with("; divide the season"), "{error}");
}

/// What teams have in common is reckoned once, but for what is not the same: one holiday is at other times in other zones.
#[test]
fn teams_of_several_zones_have_the_same_holiday_each_at_its_own_time() {
    let christmas = Holiday::new("Christmas", "2026-12-25".parse().unwrap());
    let other = Holiday::new("Another", "2026-12-25".parse().unwrap());
    let calendars = vec![
        HolidayCalendar::new(id("other"), [other]).unwrap(),
        HolidayCalendar::new(id("world"), [Holiday { days: 2, ..christmas }]).unwrap(),
    ];
    let mut spec = CalendarSpec::new(at("2026-12-24T00:00:00Z"), at("2026-12-30T00:00:00Z"));
    spec.windows = WindowRules { calendars, ..WindowRules::default() }.try_into().unwrap();
    let begins = at("2026-12-25T06:00:00Z");
    let all = [
        ("a", "Pacific/Auckland", "world", "2026-12-26T11:00:00Z"),
        ("b", "America/New_York", "world", "2026-12-27T05:00:00Z"),
        ("c", "Pacific/Auckland", "world", "2026-12-26T11:00:00Z"),
        ("d", "Pacific/Auckland", "other", "2026-12-25T11:00:00Z"),
    ];
    for (team, zone, calendar, _) in all {
        spec.crews.push(Crew::new(id(team), zone).observing(id(calendar)));
        let work = Activity::new(id(team), Phase::Qa, id(team), Span::secs(60));
        spec.activities.push(Activity { not_before: Some(begins), ..work });
    }
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    for (team, zone, _, start) in all {
        let timing = &solution.activities[&id(team)];
        assert_eq!(timing.earliest_start, at(start), "{team} {zone}");
        let [held] = &timing.held[..] else { panic!("{:?}", timing.held) };
        assert!(held.by.to_string().starts_with(&format!("{team} has a holiday")), "{held:?}");
    }
}
