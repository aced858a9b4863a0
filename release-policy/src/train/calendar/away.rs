//! When teams are not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::model::{CalendarId, Timestamp, WindowId};

use super::hours::Blocker;
use super::{CalendarError, CalendarSpec, Crew};
use crate::window::{HolidayCalendar, Kind, When, WindowRules, WindowSpec, Windows};

/// Stretches with their blockers, of one source.
pub(super) type Found = Vec<(Blocker, Vec<(Timestamp, Timestamp)>)>;

/// When a rule holds in a season.
type Times = Arc<[(Timestamp, Timestamp)]>;

/// When the teams of a season are not there. What several have in common, such as the holidays of a country, is reckoned once.
pub(super) struct Away<'a> {
    spec: &'a CalendarSpec,
    calendars: BTreeMap<&'a CalendarId, &'a HolidayCalendar>,
    /// By the zone, the rule as it is written, and whether it is one of when nobody works.
    known: BTreeMap<(&'a str, String, bool), Times>,
}

impl<'a> Away<'a> {
    pub(super) fn new(spec: &'a CalendarSpec) -> Self {
        let calendars = spec.windows.rules().calendars.iter();
        let calendars = calendars.map(|calendar| (calendar.id(), calendar)).collect();
        Self { spec, calendars, known: BTreeMap::new() }
    }

    /// Whether there is a calendar of holidays of this name.
    pub(super) fn knows(&self, calendar: &CalendarId) -> bool {
        self.calendars.contains_key(calendar)
    }

    /// When a team is not there.
    pub(super) fn of(&mut self, crew: &'a Crew) -> Result<Found, CalendarError> {
        let (team, spec) = (&crew.team, self.spec);
        let mut found = Found::new();
        if let Some(works) = &crew.works {
            let works = self.stretches(crew, works, Kind::Deployment)?;
            let (mut off, mut since) = (Vec::new(), spec.from);
            for (from, until) in works.iter().copied() {
                if since < from {
                    off.push((since, from));
                }
                since = since.max(until);
            }
            if since < spec.until {
                off.push((since, spec.until));
            }
            found.push((Blocker::OffHours { team: team.clone() }, off));
        }
        for calendar in &crew.holidays {
            let days = self.stretches(crew, &When::holidays(calendar.clone()), Kind::Freeze)?;
            for (from, until) in days.iter().copied() {
                let (team, calendar) = (team.clone(), calendar.clone());
                found.push((Blocker::Holiday { team, calendar, from, until }, vec![(from, until)]));
            }
        }
        for absence in &crew.absences {
            let (from, until, reason) = (absence.from, absence.until, absence.reason.clone());
            let blocker = Blocker::Absence { team: team.clone(), reason, from, until };
            found.push((blocker, vec![(from, until)]));
        }
        if crew.works.is_none() && crew.holidays.is_empty() {
            // The zone counts for nothing then, and is to be one all the same.
            let season = When::Between { from: spec.from, until: spec.until };
            self.stretches(crew, &season, Kind::Freeze)?;
        }
        Ok(found)
    }

    fn stretches(
        &mut self,
        crew: &'a Crew,
        when: &When,
        kind: Kind,
    ) -> Result<Times, CalendarError> {
        let written = serde_json::to_string(when).ok();
        let key = written.map(|rule| (crew.zone.as_str(), rule, kind == Kind::Freeze));
        if let Some(known) = key.as_ref().and_then(|key| self.known.get(key)) {
            return Ok(Arc::clone(known));
        }
        let bad = |problem| CalendarError::Crew { team: crew.team.clone(), problem };
        let id = WindowId::new("team").map_err(|error| bad(error.into()))?;
        let spec = WindowSpec::freeze(id, when.clone(), crew.team.clone(), "hours");
        let window = WindowSpec { kind, ..spec.zone(crew.zone.clone()) };
        let window = window.build().map_err(|error| bad(error.problem))?;
        // No other calendar than its own says anything of it.
        let own = match when {
            When::Holidays { calendar, .. } => self.calendars.get(calendar).copied(),
            _ => None,
        };
        let calendars = own.cloned().into_iter().collect();
        let rules = WindowRules { windows: vec![window], calendars, ..WindowRules::default() };
        let windows = Windows::try_from(rules)?;
        let found = windows.stretches_of(|_| true, self.spec.from, self.spec.until);
        let found: Times = found.flat_map(|(_, found)| found).collect();
        if let Some(key) = key {
            self.known.insert(key, Arc::clone(&found));
        }
        Ok(found)
    }
}
