//! One departure as one value.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    BlockerId, EnvironmentId, PrincipalId, ServiceId, Span, StopId, TeamId, Timestamp, TrainId,
};
use serde::{Deserialize, Serialize};

use super::boarding::faults;
use super::{
    Boarded, Boarding, BoardingError, BoardingRule, Car, Event, Journey, JourneySpec, MAX_CARS,
    MAX_STOPS, Missed, Next, Stop, SyncPoint, TrainFault, TrainFaults,
};
use crate::compat::{VerifiedSet, Versions};

/// The most that all cars of a train need, counted for each.
pub const MAX_NEEDS: usize = 1_000_000;

/// When nothing may be half done, and how long it takes to be back before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StraddleRule {
    /// When nothing may be half done, such as days on which nobody deploys: from and until, in order. As these begin, the train has not
    /// departed, or is through, or is back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<(Timestamp, Timestamp)>,
    /// How long it takes to go back, from any stop.
    pub back: Span,
}

/// What holds a train from the beginning. What comes later is an [`Event::Blocked`], and any of them is mended by an [`Event::Cleared`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocker {
    /// What it is called.
    pub id: BlockerId,
    /// Who says so.
    pub by: PrincipalId,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// One departure as it is written down, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// What it is called.
    pub id: TrainId,
    /// The environment in which its stops are.
    pub environment: EnvironmentId,
    /// When boarding ends.
    pub cut: Timestamp,
    /// What a car has to be then.
    #[serde(default, skip_serializing_if = "BoardingRule::is_default")]
    pub boarding_rule: BoardingRule,
    /// Everything that would like to go along, of all teams.
    pub cars: Vec<Car>,
    /// Services that have one version in common, across teams ([`Boarding::shared`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<BTreeSet<ServiceId>>,
    /// When it departs.
    pub departs: Timestamp,
    /// Where it stops, in order.
    pub stops: Vec<Stop>,
    /// Where teams wait for each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sync_points: Vec<SyncPoint>,
    /// What holds it from the beginning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// When nothing may be half done.
    pub straddle_rule: StraddleRule,
    /// How long may pass from one question to the next.
    pub tick: Span,
}

/// One departure: its cut, who may board, its cars, stops and sync points, what holds it, and when nothing of it may be half done.
///
/// Who is late moves nothing: when it departs stands in its specification, and boarding only says with whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TrainSpec", into = "TrainSpec")]
pub struct Train {
    spec: TrainSpec,
    journey: Journey,
    /// What holds it from the beginning, as it happened.
    held: Vec<Event>,
}

impl TryFrom<TrainSpec> for Train {
    type Error = TrainFaults;
    fn try_from(spec: TrainSpec) -> Result<Self, TrainFaults> {
        let way = spec.way();
        let faults = spec.faults(&way);
        if !faults.is_empty() {
            return Err(TrainFaults(faults));
        }
        let journey = Journey::new(way).map_err(|why| TrainFaults(vec![TrainFault::Way(why)]))?;
        let held = spec.blockers.iter().map(|one| {
            let Blocker { id, by, reason, since } = one.clone();
            Event::Blocked { blocker: id, by, reason, at: since }
        });
        Ok(Self { held: held.collect(), journey, spec })
    }
}

impl From<Train> for TrainSpec {
    fn from(train: Train) -> Self {
        train.spec
    }
}

impl TrainSpec {
    fn way(&self) -> JourneySpec {
        let StraddleRule { closed, back } = &self.straddle_rule;
        JourneySpec {
            departs: self.departs,
            stops: self.stops.clone(),
            sync_points: self.sync_points.clone(),
            closed: closed.clone(),
            back: *back,
            tick: self.tick,
        }
    }

    fn faults(&self, way: &JourneySpec) -> Vec<TrainFault> {
        let members = self.shared.iter().map(|group| group.len().max(1)).sum();
        let counts = [
            ("cars", self.cars.len(), MAX_CARS),
            ("needs of cars", self.cars.iter().map(|car| car.needs.len()).sum(), MAX_NEEDS),
            ("services with shared versions", members, MAX_CARS),
            ("blockers", self.blockers.len(), MAX_STOPS),
        ];
        let too_many = counts.into_iter().filter(|(_, count, most)| count > most);
        let too_many: Vec<_> =
            too_many.map(|(what, count, most)| TrainFault::TooMany { what, count, most }).collect();
        if !too_many.is_empty() {
            return too_many;
        }
        let cars = faults(&self.cars, &self.shared).into_iter().map(TrainFault::Cars);
        let mut all: Vec<_> = cars.collect();
        let of_way = way.faults();
        let is_bounded =
            !of_way.iter().any(|one| matches!(one, super::JourneyError::TooMany { .. }));
        all.extend(of_way.into_iter().map(TrainFault::Way));
        let nowhere = self.stops.iter().filter(|stop| is_bounded && stop.regions.is_empty());
        all.extend(nowhere.map(|stop| TrainFault::NoRegions(stop.id.clone())));
        let (cut, departs) = (self.cut, self.departs);
        if cut > departs {
            all.push(TrainFault::Cut { cut, departs });
        }
        let mut names = BTreeSet::new();
        let twice = self.blockers.iter().filter(|one| !names.insert(&one.id));
        all.extend(twice.map(|one| TrainFault::BlockerTwice(one.id.clone())));
        if is_bounded {
            all.extend(self.appointments());
        }
        all
    }

