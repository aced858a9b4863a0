//! What is found in a pipeline before it runs: each fault is planted, found in its place, and gone once it is mended.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{
    Analysis, Approval, Bound, Definition, Environment, Finite, Gate, Identity, Metric, Principal,
    Release, RoleGrant, RollbackCriteria, RollbackScope, RollbackTrigger, Selector, Stage,
    Strategy as Rollout, Tier, VersionSet,
};
use release_policy::approval::{ApprovalPolicy, Expression, OfRole, Quorum};
use release_policy::directory::Directory;
use release_policy::promotion::{
    Availability, Condition, Criterion, Fault, Finding, Pipeline, Severity, Sources, StageSpec,
    Surroundings, Value, analyse,
};
use release_policy::window::{When, WindowSpec, Windows};

use crate::support::{at, env, gate, pipeline, sampling, secs, stage};

fn bot() -> Principal {
    Principal::service("bot".parse().unwrap())
}

fn scan() -> Criterion {
    Criterion::new(gate("scan"), Condition::Fresh(secs(60))).within(secs(600))
}

/// A stage of which nothing is to be said.
fn sound(name: &str, sources: Sources) -> StageSpec {
    stage(name, sources).leave(scan())
}

fn find(pipeline: &Pipeline) -> Vec<Finding> {
    analyse(pipeline, &Surroundings::new(&bot(), at(0)))
}

/// What is found, as `stage/gates code`.
fn told(findings: &[Finding]) -> Vec<String> {
    let one = |finding: &Finding| {
        let gates: Vec<_> = finding.at.gates.iter().map(ToString::to_string).collect();
        assert!(!finding.fault.why().is_empty() && !finding.fault.mend().is_empty());
        format!("{}/{} {}", finding.at.stage, gates.join("+"), finding.fault.code())
    };
    findings.iter().map(one).collect()
}

fn value(name: &str, bound: Bound) -> Criterion {
    let value = Value { analysis: "errors".parse().unwrap(), bound, max_age: secs(60) };
    Criterion::new(gate(name), Condition::Value(value)).within(secs(600))
}

