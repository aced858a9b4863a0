//! What a conductor was told, and what decisions were made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use release_core::model::{BlockerId, Digest, StopId, SyncPointId, TeamId, Timestamp};

use crate::canonical::Canonical;
use crate::compat::Versions;
use crate::train::departure::{Event, Stop, SyncPoint, Train};

/// How many events a conductor can be told.
pub const MAX_TOLD: usize = 10_000;

/// Why something cannot have happened to a train.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// It has no such stop.
    #[error("the train has no stop `{0}`; mend the name")]
    NoStop(StopId),
    /// It has no such sync point.
    #[error("the train has no sync point `{0}`; mend the name")]
    NoPoint(SyncPointId),
    /// Nobody waits for that team there.
    #[error("sync point `{point}` does not await {team}; mend the name")]
    NotAwaited {
        /// The point.
        point: SyncPointId,
        /// The team.
        team: TeamId,
    },
    /// Nothing of that name holds it.
    #[error("nothing that is called `{0}` held the train; mend the name")]
    NoBlocker(BlockerId),
    /// It is said to have been mended before it held the train.
    #[error(
        "`{blocker}` cannot have been mended at {at}, since it held the train from {since} on; tell both by one clock"
    )]
    TooEarly {
        /// The blocker.
        blocker: BlockerId,
        /// When it is said to have been mended.
        at: Timestamp,
        /// When it held the train first.
        since: Timestamp,
    },
    /// It is too much.
    #[error("more than {MAX_TOLD} events are told of one train; tell fewer blockers")]
    TooMany,
}

/// What was told, in the order in which it happened; what happened in one instant, in the order in which it was told.
#[derive(Clone)]
pub(super) struct Told(Arc<Mutex<Known>>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Known {
    /// Each event, with its digest.
    events: BTreeMap<(Timestamp, usize), (Event, Digest)>,
    /// The digests of all.
    digests: BTreeSet<Digest>,
    /// When each blocker held the train first.
    blocked: BTreeMap<BlockerId, Timestamp>,
    /// Blockers of the specification.
    specified: BTreeSet<BlockerId>,
    /// All of it as it is read; none after something was told.
    log: Option<Log>,
}

/// All that was told, until something else is.
#[derive(Clone)]
pub(super) struct Log {
    /// All of it.
    pub(super) all: Arc<[Event]>,
    /// Its digest, if there is something.
    pub(super) digest: Option<Digest>,
    /// What of it still counts once all of it has happened, and when that is.
    rest: Arc<[Event]>,
    since: Option<Timestamp>,
}

impl Log {
    /// All that counts at `now`, and maybe more of it.
    pub(super) fn at(&self, now: Timestamp) -> &[Event] {
        if self.since.is_some_and(|since| since <= now) { &self.rest } else { &self.all }
    }
}

impl Known {
    fn read(&self) -> Log {
        let all: Arc<[Event]> = self.events.values().map(|(event, _)| event.clone()).collect();
        let digests = self.events.values().map(|(_, digest)| digest);
        let digest = Canonical::new("release/told/2").list(digests, Canonical::digest).finish();
        let digest = (!all.is_empty()).then_some(digest);
        let since = all.last().map(Event::at);
        // Of a blocker the last word counts, and none where that says that it is mended; unless it held the train without being told.
        let mut last: BTreeMap<&BlockerId, usize> = BTreeMap::new();
        for (nth, event) in all.iter().enumerate() {
            if let Event::Blocked { blocker, .. } | Event::Cleared { blocker, .. } = event {
                last.insert(blocker, nth);
            }
        }
        let counts = |(nth, event): &(usize, &Event)| match event {
            Event::Blocked { blocker, .. } => {
                self.specified.contains(blocker) || last.get(blocker) == Some(nth)
            }
            Event::Cleared { blocker, .. } => self.specified.contains(blocker),
            _ => true,
        };
        let rest = all.iter().enumerate().filter(counts).map(|(_, event)| event.clone()).collect();
        Log { all, digest, rest, since }
    }

    /// Takes an event that makes sense; whether it is new.
    fn take(&mut self, event: Event) -> Result<bool, TellError> {
        let digest = one(Canonical::new("release/event/1"), &event).finish();
        if self.digests.contains(&digest) {
            return Ok(false);
        }
        if self.events.len() >= MAX_TOLD {
            return Err(TellError::TooMany);
        }
        let at = event.at();
        if let Event::Blocked { blocker, .. } = &event {
            let first = self.blocked.entry(blocker.clone()).or_insert(at);
            *first = at.min(*first);
        }
        self.digests.insert(digest);
        self.events.insert((at, self.events.len()), (event, digest));
        self.log = None;
        Ok(true)
    }
}

impl Told {
    /// Nothing yet, of this train.
    pub(super) fn of(train: &Train) -> Self {
        let mut known = Known::default();
        for event in train.held() {
            if let Event::Blocked { blocker, at, .. } = event {
                known.blocked.insert(blocker.clone(), *at);
                known.specified.insert(blocker.clone());
            }
        }
        Self(Arc::new(Mutex::new(known)))
    }

    /// All of it.
    pub(super) fn read(&self) -> Log {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &known.log {
            return log.clone();
        }
        let log = known.read();
        known.log = Some(log.clone());
        log
    }

    /// Takes an event, if it is one of the train; whether it is new. Costs time in proportion to the logarithm of what was told.
    pub(super) fn tell(&self, train: &Train, event: Event) -> Result<bool, TellError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        check(train, &known.blocked, &event)?;
        known.take(event)
    }
}

