//! One `VEVENT`, as far as windows and holidays go by it.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use icalendar::parser::{Calendar, Component, Property, read_calendar, unfold};
use release_core::model::Span;

use super::lines::Lines;
use super::{EventProblem, IcalError, MAX_TEXT};
use crate::window::recurrence::MAX_DATES;

/// A date or a time in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Date(NaiveDate),
    /// The same everywhere.
    Utc(NaiveDateTime),
    /// In a zone, or in that of whoever reads.
    Local(NaiveDateTime, Option<Tz>),
}

impl Moment {
    /// The local date and time; of an instant, that in UTC.
    pub(crate) fn civil(self) -> NaiveDateTime {
        match self {
            Self::Date(day) => day.and_time(NaiveTime::MIN),
            Self::Utc(at) | Self::Local(at, _) => at,
        }
    }

    fn zone(self) -> Option<Tz> {
        match self {
            Self::Date(_) => None,
            Self::Utc(_) => Some(Tz::UTC),
            Self::Local(_, zone) => zone,
        }
    }
}

/// An event.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) uid: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) ours: Option<String>,
    pub(super) start: Moment,
    /// How long it lasts on the clock.
    pub(super) length: TimeDelta,
    /// What the clock shows, as it does at its start, when it is over.
    pub(super) end: NaiveDateTime,
    pub(super) rule: Option<String>,
    pub(super) also: Vec<Moment>,
    pub(super) except: Vec<Moment>,
    pub(super) categories: Vec<String>,
}

