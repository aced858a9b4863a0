//! iCalendar (RFC 5545): calendars of holidays and windows, read and written.
//!
//! Read is one `VCALENDAR` with its `VEVENT`s: `DTSTART` with a `TZID`, in UTC, or all day; `DTEND` or
//! `DURATION`; `RRULE`, `RDATE`, `EXDATE`, `CATEGORIES`, `SUMMARY`. Events that are cancelled are left
//! out; what would change the meaning and is not known here (`EXRULE`, `RECURRENCE-ID`, an end in
//! another zone) is refused rather than overlooked, and so are a second `VCALENDAR` and what is no iCalendar; errors say on which line.
//! Zones are looked up by name in the IANA database; `VTIMEZONE` is neither read nor written.
//!
//! Written windows carry what iCalendar has no word for (scope, actions, whom they concern) as JSON in
//! `X-RELEASE-WINDOW`, so that they can be read again without loss. Cron has no iCalendar form either:
//! its begins are listed as dates, over a time that is asked for.

mod event;
mod lines;
mod read;
mod write;

pub use read::{Defaults, read_holidays, read_windows};
pub use write::{write_holidays, write_windows};

/// What reads and writes other calendars than these, too.
pub(crate) mod inner {
    pub(crate) use super::event::{
        Moment, list as moments, name_of, one, span, text, value, with_calendar,
    };
    pub(crate) use super::lines::{Lines, Part};
    pub(crate) use super::read::{plain, read_holiday, read_window};
    pub(crate) use super::write::{
        at, date, empty, event, holiday_event, recur, utc, whole, window_event,
    };
    pub(crate) use super::{OURS as WINDOW, on};
    pub(crate) use crate::window::civil::earliest;
    pub(crate) use crate::window::recurrence::parse_start;
}

use super::{HolidayError, WindowError, WindowsError};

/// The property with what iCalendar has no word for.
pub(crate) const OURS: &str = "X-RELEASE-WINDOW";
/// The longest text that is read, in bytes.
const MAX_TEXT: usize = 64 << 20;
/// The deepest nesting of components that is read.
const MAX_DEPTH: usize = 8;

/// iCalendar that cannot be read or written. What is read has a line, counted from 1 in the text as it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IcalError {
    /// The text is no iCalendar.
    #[error("{}this is no iCalendar: {problem}", on(*line))]
    Syntax {
        /// On which line, where that is known.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
    },
    /// The text is too long.
    #[error("the text has {0} bytes, and at most {MAX_TEXT} are read; cut out what is past")]
    TooLong(usize),
    /// An event cannot be understood, or not be written.
    #[error("{}event `{event}`: {problem}", on(*line))]
    Event {
        /// On which line; none of what is written.
        line: Option<usize>,
        /// Its `UID`, or else its `SUMMARY`, cut to 80 characters.
        event: String,
        /// What is wrong.
        problem: EventProblem,
    },
    /// A window that was read is not sound.
    #[error("{}{problem}", on(*line))]
    Window {
        /// On which line.
        line: Option<usize>,
        /// The window, and what is wrong.
        problem: Box<WindowError>,
    },
    /// A holiday that was read is not sound.
    #[error("{}{problem}", on(*line))]
    Holiday {
        /// On which line, where that is known.
        line: Option<usize>,
        /// The holiday, and what is wrong.
        problem: Box<HolidayError>,
    },
    /// Windows, holidays and waivers that were read do not go together.
    #[error("{}{problem}", on(*line))]
    Windows {
        /// On which line, where that is known.
        line: Option<usize>,
        /// What is wrong.
        problem: Box<WindowsError>,
    },
}

/// A line, before what is wrong there.
pub(crate) fn on(line: Option<usize>) -> String {
    line.map(|line| format!("line {line}: ")).unwrap_or_default()
}

impl From<WindowError> for IcalError {
    fn from(problem: WindowError) -> Self {
        Self::Window { line: None, problem: Box::new(problem) }
    }
}

impl From<HolidayError> for IcalError {
    fn from(problem: HolidayError) -> Self {
        Self::Holiday { line: None, problem: Box::new(problem) }
    }
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventProblem {
    /// It lacks a property.
    #[error("it has no `{0}`; add one")]
    Missing(&'static str),
    /// A value is none.
    #[error("`{value}` is no value of `{property}`")]
    BadValue {
        /// The property.
        property: String,
        /// The value, cut to 80 characters.
        value: String,
    },
    /// A zone is not known.
    #[error("`{0}` is not a time zone of the IANA database")]
    UnknownZone(String),
    /// Its times are in several zones.
    #[error("`{0}` is in another zone than `DTSTART`; write it in the same")]
    AnotherZone(String),
    /// A property that would change its meaning and is not known here.
    #[error("`{0}` is not understood here; write the event without it")]
    Unsupported(String),
    /// Another is called the same.
    #[error("`{name}` is what another on line {line} is called, too; give it a name of its own")]
    Twice {
        /// The name.
        name: String,
        /// Where the other stands.
        line: usize,
    },
    /// It has more dates than are read.
    #[error("it lists more than {0} dates; use a rule")]
    TooManyDates(usize),
    /// iCalendar counts whole seconds.
    #[error("its instants are no whole seconds")]
    Fraction,
    /// It cannot be written down.
    #[error("it cannot be written: {0}")]
    Unwritable(String),
}
