//! The laws of decisions, over rules of every kind, with facts that are known, unknown or of another type.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::port::{Decision, Inputs, Policy as _, ReasonKind};
use release_policy::decision::{
    Condition, Fact, Facts, MAX_RULES, Need, PolicyBook, PolicySet, Rule, Test,
};
use release_policy::window::{ActionClass, Invokers, Scope};

use super::support::{ask, at, id, risk, set};

/// Enough cases for each law, cheap as they are.
const CASES: u32 = 100_000;

fn condition() -> impl Strategy<Value = Condition> {
    let scope = |name: &str| Scope { environments: [id(name)].into(), ..Scope::default() };
    let service = Scope { services: [id("api")].into(), ..Scope::default() };
    let leaf = prop_oneof![
        Just(Condition::Always),
        Just(Condition::In(scope("production"))),
        Just(Condition::In(scope("staging"))),
        Just(Condition::In(service)),
        Just(Condition::Action([ActionClass::Deploy].into())),
        Just(Condition::Command(BTreeSet::from(["cancel".to_owned()]))),
        Just(Condition::By(Invokers::humans())),
        Just(Condition::By(Invokers::automation())),
        (0_i64..3).prop_map(|least| risk(Test::AtLeast(least))),
        Just(risk(Test::Equals(Fact::Text("high".into())))),
        Just(Condition::Fact { name: "unheard".into(), is: Test::AtMost(1) }),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 1..3).prop_map(Condition::Any),
            inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

/// A rule without a name yet: whether it denies, when it applies, and from when on it allows.
fn rule() -> impl Strategy<Value = (bool, Condition, Option<i64>)> {
    (any::<bool>(), condition(), prop::option::weighted(0.3, 99_i64..102))
}

type Draft = (bool, Condition, Option<i64>);

fn named((number, (denies, when, from)): (usize, Draft)) -> Rule {
    let name = format!("r{number}");
    match from {
        _ if denies => Rule::deny(name, when, "sre"),
        None => Rule::allow(name, when, "sre"),
        Some(from) => Rule::allow(name, when, "sre").needs(Need::NotBefore { at: at(from) }),
    }
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(rule(), 0..4)
        .prop_map(|drafts| drafts.into_iter().enumerate().map(named).collect())
}

fn facts() -> impl Strategy<Value = Facts> {
    prop_oneof![
        Just(Facts::new()),
        (0_i64..3).prop_map(|risk| Facts::new().number("risk", risk)),
        Just(Facts::new().with("risk", Fact::Text("high".into()))),
    ]
}

fn decide(rules: Vec<Rule>, facts: &Facts) -> Decision {
    let book = PolicyBook::new(PolicySet::new(rules).unwrap());
    ask(&book.with_facts(id("r"), facts.clone()), None)
}

fn and(rules: &[Rule], more: Rule) -> Vec<Rule> {
    rules.iter().cloned().chain([more]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_more_rule_that_denies_never_turns_deny_into_permit(
        rules in rules(), facts in facts(), when in condition(),
    ) {
        let before = decide(rules.clone(), &facts);
        let after = decide(and(&rules, Rule::deny("more", when, "sre")), &facts);
        prop_assert!(before.is_permit() || !after.is_permit(), "{:?} {:?}", before, after);
        prop_assert!(!before.is_deny() || after.is_deny(), "{:?} {:?}", before, after);
    }

    #[test]
    fn one_more_rule_that_allows_never_turns_permit_into_deny(
        rules in rules(), facts in facts(), when in condition(),
    ) {
        let before = decide(rules.clone(), &facts);
        let after = decide(and(&rules, Rule::allow("more", when, "sre")), &facts);
        prop_assert!(!before.is_permit() || after.is_permit(), "{:?} {:?}", before, after);
        prop_assert!(before.is_deny() || !after.is_deny(), "{:?} {:?}", before, after);
    }

    #[test]
    fn the_order_of_rules_and_of_parts_never_matters(
        (rules, shuffled) in rules().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        (parts, mixed) in prop::collection::vec(condition(), 1..4)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        facts in facts(), any in any::<bool>(), denies in any::<bool>(),
    ) {
        let last = |parts: Vec<Condition>| {
            let when = if any { Condition::Any(parts) } else { Condition::All(parts) };
            if denies { Rule::deny("last", when, "sre") } else { Rule::allow("last", when, "sre") }
        };
        let one = decide(and(&rules, last(parts)), &facts);
        let two = decide(and(&shuffled, last(mixed)), &facts);
        prop_assert_eq!(one.reasons(), two.reasons());
        prop_assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&two));
    }

    /// What the set says, worked out from what each rule says alone.
    #[test]
    fn deny_beats_wait_beats_permit_and_nothing_permits_by_itself(rules in rules(), facts in facts()) {
        let alone = |rule: &Rule| match rule.effect {
            release_policy::decision::Effect::Allow => decide(vec![rule.clone()], &facts),
            release_policy::decision::Effect::Deny => {
                let always = Rule::allow("always", Condition::Always, "sre");
                decide(vec![rule.clone(), always], &facts)
            }
        };
        let (mut denied, mut allowed, mut waits) = (false, false, false);
        for rule in &rules {
            let said = alone(rule);
            if rule.effect == release_policy::decision::Effect::Deny {
                denied |= said.is_deny();
            } else {
                allowed |= said.is_permit();
                waits |= matches!(said, Decision::Wait { .. });
            }
        }
        let found = decide(rules, &facts);
        prop_assert_eq!(found.is_deny(), denied || !(allowed || waits));
        prop_assert_eq!(found.is_permit(), !denied && allowed);
    }
}

