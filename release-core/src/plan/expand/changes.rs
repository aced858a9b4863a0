//! The services that change, and which of them goes first.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ServiceId;
use crate::model::{Definition, Dependency, Member, Service, Turn, VersionSet};
use crate::plan::graph;

/// A service that changes.
pub(super) struct Change<'a> {
    pub(super) service: &'a Service,
    /// What shall serve.
    pub(super) new: &'a Member,
    /// What serves now; none where there is nothing yet.
    pub(super) old: Option<&'a Member>,
    /// The changes that go first, by their places in the order, and in the order of their names: those of what it needs, also through
    /// others that do not change, and those of what needs it and cannot do with its new version before.
    pub(super) needs: Vec<usize>,
    /// Those of `needs` of which the version from before would do as well.
    pub(super) either: Vec<usize>,
}

/// Whether the artifact of a service changes.
pub(in crate::plan) fn is_new(definition: &Definition, service: &ServiceId) -> bool {
    let release = &definition.release;
    let artifact = |set: &VersionSet| set.get(service).map(|member| member.artifact.digest());
    let new = artifact(&release.versions);
    new.is_some() && new != artifact(&release.previous)
}

/// Whether what needs goes before what is needed: where only one of the two changes, nothing does.
pub(in crate::plan) fn is_before(
    definition: &Definition,
    service: &Service,
    dependency: &Dependency,
) -> bool {
    let changes = |id: &ServiceId| is_new(definition, id);
    dependency.turn == Turn::Before && changes(&service.id) && changes(&dependency.service)
}

/// Which services go before which, by their places in the definition. Those that it does not know are missing.
pub(in crate::plan) fn turns(definition: &Definition) -> Vec<(u32, u32)> {
    let index = index(definition);
    let mut edges = Vec::new();
    for (service, own) in definition.services.iter().zip(0..) {
        for dependency in &service.depends_on {
            let Some(other) = index.get(&dependency.service).copied() else { continue };
            match dependency.turn {
                Turn::After => edges.push((other, own)),
                Turn::Before if is_before(definition, service, dependency) => {
                    edges.push((own, other));
                }
                // Where only one of the two changes, it gets along with the other as it is.
                Turn::Before => {}
            }
        }
    }
    edges
}

fn index(definition: &Definition) -> BTreeMap<&ServiceId, u32> {
    definition.services.iter().map(|service| &service.id).zip(0..).collect()
}

/// Where a service stands.
enum At<'a> {
    /// It changes, in this place.
    Change(usize),
    /// It does not, and needs these: whoever needs it needs those.
    Through(BTreeSet<(&'a ServiceId, usize)>),
}

/// The services whose artifact changes, each after those that go first; ties in the order of the definition.
pub(super) fn in_order(definition: &Definition) -> Vec<Change<'_>> {
    let release = &definition.release;
    let order = graph::stable_order(definition.services.len(), &turns(definition));
    let mut known: BTreeMap<&ServiceId, At<'_>> = BTreeMap::new();
    // By what is needed, those that need it and go before it.
    let mut before: BTreeMap<&ServiceId, Vec<&ServiceId>> = BTreeMap::new();
    let mut changes = Vec::new();
    for service in order.into_iter().filter_map(|at| definition.services.get(at as usize)) {
        let mut needs: BTreeSet<(&ServiceId, usize)> = BTreeSet::new();
        for dependency in &service.depends_on {
            if dependency.turn == Turn::Before {
                if is_before(definition, service, dependency) {
                    before.entry(&dependency.service).or_default().push(&service.id);
                }
                continue;
            }
            match known.get(&dependency.service) {
                Some(At::Through(through)) => needs.extend(through),
                Some(At::Change(place)) => {
                    needs.insert((&dependency.service, *place));
                }
                None => {}
            }
        }
        let new = release.versions.get(&service.id).filter(|_| is_new(definition, &service.id));
        let Some(new) = new else {
            known.insert(&service.id, At::Through(needs));
            continue;
        };
        let asks = |id: &ServiceId| {
            let mut named = service.depends_on.iter().filter(|one| one.service == *id);
            let old = release.previous.get(id);
            !named.all(|one| old.is_some_and(|member| one.version.matches(&member.version)))
        };
        let either = needs.iter().filter(|(id, _)| !asks(id)).map(|(_, place)| *place);
        let mut either: Vec<usize> = either.collect();
        for id in before.remove(&service.id).into_iter().flatten() {
            let Some(At::Change(place)) = known.get(id) else { continue };
            needs.insert((id, *place));
            either.retain(|other| other != place);
        }
        known.insert(&service.id, At::Change(changes.len()));
        let needs = needs.into_iter().map(|(_, place)| place).collect();
        let old = release.previous.get(&service.id);
        changes.push(Change { service, new, old, needs, either });
    }
    changes
}
