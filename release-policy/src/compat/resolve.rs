//! Versions for a wish, by the algorithm of `pubgrub`.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use pubgrub::{
    Dependencies, DependencyProvider, PackageResolutionStatistics, PubGrubError, VersionSet as _,
};
use release_core::model::ServiceId;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::fits::Set;
use super::narrow::narrow;
use super::{Catalogue, Fault, Unknown, Versions, faults, tell};

/// How often a service is looked at, at the most, to find versions; each look counts once more for each conflict that it was in, for so much
/// longer it takes.
pub const MOST_LOOKS: usize = 10_000_000;

/// What `pubgrub` chooses versions of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Package {
    /// All that is asked for together.
    Wish,
    /// A service, by number.
    Service(usize),
    /// A circle of changes to avoid, by number: its versions are the changes, of which one has to be another.
    Circle(usize),
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wish => f.write_str("what is asked for"),
            Self::Service(number) => write!(f, "service {number}"),
            Self::Circle(number) => write!(f, "circle {number}"),
        }
    }
}

/// Changes that cannot be made together, by service and versions: all of them are there in no target.
pub(super) type Circle = Vec<(usize, Set)>;

/// Why there are no versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A service of which no version is known.
    #[error("no version of `{0}` is known; add one to the catalogue, or mend the name")]
    Unknown(ServiceId),
    /// What is deployed is not known, and nothing else is wished for in its place.
    #[error("{}; or wish for another version of it", unknown(.0))]
    UnknownLive(Vec<Unknown>),
    /// No version is wished for.
    #[error("no version of `{service}` fits {wish}; there are {}", tell::list(.versions))]
    NoVersion {
        /// The service.
        service: ServiceId,
        /// What is wished for.
        wish: VersionReq,
        /// What there is.
        versions: Vec<Version>,
    },
    /// They contradict each other.
    #[error(transparent)]
    Unsatisfiable(#[from] Unsatisfiable),
    /// It was given up.
    #[error(
        "no versions were found in {choices} choices, and whether there are any is not known; wish for fewer services at once, or for just one version of each"
    )]
    TooHard {
        /// How many choices were made.
        choices: usize,
    },
}

fn unknown(unknown: &[Unknown]) -> String {
    faults::told(&unknown.iter().cloned().map(Fault::Unknown).collect::<Vec<_>>())
}

/// Why no versions fit together: sentences, of which each follows from those before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(transparent)]
pub struct Unsatisfiable {
    /// The sentences.
    pub because: Vec<String>,
}

impl fmt::Display for Unsatisfiable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, sentence) in self.because.iter().enumerate() {
            write!(f, "{}{sentence}.", if nth == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// A service that is there, or is asked for.
#[derive(Debug)]
pub(super) struct Here<'a> {
    /// The version that is there, if it is known.
    live: Option<usize>,
    /// Which are wished for, if any are.
    pub(super) wish: Option<&'a VersionReq>,
    /// What the wish leaves.
    may: Set,
    /// What can be of that, as far as that is known.
    possible: Set,
}

/// A question: what is there, and what is wished for.
pub(super) struct Question<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) here: BTreeMap<usize, Here<'a>>,
    circles: &'a [Circle],
    choices: Cell<usize>,
    looks: Cell<usize>,
}

impl Catalogue {
    /// Versions with which the wish is fulfilled and all needs are met. All services that are `live` stay. As many as can be stay in the
    /// version that they have: in no versions that would do, all of these stay so and another one besides; and of two services of which
    /// just one can, the first by name does. What has to change gets, as far as the others let it, the newest release that fits; a prerelease
    /// where there is no release, or where the wish names one or one runs now. What is needed and is not there is added.
    ///
    /// The versions may be such as no order leads to: [`plan`](Self::plan) finds some with their order.
    ///
    /// # Errors
    /// [`ResolveError`] says what is not known, in sentences why nothing fits, or that it was given up after [`MOST_LOOKS`].
    pub fn resolve(
        &self,
        live: &Versions,
        wish: &BTreeMap<ServiceId, VersionReq>,
    ) -> Result<Versions, ResolveError> {
        Question::new(self, live, wish)?.answer(&[])
    }
}

