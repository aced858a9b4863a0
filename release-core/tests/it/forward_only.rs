//! Releases without a version to return to: somebody says so, or nothing is begun.

use release_core::model::{BlueGreen, Definition, RollForwardOnly, Strategy};
use release_core::plan::{Action, FrozenPlan, Reach, plan};
use release_core::run::{Awaiting, Command, Event, Outcome};

use super::descoped::until_fails;
use super::support::drive::{End, Run};
use super::support::samples::{id, one_service, shop};
use super::support::words::started;

const WHY: &str = "roll forward only, as ann acknowledged: 1.0.0 is not kept any more";

fn acknowledged(services: &[&str]) -> RollForwardOnly {
    let services = services.iter().map(|service| id(service)).collect();
    RollForwardOnly { by: id("ann"), reason: "1.0.0 is not kept any more".into(), services }
}

fn one_way() -> Definition {
    let mut definition = one_service(Strategy::BlueGreen(BlueGreen::default()));
    definition.release.roll_forward_only = Some(acknowledged(&[]));
    definition
}

fn frozen(definition: &Definition) -> FrozenPlan {
    plan(definition).expect("a sound definition").freeze()
}

#[test]
fn f28_an_acknowledged_release_begins_without_a_version_to_return_to() {
    let mut run = Run::start(&frozen(&one_way()));
    assert_eq!(started(&run), ["artifacts/api/new 1"], "the previous one is not asked for");
    assert_eq!(run.heal(100), Outcome::Succeeded);
}

#[test]
fn f28_the_plan_of_a_rollback_says_before_that_there_is_none() {
    let run = Run::start(&frozen(&one_way()));
    let refused = run.state.rollback_plan(&Reach::Release).expect_err("no way back");
    assert_eq!((refused.step.as_str(), &refused.justification[..]), ("prod/eu/api/preview", WHY));
}

/// It waits for people, who mend it or give it up; it never says that it was rolled back.
#[test]
fn f28_a_failure_without_a_way_back_is_never_called_rolled_back() {
    for mended in [true, false] {
        let mut run = Run::start(&frozen(&one_way()));
        until_fails(&mut run, "prod/eu/api/ready");
        let refused = run.last(|event| matches!(event, Event::RollbackBlocked { .. }));
        assert!(
            matches!(refused, Some(Event::RollbackBlocked { justification, .. }) if justification == WHY),
            "{refused:?}"
        );
        assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("prod/eu/api/ready"))]);
        if mended {
            run.command(Command::Retry { step: id("prod/eu/api/ready") }, "bob").expect("a retry");
            assert_eq!(run.heal(100), Outcome::Succeeded);
        } else {
            run.command(Command::Abandon, "bob").expect("an end");
            assert!(matches!(run.state.outcome(), Some(Outcome::Abandoned { .. })));
        }
        assert!(run.last(|event| matches!(event, Event::RollbackStarted { .. })).is_none());
    }
}

#[test]
fn f28_the_acknowledgement_concerns_the_services_that_it_names() {
    let mut definition = shop();
    definition.release.roll_forward_only = Some(acknowledged(&["db"]));
    let frozen = frozen(&definition);
    let verified = |name: &str| frozen.find(&id(&format!("artifacts/{name}/previous"))).is_some();
    assert!(!verified("db") && verified("api") && verified("web"));
    for step in frozen.plan().steps().iter().filter(|step| step.action.mutates()) {
        let one_way = matches!(step.undo, release_core::plan::Undo::PointOfNoReturn { .. });
        assert_eq!(one_way, step.id.as_str().contains("/db/"), "{}", step.id);
    }
    let state = Run::start(&frozen).state;
    let staging = Reach::Environment(Some(id("staging")));
    assert!(state.rollback_plan(&staging).is_err(), "db is there too");
}

#[test]
fn f28_without_an_acknowledgement_a_version_that_is_not_kept_stops_everything() {
    let mut definition = one_way();
    definition.release.roll_forward_only = None;
    let mut run = Run::start(&frozen(&definition));
    run.end("artifacts/api/new", End::Good);
    run.end("artifacts/api/previous", End::Permanent);
    assert!(matches!(run.state.outcome(), Some(Outcome::Failed { .. })));
    let changed = run.facts.iter().any(|fact| {
        let started = matches!(fact.event, Event::StepStarted { .. });
        let step = fact.event.step().and_then(|step| run.state.plan().get(step.index));
        started && step.is_some_and(|step| !matches!(step.action, Action::VerifyArtifact { .. }))
    });
    assert!(!changed);
}

#[test]
fn f28_acknowledgements_name_known_services_and_a_reason() {
    let problem = |acknowledged: RollForwardOnly| {
        let mut definition = one_way();
        definition.release.roll_forward_only = Some(acknowledged);
        plan(&definition).expect_err("a fault").to_string()
    };
    let unknown = problem(acknowledged(&["mail"]));
    assert!(
        unknown.contains("`mail`") && unknown.contains("release.roll_forward_only"),
        "{unknown}"
    );
    let mute = problem(RollForwardOnly { reason: " ".into(), ..acknowledged(&[]) });
    assert!(mute.contains("`release.roll_forward_only` of ann has no reason"), "{mute}");
}
