//! Compatible sets, beside all that could be.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::model::{Digest, RegionId, ServiceId};
use release_policy::compat::{
    Broken, Catalogue, Change, Fault, Fleet, NoOrder, NoPlan, NotThere, Offer, ResolveError,
    VerifiedSet, Versions,
};
use semver::{Version, VersionReq};

use super::support::id;

#[path = "compat_begun.rs"]
mod begun;
#[path = "compat_co_verified.rs"]
mod co_verified;
#[path = "compat_deployed.rs"]
mod deployed;
#[path = "compat_describe.rs"]
mod describe;
#[path = "compat_hostile.rs"]
mod hostile;
#[path = "compat_one.rs"]
mod one;
#[path = "compat_policy.rs"]
pub(crate) mod policy;
#[path = "compat_record.rs"]
mod record;
#[path = "compat_runs.rs"]
mod runs;
#[path = "compat_told.rs"]
mod told;
#[path = "compat_turns.rs"]
mod turns;
#[path = "compat_verified.rs"]
mod verified;

const REQUIREMENTS: [&str; 8] =
    ["^1", "^2", ">=2", "<2", "*", "=1.0.0", ">=1, <2.1", ">=2.1.0-rc.1"];
const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "2.0.0", "2.1.0-rc.1"];
/// In no catalogue.
const UNKNOWN: &str = "1.1.0+other";

