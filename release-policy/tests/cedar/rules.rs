//! What is written, what it decides, and what is refused.

use std::fmt::Write as _;

use proptest::prelude::*;
use release_core::model::{Principal, RunId, Timestamp};
use release_core::plan::{Action, Place, Step, StepScope};
use release_core::port::{Admission, CommandRequest, Decision, Policy, ReasonKind};
use release_core::run::Command;
use release_policy::cedar::{CedarError, CedarRules, FactType};
use release_policy::decision::{Condition, Fact, Facts, PolicyBook, PolicySet, Rule};

const ANYBODY: &str = r#"@id("all") @owner("platform") permit (principal, action, resource);"#;

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn read(source: &str) -> Result<CedarRules, CedarError> {
    let facts = [("risk", FactType::Number), ("urgent", FactType::Flag), ("route", FactType::Text)];
    CedarRules::new(source, facts)
}

fn rules(more: &str) -> CedarRules {
    read(&format!("{ANYBODY}\n{more}")).unwrap()
}

fn step(environment: &str, region: Option<&str>) -> Step {
    let mut step = Step::new(id("s"), Action::Sync);
    let mut place = Place::new(id(environment));
    place.region = region.map(id);
    step.scope = StepScope::of(place);
    step
}

fn admit(policy: &dyn Policy, who: &Principal, step: &Step) -> Decision {
    policy.admit(&Admission::new(&id("r"), who, step, Timestamp::default()))
}

fn ann() -> Principal {
    Principal::human(id("ann"))
}

/// With the rules in a book that knows facts.
fn knowing(rules: CedarRules, facts: Facts) -> PolicyBook {
    let anything = Rule::allow("anything", Condition::Always, "platform");
    let set = PolicySet::new([anything]).unwrap().cedar(rules);
    PolicyBook::new(set).with_facts(id::<RunId>("r"), facts)
}

