//! Services that are left behind while a release goes on, whatever else fails: under a policy of verified sets every region ends with all
//! of the new set, or with a set that was recorded. Looked at on the platform. Without that policy some do not, so that this can fail.
//!
//! 500 releases by chance; as many as one likes with `SAGA_CASES=20000 cargo test -p release-testkit --test engine remainders`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use release_core::model::{Digest, ServiceId, Target};
use release_core::plan::Part;
use release_core::run::{Event, Outcome};
use release_policy::AllOf;
use release_policy::compat::{
    Catalogue, CoVerified, Compatible, Inventory, Learned, Offer, VerifiedRecord, VerifiedSet,
    VerifiedSets, Versions,
};
use release_testkit::VirtualClock;
use release_testkit::fakes::World;
use release_testkit::fixtures::version;
use semver::Version;

use crate::course::{Course, course};
use crate::sagas::{Tally, cases, run_cases, versions};
use crate::shapes::{Mishaps, NEW, OLD, OLDER, Shape, mishaps, service_id, shape, signal};

/// A wish to leave a service behind.
#[derive(Debug, Clone)]
struct Late {
    /// Once so many batches are in the journal.
    at: u64,
    /// Which, counted from the last: that one nobody needs.
    from_last: usize,
    /// Whether the rest was verified: without this one, and without this one and those before it.
    verified: bool,
}

/// What is left behind, and what was verified.
#[derive(Debug, Clone)]
struct Lates {
    wishes: Vec<Late>,
    /// Other rests that were verified, by the services that are not in them, as bits; and whether they were gone back from.
    others: Vec<(u8, bool)>,
}

fn lates() -> impl Strategy<Value = Lates> {
    let from_last = prop_oneof![3 => Just(0_usize), 2 => Just(1), 1 => 2_usize..8];
    let one = (2_u64..100, from_last, any::<bool>());
    let one = one.prop_map(|(at, from_last, verified)| Late { at, from_last, verified });
    let wishes = proptest::collection::vec(one, 0..=2);
    let others = proptest::collection::vec((any::<u8>(), prop::bool::weighted(0.3)), 0..3);
    (wishes, others).prop_map(|(wishes, others)| Lates { wishes, others })
}

fn strategy() -> impl Strategy<Value = (Shape, Mishaps, Lates)> {
    let told = proptest::option::weighted(0.2, signal(1..90, 3));
    let all = (shape(), mishaps(0..=1, told), lates());
    all.prop_map(|(shape, mishaps, lates)| {
        let each = lates.wishes.iter().map(|late| (late.at, late.service(&shape)));
        let mut descopes: Vec<_> = each.collect();
        descopes.sort_by_key(|(at, _)| *at);
        (shape, Mishaps { descopes, ..mishaps }, lates)
    })
}

impl Late {
    fn service(&self, shape: &Shape) -> ServiceId {
        let last = shape.services.len() - 1;
        service_id(last - self.from_last % shape.services.len())
    }
}

/// What runs of a release without some of its services.
fn rest(shape: &Shape, without: &BTreeSet<ServiceId>) -> Versions {
    let (mut all, before) = (versions(&shape.wanted()), versions(&shape.previous()));
    for service in without {
        match before.get(service) {
            Some(version) => all.insert(service.clone(), version.clone()),
            None => all.remove(service),
        };
    }
    all
}

/// What was verified together before the release: all that ran, and what may stay of it.
fn verified(shape: &Shape, lates: &Lates) -> VerifiedSets {
    let mut sets = VerifiedSets::default();
    let mut add = |versions: Versions, is_gone: bool| {
        let evidence = Digest::of(format!("{versions:?} {is_gone}").as_bytes());
        if sets.record(VerifiedSet::of(versions, evidence)).is_ok() && is_gone {
            sets.abandon(evidence);
        }
    };
    for (bits, is_gone) in &lates.others {
        let all = (0..shape.services.len()).filter(|at| bits >> at & 1 == 1);
        add(rest(shape, &all.map(service_id).collect()), *is_gone);
    }
    let mut without = BTreeSet::new();
    for late in &lates.wishes {
        let service = late.service(shape);
        without.insert(service.clone());
        if late.verified {
            add(rest(shape, &without), false);
            add(rest(shape, &[service].into()), false);
        }
    }
    add(versions(&shape.previous()), false);
    sets
}

/// New versions get along with any version of what they need, as the definition has it: so the engine leaves behind what others need, too.
fn catalogue(shape: &Shape) -> Catalogue {
    let definition = shape.definition();
    let offers = definition.services.iter().flat_map(|service| {
        let plain = [OLDER, OLD].map(|number| Offer::new(service.id.clone(), version(number)));
        let new = Offer::new(service.id.clone(), version(NEW));
        let new = service
            .depends_on
            .iter()
            .fold(new, |new, needed| new.needing(needed.service.clone(), needed.version.clone()));
        plain.into_iter().chain([new])
    });
    Catalogue::new(offers).unwrap()
}

/// What users get of each service, as the router has it.
struct Seen {
    world: World,
    services: Vec<ServiceId>,
    /// What counts as long as nobody is served, since it will be or is no more.
    before: Versions,
}

impl Seen {
    /// The versions of each service that get traffic where a target is, that with the most of it first.
    fn served(&self, target: &Target) -> BTreeMap<ServiceId, Vec<Version>> {
        let each = self.services.iter().map(|service| {
            let at = Target { track: None, service: service.clone(), ..target.clone() };
            let mut weights = self.world.weights(&at);
            weights.retain(|weight| weight.percent > 0);
            weights.sort_by_key(|weight| Reverse(weight.percent));
            (service.clone(), weights.into_iter().map(|weight| weight.version).collect())
        });
        each.collect()
    }
}

