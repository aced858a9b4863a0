//! Calendars of holidays and windows to iCalendar.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use icalendar::{Calendar, Component as _, Event, Property};
use release_core::model::Timestamp;

use super::read::Ours;
use super::{EventProblem, IcalError, OURS};
use crate::window::civil::local;
use crate::window::recurrence::{MAX_DATES, parse_start};
use crate::window::{Holiday, HolidayCalendar, Kind, When, Window, Windows};

const DATE: &str = "%Y%m%d";
const TIME: &str = "%Y%m%dT%H%M%S";

/// Writes a calendar of holidays, stamped with an instant that the caller says.
///
/// # Errors
/// [`IcalError::Event`] when it cannot be written.
pub fn write_holidays(calendar: &HolidayCalendar, stamp: Timestamp) -> Result<String, IcalError> {
    let mut written = empty();
    for (holiday, number) in calendar.holidays().iter().zip(1_u32..) {
        written.push(holiday_event(&format!("{}-{number}", calendar.id()), holiday, stamp)?);
    }
    Ok(written.to_string())
}

/// One holiday.
pub(crate) fn holiday_event(
    uid: &str,
    holiday: &Holiday,
    stamp: Timestamp,
) -> Result<Event, IcalError> {
    let mut event = event(uid, &holiday.name, stamp)?;
    let day = |key: &str, day: NaiveDate| date(key, &day.format(DATE).to_string());
    event.append_property(day("DTSTART", holiday.on));
    event.append_property(day("DTEND", holiday.on + TimeDelta::days(holiday.days.into())));
    if let Some(rule) = &holiday.rule {
        event.add_property("RRULE", recur(rule));
    }
    for (key, days) in [("RDATE", &holiday.also), ("EXDATE", &holiday.except)] {
        for other in days {
            event.append_multi_property(day(key, *other));
        }
    }
    if !holiday.categories.is_empty() {
        event.add_property("CATEGORIES", list(&holiday.categories));
    }
    Ok(event)
}

/// A rule as RFC 5545 writes it, however it is written here.
pub(crate) fn recur(rule: &str) -> String {
    let rule = rule.trim().to_ascii_uppercase();
    rule.strip_prefix("RRULE:").unwrap_or(&rule).to_owned()
}

/// Writes windows, stamped with an instant that the caller says. Windows of cron and of holidays have
/// no rule in iCalendar: what begins of them in `[from, until)` is listed.
///
/// # Errors
/// [`IcalError::Event`] names the window that cannot be written: one whose instants are no whole
/// seconds, or which would list too many begins.
pub fn write_windows(
    windows: &Windows,
    (from, until): (Timestamp, Timestamp),
    stamp: Timestamp,
) -> Result<String, IcalError> {
    let mut written = empty();
    for window in windows.iter() {
        let event = window_event(window.id().as_str(), (windows, window), (from, until), stamp)?;
        if let Some(event) = event {
            written.push(event);
        }
    }
    Ok(written.to_string())
}

/// One of the windows; none where it never begins in the time that was asked for.
pub(crate) fn window_event(
    uid: &str,
    (windows, window): (&Windows, &Window),
    within: (Timestamp, Timestamp),
    stamp: Timestamp,
) -> Result<Option<Event>, IcalError> {
    let fail = |problem| IcalError::Event { line: None, event: window.id().to_string(), problem };
    let spec = window.spec();
    let mut event = event(uid, &spec.reason, stamp)?;
    let category = match spec.kind {
        Kind::Freeze => "FREEZE",
        Kind::Deployment => "DEPLOYMENT",
    };
    event.add_property("CATEGORIES", category);
    event.add_property(OURS, ours(window).map_err(fail)?);
    Ok(timing(&mut event, windows, window, within).map_err(fail)?.then_some(event))
}

