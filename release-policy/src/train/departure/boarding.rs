//! Who boards: what is ready in time with all that it needs, if just that was verified together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use release_core::model::{Digest, ServiceId, TeamId, Timestamp};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::BoardingRule;
use crate::compat::{VerifiedSet, Versions};

/// The most cars of a train.
pub const MAX_CARS: usize = 10_000;
/// The most verified sets that a train is compared with.
pub const MAX_VERIFIED: usize = 1_000;

/// A member of a train: a service in the version that is to go along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Car {
    /// The service.
    pub service: ServiceId,
    /// Its version.
    pub version: Version,
    /// Whose it is.
    pub team: TeamId,
    /// The services that have to be there for it: in the version that goes along, or else in the one that is deployed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<ServiceId>,
    /// Since when it is ready; it is not, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Timestamp>,
    /// Since when its team has said that it may go along; it has not, where nothing is said. Only
    /// [`BoardingRule::Approved`] asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Timestamp>,
}

impl Car {
    /// A car that is not ready yet and needs nothing.
    pub const fn new(service: ServiceId, version: Version, team: TeamId) -> Self {
        let (ready, approved) = (None, None);
        Self { service, version, team, needs: BTreeSet::new(), ready, approved }
    }

    /// Ready since then.
    #[must_use]
    pub const fn ready(mut self, at: Timestamp) -> Self {
        self.ready = Some(at);
        self
    }

    /// Its team has said so since then.
    #[must_use]
    pub const fn approved(mut self, at: Timestamp) -> Self {
        self.approved = Some(at);
        self
    }

    /// It needs this service, too.
    #[must_use]
    pub fn needing(mut self, service: ServiceId) -> Self {
        self.needs.insert(service);
        self
    }
}

/// What a train needs to be told when boarding ends.
#[derive(Debug, Clone, Copy)]
pub struct Boarding<'a> {
    /// Everything that would like to go along.
    pub cars: &'a [Car],
    /// Services that have one version in common: either all of a group go along, all in the same version, or none. One that is no car
    /// has to be deployed in that version already, or nowhere.
    pub shared: &'a [BTreeSet<ServiceId>],
    /// When boarding ends.
    pub until: Timestamp,
    /// What is deployed.
    pub deployed: &'a Versions,
    /// What was verified together so far: at most [`MAX_VERIFIED`] sets.
    pub verified: &'a [VerifiedSet],
}

/// Why boarding makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoardingError {
    /// There is nothing that could depart.
    #[error("the train has no cars; name what is to go along")]
    Empty,
    /// It is too much.
    #[error("{0} cars are more than {MAX_CARS}; divide the train")]
    TooMany(usize),
    /// There are too many verified sets.
    #[error("{0} verified sets are more than {MAX_VERIFIED}; hand in the last ones")]
    TooManyVerified(usize),
    /// A service would go along twice.
    #[error("service `{0}` is two cars; keep one of them")]
    Twice(ServiceId),
    /// A car needs a service that is nowhere.
    #[error(
        "car `{car}` needs service `{needs}`, which is neither a car nor deployed; deploy it, or mend the name"
    )]
    NeedsNothing {
        /// The car.
        car: ServiceId,
        /// What it needs.
        needs: ServiceId,
    },
    /// Services that share a version are to go along in two.
    #[error(
        "`{one}` {one_version} and `{other}` {other_version} share one version; give both the same"
    )]
    TwoVersions {
        /// A service.
        one: ServiceId,
        /// Its version.
        one_version: Version,
        /// Another of the same group.
        other: ServiceId,
        /// The version of that.
        other_version: Version,
    },
}

