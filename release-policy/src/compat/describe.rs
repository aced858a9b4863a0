//! What versions need, in the words of a definition.

use std::collections::BTreeMap;

use release_core::model::{Definition, Dependency, Service, ServiceId, VersionSet};
use semver::{Comparator, Op, Version, VersionReq};

use super::{Catalogue, Unknown};

impl Catalogue {
    /// The definition with what this catalogue says that its services need, of each other, in the version that is released and in the one
    /// from before, in place of what it says itself. So its plan makes the changes in an order in which every need is met after each of
    /// them, or is refused: one that needs another goes after it, or before it where its version from before does not get along with what
    /// comes ([`Dependency::previously`]).
    ///
    /// Services that are neither released nor there before keep what the definition says. A need for what the
    /// definition does not name is not its business: [`Compatible`](super::Compatible) asks for that.
    ///
    /// # Errors
    /// The versions in the definition's release that this catalogue lacks.
    pub fn describe(&self, mut definition: Definition) -> Result<Definition, Vec<Unknown>> {
        let named = definition.services.iter().map(|one| one.id.clone()).zip(0..);
        let named: BTreeMap<ServiceId, usize> = named.collect();
        let version = |set: &VersionSet, id: &ServiceId| Some(set.get(id)?.version.clone());
        let release = &definition.release;
        let both = |id: &ServiceId| {
            let old = version(&release.previous, id);
            (version(&release.versions, id).or_else(|| old.clone()), old)
        };
        let mut unknown = Vec::new();
        for service in &mut definition.services {
            let (new, old) = both(&service.id);
            let Some(new) = new else { continue };
            let before = old.filter(|old| *old != new);
            let before = before.map(|old| self.needs_named(&service.id, &old)).transpose();
            match (self.needs_named(&service.id, &new), before) {
                (Ok(new), Ok(before)) => describe(service, (&new, before.as_ref()), &named, both),
                (new, before) => unknown.extend(new.err().into_iter().chain(before.err())),
            }
        }
        if unknown.is_empty() { Ok(definition) } else { Err(unknown) }
    }

    fn needs_named(&self, service: &ServiceId, version: &Version) -> Result<Needs, Unknown> {
        let lacks = || self.unknown(service, version);
        let needs = self.needs(service, version).ok_or_else(lacks)?;
        Ok(needs.map(|(on, requirement)| (on.clone(), requirement.clone())).collect())
    }
}

/// What a version needs.
type Needs = BTreeMap<ServiceId, VersionReq>;

/// Puts needs into a service: what its new version needs, and what that from before does, if there is another one, of those that are named.
fn describe(
    service: &mut Service,
    (new, before): (&Needs, Option<&Needs>),
    named: &BTreeMap<ServiceId, usize>,
    versions: impl Fn(&ServiceId) -> (Option<Version>, Option<Version>),
) {
    service.depends_on.clear();
    let all = new.keys().chain(before.into_iter().flat_map(BTreeMap::keys));
    let all = all.filter_map(|on| Some((*named.get(on)?, on)));
    // As the definition names them.
    let all: BTreeMap<usize, &ServiceId> = all.collect();
    for on in all.into_values() {
        let wanted = new.get(on).cloned();
        let previously = before.map(|before| before.get(on).cloned());
        let (to, from) = versions(on);
        // What the new version does not need any more says nothing, where the version from before gets along with what comes.
        let comes = |need: &VersionReq| to.as_ref().is_some_and(|to| need.matches(to));
        if wanted.is_none() && previously.iter().flatten().all(comes) {
            continue;
        }
        let any = || any_of((to.clone(), from.clone()));
        let dependency = Dependency::new(on.clone(), wanted.unwrap_or_else(any));
        service.depends_on.push(match previously {
            Some(previously) => dependency.previously(previously.unwrap_or_else(any)),
            None => dependency,
        });
    }
}

/// A range that both versions fit, where either of them is there.
fn any_of((new, old): (Option<Version>, Option<Version>)) -> VersionReq {
    let mut both: Vec<Version> = new.into_iter().chain(old).collect();
    if both.iter().all(|version| version.pre.is_empty()) {
        return VersionReq::STAR;
    }
    both.sort();
    let bound = |op: Op, version: &Version| Comparator {
        op,
        major: version.major,
        minor: Some(version.minor),
        patch: Some(version.patch),
        pre: version.pre.clone(),
    };
    let least = both.first().map(|version| bound(Op::GreaterEq, version));
    let most = both.last().map(|version| bound(Op::LessEq, version));
    VersionReq { comparators: least.into_iter().chain(most).collect() }
}
