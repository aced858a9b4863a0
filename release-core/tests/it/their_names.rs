//! The table of what Argo Rollouts and Flagger call what strategies here can do: every field and every hook has its row, and
//! every row says something.

use std::collections::BTreeMap;

const TABLE: &str = include_str!("../../src/plan/strategy/table.md");

/// The fields of `spec.strategy.canary` of a `Rollout` of Argo Rollouts 1.8, and of its steps.
const CANARY: [&str; 34] = [
    "abortScaleDownDelaySeconds",
    "analysis",
    "analysis.startingStep",
    "antiAffinity",
    "canaryMetadata",
    "canaryService",
    "dynamicStableScale",
    "maxSurge",
    "maxUnavailable",
    "minPodsPerReplicaSet",
    "pingPong",
    "replicaProgressThreshold",
    "scaleDownDelayRevisionLimit",
    "scaleDownDelaySeconds",
    "stableMetadata",
    "stableService",
    "steps[].analysis",
    "steps[].experiment",
    "steps[].pause.duration",
    "steps[].pause: {}",
    "steps[].plugin",
    "steps[].setCanaryScale",
    "steps[].setHeaderRoute",
    "steps[].setMirrorRoute",
    "steps[].setWeight",
    "trafficRouting.alb",
    "trafficRouting.ambassador",
    "trafficRouting.apisix",
    "trafficRouting.appMesh",
    "trafficRouting.istio",
    "trafficRouting.managedRoutes",
    "trafficRouting.maxTrafficWeight",
    "trafficRouting.nginx",
    "trafficRouting.plugins",
];
/// Two more that stand in one row with others.
const CANARY_ROUTERS: [&str; 2] = ["trafficRouting.smi", "trafficRouting.traefik"];

/// The fields of `spec.strategy.blueGreen`.
const BLUE_GREEN: [&str; 15] = [
    "abortScaleDownDelaySeconds",
    "activeMetadata",
    "activeService",
    "antiAffinity",
    "autoPromotionEnabled: false",
    "autoPromotionSeconds",
    "maxUnavailable",
    "postPromotionAnalysis",
    "prePromotionAnalysis",
    "previewMetadata",
    "previewReplicaCount",
    "previewService",
    "scaleDownDelayRevisionLimit",
    "scaleDownDelaySeconds",
    "promote, promote `--full`",
];

/// The types of webhooks of a `Canary` of Flagger 1.41.
const HOOKS: [&str; 8] = [
    "confirm-promotion",
    "confirm-rollout",
    "confirm-traffic-increase",
    "event",
    "post-rollout",
    "pre-rollout",
    "rollback",
    "rollout",
];

/// The rows of each table by its heading: what is called so on the left, and what is said of it.
fn tables() -> BTreeMap<&'static str, Vec<(&'static str, &'static str)>> {
    let mut tables: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut heading = None;
    for line in TABLE.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            heading = heading.filter(|_| line.starts_with("|-"));
            continue;
        };
        let (left, right) = row.split_once(" | ").expect("two columns");
        let right = right.strip_suffix(" |").expect("a row ends");
        match heading {
            None => heading = Some(left),
            Some(heading) => tables.entry(heading).or_default().push((left, right)),
        }
    }
    tables
}

/// What is named on the left of a table's rows, each without its quotes.
#[track_caller]
fn names(heading: &str) -> Vec<&'static str> {
    let tables = tables();
    let rows = tables.get(heading).unwrap_or_else(|| panic!("{heading} of {:?}", tables.keys()));
    let mut names = Vec::new();
    for (left, right) in rows {
        assert!(right.len() > 3, "`{left}` says nothing");
        if left.starts_with("promote") {
            names.push(*left);
            continue;
        }
        names.extend(left.split('`').skip(1).step_by(2));
    }
    names
}

#[track_caller]
fn has_all(heading: &str, wanted: &[&str]) {
    let names = names(heading);
    for name in wanted {
        let found = names.iter().filter(|other| *other == name).count();
        assert_eq!(found, 1, "`{name}` stands {found} times among {names:?}");
    }
}

#[test]
fn every_field_of_a_canary_of_argo_rollouts_has_its_row() {
    let heading = "Argo Rollouts, `strategy.canary`";
    has_all(heading, &CANARY);
    has_all(heading, &CANARY_ROUTERS);
}

#[test]
fn every_field_of_a_blue_green_rollout_of_argo_rollouts_has_its_row() {
    has_all("Argo Rollouts, `strategy.blueGreen` and the rest", &BLUE_GREEN);
}

#[test]
fn every_hook_of_flagger_has_its_row() {
    let tables = tables();
    let rows = &tables["Flagger"];
    let hooks: Vec<_> = rows
        .iter()
        .filter_map(|(left, _)| left.strip_prefix("hook `")?.strip_suffix('`'))
        .collect();
    for hook in HOOKS {
        assert_eq!(hooks.iter().filter(|other| **other == hook).count(), 1, "{hook}: {hooks:?}");
    }
    assert_eq!(hooks.len(), HOOKS.len(), "one that is not among them: {hooks:?}");
}

/// What is named on the right exists: each link is one that the documentation resolves, and stands in the text whole.
#[test]
fn what_cannot_be_said_is_few_and_named() {
    let tables = tables();
    let none = |(_, right): &&(&str, &str)| right.starts_with("not expressed");
    let none: Vec<_> = tables.values().flatten().filter(none).map(|(left, _)| *left).collect();
    assert_eq!(none, ["`restartAt`", "`autoscalerRef`"]);
}
