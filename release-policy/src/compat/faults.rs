//! What stands against versions that are deployed together, and against a change of them.

use std::collections::BTreeMap;
use std::fmt;

use pubgrub::VersionSet as _;
use release_core::model::{RegionId, ServiceId};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::catalogue::{Need, Service};
use super::{Catalogue, Fleet, Versions};

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

/// A version that is in no catalogue: nobody knows what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    /// The service.
    pub service: ServiceId,
    /// The version.
    pub version: Version,
    /// A known one that differs in nothing but what stands after `+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<Version>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, version, like } = self;
        write!(f, "nobody knows what `{service}` {version} needs, for the catalogue lacks it")?;
        if let Some(like) = like {
            write!(f, " (it has {like}, which may be another build)")?;
        }
        f.write_str("; mend the version, or add it and keep it there as long as it runs anywhere")
    }
}

/// What stands against versions, or against a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// A need is not met.
    Broken(Broken),
    /// What a version needs is not known.
    Unknown(Unknown),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::Unknown(unknown) => unknown.fmt(f),
        }
    }
}

/// All of them, in a row.
pub(super) fn told(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A service that shall have another version, or go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The service.
    pub service: ServiceId,
    /// The version that it shall have; none where it shall go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Version>,
}

impl Change {
    /// The service shall have this version.
    pub const fn to(service: ServiceId, version: Version) -> Self {
        Self { service, to: Some(version) }
    }

    /// The service shall go.
    pub const fn removal(service: ServiceId) -> Self {
        Self { service, to: None }
    }

    /// What is deployed after it.
    fn applied(&self, live: &Versions) -> Versions {
        let mut then = live.clone();
        match &self.to {
            Some(version) => then.insert(self.service.clone(), version.clone()),
            None => then.remove(&self.service),
        };
        then
    }
}

/// Why a change may not be made: what stands against it, by region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// The change.
    pub change: Change,
    /// Where it cannot be made, and why not there.
    pub regions: BTreeMap<RegionId, Vec<Fault>>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { service, to } = &self.change;
        for (nth, (region, faults)) in self.regions.iter().enumerate() {
            f.write_str(if nth == 0 { "" } else { ". " })?;
            match to {
                Some(to) => write!(f, "`{service}` {to} cannot be deployed to `{region}`: ")?,
                None => write!(f, "`{service}` cannot be removed from `{region}`: ")?,
            }
            for (nth, fault) in faults.iter().enumerate() {
                f.write_str(if nth == 0 { "" } else { "; " })?;
                self.tell(fault, f)?;
            }
        }
        Ok(())
    }
}

impl Denied {
    fn tell(&self, fault: &Fault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { service, version, needs, requirement, found } = match fault {
            Fault::Broken(broken) => broken,
            Fault::Unknown(unknown) => return write!(f, "{unknown}"),
        };
        match found {
            _ if *needs == self.change.service => {
                write!(f, "`{service}` {version}, which runs there, needs `{needs}` {requirement}")
            }
            Some(found) => write!(f, "it needs `{needs}` {requirement}, and {found} runs there"),
            None => write!(f, "it needs `{needs}` {requirement}, and none runs there"),
        }
    }
}

impl Catalogue {
    /// What stands against these versions being deployed together: needs that are not met, and versions of which nobody knows what they need.
    pub fn faults(&self, live: &Versions) -> Vec<Fault> {
        let mut faults = Vec::new();
        let all: Vec<_> = self.numbered(live).collect();
        // By number, the versions that are known: names are compared but once.
        let known: Vec<(usize, usize)> = all.iter().filter_map(|(.., known)| *known).collect();
        let met = |need: &Need| {
            let found = known.binary_search_by_key(&need.on, |(service, _)| *service);
            let found = found.ok().and_then(|at| known.get(at));
            found.is_some_and(|(_, version)| need.fits.contains(version))
        };
        for (id, version, known) in all {
            let Some((service, number)) = known else {
                faults.push(Fault::Unknown(self.unknown(id, version)));
                continue;
            };
            let unmet = self.needs_of(service, number).iter().filter(|need| !met(need));
            let named = unmet.filter_map(|need| Some((need, &self.service(need.on)?.id)));
            // A version that nobody knows may be what is needed all the same.
            faults.extend(named.filter_map(|(need, on)| {
                broken((id, version), (on, &need.requirement), live.get(on)).map(Fault::Broken)
            }));
        }
        faults
    }

    pub(super) fn unknown(&self, id: &ServiceId, version: &Version) -> Unknown {
        let like = self.versions(id).find(|one| one.cmp_precedence(version).is_eq()).cloned();
        Unknown { service: id.clone(), version: version.clone(), like }
    }

    /// What stands against going from `live` to `target`: each need that is not met then, and each version of which nobody knows then what
    /// it needs, but for what was so before.
    ///
    /// A need was so before where the same version had it and it was not met. A version that nobody knows and that stays may need any service
    /// that is there: so it stands against every change of another one, but not against one that is added.
    pub(super) fn against(&self, live: &Versions, target: &Versions) -> Vec<Fault> {
        let changed = |id: &ServiceId| target.get(id) != live.get(id);
        let mut faults = self.faults(target);
        faults.retain(|fault| match fault {
            Fault::Broken(Broken { service, needs, requirement, .. }) => {
                let met = || live.get(needs).is_some_and(|found| requirement.matches(found));
                changed(service) || met()
            }
            Fault::Unknown(unknown) => changed(&unknown.service),
        });
        let mut old = live.keys().filter(|id| changed(id));
        let (one, other) = (old.next(), old.next());
        let touched = |id: &ServiceId| other.is_some() || one.is_some_and(|one| one != id);
        if one.is_some() {
            let unknown = self.unknown_of(live);
            faults.extend(unknown.filter(|u| touched(&u.service)).map(Fault::Unknown));
        }
        faults
    }

