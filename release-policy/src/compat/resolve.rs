//! Versions for a wish, by the algorithm of `pubgrub`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use pubgrub::{
    Dependencies, DependencyProvider, PackageResolutionStatistics, PubGrubError, Ranges,
};
use release_core::model::ServiceId;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::narrow::narrow;
use super::tell;
use super::{Catalogue, Versions};

/// What `pubgrub` chooses versions of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Package {
    /// All that is asked for together.
    Wish,
    /// A service.
    Service(ServiceId),
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wish => f.write_str("what is asked for"),
            Self::Service(id) => write!(f, "`{id}`"),
        }
    }
}

/// Why there are no versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A service of which no version is known.
    #[error("no version of `{0}` is known; add one to the catalogue, or mend the name")]
    Unknown(ServiceId),
    /// No version is wished for.
    #[error("no version of `{service}` fits {wish}; there are {}", list(.versions))]
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
}

fn list(versions: &[Version]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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

/// A question: what is there, and what is wished for.
pub(super) struct Question<'a> {
    catalogue: &'a Catalogue,
    live: &'a Versions,
    wish: &'a BTreeMap<ServiceId, VersionReq>,
    /// What can be at all: what is tried first.
    possible: BTreeMap<&'a ServiceId, Vec<&'a Version>>,
}

/// Which versions.
pub(super) type Set = Ranges<Version>;

impl Catalogue {
    /// Versions with which the wish is fulfilled and all needs are met. All that is `live` stays, in the version that it has as far
    /// as that can be; what has to change gets the newest version that fits; what is needed and is not there is added.
    ///
    /// # Errors
    /// [`ResolveError`] says what is not known, or in sentences why nothing fits.
    pub fn resolve(
        &self,
        live: &Versions,
        wish: &BTreeMap<ServiceId, VersionReq>,
    ) -> Result<Versions, ResolveError> {
        if let Some(unknown) = live.keys().chain(wish.keys()).find(|id| !self.knows(id)) {
            return Err(ResolveError::Unknown(unknown.clone()));
        }
        let mut question = Question { catalogue: self, live, wish, possible: BTreeMap::new() };
        for (service, requirement) in wish {
            if question.best(service, &question.fitting(service, requirement)).is_none() {
                return Err(ResolveError::NoVersion {
                    service: service.clone(),
                    wish: requirement.clone(),
                    versions: self.versions(service).cloned().collect(),
                });
            }
        }
        if let Some(simple) = question.simple() {
            return Ok(simple);
        }
        question.possible = narrow(self, live, wish);
        if let Some(likely) = question.likely() {
            return Ok(likely);
        }
        match pubgrub::resolve(&question, Package::Wish, Version::new(0, 0, 0)) {
            Ok(chosen) => {
                let services = chosen.into_iter().filter_map(|(package, version)| match package {
                    Package::Wish => None,
                    Package::Service(id) => Some((id, version)),
                });
                Ok(services.collect())
            }
            Err(PubGrubError::NoSolution(mut derivation)) => {
                derivation.collapse_no_versions();
                Err(Unsatisfiable { because: tell::sentences(&derivation) }.into())
            }
            // Nothing of ours fails on the way.
            Err(other) => {
                let because = vec![other.to_string()];
                Err(Unsatisfiable { because }.into())
            }
        }
    }
}

