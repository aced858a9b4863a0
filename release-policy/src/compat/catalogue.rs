//! Versions of services, and what each needs of others.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{RegionId, ServiceId};
use semver::{Version, VersionReq};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fits::{Set, fitting};

/// Versions of services: what is deployed in a region, or shall be.
pub type Versions = BTreeMap<ServiceId, Version>;
/// What is deployed, by region.
pub type Fleet = BTreeMap<RegionId, Versions>;

/// The most versions of all services together, and the most that they need together.
pub const MAX_OFFERS: usize = 1_000_000;

/// A version of a service that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The service.
    pub service: ServiceId,
    /// The version.
    pub version: Version,
    /// Which versions of other services have to be deployed beside it, each service once: a catalogue refuses what says two things of one.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "to_map",
        deserialize_with = "of_map"
    )]
    pub needs: Vec<(ServiceId, VersionReq)>,
}

impl Offer {
    /// A version that needs nothing.
    pub const fn new(service: ServiceId, version: Version) -> Self {
        Self { service, version, needs: Vec::new() }
    }

    /// It needs some version of `service` that fits.
    #[must_use]
    pub fn needing(mut self, service: ServiceId, requirement: VersionReq) -> Self {
        self.needs.push((service, requirement));
        self
    }
}

fn to_map<S: Serializer>(needs: &[(ServiceId, VersionReq)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(needs.iter().map(|(on, requirement)| (on, requirement)))
}

/// All entries, those of which one name stands there twice as well: the catalogue says that.
fn of_map<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(ServiceId, VersionReq)>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(ServiceId, VersionReq)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("services with the versions of them that are needed")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    from.deserialize_map(Entries)
}

/// All versions that can be deployed, and those that are: keep a version as long as it runs anywhere, since nobody knows else what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Offer>", into = "Vec<Offer>")]
pub struct Catalogue {
    /// By name.
    services: Vec<Service>,
}

/// A service; both it and its versions are told by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) id: ServiceId,
    /// Releases, and then prereleases, each the oldest first.
    pub(super) versions: Vec<Offered>,
    /// How many of them are releases.
    pub(super) releases: usize,
    /// By their numbers, the services of which some version needs this one.
    pub(super) dependents: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) version: Version,
    /// By the number of the service that is needed.
    pub(super) needs: Vec<Need>,
}

impl AsRef<Version> for Offered {
    fn as_ref(&self) -> &Version {
        &self.version
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) on: usize,
    pub(super) requirement: VersionReq,
    /// Which of its versions do.
    pub(super) fits: Set,
}

/// Why something is no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// A version is offered twice.
    #[error("`{service}` {version} stands there twice; keep one of them")]
    Twice {
        /// The service.
        service: ServiceId,
        /// The version.
        version: Version,
    },
    /// A version needs its own service.
    #[error("`{service}` {version} needs `{service}` itself; leave that out")]
    Itself {
        /// The service.
        service: ServiceId,
        /// The version.
        version: Version,
    },
    /// A version says twice which versions of another service it needs.
    #[error(
        "`{service}` {version} says twice what it needs of `{needs}`; say it once: what has to hold together stands in one requirement, with commas"
    )]
    NeedsTwice {
        /// The service.
        service: ServiceId,
        /// The version.
        version: Version,
        /// What it needs.
        needs: ServiceId,
    },
    /// A version needs a service of which there is none.
    #[error(
        "`{service}` {version} needs `{needs}`, of which no version is there; add one, or mend the name"
    )]
    Nothing {
        /// The service.
        service: ServiceId,
        /// The version.
        version: Version,
        /// What it needs.
        needs: ServiceId,
    },
    /// It is too much.
    #[error(
        "there are more than {MAX_OFFERS} versions, or they need more than that; leave out what is deployed nowhere any more"
    )]
    TooMany,
}

