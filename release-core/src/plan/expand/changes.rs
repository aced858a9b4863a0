//! The services that change, and which of them goes first.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ServiceId;
use crate::model::{Definition, Dependency, Member, Service, VersionSet};
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

/// Whether what needs goes before what is needed: its version from before does not get along with the new version of that. Where only one
/// of the two changes, nothing goes before anything.
pub(in crate::plan) fn is_before(
    definition: &Definition,
    service: &Service,
    needed: &ServiceId,
) -> bool {
    let release = &definition.release;
    let Some(new) = release.versions.get(needed) else { return false };
    let mut needs = service.depends_on.iter().filter(|one| one.service == *needed);
    release.previous.get(&service.id).is_some()
        && needs.any(|one| !one.before().matches(&new.version))
        && is_new(definition, &service.id)
        && is_new(definition, needed)
}

/// Whether the new version of a service does not get along with the version from before of what it needs.
fn asks(definition: &Definition, service: &Service, needed: &ServiceId) -> bool {
    let old = definition.release.previous.get(needed);
    let mut needs = service.depends_on.iter().filter(|one| one.service == *needed);
    needs.any(|one| !old.is_some_and(|member| one.version.matches(&member.version)))
}

/// Why one service goes before another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It needs the other, whose new version its version from before cannot do with.
    Before,
    /// It is needed by the other, whose new version cannot do with its version from before.
    After,
    /// It is needed by the other, and they get along with each other at any time.
    Free,
}

/// Which services go before which, by their places in the definition. Those that it does not know are missing.
pub(in crate::plan) struct Turns(Vec<((u32, u32), Why)>);

impl Turns {
    pub(in crate::plan) fn of(definition: &Definition) -> Self {
        let (index, mut turns) = (index(definition), Vec::new());
        for (service, own) in definition.services.iter().zip(0..) {
            for Dependency { service: needed, .. } in &service.depends_on {
                let Some(other) = index.get(needed).copied() else { continue };
                let both = || is_new(definition, &service.id) && is_new(definition, needed);
                turns.push(if is_before(definition, service, needed) {
                    ((own, other), Why::Before)
                } else if asks(definition, service, needed) && both() {
                    ((other, own), Why::After)
                } else {
                    ((other, own), Why::Free)
                });
            }
        }
        Self(turns)
    }

    /// Who needs whom in its new version, whatever changes: from what is needed to who needs it. What needs another and goes before it is
    /// none of these.
    pub(in crate::plan) fn declared(&self) -> Vec<(u32, u32)> {
        self.all_but(Why::Before)
    }

    /// Of two that both change, where one cannot do with the version from before, or with the new one, of the other.
    pub(in crate::plan) fn asked(&self) -> Vec<(u32, u32)> {
        self.all_but(Why::Free)
    }

    fn all_but(&self, left_out: Why) -> Vec<(u32, u32)> {
        self.0.iter().filter(|(_, why)| *why != left_out).map(|(edge, _)| *edge).collect()
    }

    /// All services, each after those that go first. What is needed goes first as well where no need asks for that, but for services that
    /// would wait for each other then.
    fn order(&self, services: usize) -> Vec<u32> {
        let all: Vec<_> = self.0.iter().map(|(edge, _)| *edge).collect();
        let circles = graph::components(services, &all);
        let circle = |of: u32| circles.get(of as usize);
        let kept = self
            .0
            .iter()
            .filter(|((from, to), why)| *why != Why::Free || circle(*from) != circle(*to));
        let kept: Vec<_> = kept.map(|(edge, _)| *edge).collect();
        graph::stable_order(services, &kept)
    }
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
    let order = Turns::of(definition).order(definition.services.len());
    let mut known: BTreeMap<&ServiceId, At<'_>> = BTreeMap::new();
    // By what is needed, those that need it and go before it.
    let mut before: BTreeMap<&ServiceId, Vec<&ServiceId>> = BTreeMap::new();
    let mut changes = Vec::new();
    for service in order.into_iter().filter_map(|at| definition.services.get(at as usize)) {
        let mut needs: BTreeSet<(&ServiceId, usize)> = BTreeSet::new();
        for dependency in &service.depends_on {
            if is_before(definition, service, &dependency.service) {
                before.entry(&dependency.service).or_default().push(&service.id);
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
        let either =
            needs.iter().filter(|(id, _)| !asks(definition, service, id)).map(|(_, place)| *place);
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