impl Question<'_> {
    /// The versions of a service that fit a requirement, as stretches of those that there are: just what `semver` says of each.
    fn fitting(&self, service: &ServiceId, requirement: &VersionReq) -> Set {
        let mut set = Set::empty();
        let mut run: Option<(&Version, &Version)> = None;
        for version in self.catalogue.versions(service) {
            if requirement.matches(version) {
                run = Some((run.map_or(version, |(first, _)| first), version));
            } else if let Some((first, last)) = run.take() {
                set = set.union(&between(first, last));
            }
        }
        match run {
            Some((first, last)) => set.union(&between(first, last)),
            None => set,
        }
    }

    /// Of these versions, among those that can be at all, the one that is there, or else the newest.
    fn best(&self, service: &ServiceId, set: &Set) -> Option<&Version> {
        let possible = self.possible.get(service).map_or(&[][..], Vec::as_slice);
        let live = self.live.get(service).filter(|live| set.contains(live));
        // A version that is there and that nobody knows cannot be asked what it needs.
        let live = live.filter(|live| self.catalogue.needs(service, live).is_some());
        let fits = |version: &&Version| set.contains(version);
        let known = || self.catalogue.versions(service).rev().find(fits);
        live.filter(|live| possible.is_empty() || possible.contains(live))
            .or_else(|| possible.iter().rev().copied().find(fits))
            .or(live)
            .or_else(known)
    }

    /// Of everything the version that is there, if it can be, or else the newest that can.
    fn likely(&self) -> Option<Versions> {
        let each = self.possible.iter().map(|(id, versions)| {
            let live = self.live.get(*id).filter(|live| versions.contains(live));
            let best = live.or_else(|| versions.last().copied())?;
            Some(((*id).clone(), best.clone()))
        });
        let target = each.collect::<Option<Versions>>()?;
        self.catalogue.broken(&target).is_empty().then_some(target)
    }

    /// The wish alone, where that breaks nothing: most are of this kind, and nothing has to be searched.
    fn simple(&self) -> Option<Versions> {
        let mut target = self.live.clone();
        for (service, requirement) in self.wish {
            let best = self.best(service, &self.fitting(service, requirement))?;
            target.insert(service.clone(), best.clone());
        }
        let known = target.iter().all(|(id, version)| self.catalogue.needs(id, version).is_some());
        (known && self.catalogue.broken(&target).is_empty()).then_some(target)
    }
}

fn between(first: &Version, last: &Version) -> Set {
    if first == last {
        return Set::singleton(first.clone());
    }
    Set::from_range_bounds(first.clone()..=last.clone())
}

impl DependencyProvider for Question<'_> {
    type P = Package;
    type V = Version;
    type VS = Set;
    /// First what was in conflict most often, then what has the fewest versions to choose from.
    type Priority = (u32, Reverse<usize>);
    type M = String;
    type Err = Infallible;

    fn prioritize(
        &self,
        package: &Package,
        range: &Set,
        conflicts: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let count = match package {
            Package::Wish => 1,
            Package::Service(id) => {
                self.catalogue.versions(id).filter(|version| range.contains(version)).count()
            }
        };
        // What cannot be is best known at once.
        let conflicts = if count == 0 { u32::MAX } else { conflicts.conflict_count() };
        (conflicts, Reverse(count))
    }

    fn choose_version(
        &self,
        package: &Package,
        range: &Set,
    ) -> Result<Option<Version>, Infallible> {
        Ok(match package {
            Package::Wish => Some(Version::new(0, 0, 0)),
            Package::Service(id) => self.best(id, range).cloned(),
        })
    }

    fn get_dependencies(
        &self,
        package: &Package,
        version: &Version,
    ) -> Result<Dependencies<Package, Set, String>, Infallible> {
        let service = |id: &ServiceId| Package::Service(id.clone());
        Ok(Dependencies::Available(match package {
            Package::Wish => {
                let stays = self.live.keys().filter(|id| !self.wish.contains_key(*id));
                let stays = stays.map(|id| (service(id), Set::full()));
                let wished = self
                    .wish
                    .iter()
                    .map(|(id, requirement)| (service(id), self.fitting(id, requirement)));
                stays.chain(wished).collect()
            }
            Package::Service(id) => {
                let needs = self.catalogue.needs(id, version).into_iter().flatten();
                needs
                    .map(|(on, requirement)| (service(on), self.fitting(on, requirement)))
                    .collect()
            }
        }))
    }
}
