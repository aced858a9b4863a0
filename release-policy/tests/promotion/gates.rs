//! Criteria, their evidence, and the verdicts of several together.

use release_core::model::{Bound, Digest, Finite, Tier};
use release_policy::approval::{Answer, ApprovalOutcome, ApprovalPolicy, Denial, Quorum, Subject};
use release_policy::directory::DirectoryFault;
use release_policy::promotion::Found::{Bad, Good, Unknown};
use release_policy::promotion::{
    Condition, Criterion, Evidence, LeaseOver, Pipeline, PipelineErrors, PipelineProblem, Reading,
    Sample, Sources, StageSpec, Value, Verdict, may_leave,
};

use crate::support::{at, env, gate, pending, pipeline, sample, secs, stage, subject};

fn leave(criterion: Criterion, evidence: &Evidence, second: i64) -> Verdict {
    let all = pipeline([stage("dev", Sources::direct()).leave(criterion)]);
    may_leave(&all, &env("dev"), evidence, at(second)).unwrap().verdict
}

fn nothing() -> Evidence {
    Evidence::new(subject(1), at(0))
}

#[test]
fn a_missing_or_stale_scan_is_inconclusive_and_never_a_pass() {
    let scan = || Criterion::new(gate("scan"), Condition::Fresh(secs(100)));
    assert_eq!(leave(scan(), &nothing(), 0), Verdict::Inconclusive);
    let good = nothing().sample(sample("scan", 10, Good));
    assert_eq!(leave(scan(), &good, 9), Verdict::Inconclusive, "of the future");
    assert_eq!(leave(scan(), &good, 10).lease().unwrap().valid_until, at(110));
    assert_eq!(leave(scan(), &good, 110), Verdict::Inconclusive, "too old");
    assert_eq!(leave(scan(), &nothing().sample(sample("scan", 10, Bad)), 10), Verdict::Fail);
    let later = good.clone().sample(sample("scan", 20, Unknown));
    assert_eq!(leave(scan(), &later, 20), Verdict::Inconclusive);
    let both = good.sample(sample("scan", 10, Bad));
    assert_eq!(leave(scan(), &both, 10), Verdict::Fail, "of two at one instant the worse");
    let other = Sample { of: subject(2).digest(), ..sample("scan", 10, Good) };
    assert_eq!(leave(scan(), &nothing().sample(other), 10), Verdict::Inconclusive);
}

#[test]
fn a_value_keeps_its_limit_or_says_nothing() {
    let number = |value| Finite::new(value).unwrap();
    let errors = || {
        let bound = Bound::AtMost(number(0.01));
        let value = Value { analysis: "errors".parse().unwrap(), bound, max_age: secs(60) };
        Criterion::new(gate("errors"), Condition::Value(value))
    };
    let read = |value| {
        let mut evidence = nothing();
        let of = subject(1).digest();
        let reading = Reading { at: at(0), of, value };
        evidence.readings.insert("errors".parse().unwrap(), reading);
        evidence
    };
    assert!(leave(errors(), &read(Some(number(0.01))), 0).is_pass());
    assert_eq!(leave(errors(), &read(Some(number(0.011))), 0), Verdict::Fail);
    assert_eq!(leave(errors(), &read(None), 0), Verdict::Inconclusive);
    assert_eq!(leave(errors(), &read(Some(number(0.0))), 60), Verdict::Inconclusive);
}

