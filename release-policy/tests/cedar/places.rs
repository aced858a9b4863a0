//! What requests touch: all of what they leave open, and what commands are about.

use std::fmt::Write as _;

use proptest::prelude::*;
use release_core::model::{Approval, Digest, Gate, Principal, Timestamp};
use release_core::plan::{Action, Place, Plan, Step, StepScope};
use release_core::port::{Admission, CommandRequest, Decision, Policy};
use release_core::run::{Command, Event, Fact, RunState};
use release_policy::cedar::{CedarError, CedarRules};

const ALL: &str = r#"@id("all") @owner("p") permit (principal, action, resource);"#;

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn ann() -> Principal {
    Principal::human(id("ann"))
}

fn rules(effect: &str, condition: &str) -> CedarRules {
    let all = if effect == "forbid" { ALL } else { "" };
    let rule = format!("@id(\"rule\") @owner(\"o\") {effect} (principal, action, resource)");
    CedarRules::new(&format!("{all}\n{rule} when {{ {condition} }};"), []).unwrap()
}

/// In production, and a region, a service and a team or all.
fn place(region: &str, service: &str, team: &str) -> Place {
    let part = |text: &str| (text != "*").then(|| text.to_owned());
    let mut place = Place::new(id("production"));
    place.region = part(region).map(|text| id(&text));
    place.service = part(service).map(|text| id(&text));
    place.team = part(team).map(|text| id(&text));
    place
}

fn admit(rules: &CedarRules, place: Option<Place>) -> Decision {
    let mut step = Step::new(id("s"), Action::Sync);
    step.scope = place.map(StepScope::of).unwrap_or_default();
    rules.admit(&Admission::new(&id("r"), &ann(), &step, Timestamp::default()))
}

/// A run whose step `deploy` is behind the gate `go`, in service `api` of production.
fn run() -> RunState {
    let mut step =
        Step::new(id("deploy"), Action::Sync).gate(Gate::Approval(Approval::new(id("go"))));
    step.scope = StepScope::of(place("*", "api", "*"));
    let mut plan = Plan::builder(id("web"), id("rel"));
    plan.step(step);
    let plan = plan.build().unwrap().freeze();
    let (requester, definition, supersedes, policy) = (ann(), None, None, None);
    let event =
        Event::RunCreated { plan: plan.digest(), definition, requester, supersedes, policy };
    RunState::create(id("r"), plan, &Fact { at: Timestamp::default(), event }).unwrap()
}

fn authorize(rules: &CedarRules, command: &Command, state: Option<&RunState>) -> Decision {
    let (run, ann) = (id("r"), ann());
    let mut request = CommandRequest::new(&run, &ann, &ann, command, Timestamp::default());
    request.state = state;
    rules.authorize(&request)
}

/// `migrate` is a class of steps; the command of that name changes the plan.
#[test]
fn who_may_migrate_data_may_not_change_the_plan() {
    let may = |action: &str| rules("permit", &format!("action == Release::Action::\"{action}\""));
    let command = Command::Migrate { to: Digest::of(b"any plan") };
    assert!(authorize(&may("migrate"), &command, None).is_deny());
    assert!(authorize(&may("change_plan"), &command, None).is_permit());
}

