//! Compatible sets by example: what is said, and how it is mended.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::Digest;
use release_policy::compat::{
    Catalogue, CatalogueError, Change, Denied, Fleet, NoPlan, NotThere, Offer, VerifiedSet,
    Versions,
};

use super::super::support::id;
use super::{requirement, version};

fn offer(service: &str, at: &str, needs: &[(&str, &str)]) -> Offer {
    let offer = Offer::new(id(service), version(at));
    needs.iter().fold(offer, |offer, (on, text)| offer.needing(id(on), requirement(text)))
}

fn deployed(versions: &[(&str, &str)]) -> Versions {
    versions.iter().map(|(service, text)| (id(service), version(text))).collect()
}

fn change(service: &str, to: &str) -> Change {
    Change::to(id(service), version(to))
}

fn steps(order: &[release_policy::compat::Step]) -> Vec<String> {
    order.iter().map(ToString::to_string).collect()
}

fn shop() -> Catalogue {
    Catalogue::new([
        offer("api", "2.4.0", &[]),
        offer("api", "3.0.0", &[]),
        offer("shop", "2.1.0", &[("api", "^2")]),
        offer("shop", "2.2.0", &[("api", "^2")]),
        offer("bill", "1.0.0", &[("shop", "^2"), ("api", ">=2")]),
    ])
    .unwrap()
}

#[test]
fn what_runs_in_a_region_decides_what_may_be_deployed_there() {
    let old = deployed(&[("api", "2.4.0"), ("shop", "2.1.0")]);
    let alone = deployed(&[("api", "2.4.0")]);
    let fleet: Fleet = [(id("eu-west"), old.clone()), (id("us-east"), alone)].into();
    let denied = shop().admit(&fleet, &change("api", "3.0.0")).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "`api` 3.0.0 cannot be deployed to `eu-west`: `shop` 2.1.0, which runs there, needs `api` ^2"
    );
    let text = serde_json::to_string(&denied).unwrap();
    assert_eq!(serde_json::from_str::<Denied>(&text).unwrap(), *denied);
    shop().admit(&fleet, &change("shop", "2.2.0")).unwrap();
    let denied = shop().admit(&fleet, &change("bill", "1.0.0")).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "`bill` 1.0.0 cannot be deployed to `us-east`: it needs `shop` ^2, and none runs there"
    );
    let fleet: Fleet = [(id("eu-west"), old.clone()), (id("eu-north"), old)].into();
    let denied = shop().admit(&fleet, &Change::removal(id("api"))).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "`api` cannot be removed from `eu-north`: `shop` 2.1.0, which runs there, needs `api` ^2. \
         `api` cannot be removed from `eu-west`: `shop` 2.1.0, which runs there, needs `api` ^2"
    );
    shop().admit(&fleet, &Change::removal(id("shop"))).unwrap();
}

#[test]
fn a_version_that_nobody_knows_stands_against_what_it_may_not_get_along_with() {
    let live = deployed(&[("api", "2.4.0"), ("shop", "2.1.0+b7")]);
    let fleet: Fleet = [(id("eu-west"), live.clone())].into();
    let lacks = "nobody knows what `shop` 2.1.0+b7 needs, for the catalogue lacks it (it has 2.1.0, which may be another build); \
                 mend the version, or add it and keep it there as long as it runs anywhere";
    let denied = shop().admit(&fleet, &change("api", "3.0.0")).unwrap_err();
    assert_eq!(denied.to_string(), format!("`api` 3.0.0 cannot be deployed to `eu-west`: {lacks}"));
    // It cannot lose what was not there, and may itself be replaced.
    shop().admit(&fleet, &change("bill", "1.0.0")).unwrap();
    shop().admit(&fleet, &change("shop", "2.1.0")).unwrap();
    let denied = shop().admit(&fleet, &change("api", "2.4.1")).unwrap_err();
    assert!(denied.to_string().contains("nobody knows what `api` 2.4.1 needs"), "{denied}");

    let mut target = live.clone();
    target.insert(id("api"), version("3.0.0"));
    let why = shop().order(&live, &target).unwrap_err();
    assert_eq!(why.to_string(), format!("what is aimed at does not fit together: {lacks}"));
    target.insert(id("api"), version("2.4.0"));
    target.insert(id("shop"), version("2.2.0"));
    assert_eq!(
        steps(&shop().order(&live, &target).unwrap().steps),
        ["`shop` from 2.1.0+b7 to 2.2.0"]
    );
    let back = [VerifiedSet::of(deployed(&[("api", "2.4.0")]), Digest::of(b"1"))];
    let newer = deployed(&[("api", "3.0.0"), ("shop", "2.1.0+b7")]);
    let none = shop().way_back(&newer, &back, &BTreeSet::new()).unwrap_err();
    assert!(none.to_string().ends_with(&lacks.to_owned()), "{none}");

    let why = shop().resolve(&live, &[(id("api"), requirement("^2"))].into()).unwrap_err();
    assert_eq!(why.to_string(), format!("{lacks}; or wish for another version of it"));
    let wish = [(id("shop"), requirement("=2.1.0"))].into();
    let target = shop().resolve(&live, &wish).unwrap();
    assert_eq!(target, deployed(&[("api", "2.4.0"), ("shop", "2.1.0")]));
}