impl<'a> Question<'a> {
    pub(super) fn new(
        catalogue: &'a Catalogue,
        live: &Versions,
        wish: &'a BTreeMap<ServiceId, VersionReq>,
    ) -> Result<Self, ResolveError> {
        let mut here = BTreeMap::new();
        for (id, requirement) in wish {
            let known = catalogue.find(id);
            let (number, service) = known.ok_or_else(|| ResolveError::Unknown(id.clone()))?;
            let may = service.fitting(requirement);
            if may == Set::empty() {
                return Err(ResolveError::NoVersion {
                    service: id.clone(),
                    wish: requirement.clone(),
                    versions: catalogue.versions(id).cloned().collect(),
                });
            }
            let live = live.get(id).and_then(|version| service.number(version));
            let (wish, possible) = (Some(requirement), may.clone());
            here.insert(number, Here { live, wish, may, possible });
        }
        let mut unknown = Vec::new();
        for (id, version, known) in catalogue.numbered(live) {
            if wish.contains_key(id) {
                continue;
            }
            let known =
                known.and_then(|(number, at)| Some((number, at, catalogue.service(number)?)));
            let Some((number, at, service)) = known else {
                unknown.push(catalogue.unknown(id, version));
                continue;
            };
            let (live, may) = (Some(at), service.all());
            here.insert(number, Here { live, wish: None, possible: may.clone(), may });
        }
        if !unknown.is_empty() {
            return Err(ResolveError::UnknownLive(unknown));
        }
        Ok(Self { catalogue, here, circles: &[], choices: Cell::new(0), looks: Cell::new(0) })
    }

    /// The best versions in which not all of any circle are.
    pub(super) fn answer(mut self, circles: &'a [Circle]) -> Result<Versions, ResolveError> {
        self.circles = circles;
        if let Some(simple) = self.guess() {
            return Ok(simple);
        }
        let may = self.here.iter().map(|(service, here)| (*service, &here.may));
        let possible = narrow(self.catalogue, may);
        for (here, possible) in self.here.values_mut().zip(possible) {
            here.possible = possible;
        }
        if let Some(likely) = self.guess() {
            return Ok(likely);
        }
        match pubgrub::resolve(&self, Package::Wish, 0_usize) {
            Ok(chosen) => {
                let numbers = chosen.into_iter().filter_map(|(package, version)| match package {
                    Package::Service(service) => Some((service, version)),
                    Package::Wish | Package::Circle(_) => None,
                });
                Ok(self.named(numbers))
            }
            Err(PubGrubError::NoSolution(derivation)) => {
                Err(Unsatisfiable { because: tell::sentences(derivation, &self) }.into())
            }
            // Nothing else of ours fails on the way.
            Err(_) => Err(ResolveError::TooHard { choices: self.choices.get() }),
        }
    }

    fn named(&self, numbers: impl Iterator<Item = (usize, usize)>) -> Versions {
        let each = numbers.filter_map(|(service, version)| {
            let service = self.catalogue.service(service)?;
            Some((service.id.clone(), service.versions.get(version)?.version.clone()))
        });
        each.collect()
    }

    /// Of everything the version that is there, if that can be, or else the newest that can; if all needs are met by these. Then it is
    /// the best answer, for what cannot be is in none. Most are of this kind, and nothing has to be searched.
    fn guess(&self) -> Option<Versions> {
        let best = self.here.iter().map(|(service, here)| {
            let live = here.live.filter(|live| here.possible.contains(live));
            Some((*service, live.or_else(|| self.newest(*service, &here.possible))?))
        });
        let best = best.collect::<Option<Vec<(usize, usize)>>>()?;
        let chosen = |service: &usize| {
            let at = best.binary_search_by_key(service, |(service, _)| *service).ok()?;
            best.get(at).map(|(_, version)| version)
        };
        let met = best.iter().all(|(service, version)| {
            let mut needs = self.catalogue.needs_of(*service, *version).iter();
            needs.all(|need| chosen(&need.on).is_some_and(|found| need.fits.contains(found)))
        });
        let is_in = |(service, versions): &(usize, Set)| {
            chosen(service).is_some_and(|version| versions.contains(version))
        };
        let round = self.circles.iter().any(|circle| circle.iter().all(is_in));
        (met && !round).then(|| self.named(best.into_iter()))
    }