fn told(decision: &Decision) -> Vec<String> {
    decision.reasons().iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_rule_that_permits_it_is_denied() {
    let denied = admit(&read("").unwrap(), &ann(), &step("production", None));
    let none = "permit: no rule in Cedar permits this (lifted by a rule that permits it, by whoever owns the rules)";
    assert_eq!(told(&denied), [none]);
    assert_eq!(denied.reasons()[0].kind, ReasonKind::Missing);
}

#[test]
fn a_forbid_beats_every_permit_and_is_named_with_its_owner() {
    let frozen = r#"@id("eu") @owner("sre") @because("the region moves")
        forbid (principal, action, resource in Release::Region::"eu");"#;
    let rules = rules(frozen);
    assert!(admit(&rules, &ann(), &step("production", Some("us"))).is_permit());
    let denied = admit(&rules, &ann(), &step("production", Some("eu")));
    assert!(denied.is_deny());
    assert_eq!(told(&denied), ["forbid/eu: the region moves (lifted by sre)"]);
}

#[test]
fn what_concerns_all_regions_can_be_told_from_what_concerns_one() {
    let wide = r#"@id("one-by-one") @owner("sre")
        forbid (principal, action, resource is Release::Step) unless { resource has region };"#;
    assert!(admit(&rules(wide), &ann(), &step("production", None)).is_deny());
    assert!(admit(&rules(wide), &ann(), &step("production", Some("eu"))).is_permit());
}

#[test]
fn people_machines_and_roles_are_told_apart() {
    let some = r#"@id("managers") @owner("platform")
        permit (principal is Release::Person in Release::Role::"manager", action, resource);"#;
    let rules = read(some).unwrap();
    let step = step("production", None);
    assert!(admit(&rules, &ann(), &step).is_deny());
    assert!(admit(&rules, &ann().with_role(id("manager")), &step).is_permit());
    let robot = Principal::service(id("ann")).with_role(id("manager"));
    assert!(admit(&rules, &robot, &step).is_deny());
}

#[test]
fn every_command_can_be_asked_about() {
    let own = r#"@id("own") @owner("platform")
        permit (principal, action == Release::Action::"cancel", resource is Release::Run)
        when { resource.requester == principal.id };"#;
    let (rules, run) = (read(own).unwrap(), id::<RunId>("r"));
    let ask = |by: &Principal, command: &Command| {
        rules.authorize(&CommandRequest::new(&run, &ann(), by, command, Timestamp::default()))
    };
    assert!(ask(&ann(), &Command::Cancel).is_permit());
    assert!(ask(&Principal::human(id("bob")), &Command::Cancel).is_deny());
    let gate = || id("production/go");
    let all = [
        Command::Pause,
        Command::Resume,
        Command::Abandon,
        Command::ForceAbandon,
        Command::ReleaseQuarantine,
        Command::Approve { gate: gate() },
        Command::Reject { gate: gate() },
        Command::Retry { step: id("s") },
        Command::Reconcile { step: id("s"), applied: true },
        Command::Supersede { run: id("newer") },
        Command::Note { topic: id("t"), content: serde_json::Value::Null },
    ];
    for command in all {
        let denied = ask(&ann(), &command);
        assert_eq!(denied.reasons()[0].rule, "permit", "{}: {denied:?}", command.name());
    }
}

/// Cedar leaves a `forbid` out that fails while it is evaluated.
#[test]
fn a_forbid_that_fails_denies_and_a_permit_that_fails_does_not_permit() {
    let overflows =
        "when { context.facts has risk && context.facts.risk + 9223372036854775807 > 0 }";
    let forbid =
        format!(r#"@id("f") @owner("sre") forbid (principal, action, resource) {overflows};"#);
    let permit =
        format!(r#"@id("p") @owner("sre") permit (principal, action, resource) {overflows};"#);
    let step = step("production", None);
    let facts = |risk| Facts::new().number("risk", risk);
    let denied = admit(&knowing(rules(&forbid), facts(1)), &ann(), &step);
    assert!(denied.is_deny());
    let why = &denied.reasons()[0];
    assert_eq!((why.rule.as_str(), why.kind), ("forbid/f", ReasonKind::Error));
    assert!(why.text.contains("overflow"), "{}", why.text);
    assert!(admit(&knowing(rules(&forbid), facts(-1)), &ann(), &step).is_deny(), "it applies");
    assert!(admit(&knowing(rules(&forbid), facts(i64::MIN)), &ann(), &step).is_permit());

    let alone = admit(&knowing(read(&permit).unwrap(), facts(1)), &ann(), &step);
    let rules_of: Vec<_> = alone.reasons().iter().map(|why| why.rule.as_str()).collect();
    assert_eq!((alone.is_deny(), rules_of), (true, vec!["permit", "permit/p"]), "{alone:?}");
    assert!(admit(&knowing(rules(&permit), facts(1)), &ann(), &step).is_permit(), "by the other");
}

#[test]
fn facts_are_known_by_name_and_type() {
    let risky = r#"@id("risky") @owner("sre") forbid (principal, action, resource)
        unless { context.facts has risk && context.facts.risk < 70 };"#;
    let ask = |facts| admit(&knowing(rules(risky), facts), &ann(), &step("production", None));
    assert!(ask(Facts::new()).is_deny(), "nobody knows");
    assert!(ask(Facts::new().number("risk", 69)).is_permit());
    assert!(ask(Facts::new().number("risk", 70)).is_deny());
    assert!(ask(Facts::new().with("risk", Fact::Text("low".into()))).is_deny(), "another type");
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let rule =
        |head: &str, tail: &str| format!("{head} permit (principal, action, resource){tail};");
    let cases = [
        ("permit (", "the rules cannot be read"),
        (&rule("", ""), "rule number 1 has no @id"),
        (&rule(r#"@id("a")"#, ""), "rule `a` has no @owner"),
        (&format!("{ANYBODY}{ANYBODY}"), r#"there are two rules @id("all")"#),
        (
            &rule(r#"@id("a") @owner("o")"#, " when { context.facts.risk < 1 }"),
            "rule `a` does not fit the schema",
        ),
        (
            &rule(
                r#"@id("a") @owner("o")"#,
                " when { context.facts has route && context.facts.route < 1 }",
            ),
            "rule `a` does not fit the schema",
        ),
        (
            &rule(r#"@id("a") @owner("o")"#, r#" when { resource.colour == "red" }"#),
            "rule `a` does not fit the schema",
        ),
        (
            r#"@id("t") @owner("o") permit (principal == ?principal, action, resource);"#,
            "rule `t` is a template",
        ),
    ];
    for (source, want) in cases {
        let error = read(source).unwrap_err().to_string();
        assert!(error.contains(want), "{source}: {error}");
    }
    let error = CedarRules::new("", [("a b", FactType::Flag)]).unwrap_err();
    assert_eq!(error, CedarError::FactName { name: "a b".into() });
    let long = " ".repeat(2 << 20);
    assert_eq!(read(&long).unwrap_err(), CedarError::TooLong(2 << 20));
}

#[test]
fn their_order_and_layout_do_not_matter_and_all_else_does() {
    let other =
        r#"@id("b") @owner("o") forbid (principal, action, resource in Release::Team::"x");"#;
    let one = read(&format!("{ANYBODY}\n{other}")).unwrap().digest();
    assert_eq!(one, read(&format!("{other}   {ANYBODY}")).unwrap().digest());
    assert_ne!(one, read(ANYBODY).unwrap().digest());
    assert_ne!(
        one,
        read(&format!("{ANYBODY}\n{}", other.replace("\"x\"", "\"y\""))).unwrap().digest()
    );
    let more = CedarRules::new(&format!("{ANYBODY}\n{other}"), [("risk", FactType::Number)]);
    assert_ne!(one, more.unwrap().digest(), "other facts");
    let stamped = admit(&rules(other), &ann(), &step("production", None));
    assert_eq!(stamped.inputs().and_then(|inputs| inputs.policy), Some(one));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// One more forbid never turns a denial into a permit, one more permit never a permit into a denial.
    #[test]
    fn more_forbids_deny_more_and_more_permits_permit_more(
        forbids in prop::collection::vec((0..3_usize, -2..3_i64), 0..4),
        permits in prop::collection::vec((0..3_usize, -2..3_i64), 0..4),
        risk in -2..3_i64,
        at in 0..3_usize,
    ) {
        let places = ["staging", "production", "qa"];
        let write = |effect: &str, all: &[(usize, i64)]| {
            all.iter().enumerate().fold(String::new(), |mut text, (nth, (place, least))| {
                writeln!(
                    text,
                    "@id(\"{effect}-{nth}\") @owner(\"o\") {effect} (principal, action, resource in \
                     Release::Environment::\"{}\") when {{ context.facts has risk && \
                     context.facts.risk >= {least} }};",
                    places[*place],
                )
                .unwrap();
                text
            })
        };
        let ask = |forbids: &[(usize, i64)], permits: &[(usize, i64)]| {
            let source = write("permit", permits) + &write("forbid", forbids);
            let book = knowing(read(&source).unwrap(), Facts::new().number("risk", risk));
            admit(&book, &ann(), &step(places[at], None)).is_permit()
        };
        let all = ask(&forbids, &permits);
        // As anybody would work it out.
        let any = |all: &[(usize, i64)]| all.iter().any(|(place, least)| *place == at && risk >= *least);
        prop_assert_eq!(all, any(&permits) && !any(&forbids));
        if let Some((_, fewer)) = forbids.split_last() {
            prop_assert!(ask(fewer, &permits) || !all);
        }
        if let Some((_, fewer)) = permits.split_last() {
            prop_assert!(all || !ask(&forbids, fewer));
        }
    }
}
