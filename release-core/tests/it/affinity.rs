//! What follows for instances where clients stay with a version.

use release_core::model::{Canary, CanaryScale, CanaryStep, Experiment, SessionAffinity, Strategy};
use release_core::plan::{Action, plan};

use super::expansion::table;
use super::strategies::{minute, refused, step};
use super::support::samples::one_service;

/// The new version keeps clients, and has all of its instances; the old one keeps none, and may shrink with its share.
#[test]
fn clients_that_stay_with_the_new_version_alone_let_the_old_one_shrink() {
    let canary = Canary {
        shrink_old: true,
        affinity: Some(SessionAffinity::new("stay").to_new_version()),
        ..Canary::new(vec![step(50), step(100)])
    };
    let plan = plan(&one_service(Strategy::Canary(canary))).unwrap();
    let routes = plan.steps().iter().filter_map(|step| match &step.action {
        Action::Route { weights, rules, .. } => Some((weights.clone(), rules.clone())),
        _ => None,
    });
    let routes: Vec<_> = routes.collect();
    let [(both, Some(rules)), (_, None)] = &routes[..] else { panic!("{routes:?}") };
    let new = both.iter().find(|weight| weight.version.to_string() == "2.0.0").unwrap().digest;
    let affinity = rules.affinity.as_ref().unwrap();
    assert_eq!((affinity.cookie.as_str(), affinity.only), ("stay", Some(new)));
    let scales: Vec<_> = table(&plan).into_iter().filter(|step| step.contains("scale")).collect();
    let begin = scales.iter().position(|step| step.contains("scale 2.0.0")).unwrap();
    assert_eq!(
        scales[begin..],
        [
            "prod/eu/api/start: scale 2.0.0 to 4",
            "prod/eu/api/weight-50/shrink-old: scale 1.0.0 to 2",
            "prod/eu/api/remove-old: scale 1.0.0 to 0",
        ]
    );
}

#[test]
fn who_keeps_clients_has_all_of_its_instances() {
    let compared = |replicas| {
        let experiment = Experiment::new(10, replicas, minute());
        CanaryStep { experiment: Some(experiment), ..step(10) }
    };
    let scaled = CanaryStep { scale: Some(CanaryScale::Replicas(4)), ..step(10) };
    let staying = SessionAffinity::new("stay");
    let moving = staying.clone().to_new_version();
    for (affinity, shrink_old, step, why) in [
        (&staying, true, step(10), "both versions need all"),
        (&staying, false, scaled.clone(), "both versions need all"),
        (&moving, false, scaled, "the new version, whatever its share"),
        (&staying, false, compared(3), "set `experiment.replicas` to 4"),
        (&moving, false, compared(3), "set `experiment.replicas` to 4"),
    ] {
        let affinity = Some(affinity.clone());
        let canary = Canary { shrink_old, affinity, ..Canary::new(vec![step]) };
        refused(Strategy::Canary(canary), why);
    }
    let canary = Canary { affinity: Some(moving), ..Canary::new(vec![compared(4)]) };
    assert!(plan(&one_service(Strategy::Canary(canary))).is_ok());
}
