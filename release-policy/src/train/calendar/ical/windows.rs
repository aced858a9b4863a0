//! Freezes and holidays, by [`window::ical`](crate::window::ical), and what else belongs to windows.

use std::collections::BTreeMap;

use icalendar::parser::Component as Parsed;
use icalendar::{Component as _, Property};
use release_core::model::{CalendarId, TeamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::as_written::{as_written, keep};
use super::places::Places;
use super::{bad, failing, json, parsed};
use crate::train::calendar::CalendarSpec;
use crate::window::ical::inner::{
    holiday_event, name_of, read_holiday, read_window, value, window_event,
};
use crate::window::ical::{Defaults, EventProblem, IcalError};
use crate::window::{
    Classes, Holiday, HolidayCalendar, Kind, Straddle, Waiver, Window, WindowRules, Windows,
    WindowsError,
};

/// The name of a calendar of holidays: of the calendar, that there is one; of an event, that it is one of its holidays.
pub(super) const HOLIDAYS: &str = "X-RELEASE-HOLIDAYS";
/// A window without a begin in the season, or with more than can be listed.
pub(super) const UNSHOWN: &str = "X-RELEASE-UNSHOWN-WINDOW";
pub(super) const WAIVER: &str = "X-RELEASE-WAIVER";
pub(super) const RULES: &str = "X-RELEASE-WINDOW-RULES";

/// A window that no event shows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unshown {
    /// Its place among all windows.
    nth: usize,
    window: Window,
}

/// What is said for all windows together.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForAll {
    #[serde(default)]
    classes: Classes,
    #[serde(default)]
    straddle: Straddle,
}

/// Adds all of it to what is written.
pub(super) fn write(
    spec: &CalendarSpec,
    stamp: Timestamp,
    written: &mut icalendar::Calendar,
) -> Result<(), IcalError> {
    let rules = spec.windows.rules();
    let for_all = ForAll { classes: rules.classes.clone(), straddle: rules.straddle };
    if for_all != ForAll::default() {
        written.append_property(json(RULES, &for_all, "windows")?);
    }
    for calendar in &rules.calendars {
        written.append_property(Property::new(HOLIDAYS, calendar.id().as_str()));
        for (holiday, number) in calendar.holidays().iter().zip(1_u32..) {
            let uid = format!("holiday/{}/{number}", calendar.id());
            let mut event = holiday_event(&uid, holiday, stamp)?;
            event.add_property(HOLIDAYS, calendar.id().as_str());
            keep(&mut event, holiday, &uid, read_holiday)?;
            written.push(event);
        }
    }
    for (nth, window) in rules.windows.iter().enumerate() {
        let uid = format!("window/{}", window.id());
        let within = (spec.from, spec.until);
        match window_event(&uid, (&spec.windows, window), within, stamp) {
            Ok(Some(mut event)) => {
                let defaults = defaults(&window.spec().owner);
                keep(&mut event, window, &uid, |component| read_window(component, &defaults))?;
                written.push(event);
            }
            Ok(None) | Err(IcalError::Event { problem: EventProblem::TooManyDates(_), .. }) => {
                let unshown = Unshown { nth, window: window.clone() };
                written.append_property(json(UNSHOWN, &unshown, window.id().as_str())?);
            }
            Err(error) => return Err(error),
        }
    }
    for waiver in &rules.waivers {
        written.append_property(json(WAIVER, waiver, waiver.spec().id.as_str())?);
    }
    Ok(())
}

