//! Compatible sets, beside all that could be.

use std::collections::BTreeMap;

use proptest::prelude::*;
use release_core::model::{Digest, ServiceId};
use release_policy::compat::{
    Broken, Catalogue, CatalogueError, Fleet, NoOrder, Offer, ResolveError, VerifiedSet, Versions,
};
use semver::{Version, VersionReq};

use super::support::id;

const REQUIREMENTS: [&str; 7] = ["^1", "^2", ">=2", "<2", "*", "=1.0.0", ">=1, <2.1"];
const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "2.0.0", "2.1.0"];

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
    let needs = proptest::collection::vec((0..4_usize, 0..REQUIREMENTS.len()), 0..3);
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

/// Whether all needs are met, as the words say it.
fn fits(catalogue: &Catalogue, set: &Versions) -> bool {
    set.iter().all(|(service, version)| {
        let mut needs = catalogue.needs(service, version).unwrap().iter();
        needs.all(|(on, requirement)| set.get(on).is_some_and(|found| requirement.matches(found)))
    })
}

/// Whether some order of single changes keeps all needs met, by trying all.
fn reachable(catalogue: &Catalogue, live: &Versions, target: &Versions) -> bool {
    if live == target {
        return true;
    }
    let changed = live.keys().chain(target.keys()).filter(|id| live.get(*id) != target.get(*id));
    let mut changed: Vec<_> = changed.collect();
    changed.dedup();
    changed.into_iter().any(|id| {
        let mut next = live.clone();
        match target.get(id) {
            Some(version) => next.insert(id.clone(), version.clone()),
            None => next.remove(id),
        };
        fits(catalogue, &next) && reachable(catalogue, &next, target)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_resolved_fits_and_is_found_when_there_is_any(
        catalogue in catalogue(),
        start in any::<prop::sample::Index>(),
        wish in (0..4_usize, 0..REQUIREMENTS.len()),
    ) {
        let sets: Vec<_> = all_sets(&catalogue).into_iter().filter(|set| fits(&catalogue, set)).collect();
        let live = start.get(&sets);
        prop_assert_eq!(catalogue.broken(live), []);
        let (wished, text) = (service(wish.0), requirement(REQUIREMENTS[wish.1]));
        let wish = BTreeMap::from([(wished.clone(), text.clone())]);
        let does = |set: &&Versions| {
            live.keys().all(|id| set.contains_key(id)) && set.get(&wished).is_some_and(|found| text.matches(found))
        };
        let any = sets.iter().find(does);
        match catalogue.resolve(live, &wish) {
            Ok(found) => {
                prop_assert!(fits(&catalogue, &found) && does(&&found), "{:?}", found);
                if live.get(&wished).is_some_and(|there| text.matches(there)) {
                    prop_assert_eq!(&found, live, "what is there already changes nothing");
                }
            }
            Err(ResolveError::Unknown(id)) => prop_assert!(id == wished && catalogue.versions(&id).next().is_none()),
            Err(ResolveError::NoVersion { .. }) => prop_assert!(!catalogue.versions(&wished).any(|one| text.matches(one))),
            Err(ResolveError::Unsatisfiable(why)) => {
                prop_assert!(any.is_none(), "{:?} would do: {}", any, why);
                prop_assert!(why.because.last().unwrap().ends_with("it cannot be"), "{}", why);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn every_state_on_the_way_meets_all_needs(
        catalogue in catalogue(),
        (from, to) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let sets: Vec<_> = all_sets(&catalogue).into_iter().filter(|set| fits(&catalogue, set)).collect();
        let (live, target) = (from.get(&sets), to.get(&sets));
        match catalogue.order(live, target).map_err(|why| *why) {
            Ok(steps) => {
                let mut now = live.clone();
                for step in &steps {
                    prop_assert_eq!(now.get(&step.service), step.from.as_ref());
                    let before = now.clone();
                    step.apply(&mut now);
                    prop_assert!(fits(&catalogue, &now), "after {}: {:?}", step, now);
                    // While it is made, both versions run, and all others have to get along with either.
                    prop_assert!(fits(&catalogue, &before));
                }
                prop_assert_eq!(&now, target);
            }
            Err(NoOrder::Knot(knot)) => {
                prop_assert!(!reachable(&catalogue, live, target), "{}", knot);
                let next = knot.steps.iter().skip(1).chain(knot.steps.first());
                for ((step, need), (other, _)) in knot.steps.iter().zip(next) {
                    // What would be broken if this one were made before the other.
                    let Broken { service, needs, .. } = need;
                    let both = [&step.service, &other.service];
                    prop_assert!(both.contains(&service) && both.contains(&needs) && service != needs);
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn one_goes_back_to_nothing_but_the_last_verified_set_that_can_be_reached(
        catalogue in catalogue(),
        from in any::<prop::sample::Index>(),
        verified in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let sets = all_sets(&catalogue);
        let fitting: Vec<_> = sets.iter().filter(|set| fits(&catalogue, set)).cloned().collect();
        let live = from.get(&fitting);
        let each = verified.iter().enumerate().map(|(nth, set)| VerifiedSet {
            versions: set.get(&sets).clone(),
            evidence: Digest::of(&[u8::try_from(nth).unwrap()]),
        });
        let verified: Vec<_> = each.collect();
        let last = verified.iter().rev().find(|set| {
            set.versions != *live && fits(&catalogue, &set.versions) && reachable(&catalogue, live, &set.versions)
        });
        match catalogue.way_back(live, &verified) {
            Ok((set, steps)) => {
                prop_assert_eq!(Some(set), last);
                let mut now = live.clone();
                for step in &steps {
                    step.apply(&mut now);
                }
                prop_assert_eq!(&now, &set.versions);
            }
            Err(why) => {
                prop_assert_eq!(last, None);
                let others = verified.iter().filter(|set| set.versions != *live).count();
                prop_assert_eq!(why.tried.len(), others);
            }
        }
    }
}

fn offer(service: &str, at: &str, needs: &[(&str, &str)]) -> Offer {
    let offer = Offer::new(id(service), version(at));
    needs.iter().fold(offer, |offer, (on, text)| offer.needing(id(on), requirement(text)))
}

fn deployed(versions: &[(&str, &str)]) -> Versions {
    versions.iter().map(|(service, text)| (id(service), version(text))).collect()
}

fn shop() -> Catalogue {
    Catalogue::new([
        offer("api", "2.4.0", &[]),
        offer("api", "3.0.0", &[]),
        offer("shop", "2.1.0", &[("api", "^2")]),
        offer("shop", "2.2.0", &[("api", "^2.4")]),
        offer("bill", "1.0.0", &[("shop", "^2"), ("api", ">=2")]),
    ])
    .unwrap()
}

#[test]
fn what_runs_in_a_region_decides_what_may_be_deployed_there() {
    let old = deployed(&[("api", "2.4.0"), ("shop", "2.1.0")]);
    let alone = deployed(&[("api", "2.4.0")]);
    let fleet: Fleet = [(id("eu-west"), old), (id("us-east"), alone)].into();
    let denied = shop().admit(&fleet, &id("api"), &version("3.0.0")).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "`api` 3.0.0 cannot be deployed to `eu-west`: `shop` 2.1.0, which runs there, needs `api` ^2"
    );
    let text = serde_json::to_string(&denied).unwrap();
    assert_eq!(serde_json::from_str::<release_policy::compat::Denied>(&text).unwrap(), *denied);
    shop().admit(&fleet, &id("shop"), &version("2.2.0")).unwrap();
    let denied = shop().admit(&fleet, &id("bill"), &version("1.0.0")).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "`bill` 1.0.0 cannot be deployed to `us-east`: it needs `shop` ^2, and none runs there"
    );
}

#[test]
fn why_nothing_fits_is_told_in_sentences() {
    let live = deployed(&[("api", "2.4.0"), ("shop", "2.1.0"), ("bill", "1.0.0")]);
    let wish = [(id("api"), requirement("^3"))].into();
    let why = shop().resolve(&live, &wish).unwrap_err();
    assert_eq!(
        why.to_string(),
        "1. Because every version of `shop` needs `api` 2.4.0 and `shop` is deployed and stays, `api` 2.4.0 has to be there. 2. Because `api` 2.4.0 has to be there and `api` 3.0.0 is asked for, it cannot be."
    );
    let none = shop().resolve(&live, &[(id("api"), requirement("^9"))].into()).unwrap_err();
    assert_eq!(none.to_string(), "no version of `api` fits ^9; there are 2.4.0, 3.0.0");
    let unknown = shop().resolve(&live, &[(id("web"), requirement("*"))].into()).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "no version of `web` is known; add one to the catalogue, or mend the name"
    );
}

#[test]
fn changes_that_wait_for_each_other_are_told_with_what_they_need() {
    let catalogue = Catalogue::new([
        offer("a", "1.0.0", &[("b", "^1")]),
        offer("a", "2.0.0", &[("b", "^2")]),
        offer("b", "1.0.0", &[]),
        offer("b", "2.0.0", &[]),
    ]);
    let (live, target) =
        (deployed(&[("a", "1.0.0"), ("b", "1.0.0")]), deployed(&[("a", "2.0.0"), ("b", "2.0.0")]));
    let knot = catalogue.unwrap().order(&live, &target).unwrap_err();
    assert_eq!(
        knot.to_string(),
        "these changes wait for each other: `a` from 1.0.0 to 2.0.0 only after `b` from 1.0.0 to 2.0.0, since `a` 2.0.0 needs `b` ^2, and there is 1.0.0; `b` from 1.0.0 to 2.0.0 only after `a` from 1.0.0 to 2.0.0, since `a` 1.0.0 needs `b` ^1, and there is 2.0.0; offer a version that gets along with both sides, and go there first"
    );
    let torn = deployed(&[("shop", "2.1.0")]);
    let broken = shop().order(&torn, &torn).unwrap_err();
    assert_eq!(
        broken.to_string(),
        "what is deployed does not fit together as it is: `shop` 2.1.0 needs `api` ^2, and there is none; mend that first"
    );
}

#[test]
fn one_can_go_back_from_what_does_not_fit_together() {
    let torn = deployed(&[("api", "3.0.0"), ("shop", "2.1.0")]);
    let before = VerifiedSet {
        versions: deployed(&[("api", "2.4.0"), ("shop", "2.1.0")]),
        evidence: Digest::of(b"1"),
    };
    let verified = [before];
    assert!(shop().order(&torn, &verified[0].versions).is_err());
    let (set, steps) = shop().way_back(&torn, &verified).unwrap();
    assert_eq!(set.evidence, Digest::of(b"1"));
    assert_eq!(
        steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["`api` from 3.0.0 to 2.4.0"]
    );
    let none = shop().way_back(&torn, &[]).unwrap_err();
    assert_eq!(none.to_string(), "nothing was verified together yet; verify a set, or go forward");
}

#[test]
fn a_catalogue_that_makes_no_sense_is_refused() {
    let refused = |offers: &[Offer], why: &str| {
        let error = Catalogue::new(offers.iter().cloned()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(&[offer("a", "1.0.0", &[]), offer("a", "1.0.0", &[])], "`a` 1.0.0 stands there twice");
    refused(&[offer("a", "1.0.0", &[("a", "*")])], "needs `a` itself");
    refused(&[offer("a", "1.0.0", &[("b", "*")])], "needs `b`, of which no version is there");
    let text = serde_json::to_string(&shop()).unwrap();
    assert_eq!(serde_json::from_str::<Catalogue>(&text).unwrap(), shop());
    assert!(matches!(
        Catalogue::new([offer("a", "1.0.0", &[("b", "*")])]),
        Err(CatalogueError::Nothing { .. })
    ));
}
