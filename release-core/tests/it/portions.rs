//! How many instances may be missing, may be there too many, or have to be there: as a number, or in percent of all.

use release_core::model::{BlueGreen, Canary, CanaryScale, CanaryStep, Portion, Rolling, Strategy};
use release_core::plan::{Plan, plan};

use super::expansion::table;
use super::strategies::{refused, step};
use super::support::samples::one_service;

fn planned(strategy: Strategy, replicas: u32) -> Plan {
    let mut definition = one_service(strategy);
    definition.services[0].replicas = replicas;
    plan(&definition).unwrap()
}

#[track_caller]
fn same(one: Strategy, other: Strategy, replicas: u32) {
    let (one, other) = (planned(one, replicas), planned(other, replicas));
    assert_eq!(one.steps(), other.steps(), "{replicas} instances");
}

#[test]
fn rolling_rounds_what_may_be_missing_down_and_what_is_too_much_up() {
    let rolling = |missing: Portion, surge: Portion| {
        let (max_unavailable, max_surge) = (missing, Some(surge));
        Strategy::Rolling(Rolling { max_unavailable, max_surge, ..Rolling::new(1) })
    };
    let percent = Portion::Percent;
    for (replicas, missing, surge) in [(4, 1, 1), (10, 2, 3), (3, 0, 1), (1, 0, 1)] {
        let counted = rolling(missing.into(), surge.into());
        same(rolling(percent(25), percent(25)), counted, replicas);
    }
    // Less than one may be missing, and none may be too much: then one may be missing.
    same(rolling(percent(25), percent(0)), rolling(1.into(), 0.into()), 3);
    for neither in [rolling(percent(0), percent(0)), rolling(0.into(), percent(0))] {
        refused(neither, "are both 0 and no instance could be replaced");
    }
    refused(rolling(percent(101), percent(0)), "`rolling.max_unavailable` is 101%");
    refused(rolling(percent(0), percent(255)), "`rolling.max_surge` is 255%");
}

#[test]
fn at_a_switch_a_percentage_may_be_missing_but_not_all() {
    let switch = |max_unavailable| {
        Strategy::BlueGreen(BlueGreen { max_unavailable, ..BlueGreen::default() })
    };
    for (replicas, missing) in [(4, 1), (10, 2), (3, 0)] {
        same(switch(Portion::Percent(25)), switch(missing.into()), replicas);
    }
    refused(switch(Portion::Percent(100)), "has 4; set `max_unavailable` to 0 to 3");
    refused(switch(Portion::Percent(101)), "`blue_green.max_unavailable` is 101%");
}

/// How many instances of either version the steps of a canary run, in order.
#[track_caller]
fn runs(canary: Canary, replicas: u32) -> Vec<String> {
    let plan = planned(Strategy::Canary(canary), replicas);
    let all = table(&plan);
    let scales = all.iter().filter_map(|step| step.split_once(": scale "));
    scales.map(|(_, scale)| scale.to_owned()).collect()
}

#[test]
fn a_canary_has_so_many_instances_at_least_where_a_share_says_how_many() {
    let scaled = |weight, scale| CanaryStep { scale: Some(scale), ..step(weight) };
    let canary = |min_replicas, steps: Vec<CanaryStep>| Canary {
        shrink_old: true,
        min_replicas,
        ..Canary::new(steps)
    };
    let steps = || {
        vec![
            scaled(1, CanaryScale::MatchTraffic),
            scaled(20, CanaryScale::Percent(20)),
            scaled(90, CanaryScale::MatchTraffic),
        ]
    };
    let plain = ["2.0.0 to 1", "1.0.0 to 10", "2.0.0 to 2", "1.0.0 to 8", "2.0.0 to 9"];
    let rest = ["1.0.0 to 1", "2.0.0 to 10", "1.0.0 to 0"];
    assert_eq!(runs(canary(Portion::NONE, steps()), 10), [&plain[..], &rest].concat());
    let floored = [
        "2.0.0 to 3",
        "1.0.0 to 10",
        "1.0.0 to 8",
        "2.0.0 to 9",
        "1.0.0 to 3",
        "2.0.0 to 10",
        "1.0.0 to 0",
    ];
    for min in [Portion::Count(3), Portion::Percent(30), Portion::Percent(21)] {
        assert_eq!(runs(canary(min, steps()), 10), floored, "{min}");
    }
    // Never more than the service has.
    let all = ["2.0.0 to 4", "1.0.0 to 4", "1.0.0 to 0"];
    let one = vec![scaled(1, CanaryScale::MatchTraffic)];
    assert_eq!(runs(canary(Portion::Count(99), one), 4), all);
    // A number, and none at all, are as they are written.
    let exact = vec![scaled(0, CanaryScale::Percent(0)), scaled(10, CanaryScale::Replicas(1))];
    let runs = runs(canary(Portion::Count(3), exact), 4);
    assert_eq!(runs[..2], ["2.0.0 to 0", "1.0.0 to 4"]);
    assert!(runs.contains(&"2.0.0 to 1".to_owned()), "{runs:?}");
    let odd = canary(Portion::Percent(150), vec![step(10)]);
    refused(Strategy::Canary(odd), "`canary.min_replicas` is 150%");
}

#[test]
fn they_are_written_as_they_are_read() {
    let text = r#"{"batches":1,"max_unavailable":"25%","max_surge":"50%","bake":"0s"}"#;
    let max_surge = Some(Portion::Percent(50));
    let rolling = Rolling { max_unavailable: Portion::Percent(25), max_surge, ..Rolling::new(1) };
    assert_eq!(serde_json::from_str::<Rolling>(text).unwrap(), rolling);
    assert_eq!(serde_json::to_string(&rolling).unwrap(), text);
    let counted = r#"{"batches":1,"max_unavailable":2,"bake":"0s"}"#;
    let rolling = Rolling { max_unavailable: 2.into(), ..Rolling::new(1) };
    assert_eq!(serde_json::from_str::<Rolling>(counted).unwrap(), rolling);
    assert_eq!(serde_json::to_string(&rolling).unwrap(), counted);
}
