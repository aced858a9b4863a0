//! Versions of services, what each needs of others, and which needs are not met.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{RegionId, ServiceId};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

/// Versions of services: what is deployed in a region, or shall be.
pub type Versions = BTreeMap<ServiceId, Version>;
/// What is deployed, by region.
pub type Fleet = BTreeMap<RegionId, Versions>;

/// The most versions of all services together.
pub const MAX_OFFERS: usize = 1_000_000;

/// A version of a service that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The service.
    pub service: ServiceId,
    /// The version.
    pub version: Version,
    /// Which versions of other services have to be deployed beside it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub needs: BTreeMap<ServiceId, VersionReq>,
}

impl Offer {
    /// A version that needs nothing.
    pub const fn new(service: ServiceId, version: Version) -> Self {
        Self { service, version, needs: BTreeMap::new() }
    }

    /// It needs some version of `service` that fits.
    #[must_use]
    pub fn needing(mut self, service: ServiceId, requirement: VersionReq) -> Self {
        self.needs.insert(service, requirement);
        self
    }
}

/// All versions that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Offer>", into = "Vec<Offer>")]
pub struct Catalogue {
    offers: BTreeMap<ServiceId, BTreeMap<Version, Needs>>,
}

/// What a version needs.
pub(super) type Needs = BTreeMap<ServiceId, VersionReq>;

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
    #[error("there are more than {MAX_OFFERS} versions; leave out what nobody deploys any more")]
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
        let each = catalogue.offers.into_iter().flat_map(|(service, versions)| {
            let of = move |(version, needs)| Offer { service: service.clone(), version, needs };
            versions.into_iter().map(of)
        });
        each.collect()
    }
}

/// A need that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// Whose it is.
    pub service: ServiceId,
    /// In which version.
    pub version: Version,
    /// What it needs.
    pub needs: ServiceId,
    /// In which versions.
    pub requirement: VersionReq,
    /// What is there instead, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Version>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, version, needs, requirement, found } = self;
        write!(f, "`{service}` {version} needs `{needs}` {requirement}, and ")?;
        match found {
            Some(found) => write!(f, "there is {found}"),
            None => f.write_str("there is none"),
        }
    }
}

/// Why a change may not be made: in a region it would leave needs that are not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// The service that was to change.
    pub service: ServiceId,
    /// The version that it was to have.
    pub version: Version,
    /// Where that cannot be.
    pub region: RegionId,
    /// Which needs would not be met.
    pub broken: Vec<Broken>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} cannot be deployed to `{}`: ", self.service, self.version, self.region)?;
        for (nth, broken) in self.broken.iter().enumerate() {
            f.write_str(if nth == 0 { "" } else { "; " })?;
            let Broken { service, version, needs, requirement, found } = broken;
            match found {
                _ if *needs == self.service => {
                    write!(
                        f,
                        "`{service}` {version}, which runs there, needs `{needs}` {requirement}"
                    )?;
                }
                Some(found) => {
                    write!(f, "it needs `{needs}` {requirement}, and {found} runs there")?;
                }
                None => write!(f, "it needs `{needs}` {requirement}, and none runs there")?,
            }
        }
        Ok(())
    }
}

impl Catalogue {
    /// A catalogue of these.
    ///
    /// # Errors
    /// [`CatalogueError`] says what makes no sense.
    pub fn new(offers: impl IntoIterator<Item = Offer>) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        for (count, Offer { service, version, needs }) in offers.into_iter().enumerate() {
            if count >= MAX_OFFERS {
                return Err(CatalogueError::TooMany);
            }
            if needs.contains_key(&service) {
                return Err(CatalogueError::Itself { service, version });
            }
            let versions = catalogue.offers.entry(service.clone()).or_default();
            if versions.contains_key(&version) {
                return Err(CatalogueError::Twice { service, version });
            }
            versions.insert(version, needs);
        }
        for (service, version, needs) in catalogue.all() {
            if let Some(nothing) = needs.keys().find(|id| !catalogue.offers.contains_key(*id)) {
                let (service, version) = (service.clone(), version.clone());
                return Err(CatalogueError::Nothing { service, version, needs: nothing.clone() });
            }
        }
        Ok(catalogue)
    }

    fn all(&self) -> impl Iterator<Item = (&ServiceId, &Version, &Needs)> {
        self.offers.iter().flat_map(|(service, versions)| {
            versions.iter().map(move |(version, needs)| (service, version, needs))
        })
    }

    /// The versions of a service, the oldest first; none of one that is not known.
    pub fn versions(&self, service: &ServiceId) -> impl DoubleEndedIterator<Item = &Version> {
        self.offers.get(service).into_iter().flat_map(BTreeMap::keys)
    }

    /// What a version needs; nothing, where it is not known.
    pub fn needs(
        &self,
        service: &ServiceId,
        version: &Version,
    ) -> Option<&BTreeMap<ServiceId, VersionReq>> {
        self.offers.get(service)?.get(version)
    }

    /// Whether any version of it is known.
    pub(super) fn knows(&self, service: &ServiceId) -> bool {
        self.offers.contains_key(service)
    }

    /// The needs that are not met where these versions are deployed. What the catalogue does not know needs nothing.
    pub fn broken(&self, live: &Versions) -> Vec<Broken> {
        let each = live.iter().flat_map(|(service, version)| {
            let needs = self.needs(service, version).into_iter().flatten();
            needs.filter_map(move |(on, requirement)| {
                broken((service, version), (on, requirement), live.get(on))
            })
        });
        each.collect()
    }

    /// Whether a version may be deployed everywhere: in each region, all needs of it and of what runs there are met then. What was not
    /// met before and has nothing to do with it, is not its fault.
    ///
    /// # Errors
    /// [`Denied`] by the first region in which that is not so.
    pub fn admit(
        &self,
        fleet: &Fleet,
        service: &ServiceId,
        version: &Version,
    ) -> Result<(), Box<Denied>> {
        for (region, live) in fleet {
            let mut then = live.clone();
            then.insert(service.clone(), version.clone());
            let mut broken = self.broken(&then);
            broken.retain(|one| one.service == *service || one.needs == *service);
            if !broken.is_empty() {
                let (service, version) = (service.clone(), version.clone());
                return Err(Box::new(Denied { service, version, region: region.clone(), broken }));
            }
        }
        Ok(())
    }
}

/// The need, unless what was found meets it.
pub(super) fn broken(
    (service, version): (&ServiceId, &Version),
    (needs, requirement): (&ServiceId, &VersionReq),
    found: Option<&Version>,
) -> Option<Broken> {
    if found.is_some_and(|found| requirement.matches(found)) {
        return None;
    }
    Some(Broken {
        service: service.clone(),
        version: version.clone(),
        needs: needs.clone(),
        requirement: requirement.clone(),
        found: found.cloned(),
    })
}