impl Inventory for Seen {
    fn deployed(&self, target: &Target) -> Option<Versions> {
        let mut deployed = self.before.clone();
        for (id, all) in self.served(target) {
            deployed.extend(all.into_iter().next().map(|most| (id, most)));
        }
        Some(deployed)
    }

    fn beside(&self, target: &Target) -> Vec<(ServiceId, Version)> {
        let served = self.served(target).into_iter();
        let others = served.flat_map(|(id, all)| {
            all.into_iter().skip(1).map(move |version| (id.clone(), version))
        });
        others.collect()
    }
}

/// Releases it; under the policy of verified sets, or only under that of what gets along.
fn released(shape: &Shape, mishaps: &Mishaps, record: &VerifiedRecord, enforced: bool) -> Course {
    let clock = Arc::new(VirtualClock::new());
    record.announce(&shape.definition());
    course(&clock, shape, mishaps, |platform| {
        let services = shape.needs().into_keys().collect();
        let before = versions(&shape.previous());
        let seen = Seen { world: platform.world.clone(), services, before };
        let policy = AllOf::new().and(Compatible::new(catalogue(shape), seen));
        Some(if enforced { policy.and(CoVerified::new(record.clone())) } else { policy })
    })
}

/// How many services were left behind, and how many wishes for that a policy denied.
fn told(course: &Course) -> (usize, usize) {
    let count = |is: fn(&Event) -> bool| course.facts.iter().filter(|fact| is(&fact.event)).count();
    let left = count(|event| matches!(event, Event::Descoped { .. }));
    let denied = count(
        |event| matches!(event, Event::CommandDenied { command, .. } if command == "descope"),
    );
    (left, denied)
}

/// Which regions have all of the new set, and which another one that is recorded. Else what a region has that nobody verified.
fn whole(shape: &Shape, course: &Course, sets: &VerifiedSets) -> Result<(usize, usize), String> {
    let wanted = versions(&shape.wanted());
    let (mut new, mut recorded) = (0, 0);
    for region in shape.regions() {
        let live = course.witness.live(region)?;
        if live == wanted {
            new += 1;
        } else if sets.holds(&live) {
            recorded += 1;
        } else {
            return Err(format!("{region} has a mixture that nobody verified: {live:?}"));
        }
    }
    Ok((new, recorded))
}

fn check(shape: &Shape, mishaps: &Mishaps, lates: &Lates, tally: &Tally) -> Result<(), String> {
    let before = verified(shape, lates);
    let record = VerifiedRecord::new(before.clone());
    let course = released(shape, mishaps, &record, true);
    let (left, denied) = told(&course);
    // Where a service is left behind, others may be new beside it.
    if let Some(wrong) = course.witness.wrong().first().filter(|_| left == 0) {
        return Err(wrong.clone());
    }
    let (new, _) = whole(shape, &course, &before)
        .map_err(|wrong| format!("{wrong}; the run {}", course.outcome))?;
    // What was verified is recorded by itself.
    let learned = record.ended(&course.plan, &course.report);
    let wanted = versions(&shape.wanted());
    let is_recorded = matches!(&learned, Learned::Set(set) if set.versions == wanted);
    if is_recorded != (course.outcome == Outcome::Succeeded) {
        return Err(format!("the run {}, and {learned:?}", course.outcome));
    }
    if is_recorded && !record.sets().holds(&wanted) {
        return Err(format!("{learned:?} is not recorded"));
    }
    tally.add(course.outcome.name());
    let part = |left: &[Part]| left.iter().any(|part| matches!(part, Part::Service { .. }));
    let rests = matches!(&course.outcome, Outcome::SucceededWithout { left } if part(left));
    for (what, is) in [
        ("all new", new == shape.regions().count()),
        ("all back", new == 0 && left == 0),
        ("a service is left behind", left > 0),
        ("a service is not left behind", denied > 0),
        ("a run ends without a service", rests),
        ("a run goes back though a service was left behind", left > 0 && !rests),
    ] {
        if is {
            tally.add(what);
        }
    }
    Ok(())
}

#[test]
fn a_release_ends_all_new_or_at_a_recorded_set_whatever_is_left_behind() {
    let cases = cases(500);
    let tally = Tally::default();
    run_cases(cases, &strategy(), |(shape, mishaps, lates)| {
        check(&shape, &mishaps, &lates, &tally)
    });
    let wanted = [
        "succeeded",
        "rolled_back",
        "all new",
        "all back",
        "a service is left behind",
        "a service is not left behind",
        "a run ends without a service",
    ];
    tally.saw(&wanted, cases);
}

/// Otherwise nothing above would be shown: the engine itself leaves behind whatever can be put back.
#[test]
fn without_the_policy_some_release_ends_as_a_mixture_that_nobody_verified() {
    let mut runner = TestRunner::deterministic();
    let strategy = strategy();
    let mixture = (0..200).find_map(|_| {
        let (shape, mishaps, lates) = strategy.new_tree(&mut runner).unwrap().current();
        let before = verified(&shape, &lates);
        let record = VerifiedRecord::new(before.clone());
        let course = released(&shape, &mishaps, &record, false);
        let (left, _) = told(&course);
        let wrong = whole(&shape, &course, &before).err()?;
        (left > 0 && wrong.contains("nobody verified")).then_some((shape, mishaps, before))
    });
    // Under the policy the very same release ends well.
    let (shape, mishaps, before) = mixture.expect("some service is left behind without a proof");
    let course = released(&shape, &mishaps, &VerifiedRecord::new(before.clone()), true);
    whole(&shape, &course, &before).unwrap();
}
