//! A window as people write it, and the same once it is checked.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use chrono_tz::Tz;
use release_core::model::{
    CalendarId, EnvironmentId, RegionId, ServiceId, Span, TeamId, Timestamp, WindowId,
};
use serde::{Deserialize, Serialize};

use super::recurrence::{
    Civil, Rule, Starts, cron, instant_within_reach, parse_start, parse_time_of_day, within_reach,
};
use super::{ActionClass, Invokers, OnStart, Query, Scope, WindowError, WindowProblem};

/// The longest window, in seconds: 366 days.
const MAX_LENGTH: i64 = 366 * 86_400;

/// Whether a window denies or permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// While it holds, what it concerns waits.
    #[doc(alias = "deny")]
    Freeze,
    /// What it concerns waits until it, or another of its kind, is open.
    #[doc(alias = "allow")]
    Deployment,
}

/// When a window holds. Local dates and times are in the zone of the window, and lengths are those that
/// the clock shows there: eight hours from 22:00 end at 06:00, also when the clock is set meanwhile.
///
/// A window belongs to the day on which it begins, so it may go on past midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum When {
    /// From one instant until another, the same in all zones.
    Between {
        /// The first instant at which it holds.
        from: Timestamp,
        /// The first instant at which it no longer holds.
        until: Timestamp,
    },
    /// Once.
    Once {
        /// When it begins, as in `2026-11-27T22:00`; a date alone is its midnight.
        start: String,
        /// How long it lasts, as in `8h`.
        lasts: String,
    },
    /// By a recurrence rule.
    Rrule {
        /// The first begin (`DTSTART`). It counts only if the rule says so, too.
        start: String,
        /// `RRULE` of RFC 5545, for example `FREQ=WEEKLY;BYDAY=FR`. Every hour at most.
        rule: String,
        /// How long it lasts (`DURATION`).
        lasts: String,
        /// More begins (`RDATE`).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<String>,
        /// Begins, or all begins of a date, that do not count (`EXDATE`).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<String>,
    },
    /// By a cron expression of five fields that says when it begins.
    Cron {
        /// The expression, for example `0 22 * * MON-FRI`.
        schedule: String,
        /// How long it lasts.
        lasts: String,
    },
    /// On the days of a calendar.
    Holidays {
        /// Which.
        calendar: CalendarId,
        /// Only holidays of one of these categories; empty: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        categories: Vec<String>,
        /// The time of day at which it begins, as in `00:00`.
        #[serde(default = "midnight")]
        start: String,
        /// How long it lasts; a day, unless it says otherwise.
        #[serde(default = "one_day")]
        lasts: String,
    },
}

fn midnight() -> String {
    "00:00".into()
}

fn one_day() -> String {
    "24h".into()
}

impl When {
    /// Once, from a local date and time on.
    pub fn once(start: impl Into<String>, lasts: impl Into<String>) -> Self {
        Self::Once { start: start.into(), lasts: lasts.into() }
    }

    /// By a recurrence rule, without exceptions.
    pub fn rrule(
        start: impl Into<String>,
        rule: impl Into<String>,
        lasts: impl Into<String>,
    ) -> Self {
        let (start, rule, lasts) = (start.into(), rule.into(), lasts.into());
        Self::Rrule { start, rule, lasts, also: Vec::new(), except: Vec::new() }
    }

    /// By a cron expression.
    pub fn cron(schedule: impl Into<String>, lasts: impl Into<String>) -> Self {
        Self::Cron { schedule: schedule.into(), lasts: lasts.into() }
    }

    /// All day on the holidays of a calendar.
    pub fn holidays(calendar: CalendarId) -> Self {
        Self::Holidays { calendar, categories: Vec::new(), start: midnight(), lasts: one_day() }
    }
}

