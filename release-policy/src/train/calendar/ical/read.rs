//! iCalendar to calendars.

use std::collections::BTreeMap;

use icalendar::parser::Component as Parsed;
use release_core::model::{TeamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::as_written::AS_WRITTEN;
use super::crews::{CREW, TEAM};
use super::places::Places;
use super::trains::TRAIN;
use super::windows::{Found, HOLIDAYS, RULES, UNSHOWN, WAIVER};
use super::work::ACTIVITY;
use super::{Unsaid, crews, failing, parsed, trains, work};
use crate::train::calendar::{Absence, Calendar, CalendarError, CalendarSpec, Crew};
use crate::window::ical::inner::{self, Lines, Part};
use crate::window::ical::{EventProblem, IcalError};

pub(super) const SEASON: &str = "X-RELEASE-SEASON";
/// How all properties of ours begin.
const OURS: &str = "X-RELEASE-";
const OF_CALENDAR: [&str; 6] = [SEASON, CREW, HOLIDAYS, UNSHOWN, WAIVER, RULES];
const OF_COMPONENT: [&str; 6] = [TRAIN, TEAM, ACTIVITY, HOLIDAYS, AS_WRITTEN, inner::WINDOW];

#[derive(Serialize, Deserialize)]
pub(super) struct Season {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// Why a text is no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] IcalError),
    /// What it says makes no sense.
    #[error("{}{problem}", inner::on(*line))]
    Calendar {
        /// On which line of the text that stands which is at fault, where it is one thing.
        line: Option<usize>,
        /// What is wrong.
        problem: Box<CalendarError>,
    },
}

impl Calendar {
    /// Reads and checks a calendar, as [`read_calendar`] and [`Calendar::new`] do.
    ///
    /// # Errors
    /// [`ImportError`], with the line.
    pub fn from_ical(text: &str, unsaid: &Unsaid) -> Result<Self, ImportError> {
        let (spec, places) = read(text, unsaid)?;
        Self::new(spec).map_err(|problem| {
            let line = places.of(&problem);
            ImportError::Calendar { line, problem: Box::new(problem) }
        })
    }
}

/// Reads a calendar.
///
/// Of a calendar that was not written here, its `VTODO`s are read as work, and `unsaid` says what they do not. Its other events, such as
/// meetings, are left out. Whether the calendar makes sense is not looked at: [`Calendar::from_ical`] does.
///
/// # Errors
/// [`IcalError`] names what cannot be understood, with its line.
pub fn read_calendar(text: &str, unsaid: &Unsaid) -> Result<CalendarSpec, IcalError> {
    read(text, unsaid).map(|(spec, _)| spec)
}

fn read(text: &str, unsaid: &Unsaid) -> Result<(CalendarSpec, Places), IcalError> {
    inner::with_calendar(text, |calendar, lines| {
        let mut reading = Reading::new(unsaid);
        reading.properties(calendar, lines)?;
        for (component, part) in calendar.components.iter().zip(lines.parts()) {
            if inner::value(component, "STATUS") != Some("CANCELLED") {
                let read = reading.component(component, part);
                read.map_err(|error| part.locate(component, error))?;
            }
        }
        reading.together()
    })
}

/// What was read so far.
struct Reading<'a> {
    unsaid: &'a Unsaid,
    spec: CalendarSpec,
    /// Where each team is among all crews.
    teams: BTreeMap<TeamId, usize>,
    windows: Found,
    places: Places,
}

impl<'a> Reading<'a> {
    fn new(unsaid: &'a Unsaid) -> Self {
        let spec = CalendarSpec::new(unsaid.from, unsaid.until);
        let (windows, places) = (Found::default(), Places::default());
        Self { unsaid, spec, teams: BTreeMap::new(), windows, places }
    }

    fn properties(
        &mut self,
        calendar: &icalendar::parser::Calendar<'_>,
        lines: &Lines,
    ) -> Result<(), IcalError> {
        for (nth, property) in calendar.properties.iter().enumerate() {
            let key = property.name.as_str();
            if !key.starts_with(OURS) {
                continue;
            }
            let line = lines.property(nth);
            let read = if OF_CALENDAR.contains(&key) {
                self.property((key, property.val.as_str()), line.unwrap_or_default())
            } else {
                Err(failing("calendar", EventProblem::Unsupported(key.to_owned())))
            };
            read.map_err(|error| match error {
                IcalError::Event { event, problem, .. } => {
                    IcalError::Event { line, event, problem }
                }
                other => other,
            })?;
        }
        Ok(())
    }

    fn property(&mut self, (key, value): (&str, &str), line: usize) -> Result<(), IcalError> {
        match key {
            SEASON => {
                self.places.take("season", "season", line)?;
                Season { from: self.spec.from, until: self.spec.until } =
                    parsed(SEASON, value, "season")?;
            }
            CREW => {
                let crew: Crew = parsed(CREW, value, "team")?;
                self.places.take("team", crew.team.as_str(), line)?;
                self.teams.insert(crew.team.clone(), self.spec.crews.len());
                self.spec.crews.push(crew);
            }
            _ => self.windows.property((key, value), line, &mut self.places)?,
        }
        Ok(())
    }

    fn component(&mut self, component: &Parsed<'_>, part: &Part) -> Result<(), IcalError> {
        let (line, has) = (part.begins(), |key| component.find_prop(key).is_some());
        match component.name.as_str() {
            "VTODO" => {
                self.known(component, line)?;
                let activity = work::read(component, self.unsaid)?;
                self.places.take("activity", activity.id.as_str(), line)?;
                self.spec.activities.push(activity);
            }
            "VEVENT" if has(TRAIN) => {
                self.known(component, line)?;
                let train = trains::read(component)?;
                self.places.take("train", train.id.as_str(), line)?;
                self.spec.trains.push(train);
            }
            "VEVENT" if has(TEAM) => {
                self.known(component, line)?;
                let (team, absence) = crews::read(component)?;
                self.away(team, absence);
            }
            "VEVENT" if has(HOLIDAYS) => {
                self.known(component, line)?;
                self.windows.holiday(component, line)?;
            }
            "VEVENT" if has(inner::WINDOW) => {
                self.known(component, line)?;
                let owner = &self.unsaid.owner;
                self.windows.window(component, (owner, line), &mut self.places)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses a `UID` that is another's, and properties of ours that are of a later version.
    fn known(&mut self, component: &Parsed<'_>, line: usize) -> Result<(), IcalError> {
        if let Some(uid) = inner::value(component, "UID") {
            self.places.take("uid", uid, line)?;
        }
        let mut names = component.properties.iter().map(|property| property.name.as_str());
        match names.find(|name| name.starts_with(OURS) && !OF_COMPONENT.contains(name)) {
            Some(other) => {
                let problem = EventProblem::Unsupported(other.to_owned());
                Err(failing(&inner::name_of(component), problem))
            }
            None => Ok(()),
        }
    }

    fn away(&mut self, team: TeamId, absence: Absence) {
        let next = self.spec.crews.len();
        let number = *self.teams.entry(team.clone()).or_insert(next);
        if number == next {
            self.spec.crews.push(Crew::new(team, "UTC"));
        }
        if let Some(crew) = self.spec.crews.get_mut(number) {
            crew.absences.push(absence);
        }
    }

    fn together(self) -> Result<(CalendarSpec, Places), IcalError> {
        let Self { mut spec, windows, places, .. } = self;
        spec.windows = windows.together(&places)?;
        Ok((spec, places))
    }
}
