//! All windows of a host, compiled: the calendar that is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::NaiveDate;
use release_core::model::{CalendarId, Digest, Timestamp, WindowId};
use release_core::plan::Place;
use serde::{Deserialize, Serialize};

use super::recurrence::Starts;
use super::spans::{Source, Spans};
use super::{
    Classes, HolidayCalendar, Kind, Overlap, Straddle, Waiver, WaiverError, WaiverProblem, Window,
    WindowError, WindowProblem,
};

/// The most windows that are asked together.
pub const MAX_WINDOWS: usize = 10_000;

/// Everything about windows, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRules {
    /// The windows.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// The calendars of holidays that they name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<HolidayCalendar>,
    /// Leave from windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// The classes of custom actions.
    #[serde(default, skip_serializing_if = "Classes::is_empty")]
    pub classes: Classes,
    /// Whether a step may go on past the closing of a window.
    #[serde(default, skip_serializing_if = "Straddle::is_default")]
    pub straddle: Straddle,
}

/// Rules about windows that cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowsError {
    /// A window is at fault.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// A waiver is at fault.
    #[error(transparent)]
    Waiver(#[from] WaiverError),
    /// Two calendars have one name.
    #[error("there are two calendars `{0}`; rename one")]
    DuplicateCalendar(CalendarId),
}

/// Windows, compiled: answers whether something may happen at an instant, and if not, from when on.
///
/// Freezes deny, and a denial beats any leave. Where deployment windows concern what is asked, one of
/// them has to be open; where none does, only freezes count. Windows of one kind add up.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "WindowRules", into = "WindowRules")]
pub struct Windows {
    pub(super) rules: WindowRules,
    /// As many as there are windows, in their order.
    pub(super) spans: Vec<Spans>,
    digest: Digest,
}

impl fmt::Debug for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Windows").field(&self.rules).finish() // the rest follows from it
    }
}

impl Clone for Windows {
    fn clone(&self) -> Self {
        Self { spans: compiled(&self.rules), rules: self.rules.clone(), digest: self.digest }
    }
}

impl PartialEq for Windows {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Windows {}

impl Default for Windows {
    fn default() -> Self {
        let rules = WindowRules::default();
        Self { spans: Vec::new(), digest: digest(&rules), rules }
    }
}

impl From<Windows> for WindowRules {
    fn from(windows: Windows) -> Self {
        windows.rules
    }
}

impl TryFrom<WindowRules> for Windows {
    type Error = WindowsError;
    fn try_from(rules: WindowRules) -> Result<Self, WindowsError> {
        check(&rules)?;
        Ok(Self { spans: compiled(&rules), digest: digest(&rules), rules })
    }
}

impl Windows {
    /// These windows, without calendars and waivers.
    ///
    /// # Errors
    /// [`WindowsError`] when two have one name, there are too many, or one names a calendar.
    pub fn new(windows: impl IntoIterator<Item = Window>) -> Result<Self, WindowsError> {
        let windows = windows.into_iter().collect();
        WindowRules { windows, ..WindowRules::default() }.try_into()
    }

    /// The windows, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.rules.windows.iter()
    }

    /// As they are written.
    pub const fn rules(&self) -> &WindowRules {
        &self.rules
    }

    /// The digest of all that answers depend on: windows, calendars, waivers, and the version of the
    /// time zone database.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The version of the time zone database that instants are reckoned with.
    pub const fn tzdb() -> &'static str {
        chrono_tz::IANA_TZDB_VERSION
    }

    /// The first freeze that holds at `at` in a place, whoever asks and whatever is done: for checks
    /// that want to know nothing else.
    pub fn freeze_in(&self, place: &Place, at: Timestamp) -> Option<&Window> {
        let all = self.rules.windows.iter().zip(&self.spans);
        let holds = |(window, spans): &(&Window, &Spans)| {
            window.spec.kind == Kind::Freeze
                && window.spec.scope.overlap(Some(place)) != Overlap::Apart
                && spans.holds(at.as_micros())
        };
        all.into_iter().find(holds).map(|(window, _)| window)
    }

    /// The stretches of a window that overlap `[from, until)`, not cut, in their order; `None` when
    /// there is no such window.
    pub fn stretches(
        &self,
        window: &WindowId,
        from: Timestamp,
        until: Timestamp,
    ) -> Option<Vec<(Timestamp, Timestamp)>> {
        let at = self.rules.windows.iter().position(|other| other.id() == window)?;
        self.spans.get(at).map(|spans| stretches(spans, from, until))
    }

    /// The same of each window that is `wanted`, in the order of the windows: whoever needs those of many looks up none by its name.
    pub(crate) fn stretches_of(
        &self,
        wanted: impl Fn(&Window) -> bool,
        from: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = (&Window, Vec<(Timestamp, Timestamp)>)> {
        let all = self.rules.windows.iter().zip(&self.spans);
        let wanted = all.filter(move |(window, _)| wanted(window));
        wanted.map(move |(window, spans)| (window, stretches(spans, from, until)))
    }
}