#[test]
fn a_forbid_for_one_part_holds_what_concerns_all_and_a_permit_for_one_part_does_not_permit_it() {
    let parts = [
        (r#"resource in Release::Service::"payments""#, place("eu", "payments", "x")),
        (r#"resource in Release::Region::"eu""#, place("eu", "payments", "x")),
        (r#"resource in Release::Team::"x""#, place("eu", "payments", "x")),
        (
            r#"resource in Release::Service::"payments" && resource in Release::Region::"eu""#,
            place("eu", "payments", "x"),
        ),
        // To be outside of a place is to be in a part, too.
        (r#"!(resource in Release::Service::"search")"#, place("eu", "payments", "x")),
    ];
    for (condition, inside) in parts {
        let (forbid, permit) = (rules("forbid", condition), rules("permit", condition));
        assert!(admit(&forbid, Some(inside.clone())).is_deny(), "{condition}");
        assert!(admit(&permit, Some(inside)).is_permit(), "{condition}");
        let wide = || Some(place("*", "*", "*"));
        assert!(admit(&forbid, wide()).is_deny(), "{condition}");
        assert!(admit(&permit, wide()).is_deny(), "{condition}");
        // What belongs to no place could be anywhere.
        assert!(admit(&forbid, None).is_deny(), "{condition}");
        assert!(admit(&permit, None).is_deny(), "{condition}");
    }
    let elsewhere = rules("forbid", r#"resource in Release::Environment::"qa""#);
    assert!(admit(&elsewhere, Some(place("*", "*", "*"))).is_permit(), "it is in production alone");
    let train = rules("forbid", r#"resource in Release::Train::"web""#);
    assert!(
        admit(&train, Some(place("*", "*", "*"))).is_deny(),
        "nobody says of which train it is"
    );
}

#[test]
fn a_permit_says_when_it_permits_only_a_part() {
    let but_payments = rules("permit", r#"!(resource in Release::Service::"payments")"#);
    let told: Vec<_> = admit(&but_payments, Some(place("*", "*", "*")))
        .reasons()
        .iter()
        .map(|why| format!("{}: {}", why.rule, why.text))
        .collect();
    let part = "permit/rule: it permits only a part of what this concerns";
    assert_eq!(told, ["permit: no rule in Cedar permits this", part]);
}

#[test]
fn a_command_about_a_gate_or_a_step_is_about_its_place_and_every_other_about_all() {
    let state = run();
    let (gate, step) = (|| id("go"), || id("deploy"));
    let of_step = [
        Command::Approve { gate: gate() },
        Command::Reject { gate: gate() },
        Command::Retry { step: step() },
        Command::Reconcile { step: step(), applied: true },
    ];
    let production = r#"resource in Release::Environment::"production""#;
    let (qa, search) =
        (r#"resource in Release::Environment::"qa""#, r#"resource in Release::Service::"search""#);
    for command in of_step {
        let ask = |effect, condition, state| authorize(&rules(effect, condition), &command, state);
        let name = command.name();
        assert!(ask("forbid", production, Some(&state)).is_deny(), "{name}");
        assert!(ask("permit", production, Some(&state)).is_permit(), "{name}");
        for elsewhere in [qa, search] {
            assert!(ask("forbid", elsewhere, Some(&state)).is_permit(), "{name}");
            assert!(ask("permit", elsewhere, Some(&state)).is_deny(), "{name}");
            assert!(ask("forbid", elsewhere, None).is_deny(), "{name}: without a plan, anywhere");
        }
    }
    let unknown = Command::Approve { gate: id("qa/another") };
    assert!(authorize(&rules("forbid", production), &unknown, Some(&state)).is_deny());
    let all = [Command::Pause, Command::Cancel, Command::ForceAbandon];
    for command in all {
        for condition in [production, qa, search] {
            let (forbid, permit) = (rules("forbid", condition), rules("permit", condition));
            assert!(authorize(&forbid, &command, Some(&state)).is_deny(), "{}", command.name());
            assert!(authorize(&permit, &command, Some(&state)).is_deny(), "{}", command.name());
        }
    }
    let descope = Command::Descope { service: id("api") };
    let api = r#"resource in Release::Service::"api""#;
    assert!(authorize(&rules("permit", api), &descope, Some(&state)).is_permit());
    assert!(authorize(&rules("forbid", search), &descope, Some(&state)).is_permit());
    assert!(authorize(&rules("forbid", qa), &descope, Some(&state)).is_deny());
    let train = rules("forbid", r#"resource in Release::Train::"other""#);
    assert!(authorize(&train, &Command::Pause, Some(&state)).is_permit(), "its train is known");
}

#[test]
fn a_rule_that_names_places_without_end_is_refused_by_name() {
    let list = |kind: &str| {
        (0..30).fold(String::new(), |mut all, n| {
            write!(all, "Release::{kind}::\"{n}\",").unwrap();
            all
        })
    };
    let source = ["Region", "Service", "Team"].map(|kind| format!("resource in [{}]", list(kind)));
    let of = |condition: &str| {
        let rule = "@id(\"wide\") @owner(\"o\") forbid (principal, action, resource)";
        CedarRules::new(&format!("{rule} when {{ {condition} }};"), [])
    };
    let error = of(&source.join(" && ")).unwrap_err();
    assert_eq!(error, CedarError::TooManyPlaces { id: "wide".into() });
    assert!(of(&source[0]).is_ok());
}

/// A condition over places: any tree of these.
fn condition() -> impl Strategy<Value = String> {
    let leaf = (prop::sample::select(vec!["Region", "Service", "Team"]), 0..2_usize)
        .prop_map(|(kind, nth)| format!("resource in Release::{kind}::\"{nth}\""));
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) && ({b}))")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("(({a}) || ({b}))")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What leaves something open is asked as if it were each of the parts: a forbid holds it that holds one
    /// of them, and a permit permits it that permits them all.
    #[test]
    fn what_is_open_is_judged_as_all_its_parts_are(
        condition in condition(),
        open in prop::array::uniform3(prop::bool::ANY),
    ) {
        let (forbid, permit) = (rules("forbid", &condition), rules("permit", &condition));
        let parts = |open: bool| if open { vec!["0", "1", "2"] } else { vec!["1"] };
        let (mut any, mut every) = (false, true);
        for region in parts(open[0]) {
            for service in parts(open[1]) {
                for team in parts(open[2]) {
                    any |= admit(&forbid, Some(place(region, service, team))).is_deny();
                    every &= admit(&permit, Some(place(region, service, team))).is_permit();
                }
            }
        }
        let part = |open: bool| if open { "*" } else { "1" };
        let wide = || Some(place(part(open[0]), part(open[1]), part(open[2])));
        prop_assert_eq!(admit(&forbid, wide()).is_deny(), any, "{}", condition);
        prop_assert_eq!(admit(&permit, wide()).is_permit(), every, "{}", condition);
    }
}