#[test]
fn an_answer_of_people_is_worth_something_only_while_it_holds() {
    let outcome = |answer, of: Subject| ApprovalOutcome {
        answer,
        at: at(10),
        subject: of,
        directory: None,
        counted: Vec::new(),
        dropped: Vec::new(),
        objections: Vec::new(),
        missing: Vec::new(),
        other_ways: 0,
        next_change: Some(at(50)),
    };
    let ask = |answer, of, second| {
        let mut evidence = nothing();
        evidence.approvals.insert(gate("cab"), outcome(answer, of));
        let quorum = Quorum::of_role(1, "sre".parse().unwrap()).unwrap();
        let policy = Box::new(ApprovalPolicy::new(quorum));
        leave(Criterion::new(gate("cab"), Condition::Approval(policy)), &evidence, second)
    };
    assert_eq!(ask(Answer::Met, subject(1), 10).lease().unwrap().valid_until, at(50));
    assert_eq!(ask(Answer::Met, subject(1), 9), Verdict::Inconclusive);
    assert_eq!(ask(Answer::Met, subject(1), 50), Verdict::Inconclusive);
    assert_eq!(ask(Answer::Met, subject(2), 10), Verdict::Inconclusive);
    assert_eq!(ask(Answer::Open, subject(1), 10), pending(Some(50)));
    assert_eq!(ask(Answer::Vetoed, subject(1), 10), Verdict::Fail);
    let because = Denial::Directory { fault: DirectoryFault::Down { since: at(0) } };
    assert_eq!(ask(Answer::Denied { because }, subject(1), 10), Verdict::Inconclusive);
}

#[test]
fn instants_hold_before_or_after() {
    let before = || Criterion::new(gate("until"), Condition::NotAfter(at(20)));
    let after = || Criterion::new(gate("from"), Condition::NotBefore(at(20)));
    assert_eq!(leave(before(), &nothing(), 19).lease().unwrap().valid_until, at(20));
    assert_eq!(leave(before(), &nothing(), 20), Verdict::Fail);
    assert_eq!(leave(after(), &nothing(), 19), pending(Some(20)));
    assert!(leave(after(), &nothing(), 20).is_pass());
}

#[test]
fn what_is_not_met_in_its_time_fails() {
    let scan = || Criterion::new(gate("scan"), Condition::Fresh(secs(500))).within(secs(60));
    assert_eq!(leave(scan(), &nothing(), 59), Verdict::Inconclusive);
    assert_eq!(leave(scan(), &nothing(), 60), Verdict::Fail);
    assert!(leave(scan(), &nothing().sample(sample("scan", 10, Good)), 60).is_pass());
    let late = Criterion::new(gate("from"), Condition::NotBefore(at(500))).within(secs(60));
    assert_eq!(leave(late, &nothing(), 0), pending(Some(60)), "asked again when its time is over");
}

fn all_verdicts() -> Vec<Verdict> {
    let other = Subject { plan: Digest::from_bytes([9; 32]), ..subject(1) };
    vec![
        Verdict::Fail,
        Verdict::Inconclusive,
        pending(None),
        pending(Some(5)),
        pending(Some(7)),
        Verdict::pass(&subject(1), at(5)),
        Verdict::pass(&subject(1), at(7)),
        Verdict::pass(&other, at(7)),
    ]
}

#[test]
fn verdicts_together_do_not_depend_on_their_order() {
    for one in all_verdicts() {
        assert_eq!(one.clone().and(one.clone()), one);
        assert_eq!(one.clone().or(one.clone()), one);
        for two in all_verdicts() {
            let and = one.clone().and(two.clone());
            assert_eq!(and, two.clone().and(one.clone()));
            let or = one.clone().or(two.clone());
            assert_eq!(or.is_pass(), two.clone().or(one.clone()).is_pass());
            assert!(!and.is_pass() || (one.is_pass() && two.is_pass()));
            assert_eq!(or.is_pass(), one.is_pass() || two.is_pass());
            for three in all_verdicts() {
                let left = and.clone().and(three.clone());
                let right = one.clone().and(two.clone().and(three.clone()));
                assert_eq!(left.is_pass(), right.is_pass(), "{one:?} {two:?} {three:?}");
                let subjects = [&one, &two, &three].map(Verdict::lease);
                if subjects.iter().flatten().all(|lease| lease.bound_to == subject(1)) {
                    assert_eq!(left, right, "{one:?} {two:?} {three:?}");
                }
            }
        }
    }
}