#[test]
fn why_nothing_fits_is_told_in_sentences() {
    let live = deployed(&[("api", "2.4.0"), ("shop", "2.1.0"), ("bill", "1.0.0")]);
    let wish = [(id("api"), requirement("^3"))].into();
    let why = shop().resolve(&live, &wish).unwrap_err();
    assert_eq!(
        why.to_string(),
        "1. Because every version of `shop` needs `api` ^2 (2.4.0 is the only one that there is) and `api` ^3 (3.0.0 is the only one \
         that there is) is asked for, any version of `shop` cannot be used. 2. Because any version of `shop` cannot be used and `shop` is \
         deployed and stays, it cannot be."
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
fn of_two_causes_that_were_told_the_one_further_back_has_its_number() {
    let catalogue = Catalogue::new([
        offer("a", "1.0.0", &[("b", "*")]),
        offer("b", "1.0.0", &[("c", "^1")]),
        offer("b", "2.0.0", &[("d", "^1")]),
        offer("c", "1.0.0", &[("x", "^1")]),
        offer("d", "1.0.0", &[("x", "^2")]),
        offer("x", "1.0.0", &[]),
        offer("x", "2.0.0", &[]),
        offer("x", "3.0.0", &[]),
    ]);
    let wish = [(id("a"), requirement("*")), (id("x"), requirement("^3"))].into();
    let why = catalogue.unwrap().resolve(&Versions::new(), &wish).unwrap_err().to_string();
    let both = "3. Because `b` 1.0.0 needs `x` 1.0.0 (1) and `b` 2.0.0 needs `x` 2.0.0, any version of `b` needs `x` 1.0.0 or 2.0.0. ";
    assert!(why.contains(both), "{why}");
}

#[test]
fn what_has_to_change_gets_a_prerelease_only_where_one_is_asked_for() {
    let catalogue = Catalogue::new([
        offer("api", "1.0.0", &[]),
        offer("api", "2.0.0", &[]),
        offer("shop", "1.0.0", &[("api", "^1")]),
        offer("shop", "2.0.0", &[("api", "^2")]),
        offer("shop", "3.0.0-rc.1", &[("api", "^2")]),
        offer("shop", "3.0.0-rc.2", &[("api", "^2")]),
    ])
    .unwrap();
    let shop_after = |live: &str, wish: &[(&str, &str)]| {
        let api = if live == "1.0.0" { "1.0.0" } else { "2.0.0" };
        let live = deployed(&[("api", api), ("shop", live)]);
        let wish = wish.iter().map(|(service, text)| (id(service), requirement(text)));
        catalogue.resolve(&live, &wish.collect()).unwrap()[&id("shop")].to_string()
    };
    assert_eq!(shop_after("1.0.0", &[("api", "^2")]), "2.0.0");
    assert_eq!(shop_after("1.0.0", &[("api", "^2"), ("shop", ">=2")]), "2.0.0");
    assert_eq!(shop_after("1.0.0", &[("api", "^2"), ("shop", ">=3.0.0-rc.1")]), "3.0.0-rc.2");
    assert_eq!(shop_after("3.0.0-rc.1", &[("api", "^2")]), "3.0.0-rc.1");
}

fn knotted() -> Vec<Offer> {
    vec![
        offer("a", "1.0.0", &[("b", "^1")]),
        offer("a", "2.0.0", &[("b", "^2")]),
        offer("b", "1.0.0", &[]),
        offer("b", "2.0.0", &[]),
    ]
}

#[test]
fn changes_that_wait_for_each_other_are_told_with_what_they_need() {
    let (live, target) =
        (deployed(&[("a", "1.0.0"), ("b", "1.0.0")]), deployed(&[("a", "2.0.0"), ("b", "2.0.0")]));
    let catalogue = Catalogue::new(knotted()).unwrap();
    let knot = catalogue.order(&live, &target).unwrap_err().to_string();
    assert_eq!(
        knot,
        "these changes wait for each other: `a` from 1.0.0 to 2.0.0 only after `b` from 1.0.0 to 2.0.0, since `a` 2.0.0 needs `b` ^2, and there is 1.0.0; `b` from 1.0.0 to 2.0.0 only after `a` from 1.0.0 to 2.0.0, since `a` 1.0.0 needs `b` ^1, and there is 2.0.0; offer a version that gets along with both sides, and go there first"
    );
    let wish: BTreeMap<_, _> = [(id("b"), requirement("^2"))].into();
    assert!(
        matches!(catalogue.plan(&live, &wish), Err(NoPlan::Knots { first }) if first.to_string() == knot)
    );
}

#[test]
fn a_plan_takes_other_versions_where_no_order_leads_to_the_newest() {
    let mut offers = knotted();
    offers.push(offer("a", "1.5.0", &[("b", ">=1, <3")]));
    let catalogue = Catalogue::new(offers).unwrap();
    let live = deployed(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let wish = [(id("b"), requirement("^2"))].into();
    assert_eq!(catalogue.resolve(&live, &wish).unwrap()[&id("a")], version("2.0.0"));
    let plan = catalogue.plan(&live, &wish).unwrap();
    assert_eq!(steps(&plan.order.steps), ["`a` from 1.0.0 to 1.5.0", "`b` from 1.0.0 to 2.0.0"]);
}

#[test]
fn a_plan_adds_no_services_that_wait_for_each_other() {
    let catalogue = Catalogue::new([
        offer("a", "1.0.0", &[("b", "^1")]),
        offer("b", "1.0.0", &[("a", "^1")]),
        offer("shop", "1.0.0", &[]),
        offer("shop", "1.1.0", &[("a", "^1")]),
    ])
    .unwrap();
    let wish = [(id("shop"), requirement("^1"))].into();
    let target = catalogue.resolve(&Versions::new(), &wish).unwrap();
    assert_eq!(target.len(), 3, "the newest needs both");
    let plan = catalogue.plan(&Versions::new(), &wish).unwrap();
    assert_eq!(steps(&plan.order.steps), ["`shop` 1.0.0 is new"]);
}

#[test]
fn changes_are_ordered_in_a_region_that_does_not_fit_together() {
    let torn = deployed(&[("bill", "1.0.0"), ("api", "2.4.0")]);
    let mut target = torn.clone();
    target.insert(id("api"), version("3.0.0"));
    let order = shop().order(&torn, &target).unwrap();
    assert_eq!(steps(&order.steps), ["`api` from 2.4.0 to 3.0.0"]);
    let before: Vec<_> = order.before.iter().map(ToString::to_string).collect();
    assert_eq!(before, ["`bill` 1.0.0 needs `shop` ^2, and there is none"]);
    target.insert(id("shop"), version("2.1.0"));
    let why = shop().order(&torn, &target).unwrap_err();
    assert_eq!(
        why.to_string(),
        "what is aimed at does not fit together: `shop` 2.1.0 needs `api` ^2, and there is 3.0.0"
    );
}

#[test]
fn one_can_go_back_from_what_does_not_fit_together() {
    let (none, set) = (BTreeSet::new(), |versions: &[_], evidence: &[u8]| {
        VerifiedSet::of(deployed(versions), Digest::of(evidence))
    });
    let torn = deployed(&[("api", "3.0.0"), ("shop", "2.1.0")]);
    let verified = [set(&[("api", "2.4.0"), ("shop", "2.1.0")], b"1")];
    let (back, order) = shop().way_back(&torn, &verified, &none).unwrap();
    assert_eq!(back.evidence, Digest::of(b"1"));
    assert_eq!(steps(&order.steps), ["`api` from 3.0.0 to 2.4.0"]);
    // A need that is met neither before a change nor after it, says nothing of when the change is made.
    let catalogue = Catalogue::new([
        offer("a", "1.0.0", &[("b", "^1")]),
        offer("a", "2.0.0", &[("b", "^3")]),
        offer("b", "1.0.0", &[]),
        offer("b", "2.0.0", &[]),
    ]);
    let torn = deployed(&[("a", "2.0.0"), ("b", "2.0.0")]);
    let verified = [set(&[("a", "1.0.0"), ("b", "1.0.0")], b"1")];
    let (_, order) = catalogue.unwrap().way_back(&torn, &verified, &none).unwrap();
    assert_eq!(steps(&order.steps), ["`b` from 2.0.0 to 1.0.0", "`a` from 2.0.0 to 1.0.0"]);
    let nothing = shop().way_back(&torn, &[], &none).unwrap_err();
    assert_eq!(
        nothing.to_string(),
        "nothing was verified together yet; verify a set, or go forward"
    );
}

#[test]
fn going_back_leaves_what_the_set_does_not_name() {
    let live = deployed(&[("api", "3.0.0"), ("bill", "1.0.0"), ("shop", "2.2.0")]);
    let (some, evidence) = (deployed(&[("api", "2.4.0"), ("shop", "2.1.0")]), Digest::of(b"1"));
    let order = |set: VerifiedSet| {
        let (_, order) = shop().way_back(&live, &[set], &BTreeSet::new()).unwrap();
        steps(&order.steps)
    };
    assert_eq!(
        order(VerifiedSet::of(some.clone(), evidence)),
        ["`api` from 3.0.0 to 2.4.0", "`shop` from 2.2.0 to 2.1.0"]
    );
    assert_eq!(
        order(VerifiedSet::whole(some.clone(), evidence)),
        ["`api` from 3.0.0 to 2.4.0", "`bill` goes", "`shop` from 2.2.0 to 2.1.0"]
    );
    // What it does not name has to get along with it, too.
    let api = VerifiedSet::of(deployed(&[("api", "3.0.0")]), evidence);
    let live = deployed(&[("api", "2.4.0"), ("shop", "2.1.0")]);
    let none = shop().way_back(&live, &[api], &BTreeSet::new()).unwrap_err();
    assert!(none.to_string().contains("`shop` 2.1.0 needs `api` ^2, and there is 3.0.0"), "{none}");
    let empty = [VerifiedSet::whole(Versions::new(), evidence)];
    let none = shop().way_back(&live, &empty, &BTreeSet::new()).unwrap_err();
    assert_eq!(none.tried, [(evidence, NotThere::Empty)]);
    let text = serde_json::to_string(&VerifiedSet::of(some, evidence)).unwrap();
    assert!(!serde_json::from_str::<VerifiedSet>(&text).unwrap().whole, "{text}");
}

#[test]
fn a_second_way_back_does_not_go_forward() {
    let digest = |nth: u8| Digest::of(&[nth]);
    let set = |nth: u8, api: &str| VerifiedSet::of(deployed(&[("api", api)]), digest(nth));
    let verified = [set(1, "2.4.0"), set(2, "3.0.0")];
    let live = deployed(&[("api", "3.0.0")]);
    let (back, order) = shop().way_back(&live, &verified, &BTreeSet::new()).unwrap();
    assert_eq!(back.evidence, digest(1));
    let mut now = live;
    order.steps.iter().for_each(|step| step.apply(&mut now));
    let none = shop().way_back(&now, &verified, &BTreeSet::new()).unwrap_err();
    assert_eq!(none.tried, [(digest(2), NotThere::Later), (digest(1), NotThere::Live)]);
    // Where others run beside it, whoever went back says so.
    now.insert(id("shop"), version("2.1.0"));
    now.insert(id("api"), version("2.4.0"));
    let abandoned = [digest(2)].into();
    let none = shop().way_back(&now, &verified, &abandoned).unwrap_err();
    assert_eq!(none.tried, [(digest(2), NotThere::Abandoned), (digest(1), NotThere::Live)]);
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
    let twice = offer("a", "1.0.0", &[("b", "^1"), ("b", "^2")]);
    refused(&[twice, offer("b", "1.0.0", &[])], "`a` 1.0.0 says twice what it needs of `b`");
    let text = serde_json::to_string(&shop()).unwrap();
    assert_eq!(serde_json::from_str::<Catalogue>(&text).unwrap(), shop());
    let twice = text.replace(r#""api":">=2""#, r#""api":">=2","api":"^1""#);
    let error = serde_json::from_str::<Catalogue>(&twice).unwrap_err();
    assert!(error.to_string().contains("says twice what it needs of `api`"), "{error}");
    assert!(matches!(
        Catalogue::new([offer("a", "1.0.0", &[("b", "*")])]),
        Err(CatalogueError::Nothing { .. })
    ));
}