/// Ours say all of that themselves.
fn defaults(owner: &TeamId) -> Defaults {
    Defaults { kind: Kind::Freeze, zone: "UTC".to_owned(), owner: owner.clone() }
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Found {
    calendars: Vec<(CalendarId, Vec<(Holiday, usize)>)>,
    /// Where each is among them.
    numbers: BTreeMap<CalendarId, usize>,
    windows: Vec<Window>,
    unshown: Vec<Unshown>,
    waivers: Vec<Waiver>,
    for_all: ForAll,
}

impl Found {
    /// A property of the calendar, on this line.
    pub(super) fn property(
        &mut self,
        (key, value): (&str, &str),
        line: usize,
        places: &mut Places,
    ) -> Result<(), IcalError> {
        match key {
            HOLIDAYS => {
                let id = calendar_id(value, "holidays")?;
                places.take("calendar", id.as_str(), line)?;
                self.calendar(id);
            }
            UNSHOWN => {
                let unshown: Unshown = parsed(UNSHOWN, value, "window")?;
                places.take("window", unshown.window.id().as_str(), line)?;
                self.unshown.push(unshown);
            }
            WAIVER => {
                let waiver: Waiver = parsed(WAIVER, value, "waiver")?;
                places.take("waiver", waiver.spec().id.as_str(), line)?;
                self.waivers.push(waiver);
            }
            _ => {
                places.take("rules", "windows", line)?;
                self.for_all = parsed(RULES, value, "windows")?;
            }
        }
        Ok(())
    }

    fn calendar(&mut self, id: CalendarId) -> Option<&mut Vec<(Holiday, usize)>> {
        let next = self.calendars.len();
        let number = *self.numbers.entry(id.clone()).or_insert(next);
        if number == next {
            self.calendars.push((id, Vec::new()));
        }
        self.calendars.get_mut(number).map(|(_, holidays)| holidays)
    }

    /// An event that is a holiday.
    pub(super) fn holiday(&mut self, event: &Parsed<'_>, line: usize) -> Result<(), IcalError> {
        let name = name_of(event);
        let id = calendar_id(value(event, HOLIDAYS).unwrap_or_default(), &name)?;
        let holiday = as_written(event, read_holiday(event)?, &name)?;
        if let Some(holidays) = self.calendar(id) {
            holidays.push((holiday, line));
        }
        Ok(())
    }

    /// An event that is a window.
    pub(super) fn window(
        &mut self,
        event: &Parsed<'_>,
        (owner, line): (&TeamId, usize),
        places: &mut Places,
    ) -> Result<(), IcalError> {
        let window = read_window(event, &defaults(owner))?;
        let window = as_written(event, window, &name_of(event))?;
        places.take("window", window.id().as_str(), line)?;
        self.windows.push(window);
        Ok(())
    }

    /// All of it together.
    pub(super) fn together(self, places: &Places) -> Result<Windows, IcalError> {
        let Self { calendars, windows, unshown, waivers, for_all, .. } = self;
        let windows = in_place(windows, unshown);
        let calendars = calendars.into_iter().map(|(id, holidays)| {
            let lines: Vec<_> = holidays.iter().map(|(one, line)| (one.on, *line)).collect();
            let all = holidays.into_iter().map(|(holiday, _)| holiday);
            HolidayCalendar::new(id, all).map_err(|problem| {
                let line = lines.iter().find(|(on, _)| *on == problem.on).map(|(_, line)| *line);
                IcalError::Holiday { line, problem: Box::new(problem) }
            })
        });
        let calendars = calendars.collect::<Result<_, _>>()?;
        let ForAll { classes, straddle } = for_all;
        WindowRules { windows, calendars, waivers, classes, straddle }.try_into().map_err(
            |problem: WindowsError| {
                let line = match &problem {
                    WindowsError::Window(one) => places.line("window", &one.window),
                    WindowsError::Waiver(one) => places.line("waiver", one.waiver.as_str()),
                    WindowsError::DuplicateCalendar(id) => places.line("calendar", id.as_str()),
                };
                IcalError::Windows { line, problem: Box::new(problem) }
            },
        )
    }
}

/// All windows in order, in one pass however many there are: each unshown one in its place, or at the end where that is sooner.
fn in_place(shown: Vec<Window>, mut unshown: Vec<Unshown>) -> Vec<Window> {
    unshown.sort_by_key(|unshown| unshown.nth);
    let mut all = Vec::with_capacity(shown.len() + unshown.len());
    let mut shown = shown.into_iter();
    for Unshown { nth, window } in unshown {
        let before = nth.saturating_sub(all.len());
        all.extend(shown.by_ref().take(before));
        all.push(window);
    }
    all.extend(shown);
    all
}

fn calendar_id(text: &str, of: &str) -> Result<CalendarId, IcalError> {
    CalendarId::new(text).map_err(|error| failing(of, bad(HOLIDAYS, &error.value)))
}
