//! Where a train stops, what it waits for, what halts it, and when it has to go back.

use std::collections::BTreeSet;

use release_core::model::{
    BlockerId, PrincipalId, RegionId, Span, StopId, SyncPointId, TeamId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::progress::Progress;
use super::{Missed, plus};

/// How many stops, regions of all of them, sync points, teams that these await, and closed times a journey may have, of each.
pub const MAX_STOPS: usize = 10_000;

/// A group of regions that get the train together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Its name.
    pub id: StopId,
    /// Its regions.
    pub regions: BTreeSet<RegionId>,
    /// How long it takes to roll out there and to watch it.
    pub takes: Span,
}

/// A point at which several teams wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncPoint {
    /// Its name.
    pub id: SyncPointId,
    /// The stop that does not begin before all are there.
    pub before: StopId,
    /// Who has to say that they are there.
    pub awaits: BTreeSet<TeamId>,
    /// Until when.
    pub deadline: Timestamp,
    /// Who is called when somebody is missing then.
    pub escalate: TeamId,
}

/// What happened on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A stop began.
    Began {
        /// Which.
        stop: StopId,
        /// When.
        at: Timestamp,
    },
    /// A stop is done, and well. So it began, also if nobody told of that.
    Done {
        /// Which.
        stop: StopId,
        /// When.
        at: Timestamp,
    },
    /// All of a stop was left behind before anything was changed there: the train goes on without it, and nothing of it is half done.
    LeftBehind {
        /// Which.
        stop: StopId,
        /// When.
        at: Timestamp,
    },
    /// Somebody holds the train.
    Blocked {
        /// What for.
        blocker: BlockerId,
        /// Who.
        by: PrincipalId,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// What held it is mended.
    Cleared {
        /// What.
        blocker: BlockerId,
        /// Who says so.
        by: PrincipalId,
        /// When.
        at: Timestamp,
    },
    /// A team is at a point.
    Arrived {
        /// Which point.
        point: SyncPointId,
        /// Which team.
        team: TeamId,
        /// When.
        at: Timestamp,
    },
    /// It began to go back.
    TurnedBack {
        /// When.
        at: Timestamp,
    },
    /// All regions are as they were before.
    WentBack {
        /// When.
        at: Timestamp,
    },
}

impl Event {
    /// When it happened.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Began { at, .. }
            | Self::Done { at, .. }
            | Self::LeftBehind { at, .. }
            | Self::Blocked { at, .. }
            | Self::Cleared { at, .. }
            | Self::Arrived { at, .. }
            | Self::TurnedBack { at }
            | Self::WentBack { at } => *at,
        }
    }
}

/// Why a train waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// It is not time yet.
    Departure,
    /// It could not be through, or back, before a time in which nothing may be half done.
    Closed,
    /// Teams are not there yet.
    SyncPoint {
        /// Where.
        point: SyncPointId,
        /// Who.
        missing: BTreeSet<TeamId>,
    },
    /// Teams are not there, and should be.
    Missed(Missed),
    /// It is on its way back.
    GoingBack,
    /// A stop is under way.
    Stop {
        /// Which.
        stop: StopId,
    },
}

/// What a train does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Next {
    /// It begins a stop, now.
    Begins {
        /// Which.
        stop: StopId,
    },
    /// It waits.
    Waits {
        /// Until when at the least; not said: until something happens.
        until: Option<Timestamp>,
        /// Why.
        why: Why,
    },
    /// It is held: no stop begins until all of these are mended.
    Halts {
        /// What holds it.
        blockers: BTreeSet<BlockerId>,
    },
    /// It has to turn back now: after this, it could not be back before that time begins.
    GoesBack {
        /// When nothing may be half done.
        before: Timestamp,
    },
    /// It went back.
    WentBack,
    /// It is through.
    Through,
}

/// Why something is no journey.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JourneyError {
    /// It leads nowhere.
    #[error("the train has no stops; name at least one")]
    Empty,
    /// It is too much.
    #[error("there are {count} {what}, and at most {MAX_STOPS} are gone by; divide the train")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Two stops have one name.
    #[error("there are two stops `{0}`; rename one")]
    Twice(StopId),
    /// A region is in two stops.
    #[error("region `{0}` is in two stops; leave it out of one")]
    RegionTwice(RegionId),
    /// Teams would wait before a stop that is none.
    #[error("sync point `{point}` is before stop `{stop}`, which is none; mend the name")]
    NoStop {
        /// Which point.
        point: SyncPointId,
        /// What it names.
        stop: StopId,
    },
    /// Nobody is waited for.
    #[error("sync point `{0}` waits for nobody; name teams, or leave it out")]
    NobodyAwaited(SyncPointId),
    /// Two points have one name.
    #[error("there are two sync points `{0}`; rename one")]
    PointTwice(SyncPointId),
    /// Times in which nothing may be half done stand out of order.
    #[error(
        "what is closed from {from} until {until} ends before it begins, or stands behind a later one; put these in order"
    )]
    Closed {
        /// From when on.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
}