fn stretches(spans: &Spans, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let mut found = Vec::new();
    let mut next = spans.began(from.as_micros()).or_else(|| spans.open(from.as_micros()));
    while let Some(begin) = next.filter(|begin| *begin < until.as_micros()) {
        let end = spans.close(begin, i64::MAX);
        found.push((Timestamp::from_micros(begin), Timestamp::from_micros(end)));
        next = spans.open(end);
    }
    found
}

fn check(rules: &WindowRules) -> Result<(), WindowsError> {
    let WindowRules { windows, calendars, waivers, classes: _, straddle: _ } = rules;
    if let Some(one) = windows.get(MAX_WINDOWS) {
        let problem = WindowProblem::TooMany { count: windows.len(), max: MAX_WINDOWS };
        return Err(WindowError::of(one.id(), problem).into());
    }
    let mut known = BTreeSet::new();
    if let Some(twice) = calendars.iter().find(|calendar| !known.insert(calendar.id())) {
        return Err(WindowsError::DuplicateCalendar(twice.id().clone()));
    }
    let mut ids = BTreeSet::new();
    for window in windows {
        if !ids.insert(window.id()) {
            return Err(WindowError::of(window.id(), WindowProblem::Duplicate).into());
        }
        let of = match &window.starts {
            Starts::Holidays { calendar, .. } => Some(calendar),
            _ => None,
        };
        let mut named = window.spec.except_holidays.iter().chain(of);
        if let Some(unknown) = named.find(|calendar| !known.contains(calendar)) {
            let problem = WindowProblem::UnknownCalendar(unknown.clone());
            return Err(WindowError::of(window.id(), problem).into());
        }
    }
    let mut waived = BTreeSet::new();
    for waiver in waivers.iter().map(Waiver::spec) {
        let problem = if !waived.insert(&waiver.id) {
            WaiverProblem::Duplicate
        } else if !ids.contains(&waiver.window) {
            WaiverProblem::UnknownWindow(waiver.window.clone())
        } else {
            continue;
        };
        return Err(WaiverError { waiver: waiver.id.clone(), problem }.into());
    }
    Ok(())
}

fn compiled(rules: &WindowRules) -> Vec<Spans> {
    let calendars: BTreeMap<&CalendarId, &HolidayCalendar> =
        rules.calendars.iter().map(|calendar| (calendar.id(), calendar)).collect();
    let compile = |window: &Window| {
        let dates = |id: &CalendarId, categories: &[String]| {
            calendars.get(id).map(|calendar| calendar.dates(categories)).unwrap_or_default()
        };
        let days = match &window.starts {
            Starts::Holidays { calendar, categories, .. } => dates(calendar, categories),
            _ => Vec::new(),
        };
        let except = window.spec.except_holidays.iter().flat_map(|id| dates(id, &[]));
        let mut not_on: Vec<NaiveDate> = except.collect();
        not_on.sort_unstable();
        let (kind, zone, length) = (window.spec.kind, window.zone, window.length);
        Spans::new(Source { kind, zone, starts: window.starts.clone(), length, not_on }, &days)
    };
    rules.windows.iter().map(compile).collect()
}

fn digest(rules: &WindowRules) -> Digest {
    // Everything in the rules can be written as JSON: names, texts, numbers, sorted maps.
    let mut bytes = serde_json::to_vec(rules).unwrap_or_default();
    bytes.extend_from_slice(Windows::tzdb().as_bytes());
    Digest::of(&bytes)
}
