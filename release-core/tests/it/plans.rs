//! What is wrong with plans, and what plans promise.

use std::sync::Arc;

use proptest::prelude::*;
use release_core::model::{
    Analysis, Mirror, RollbackScope, Rolling, Service, Span, Strategy, Tier, TrafficRules,
};
use release_core::plan::{
    Action, Compensation, EdgeKind, OnFailure, Plan, PlanError, PlanErrors, RetryPolicy, Step,
    Undo, UndoPhase, Weight, plan, plan_with,
};

use super::support::random;
use super::support::samples::{
    approval, artifact, builder, chain, change, criteria, custom, deployment, environment,
    error_rate, id, one_service, one_way, set, shop,
};

#[test]
fn faults_of_plans_made_by_hand() {
    let mut plan = builder();
    let naked = plan.step(Step::new(id("naked"), custom("x")));
    let twin = plan.step(change("twin"));
    plan.step(change("twin").gate(approval("g")).gate(approval("g")));
    plan.step(change("lazy").retry(RetryPolicy::attempts(0)));
    plan.step(change("hasty").timeout(Span::ZERO));
    let fresh_for = Some(Span::ZERO);
    let hasty = Analysis { interval: Span::ZERO, fresh_for, count: 0, ..error_rate() };
    let (deployment, analysis) = (deployment("api", "2.0.0"), Arc::new(hasty));
    plan.step(Step::new(
        id("judge"),
        Action::Analyze { deployment, analysis, from: None, beside: None, until: None },
    ));
    let mut deep = change("deep");
    let nested = (0..33).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
    deep.action = Action::Custom { capability: "x".into(), input: nested };
    plan.step(deep);
    let forever = Action::Bake { duration: Span::secs(400_000_000) };
    plan.step(Step::new(id("forever"), forever));
    let mut lost = change("lost");
    lost.group = Some(7);
    plan.step(lost);
    plan.edge(naked, 99, EdgeKind::Order);
    plan.edge(twin, naked, EdgeKind::Order);
    plan.group("late", vec![0]);
    let PlanErrors(errors) = plan.build().unwrap_err();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let signs = [
        "step `naked` changes something, but says neither",
        "step `twin` stands twice",
        "gate `g` stands twice",
        "step `lazy` has 0 attempts",
        "step `hasty`: `timeout` is 0s",
        "analysis `errors`: `interval` is 0s",
        "analysis `errors`: `fresh_for` is 0s",
        "analysis `errors` takes 0 measurements",
        "step `deep`: its custom input is nested more than 32 levels deep; hand over less",
        "step `forever`: `duration` is",
        "step `lost` refers to group 7",
        "step `edge 0 → 99` refers to step 99",
        "step `group late` refers to earlier group 0",
    ];
    assert_eq!(texts.len(), signs.len(), "{texts:#?}");
    texts.iter().zip(signs).for_each(|(text, sign)| assert!(text.starts_with(sign), "{text}"));
}

#[test]
fn traffic_that_no_router_could_make_is_refused() {
    let to = deployment("api", "2.0.0");
    let share = |percent| Weight::new(to.artifact.digest(), to.version.clone(), percent);
    let copies = |percent| {
        let mirror = Some(Mirror::new(to.artifact.digest(), percent));
        Some(Box::new(TrafficRules { mirror, ..TrafficRules::default() }))
    };
    let route = |weights, rules| Action::Route { target: to.target.clone(), weights, rules };
    for (action, sign) in [
        (route(vec![share(60)], None), "shares add up to 60 %; make them 100"),
        (route(vec![share(50), share(50)], None), "2.0.0 has two shares; give it one"),
        (route(vec![], copies(10)), "rules where nobody is served; leave them out"),
        (route(vec![share(100)], copies(10)), "copies requests to the version that gets all"),
        (route(vec![share(100)], copies(0)), "0 % of requests cannot be copied; write 1 to 100"),
    ] {
        let undo = Compensation { action: action.clone(), phase: UndoPhase::RestoreTraffic };
        for step in [
            Step::new(id("a"), action).undo(change("a").undo),
            change("a").undo(Undo::Compensate(vec![undo])),
        ] {
            let mut plan = builder();
            plan.step(step);
            let errors = plan.build().unwrap_err().0;
            let [PlanError::BadTraffic { step, problem }] = &errors[..] else {
                panic!("{sign}: {errors:?}")
            };
            assert!(*step == id("a") && problem.contains(sign), "{sign}: {problem}");
        }
    }
}

#[test]
fn cycles_of_steps_are_named() {
    let mut plan = builder();
    let [a, b] = ["a", "b"].map(|name| plan.step(change(name)));
    plan.edge(a, b, EdgeKind::Order);
    plan.edge(b, a, EdgeKind::Order);
    let errors = plan.build().unwrap_err();
    assert_eq!(errors.0, [PlanError::Cycle { what: "steps", names: vec!["a".into(), "b".into()] }]);
}