fn check(
    train: &Train,
    blocked: &BTreeMap<BlockerId, Timestamp>,
    event: &Event,
) -> Result<(), TellError> {
    let spec = train.spec();
    match event {
        Event::Began { stop, .. } | Event::Done { stop, .. } | Event::LeftBehind { stop, .. } => {
            let known = spec.stops.iter().any(|one| one.id == *stop);
            if known { Ok(()) } else { Err(TellError::NoStop(stop.clone())) }
        }
        Event::Arrived { point, team, .. } => {
            let Some(known) = spec.sync_points.iter().find(|one| one.id == *point) else {
                return Err(TellError::NoPoint(point.clone()));
            };
            let awaited = known.awaits.contains(team);
            let (point, team) = (point.clone(), team.clone());
            if awaited { Ok(()) } else { Err(TellError::NotAwaited { point, team }) }
        }
        Event::Cleared { blocker, at, .. } => match blocked.get(blocker).copied() {
            None => Err(TellError::NoBlocker(blocker.clone())),
            Some(since) if *at < since => {
                Err(TellError::TooEarly { blocker: blocker.clone(), at: *at, since })
            }
            Some(_) => Ok(()),
        },
        Event::Blocked { .. } | Event::TurnedBack { .. } | Event::WentBack { .. } => Ok(()),
    }
}

fn one(all: Canonical, event: &Event) -> Canonical {
    let at = event.at().as_micros();
    match event {
        Event::Began { stop, .. } => all.text("began").text(stop.as_str()),
        Event::Done { stop, .. } => all.text("done").text(stop.as_str()),
        Event::LeftBehind { stop, .. } => all.text("left_behind").text(stop.as_str()),
        Event::Blocked { blocker, by, reason, .. } => {
            all.text("blocked").text(blocker.as_str()).text(by.as_str()).text(reason)
        }
        Event::Cleared { blocker, by, .. } => {
            all.text("cleared").text(blocker.as_str()).text(by.as_str())
        }
        Event::Arrived { point, team, .. } => {
            all.text("arrived").text(point.as_str()).text(team.as_str())
        }
        Event::TurnedBack { .. } => all.text("turned_back"),
        Event::WentBack { .. } => all.text("went_back"),
    }
    .number(at)
}

/// What was seen in a run besides what was told.
pub(super) fn facts(seen: &[Event], told: Option<Digest>) -> Digest {
    let facts = Canonical::new("release/conductor/1").list(seen.iter(), one);
    facts.maybe(told, |all, told| all.digest(&told)).finish()
}

/// What tells the rules of one train from those of another: its way, and what is aboard.
pub(super) fn rules(train: &Train, aboard: &Versions) -> Digest {
    let spec = train.spec();
    let at = |at: Timestamp| at.as_micros();
    let micros = |span: release_core::model::Span| {
        i128::try_from(span.as_duration().as_micros()).unwrap_or(i128::MAX)
    };
    let stop = |all: Canonical, stop: &Stop| {
        let all = all.text(stop.id.as_str()).number(micros(stop.takes));
        all.list(stop.regions.iter(), |all, region| all.text(region.as_str()))
    };
    let point = |all: Canonical, point: &SyncPoint| {
        let SyncPoint { id, before, awaits, deadline, escalate } = point;
        let all = all.text(id.as_str()).text(before.as_str()).number(at(*deadline));
        let all = all.list(awaits.iter(), |all, team| all.text(team.as_str()));
        all.text(escalate.as_str())
    };
    let closed = |all: Canonical, (from, until): &(Timestamp, Timestamp)| {
        all.number(at(*from)).number(at(*until))
    };
    Canonical::new("release/train/1")
        .text(spec.id.as_str())
        .text(spec.environment.as_str())
        .number(at(spec.departs))
        .list(spec.stops.iter(), stop)
        .list(spec.sync_points.iter(), point)
        .list(spec.straddle_rule.closed.iter(), closed)
        .number(micros(spec.straddle_rule.back))
        .number(micros(spec.tick))
        .list(train.held().iter(), one)
        .list(spec.cars.iter(), |all, car| {
            all.text(car.service.as_str()).text(&car.version.to_string())
        })
        .list(aboard.iter(), |all, (id, version)| all.text(id.as_str()).text(&version.to_string()))
        .finish()
}