/// The way of one departure as it is written down, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JourneySpec {
    /// When it departs.
    pub departs: Timestamp,
    /// Where it stops, in order.
    pub stops: Vec<Stop>,
    /// Where teams wait for each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sync_points: Vec<SyncPoint>,
    /// When nothing may be half done, such as days on which nobody deploys: from and until, in order. As these begin, the train has not
    /// departed, or is through, or is back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<(Timestamp, Timestamp)>,
    /// How long it takes to go back, from any stop.
    pub back: Span,
    /// How long may pass from one question to the next.
    pub tick: Span,
}

/// The way of one departure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "JourneySpec", into = "JourneySpec")]
pub struct Journey {
    spec: JourneySpec,
}

impl TryFrom<JourneySpec> for Journey {
    type Error = JourneyError;
    fn try_from(spec: JourneySpec) -> Result<Self, JourneyError> {
        spec.check()?;
        Ok(Self { spec })
    }
}

impl From<Journey> for JourneySpec {
    fn from(journey: Journey) -> Self {
        journey.spec
    }
}

impl JourneySpec {
    fn check(&self) -> Result<(), JourneyError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// All that makes no sense of it; only that it is too much, where it is.
    pub(super) fn faults(&self) -> Vec<JourneyError> {
        if self.stops.is_empty() {
            return vec![JourneyError::Empty];
        }
        if let Err(fault) = self.bounded() {
            return vec![fault];
        }
        let mut faults = Vec::new();
        let (mut stops, mut regions, mut points) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for stop in &self.stops {
            if !stops.insert(&stop.id) {
                faults.push(JourneyError::Twice(stop.id.clone()));
            }
            let twice = stop.regions.iter().filter(|region| !regions.insert(*region));
            faults.extend(twice.cloned().map(JourneyError::RegionTwice));
        }
        for point in &self.sync_points {
            if !stops.contains(&point.before) {
                let (point, stop) = (point.id.clone(), point.before.clone());
                faults.push(JourneyError::NoStop { point, stop });
            }
            if point.awaits.is_empty() {
                faults.push(JourneyError::NobodyAwaited(point.id.clone()));
            }
            if !points.insert(&point.id) {
                faults.push(JourneyError::PointTwice(point.id.clone()));
            }
        }
        let mut before = None;
        for (from, until) in &self.closed {
            if from >= until || before.is_some_and(|before| *from < before) {
                faults.push(JourneyError::Closed { from: *from, until: *until });
            }
            before = Some(*until);
        }
        faults
    }

    fn bounded(&self) -> Result<(), JourneyError> {
        let counts = [
            ("stops", self.stops.len()),
            ("regions", self.stops.iter().map(|stop| stop.regions.len()).sum()),
            ("sync points", self.sync_points.len()),
            ("awaited teams", self.sync_points.iter().map(|point| point.awaits.len()).sum()),
            ("closed times", self.closed.len()),
        ];
        match counts.into_iter().find(|(_, count)| *count > MAX_STOPS) {
            Some((what, count)) => Err(JourneyError::TooMany { what, count }),
            None => Ok(()),
        }
    }
}

impl Journey {
    /// A way that makes sense.
    ///
    /// # Errors
    /// [`JourneyError`] says what does not, and how to mend it.
    pub fn new(spec: JourneySpec) -> Result<Self, JourneyError> {
        spec.try_into()
    }

    /// As it is written.
    pub const fn spec(&self) -> &JourneySpec {
        &self.spec
    }

    /// What the train does at `now`, by what happened until then. Asked at least once a [tick](JourneySpec::tick) and done as it says, no
    /// stop begins while something holds the train, and none is half done when that may not be.
    ///
    /// In which order blockers and what mends them are named does not matter: they count in the order in which they happened. Of two that
    /// happened in one instant, the one that is named last counts.
    pub fn next(&self, events: &[Event], now: Timestamp) -> Next {
        self.next_of(events.iter(), now)
    }

