//! Calendars of holidays.

use chrono::{Datelike as _, NaiveDate, NaiveTime, TimeDelta};
use release_core::model::CalendarId;
use serde::{Deserialize, Serialize};

use super::WindowProblem;
use super::recurrence::{Civil, MAX_DATES, Rule, Starts};

/// A holiday as it is written down: once, or by a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// Its name.
    pub name: String,
    /// Its (first) day.
    pub on: NaiveDate,
    /// How many days it lasts.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub days: u16,
    /// `RRULE` of RFC 5545, for example `FREQ=YEARLY`; without one it is once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// More first days (`RDATE`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<NaiveDate>,
    /// Days on which it does not begin (`EXDATE`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<NaiveDate>,
    /// What kind of holiday it is (`CATEGORIES`), for example `public`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
}

const fn one() -> u16 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_one(days: &u16) -> bool {
    *days == 1
}

impl Holiday {
    /// A day that is a holiday once; refine with the fields.
    pub fn new(name: impl Into<String>, on: NaiveDate) -> Self {
        let (rule, also, except, categories) = (None, Vec::new(), Vec::new(), Vec::new());
        Self { name: name.into(), on, days: 1, rule, also, except, categories }
    }
}

/// A calendar of holidays that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calendar `{calendar}`, holiday `{holiday}` of {on}: {problem}")]
pub struct HolidayError {
    /// The calendar.
    pub calendar: CalendarId,
    /// The holiday's name, cut to 80 characters.
    pub holiday: String,
    /// Its first day.
    pub on: NaiveDate,
    /// What is wrong.
    pub problem: WindowProblem,
}

/// A calendar of holidays as it is written down, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolidaySpec {
    /// Its name, for example `de-by`.
    pub id: CalendarId,
    /// Its holidays.
    pub holidays: Vec<Holiday>,
}

/// A calendar of holidays: days with a name and categories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HolidaySpec", into = "HolidaySpec")]
pub struct HolidayCalendar {
    spec: HolidaySpec,
    /// The days of each holiday, sorted.
    days: Vec<Vec<NaiveDate>>,
}

impl From<HolidayCalendar> for HolidaySpec {
    fn from(calendar: HolidayCalendar) -> Self {
        calendar.spec
    }
}

impl TryFrom<HolidaySpec> for HolidayCalendar {
    type Error = HolidayError;
    fn try_from(spec: HolidaySpec) -> Result<Self, HolidayError> {
        let days = spec.holidays.iter().map(|holiday| {
            days(holiday).map_err(|problem| HolidayError {
                calendar: spec.id.clone(),
                holiday: holiday.name.chars().take(80).collect(),
                on: holiday.on,
                problem,
            })
        });
        Ok(Self { days: days.collect::<Result<_, _>>()?, spec })
    }
}

impl HolidayCalendar {
    /// A calendar of these.
    ///
    /// # Errors
    /// [`HolidayError`] names the holiday whose rule is none, or whose days are out of reach.
    pub fn new(
        id: CalendarId,
        holidays: impl IntoIterator<Item = Holiday>,
    ) -> Result<Self, HolidayError> {
        HolidaySpec { id, holidays: holidays.into_iter().collect() }.try_into()
    }

    /// Its name.
    pub const fn id(&self) -> &CalendarId {
        &self.spec.id
    }

    /// Its holidays, as they are written.
    pub fn holidays(&self) -> &[Holiday] {
        &self.spec.holidays
    }

    /// The holidays of a day.
    pub fn on(&self, day: NaiveDate) -> impl Iterator<Item = &Holiday> {
        let all = self.spec.holidays.iter().zip(&self.days);
        all.filter(move |(_, days)| days.binary_search(&day).is_ok()).map(|(holiday, _)| holiday)
    }

    /// The days of the holidays that have one of `categories`, or of all if that is empty; sorted.
    pub(super) fn dates(&self, categories: &[String]) -> Vec<NaiveDate> {
        let wanted = |holiday: &Holiday| {
            let has = |category| holiday.categories.contains(category);
            categories.is_empty() || categories.iter().any(has)
        };
        let all = self.spec.holidays.iter().zip(&self.days);
        let mut days: Vec<_> = all
            .filter(|(holiday, _)| wanted(holiday))
            .flat_map(|(_, days)| days)
            .copied()
            .collect();
        days.sort_unstable();
        days.dedup();
        days
    }
}

fn days(holiday: &Holiday) -> Result<Vec<NaiveDate>, WindowProblem> {
    let Holiday { on, days, rule, also, except, .. } = holiday;
    if *days == 0 {
        return Err(WindowProblem::ZeroLength);
    }
    if let Some(out) = also.iter().chain([on]).find(|day| !(1970..2105).contains(&day.year())) {
        return Err(WindowProblem::OutOfRange(out.to_string()));
    }
    let midnight = |day: &NaiveDate| day.and_time(NaiveTime::MIN);
    let begins = match rule {
        Some(rule) => {
            let also = also.iter().map(midnight).collect();
            let except = except.iter().copied().map(Civil::Date).collect();
            let rule = Starts::Rule(Box::new(Rule::new(midnight(on), rule, also, except)?));
            let end = NaiveDate::from_ymd_opt(2105, 12, 31).unwrap_or(*on);
            let last = rule.last_instant();
            let mut begins = rule.civil(midnight(on), midnight(&end));
            begins.retain(|at| last.is_none_or(|last| at.and_utc().timestamp_micros() <= last));
            begins
        }
        None => also.iter().chain([on]).filter(|day| !except.contains(day)).map(midnight).collect(),
    };
    let count = begins.len().saturating_mul(usize::from(*days));
    if count > 10 * MAX_DATES {
        return Err(WindowProblem::TooManyDates(10 * MAX_DATES));
    }
    let mut all: Vec<NaiveDate> = begins
        .into_iter()
        .flat_map(|begin| (0..i64::from(*days)).map(move |n| begin.date() + TimeDelta::days(n)))
        .collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