/// Says when; `false` when it never begins in the time that was asked for.
fn timing(
    event: &mut Event,
    windows: &Windows,
    window: &Window,
    (from, until): (Timestamp, Timestamp),
) -> Result<bool, EventProblem> {
    let zone = window.spec().zone.as_str();
    let parse = |text: &str| parse_start(text).map_err(|e| EventProblem::Unwritable(e.to_string()));
    match &window.spec().when {
        When::Between { from, until } => {
            for (key, at) in [("DTSTART", from), ("DTEND", until)] {
                event.add_property(key, utc(*at)?);
            }
        }
        When::Once { start, .. } => begin(event, zone, parse(start)?, window.length),
        When::Rrule { start, rule, also, except, .. } => {
            begin(event, zone, parse(start)?, window.length);
            event.add_property("RRULE", recur(rule));
            for other in also {
                event.append_multi_property(at("RDATE", zone, parse(other)?));
            }
            for other in except {
                let property = match other.parse::<NaiveDate>() {
                    Ok(day) => date("EXDATE", &day.format(DATE).to_string()),
                    Err(_) => at("EXDATE", zone, parse(other)?),
                };
                event.append_multi_property(property);
            }
        }
        When::Cron { .. } | When::Holidays { .. } => {
            let begins = windows.stretches(window.id(), from, until).unwrap_or_default();
            if begins.len() > MAX_DATES {
                return Err(EventProblem::TooManyDates(MAX_DATES));
            }
            let shown = |(begin, _): &(Timestamp, Timestamp)| local(window.zone, begin.as_micros());
            let mut begins = begins.iter().filter_map(shown);
            let Some(first) = begins.next() else { return Ok(false) };
            begin(event, zone, first, window.length);
            for other in begins {
                event.append_multi_property(at("RDATE", zone, other));
            }
        }
    }
    Ok(true)
}

fn ours(window: &Window) -> Result<String, EventProblem> {
    let spec = window.spec().clone();
    let ours = Ours {
        id: spec.id,
        kind: spec.kind,
        zone: spec.zone,
        scope: spec.scope,
        actions: spec.actions,
        invokers: spec.invokers,
        on_start: spec.on_start,
        except_holidays: spec.except_holidays,
        owner: spec.owner,
    };
    serde_json::to_string(&ours).map_err(|error| EventProblem::Unwritable(error.to_string()))
}

pub(crate) fn empty() -> Calendar {
    let mut calendar = Calendar::empty();
    for (key, value) in [("VERSION", "2.0"), ("PRODID", "-//release-policy//EN")] {
        calendar.append_property(Property::new(key, value));
    }
    calendar
}

pub(crate) fn event(uid: &str, summary: &str, stamp: Timestamp) -> Result<Event, IcalError> {
    let fail = |problem| IcalError::Event { line: None, event: uid.to_owned(), problem };
    let mut event = Event::with_uid(uid);
    event.add_property("DTSTAMP", utc(whole(stamp)).map_err(fail)?);
    event.add_property("SUMMARY", summary);
    Ok(event)
}

/// Its second.
pub(crate) fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().div_euclid(1_000_000) * 1_000_000)
}

pub(crate) fn utc(at: Timestamp) -> Result<String, EventProblem> {
    if at.as_micros() % 1_000_000 != 0 {
        return Err(EventProblem::Fraction);
    }
    let shown = local(chrono_tz::Tz::UTC, at.as_micros());
    shown.map(|at| at.format("%Y%m%dT%H%M%SZ").to_string()).ok_or(EventProblem::Fraction)
}

fn begin(event: &mut Event, zone: &str, start: NaiveDateTime, length: TimeDelta) {
    event.append_property(at("DTSTART", zone, start));
    event.add_property("DURATION", duration(length));
}

pub(crate) fn at(key: &str, zone: &str, time: NaiveDateTime) -> Property {
    let mut property = Property::new(key, time.format(TIME).to_string());
    property.add_parameter("TZID", zone);
    property
}

pub(crate) fn date(key: &str, day: &str) -> Property {
    let mut property = Property::new(key, day);
    property.add_parameter("VALUE", "DATE");
    property
}

/// Days are those of the calendar, and only the rest is counted: as lengths are here.
fn duration(length: TimeDelta) -> String {
    let seconds = length.num_seconds();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    match (days, rest) {
        (days, 0) => format!("P{days}D"),
        (0, rest) => format!("PT{rest}S"),
        (days, rest) => format!("P{days}DT{rest}S"),
    }
}

/// A list, with commas and the like escaped in its words.
fn list(words: &[String]) -> String {
    let escaped = words.iter().map(|word| {
        let mut text = String::with_capacity(word.len());
        for c in word.chars() {
            match c {
                ',' | ';' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                _ => text.push(c),
            }
        }
        text
    });
    escaped.collect::<Vec<_>>().join(",")
}