#[test]
fn f43_too_many_steps_are_refused() {
    let definition = shop();
    let all = plan(&definition).unwrap().steps().len();
    plan_with(&definition, |plan| {
        plan.max_steps(all);
    })
    .unwrap();
    let refused = plan_with(&definition, |plan| {
        plan.max_steps(all - 1);
    })
    .unwrap_err();
    assert_eq!(refused.0, [PlanError::TooManySteps { limit: all - 1 }]);
}

/// A thousand batches in each of a thousand regions, for two thousand services: found to be too much before
/// any of it is made, which no memory could hold.
#[test]
fn far_too_many_steps_are_refused_before_they_are_made() {
    let mut definition = one_service(Strategy::Rolling(Rolling {
        batches: 1000,
        max_unavailable: 0.into(),
        bake: Span::ZERO,
        ..Rolling::new(1)
    }));
    let regions: Vec<_> = (0..1000).map(|number| format!("r{number}")).collect();
    let regions: Vec<_> = regions.iter().map(String::as_str).collect();
    definition.environments = vec![environment("prod", Tier::Production, &regions)];
    for number in 0..2000 {
        let name = format!("s{number}");
        definition.services.push(Service::new(id(&name), id("team-a")).replicas(1000));
        for (set, version) in [
            (&mut definition.release.versions, "2.0.0"),
            (&mut definition.release.previous, "1.0.0"),
        ] {
            let artifact = artifact(&name, version);
            *set = std::mem::take(set).with(id(&name), id(version), artifact);
        }
    }
    let refused = plan_with(&definition, |plan| {
        plan.max_steps(usize::MAX);
    });
    assert_eq!(refused.unwrap_err().0, [PlanError::TooManySteps { limit: u32::MAX as usize }]);
}

