//! One change is judged by what it can break alone: beside the check of all that is deployed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::Index;
use release_core::model::{ArtifactRef, Digest, Principal, ServiceId, Target, Timestamp};
use release_core::plan::{Action, Deployment, Step};
use release_core::port::{Admission, Decision, Policy as _};
use release_policy::compat::{
    Catalogue, Change, Compatible, Denied, Fault, Fleet, Inventory, Stock, Versions,
};
use semver::Version;

use super::super::support::id;
use super::{UNKNOWN, VERSIONS, all_sets, catalogue, service, version};

fn applied(live: &Versions, change: &Change) -> Versions {
    let mut then = live.clone();
    match &change.to {
        Some(version) => then.insert(change.service.clone(), version.clone()),
        None => then.remove(&change.service),
    };
    then
}

/// All faults of all versions afterwards, without those that were there before; and what nobody knows and may need the old version.
fn whole(catalogue: &Catalogue, live: &Versions, change: &Change) -> Vec<Fault> {
    let from = live.get(&change.service);
    if from == change.to.as_ref() {
        return Vec::new();
    }
    let mut faults = catalogue.faults(&applied(live, change));
    faults.retain(|fault| match fault {
        Fault::Broken(broken) => {
            let found = live.get(&broken.needs);
            broken.service == change.service
                || found.is_some_and(|found| broken.requirement.matches(found))
        }
        Fault::Unknown(unknown) => unknown.service == change.service,
        _ => true,
    });
    let before = catalogue.faults(live).into_iter().filter(|fault| {
        let other = |service: &ServiceId| *service != change.service;
        from.is_some() && matches!(fault, Fault::Unknown(unknown) if other(&unknown.service))
    });
    faults.extend(before);
    faults
}

/// What stands between a change and each version that serves beside those that count, one after the other.
fn whole_beside(catalogue: &Catalogue, stock: &Stock, change: &Change) -> Vec<Fault> {
    let own = stock.versions.get(&change.service);
    let others = stock.beside.iter().filter(|(other, _)| *other != change.service);
    let each = others.flat_map(|other| {
        let mut live: Versions = [other.clone()].into();
        live.extend(own.map(|version| (change.service.clone(), version.clone())));
        let mut faults = whole(catalogue, &live, change);
        faults.retain(|fault| match fault {
            Fault::Broken(broken) => broken.service == other.0 || broken.needs == other.0,
            Fault::Unknown(unknown) => unknown.service == other.0,
            _ => true,
        });
        faults
    });
    each.collect()
}

/// An inventory that keeps what it gives, or makes it anew each time.
#[derive(Clone)]
struct Seen {
    stock: Arc<Mutex<Arc<Stock>>>,
    keeps: bool,
}

impl Inventory for Seen {
    fn deployed(&self, _: &Target) -> Option<Versions> {
        Some(self.stock.lock().unwrap().versions.clone())
    }

    fn beside(&self, _: &Target) -> Vec<(ServiceId, Version)> {
        self.stock.lock().unwrap().beside.clone()
    }

    fn stock(&self, _: &Target) -> Option<Arc<Stock>> {
        let stock = self.stock.lock().unwrap();
        let copy = || Arc::new(Stock::clone(&stock));
        Some(if self.keeps { Arc::clone(&stock) } else { copy() })
    }
}

fn ask(policy: &Compatible, change: &Change) -> Decision {
    let Change { service, to } = change;
    let target = Target::new(id("production"), id("eu-west"), service.clone());
    let artifact = ArtifactRef::new(id(service.as_str()), Digest::of(b"it"));
    let deployment = Deployment { target, artifact, version: to.clone().unwrap() }.into();
    let action = Action::Scale { deployment, replicas: 1, apart: None, metadata: None };
    let step = Step::new(id("production/eu-west/x/start"), action);
    let (run, ann) = (id("run-1"), Principal::human(id("ann")));
    policy.admit(&Admission::new(&run, &ann, &step, Timestamp::default()))
}