#[test]
fn a_lease_names_all_that_changed() {
    let Verdict::Pass { lease } = Verdict::pass(&subject(1), at(10)) else { panic!("a pass") };
    let mutants = [
        Subject { plan: set_of(1), ..subject(1) },
        Subject { artifacts: set_of(2), ..subject(1) },
        Subject { environment: set_of(3), ..subject(1) },
        Subject { policy: set_of(4), ..subject(1) },
        Subject { evidence: set_of(5), ..subject(1) },
    ];
    for mutant in mutants {
        let over = lease.check(&mutant, at(0)).unwrap_err();
        assert!(matches!(over, LeaseOver::Changed { changed } if changed.len() == 1));
    }
}

fn set_of(seed: u8) -> Digest {
    Digest::from_bytes([200 + seed; 32])
}

fn faults(stages: impl IntoIterator<Item = StageSpec>) -> Vec<(String, PipelineProblem)> {
    let PipelineErrors(all) = Pipeline::new(stages).unwrap_err();
    all.into_iter()
        .map(|error| {
            let text = error.to_string();
            let gate = error.gate.map(|gate| gate.to_string()).unwrap_or_default();
            assert!(text.contains(error.stage.as_str()) && text.contains(&gate), "{text}");
            (format!("{}/{gate}", error.stage), error.problem)
        })
        .collect()
}

#[test]
fn a_malformed_pipeline_is_refused_with_every_fault_and_its_place() {
    let instant = |name: &str| Criterion::new(gate(name), Condition::NotBefore(at(0)));
    let young = Criterion::new(gate("scan"), Condition::Fresh(secs(0)));
    let found = faults([
        StageSpec::new(env("a"), Tier::Test, Sources::default()),
        stage("b", Sources::one_of([env("b"), env("nowhere")])),
        stage("b", Sources::direct().soak(secs(5))),
        stage("c", Sources::direct())
            .enter(instant("x"))
            .leave(instant("x"))
            .leave(instant("y").within(secs(0)))
            .leave(young),
    ]);
    let place = |name: &str| name.to_owned();
    assert_eq!(
        found,
        [
            (place("a/"), PipelineProblem::NoSource),
            (place("b/"), PipelineProblem::OwnSource),
            (place("b/"), PipelineProblem::UnknownSource(env("nowhere"))),
            (place("b/"), PipelineProblem::SoakWithoutStages(secs(5))),
            (place("c/x"), PipelineProblem::DuplicateCriterion),
            (place("c/y"), PipelineProblem::NoTime),
            (place("c/scan"), PipelineProblem::NoAge),
            (place("b/"), PipelineProblem::DuplicateStage),
        ]
    );
}

#[test]
fn a_pipeline_has_an_end() {
    let many = (0..=1_000).map(|n| stage(&format!("s{n}"), Sources::direct()));
    assert!(matches!(faults(many)[0].1, PipelineProblem::TooManyStages));
    let full = (0..=256).fold(stage("dev", Sources::direct()), |all, n| {
        all.enter(Criterion::new(gate(&format!("g{n}")), Condition::NotBefore(at(0))))
    });
    assert!(matches!(faults([full])[0].1, PipelineProblem::TooManyCriteria));
}

#[test]
fn a_pipeline_is_written_as_it_is_read() {
    let all = pipeline([
        stage("dev", Sources::direct()),
        stage("prod", Sources::all_of([env("dev")]).soak(secs(60)))
            .enter(Criterion::new(gate("scan"), Condition::Fresh(secs(60))).within(secs(600))),
    ])
    .lease(secs(7));
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Pipeline>(&text).unwrap(), all);
    let error = serde_json::from_str::<Pipeline>(
        r#"{"stages":[{"environment":"a","tier":"test","sources":{}}]}"#,
    );
    assert!(error.unwrap_err().to_string().starts_with("stage `a`: nothing can come into it"));
}