/// Found in review: only builders had a limit. It is stored unless it is the usual one, so that plans
/// that were allowed more can be read again.
#[test]
fn the_limit_of_steps_holds_for_stored_plans_too() {
    let mut plan = builder();
    plan.max_steps(2);
    plan.step(change("a"));
    plan.step(change("b"));
    let stored = plan.build().unwrap().freeze().bytes().to_vec();
    Plan::decode(&stored).unwrap();
    let text = String::from_utf8(stored).unwrap();
    let less = text.replace(r#""max_steps":2"#, r#""max_steps":1"#);
    assert_ne!(less, text);
    assert_eq!(
        Plan::decode(less.as_bytes()).unwrap_err().0,
        [PlanError::TooManySteps { limit: 1 }]
    );
    assert!(serde_json::from_str::<Plan>(&less).is_err());
    let usual = chain(vec![change("a")]);
    assert!(!String::from_utf8_lossy(usual.bytes()).contains("max_steps"));
}

/// Every kind of step, and every part of one.
fn everything() -> Plan {
    let mut definition = shop();
    definition.notify = vec![id("ops")];
    let made = plan(&definition).unwrap();
    let mut plan = builder();
    for group in made.groups() {
        plan.group(&group.name, group.after.clone());
    }
    for step in made.steps() {
        plan.step(step.clone());
    }
    made.edges().iter().for_each(|edge| plan.edge(edge.from, edge.to, edge.why));
    plan.step(one_way("one-way").retry(RetryPolicy::attempts(7)));
    plan.step(change("custom").timeout(Span::secs(9)));
    plan.build().unwrap()
}

/// Found in review: fields that this version does not know were lost in all but the steps themselves.
#[test]
fn nothing_unknown_in_a_stored_plan_is_passed_over() {
    let json = serde_json::to_value(everything()).unwrap();
    let mut objects = vec![];
    paths(&json, String::new(), &mut objects);
    assert!(objects.len() > 500, "{}", objects.len());
    let kinds: std::collections::BTreeSet<String> =
        objects.iter().map(|path| path.replace(|c: char| c.is_ascii_digit(), "")).collect();
    for kind in kinds {
        let path =
            objects.iter().find(|path| path.replace(|c: char| c.is_ascii_digit(), "") == kind);
        let mut newer = json.clone();
        let object = newer.pointer_mut(path.unwrap()).unwrap().as_object_mut().unwrap();
        object.insert("colour".into(), "red".into());
        let errors = Plan::decode(&serde_json::to_vec(&newer).unwrap()).unwrap_err();
        // An enum's object has one name only, which serde does not say to be unknown.
        let told = match &errors.0[..] {
            [PlanError::UnknownContent { problem }] => problem.contains("colour"),
            [PlanError::Unreadable { .. }] => ["undo", "metric", "success", "on_failure", "gates/"]
                .iter()
                .any(|name| kind.ends_with(name)),
            _ => false,
        };
        assert!(told, "{kind}: {errors}");
        assert!(serde_json::from_value::<Plan>(newer).is_err(), "{kind}");
    }
    let step = r#"{"id":"a","action":{"type":"sync","colour":"red"}}"#;
    assert!(serde_json::from_str::<Step>(step).is_err(), "of steps that do nothing too");
    let newer =
        serde_json::to_string(&json).unwrap().replacen(r#""type":"sync""#, r#""type":"dance""#, 1);
    let errors = Plan::decode(newer.as_bytes()).unwrap_err();
    assert!(matches!(&errors.0[..], [PlanError::UnknownContent { .. }]), "{errors}");
    // Another format is another format, whatever it holds.
    let newer = newer.replace("plan/v1", "plan/v2");
    let errors = Plan::decode(newer.as_bytes()).unwrap_err();
    assert!(matches!(&errors.0[..], [PlanError::UnsupportedFormat { .. }]), "{errors}");
}

/// The JSON pointer of every object in `value`, but for maps whose names are free.
fn paths(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) if !at.ends_with("/labels") => {
            map.iter().for_each(|(name, value)| paths(value, format!("{at}/{name}"), found));
            found.push(at);
        }
        serde_json::Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                paths(value, format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_plan_that_could_never_start_anything_is_refused() {
    let bytes = chain(vec![change("a")]).bytes().to_vec();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(r#""max_parallel":64"#));
    let none = text.replace(r#""max_parallel":64"#, r#""max_parallel":0"#);
    assert!(matches!(
        &Plan::decode(none.as_bytes()).unwrap_err().0[..],
        [PlanError::Unreadable { .. }]
    ));
    let mut none = builder();
    none.max_parallel(0);
    assert_eq!(none.build().unwrap().max_parallel(), 1);
}

#[test]
fn other_formats_and_broken_bytes_are_refused() {
    let text = String::from_utf8(chain(vec![change("a")]).bytes().to_vec()).unwrap();
    let other = text.replace("plan/v1", "plan/v9");
    let errors = Plan::decode(other.as_bytes()).unwrap_err();
    assert!(
        matches!(&errors.0[..], [PlanError::UnsupportedFormat { found, .. }] if found == "plan/v9")
    );
    for bad in ["", "null", "[]", "{}", "\u{0}", &text[1..], &text[..text.len() - 1]] {
        assert!(matches!(
            &Plan::decode(bad.as_bytes()).unwrap_err().0[..],
            [PlanError::Unreadable { .. }]
        ));
    }
    let deep = format!(r#"{{"format":{}"#, "[".repeat(100_000));
    Plan::decode(deep.as_bytes()).unwrap_err();
    // What a builder refuses, a decoder refuses too.
    let naked = text.replace(r#""undo":{"compensate""#, r#""undo":{"compensated""#);
    Plan::decode(naked.as_bytes()).unwrap_err();
}

/// An analysis whose bake does not come before it would measure from who knows when.
#[test]
fn an_analysis_measures_from_a_bake_before_it() {
    let judged = |edges: &[(u32, u32)]| {
        let mut plan = builder();
        let (deployment, analysis) = (deployment("api", "2.0.0"), Arc::new(error_rate()));
        let from = Some(id("bake"));
        plan.step(Step::new(
            id("judge"),
            Action::Analyze { deployment, analysis, from, beside: None, until: None },
        ));
        plan.step(Step::new(id("bake"), Action::Bake { duration: Span::secs(1) }));
        plan.step(change("between"));
        for (from, to) in edges {
            plan.edge(*from, *to, EdgeKind::Order);
        }
        plan.build().map_err(|errors| errors.0)
    };
    judged(&[(1, 0)]).unwrap();
    judged(&[(1, 2), (2, 0)]).unwrap();
    let refused = [PlanError::NoSuchWindow { step: id("judge"), from: id("bake") }];
    for edges in [&[][..], &[(0, 1)], &[(2, 0)], &[(0, 2), (2, 1)]] {
        assert_eq!(judged(edges).unwrap_err(), refused, "{edges:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plans_are_deterministic_sound_and_survive_their_bytes(definition in random::definition()) {
        let frozen = plan(&definition).unwrap().freeze();
        let again = plan(&definition).unwrap().freeze();
        prop_assert_eq!(frozen.bytes(), again.bytes());
        prop_assert_eq!(frozen.digest(), again.digest());
        let decoded = Plan::decode(frozen.bytes()).unwrap();
        prop_assert_eq!(decoded.plan(), frozen.plan());
        prop_assert_eq!(decoded.bytes(), frozen.bytes());
        prop_assert!(frozen.plan().diff(decoded.plan()).is_empty());
        prop_assert_eq!(frozen.plan().definition(), Some(definition.digest()));
        sound(frozen.plan());
    }

    #[test]
    fn plans_by_hand_survive_their_bytes(frozen in random::dag()) {
        let decoded = Plan::decode(frozen.bytes()).unwrap();
        prop_assert_eq!(decoded.plan(), frozen.plan());
        let again = decoded.plan().clone().freeze();
        prop_assert_eq!(again.bytes(), frozen.bytes());
    }

    #[test]
    fn numbers_survive_their_bytes(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
        let finite = release_core::model::Finite::new(number).unwrap();
        let json = serde_json::to_string(&finite).unwrap();
        prop_assert_eq!(serde_json::from_str::<release_core::model::Finite>(&json).unwrap(), finite);
    }
}

/// In every target: the new version runs and is ready before it is served, and the old one is only
/// removed once nobody is sent to it, but for strategies that say so.
fn sound(plan: &Plan) {
    let order = plan.order().unwrap();
    assert_eq!(order.len(), plan.steps().len());
    let place: Vec<usize> = (0..order.len())
        .map(|index| order.iter().position(|at| *at as usize == index).unwrap())
        .collect();
    for edge in plan.edges() {
        assert!(place[edge.from as usize] < place[edge.to as usize]);
    }
    for step in plan.steps().iter().filter(|step| step.action.mutates()) {
        assert_ne!(step.undo, Undo::Undeclared, "{}", step.id);
        // What removes the old version comes after everything was verified: people mend it.
        let finale = step.id.as_str().ends_with("/remove-old");
        let held = step.on_failure == OnFailure::Hold;
        assert!(
            if finale { held } else { matches!(step.on_failure, OnFailure::RollBack(_)) },
            "{}",
            step.id
        );
    }
}

/// 31,000 steps from a definition, on a small stack.
#[test]
fn f43_a_large_definition_needs_no_stack() {
    let count = 500;
    let names: Vec<_> = (0..count).map(|n| format!("s{n}")).collect();
    let members = |version: &'static str| -> Vec<(&str, &str)> {
        names.iter().map(|name| (name.as_str(), version)).collect()
    };
    let mut definition = one_service(Strategy::Recreate);
    definition.release.versions = set(&members("2.0.0"));
    definition.release.previous = set(&members("1.0.0"));
    definition.release.rollback = Some(criteria(RollbackScope::Release));
    definition.services = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let service = Service::new(id(name), id("team"));
            // A chain as long as the train: depth must cost no stack.
            if n == 0 { service } else { service.needs(id(&names[n - 1]), id("*")) }
        })
        .collect();
    let regions: Vec<_> = (0..12).map(|n| format!("r{n}")).collect();
    let regions: Vec<_> = regions.iter().map(String::as_str).collect();
    definition.environments = vec![environment("prod", Tier::Production, &regions)];
    let steps = small_stack(move || plan(&definition).unwrap().freeze().len());
    assert_eq!(steps, 2 * count + 1 + 12 * (7 * count + 1));
}

/// Steps by hand in the two worst shapes: one chain, and one step before all others.
#[test]
fn f43_a_large_plan_needs_no_stack() {
    let count = 200_000_u32;
    let action = Step::new(id("step"), Action::Sync);
    let shapes = |star: bool| {
        let mut plan = builder();
        for n in 0..count {
            let id = id(&n.to_string());
            plan.step(Step { id, ..action.clone() });
            if n > 0 {
                plan.edge(if star { 0 } else { n - 1 }, n, EdgeKind::Order);
            }
        }
        plan
    };
    let (chain, star) = (shapes(false), shapes(true));
    let steps = small_stack(move || {
        assert_eq!(star.build().unwrap().steps().len(), count as usize);
        chain.build().unwrap().order().unwrap().len()
    });
    assert_eq!(steps, count as usize);
}

fn small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap()
}

#[test]
fn a_point_of_no_return_needs_no_compensation() {
    assert_eq!(chain(vec![one_way("a")]).len(), 1);
}

/// Steps that do not wait for each other keep the order in which they were written down.
#[test]
fn steps_come_in_their_own_order_where_that_is_one() {
    let steps = |edges: &[(u32, u32)]| {
        let mut plan = builder();
        for name in ["c", "a", "b"] {
            plan.step(Step::new(id(name), Action::Sync));
        }
        for (from, to) in edges {
            plan.edge(*from, *to, EdgeKind::Order);
        }
        plan.build().unwrap().order().unwrap()
    };
    assert_eq!(steps(&[]), [0, 1, 2]);
    assert_eq!(steps(&[(0, 2), (0, 1)]), [0, 1, 2]);
    let other = steps(&[(2, 0)]);
    let place = |step: u32| other.iter().position(|one| *one == step);
    assert!(place(2) < place(0), "{other:?}");
}
