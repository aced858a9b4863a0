//! A season's calendar: which trains depart when, what has to be done for them by whom, and whether that can be.
//!
//! ```
//! use release_core::model::{Span, Timestamp};
//! use release_core::plan::Place;
//! use release_policy::train::calendar::{Activity, ReleaseTrain, Calendar, CalendarSpec, Crew, Phase};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let at = |text: &str| text.parse::<Timestamp>();
//! let day = |days: u64| Span::secs(days * 86_400);
//! let weekly = ReleaseTrain {
//!     cut_off: day(1),
//!     validation: day(1),
//!     hotfixes: day(2),
//!     ..ReleaseTrain::new("weekly".parse()?, "release".parse()?, "Europe/Berlin", "2026-12-01T10:00", "FREQ=WEEKLY")
//! };
//! let train = "weekly-20261208".parse()?;
//! let code = Activity::new("code".parse()?, Phase::Development, "billing".parse()?, day(3)).of_train(train);
//! let spec = CalendarSpec::new(at("2026-12-01T00:00:00Z")?, at("2027-01-01T00:00:00Z")?)
//!     .with_train(weekly)
//!     .with_crew(Crew::new("billing".parse()?, "Europe/Berlin"))
//!     .with_activity(code);
//! let calendar = Calendar::new(spec.clone())?;
//! let solution = calendar.solve()?;
//! let timing = &solution.activities[&"code".parse()?];
//! assert_eq!(timing.earliest_finish, at("2026-12-04T00:00:00Z")?);
//! assert_eq!(timing.latest_finish, at("2026-12-07T09:00:00Z")?); // boarding ends a day before it departs
//!
//! // Away until the day before: the smallest set of what cannot all be.
//! let away = Crew::new("billing".parse()?, "UTC").away(at("2026-12-02T00:00:00Z")?, at("2026-12-06T00:00:00Z")?, "offsite");
//! let calendar = Calendar::new(CalendarSpec { crews: vec![away], ..spec })?;
//! let conflict = calendar.solve().unwrap_err();
//! assert_eq!(conflict.constraints.len(), 2); // the deadline, and the absence
//! assert!(conflict.minimal);
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `activity` | work, who does it, and when they are there |
//! | `release_train` | trains by a rule, and the dates of each |
//! | `check` | what is wrong with a calendar before anything is reckoned |
//! | `away` | when teams are not there |
//! | `hours` | when a team cannot work on something, and why |
//! | `reckon` | when work begins and ends beside what holds it |
//! | `solve` | the earliest and latest times of everything |
//! | `critical` | the chain that must not be late |
//! | `conflict` | what cannot all be |
//! | `smallest` | the smallest set of it, or the smallest that is found with so much work |
//! | `gantt` | a picture of the season |
//! | `ical` | calendars to iCalendar, and back |

mod activity;
mod away;
mod check;
mod conflict;
mod critical;
mod gantt;
mod hours;
mod ical;
mod reckon;
mod release_train;
mod smallest;
mod solve;

use std::sync::Arc;

use release_core::model::{Timestamp, TrainId};
use serde::{Deserialize, Serialize};

pub use activity::{Absence, Activity, Crew, Phase};
pub use check::{
    CalendarError, MAX_ABSENCES, MAX_ACTIVITIES, MAX_DEADLINES, MAX_DEPARTURES, MAX_DEPENDENCIES,
    MAX_FROZEN, MAX_STRETCHES, MAX_TRAINS,
};
pub use conflict::{Conflict, Constraint};
pub use gantt::gantt;
pub use hours::Blocker;
pub use ical::{ImportError, Unsaid, read_calendar, write_calendar};
pub use release_train::{ReleaseTrain, ScheduledDeparture};
pub use solve::{FrozenDeparture, Held, Solution, Timing};

use crate::window::Windows;

/// A calendar as it is written down, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarSpec {
    /// The first instant of the season: nothing begins before.
    pub from: Timestamp,
    /// The first instant after it: everything is done until then.
    pub until: Timestamp,
    /// The trains. Departures of one do not overlap: its time for validation and hotfixes is over when the next departs. Departures of
    /// different trains may, for each has a team and a time of its own; what may not happen at once there, freezes and
    /// dependencies say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trains: Vec<ReleaseTrain>,
    /// The work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub activities: Vec<Activity>,
    /// When teams are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crews: Vec<Crew>,
    /// Freezes, and the calendars of holidays that crews name. Waivers are given to people for a change, and count for
    /// nothing here.
    #[serde(default)]
    pub windows: Windows,
}

impl CalendarSpec {
    /// A season with nothing in it.
    pub fn new(from: Timestamp, until: Timestamp) -> Self {
        let (trains, activities, crews) = (Vec::new(), Vec::new(), Vec::new());
        Self { from, until, trains, activities, crews, windows: Windows::default() }
    }

    /// With this train.
    #[must_use]
    pub fn with_train(mut self, train: ReleaseTrain) -> Self {
        self.trains.push(train);
        self
    }

    /// With this work.
    #[must_use]
    pub fn with_activity(mut self, activity: Activity) -> Self {
        self.activities.push(activity);
        self
    }

    /// With this team.
    #[must_use]
    pub fn with_crew(mut self, crew: Crew) -> Self {
        self.crews.push(crew);
        self
    }
}

/// A calendar that makes sense; whether it can be kept says [`Calendar::solve`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CalendarSpec", into = "CalendarSpec")]
pub struct Calendar {
    spec: CalendarSpec,
    departures: Vec<ScheduledDeparture>,
    /// Activities by number, each after all that it comes after.
    order: Vec<usize>,
    /// What each comes after, by number.
    before: Vec<Vec<usize>>,
    /// When each may begin at the earliest, and has to be done at the latest.
    bounds: Vec<(Timestamp, Timestamp)>,
    /// What keeps teams from work.
    hours: Arc<hours::Hours>,
    /// The departures at which a freeze holds.
    frozen: Vec<FrozenDeparture>,
}

impl From<Calendar> for CalendarSpec {
    fn from(calendar: Calendar) -> Self {
        calendar.spec
    }
}

impl TryFrom<CalendarSpec> for Calendar {
    type Error = CalendarError;
    fn try_from(spec: CalendarSpec) -> Result<Self, CalendarError> {
        Self::new(spec)
    }
}

impl Calendar {
    /// Checks a calendar.
    ///
    /// # Errors
    /// [`CalendarError`] says what makes no sense, and how to mend it.
    pub fn new(spec: CalendarSpec) -> Result<Self, CalendarError> {
        let checked = check::check(&spec)?;
        let check::Checked { departures, order, before, bounds, hours, frozen } = checked;
        Ok(Self { spec, departures, order, before, bounds, hours: Arc::new(hours), frozen })
    }

    /// As it is written.
    pub const fn spec(&self) -> &CalendarSpec {
        &self.spec
    }

    /// All departures of the season, those of each train in order.
    pub fn departures(&self) -> &[ScheduledDeparture] {
        &self.departures
    }

    /// A departure of the season.
    pub fn departure(&self, id: &TrainId) -> Option<&ScheduledDeparture> {
        self.departures.iter().find(|one| one.id == *id)
    }
}
