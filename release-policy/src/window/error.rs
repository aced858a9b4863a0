//! What is wrong with a window, a calendar of holidays or a waiver.

use release_core::model::{CalendarId, Timestamp, WaiverId, WindowId};

/// Windows that cannot be used: which one, what is wrong with it, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("window `{window}`: {problem}")]
pub struct WindowError {
    /// The window, by its name as it was given, cut to 80 characters.
    pub window: String,
    /// What is wrong.
    pub problem: WindowProblem,
}

impl WindowError {
    pub(super) fn of(window: &WindowId, problem: WindowProblem) -> Self {
        Self { window: window.to_string(), problem }
    }
}

/// What is wrong with a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowProblem {
    /// Its name, or one that it mentions, is none.
    #[error("{0}")]
    Id(#[from] release_core::model::IdError),
    /// No such time zone.
    #[error(
        "`{0}` is not a time zone; write a name of the IANA database, for example `Europe/Berlin`"
    )]
    UnknownZone(String),
    /// A civil date and time that is none.
    #[error(
        "`{0}` is not a local date and time; write it as in `2026-11-27T22:00:00`, without a zone"
    )]
    NotLocal(String),
    /// A length of time that is none, or longer than can be counted.
    #[error("`lasts`: {0}")]
    BadLength(#[from] release_core::model::SpanError),
    /// It would be over as it begins.
    #[error("it lasts no time at all; give it a length, or take it out")]
    ZeroLength,
    /// The length is not a whole number of seconds.
    #[error("it lasts {0}, and lengths are whole seconds")]
    Fraction(release_core::model::Span),
    /// Longer than a window may be.
    #[error("it lasts {0}, and a window lasts at most 366 days; use several, or deny by role")]
    TooLong(release_core::model::Span),
    /// It ends before it begins.
    #[error("it ends at {until}, before its begin {from}; mend the instants")]
    Inverted {
        /// Its begin.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// An instant that calendars do not reach.
    #[error("{0} is out of reach: calendars go from 1970 to the end of 2105")]
    OutOfRange(String),
    /// The recurrence rule is not one of RFC 5545.
    #[error("`{rule}` is not a recurrence rule of RFC 5545: {problem}")]
    BadRule {
        /// The rule, cut to 200 characters.
        rule: String,
        /// What the parser says.
        problem: String,
    },
    /// The cron expression is none.
    #[error("`{cron}` is not a cron expression of five fields: {problem}")]
    BadCron {
        /// The expression, cut to 200 characters.
        cron: String,
        /// What the parser says.
        problem: String,
    },
    /// It would never begin.
    #[error("it never begins; mend its rule, or take it out")]
    NeverBegins,
    /// It begins more often than is sensible.
    #[error("it begins more than {0} times in 400 days; use a rarer rule with a longer length")]
    TooOften(usize),
    /// Too many dates stand in its lists.
    #[error("it lists more than {0} dates; use a rule")]
    TooManyDates(usize),
    /// It names no class of action.
    #[error("it concerns no action; name some, or leave `actions` out for the usual ones")]
    NoActions,
    /// A calendar of holidays that is not there.
    #[error("there is no calendar `{0}`; add it, or mend the name")]
    UnknownCalendar(CalendarId),
    /// Another window has its name.
    #[error("another window has the same name; rename one")]
    Duplicate,
    /// More windows than a calendar holds; this is the first too many.
    #[error(
        "it is one of {count} windows, and at most {max} can be used together; merge some by wider scopes"
    )]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
}

/// A waiver that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waiver `{waiver}`: {problem}")]
pub struct WaiverError {
    /// The waiver.
    pub waiver: WaiverId,
    /// What is wrong.
    pub problem: WaiverProblem,
}

/// What is wrong with a waiver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaiverProblem {
    /// It is for nobody.
    #[error("it is for nobody; name the people it is for")]
    Nobody,
    /// Somebody gave it to themselves.
    #[error("{0} gave it to themselves; somebody else has to grant it")]
    SelfGranted(release_core::model::PrincipalId),
    /// It does not say why.
    #[error("it gives no reason; say why")]
    NoReason,
    /// It is over as it begins.
    #[error("it ends at {until}, not after its begin {from}; mend the instants")]
    Empty {
        /// Its begin.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// It is longer than a waiver may be.
    #[error("it holds longer than {0}; grant a shorter one, and again if need be")]
    TooLong(release_core::model::Span),
    /// There is no such window.
    #[error("there is no window `{0}`; mend the name")]
    UnknownWindow(WindowId),
    /// Another waiver has its name.
    #[error("another waiver has the same name; rename one")]
    Duplicate,
}