/// Why nothing may depart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotProven {
    /// All cars stay behind.
    #[error("nobody is aboard: all {behind} cars stay behind; wait for the next train")]
    NobodyAboard {
        /// How many.
        behind: usize,
    },
    /// Nothing proves that just these were verified together.
    #[error(
        "nothing proves that {} were verified together, with all that they need and in the versions in which these are deployed; verify just that and board again{}",
        names(.aboard),
        or_instead(.instead)
    )]
    Together {
        /// What is aboard.
        aboard: BTreeSet<ServiceId>,
        /// The most of it that was verified together; empty where nothing of it was.
        instead: BTreeSet<ServiceId>,
    },
}

fn names(services: &BTreeSet<ServiceId>) -> String {
    services.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

fn or_instead(instead: &BTreeSet<ServiceId>) -> String {
    if instead.is_empty() {
        return String::new();
    }
    format!(", or leave behind all but {}, of which it is proven", names(instead))
}

/// Why a car stays behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Behind {
    /// It was not ready when boarding ended.
    Late {
        /// Since when it is ready; not at all, where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ready: Option<Timestamp>,
    },
    /// It was ready, and its team had not said by then that it may go along.
    Unapproved {
        /// Whose word is missing.
        team: TeamId,
        /// Since when they have said so; not at all, where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approved: Option<Timestamp>,
    },
    /// It needs one that stays behind.
    Needs {
        /// Which.
        service: ServiceId,
    },
    /// It shares its version with one that stays behind.
    Shares {
        /// With which.
        service: ServiceId,
    },
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { ready: None } => f.write_str("is not ready"),
            Self::Late { ready: Some(at) } => write!(f, "was ready only at {at}"),
            Self::Unapproved { team, approved: None } => write!(f, "is not approved by {team}"),
            Self::Unapproved { team, approved: Some(at) } => {
                write!(f, "was approved by {team} only at {at}")
            }
            Self::Needs { service } => write!(f, "needs `{service}`, which stays behind"),
            Self::Shares { service } => {
                write!(f, "shares its version with `{service}`, which stays behind")
            }
        }
    }
}

/// Who is aboard, and who stays behind. Neither moves the departure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boarded {
    /// What goes along.
    pub aboard: Versions,
    /// What waits for the next train, and why.
    pub behind: BTreeMap<ServiceId, Behind>,
    /// What proves that just these were verified together, with all that they need; without it, nothing of it may depart
    /// ([`departing`](Self::departing)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Digest>,
    /// Where nothing proves it: the most of it that was verified together, and what proves that. Whether that is to depart and the rest
    /// waits, somebody has to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<(Versions, Digest)>,
}

impl Boarded {
    /// What departs, and what proves that it was verified together, with all that it needs: the way to roll out what boarded.
    ///
    /// # Errors
    /// [`NotProven`] where nothing proves it, and nothing may depart.
    pub fn departing(&self) -> Result<(&Versions, Digest), NotProven> {
        if self.aboard.is_empty() {
            return Err(NotProven::NobodyAboard { behind: self.behind.len() });
        }
        let proof = self.proof.ok_or_else(|| NotProven::Together {
            aboard: self.aboard.keys().cloned().collect(),
            instead: self.instead.iter().flat_map(|(some, _)| some.keys().cloned()).collect(),
        })?;
        Ok((&self.aboard, proof))
    }
}