fn service(nth: usize) -> ServiceId {
    id(&format!("s-{nth}"))
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn requirement(text: &str) -> VersionReq {
    text.parse().unwrap()
}

/// Two to four services, each in one to four versions, of which each needs some others.
fn catalogue() -> impl Strategy<Value = Catalogue> {
    let needs = proptest::collection::btree_map(0..4_usize, 0..REQUIREMENTS.len(), 0..3);
    let versions = proptest::collection::vec(needs, 1..=VERSIONS.len());
    proptest::collection::vec(versions, 2..=4).prop_map(|services| {
        let count = services.len();
        let offers = services.into_iter().enumerate().flat_map(|(nth, versions)| {
            versions.into_iter().zip(VERSIONS).map(move |(needs, text)| {
                let needs = needs.into_iter().filter(|(on, _)| *on < count && *on != nth);
                needs.fold(Offer::new(service(nth), version(text)), |offer, (on, nth)| {
                    offer.needing(service(on), requirement(REQUIREMENTS[nth]))
                })
            })
        });
        Catalogue::new(offers.collect::<Vec<_>>()).unwrap()
    })
}

/// Every set of versions, of every choice of services.
fn all_sets(catalogue: &Catalogue) -> Vec<Versions> {
    let mut sets = vec![Versions::new()];
    for nth in 0..4 {
        let service = service(nth);
        let mut with = Vec::new();
        for set in &sets {
            with.extend(catalogue.versions(&service).map(|version| {
                let mut set = set.clone();
                set.insert(service.clone(), version.clone());
                set
            }));
        }
        sets.extend(with);
    }
    sets
}

type Unmet = BTreeSet<(ServiceId, Version, ServiceId)>;

/// The needs that are not met, as the words say it; what nobody knows needs nothing here.
fn unmet(catalogue: &Catalogue, set: &Versions) -> Unmet {
    let each = set.iter().flat_map(|(service, version)| {
        let needs = catalogue.needs(service, version).into_iter().flatten();
        let unmet = needs.filter(|(on, requirement)| {
            set.get(*on).is_none_or(|found| !requirement.matches(found))
        });
        unmet.map(|(on, _)| (service.clone(), version.clone(), on.clone()))
    });
    each.collect()
}

fn fits(catalogue: &Catalogue, set: &Versions) -> bool {
    unmet(catalogue, set).is_empty()
}

/// Whether some order of single changes leaves nothing unmet but what was before, by trying all.
fn reachable(catalogue: &Catalogue, before: &Unmet, live: &Versions, target: &Versions) -> bool {
    if live == target {
        return true;
    }
    let changed: BTreeSet<_> = live.keys().chain(target.keys()).collect();
    changed.into_iter().filter(|id| live.get(*id) != target.get(*id)).any(|id| {
        let mut next = live.clone();
        match target.get(id) {
            Some(version) => next.insert(id.clone(), version.clone()),
            None => next.remove(id),
        };
        unmet(catalogue, &next).is_subset(before) && reachable(catalogue, before, &next, target)
    })
}

/// Of what is live, by name, what stays as it is.
fn kept(live: &Versions, set: &Versions) -> Vec<bool> {
    live.iter().map(|(id, version)| set.get(id) == Some(version)).collect()
}

fn wish(nth: usize, text: usize) -> BTreeMap<ServiceId, VersionReq> {
    [(service(nth), requirement(REQUIREMENTS[text]))].into()
}

/// Whether a set fulfils a wish, and all that is live is in it, and all needs are met.
fn does(
    catalogue: &Catalogue,
    live: &Versions,
    wish: &BTreeMap<ServiceId, VersionReq>,
    set: &Versions,
) -> bool {
    let wished =
        |(id, text): (&ServiceId, &VersionReq)| set.get(id).is_some_and(|one| text.matches(one));
    live.keys().all(|id| set.contains_key(id)) && wish.iter().all(wished) && fits(catalogue, set)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_resolved_fits_and_changes_what_it_has_to(
        catalogue in catalogue(),
        start in any::<prop::sample::Index>(),
        (nth, text) in (0..4_usize, 0..REQUIREMENTS.len()),
    ) {
        let sets = all_sets(&catalogue);
        let (live, wish) = (start.get(&sets), wish(nth, text));
        let would: Vec<_> = sets.iter().filter(|set| does(&catalogue, live, &wish, set)).collect();
        match catalogue.resolve(live, &wish) {
            Ok(found) => {
                prop_assert!(would.contains(&&found), "{:?}", found);
                prop_assert_eq!(catalogue.faults(&found), []);
                let most = would.iter().map(|set| kept(live, set)).max();
                prop_assert_eq!(Some(kept(live, &found)), most, "{:?}", found);
            }
            Err(ResolveError::Unknown(id)) => prop_assert!(id == service(nth) && catalogue.versions(&id).next().is_none()),
            Err(ResolveError::NoVersion { service, wish, .. }) => {
                prop_assert!(!catalogue.versions(&service).any(|one| wish.matches(one)));
            }
            Err(ResolveError::Unsatisfiable(why)) => {
                prop_assert_eq!(would.first(), None, "{}", why);
                prop_assert!(why.because.last().unwrap().ends_with("it cannot be"), "{}", why);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn every_state_on_the_way_leaves_nothing_unmet_that_was_met(
        catalogue in catalogue(),
        (from, to) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let sets = all_sets(&catalogue);
        let (live, target) = (from.get(&sets), to.get(&sets));
        let before = unmet(&catalogue, live);
        match catalogue.order(live, target).map_err(|why| *why) {
            Ok(order) => {
                prop_assert_eq!(order.before.len(), before.len());
                let mut now = live.clone();
                for step in &order.steps {
                    prop_assert_eq!(now.get(&step.service), step.from.as_ref());
                    step.apply(&mut now);
                    // While it is made, both versions run: what held before and holds after, holds of both.
                    prop_assert!(unmet(&catalogue, &now).is_subset(&before), "after {}: {:?}", step, now);
                }
                prop_assert_eq!(&now, target);
            }
            Err(NoOrder::Knot(knot)) => {
                prop_assert!(unmet(&catalogue, target).is_subset(&before));
                prop_assert!(!reachable(&catalogue, &before, live, target), "{}", knot);
                let next = knot.steps.iter().skip(1).chain(knot.steps.first());
                for ((step, need), (other, _)) in knot.steps.iter().zip(next) {
                    // What would be broken if this one were made before the other.
                    let Broken { service, needs, .. } = need;
                    let both = [&step.service, &other.service];
                    prop_assert!(both.contains(&service) && both.contains(&needs) && service != needs);
                }
            }
            Err(NoOrder::Faults(faults)) => {
                let new: Unmet = unmet(&catalogue, target).difference(&before).cloned().collect();
                prop_assert!(!faults.is_empty());
                prop_assert_eq!(faults.len(), new.len());
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_plan_is_the_best_to_which_an_order_leads(
        catalogue in catalogue(),
        start in any::<prop::sample::Index>(),
        (nth, text) in (0..4_usize, 0..REQUIREMENTS.len()),
    ) {
        let sets = all_sets(&catalogue);
        let (live, wish) = (start.get(&sets), wish(nth, text));
        let before = unmet(&catalogue, live);
        let would = sets.iter().filter(|set| does(&catalogue, live, &wish, set));
        match catalogue.plan(live, &wish) {
            Ok(plan) => {
                prop_assert!(does(&catalogue, live, &wish, &plan.target));
                prop_assert_eq!(Ok(plan.order.clone()), catalogue.order(live, &plan.target));
                let most = kept(live, &plan.target);
                let better = would.filter(|set| kept(live, set) > most).find(|set| reachable(&catalogue, &before, live, set));
                prop_assert_eq!(better, None, "{:?}", plan);
            }
            Err(NoPlan::Knots { first }) => {
                let mut reached = would.filter(|set| reachable(&catalogue, &before, live, set));
                prop_assert_eq!(reached.next(), None, "{}", first);
            }
            Err(NoPlan::Resolve(why)) => prop_assert_eq!(catalogue.resolve(live, &wish), Err(why)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn one_goes_back_to_nothing_but_the_last_verified_set_that_can_be_reached(
        catalogue in catalogue(),
        from in any::<prop::sample::Index>(),
        verified in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), prop::bool::weighted(0.2)), 0..5),
    ) {
        let sets = all_sets(&catalogue);
        let live = from.get(&sets);
        let digest = |nth: usize| Digest::of(&[u8::try_from(nth).unwrap()]);
        let each = verified.iter().enumerate().map(|(nth, (set, whole, _))| {
            let (versions, evidence) = (set.get(&sets).clone(), digest(nth));
            if *whole { VerifiedSet::whole(versions, evidence) } else { VerifiedSet::of(versions, evidence) }
        });
        let sets: Vec<_> = each.collect();
        let abandoned: BTreeSet<_> =
            verified.iter().enumerate().filter(|(_, one)| one.2).map(|(nth, _)| digest(nth)).collect();
        let now = sets.iter().rposition(|set| set.versions == *live).unwrap_or(sets.len());
        let there = |set: &VerifiedSet| {
            let mut then = if set.whole { Versions::new() } else { live.clone() };
            then.extend(set.versions.clone());
            then
        };
        let last = sets[..now].iter().rev().find(|set| {
            let then = there(set);
            !set.versions.is_empty() && !abandoned.contains(&set.evidence) && then != *live && fits(&catalogue, &then)
                && reachable(&catalogue, &unmet(&catalogue, live), live, &then)
        });
        match catalogue.way_back(live, &sets, &abandoned) {
            Ok((set, order)) => {
                prop_assert_eq!(Some(set), last);
                let mut now = live.clone();
                order.steps.iter().for_each(|step| step.apply(&mut now));
                prop_assert_eq!(now, there(set));
            }
            Err(why) => {
                prop_assert_eq!(last, None);
                prop_assert_eq!((why.tried.len(), why.untried), (sets.len(), 0));
                for (set, (evidence, why)) in sets.iter().rev().zip(&why.tried) {
                    prop_assert_eq!(set.evidence, *evidence);
                    prop_assert_eq!(set.versions.is_empty(), *why == NotThere::Empty);
                }
            }
        }
    }

    #[test]
    fn what_is_admitted_leaves_nothing_unmet_that_was_met(
        catalogue in catalogue(),
        regions in proptest::collection::vec((any::<prop::sample::Index>(), 0..40_usize), 1..4),
        (nth, to) in (0..4_usize, 0..=VERSIONS.len() + 1),
    ) {
        let sets = all_sets(&catalogue);
        let fleet: Fleet = regions.iter().enumerate().map(|(region, (set, unknown))| {
            let mut live = set.get(&sets).clone();
            if let Some(one) = live.get_mut(&service(*unknown)) {
                *one = version(UNKNOWN);
            }
            (id(&format!("r-{region}")), live)
        }).collect();
        let text = VERSIONS.iter().chain([&UNKNOWN]).nth(to);
        let change = text.map_or(Change::removal(service(nth)), |text| Change::to(service(nth), version(text)));
        let known = |id: &ServiceId, version: &Version| catalogue.needs(id, version).is_some();
        let stands_against = |live: &Versions| {
            let there = live.get(&change.service);
            let mut then = live.clone();
            match &change.to {
                Some(version) => then.insert(change.service.clone(), version.clone()),
                None => then.remove(&change.service),
            };
            let blind = live.iter().any(|(id, version)| *id != change.service && !known(id, version));
            there != change.to.as_ref()
                && (!unmet(&catalogue, &then).is_subset(&unmet(&catalogue, live))
                    || there.is_some() && blind
                    || change.to.as_ref().is_some_and(|version| !known(&change.service, version)))
        };
        let where_not: Vec<&RegionId> =
            fleet.iter().filter(|(_, live)| stands_against(live)).map(|(region, _)| region).collect();
        let denied = catalogue.admit(&fleet, &change).err();
        let said: Vec<_> = denied.iter().flat_map(|denied| denied.regions.keys()).collect();
        prop_assert_eq!(said, where_not, "{:?}", denied);
        for live in fleet.values() {
            let unknown = live.iter().filter(|(id, version)| !known(id, version)).count();
            let faults = catalogue.faults(live);
            prop_assert_eq!(faults.iter().filter(|fault| matches!(fault, Fault::Unknown(_))).count(), unknown);
            prop_assert_eq!(faults.len() - unknown, unmet(&catalogue, live).len());
        }
    }
}
