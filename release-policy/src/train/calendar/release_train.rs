//! Trains that depart again and again, and the dates of each departure.

use std::collections::BTreeMap;

use release_core::model::{DeliverableId, Span, TeamId, Timestamp, TrainId, WindowId};
use serde::{Deserialize, Serialize};

use super::CalendarError;
use crate::window::{When, WindowSpec, Windows};

/// A train that departs again and again, by a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseTrain {
    /// What it is called, and each departure of it with the day behind: `weekly` has `weekly-20261201`.
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
    /// before is over, and where none departs.
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
        let day = Day::of(&self.zone);
        let windows = Windows::new([window])?;
        let departures = windows.stretches(&id, from, until).unwrap_or_default();
        let mut all: Vec<ScheduledDeparture> = Vec::new();
        for (departs, _) in departures.into_iter().filter(|(departs, _)| *departs >= from) {
            let next = self.departure(day.name(&self.id, departs)?, departs)?;
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

/// Days as a zone counts them. A zone that is none was refused before.
struct Day(chrono_tz::Tz);

impl Day {
    fn of(zone: &str) -> Self {
        Self(zone.parse().unwrap_or(chrono_tz::Tz::UTC))
    }

    /// The name of the train that departs then.
    fn name(&self, train: &TrainId, departs: Timestamp) -> Result<TrainId, CalendarError> {
        let at = crate::window::local(self.0, departs.as_micros()).unwrap_or_default();
        let name = TrainId::new(format!("{train}-{}", at.format("%Y%m%d")));
        name.map_err(|error| CalendarError::Train { train: train.clone(), problem: error.into() })
    }
}
