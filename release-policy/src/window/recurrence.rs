//! When a window begins: by a rule of RFC 5545, by cron, once, or on holidays.
//!
//! All recurrence is computed on the civil clock, where every day has 24 hours; what that means in a
//! zone is [`civil`](super::civil)'s business. So the traps of the crates that know zones (a rule that
//! skips the day on which its hour is missing, an hour that counts twice) cannot be met here.

use std::str::FromStr as _;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use release_core::model::{CalendarId, Timestamp};
use rrule::{Frequency, RRule, RRuleSet, Tz, Unvalidated};

use super::WindowProblem;
use super::spans::{CHUNK_SECS, OVER};

/// How often a window may begin in one stretch of about 400 days: hourly is 9,773 times.
pub(super) const MAX_STARTS: usize = 10_000;
/// How many dates may be listed, or counted by a rule.
pub(super) const MAX_DATES: usize = 10_000;
/// A civil date and time, or all of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Civil {
    /// All day.
    Date(NaiveDate),
    /// At this time.
    Time(NaiveDateTime),
}

impl Civil {
    pub(super) fn parse(text: &str) -> Result<Self, WindowProblem> {
        let day = || NaiveDate::from_str(text).map(Self::Date);
        let parsed = day().or_else(|_| time(text).map(Self::Time));
        parsed.map_err(|_| not_local(text))
    }

    fn is(self, start: NaiveDateTime) -> bool {
        match self {
            Self::Date(day) => day == start.date(),
            Self::Time(time) => time == start,
        }
    }
}

fn not_local(text: &str) -> WindowProblem {
    WindowProblem::NotLocal(text.chars().take(80).collect())
}

/// A civil date and time with or without seconds, with a `T` or a blank between.
fn time(text: &str) -> Result<NaiveDateTime, WindowProblem> {
    let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let mut parsed = formats.iter().map(|format| NaiveDateTime::parse_from_str(text, format));
    parsed.find_map(Result::ok).filter(|at| whole(*at)).ok_or_else(|| not_local(text))
}

fn whole(at: NaiveDateTime) -> bool {
    at.and_utc().timestamp_subsec_nanos() == 0 // no leap second either
}

/// A civil date and time, where a date alone is its midnight.
pub(crate) fn parse_start(text: &str) -> Result<NaiveDateTime, WindowProblem> {
    match Civil::parse(text)? {
        Civil::Date(day) => Ok(day.and_time(NaiveTime::MIN)),
        Civil::Time(at) => Ok(at),
    }
}

/// A time of day.
pub(super) fn parse_time_of_day(text: &str) -> Result<NaiveTime, WindowProblem> {
    let parsed = ["%H:%M", "%H:%M:%S"].iter().find_map(|f| NaiveTime::parse_from_str(text, f).ok());
    parsed.filter(|at| whole(NaiveDate::default().and_time(*at))).ok_or_else(|| not_local(text))
}

/// Begins of windows, on the civil clock.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Starts {
    Instants(i64, i64),
    Once(NaiveDateTime),
    Rule(Box<Rule>),
    Cron(Box<Cron>),
    Holidays { calendar: CalendarId, categories: Vec<String>, at: NaiveTime },
}

/// A rule of RFC 5545 with its exceptions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    start: NaiveDateTime,
    parts: RRule<Unvalidated>,
    until: Option<Until>,
    /// All begins of a rule that counts them.
    counted: Option<Vec<NaiveDateTime>>,
    also: Vec<NaiveDateTime>,
    except: Vec<Civil>,
}

/// The last instant at which a rule may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// By the local clock.
    Local(NaiveDateTime),
    /// The same everywhere.
    Instant(i64),
}