    /// The newest of these versions: a release, unless there is none, or a prerelease is asked for or runs now.
    fn newest(&self, service: usize, set: &Set) -> Option<usize> {
        let known = self.catalogue.service(service)?;
        let release = set.last_within(0, known.releases);
        let Some(prerelease) = set.last_within(known.releases, known.versions.len()) else {
            return release;
        };
        let here = self.here.get(&service);
        let named = here.and_then(|here| here.wish).is_some_and(|wish| {
            wish.comparators.iter().any(|comparator| !comparator.pre.is_empty())
        });
        let runs = here.and_then(|here| here.live).is_some_and(|live| live >= known.releases);
        let version = |number: usize| known.versions.get(number).map(|one| &one.version);
        release
            .filter(|release| !(named || runs) || version(*release) > version(prerelease))
            .or(Some(prerelease))
    }

    /// The version that is there, where it can be and is one of these.
    fn stays(&self, service: usize, set: &Set) -> Option<usize> {
        let here = self.here.get(&service)?;
        here.live.filter(|live| set.contains(live) && here.possible.contains(live))
    }
}

/// So many choices were made that it is given up.
#[derive(Debug, thiserror::Error)]
#[error("too many choices")]
pub(super) struct TooMany;

impl DependencyProvider for Question<'_> {
    type P = Package;
    type V = usize;
    type VS = Set;
    /// First what can stay as it is, by name: so it changes only if it has to. Then what was in conflict most often, then what has the
    /// fewest versions to choose from.
    type Priority = (Reverse<usize>, u32, Reverse<usize>);
    type M = Infallible;
    type Err = TooMany;

    fn prioritize(
        &self,
        package: &Package,
        range: &Set,
        conflicts: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let conflicts = conflicts.conflict_count();
        let look = usize::try_from(conflicts).unwrap_or(usize::MAX).saturating_add(1);
        self.looks.set(self.looks.get().saturating_add(look));
        let stays = match package {
            Package::Wish => Some(0),
            Package::Service(number) if self.stays(*number, range).is_some() => Some(*number),
            Package::Service(_) | Package::Circle(_) => None,
        };
        match stays {
            Some(number) => (Reverse(number), 0, Reverse(0)),
            None => (Reverse(usize::MAX), conflicts, Reverse(range.len())),
        }
    }

    fn choose_version(&self, package: &Package, range: &Set) -> Result<Option<usize>, TooMany> {
        Ok(match package {
            Package::Wish => Some(0),
            Package::Circle(_) => range.numbers().next(),
            Package::Service(service) => {
                let possible =
                    self.here.get(service).map(|here| range.intersection(&here.possible));
                let possible = possible.and_then(|possible| self.newest(*service, &possible));
                self.stays(*service, range).or(possible).or_else(|| self.newest(*service, range))
            }
        })
    }

    fn get_dependencies(
        &self,
        package: &Package,
        version: &usize,
    ) -> Result<Dependencies<Package, Set, Infallible>, TooMany> {
        Ok(Dependencies::Available(match package {
            Package::Wish => {
                let here = self.here.iter();
                here.map(|(service, here)| (Package::Service(*service), here.may.clone())).collect()
            }
            Package::Circle(number) => {
                let change = self.circles.get(*number).and_then(|circle| circle.get(*version));
                let others = change.and_then(|(service, versions)| {
                    let all = self.catalogue.service(*service)?.all();
                    Some((Package::Service(*service), all.intersection(&versions.complement())))
                });
                others.into_iter().collect()
            }
            Package::Service(service) => {
                let needs = self.catalogue.needs_of(*service, *version).iter();
                let needs = needs.map(|need| (Package::Service(need.on), need.fits.clone()));
                // Where the first of a circle is so that it waits for the next, that one is there: it is needed, or it runs and
                // needs more than the first. So if not all are to be so, the first that is not is there as well.
                let circles = self.circles.iter().enumerate().filter(|(_, circle)| {
                    circle
                        .first()
                        .is_some_and(|(first, set)| first == service && set.contains(version))
                });
                let others = circles
                    .map(|(nth, circle)| (Package::Circle(nth), Set::stretch(1, circle.len())));
                needs.chain(others).collect()
            }
        }))
    }

    fn should_cancel(&self) -> Result<(), TooMany> {
        self.choices.set(self.choices.get() + 1);
        if self.looks.get() > MOST_LOOKS { Err(TooMany) } else { Ok(()) }
    }
}