/// What `read` makes of each event of a calendar that is not cancelled.
pub(super) fn events<T>(
    text: &str,
    read: impl Fn(&Component<'_>) -> Result<T, IcalError>,
) -> Result<Vec<T>, IcalError> {
    with_calendar(text, |calendar, lines| {
        let all = calendar.components.iter().zip(lines.parts());
        all.filter(|(event, _)| {
            event.name == "VEVENT" && value(event, "STATUS") != Some("CANCELLED")
        })
        .map(|(event, part)| read(event).map_err(|error| part.locate(event, error)))
        .collect()
    })
}

/// Reads a calendar that is neither too long nor too deep.
pub(crate) fn with_calendar<T>(
    text: &str,
    read: impl FnOnce(&Calendar<'_>, &Lines) -> Result<T, IcalError>,
) -> Result<T, IcalError> {
    if text.len() > MAX_TEXT {
        return Err(IcalError::TooLong(text.len()));
    }
    // The parser looks for the line ends of RFC 5545 first, to the end of the text: with others it would take a line for many.
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let unfolded = unfold(&text);
    let lines = Lines::of(&text, &unfolded)?;
    let calendar = read_calendar(&unfolded).map_err(|error| {
        let problem = error.chars().take(300).collect();
        IcalError::Syntax { line: None, problem }
    })?;
    read(&calendar, &lines)
}

pub(crate) fn value<'a>(event: &'a Component<'_>, name: &str) -> Option<&'a str> {
    event.find_prop(name).map(|property| property.val.as_str())
}

pub(crate) fn text(component: &Component<'_>, name: &str) -> Option<String> {
    value(component, name).map(str::to_owned)
}

/// What it is called where something is wrong with it.
pub(crate) fn name_of(component: &Component<'_>) -> String {
    let name = value(component, "UID").or_else(|| value(component, "SUMMARY"));
    name.unwrap_or("without a name").chars().take(80).collect()
}

/// How long it says that it takes.
pub(crate) fn span(component: &Component<'_>) -> Result<Option<Span>, EventProblem> {
    let Some(property) = component.find_prop("DURATION") else { return Ok(None) };
    let text = property.val.as_str();
    let seconds = duration(text).and_then(|length| u64::try_from(length.num_seconds()).ok());
    seconds.map(|seconds| Some(Span::secs(seconds))).ok_or_else(|| bad(property, text))
}

/// One of them.
pub(super) fn event(component: &Component<'_>) -> Result<Event, IcalError> {
    let (uid, summary) = (text(component, "UID"), text(component, "SUMMARY"));
    let name = name_of(component);
    let fail = |problem| IcalError::Event { line: None, event: name.clone(), problem };
    for unknown in ["EXRULE", "RECURRENCE-ID"] {
        if component.find_prop(unknown).is_some() {
            return Err(fail(EventProblem::Unsupported(unknown.to_owned())));
        }
    }
    let rules = component.properties.iter().filter(|p| p.name == "RRULE").count();
    if rules > 1 {
        return Err(fail(EventProblem::Unsupported("a second RRULE".to_owned())));
    }
    let missing = || fail(EventProblem::Missing("DTSTART"));
    let start = component.find_prop("DTSTART").ok_or_else(missing)?;
    let start = one(start).map_err(&fail)?;
    let (length, end) = length(component, start).map_err(&fail)?;
    let also = list(component, "RDATE", start).map_err(&fail)?;
    let except = list(component, "EXDATE", start).map_err(&fail)?;
    let categories = component.properties.iter().filter(|p| p.name == "CATEGORIES");
    let categories = categories.flat_map(|p| words(p.val.as_str())).collect();
    let (rule, ours) = (text(component, "RRULE"), text(component, super::OURS));
    Ok(Event { name, uid, summary, ours, start, length, end, rule, also, except, categories })
}

fn bad(property: &Property<'_>, value: &str) -> EventProblem {
    EventProblem::BadValue {
        property: property.name.as_str().to_owned(),
        value: value.chars().take(80).collect(),
    }
}

fn zone(property: &Property<'_>) -> Result<Option<Tz>, EventProblem> {
    let name = property.params.iter().find(|p| p.key == "TZID").and_then(|p| p.val.as_ref());
    let Some(name) = name.map(|name| name.as_str().trim_matches('"')) else { return Ok(None) };
    let unknown = || EventProblem::UnknownZone(name.chars().take(80).collect());
    name.parse().map(Some).map_err(|_| unknown())
}

fn moment(property: &Property<'_>, text: &str) -> Result<Moment, EventProblem> {
    let time = |text| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S");
    if text.len() == 8 {
        let day = NaiveDate::parse_from_str(text, "%Y%m%d");
        return day.map(Moment::Date).map_err(|_| bad(property, text));
    }
    let zone = zone(property)?;
    let parsed = match text.strip_suffix('Z') {
        Some(utc) => time(utc).map(Moment::Utc),
        None => time(text).map(|at| Moment::Local(at, zone)),
    };
    parsed.map_err(|_| bad(property, text))
}

pub(crate) fn one(property: &Property<'_>) -> Result<Moment, EventProblem> {
    moment(property, property.val.as_str())
}

/// The dates of all properties of this name, on the clock that `start` is written in.
pub(crate) fn list(
    component: &Component<'_>,
    name: &str,
    start: Moment,
) -> Result<Vec<Moment>, EventProblem> {
    let mut all = Vec::new();
    for property in component.properties.iter().filter(|property| property.name == name) {
        for text in property.val.as_str().split(',') {
            if text.contains('/') {
                return Err(EventProblem::Unsupported(format!("{name} with a period")));
            }
            let at = match (moment(property, text)?, start.zone()) {
                (Moment::Utc(at), Some(zone)) if zone != Tz::UTC => {
                    let at = DateTime::<Utc>::from_naive_utc_and_offset(at, Utc);
                    Moment::Local(at.with_timezone(&zone).naive_local(), Some(zone))
                }
                (Moment::Local(_, zone), own) if zone != own => {
                    return Err(EventProblem::AnotherZone(name.to_owned()));
                }
                (at, _) => at,
            };
            all.push(at);
            if all.len() > MAX_DATES {
                return Err(EventProblem::TooManyDates(MAX_DATES));
            }
        }
    }
    Ok(all)
}

/// How long an event lasts, and when it is over: no later than there are dates.
fn length(
    component: &Component<'_>,
    start: Moment,
) -> Result<(TimeDelta, NaiveDateTime), EventProblem> {
    let begins = start.civil();
    let lasting = |length: TimeDelta| Some((length, begins.checked_add_signed(length)?));
    if let Some(end) = component.find_prop("DTEND") {
        let until = one(end)?;
        return if until.zone() == start.zone() {
            Ok((until.civil().signed_duration_since(begins), until.civil()))
        } else {
            Err(EventProblem::AnotherZone("DTEND".to_owned()))
        };
    }
    match (component.find_prop("DURATION"), start) {
        (Some(property), _) => {
            let text = property.val.as_str();
            duration(text).and_then(lasting).ok_or_else(|| bad(property, text))
        }
        (None, Moment::Date(day)) => lasting(TimeDelta::days(1)).ok_or_else(|| {
            EventProblem::BadValue { property: "DTSTART".to_owned(), value: day.to_string() }
        }),
        (None, _) => Err(EventProblem::Missing("DTEND")),
    }
}

/// A duration as in RFC 5545, section 3.3.6; none that is negative.
fn duration(text: &str) -> Option<TimeDelta> {
    let text = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let (mut seconds, mut number, mut seen) = (0_i64, None::<i64>, false);
    for c in text.chars() {
        match c {
            '0'..='9' => {
                let digit = i64::from(c.to_digit(10)?);
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
            }
            'T' if number.is_none() => {}
            _ => {
                let unit = match c {
                    'W' => 604_800,
                    'D' => 86_400,
                    'H' => 3_600,
                    'M' => 60,
                    'S' => 1,
                    _ => return None,
                };
                seconds = seconds.checked_add(number.take()?.checked_mul(unit)?)?;
                seen = true;
            }
        }
    }
    if !seen || number.is_some() { None } else { TimeDelta::try_seconds(seconds) }
}

/// The words of a list, with escaped commas kept in them.
fn words(text: &str) -> Vec<String> {
    let (mut all, mut word, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            _ if escaped => {
                word.push(if matches!(c, 'n' | 'N') { '\n' } else { c });
                escaped = false;
            }
            '\\' => escaped = true,
            ',' => all.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    all.push(word);
    all.retain(|word| !word.is_empty());
    all
}