/// A version by its place; the last one is in no catalogue.
fn nth_version(nth: usize) -> Version {
    version(VERSIONS.iter().chain([&UNKNOWN]).nth(nth).unwrap())
}

/// What is deployed: a set, of which one service may be in a version that nobody knows, and what serves beside.
type Drawn = (Index, usize, Vec<(usize, usize)>);

fn drawn() -> impl Strategy<Value = Drawn> {
    let beside = proptest::collection::vec((0..5_usize, 0..=VERSIONS.len()), 0..4);
    (any::<Index>(), 0..12_usize, beside)
}

fn stock(sets: &[Versions], (set, unknown, beside): &Drawn) -> Stock {
    let mut versions = set.get(sets).clone();
    if let Some(one) = versions.get_mut(&service(*unknown)) {
        *one = version(UNKNOWN);
    }
    let beside = beside.iter().map(|(nth, of)| (service(*nth), nth_version(*of)));
    Stock { versions, beside: beside.collect() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn one_change_breaks_just_what_the_check_of_all_says(
        catalogue in catalogue(),
        drawn in drawn(),
        (nth, to) in (0..5_usize, 0..=VERSIONS.len() + 1),
    ) {
        let live = stock(&all_sets(&catalogue), &drawn).versions;
        let to = (to <= VERSIONS.len()).then(|| nth_version(to));
        let change = Change { service: service(nth), to };
        let faults = whole(&catalogue, &live, &change);
        let fleet: Fleet = [(id("eu-west"), live)].into();
        let expected = (!faults.is_empty())
            .then(|| Denied { change: change.clone(), regions: [(id("eu-west"), faults)].into() });
        prop_assert_eq!(catalogue.admit(&fleet, &change).err().map(|denied| *denied), expected);
    }

    /// One policy that is asked while what is deployed changes and comes back, as one that never was asked before.
    #[test]
    fn what_a_policy_remembers_of_a_region_changes_no_answer(
        catalogue in catalogue(),
        drawn in proptest::collection::vec(drawn(), 1..4),
        asked in proptest::collection::vec((any::<Index>(), 0..5_usize, 0..=VERSIONS.len()), 1..12),
        keeps in any::<bool>(),
    ) {
        let sets = all_sets(&catalogue);
        let stocks: Vec<_> = drawn.iter().map(|drawn| Arc::new(stock(&sets, drawn))).collect();
        let seen = Seen { stock: Arc::default(), keeps };
        let policy = Compatible::new(catalogue.clone(), seen.clone());
        let mut facts: BTreeMap<Digest, Arc<Stock>> = BTreeMap::new();
        for (which, nth, to) in asked {
            let now = Arc::clone(which.get(&stocks));
            *seen.stock.lock().unwrap() = Arc::clone(&now);
            let change = Change::to(service(nth), nth_version(to));
            let both = [whole(&catalogue, &now.versions, &change), whole_beside(&catalogue, &now, &change)];
            let denied = both.into_iter().filter(|faults| !faults.is_empty());
            let texts = denied.map(|faults| {
                Denied { change: change.clone(), regions: [(id("eu-west"), faults)].into() }.to_string()
            });
            let expected: Vec<String> = texts.collect();
            let decision = ask(&policy, &change);
            let told: Vec<String> = decision.reasons().iter().map(|reason| reason.text.clone()).collect();
            prop_assert_eq!(&told, &expected);
            prop_assert_eq!(decision.is_permit(), expected.is_empty());
            // The same in all, with its inputs; and what differs in them has another digest.
            prop_assert_eq!(&decision, &ask(&Compatible::new(catalogue.clone(), seen.clone()), &change));
            let digest = decision.inputs().and_then(|inputs| inputs.facts).unwrap();
            let first = facts.entry(digest).or_insert_with(|| Arc::clone(&now));
            prop_assert_eq!(&*first, &now);
        }
    }
}