#[test]
fn the_empty_policy_denies_and_says_what_is_missing() {
    let Decision::Deny { reasons, .. } = ask(&set(&[]), None) else { panic!("it permits") };
    assert_eq!(reasons.len(), 1);
    assert_eq!((&*reasons[0].rule, reasons[0].kind), ("allow", ReasonKind::Missing));
}

#[test]
fn an_error_in_a_rule_that_denies_denies_and_in_one_that_allows_does_not_allow() {
    let always = Rule::allow("always", Condition::Always, "sre");
    let high = || risk(Test::AtLeast(70));
    let text = Facts::new().with("risk", Fact::Text("high".into()));
    for (facts, says) in [
        (Facts::new(), "nothing is known of `risk`"),
        (text, "`risk` is of another type than the rule asks for"),
    ] {
        for rules in [
            vec![always.clone(), Rule::deny("d", high(), "sre")],
            vec![always.clone(), Rule::deny("d", Condition::Not(Box::new(high())), "sre")],
            vec![Rule::allow("d", high(), "sre")],
            vec![Rule::allow("d", Condition::Not(Box::new(high())), "sre")],
        ] {
            let found = decide(rules, &facts);
            let told = found.reasons().iter().find(|reason| reason.kind == ReasonKind::Error);
            assert!(found.is_deny() && told.is_some_and(|reason| reason.text == says), "{found:?}");
        }
    }
}

/// A place that is only in part in a scope is denied by it, and not allowed by it.
#[test]
fn what_is_wider_than_a_scope_is_denied_by_it_and_not_allowed() {
    let api = || Condition::In(Scope { services: [id("api")].into(), ..Scope::default() });
    let always = Rule::allow("always", Condition::Always, "sre");
    let not = |part: Condition| Condition::Not(Box::new(part));
    assert!(ask(&set(&[always.clone(), Rule::deny("d", api(), "sre")]), None).is_deny());
    assert!(ask(&set(&[Rule::allow("a", api(), "sre")]), None).is_deny());
    assert!(ask(&set(&[Rule::allow("a", not(api()), "sre")]), None).is_deny());
    assert!(ask(&set(&[always, Rule::deny("d", not(api()), "sre")]), None).is_deny());
}

#[test]
fn of_several_ways_to_be_allowed_the_first_counts_and_of_several_needs_the_last() {
    let from = |second| Need::NotBefore { at: at(second) };
    let late = Rule::allow("late", Condition::Always, "sre").needs(from(900));
    let both = Rule::allow("both", Condition::Always, "sre").needs(from(200)).needs(from(300));
    let Decision::Wait { until, reasons, inputs } = ask(&set(&[late, both]), None) else {
        panic!()
    };
    assert_eq!((until, reasons.len()), (Some(at(300)), 3));
    assert!(inputs.is_some_and(|inputs| inputs.policy.is_some()));
}

#[test]
fn every_input_changes_its_digest_and_no_other() {
    let inputs = |decision: Decision| *decision.inputs().unwrap();
    let rules = [Rule::allow("always", Condition::Always, "sre")];
    let one = inputs(decide(rules.to_vec(), &Facts::new()));
    let known = inputs(decide(rules.to_vec(), &Facts::new().number("risk", 1)));
    assert_ne!(one.facts, known.facts);
    assert_eq!(Inputs { facts: None, ..one }, Inputs { facts: None, ..known });
    let owned = [rules[0].clone().because("for a reason")];
    let changed = inputs(decide(owned.to_vec(), &Facts::new()));
    assert_ne!(one.policy, changed.policy);
    assert_eq!(Inputs { policy: None, ..one }, Inputs { policy: None, ..changed });
    let windows = release_policy::Windows::default();
    let with = inputs(ask(&set(&rules).windows(windows.clone()), None));
    assert_eq!((with.calendar, with.policy), (Some(windows.digest()), one.policy));
    assert!(rules.len() < MAX_RULES);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rules are looked up by the place that they name. Behind two negations nothing is seen of it, so that they
    /// are looked at wherever something is asked; and a double negation changes nothing.
    #[test]
    fn what_is_looked_up_is_what_applies(
        rules in rules(),
        facts in facts(),
        environment in prop::sample::select(vec!["production", "staging", "qa"]),
        service in prop::option::of(prop::sample::select(vec!["api", "web"])),
    ) {
        let hidden = rules.iter().cloned().map(|mut rule| {
            rule.when = Condition::Not(Box::new(Condition::Not(Box::new(rule.when))));
            rule
        });
        let mut step = super::support::step();
        let mut place = release_core::plan::Place::new(id(environment));
        place.service = service.map(id);
        step.scope = release_core::plan::StepScope::of(place);
        let ask = |rules: Vec<Rule>| {
            let book = PolicyBook::new(set(&rules)).with_facts(id("r"), facts.clone());
            let (run, ann) = (id("r"), release_core::model::Principal::human(id("ann")));
            let decision = book.admit(&release_core::port::Admission::new(&run, &ann, &step, at(100)));
            let told: Vec<_> = decision.reasons().iter().map(ToString::to_string).collect();
            (decision.is_permit(), decision.is_deny(), told)
        };
        prop_assert_eq!(ask(rules.clone()), ask(hidden.collect()));
    }
}
