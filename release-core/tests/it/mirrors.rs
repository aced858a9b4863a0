//! Copies of requests: how files say them, and what of that is in plans.

use release_core::model::{
    Canary, CanaryStep, Copies, Definition, HeaderMatch, Mirror, RequestMatch, Shadow, Strategy,
    TextMatch,
};
use release_core::plan::{Action, Plan, plan};

use super::comparing::{comparing, definition};
use super::expansion::table;
use super::strategies::{minute, refused, step};
use super::support::samples::one_service;

/// A table with every part of a match, as of Argo Rollouts' `setMirrorRoute`.
fn some() -> Copies {
    let kind = HeaderMatch { name: "x-kind".into(), value: TextMatch::Regex("a|b".into()) };
    let first = RequestMatch { headers: vec![kind], ..RequestMatch::default() };
    let first = first.with_method("GET").with_path(TextMatch::Prefix("/orders".into()));
    Copies::of(35).with_only([first, RequestMatch::header("x-canary", "yes")])
}

fn mirrored(copies: Copies) -> Strategy {
    Strategy::Canary(Canary::new(vec![CanaryStep { mirror: Some(copies), ..step(0) }]))
}

/// The copies of a definition's first step.
fn copies_of(definition: &Definition) -> Option<&Copies> {
    let Strategy::Canary(canary) = &definition.stages[0].strategy else { panic!("a canary") };
    canary.steps[0].mirror.as_ref()
}

fn mirrors(plan: &Plan) -> Vec<Mirror> {
    let rules = plan.steps().iter().filter_map(|step| match &step.action {
        Action::Route { rules, .. } => rules.as_ref()?.mirror.clone(),
        _ => None,
    });
    rules.collect()
}

const NUMBER: &str = "mirror: 35";
const TABLE: &str = "mirror: { percent: 35, only: [
            { method: { exact: GET }, path: { prefix: /orders },
              headers: [{ name: x-kind, value: { regex: a|b } }] },
            { headers: [{ name: x-canary, value: { exact: 'yes' } }] },
          ] }";

/// A file in which the step's copies are a mark, with `text` in its place.
fn file_with(text: &str) -> String {
    let yaml = one_service(mirrored(Copies::of(35))).to_yaml().unwrap();
    assert_eq!(yaml.matches(NUMBER).count(), 1, "{yaml}");
    yaml.replace(NUMBER, text)
}

#[test]
fn files_say_copies_as_a_number_or_as_a_table() {
    for (text, copies) in [(NUMBER, Copies::of(35)), (TABLE, some())] {
        let read = Definition::parse("a.yaml", &file_with(text)).unwrap();
        assert_eq!(copies_of(&read), Some(&copies));
        assert_eq!(read, one_service(mirrored(copies)));
        let again = Definition::parse("a.yaml", &read.to_yaml().unwrap()).unwrap();
        let toml = toml::to_string(&read).unwrap();
        let other = Definition::parse("a.toml", &toml).unwrap();
        assert_eq!((&again, &other), (&read, &read), "{toml}");
    }
    let toml = toml::to_string(&one_service(mirrored(Copies::of(35)))).unwrap();
    assert!(toml.contains("mirror = 35\n"), "{toml}");
}

#[test]
fn copies_that_are_wrong_in_files_are_named_with_what_would_be_right() {
    for (text, why) in [
        ("mirror: 0", "`0` is no share of the requests; write a whole number from 1 to 100"),
        ("mirror: 101", "`101` is no share of the requests"),
        ("mirror: a tenth", "a whole number from 1 to 100, or a table with `percent` and `only`"),
        ("mirror: [10]", "a whole number from 1 to 100, or a table with `percent` and `only`"),
        ("mirror: { only: [] }", "percent"),
        ("mirror: { percent: 10, match: [] }", "unknown field `match`"),
        (
            "mirror: { percent: 10, only: [{ path: /a }] }",
            "unknown value `/a`, expected one of exact, prefix, regex",
        ),
    ] {
        let error = Definition::parse("a.yaml", &file_with(text)).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
}

#[test]
fn plans_have_the_rule_for_the_step_that_says_it() {
    let canary = Canary::new(vec![CanaryStep { mirror: Some(some()), ..step(0) }, step(50)]);
    let plan = plan(&one_service(Strategy::Canary(canary))).unwrap();
    let [mirror] = &mirrors(&plan)[..] else { panic!("{:?}", mirrors(&plan)) };
    assert_eq!((mirror.percent, &mirror.only), (35, &some().only));
    assert_eq!(*mirror, some().rule(mirror.to));
    let shown = table(&plan);
    let want = "prod/eu/api/weight-0: route 100%→1.0.0, 35% mirrored of `GET` `/orders…` `x-kind` or `x-canary`";
    assert!(shown.iter().any(|line| line == want), "{shown:#?}");
    // What a plan says of them it says again.
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn a_shadow_gets_copies_of_what_it_names() {
    let shadow = |only| Shadow { only, ..Shadow::new(35, minute()) };
    let plan = plan(&one_service(Strategy::Shadow(shadow(some().only)))).unwrap();
    let [mirror] = &mirrors(&plan)[..] else { panic!("{:?}", mirrors(&plan)) };
    assert_eq!(*mirror, some().rule(mirror.to));
    let none = shadow(vec![RequestMatch::default()]);
    refused(Strategy::Shadow(none), "`shadow.only`: a match that says nothing fits every request");
}

#[test]
fn matches_that_no_request_could_fit_are_refused() {
    let of = |only: RequestMatch| mirrored(Copies::of(10).with_only([only]));
    let path = |path: &str| of(RequestMatch::default().with_path(TextMatch::Exact(path.into())));
    for (strategy, why) in [
        (mirrored(Copies::of(0)), "`mirror` is 0; write a whole number from 1 to 100"),
        (of(RequestMatch::default()), "`mirror`: a match that says nothing fits every request"),
        (of(RequestMatch::default().with_method("get")), "method `get` is none"),
        (path("orders"), "path `orders` does not begin with `/`; write `/orders`"),
        (path("/orders?all"), "leave out what follows"),
        (of(RequestMatch::header("X", "1")), "header `X` is no name"),
    ] {
        refused(strategy, why);
    }
}

/// What is copied is another kind of requests than what the old version gets, so that no share says how many there are.
#[test]
fn a_comparison_of_picked_copies_expects_no_share() {
    let beside = |copies: Copies| {
        let plan = plan(&definition(mirrored(copies), comparing(|_| {}))).unwrap();
        let all = plan.steps().iter().filter_map(|step| match &step.action {
            Action::Analyze { beside: Some(beside), .. } => Some((beside.share, beside.steered)),
            _ => None,
        });
        all.collect::<Vec<_>>()
    };
    assert_eq!(beside(Copies::of(100)), [(50, false)]);
    let some = Copies::of(100).with_only(some().only);
    assert_eq!(beside(some), [(50, true)]);
}
