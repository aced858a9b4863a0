//! A new version that was taken back and stays, until people have seen enough.

use release_core::model::{
    BlueGreen, Canary, CanaryStep, Definition, Hook, HookPoint, KeepNew, Span, Strategy,
};
use release_core::plan::{Action, Reach, Step, Touched, Undo, plan, rollback};
use release_core::run::{Command, Outcome};
use serde_json::json;

use super::expansion::{index, table};
use super::strategies::step;
use super::support::drive::Run;
use super::support::samples::{id, one_service, set};

fn strategies() -> [Strategy; 2] {
    let keep_new_after_abort = KeepNew::Forever;
    [
        Strategy::Canary(Canary { keep_new_after_abort, ..Canary::new(vec![step(10), step(50)]) }),
        Strategy::BlueGreen(BlueGreen { keep_new_after_abort, ..BlueGreen::default() }),
    ]
}

/// What the rollback of a release does of which so much was begun.
fn back(definition: &Definition, touched: impl Fn(u32) -> Touched) -> Vec<String> {
    let plan = plan(definition).unwrap().freeze();
    let back = rollback(&plan, touched, &Reach::Release).unwrap();
    back.steps.iter().map(|step| step.action.to_string()).collect()
}

#[test]
fn the_old_version_has_all_of_the_traffic_and_nobody_removes_the_new_one() {
    for strategy in strategies() {
        let definition = one_service(strategy);
        let want = ["scale 1.0.0 to 4", "4 × 1.0.0 ready", "route 100%→1.0.0"];
        assert_eq!(back(&definition, |_| Touched::Done), want);
        let mut first = definition;
        first.release.previous = set(&[]);
        assert_eq!(back(&first, |_| Touched::Done), ["route nobody"]);
    }
}

#[test]
fn a_run_that_is_cancelled_ends_with_it() {
    for strategy in strategies() {
        let mut run = Run::start(&plan(&one_service(strategy)).unwrap().freeze());
        let traffic = |run: &Run| {
            let begun = run.state.plan().plan().steps().iter().zip(0_u32..);
            let mut begun = begun.filter(|(_, index)| run.effects.contains_key(index));
            begun.any(|(step, _)| matches!(step.action, Action::Route { .. }))
        };
        while !traffic(&run) {
            run.next_effect();
            let step = *run.effects.keys().next().unwrap();
            run.outcome(step, super::support::drive::End::Good);
        }
        run.command(Command::Cancel, "bob").unwrap();
        let outcome = run.heal(100);
        assert!(
            matches!(outcome, Outcome::Cancelled { .. } | Outcome::RolledBack { .. }),
            "{outcome:?}"
        );
    }
}

/// Who is to be told is, although nothing of the first step is undone.
#[test]
fn whoever_is_to_be_told_of_a_rollback_is_told_whatever_was_begun() {
    let [canary, _] = strategies();
    let mut definition = one_service(canary);
    let tell = Hook::new(id("tell"), HookPoint::AfterRollback, "webhook", json!({}));
    definition.stages[0].hooks = vec![tell];
    let made = plan(&definition).unwrap();
    let begun = "prod/eu/api/hooks/begun";
    assert_eq!(table(&made)[3], format!("{begun}: wait for all"));
    let started = index(&made, "prod/eu/api/start");
    let first = |index: u32| if index <= started { Touched::Done } else { Touched::No };
    assert_eq!(back(&definition, first), ["webhook"]);
    let all = back(&definition, |_| Touched::Done);
    assert_eq!(all.last().map(String::as_str), Some("webhook"));
}

#[test]
fn a_plan_says_that_it_stays() {
    let [canary, _] = strategies();
    let plan = plan(&one_service(canary)).unwrap();
    let new = |step: &&Step| {
        let Action::Scale { deployment: deployed, .. } = &step.action else { return false };
        deployed.version == id("2.0.0")
    };
    let scaled: Vec<_> = plan.steps().iter().filter(new).collect();
    assert!(!scaled.is_empty());
    for step in scaled {
        assert_eq!(step.undo, Undo::Stays);
        let text = serde_json::to_value(step).unwrap();
        assert_eq!(text["undo"], "stays");
        assert_eq!(serde_json::from_value::<Step>(text).unwrap(), *step);
    }
}

#[test]
fn a_time_is_read_and_written_as_before() {
    let text = r#"{"steps":[],"keep_old":"0s","keep_new_after_abort":"5m"}"#;
    let five = Canary { keep_new_after_abort: Span::secs(300).into(), ..Canary::new(Vec::new()) };
    assert_eq!(serde_json::from_str::<Canary>(text).unwrap(), five);
    assert_eq!(serde_json::to_string(&five).unwrap(), text);
    let text = r#"{"steps":[],"keep_old":"0s","keep_new_after_abort":"forever"}"#;
    let ever = Canary { keep_new_after_abort: KeepNew::Forever, ..five };
    assert_eq!(serde_json::from_str::<Canary>(text).unwrap(), ever);
    assert_eq!(serde_json::to_string(&ever).unwrap(), text);
    let none = serde_json::to_value(Canary::new(vec![CanaryStep::new(10, Span::ZERO)])).unwrap();
    assert_eq!(none.get("keep_new_after_abort"), None);
}