impl TryFrom<Vec<Offer>> for Catalogue {
    type Error = CatalogueError;
    fn try_from(offers: Vec<Offer>) -> Result<Self, CatalogueError> {
        Self::new(offers)
    }
}

impl From<Catalogue> for Vec<Offer> {
    fn from(catalogue: Catalogue) -> Self {
        let all = catalogue.services.iter().flat_map(|service| {
            service.versions.iter().map(|Offered { version, needs }| {
                let needs = needs.iter().filter_map(|need| {
                    Some((catalogue.services.get(need.on)?.id.clone(), need.requirement.clone()))
                });
                let (id, version) = (service.id.clone(), version.clone());
                Offer { service: id, version, needs: needs.collect() }
            })
        });
        all.collect()
    }
}

impl Catalogue {
    /// A catalogue of these.
    ///
    /// # Errors
    /// [`CatalogueError`] says what makes no sense.
    pub fn new(offers: impl IntoIterator<Item = Offer>) -> Result<Self, CatalogueError> {
        let mut all: Vec<Offer> = Vec::new();
        let mut needed = 0_usize;
        for offer in offers {
            needed = needed.saturating_add(offer.needs.len());
            if all.len() >= MAX_OFFERS || needed > MAX_OFFERS {
                return Err(CatalogueError::TooMany);
            }
            all.push(offer);
        }
        let key = |offer: &Offer| !offer.version.pre.is_empty();
        all.sort_by(|a, b| (&a.service, key(a), &a.version).cmp(&(&b.service, key(b), &b.version)));
        let mut services: Vec<Service> = Vec::new();
        let mut needs = Vec::with_capacity(all.len());
        for Offer { service, version, needs: some } in all {
            if services.last().is_none_or(|last| last.id != service) {
                let (versions, dependents) = (Vec::new(), Vec::new());
                services.push(Service { id: service, versions, releases: 0, dependents });
            }
            let Some(last) = services.last_mut() else { continue };
            if last.versions.last().is_some_and(|before| before.version == version) {
                return Err(CatalogueError::Twice { service: last.id.clone(), version });
            }
            last.releases += usize::from(version.pre.is_empty());
            last.versions.push(Offered { version, needs: Vec::new() });
            needs.push(some);
        }
        let mut catalogue = Self { services };
        let known = catalogue.with_needs(needs)?;
        for (offered, needs) in
            catalogue.services.iter_mut().flat_map(|service| &mut service.versions).zip(known)
        {
            offered.needs = needs;
        }
        catalogue.turn_round();
        Ok(catalogue)
    }