    /// The same, wherever events are kept.
    pub(super) fn next_of<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
        now: Timestamp,
    ) -> Next {
        let progress = Progress::of(events, now);
        if progress.went_back {
            return Next::WentBack;
        }
        // Whatever happens then, it does not go on.
        if let Some(turned) = progress.turned_back {
            return Next::Waits { until: Some(turned.plus(self.spec.back)), why: Why::GoingBack };
        }
        let Some(stop) = self.spec.stops.iter().find(|stop| !progress.done.contains(&stop.id))
        else {
            return Next::Through;
        };
        let departed = progress.departed;
        let closed = self.spec.closed.iter().find(|(_, until)| *until > now);
        if let Some((from, until)) = closed {
            let left = self.left(&progress, now);
            let back = plus(self.spec.back, self.spec.tick);
            if departed && now.plus(left.max(back)) > *from {
                return Next::GoesBack { before: *from };
            }
            if !departed && now >= self.spec.departs && now.plus(left).plus(back) > *from {
                return Next::Waits { until: Some(*until), why: Why::Closed };
            }
        }
        let blockers = progress.blockers();
        if !blockers.is_empty() {
            return Next::Halts { blockers };
        }
        if let Some(began) = progress.began.get(&stop.id) {
            let (until, stop) = (Some(began.plus(stop.takes)), stop.id.clone());
            return Next::Waits { until, why: Why::Stop { stop } };
        }
        if now < self.spec.departs {
            return Next::Waits { until: Some(self.spec.departs), why: Why::Departure };
        }
        match self.awaited(stop, &progress, now) {
            Some(next) => next,
            None => Next::Begins { stop: stop.id.clone() },
        }
    }

    /// The points at which somebody is missing at `now` although the deadline has passed, for stops that have not begun: whom
    /// to call. Each has a [`key`](Missed::key), by which somebody is called once, and is no longer told of when all are there.
    pub fn missed(&self, events: &[Event], now: Timestamp) -> Vec<Missed> {
        self.missed_of(events.iter(), now)
    }

    /// The same, wherever events are kept.
    pub(super) fn missed_of<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
        now: Timestamp,
    ) -> Vec<Missed> {
        let progress = Progress::of(events, now);
        if progress.turned_back.is_some() || progress.went_back {
            return Vec::new();
        }
        let open = |point: &&SyncPoint| {
            let before = &point.before;
            let begun = progress.began.contains_key(before) || progress.done.contains(before);
            now >= point.deadline && !begun
        };
        let missed = self.spec.sync_points.iter().filter(open).filter_map(|point| {
            let missing = missing(point, &progress);
            (!missing.is_empty()).then(|| late(point, missing))
        });
        missed.collect()
    }

    /// How long what is not done takes, if nothing comes between.
    fn left(&self, progress: &Progress<'_>, now: Timestamp) -> Span {
        let open = self.spec.stops.iter().filter(|stop| !progress.done.contains(&stop.id));
        open.fold(Span::ZERO, |sum, stop| {
            let begun = progress.began.get(&stop.id).map_or(Span::ZERO, |began| now.since(*began));
            let left = stop.takes.as_duration().saturating_sub(begun.as_duration());
            plus(sum, Span::from(left))
        })
    }

    fn awaited(&self, stop: &Stop, progress: &Progress<'_>, now: Timestamp) -> Option<Next> {
        let points = self.spec.sync_points.iter().filter(|point| point.before == stop.id);
        let mut open = points.filter_map(|point| {
            let missing = missing(point, progress);
            (!missing.is_empty()).then_some((point, missing))
        });
        let (point, missing) = open.next()?;
        Some(if now >= point.deadline {
            Next::Waits { until: None, why: Why::Missed(late(point, missing)) }
        } else {
            let why = Why::SyncPoint { point: point.id.clone(), missing };
            Next::Waits { until: Some(point.deadline), why }
        })
    }
}

fn missing(point: &SyncPoint, progress: &Progress<'_>) -> BTreeSet<TeamId> {
    let there = |team: &&TeamId| progress.arrived.contains(&(&point.id, *team));
    point.awaits.iter().filter(|team| !there(team)).cloned().collect()
}

fn late(point: &SyncPoint, missing: BTreeSet<TeamId>) -> Missed {
    Missed {
        point: point.id.clone(),
        stop: Some(point.before.clone()),
        waiting: &point.awaits - &missing,
        missing,
        since: point.deadline,
        escalate: point.escalate.clone(),
    }
}