impl Boarding<'_> {
    /// Who boards: all cars but those that are late and what depends on them. Whether these may depart says
    /// [`departing`](Boarded::departing).
    ///
    /// # Errors
    /// [`BoardingError`] says what makes no sense.
    pub fn board(&self) -> Result<Boarded, BoardingError> {
        self.board_by(BoardingRule::Ready)
    }

    /// The same, where a rule asks for more of a car than that it is ready: who does not keep it stays behind, with what depends on it.
    ///
    /// # Errors
    /// [`BoardingError`] says what makes no sense.
    pub fn board_by(&self, rule: BoardingRule) -> Result<Boarded, BoardingError> {
        let cars = self.checked()?;
        let mut behind: BTreeMap<ServiceId, Behind> = BTreeMap::new();
        let mut queue = VecDeque::new();
        for car in self.cars {
            if let Some(why) = rule.refuses(car, self.until) {
                behind.insert(car.service.clone(), why);
                queue.push_back(&car.service);
            }
        }
        for (car, other) in self.torn(&cars) {
            if !behind.contains_key(&car.service) {
                behind.insert(car.service.clone(), Behind::Shares { service: other.clone() });
                queue.push_back(&car.service);
            }
        }
        let (needed_by, mut groups) = self.dependents();
        while let Some(left) = queue.pop_front() {
            let needs = needed_by.get(left).into_iter().flatten();
            let needs = needs.map(|one| (*one, Behind::Needs { service: left.clone() }));
            // A group stays behind as a whole, once.
            let shares = groups.remove(left).into_iter().flatten();
            let shares = shares.filter_map(|nth| self.shared.get(nth)).flatten();
            let shares = shares.map(|one| (one, Behind::Shares { service: left.clone() }));
            let more = needs.chain(shares).filter(|(one, _)| cars.contains_key(one));
            for (service, why) in more.collect::<Vec<_>>() {
                if !behind.contains_key(service) {
                    behind.insert(service.clone(), why);
                    queue.push_back(service);
                    // What it shares with the same group is on its way already.
                    if let Some(own) = groups.get_mut(service) {
                        own.retain(|nth| {
                            self.shared.get(*nth).is_none_or(|group| !group.contains(left))
                        });
                    }
                }
            }
        }
        let aboard = cars.values().filter(|car| !behind.contains_key(&car.service));
        let aboard: Versions =
            aboard.map(|car| (car.service.clone(), car.version.clone())).collect();
        let proof = self.proof(&cars, &aboard);
        let instead = if proof.is_some() { None } else { self.instead(&cars, &aboard) };
        Ok(Boarded { aboard, behind, proof, instead })
    }

    fn checked(&self) -> Result<BTreeMap<&ServiceId, &Car>, BoardingError> {
        if let Some(fault) = faults(self.cars, self.shared).into_iter().next() {
            return Err(fault);
        }
        if self.verified.len() > MAX_VERIFIED {
            return Err(BoardingError::TooManyVerified(self.verified.len()));
        }
        let cars: BTreeMap<_, _> = self.cars.iter().map(|car| (&car.service, car)).collect();
        for car in self.cars {
            let there = |id: &&ServiceId| cars.contains_key(id) || self.deployed.contains_key(*id);
            if let Some(needs) = car.needs.iter().find(|id| !there(id)) {
                let (car, needs) = (car.service.clone(), needs.clone());
                return Err(BoardingError::NeedsNothing { car, needs });
            }
        }
        Ok(cars)
    }

    /// Cars of groups of which a member stays in another version, since it is no car: with that member.
    fn torn<'s>(
        &'s self,
        cars: &BTreeMap<&ServiceId, &'s Car>,
    ) -> impl Iterator<Item = (&'s Car, &'s ServiceId)> {
        let mut all = Vec::new();
        for group in self.shared {
            let riding: Vec<&Car> = group.iter().filter_map(|id| cars.get(id).copied()).collect();
            let version = riding.first().map(|car| &car.version);
            let stays = |id: &&ServiceId| {
                !cars.contains_key(id)
                    && self.deployed.get(*id).is_some_and(|there| Some(there) != version)
            };
            if let Some(other) = group.iter().find(stays) {
                all.extend(riding.into_iter().map(|car| (car, other)));
            }
        }
        all.into_iter()
    }

    /// Of each service who needs it, and in which groups it is.
    #[expect(clippy::type_complexity, reason = "two maps by service")]
    fn dependents(
        &self,
    ) -> (BTreeMap<&ServiceId, Vec<&ServiceId>>, BTreeMap<&ServiceId, Vec<usize>>) {
        let mut needed_by: BTreeMap<&ServiceId, Vec<&ServiceId>> = BTreeMap::new();
        for car in self.cars {
            for needs in &car.needs {
                needed_by.entry(needs).or_default().push(&car.service);
            }
        }
        let mut groups: BTreeMap<&ServiceId, Vec<usize>> = BTreeMap::new();
        for (nth, group) in self.shared.iter().enumerate() {
            for one in group {
                groups.entry(one).or_default().push(nth);
            }
        }
        (needed_by, groups)
    }

    /// A set that was verified together, in which all of `aboard` are, and all that these need, and in which nothing is in another
    /// version than it would be.
    fn proof(&self, cars: &BTreeMap<&ServiceId, &Car>, aboard: &Versions) -> Option<Digest> {
        self.verified.iter().find(|set| self.proves(set, cars, aboard)).map(|set| set.evidence)
    }

    fn proves(
        &self,
        set: &VerifiedSet,
        cars: &BTreeMap<&ServiceId, &Car>,
        aboard: &Versions,
    ) -> bool {
        let live = |id: &ServiceId| aboard.get(id).or_else(|| self.deployed.get(id));
        let needed = aboard.keys().filter_map(|id| cars.get(id)).flat_map(|car| &car.needs);
        !aboard.is_empty()
            && aboard.keys().chain(needed).all(|id| set.versions.contains_key(id))
            && set.versions.iter().all(|(id, version)| live(id) == Some(version))
    }

    /// The most of `aboard` that some verified set proves.
    fn instead(
        &self,
        cars: &BTreeMap<&ServiceId, &Car>,
        aboard: &Versions,
    ) -> Option<(Versions, Digest)> {
        let mut best: Option<(Versions, Digest)> = None;
        for set in self.verified {
            let within =
                || aboard.iter().filter(|(id, version)| set.versions.get(id) == Some(version));
            if within().count() <= best.as_ref().map_or(0, |(known, _)| known.len()) {
                continue;
            }
            let some: Versions =
                within().map(|(id, version)| (id.clone(), version.clone())).collect();
            if self.whole(cars, aboard, &some) && self.proves(set, cars, &some) {
                best = Some((some, set.evidence));
            }
        }
        best
    }

    /// Whether nothing of `aboard` that would stay behind is needed by `some` of it, or shares its version.
    fn whole(&self, cars: &BTreeMap<&ServiceId, &Car>, aboard: &Versions, some: &Versions) -> bool {
        let stays = |id: &ServiceId| aboard.contains_key(id) && !some.contains_key(id);
        let mut needed = some.keys().filter_map(|id| cars.get(id)).flat_map(|car| &car.needs);
        let torn = |group: &BTreeSet<ServiceId>| {
            group.iter().any(|id| some.contains_key(id)) && group.iter().any(stays)
        };
        !needed.any(stays) && !self.shared.iter().any(torn)
    }
}

/// What makes no sense of cars by themselves, whatever is deployed.
pub(super) fn faults(cars: &[Car], shared: &[BTreeSet<ServiceId>]) -> Vec<BoardingError> {
    if cars.is_empty() {
        return vec![BoardingError::Empty];
    }
    if cars.len() > MAX_CARS {
        return vec![BoardingError::TooMany(cars.len())];
    }
    let (mut known, mut faults) = (BTreeMap::new(), Vec::new());
    for car in cars {
        if known.insert(&car.service, car).is_some() {
            faults.push(BoardingError::Twice(car.service.clone()));
        }
    }
    for group in shared {
        let mut members = group.iter().filter_map(|id| known.get(id));
        let Some(one) = members.next() else { continue };
        if let Some(other) = members.find(|other| other.version != one.version) {
            faults.push(BoardingError::TwoVersions {
                one: one.service.clone(),
                one_version: one.version.clone(),
                other: other.service.clone(),
                other_version: other.version.clone(),
            });
        }
    }
    faults
}