    /// As [`against`](Self::against) of one change alone, without looking at what that cannot break: costs time in proportion to what the
    /// new version needs, and to the services that need this one. `unknown` are the versions in `live` of which nobody knows what they need.
    pub(super) fn against_one<U: Iterator<Item = Unknown>>(
        &self,
        live: &Versions,
        change: &Change,
        unknown: impl FnOnce() -> U,
    ) -> Vec<Fault> {
        let Change { service, to } = change;
        let from = live.get(service);
        if from == to.as_ref() {
            return Vec::new();
        }
        let found = self.find(service);
        let dependents: &[usize] = found.map_or(&[], |(_, known)| &known.dependents);
        let others = || dependents.iter().filter_map(move |number| self.service(*number));
        // As the services stand in their order, so do their faults.
        let before = others().take_while(|other| other.id < *service);
        let behind = others().skip_while(|other| other.id < *service);
        let lost = |other: &Service| self.loses(live, other, (found?.0, from?), to.as_ref());
        let mut faults: Vec<_> = before.filter_map(lost).map(Fault::Broken).collect();
        if let Some(to) = to {
            faults.extend(self.lacking(live, (service, to)));
        }
        faults.extend(behind.filter_map(lost).map(Fault::Broken));
        if from.is_some() {
            let others = unknown().filter(|unknown| unknown.service != *service);
            faults.extend(others.map(Fault::Unknown));
        }
        faults
    }

    /// What a version needs and does not have among the others; or that nobody knows what it needs.
    fn lacking(&self, live: &Versions, (service, to): (&ServiceId, &Version)) -> Vec<Fault> {
        let number = self.find(service).and_then(|(at, known)| Some((at, known.number(to)?)));
        let Some((at, number)) = number else {
            return vec![Fault::Unknown(self.unknown(service, to))];
        };
        let named = self.needs_of(at, number).iter();
        let named = named.filter_map(|need| Some((need, &self.service(need.on)?.id)));
        let unmet = named
            .filter_map(|(need, on)| broken((service, to), (on, &need.requirement), live.get(on)));
        unmet.map(Fault::Broken).collect()
    }

    /// The need of another service that is met by the version from which a service goes, and is not by the one to which it goes.
    fn loses(
        &self,
        live: &Versions,
        other: &Service,
        (on, from): (usize, &Version),
        to: Option<&Version>,
    ) -> Option<Broken> {
        let version = live.get(&other.id)?;
        let needs = &other.versions.get(other.number(version)?)?.needs;
        let need = needs.get(needs.binary_search_by_key(&on, |need| need.on).ok()?)?;
        if !need.requirement.matches(from) {
            return None;
        }
        broken((&other.id, version), (&self.service(on)?.id, &need.requirement), to)
    }

    /// The services with which a change can be at odds, as far as their needs are known: those that need the service, and those that its
    /// new version needs.
    pub(super) fn related(&self, change: &Change) -> Vec<&ServiceId> {
        let Some((at, known)) = self.find(&change.service) else { return Vec::new() };
        let number = change.to.as_ref().and_then(|version| known.number(version));
        let needs: &[Need] = number.map_or(&[], |number| self.needs_of(at, number));
        let numbers = known.dependents.iter().copied().chain(needs.iter().map(|need| need.on));
        numbers.filter_map(|number| Some(&self.service(number)?.id)).collect()
    }

    /// What stands between a change and another service that runs in this version as well, beside the one that counts as deployed.
    pub(super) fn beside(
        &self,
        own: Option<&Version>,
        change: &Change,
        other: &(ServiceId, Version),
    ) -> Vec<Fault> {
        let mut live: Versions = [other.clone()].into();
        live.extend(own.map(|version| (change.service.clone(), version.clone())));
        let mut faults = self.against(&live, &change.applied(&live));
        // Nothing is said here of all others: what stands between them and the change is asked where they are known.
        faults.retain(|fault| match fault {
            Fault::Broken(broken) => broken.service == other.0 || broken.needs == other.0,
            Fault::Unknown(unknown) => unknown.service == other.0,
        });
        faults
    }

    /// The versions of which nobody knows what they need.
    pub(super) fn unknown_of(&self, live: &Versions) -> impl Iterator<Item = Unknown> {
        let unknown = self.numbered(live).filter(|(.., known)| known.is_none());
        unknown.map(|(id, version, _)| self.unknown(id, version))
    }

    /// Whether a change may be made everywhere: no region has a need then that is not met, but for such as were not met by the same version
    /// before. Where it changes nothing, nothing stands against it.
    ///
    /// While it is made, the old version and the new one run both. Before, all needs of the old one and of the others are met by the old
    /// one, and after by the new one: so both get along with all others, and all others with both.
    ///
    /// Where a version runs that the catalogue does not know, nobody knows whether it needs the service: then nothing but itself may be
    /// changed or removed there, though something may be added.
    ///
    /// # Errors
    /// [`Denied`] by all regions in which that is not so.
    pub fn admit(&self, fleet: &Fleet, change: &Change) -> Result<(), Box<Denied>> {
        let each = fleet.iter().map(|(region, live)| {
            (region.clone(), self.against_one(live, change, || self.unknown_of(live)))
        });
        let regions: BTreeMap<_, _> = each.filter(|(_, faults)| !faults.is_empty()).collect();
        if regions.is_empty() {
            return Ok(());
        }
        Err(Box::new(Denied { change: change.clone(), regions }))
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
