//! What a conductor was told, and what decisions were made from.

use std::sync::{Arc, PoisonError, RwLock};

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
    /// It is too much.
    #[error("more than {MAX_TOLD} events are told of one train; tell fewer blockers")]
    TooMany,
}

/// What was told, in the order in which it happened, each with the digest of all until there.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<RwLock<Vec<(Event, Digest)>>>);

impl Told {
    /// All of it, and its digest.
    pub(super) fn read(&self) -> (Vec<Event>, Option<Digest>) {
        let told = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let digest = told.last().map(|(_, digest)| *digest);
        (told.iter().map(|(event, _)| event.clone()).collect(), digest)
    }

    /// Takes an event, if it is one of the train; whether it is new.
    pub(super) fn tell(&self, train: &Train, event: Event) -> Result<bool, TellError> {
        let mut told = self.0.write().unwrap_or_else(PoisonError::into_inner);
        check(train, &told, &event)?;
        let place = told.partition_point(|(one, _)| one.at() <= event.at());
        let mut then = told.iter().take(place).rev().take_while(|(one, _)| one.at() == event.at());
        if then.any(|(one, _)| *one == event) {
            return Ok(false);
        }
        if told.len() >= MAX_TOLD {
            return Err(TellError::TooMany);
        }
        let mut before = place.checked_sub(1).and_then(|last| told.get(last)).map(|(_, all)| *all);
        told.insert(place, (event, Digest::of(&[])));
        for (event, digest) in told.iter_mut().skip(place) {
            let all = Canonical::new("release/told/1").maybe(before, |all, one| all.digest(&one));
            *digest = one(all, event).finish();
            before = Some(*digest);
        }
        Ok(true)
    }
}

fn check(train: &Train, told: &[(Event, Digest)], event: &Event) -> Result<(), TellError> {
    let spec = train.spec();
    match event {
        Event::Began { stop, .. } | Event::Done { stop, .. } => {
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
        Event::Cleared { blocker, .. } => {
            let held =
                |one: &Event| matches!(one, Event::Blocked { blocker: id, .. } if id == blocker);
            let told = told.iter().map(|(event, _)| event);
            let known = train.held().iter().chain(told).any(held);
            if known { Ok(()) } else { Err(TellError::NoBlocker(blocker.clone())) }
        }
        Event::Blocked { .. } | Event::TurnedBack { .. } | Event::WentBack { .. } => Ok(()),
    }
}

fn one(all: Canonical, event: &Event) -> Canonical {
    let at = event.at().as_micros();
    match event {
        Event::Began { stop, .. } => all.text("began").text(stop.as_str()),
        Event::Done { stop, .. } => all.text("done").text(stop.as_str()),
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