impl Rule {
    pub(super) fn new(
        start: NaiveDateTime,
        text: &str,
        also: Vec<NaiveDateTime>,
        except: Vec<Civil>,
    ) -> Result<Self, WindowProblem> {
        let bad = |problem: String| WindowProblem::BadRule { rule: cut(text), problem };
        let upper = text.trim().to_ascii_uppercase();
        let upper = upper.strip_prefix("RRULE:").unwrap_or(&upper);
        if !upper.bytes().all(|b| b.is_ascii_alphanumeric() || b"=;,+-".contains(&b)) {
            return Err(bad("a character is not allowed; one rule stands on one line".into()));
        }
        let (last, kept): (Vec<_>, Vec<_>) =
            upper.split(';').partition(|part| part.starts_with("UNTIL="));
        let until = match last.as_slice() {
            [] => None,
            [one] => Some(until(one).ok_or_else(|| bad(format!("`{one}` is no date")))?),
            _ => return Err(bad("`UNTIL` stands twice".into())),
        };
        let rule = RRule::<Unvalidated>::from_str(&kept.join(";"))
            .map_err(|error| bad(error.to_string()))?;
        if matches!(rule.get_freq(), Frequency::Minutely | Frequency::Secondly) {
            return Err(bad("a window recurs every hour at most".into()));
        }
        if until.is_some() && rule.get_count().is_some() {
            return Err(bad("`UNTIL` and `COUNT` cannot stand together".into()));
        }
        set(&rule, start).map_err(|error| bad(error.to_string()))?;
        if also.len().max(except.len()) > MAX_DATES {
            return Err(WindowProblem::TooManyDates(MAX_DATES));
        }
        let mut made = Self { start, parts: rule, until, counted: None, also, except };
        made.also.sort_unstable();
        made.count()?;
        made.probe()?;
        Ok(made)
    }

    fn count(&mut self) -> Result<(), WindowProblem> {
        let Some(count) = self.parts.get_count() else { return Ok(()) };
        if usize::try_from(count).map_or(true, |count| count > MAX_DATES) {
            return Err(WindowProblem::TooManyDates(MAX_DATES));
        }
        let end = DateTime::<Utc>::from_timestamp_micros(OVER).unwrap_or_default().naive_utc();
        let all = self.iterate(self.start).take_while(|at| *at < end);
        self.counted = Some(all.collect());
        Ok(())
    }

    /// Looks whether it begins at all, and not too often.
    fn probe(&self) -> Result<(), WindowProblem> {
        let over = match self.until {
            Some(Until::Local(last)) => last,
            Some(Until::Instant(at)) => DateTime::<Utc>::from_timestamp_micros(at)
                .map_or(NaiveDateTime::MAX, |at| at.naive_utc() + TimeDelta::days(2)),
            None => NaiveDateTime::MAX,
        };
        let first = self.iterate(self.start).next().filter(|first| *first <= over);
        let Some(first) = first.or(self.also.first().copied()) else {
            return Err(WindowProblem::NeverBegins);
        };
        let year = first + TimeDelta::seconds(CHUNK_SECS);
        let often = self.iterate(first).take_while(|at| *at < year).take(MAX_STARTS + 1).count();
        if often > MAX_STARTS { Err(WindowProblem::TooOften(MAX_STARTS)) } else { Ok(()) }
    }

    /// Begins from `from` on, by the rule alone. Whole periods between its start and `from` are
    /// skipped, not walked, so that the age of a rule does not matter.
    fn iterate(&self, from: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> + use<> {
        let period = i64::from(self.parts.get_interval())
            * match self.parts.get_freq() {
                Frequency::Weekly => 7,
                Frequency::Yearly | Frequency::Monthly => 0, // months differ; these are few
                Frequency::Daily
                | Frequency::Hourly
                | Frequency::Minutely
                | Frequency::Secondly => 1,
            };
        let days = (from - self.start).num_days() - 7; // a week's days may lie before its start
        let start = if period > 0 && days > period && self.parts.get_count().is_none() {
            self.start + TimeDelta::days(days / period * period)
        } else {
            self.start
        };
        let rules = set(&self.parts, start).ok();
        let begins = rules.map(|rules| (&rules.limit()).into_iter());
        begins.into_iter().flatten().map(|at| at.naive_utc()).skip_while(move |at| *at < from)
    }

    /// Adds the begins in `[from, until)` to `to`.
    fn starts(&self, from: NaiveDateTime, until: NaiveDateTime, to: &mut Vec<NaiveDateTime>) {
        let within = |at: &NaiveDateTime| from <= *at && *at < until;
        let before = to.len();
        match &self.counted {
            Some(all) => to.extend(all.iter().copied().filter(within)),
            None if until <= self.start => {}
            None => {
                let last = match self.until {
                    Some(Until::Local(last)) => last.min(until),
                    // Zones are within a day of UTC; the instant itself is looked at later.
                    Some(Until::Instant(at)) => {
                        let last = DateTime::<Utc>::from_timestamp_micros(at);
                        last.map_or(until, |last| until.min(last.naive_utc() + TimeDelta::days(2)))
                    }
                    None => until,
                };
                if from <= last {
                    let begins = self.iterate(from.max(self.start));
                    to.extend(begins.take_while(|at| *at < until && *at <= last));
                }
            }
        }
        to.extend(self.also.iter().copied().filter(within));
        let listed = to.split_off(before);
        to.extend(listed.into_iter().filter(|at| !self.except.iter().any(|no| no.is(*at))));
    }
}

/// The rule as the crate iterates it: the civil clock stands for UTC.
fn set(rule: &RRule<Unvalidated>, start: NaiveDateTime) -> Result<RRuleSet, rrule::RRuleError> {
    rule.clone().build(start.and_utc().with_timezone(&Tz::UTC))
}

fn until(part: &str) -> Option<Until> {
    let text = part.strip_prefix("UNTIL=")?;
    let local = |text| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok();
    if let Some(utc) = text.strip_suffix('Z') {
        return local(utc).map(|at| Until::Instant(at.and_utc().timestamp_micros()));
    }
    let day = || NaiveDate::parse_from_str(text, "%Y%m%d").ok()?.and_hms_opt(23, 59, 59);
    local(text).or_else(day).map(Until::Local)
}

/// Reads a cron expression of five fields and looks whether it begins at all, and not too often.
pub(super) fn cron(text: &str) -> Result<Cron, WindowProblem> {
    let bad = |problem: String| WindowProblem::BadCron { cron: cut(text), problem };
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| bad(error.to_string()))?;
    let begin = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default().and_time(NaiveTime::MIN);
    let year = begin + TimeDelta::seconds(CHUNK_SECS);
    if cron.find_next_occurrence(&begin.and_utc(), true).is_err() {
        return Err(WindowProblem::NeverBegins);
    }
    let often = cron_starts(&cron, begin, year).take(MAX_STARTS + 1).count();
    if often > MAX_STARTS { Err(WindowProblem::TooOften(MAX_STARTS)) } else { Ok(cron) }
}

