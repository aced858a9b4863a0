//! Compatible sets of what is much too large, or meant to be hard.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, ServiceId};
use release_policy::compat::{
    Catalogue, CatalogueError, MAX_OFFERS, MOST_SETS, Offer, ResolveError, VerifiedSet, Versions,
};
use semver::{Version, VersionReq};

use super::super::support::id;
use super::{requirement, version};

const ONE: Version = Version::new(1, 0, 0);

fn link(nth: usize) -> ServiceId {
    id(&format!("s-{nth:06}"))
}

/// Services of which each needs the next, and the last one what nobody wishes for.
fn chain(length: usize) -> Catalogue {
    let links = (0..length).map(|nth| {
        let (on, text) = if nth + 1 < length { (link(nth + 1), "^1") } else { (id("end"), "^2") };
        Offer::new(link(nth), ONE).needing(on, requirement(text))
    });
    let ends = ["1.0.0", "2.0.0"].map(|text| Offer::new(id("end"), version(text)));
    Catalogue::new(links.chain(ends)).unwrap()
}

#[test]
fn a_long_chain_is_told_and_freed_without_a_deep_stack() {
    const LENGTH: usize = 20_000;
    let catalogue = chain(LENGTH);
    let wish = [(link(0), VersionReq::STAR), (id("end"), requirement("^1"))].into();
    let all: Versions = (0..LENGTH).map(|nth| (link(nth), ONE)).collect();
    for live in [Versions::new(), all] {
        let Err(ResolveError::Unsatisfiable(why)) = catalogue.resolve(&live, &wish) else {
            panic!("the last needs what is not wished for");
        };
        assert!(why.because.last().unwrap().ends_with("it cannot be"));
        assert!(!live.is_empty() || why.because.len() >= LENGTH, "{}", why.because.len());
    }
    let wish = [(link(0), VersionReq::STAR)].into();
    let plan = catalogue.plan(&Versions::new(), &wish).unwrap();
    assert_eq!(plan.order.steps.len(), LENGTH + 1);
}

#[test]
fn a_hundred_thousand_versions_are_no_trouble() {
    // A thousand services in a hundred versions, of which each needs its like of the one before.
    let offers = (0..1_000).flat_map(|nth: usize| {
        (0..100).map(move |minor| {
            let offer = Offer::new(link(nth), Version::new(1, minor, 0));
            if nth == 0 {
                return offer;
            }
            offer.needing(link(nth - 1), requirement(&format!("~1.{minor}")))
        })
    });
    let catalogue = Catalogue::new(offers).unwrap();
    let live: Versions = (0..1_000).map(|nth| (link(nth), ONE)).collect();
    let wish = [(link(500), requirement("^1.50"))].into();
    let target = catalogue.resolve(&live, &wish).unwrap();
    assert!(target.values().all(|version| *version == Version::new(1, 99, 0)));
}

#[test]
fn two_services_in_very_many_versions_take_little_room() {
    // By version, which of the others fit: thirty thousand times as many.
    const MANY: u64 = 30_000;
    let all = (0..MANY).flat_map(|minor| {
        let at = Version::new(1, minor, 0);
        let needs = requirement(&format!("=1.{minor}.0"));
        let early = format!("1.{minor}.0-rc.1").parse().unwrap();
        let odd = requirement(&format!("<1.{minor}.0, >=1.{}.0-rc.1", minor / 2));
        [
            Offer::new(id("a"), at.clone()).needing(id("b"), needs),
            Offer::new(id("b"), at),
            Offer::new(id("a"), early).needing(id("b"), odd),
        ]
    });
    let catalogue = Catalogue::new(all).unwrap();
    let live: Versions =
        [(id("a"), Version::new(1, 7, 0)), (id("b"), Version::new(1, 7, 0))].into();
    let wish = [(id("b"), requirement("=1.20000.0"))].into();
    let target = catalogue.resolve(&live, &wish).unwrap();
    assert_eq!(target[&id("a")], Version::new(1, 20_000, 0));
}

#[test]
fn what_is_too_hard_is_given_up() {
    // Thirteen that each take one of twelve places, and a place takes one: no place is enough, and only trying tells.
    let (pigeons, places) = (13_u64, 12_u64);
    let name = |kind: &str, nth: u64| id::<ServiceId>(&format!("{kind}-{nth}"));
    let pigeon = |nth: u64| {
        (1..=places).map(move |place| {
            Offer::new(name("pigeon", nth), Version::new(place, 0, 0))
                .needing(name("place", place), requirement(&format!("={nth}.0.0")))
        })
    };
    let place = |nth: u64| {
        (1..=pigeons).map(move |by| Offer::new(name("place", nth), Version::new(by, 0, 0)))
    };
    let catalogue =
        Catalogue::new((1..=pigeons).flat_map(pigeon).chain((1..=places).flat_map(place)));
    let wish: BTreeMap<_, _> =
        (1..=pigeons).map(|nth| (name("pigeon", nth), VersionReq::STAR)).collect();
    let hard = catalogue.unwrap().resolve(&Versions::new(), &wish).unwrap_err();
    assert!(matches!(hard, ResolveError::TooHard { choices } if choices > 1_000), "{hard}");
}

#[test]
fn of_very_many_verified_sets_the_last_are_tried() {
    let catalogue = chain(2);
    let live: Versions = [(id("end"), version("1.0.0"))].into();
    let set = |nth: usize| VerifiedSet::of([(link(0), ONE)].into(), Digest::of(&nth.to_le_bytes()));
    let verified: Vec<_> = (0..10_000).map(set).collect();
    let none = catalogue.way_back(&live, &verified, &BTreeSet::new()).unwrap_err();
    assert_eq!((none.tried.len(), none.untried), (MOST_SETS, 10_000 - MOST_SETS));
    assert!(
        none.to_string().ends_with("9900 older ones were not tried: give just those"),
        "{none}"
    );
}

#[test]
fn a_catalogue_of_more_than_a_million_is_refused() {
    let api: ServiceId = id("api");
    let offers = |count: usize| {
        let api = api.clone();
        (0..).take(count).map(move |minor| Offer::new(api.clone(), Version::new(1, minor, 0)))
    };
    assert_eq!(Catalogue::new(offers(MAX_OFFERS + 1)), Err(CatalogueError::TooMany));
    let most = Catalogue::new(offers(MAX_OFFERS)).unwrap();
    assert_eq!(most.versions(&api).next_back(), Some(&Version::new(1, 999_999, 0)));
    // What they need is counted apart, and there may be no more of it.
    let needs = vec![(link(0), VersionReq::STAR); MAX_OFFERS + 1];
    let greedy = Offer { needs, ..Offer::new(api.clone(), ONE) };
    let error = Catalogue::new([greedy]).unwrap_err();
    assert_eq!(error, CatalogueError::TooMany);
    assert!(error.to_string().contains("leave out what is deployed nowhere"), "{error}");
}