fn number(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

fn quorum(n: u32, role: &str) -> Criterion {
    let role = role.parse().unwrap();
    let policy = ApprovalPolicy::new(Quorum::of_role(n, role).unwrap());
    Criterion::new(gate("cab"), Condition::Approval(Box::new(policy))).within(secs(600))
}

fn person(name: &str, roles: &[&str]) -> Identity {
    roles.iter().fold(Identity::human(name.parse().unwrap()), |who, role| {
        who.with(RoleGrant::new(role.parse().unwrap(), at(0), "hr".parse().unwrap(), "job"))
    })
}

fn people(all: impl IntoIterator<Item = Identity>) -> Directory {
    Directory::new(1, at(0), all, []).unwrap()
}

#[test]
fn nothing_is_said_of_a_sound_pipeline() {
    let production = StageSpec::new(env("prod"), Tier::Production, Sources::one_of([env("dev")]))
        .leave(scan())
        .leave(Criterion::new(gate("alerts"), Condition::Sampling(sampling(0, 10, 30, 600))))
        .rolls_back_on(RollbackTrigger::StepFailed);
    assert_eq!(find(&pipeline([sound("dev", Sources::direct()), production])), []);
}

#[test]
fn a_circle_that_nothing_leads_into_is_unreachable() {
    let circle = |a: Sources| {
        pipeline([
            sound("a", a),
            sound("b", Sources::one_of([env("a")])),
            sound("c", Sources::all_of([env("b")])),
        ])
    };
    assert_eq!(
        told(&find(&circle(Sources::one_of([env("c")])))),
        ["a/ promotion/unreachable", "b/ promotion/unreachable", "c/ promotion/unreachable",]
    );
    let entered = Sources { direct: true, ..Sources::one_of([env("c")]) };
    assert_eq!(find(&circle(entered)), [], "something leads in");
}

#[test]
fn what_lies_behind_a_stage_that_cannot_pass_is_unreachable() {
    let all = |behind: Sources| {
        let never = value("low", Bound::AtLeast(number(0.9)));
        let and = value("high", Bound::AtMost(number(0.1)));
        pipeline([
            sound("dev", Sources::direct()).leave(never).leave(and),
            sound("qa", Sources::direct()),
            sound("prod", behind),
        ])
    };
    let of = |names: [&str; 2]| names.map(env);
    let found = find(&all(Sources::all_of(of(["dev", "qa"]))));
    assert_eq!(
        told(&found),
        ["dev/low+high promotion/contradicting-bounds", "prod/ promotion/unreachable",]
    );
    assert_eq!(found[1].fault, Fault::Unreachable { blocked_by: vec![env("dev")] });
    assert_eq!(find(&all(Sources::one_of(of(["dev", "qa"])))).len(), 1, "qa leads there, too");
}

#[test]
fn bounds_contradict_exactly_when_no_number_keeps_both() {
    for low in 0..4_i32 {
        for high in 0..4_i32 {
            let all = pipeline([sound("dev", Sources::direct())
                .leave(value("low", Bound::AtLeast(number(f64::from(low)))))
                .leave(value("high", Bound::AtMost(number(f64::from(high)))))
                .leave(value("wide", Bound::AtMost(number(9.0))))]);
            let kept = (0..4).any(|value| value >= low && value <= high);
            assert_eq!(find(&all).is_empty(), kept, "{low}..{high}");
        }
    }
    // Entry and exit are not evaluated together.
    let apart = pipeline([sound("dev", Sources::direct())
        .enter(value("low", Bound::AtLeast(number(3.0))))
        .leave(value("high", Bound::AtMost(number(1.0))))]);
    assert_eq!(find(&apart), []);
}

#[test]
fn instants_that_leave_no_time_or_are_over_are_found() {
    let check = |not_before: i64, not_after: i64, want: &[&str]| {
        let all = pipeline([sound("dev", Sources::direct())
            .enter(Criterion::new(gate("from"), Condition::NotBefore(at(not_before))))
            .enter(Criterion::new(gate("until"), Condition::NotAfter(at(not_after))))]);
        assert_eq!(told(&find(&all)), want);
    };
    check(10, 11, &[]);
    check(10, 10, &["dev/from+until promotion/no-time-left"]);
    check(-10, 0, &["dev/until promotion/too-late"]);
    check(-10, 1, &[]);
}

#[test]
fn a_deployment_window_that_never_opens_within_a_freeze_is_found() {
    let window = |spec: WindowSpec| spec.build().unwrap();
    let deploy = |from: i64, until: i64| {
        let when = When::Between { from: at(from), until: at(until) };
        window(WindowSpec::deployment(
            "hours".parse().unwrap(),
            when,
            "sre".parse().unwrap(),
            "work",
        ))
    };
    let freeze = {
        let when = When::Between { from: at(100), until: at(200) };
        let spec =
            WindowSpec::freeze("peak".parse().unwrap(), when, "sre".parse().unwrap(), "peak");
        window(spec.in_environment(env("prod")))
    };
    let all = pipeline([
        sound("dev", Sources::direct()),
        sound("prod", Sources::one_of([env("dev")])),
        sound("after", Sources::one_of([env("prod")])),
    ]);
    let ask = |pipeline: &Pipeline, hours| {
        let windows = Windows::new([freeze.clone(), hours]).unwrap();
        told(&analyse(pipeline, &Surroundings::new(&bot(), at(0)).windows(&windows)))
    };
    let never = ["prod/ promotion/never-open", "after/ promotion/unreachable"];
    assert_eq!(ask(&all, deploy(110, 190)), never);
    assert_eq!(ask(&all, deploy(110, 201)), [""; 0], "a second is left");
    // The criteria of the stage end before the window opens.
    let short = pipeline([sound("prod", Sources::direct())
        .enter(Criterion::new(gate("until"), Condition::NotAfter(at(200))))]);
    assert_eq!(ask(&short, deploy(110, 201)), ["prod/until promotion/never-open"]);
}

#[test]
fn a_quorum_larger_than_the_people_who_can_fill_it_is_found() {
    let ask = |criterion: Criterion, directory: &Directory| {
        let all = pipeline([sound("dev", Sources::direct()).enter(criterion)]);
        let found = analyse(&all, &Surroundings::new(&bot(), at(0)).directory(directory));
        found.into_iter().map(|finding| finding.fault).collect::<Vec<_>>()
    };
    let two = people([person("ann", &["sre"]), person("bob", &["sre", "dev"])]);
    assert_eq!(ask(quorum(2, "sre"), &two), []);
    let roles = vec!["sre".parse().unwrap()];
    assert_eq!(
        ask(quorum(3, "sre"), &two),
        [Fault::QuorumTooLarge { needed: 3, can_fill: 2, roles }]
    );
    // Two accounts of one person are one; who left and machines are none.
    let mut again = person("ann2", &["sre"]);
    again.linked.insert("ann".parse().unwrap());
    let mut gone = person("cyd", &["sre"]);
    gone.active = false;
    let mut machine = Identity::service("ci".parse().unwrap());
    machine.grants = person("x", &["sre"]).grants;
    let one = people([person("ann", &["sre"]), again, gone, machine]);
    assert_eq!(ask(quorum(2, "sre"), &one).len(), 1);
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Whether people with these roles can be seated, by trial.
fn seat(slots: &[usize], roles: &[u8], used: &mut BTreeSet<usize>) -> bool {
    let Some((slot, rest)) = slots.split_first() else { return true };
    (0..roles.len()).any(|person| {
        let fits = roles[person] & (1 << slot) != 0 && used.insert(person);
        let done = fits && seat(rest, roles, used);
        if fits {
            used.remove(&person);
        }
        done
    })
}

/// Whether a way leads to a stage that goes through no stage twice.
fn way(at: usize, path: &[usize], all: &Pipeline) -> bool {
    let sources = &all.stage(&env(NAMES[at])).unwrap().sources;
    let mut of =
        sources.stages.iter().map(|id| NAMES.iter().position(|n| *n == id.as_str()).unwrap());
    let path = [path, &[at]].concat();
    let mut step = |other: usize| !path.contains(&other) && way(other, &path, all);
    sources.direct
        || match sources.availability {
            Availability::All => of.all(&mut step),
            Availability::OneOf => of.any(&mut step),
        }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Beside a trial of every way to seat people.
    #[test]
    fn a_quorum_is_too_large_exactly_when_no_seating_fills_it(
        roles in prop::collection::vec(0..8_u8, 0..5),
        counts in prop::collection::vec(0..3_u32, 3),
    ) {
        const ROLES: [&str; 3] = ["sre", "security", "qa"];
        let parts: Vec<_> = ROLES.iter().zip(&counts).filter(|(_, n)| **n > 0).map(|(role, n)| {
            Expression::OfRole(OfRole { role: role.parse().unwrap(), n: *n })
        }).collect();
        prop_assume!(!parts.is_empty());
        let policy = ApprovalPolicy::new(Quorum::new(Expression::AllOf(parts)).unwrap());
        let cab = Criterion::new(gate("cab"), Condition::Approval(Box::new(policy)));
        let directory = people(roles.iter().enumerate().map(|(at, mask)| {
            let held: Vec<_> = (0..3).filter(|bit| mask & (1 << bit) != 0).map(|bit| ROLES[bit]).collect();
            person(&format!("p{at}"), &held)
        }));
        let slots: Vec<usize> = (0..3).flat_map(|role| vec![role; counts[role] as usize]).collect();
        let all = pipeline([sound("dev", Sources::direct()).enter(cab.within(secs(9)))]);
        let found = analyse(&all, &Surroundings::new(&bot(), at(0)).directory(&directory));
        prop_assert_eq!(found.is_empty(), seat(&slots, &roles, &mut BTreeSet::new()));
    }

    /// Reachable stages are those that a walk from the direct ones comes to, whatever the sources.
    #[test]
    fn reachability_agrees_with_a_search_for_a_way(
        stages in prop::collection::vec((any::<bool>(), prop::collection::btree_set(0..5_usize, 1..4), any::<bool>()), 5),
    ) {
        let from = |at: usize| stages[at].1.iter().copied().filter(move |other| *other != at);
        let all = pipeline((0..5).map(|at| {
            let (direct, _, every) = &stages[at];
            let of = from(at).map(|other| env(NAMES[other]));
            let sources = if *every { Sources::all_of(of) } else { Sources::one_of(of) };
            let direct = *direct || sources.stages.is_empty();
            sound(NAMES[at], Sources { direct, ..sources })
        }));
        let found = find(&all);
        for (at, name) in NAMES.iter().enumerate() {
            let told = found.iter().any(|finding| finding.at.stage == env(name));
            prop_assert_eq!(told, !way(at, &[], &all), "{}", name);
        }
    }
}

#[test]
fn stages_without_exit_and_waits_without_end_are_warnings() {
    let mut wait = scan();
    wait.within = None;
    let found = find(&pipeline([stage("dev", Sources::direct()).enter(wait)]));
    assert_eq!(told(&found), ["dev/scan promotion/no-deadline", "dev/ promotion/no-exit-criteria"]);
    assert!(found.iter().all(|finding| finding.severity == Severity::Warning));
    let text = found[0].to_string();
    assert_eq!(
        text,
        "warning promotion/no-deadline: stage `dev`, `scan`: if it is never met, the release waits for ever; set `within`"
    );
}

#[test]
fn a_deadline_before_the_sampling_can_pass_is_found() {
    let ask = |within| {
        let check = Criterion::new(gate("alerts"), Condition::Sampling(sampling(60, 10, 30, 600)));
        told(&find(&pipeline([sound("dev", Sources::direct()).enter(check.within(secs(within)))])))
    };
    assert_eq!(ask(90), ["dev/alerts promotion/deadline-first"]);
    assert_eq!(ask(91), [""; 0]);
}

#[test]
fn production_without_rollback_criteria_is_an_error() {
    let bare = || StageSpec::new(env("prod"), Tier::Production, Sources::direct()).leave(scan());
    let found = find(&pipeline([bare()]));
    assert_eq!(told(&found), ["prod/ promotion/no-rollback-criteria"]);
    assert_eq!(found[0].severity, Severity::Error);
    assert_eq!(find(&pipeline([bare().rolls_back_on(RollbackTrigger::StepFailed)])), []);
}

fn definition(stages: impl IntoIterator<Item = Stage>) -> Definition {
    let release = Release::new("r-1".parse().unwrap(), VersionSet::new());
    let environment = |name: &str, tier| Environment {
        id: env(name),
        tier,
        owner: "sre".parse().unwrap(),
        regions: vec!["eu".parse().unwrap()],
    };
    let of = |series: &str| Selector::series(series);
    let metric = Metric::Ratio { numerator: of("failed"), denominator: of("all") };
    let errors = Analysis::new("errors".parse().unwrap(), metric, Bound::AtMost(number(0.01)));
    let begun = Definition::builder("train".parse().unwrap(), release)
        .environment(environment("staging", Tier::Staging))
        .environment(environment("production", Tier::Production))
        .analysis(errors);
    stages.into_iter().fold(begun, release_core::model::DefinitionBuilder::stage).build()
}

#[test]
fn a_definition_is_analysed_as_far_as_it_goes() {
    let mut approval = Approval::new(gate("production/cab"));
    approval.quorum = 2;
    approval.roles = vec!["sre".parse().unwrap(), "qa".parse().unwrap()];
    let production = Stage::new(env("production"), Rollout::Recreate)
        .gate(Gate::Soak(secs(3_600)))
        .gate(Gate::Approval(approval))
        .gate(Gate::NotBefore(at(50)));
    let mut train = definition([Stage::new(env("staging"), Rollout::Recreate), production]);
    let lonely = people([person("ann", &["sre", "qa"])]);
    let look = |train: &Definition| {
        let pipeline = Pipeline::of(train).unwrap();
        analyse(&pipeline, &Surroundings::new(&bot(), at(0)).directory(&lonely))
    };
    assert_eq!(
        told(&look(&train)),
        [
            "staging/ promotion/no-exit-criteria",
            "production/production/cab promotion/quorum-too-large",
            "production/production/cab promotion/no-deadline",
            "production/ promotion/no-exit-criteria",
            "production/ promotion/no-rollback-criteria",
        ]
    );
    let pipeline = Pipeline::of(&train).unwrap();
    let sources = &pipeline.stage(&env("production")).unwrap().sources;
    assert_eq!(*sources, Sources::one_of([env("staging")]).soak(secs(3_600)));

    let triggers = vec![RollbackTrigger::Analysis("errors".parse().unwrap())];
    train.release.rollback = Some(RollbackCriteria { scope: RollbackScope::default(), triggers });
    let codes = told(&look(&train));
    assert!(!codes.iter().any(|code| code.contains("production/ ")), "{codes:?}");
}

#[test]
fn a_measurement_may_take_as_long_as_its_samples_are_waited_for() {
    let triggers = vec![RollbackTrigger::Analysis("errors".parse().unwrap())];
    let mut train = definition([Stage::new(env("production"), Rollout::Recreate)]);
    train.release.rollback = Some(RollbackCriteria { scope: RollbackScope::default(), triggers });
    // A good one and ten that say nothing, a second apart, or as far as samples of a source that is scraped every 15 seconds.
    for (fresh_for, within) in [(None, 11), (Some(secs(30)), 330)] {
        train.analyses[0].fresh_for = fresh_for;
        let pipeline = Pipeline::of(&train).unwrap();
        let [exit] = &pipeline.stage(&env("production")).unwrap().exit[..] else { panic!() };
        assert_eq!(exit.within, Some(secs(within)));
        assert!(
            matches!(&exit.condition, Condition::Value(value) if value.max_age == secs(within))
        );
    }
}

#[test]
fn a_gate_of_a_definition_that_makes_no_quorum_is_named() {
    let mut approval = Approval::new(gate("production/cab"));
    approval.quorum = 0;
    let stage = Stage::new(env("production"), Rollout::Recreate).gate(Gate::Approval(approval));
    let error = Pipeline::of(&definition([stage])).unwrap_err().to_string();
    assert!(
        error.starts_with("stage `production`, criterion `production/cab`: quorum/empty"),
        "{error}"
    );
    let twice = Pipeline::of(&definition([
        Stage::new(env("production"), Rollout::Recreate),
        Stage::new(env("production"), Rollout::Recreate),
    ]));
    assert!(twice.unwrap_err().to_string().contains("stands twice"));
}
