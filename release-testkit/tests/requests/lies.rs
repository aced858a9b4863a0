//! A balancer that says that shares are in effect which are not: what the engine measures tells otherwise, at the first look after
//! the window, and nothing is taken out of service.

use release_core::analysis::Conclusion;
use release_core::model::{BlueGreen, Canary, CanaryStep, Definition, Rolling, Strategy};
use release_core::plan::{Action, plan};
use release_core::run::{Event, Verdict};
use release_core::time::{Span, Timestamp};
use release_testkit::fixtures::compared_error_rate;

use super::model::{Load, Manner, Says};
use super::said;
use super::stage::{LOAD, Told, Trial, defined};

const RUNS: u64 = 30;
/// How long shares are observed before they are judged, and how long it is from one look to the next.
const INTERVAL: Span = Span::secs(10);
/// How long calls and their answers are under way.
const LATE: Span = Span::secs(1);
/// What comes within an interval decides.
const MUCH: Load = Load { gap: Span::millis(10), slow: 0, ..LOAD };

fn canary(weight: u8) -> Strategy {
    Strategy::Canary(Canary::new(vec![CanaryStep::new(weight, INTERVAL)]))
}

fn strategies() -> Vec<(&'static str, Strategy)> {
    let blue_green = BlueGreen { bake: INTERVAL, ..BlueGreen::default() };
    vec![
        ("blue-green", Strategy::BlueGreen(blue_green)),
        ("rolling", Strategy::Rolling(Rolling { bake: INTERVAL, ..Rolling::new(2) })),
        ("canary", canary(20)),
    ]
}

/// When shares were first said to be in effect that gave the new version something.
fn shared_at(told: &Told, definition: &Definition) -> Timestamp {
    let plan = plan(definition).unwrap();
    let mut facts = told.history.facts().iter();
    let shared = facts.find(|fact| match &fact.event {
        Event::StepSucceeded { step, .. } => {
            let step = &plan.steps()[step.index as usize];
            matches!(step.action, Action::Route { .. })
        }
        _ => false,
    });
    shared.unwrap_or_else(|| panic!("{}", told.course())).at
}

/// When a look first found that something is not as planned.
fn doubted_at(told: &Told) -> Option<Timestamp> {
    let doubts = |event: &Event| match event {
        Event::StepMeasured { verdict, .. } => *verdict != Verdict::Pass,
        Event::StepFailed { .. } => true,
        _ => false,
    };
    told.history.facts().iter().find(|fact| doubts(&fact.event)).map(|fact| fact.at)
}

fn mismatch_at(told: &Told) -> Option<Timestamp> {
    let mismatches = |event: &Event| match event {
        Event::StepMeasured { finding, .. }
        | Event::StepSucceeded { finding, .. }
        | Event::StepFailed { finding, .. } => {
            finding.as_ref().is_some_and(|found| found.conclusion == Conclusion::ShareMismatch)
        }
        _ => false,
    };
    told.history.facts().iter().find(|fact| mismatches(&fact.event)).map(|fact| fact.at)
}

/// It never gives the new version anything, and says that it does: there is no data of the new version, which is never a pass.
#[test]
fn f30_a_router_that_only_says_that_the_new_version_has_traffic_is_found_out_at_the_first_look() {
    for says in [Says::SharesThatWereSet, Says::AllIsWell] {
        for (name, strategy) in strategies() {
            let mut definition = defined(strategy);
            definition.analyses[0].inconclusive_limit = 3;
            let mut latest = Span::ZERO;
            for seed in 0..RUNS {
                let honest = Trial { load: MUCH, ..Trial::new(seed, Manner::EXACT) };
                let told = honest.release(&definition);
                assert_eq!((told.end, doubted_at(&told)), ("succeeded", None), "{}", told.course());
                let lying =
                    Trial { manner: Manner { bent: Some(0), says, ..Manner::EXACT }, ..honest };
                let told = lying.release(&definition);
                let doubted = doubted_at(&told).unwrap_or_else(|| panic!("{}", told.course()));
                let after = doubted.since(shared_at(&told, &definition));
                let most = INTERVAL.as_duration() + LATE.as_duration();
                assert!(after.as_duration() <= most, "{name}: {}", told.course());
                assert_ne!(told.end, "succeeded");
                assert_eq!(told.counts.lost(), 0, "{name}: {}", told.course());
                latest = latest.max(after);
            }
            said(&format!("{name}, {says:?}: found out within {latest}"));
        }
    }
}

/// It gives the new version another share than it says: who comes is not who was to come.
#[test]
fn f30_a_router_that_gives_another_share_than_it_says_is_found_out_within_an_interval() {
    for (planned, given) in [(10, 50), (50, 10), (20, 40), (50, 25)] {
        let mut definition = defined(canary(planned));
        definition.analyses[0] = compared_error_rate();
        definition.analyses[0].interval = INTERVAL;
        let mut latest = Span::ZERO;
        for seed in 0..RUNS {
            let honest = Trial { load: MUCH, ..Trial::new(seed, Manner::EXACT) };
            let told = honest.release(&definition);
            assert_eq!(mismatch_at(&told), None, "{}", told.course());
            let (bent, says) = (Some(given), Says::AllIsWell);
            let lying = Trial { manner: Manner { bent, says, ..Manner::EXACT }, ..honest };
            let told = lying.release(&definition);
            let found = mismatch_at(&told).unwrap_or_else(|| panic!("{}", told.course()));
            // The window, and the interval from the first look to the second: one look alone has nothing to compare.
            let after = found.since(shared_at(&told, &definition)).as_duration();
            assert!(after <= INTERVAL.as_duration() * 2 + LATE.as_duration(), "{after:?}");
            assert_ne!(told.end, "succeeded");
            assert_eq!(told.counts.lost(), 0, "{}", told.course());
            latest = latest.max(after.into());
        }
        said(&format!("{planned} % said and {given} % given: found out within {latest}"));
    }
}