    /// What cars and sync points have to do with each other, and sync points with stops.
    fn appointments(&self) -> Vec<TrainFault> {
        let teams: BTreeSet<&TeamId> = self.cars.iter().map(|car| &car.team).collect();
        let mut begins = self.departs;
        let mut when: BTreeMap<&StopId, Timestamp> = BTreeMap::new();
        for stop in &self.stops {
            when.entry(&stop.id).or_insert(begins);
            begins = begins.plus(stop.takes);
        }
        let of_point = |point: &SyncPoint| {
            let strangers = point.awaits.iter().filter(|team| !teams.contains(team)).cloned();
            let named = strangers.map(|team| TrainFault::NoCar { point: point.id.clone(), team });
            let late = when.get(&point.before).filter(|begins| point.deadline > **begins);
            let late = late.map(|begins| TrainFault::Deadline {
                point: point.id.clone(),
                deadline: point.deadline,
                stop: point.before.clone(),
                begins: *begins,
            });
            named.chain(late).collect::<Vec<_>>()
        };
        self.sync_points.iter().flat_map(of_point).collect()
    }
}

impl Train {
    /// A train that makes sense.
    ///
    /// # Errors
    /// [`TrainFaults`]: all that does not, at once.
    pub fn new(spec: TrainSpec) -> Result<Self, TrainFaults> {
        spec.try_into()
    }

    /// As it is written.
    pub const fn spec(&self) -> &TrainSpec {
        &self.spec
    }

    /// What it is called.
    pub const fn id(&self) -> &TrainId {
        &self.spec.id
    }

    /// When it departs, whoever boards.
    pub const fn departs(&self) -> Timestamp {
        self.spec.departs
    }

    /// Its way, without what holds it from the beginning.
    pub const fn journey(&self) -> &Journey {
        &self.journey
    }

    /// Who boards by its rule when boarding ends, by what is deployed, and what proves that just that was verified together
    /// ([`Boarding`]).
    ///
    /// # Errors
    /// [`BoardingError`]: a car needs a service that is neither a car nor deployed.
    pub fn board(
        &self,
        deployed: &Versions,
        verified: &[VerifiedSet],
    ) -> Result<Boarded, BoardingError> {
        let TrainSpec { cars, shared, cut, boarding_rule, .. } = &self.spec;
        let boarding = Boarding { cars, shared, until: *cut, deployed, verified };
        boarding.board_by(*boarding_rule)
    }

    /// What it does at `now`, by what happened until then, and what holds it from the beginning ([`Journey::next`]). A blocker of its
    /// specification counts from when it holds on, as if somebody had told of it first in that instant.
    pub fn next(&self, events: &[Event], now: Timestamp) -> Next {
        self.next_of(events.iter(), now)
    }

    /// What it does instead, where it does not let a stop begin or go on at `now` ([`Journey::holds`]).
    pub fn holds(&self, stop: &StopId, events: &[Event], now: Timestamp) -> Option<Next> {
        self.holds_of(stop, events.iter(), now)
    }

    /// The sync points at which somebody is missing at `now` although the deadline has passed: whom to call ([`Journey::missed`]). By
    /// [`Missed::key`] and its [name](Self::id) each is called once.
    pub fn missed(&self, events: &[Event], now: Timestamp) -> Vec<Missed> {
        self.journey.missed(events, now)
    }

    /// What holds it from the beginning, as it happened.
    pub(super) fn held(&self) -> &[Event] {
        &self.held
    }

    /// As [`next`](Self::next), wherever events are kept.
    pub(super) fn next_of<'a>(
        &'a self,
        events: impl Iterator<Item = &'a Event>,
        now: Timestamp,
    ) -> Next {
        self.journey.next_of(self.held.iter().chain(events), now)
    }

    /// As [`holds`](Self::holds), wherever events are kept.
    pub(super) fn holds_of<'a>(
        &'a self,
        stop: &StopId,
        events: impl Iterator<Item = &'a Event> + Clone,
        now: Timestamp,
    ) -> Option<Next> {
        self.journey.holds_of(stop, self.held.iter().chain(events), now)
    }
}
