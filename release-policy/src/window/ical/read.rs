//! iCalendar to calendars of holidays and to windows.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use icalendar::parser::Component;
use release_core::model::{CalendarId, Span, TeamId, Timestamp, WindowId};
use serde::{Deserialize, Serialize};

use super::event::{Event, Moment, event, events};
use super::{EventProblem, IcalError};
use crate::window::{
    ActionClass, Holiday, HolidayCalendar, Invokers, Kind, OnStart, Scope, When, Window, WindowSpec,
};

/// What windows are that were not written here: iCalendar does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Whether they deny or permit.
    pub kind: Kind,
    /// The zone of times that name none.
    pub zone: String,
    /// Who answers for them.
    pub owner: TeamId,
}

/// What iCalendar has no word for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ours {
    pub(super) id: WindowId,
    pub(super) kind: Kind,
    pub(super) zone: String,
    pub(super) scope: Scope,
    pub(super) actions: BTreeSet<ActionClass>,
    pub(super) invokers: Invokers,
    pub(super) on_start: OnStart,
    pub(super) except_holidays: BTreeSet<CalendarId>,
    pub(super) owner: TeamId,
}

/// Reads the events of a calendar as holidays, by the days on which they are.
///
/// # Errors
/// [`IcalError`] names the event that cannot be understood.
pub fn read_holidays(id: CalendarId, text: &str) -> Result<HolidayCalendar, IcalError> {
    Ok(HolidayCalendar::new(id, events(text, read_holiday)?)?)
}

/// Reads one event as a holiday.
pub(crate) fn read_holiday(component: &Component<'_>) -> Result<Holiday, IcalError> {
    let event = event(component)?;
    let fail = |problem| IcalError::Event { line: None, event: event.name.clone(), problem };
    let start = event.start.civil();
    let last = event.end.checked_sub_signed(TimeDelta::seconds(1));
    let days = last.map(|last| last.date().signed_duration_since(start.date()).num_days() + 1);
    let days = days.and_then(|days| u16::try_from(days).ok()).filter(|days| *days > 0);
    let bad =
        || EventProblem::BadValue { property: "DTEND".to_owned(), value: event.length.to_string() };
    let date = |moment: &Moment| moment.civil().date();
    Ok(Holiday {
        name: event.summary.clone().unwrap_or_else(|| event.name.clone()),
        on: start.date(),
        days: days.ok_or_else(|| fail(bad()))?,
        also: event.also.iter().map(date).collect(),
        except: event.except.iter().map(date).collect(),
        rule: event.rule,
        categories: event.categories,
    })
}

/// Reads the events of a calendar as windows.
///
/// # Errors
/// [`IcalError`] names the event or the window that cannot be understood.
pub fn read_windows(text: &str, defaults: &Defaults) -> Result<Vec<Window>, IcalError> {
    events(text, |component| read_window(component, defaults))
}

/// Reads one event as a window.
pub(crate) fn read_window(
    component: &Component<'_>,
    defaults: &Defaults,
) -> Result<Window, IcalError> {
    window(&event(component)?, defaults)
}

fn window(event: &Event, defaults: &Defaults) -> Result<Window, IcalError> {
    let fail = |problem| IcalError::Event { line: None, event: event.name.clone(), problem };
    let ours: Option<Ours> = match &event.ours {
        None => None,
        Some(text) => Some(serde_json::from_str(text).map_err(|error| {
            let value = format!("{error}").chars().take(80).collect();
            fail(EventProblem::BadValue { property: super::OURS.to_owned(), value })
        })?),
    };
    let reason = event.summary.clone().unwrap_or_default();
    let when = when(event);
    let zone = match event.start {
        Moment::Local(_, Some(zone)) => zone.name().to_owned(),
        Moment::Local(_, None) | Moment::Date(_) => defaults.zone.clone(),
        Moment::Utc(_) => "UTC".to_owned(),
    };
    let spec = match ours {
        None => {
            let id = id(event).ok_or_else(|| fail(EventProblem::Missing("UID")))?;
            let spec = WindowSpec::freeze(id, when, defaults.owner.clone(), reason).zone(zone);
            WindowSpec { kind: defaults.kind, ..spec }
        }
        Some(ours) => {
            let floats = !matches!(event.start, Moment::Local(_, Some(_)));
            WindowSpec {
                id: ours.id,
                kind: ours.kind,
                when,
                zone: if floats { ours.zone } else { zone },
                scope: ours.scope,
                actions: ours.actions,
                invokers: ours.invokers,
                on_start: ours.on_start,
                except_holidays: ours.except_holidays,
                owner: ours.owner,
                reason,
            }
        }
    };
    Ok(spec.build()?)
}

/// A name from the `UID`, or else the `SUMMARY`, in the alphabet of names.
fn id(event: &Event) -> Option<WindowId> {
    plain(event.uid.as_ref().or(event.summary.as_ref())?).parse().ok()
}

/// A text in the alphabet of names; empty where nothing of it is in it.
pub(crate) fn plain(text: &str) -> String {
    let plain = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    plain.trim_matches('-').chars().take(64).collect()
}

fn when(event: &Event) -> When {
    let seconds = u64::try_from(event.length.num_seconds()).unwrap_or(0);
    let lasts = Span::secs(seconds).to_string();
    let start = local(event.start.civil());
    let dates = |all: &[Moment]| all.iter().map(text).collect::<Vec<_>>();
    let (also, except) = (dates(&event.also), dates(&event.except));
    match (&event.rule, event.start) {
        (None, Moment::Utc(from)) if also.is_empty() => {
            When::Between { from: instant(from), until: instant(event.end) }
        }
        (None, _) if also.is_empty() => When::Once { start, lasts },
        (rule, _) => {
            let once = || "FREQ=DAILY;COUNT=1".to_owned();
            When::Rrule { start, rule: rule.clone().unwrap_or_else(once), lasts, also, except }
        }
    }
}

fn instant(at: NaiveDateTime) -> Timestamp {
    DateTime::<Utc>::from_naive_utc_and_offset(at, Utc).into()
}

fn text(moment: &Moment) -> String {
    match moment {
        Moment::Date(day) => day.to_string(),
        other => local(other.civil()),
    }
}

fn local(at: NaiveDateTime) -> String {
    at.format("%Y-%m-%dT%H:%M:%S").to_string()
}
