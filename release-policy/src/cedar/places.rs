//! The places that rules name, and what of them a request touches.
//!
//! A request may leave open where it is: a step without a service concerns all of them. So a rule is asked
//! once for every way in which the request could lie to the places that the rule names. One that forbids,
//! forbids as soon as it applies to one of these; one that permits, permits only if it applies to all.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect, EntityId, EntityTypeName, EntityUid, Policy, PolicySet};
use release_core::model::{RegionId, ServiceId, TeamId, TrainId};
use release_core::plan::Place;

use super::load::CedarError;

/// Why a request cannot be put to Cedar.
pub(super) type Failure = Box<dyn std::error::Error>;

/// The kinds of place, as types of the schema.
const KINDS: [&str; 5] = ["Environment", "Region", "Service", "Team", "Train"];

/// How often rules are asked for one request at most.
const MAX_WAYS: usize = 10_000;

/// Places that rules name, by kind.
type Named = [BTreeSet<EntityUid>; KINDS.len()];

/// Rules that name the same places, at least one.
#[derive(Debug, Clone)]
pub(super) struct Group {
    named: Named,
    pub(super) permits: PolicySet,
    pub(super) forbids: PolicySet,
}

impl Group {
    /// The ways in which something could lie to the places that are named: each in what it leaves open is in
    /// one of them or in none. The first is in none of them.
    pub(super) fn ways(&self, at: &Whereabouts) -> Vec<Vec<EntityUid>> {
        let mut all = vec![Vec::new()];
        let open = self.named.iter().zip(&at.0).filter(|(_, known)| known.is_none());
        for (named, _) in open {
            let more = |place: &EntityUid| {
                let with = |way: &Vec<EntityUid>| way.iter().chain([place]).cloned().collect();
                all.iter().map(with).collect::<Vec<_>>()
            };
            let more: Vec<_> = named.iter().flat_map(more).collect();
            all.extend(more);
        }
        all
    }
}

/// The rules that name places, together with those that name the same.
pub(super) fn groups(set: &PolicySet) -> Result<Vec<Group>, CedarError> {
    let mut groups = BTreeMap::<Named, Group>::new();
    let mut ways = 0_usize;
    let mut rules: Vec<_> = set.policies().collect();
    rules.sort_by_key(|rule| rule.id());
    for rule in rules {
        let named = named_by(rule);
        if named.iter().all(BTreeSet::is_empty) {
            continue;
        }
        let group = groups.entry(named).or_insert_with_key(|named| {
            let all = named.iter().map(|one| one.len().saturating_add(1));
            ways = ways.saturating_add(all.fold(1, usize::saturating_mul));
            let named = named.clone();
            Group { named, permits: PolicySet::new(), forbids: PolicySet::new() }
        });
        if ways > MAX_WAYS {
            return Err(CedarError::TooManyPlaces { id: rule.id().to_string() });
        }
        let list = match rule.effect() {
            Effect::Permit => &mut group.permits,
            Effect::Forbid => &mut group.forbids,
        };
        list.add(rule.clone()).map_err(|error| CedarError::Parse(error.to_string()))?;
    }
    Ok(groups.into_values().collect())
}

fn named_by(rule: &Policy) -> Named {
    let mut named = Named::default();
    for place in rule.entity_literals() {
        let of = place.type_name().basename();
        let kind = named.iter_mut().zip(KINDS).find(|(_, kind)| *kind == of);
        if let Some((list, _)) = kind {
            list.insert(place);
        }
    }
    named
}

/// Where something is, by kind of place; what is not known is open: all of that kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Whereabouts([Option<EntityUid>; KINDS.len()]);

impl Whereabouts {
    /// Those of a place, or of everything.
    pub(super) fn of(place: Option<&Place>, train: Option<&TrainId>) -> Result<Self, Failure> {
        let place = [
            place.map(|place| place.environment.as_str()),
            place.and_then(|place| place.region.as_ref()).map(RegionId::as_str),
            place.and_then(|place| place.service.as_ref()).map(ServiceId::as_str),
            place.and_then(|place| place.team.as_ref()).map(TeamId::as_str),
        ];
        Self::new(place, train)
    }

    /// Those of one service, wherever it is.
    pub(super) fn of_service(
        service: &ServiceId,
        train: Option<&TrainId>,
    ) -> Result<Self, Failure> {
        Self::new([None, None, Some(service.as_str()), None], train)
    }

    fn new(place: [Option<&str>; 4], train: Option<&TrainId>) -> Result<Self, Failure> {
        let mut all = Self::default();
        let known = place.into_iter().chain([train.map(TrainId::as_str)]);
        for ((slot, kind), id) in all.0.iter_mut().zip(KINDS).zip(known) {
            *slot = id.map(|id| uid(kind, id)).transpose()?;
        }
        Ok(all)
    }

    /// What is known.
    pub(super) fn known(&self) -> impl Iterator<Item = &EntityUid> {
        self.0.iter().flatten()
    }
}

/// An entity of the schema.
pub(super) fn uid(of: &str, id: &str) -> Result<EntityUid, Failure> {
    let of: EntityTypeName = format!("Release::{of}").parse()?;
    Ok(EntityUid::from_type_name_and_id(of, EntityId::new(id)))
}