/// A window as it is written down, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Its name.
    pub id: WindowId,
    /// Whether it denies or permits.
    pub kind: Kind,
    /// When it holds.
    pub when: When,
    /// The zone of its local times: a name of the IANA database.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    pub zone: String,
    /// Where it holds.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// What it concerns; when it is left out, the [usual](ActionClass::USUAL).
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub actions: BTreeSet<ActionClass>,
    /// Whom it concerns.
    #[serde(default, skip_serializing_if = "Invokers::is_empty")]
    pub invokers: Invokers,
    /// What becomes of a rollout that is under way as it begins to hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_start: OnStart,
    /// On holidays of these calendars it does not begin.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except_holidays: BTreeSet<CalendarId>,
    /// Who answers for it and can lift it.
    pub owner: TeamId,
    /// Why there is such a window.
    pub reason: String,
}

fn utc() -> String {
    "UTC".into()
}

fn is_utc(zone: &str) -> bool {
    zone == "UTC"
}

fn usual() -> BTreeSet<ActionClass> {
    ActionClass::USUAL.into()
}

fn is_usual(actions: &BTreeSet<ActionClass>) -> bool {
    *actions == usual()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl WindowSpec {
    /// A freeze of everything that is usual, everywhere, in UTC; refine with the fields.
    pub fn freeze(id: WindowId, when: When, owner: TeamId, reason: impl Into<String>) -> Self {
        Self::new(Kind::Freeze, id, when, owner, reason.into())
    }

    /// A deployment window for everything that is usual, everywhere, in UTC; refine with the fields.
    pub fn deployment(id: WindowId, when: When, owner: TeamId, reason: impl Into<String>) -> Self {
        Self::new(Kind::Deployment, id, when, owner, reason.into())
    }

    fn new(kind: Kind, id: WindowId, when: When, owner: TeamId, reason: String) -> Self {
        Self {
            id,
            kind,
            when,
            zone: utc(),
            scope: Scope::default(),
            actions: usual(),
            invokers: Invokers::default(),
            on_start: OnStart::default(),
            except_holidays: BTreeSet::new(),
            owner,
            reason,
        }
    }

    /// Sets the zone of its local times.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// Narrows it to an environment, or one more.
    #[must_use]
    pub fn in_environment(mut self, environment: EnvironmentId) -> Self {
        self.scope.environments.insert(environment);
        self
    }

    /// Narrows it to a region, or one more.
    #[must_use]
    pub fn in_region(mut self, region: RegionId) -> Self {
        self.scope.regions.insert(region);
        self
    }

    /// Narrows it to a service, or one more.
    #[must_use]
    pub fn of_service(mut self, service: ServiceId) -> Self {
        self.scope.services.insert(service);
        self
    }

    /// Narrows it to services of a team, or one more.
    #[must_use]
    pub fn of_team(mut self, team: TeamId) -> Self {
        self.scope.teams.insert(team);
        self
    }

    /// Sets what it concerns.
    #[must_use]
    pub fn actions(mut self, actions: impl IntoIterator<Item = ActionClass>) -> Self {
        self.actions = actions.into_iter().collect();
        self
    }

    /// Sets whom it concerns.
    #[must_use]
    pub fn invokers(mut self, invokers: Invokers) -> Self {
        self.invokers = invokers;
        self
    }

    /// Sets what becomes of a rollout that is under way as it begins to hold.
    #[must_use]
    pub const fn on_start(mut self, on_start: OnStart) -> Self {
        self.on_start = on_start;
        self
    }

    /// Lets it not begin on holidays of a calendar, or one more.
    #[must_use]
    pub fn except_holidays(mut self, calendar: CalendarId) -> Self {
        self.except_holidays.insert(calendar);
        self
    }

    /// Whether it concerns what is asked, wherever that is.
    pub(super) fn concerns(&self, query: &Query<'_>) -> bool {
        self.actions.contains(&query.action) && self.invokers.concerns(query.by)
    }

    /// Checks it.
    ///
    /// # Errors
    /// [`WindowError`] names the window and what is wrong with it.
    pub fn build(self) -> Result<Window, WindowError> {
        self.try_into()
    }
}

/// A window that is sound in itself.
///
/// It cannot be asked alone: [`Windows`](super::Windows) answers for all of them together.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "WindowSpec", into = "WindowSpec")]
pub struct Window {
    pub(super) spec: WindowSpec,
    pub(super) zone: Tz,
    pub(super) starts: Starts,
    pub(super) length: TimeDelta,
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec // all else follows from it
    }
}