    /// Of each service, finds those that need it.
    fn turn_round(&mut self) {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.services.len()];
        for (number, service) in self.services.iter().enumerate() {
            for need in service.versions.iter().flat_map(|offered| &offered.needs) {
                if let Some(known) = dependents.get_mut(need.on)
                    && known.last() != Some(&number)
                {
                    known.push(number);
                }
            }
        }
        for (service, dependents) in self.services.iter_mut().zip(dependents) {
            service.dependents = dependents;
        }
    }

    /// What each version needs, in the order of all versions, with numbers for names.
    fn with_needs(
        &self,
        needs: Vec<Vec<(ServiceId, VersionReq)>>,
    ) -> Result<Vec<Vec<Need>>, CatalogueError> {
        let offers = self.services.iter().flat_map(|service| {
            service.versions.iter().map(move |offered| (&service.id, &offered.version))
        });
        let each = offers.zip(needs).map(|((service, version), mut needs)| {
            let (service, version) = (|| service.clone(), || version.clone());
            needs.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some([(needs, _), _]) = needs.array_windows().find(|[a, b]| a.0 == b.0) {
                let needs = needs.clone();
                return Err(CatalogueError::NeedsTwice {
                    service: service(),
                    version: version(),
                    needs,
                });
            }
            let numbered = needs.into_iter().map(|(id, requirement)| {
                let (service, version) = (service(), version());
                if id == service {
                    return Err(CatalogueError::Itself { service, version });
                }
                let Some((on, other)) = self.find(&id) else {
                    return Err(CatalogueError::Nothing { service, version, needs: id });
                };
                let fits = fitting(&other.versions, other.releases, &requirement);
                Ok(Need { on, requirement, fits })
            });
            numbered.collect()
        });
        each.collect()
    }

    /// The versions of a service, the oldest first; none of one that is not known.
    pub fn versions(&self, service: &ServiceId) -> impl DoubleEndedIterator<Item = &Version> {
        let known = self.find(service).map(|(_, known)| known.versions.as_slice());
        let mut versions: Vec<_> =
            known.unwrap_or_default().iter().map(|offered| &offered.version).collect();
        versions.sort();
        versions.into_iter()
    }

    /// What a version needs, by name; none, where the version is not known.
    pub fn needs(
        &self,
        service: &ServiceId,
        version: &Version,
    ) -> Option<impl Iterator<Item = (&ServiceId, &VersionReq)>> {
        let (_, service) = self.find(service)?;
        let offered = service.versions.get(service.number(version)?)?;
        Some(
            offered
                .needs
                .iter()
                .filter_map(|need| Some((&self.services.get(need.on)?.id, &need.requirement))),
        )
    }

    /// Services with their numbers, for names in their order: each is looked for behind the one before, and mostly is the next one.
    pub(super) fn each<'a, 'n>(
        &'a self,
        names: impl Iterator<Item = &'n ServiceId>,
    ) -> impl Iterator<Item = Option<(usize, &'a Service)>> {
        let mut at = 0;
        names.map(move |name| {
            let rest = self.services.get(at..).unwrap_or_default();
            if rest.first().is_some_and(|next| next.id < *name) {
                at += rest.partition_point(|one| one.id < *name);
            }
            let one = self.services.get(at).filter(|one| one.id == *name)?;
            at += 1;
            Some((at - 1, one))
        })
    }

    /// These versions, with the numbers of the service and of the version where both are known.
    pub(super) fn numbered<'v>(
        &self,
        versions: &'v Versions,
    ) -> impl Iterator<Item = (&'v ServiceId, &'v Version, Option<(usize, usize)>)> {
        versions.iter().zip(self.each(versions.keys())).map(|((id, version), known)| {
            let numbers = known.and_then(|(number, one)| Some((number, one.number(version)?)));
            (id, version, numbers)
        })
    }

    /// A service, with its number.
    pub(super) fn find(&self, service: &ServiceId) -> Option<(usize, &Service)> {
        let number = self.services.binary_search_by(|one| one.id.cmp(service)).ok()?;
        Some((number, self.services.get(number)?))
    }

    /// Whether it is known what a version needs.
    pub(super) fn knows(&self, service: &ServiceId, version: &Version) -> bool {
        self.find(service).is_some_and(|(_, known)| known.number(version).is_some())
    }

    /// A service by its number.
    pub(super) fn service(&self, number: usize) -> Option<&Service> {
        self.services.get(number)
    }

    /// What a version needs, by number; nothing of one that is not there.
    pub(super) fn needs_of(&self, service: usize, version: usize) -> &[Need] {
        let offered = self.services.get(service).and_then(|one| one.versions.get(version));
        offered.map_or(&[], |offered| &offered.needs)
    }
}

impl Service {
    /// The number of a version.
    pub(super) fn number(&self, version: &Version) -> Option<usize> {
        let key = |version: &Version| !version.pre.is_empty();
        let same = |one: &Offered| (key(&one.version), &one.version).cmp(&(key(version), version));
        self.versions.binary_search_by(same).ok()
    }

    /// All versions.
    pub(super) fn all(&self) -> Set {
        Set::stretch(0, self.versions.len())
    }

    /// The versions that fit.
    pub(super) fn fitting(&self, requirement: &VersionReq) -> Set {
        fitting(&self.versions, self.releases, requirement)
    }
}
