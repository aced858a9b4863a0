//! Where a run can be held as a window closes: never with the traffic of a rollout split.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::BTreeMap;

use release_core::model::{BlueGreen, Rolling, Span, Strategy, Target};
use release_core::plan::{Action, FrozenPlan, plan};
use release_policy::window::MidFlight::{GoOn, Hold, Revert};
use release_policy::window::{OnStart, Point, Standing, mid_flight};
use release_testkit::fixtures::Shop;

fn shop(strategy: Option<Strategy>) -> FrozenPlan {
    let shop = Shop::new().without_staging().regions(["eu"]).replicas(4);
    let shop = match strategy {
        Some(strategy) => shop.strategy(strategy),
        None => shop,
    };
    plan(&shop.definition()).unwrap().freeze()
}

fn rolling(batches: u32, max_unavailable: u32, bake: u64) -> Strategy {
    Strategy::Rolling(Rolling {
        batches,
        max_unavailable: max_unavailable.into(),
        bake: Span::secs(bake),
        ..Rolling::new(1)
    })
}

/// The steps of one service before which a run that is under way is held.
fn held(plan: &FrozenPlan, on_start: OnStart) -> Vec<String> {
    let prefix = "production/eu/api/";
    let steps = plan.plan().steps().iter().zip(0..);
    steps
        .filter(|(step, _)| step.id.as_str().starts_with(prefix))
        .filter(|(_, index)| mid_flight(plan, *index, Standing::Next, on_start) == Hold)
        .map(|(step, _)| step.id.as_str().trim_start_matches(prefix).to_owned())
        .collect()
}

#[test]
fn the_safe_points_of_each_strategy() {
    let canary = held(&shop(None), OnStart::HoldAtSafePoint);
    assert_eq!(canary, ["start", "ready", "weight-10", "remove-old"]);
    let switch = BlueGreen {
        gates: vec![],
        bake: Span::ZERO,
        analyses: vec![],
        keep_old: Span::ZERO,
        ..BlueGreen::default()
    };
    let blue_green = held(&shop(Some(Strategy::BlueGreen(switch))), OnStart::HoldAtSafePoint);
    assert_eq!(blue_green, ["preview", "ready", "switch", "remove-old"]);
    let batches = held(&shop(Some(rolling(2, 1, 60))), OnStart::HoldAtSafePoint);
    let first = ["batch-1/make-room", "batch-1/start", "batch-1/ready", "batch-1/serve"];
    assert_eq!(batches, [&first[..], &["batch-1/stop-old", "batch-2/make-room"]].concat());
    let tight = held(&shop(Some(rolling(2, 2, 60))), OnStart::HoldAtSafePoint);
    // All traffic is drained to the first batch before the second: no place to stop.
    assert_eq!(tight, [&first[..], &["batch-2/serve"]].concat());
}

/// A walk over the plan that keeps count of the shares, beside what is said of each point.
#[test]
fn a_run_is_never_held_while_traffic_is_split_but_between_batches() {
    let strategies = [
        None,
        Some(Strategy::Recreate),
        Some(rolling(2, 1, 60)),
        Some(rolling(3, 0, 0)),
        Some(rolling(4, 2, 0)),
    ];
    for strategy in strategies {
        let by_batches = matches!(strategy, Some(Strategy::Rolling(_)));
        let plan = shop(strategy.clone());
        let mut shares: BTreeMap<Target, usize> = BTreeMap::new();
        let mut scaled: BTreeMap<u32, bool> = BTreeMap::new();
        let mut holds = 0;
        for index in plan.plan().order().unwrap() {
            let step = &plan.plan().steps()[index as usize];
            let target = match &step.action {
                Action::Route { target, .. } => Some(target),
                Action::Scale { deployment, .. }
                | Action::Probe { deployment, .. }
                | Action::Analyze { deployment, .. } => Some(&deployment.target),
                _ => None,
            };
            let split =
                target.and_then(|target| shares.get(target)).is_some_and(|shares| *shares > 1);
            let what = mid_flight(&plan, index, Standing::Next, OnStart::HoldAtSafePoint);
            if what == Hold {
                holds += 1;
                assert!(!split || by_batches, "{strategy:?}: {} is held", step.id);
                if split {
                    // Between batches: the next batch begins, and none was begun and not served.
                    assert!(matches!(step.action, Action::Scale { .. }), "{}", step.id);
                    assert!(!step.group.is_some_and(|group| scaled[&group]), "{}", step.id);
                    assert_eq!(Point::before(&plan, index), Point::BetweenBatches);
                }
            }
            if let Action::Route { target, weights, .. } = &step.action {
                shares.insert(target.clone(), weights.iter().filter(|w| w.percent > 0).count());
            }
            if let Some(group) = step.group {
                scaled.insert(group, matches!(step.action, Action::Scale { .. }));
            }
        }
        assert!(holds > 0, "{strategy:?}");
    }
}

#[test]
fn what_has_not_begun_waits_and_what_is_under_way_is_never_cut_off() {
    let plan = shop(None);
    let amidst = plan.find(&"production/eu/api/weight-50".parse().unwrap()).unwrap();
    for (on_start, want) in [
        (OnStart::Finish, [Hold, GoOn, GoOn]),
        (OnStart::HoldAtSafePoint, [Hold, GoOn, GoOn]),
        (OnStart::Revert, [Hold, Revert, Revert]),
    ] {
        let all = [Standing::First, Standing::Next, Standing::UnderWay];
        assert_eq!(
            all.map(|standing| mid_flight(&plan, amidst, standing, on_start)),
            want,
            "{on_start:?}"
        );
    }
    assert_eq!(held(&plan, OnStart::Finish), Vec::<String>::new());
    let first = plan.find(&"production/eu/api/weight-10".parse().unwrap()).unwrap();
    assert_eq!(mid_flight(&plan, first, Standing::Next, OnStart::HoldAtSafePoint), Hold);
    assert_eq!(mid_flight(&plan, u32::MAX, Standing::Next, OnStart::HoldAtSafePoint), GoOn);
}