impl Eq for Window {}

impl Window {
    /// Its name.
    pub const fn id(&self) -> &WindowId {
        &self.spec.id
    }

    /// As it is written.
    pub const fn spec(&self) -> &WindowSpec {
        &self.spec
    }
}

impl From<Window> for WindowSpec {
    fn from(window: Window) -> Self {
        window.spec
    }
}

impl TryFrom<WindowSpec> for Window {
    type Error = WindowError;
    fn try_from(spec: WindowSpec) -> Result<Self, WindowError> {
        match checked(&spec) {
            Ok((zone, starts, length)) => Ok(Self { spec, zone, starts, length }),
            Err(problem) => Err(WindowError::of(&spec.id, problem)),
        }
    }
}

fn checked(spec: &WindowSpec) -> Result<(Tz, Starts, TimeDelta), WindowProblem> {
    if spec.actions.is_empty() {
        return Err(WindowProblem::NoActions);
    }
    let zone = zone(&spec.zone)?;
    let (starts, length) = match &spec.when {
        When::Between { from, until } => return between(zone, *from, *until),
        When::Once { start, lasts } => {
            (Starts::Once(within_reach(parse_start(start)?)?), length(lasts)?)
        }
        When::Rrule { start, rule, lasts, also, except } => {
            let length = length(lasts)?;
            let start = within_reach(parse_start(start)?)?;
            let also = also.iter().map(|at| parse_start(at).and_then(within_reach));
            let except = except.iter().map(|at| Civil::parse(at)).collect::<Result<_, _>>()?;
            let rule = Rule::new(start, rule, also.collect::<Result<_, _>>()?, except)?;
            (Starts::Rule(Box::new(rule)), length)
        }
        When::Cron { schedule, lasts } => {
            let length = length(lasts)?;
            (Starts::Cron(Box::new(cron(schedule)?)), length)
        }
        When::Holidays { calendar, categories, start, lasts } => {
            let (calendar, categories) = (calendar.clone(), categories.clone());
            let at = parse_time_of_day(start)?;
            (Starts::Holidays { calendar, categories, at }, length(lasts)?)
        }
    };
    Ok((zone, starts, length))
}

fn between(
    zone: Tz,
    from: Timestamp,
    until: Timestamp,
) -> Result<(Tz, Starts, TimeDelta), WindowProblem> {
    if until < from {
        return Err(WindowProblem::Inverted { from, until });
    }
    if until == from {
        return Err(WindowProblem::ZeroLength);
    }
    let (begin, end) = (instant_within_reach(from)?, instant_within_reach(until)?);
    Ok((zone, Starts::Instants(begin, end), TimeDelta::zero()))
}

fn zone(name: &str) -> Result<Tz, WindowProblem> {
    name.parse().map_err(|_| WindowProblem::UnknownZone(name.chars().take(80).collect()))
}

fn length(text: &str) -> Result<TimeDelta, WindowProblem> {
    let span: Span = text.parse()?;
    let length = span.as_duration();
    if length.is_zero() {
        return Err(WindowProblem::ZeroLength);
    }
    if length.subsec_nanos() != 0 {
        return Err(WindowProblem::Fraction(span));
    }
    match i64::try_from(length.as_secs()) {
        Ok(seconds) if seconds <= MAX_LENGTH => Ok(TimeDelta::seconds(seconds)),
        _ => Err(WindowProblem::TooLong(span)),
    }
}
