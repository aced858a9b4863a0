//! Work that leads to a release, and who does it when.

use std::collections::BTreeSet;

use release_core::model::{
    ActivityId, CalendarId, DeliverableId, Span, TeamId, Timestamp, TrainId,
};
use release_core::plan::Place;
use serde::{Deserialize, Serialize};

use crate::window::When;

/// Which part of the way to users an activity belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making it. Of a train it is due when boarding ends.
    Development,
    /// Testing it. Of a train it is due when the train departs.
    Qa,
    /// Bringing it to users, and watching it. Of a train it begins when the train departs, and is due when the train's time for
    /// validation is over.
    Operations,
}

impl Phase {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Qa => "qa",
            Self::Operations => "operations",
        }
    }
}

/// Work of one team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// Its name.
    pub id: ActivityId,
    /// What it is about.
    pub title: String,
    /// Which part of the way it belongs to.
    pub phase: Phase,
    /// Who does it.
    pub owner: TeamId,
    /// How long its owner works on it. Work stops while the owner is away or a freeze holds, and goes on afterwards.
    pub work: Span,
    /// What has to be done before it begins.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<ActivityId>,
    /// When it may begin at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Until when it has to be done; not said: what its train says, or else until the season ends, which is always the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The train that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainId>,
    /// What kind of deliverable it is part of: trains have deadlines for some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliverable: Option<DeliverableId>,
    /// What it changes: freezes hold it that concern any part of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Activity {
    /// Work of so long; refine with the fields.
    pub fn new(id: ActivityId, phase: Phase, owner: TeamId, work: Span) -> Self {
        Self {
            title: id.to_string(),
            id,
            phase,
            owner,
            work,
            after: BTreeSet::new(),
            not_before: None,
            due: None,
            train: None,
            deliverable: None,
            place: None,
        }
    }

    /// Not before `other` is done.
    #[must_use]
    pub fn after(mut self, other: ActivityId) -> Self {
        self.after.insert(other);
        self
    }

    /// Done until `due`.
    #[must_use]
    pub const fn due(mut self, due: Timestamp) -> Self {
        self.due = Some(due);
        self
    }

    /// For this train.
    #[must_use]
    pub fn of_train(mut self, train: TrainId) -> Self {
        self.train = Some(train);
        self
    }

    /// It changes something there.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// When a team is there. Teams of which nothing is said are always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crew {
    /// The team.
    pub team: TeamId,
    /// The zone of its days and hours: a name of the IANA database.
    #[serde(default = "utc")]
    pub zone: String,
    /// Its working hours, such as eight hours from nine on working days; not said: around the clock. Work counts in these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub works: Option<When>,
    /// The calendars whose holidays it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub holidays: BTreeSet<CalendarId>,
    /// When it is away besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absences: Vec<Absence>,
}

fn utc() -> String {
    "UTC".into()
}

impl Crew {
    /// A team that is always there, in the days and hours of `zone`.
    pub fn new(team: TeamId, zone: impl Into<String>) -> Self {
        let zone = zone.into();
        Self { team, zone, works: None, holidays: BTreeSet::new(), absences: Vec::new() }
    }

    /// With the holidays of a calendar.
    #[must_use]
    pub fn observing(mut self, calendar: CalendarId) -> Self {
        self.holidays.insert(calendar);
        self
    }

    /// Away from `from` until `until`.
    #[must_use]
    pub fn away(mut self, from: Timestamp, until: Timestamp, reason: impl Into<String>) -> Self {
        self.absences.push(Absence { from, until, reason: reason.into() });
        self
    }
}

/// A time at which a team is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absence {
    /// The first instant of it.
    pub from: Timestamp,
    /// The first instant after it.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}