fn cron_starts(
    cron: &Cron,
    from: NaiveDateTime,
    until: NaiveDateTime,
) -> impl Iterator<Item = NaiveDateTime> + '_ {
    let next = |at: NaiveDateTime, inclusive| {
        cron.find_next_occurrence(&at.and_utc(), inclusive).ok().map(|at| at.naive_utc())
    };
    let all = std::iter::successors(next(from, true), move |at| next(*at, false));
    all.take_while(move |at| *at < until)
}

impl Starts {
    /// The civil begins in `[from, until)`, but those of instants and holidays.
    pub(super) fn civil(&self, from: NaiveDateTime, until: NaiveDateTime) -> Vec<NaiveDateTime> {
        let mut to = Vec::new();
        match self {
            Self::Instants(..) | Self::Holidays { .. } => {}
            Self::Once(at) => to.extend((from <= *at && *at < until).then_some(*at)),
            Self::Rule(rule) => rule.starts(from, until, &mut to),
            Self::Cron(cron) => to.extend(cron_starts(cron, from, until)),
        }
        to
    }

    /// The last instant at which a begin counts, in microseconds.
    pub(super) fn last_instant(&self) -> Option<i64> {
        match self {
            Self::Rule(rule) => match rule.until {
                Some(Until::Instant(at)) => Some(at),
                Some(Until::Local(_)) | None => None,
            },
            _ => None,
        }
    }

    /// The civil time from which on nothing begins any more, if there is one.
    pub(super) fn over(&self) -> Option<NaiveDateTime> {
        match self {
            Self::Once(at) => Some(*at),
            Self::Rule(rule) => {
                let last = match (&rule.counted, rule.until) {
                    (Some(all), _) => all.last().copied().or(Some(rule.start)),
                    (None, Some(Until::Local(last))) => Some(last),
                    (None, Some(Until::Instant(at))) => DateTime::<Utc>::from_timestamp_micros(at)
                        .map(|at| at.naive_utc() + TimeDelta::days(2)),
                    (None, None) => None,
                };
                last.map(|last| rule.also.last().map_or(last, |also| last.max(*also)))
            }
            Self::Instants(..) | Self::Cron(_) | Self::Holidays { .. } => None,
        }
    }
}

/// Whether a civil time can be reckoned with.
pub(super) fn within_reach(at: NaiveDateTime) -> Result<NaiveDateTime, WindowProblem> {
    let micros = at.and_utc().timestamp_micros();
    if (0..OVER).contains(&micros) {
        Ok(at)
    } else {
        Err(WindowProblem::OutOfRange(at.to_string()))
    }
}

/// Whether an instant can be reckoned with.
pub(crate) fn instant_within_reach(at: Timestamp) -> Result<i64, WindowProblem> {
    let micros = at.as_micros();
    if (0..OVER).contains(&micros) {
        Ok(micros)
    } else {
        Err(WindowProblem::OutOfRange(at.to_string()))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
