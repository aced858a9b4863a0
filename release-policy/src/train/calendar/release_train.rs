//! Trains that depart again and again, and the dates of each departure.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, Timelike as _};
use release_core::model::{DeliverableId, Span, TeamId, Timestamp, TrainId, WindowId};
use serde::{Deserialize, Serialize};

use super::CalendarError;
use super::check::{MAX_DEADLINES, MAX_DEPARTURES, within};
use crate::window::{When, WindowSpec, Windows};

/// Longer than any local day, in microseconds.
const TWO_DAYS: i64 = 2 * 86_400 * 1_000_000;

/// A train that departs again and again, by a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseTrain {
    /// What it is called, and each departure of it with the local day behind: `weekly` has `weekly-20261201`. Where it departs more than
    /// once on a day, the time stands behind that: `twice` has `twice-20261201-0900` and `twice-20261201-1500`.
    pub id: TrainId,
    /// The team whose train it is.
    pub owner: TeamId,
    /// The zone of its local times: a name of the IANA database.
    pub zone: String,
    /// The first departure, as a local date and time such as `2026-12-01T10:00`. It counts only if the rule says so, too.
    pub first: String,
    /// When it departs: an `RRULE` of RFC 5545, for example `FREQ=WEEKLY;BYDAY=TU`.
    pub rule: String,
    /// Departures, or all departures of a date, that do not take place (`EXDATE`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// How long before its departure boarding ends.
    pub cut_off: Span,
    /// How long after its departure is kept for validation in production.
    pub validation: Span,
    /// How long after that is kept for hotfixes.
    pub hotfixes: Span,
    /// How long before departure deliverables of some kinds are due.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deadlines: BTreeMap<DeliverableId, Span>,
}

/// The dates of one departure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduledDeparture {
    /// Its name.
    pub id: TrainId,
    /// When boarding ends.
    pub boards_until: Timestamp,
    /// When it departs.
    pub departs: Timestamp,
    /// Until when it is validated in production.
    pub validated: Timestamp,
    /// Until when hotfixes for it have time.
    pub closes: Timestamp,
    /// When deliverables are due that have a deadline of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deadlines: BTreeMap<DeliverableId, Timestamp>,
}

impl ReleaseTrain {
    /// Departures by `rule` from the local time `first` on, with no time kept before or after.
    pub fn new(
        id: TrainId,
        owner: TeamId,
        zone: impl Into<String>,
        first: impl Into<String>,
        rule: impl Into<String>,
    ) -> Self {
        Self {
            id,
            owner,
            zone: zone.into(),
            first: first.into(),
            rule: rule.into(),
            except: Vec::new(),
            cut_off: Span::ZERO,
            validation: Span::ZERO,
            hotfixes: Span::ZERO,
            deadlines: BTreeMap::new(),
        }
    }

    /// The departures in `[from, until)`, in order.
    ///
    /// # Errors
    /// [`CalendarError`] for a rule, a date or a zone that is none, for trains of which one departs before the time of the one
    /// before is over, where none departs, and where too many do.
    pub fn departures(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<ScheduledDeparture>, CalendarError> {
        let bad = |problem| CalendarError::Train { train: self.id.clone(), problem };
        let id = WindowId::new(self.id.as_str()).map_err(|error| bad(error.into()))?;
        let when = When::Rrule {
            start: self.first.clone(),
            rule: self.rule.clone(),
            lasts: "1s".into(),
            also: Vec::new(),
            except: self.except.clone(),
        };
        let spec = WindowSpec::freeze(id.clone(), when, self.owner.clone(), "departures");
        // As of freezes, what would begin in an hour that the clock skips begins when that is over.
        let window = spec.zone(self.zone.clone()).build().map_err(|error| bad(error.problem))?;
        let windows = Windows::new([window])?;
        let departures = self.named(&windows, &id, (from, until))?;
        let mut all: Vec<ScheduledDeparture> = Vec::new();
        for (name, departs) in departures {
            let next = self.departure(name, departs)?;
            if let Some(before) = all.last().filter(|before| before.closes > departs) {
                let (one, next) = (before.id.clone(), next.id);
                return Err(CalendarError::Overlapping {
                    one,
                    closes: before.closes,
                    next,
                    departs,
                });
            }
            all.push(next);
        }
        if all.is_empty() {
            return Err(CalendarError::NoDepartures { train: self.id.clone(), from, until });
        }
        Ok(all)
    }

    /// The names and instants of all departures of a season.
    fn named(
        &self,
        windows: &Windows,
        id: &WindowId,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<(TrainId, Timestamp)>, CalendarError> {
        // What is the only departure of a day follows from all of that day, wherever the season begins or ends in it.
        let begin = Timestamp::from_micros(from.as_micros().saturating_sub(TWO_DAYS).max(0));
        let end = Timestamp::from_micros(until.as_micros().saturating_add(TWO_DAYS));
        let zone = self.zone.parse().unwrap_or(chrono_tz::Tz::UTC); // one that is none was refused
        let local = |at: Timestamp| crate::window::local(zone, at.as_micros()).unwrap_or_default();
        let around = windows.stretches(id, begin, end).unwrap_or_default().into_iter();
        let around: Vec<_> = around.map(|(at, _)| (local(at), at)).collect();
        let mut of_day: BTreeMap<NaiveDate, u32> = BTreeMap::new();
        for (local, _) in &around {
            *of_day.entry(local.date()).or_default() += 1;
        }
        let season: Vec<_> =
            around.into_iter().filter(|(_, at)| from <= *at && *at < until).collect();
        within("departures", season.len(), MAX_DEPARTURES)?;
        let deadlines = season.len().saturating_mul(self.deadlines.len());
        within("deadlines of departures", deadlines, MAX_DEADLINES)?;
        let name = |(local, at): (NaiveDateTime, Timestamp)| {
            let alone = of_day.get(&local.date()).is_none_or(|count| *count == 1);
            let format = match (alone, local.second()) {
                (true, _) => "%Y%m%d",
                (false, 0) => "%Y%m%d-%H%M",
                (false, _) => "%Y%m%d-%H%M%S",
            };
            let name = TrainId::new(format!("{}-{}", self.id, local.format(format)));
            let bad = |error: release_core::model::IdError| CalendarError::Train {
                train: self.id.clone(),
                problem: error.into(),
            };
            Ok((name.map_err(bad)?, at))
        };
        season.into_iter().map(name).collect()
    }

    fn departure(
        &self,
        id: TrainId,
        departs: Timestamp,
    ) -> Result<ScheduledDeparture, CalendarError> {
        let before = |span: Span| {
            let micros = i64::try_from(span.as_duration().as_micros()).ok();
            let at = micros.and_then(|micros| departs.as_micros().checked_sub(micros));
            let at = at.filter(|at| *at >= 0).map(Timestamp::from_micros);
            at.ok_or_else(|| CalendarError::TooEarly { train: id.clone(), departs, span })
        };
        let due = |(kind, span): (&DeliverableId, &Span)| Ok((kind.clone(), before(*span)?));
        let deadlines = self.deadlines.iter().map(due).collect::<Result<_, CalendarError>>()?;
        let validated = departs.plus(self.validation);
        let (boards_until, closes) = (before(self.cut_off)?, validated.plus(self.hotfixes));
        Ok(ScheduledDeparture { id, boards_until, departs, validated, closes, deadlines })
    }
}
