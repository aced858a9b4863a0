//! What is wrong with definitions: every fault, told at once and with what to do about it.

use release_core::model::{
    Analysis, Approval, BlueGreen, Canary, CanaryStep, Definition, Experiment, ExperimentTemplate,
    Gate, RollbackTrigger, Rolling, Service, Span, Stage, Strategy, TemplateVersion, Tier,
};
use release_core::plan::{PlanError, PlanErrors, plan};

use super::support::samples::{
    any, approval, artifact, environment, error_rate, id, one_service, set, shop,
};

fn errors(definition: &Definition) -> Vec<PlanError> {
    plan(definition).expect_err("a fault").0
}

/// `shop`, changed by `edit`, has exactly this fault.
#[track_caller]
fn check(edit: impl FnOnce(&mut Definition), want: &str) {
    let mut definition = shop();
    edit(&mut definition);
    let errors = errors(&definition);
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts, [want]);
}

#[test]
fn unknown_names() {
    check(
        |d| d.services[2].depends_on.push(any("cache")),
        "service `web` names the service `cache`, which is not defined; add it to `services` or mend the name",
    );
    check(
        |d| d.stages[0].environment = id("qa"),
        "stage 1 names the environment `qa`, which is not defined; add it to `environments` or mend the name",
    );
    check(
        |d| d.stages[1].waves[0].push(id("mars")),
        "environment `production` has no region `mars`; add it to its `regions` or mend the name",
    );
    check(
        |d| drop(d.stages[1].waves[1].pop()),
        "no wave of `production` contains its region `ap`; add it to `waves`",
    );
    let unknown =
        "names the analysis `latency`, which is not defined; add it to `analyses` or mend the name";
    check(
        |d| {
            let trigger = RollbackTrigger::Analysis(id("latency"));
            d.release.rollback.as_mut().unwrap().triggers.push(trigger);
        },
        &format!("`release.rollback` {unknown}"),
    );
    check(
        |d| {
            let green = BlueGreen { analyses: vec![id("latency")], ..BlueGreen::default() };
            d.stages[0].strategy = Strategy::BlueGreen(green);
        },
        &format!("stage `staging` {unknown}"),
    );
    check(
        |d| {
            d.release.versions =
                d.release.versions.clone().with(id("cache"), id("1.0.0"), artifact("cache", "1"));
        },
        "release.versions names the service `cache`, which is not defined; add it to `services` or mend the name",
    );
}

#[test]
fn names_that_stand_twice() {
    check(
        |d| {
            let db = d.services[0].clone();
            d.services.push(db);
        },
        "service `db` stands twice; rename or remove one",
    );
    check(
        |d| d.environments[0].regions.push(id("eu")),
        "region `staging/eu` stands twice; rename or remove one",
    );
    check(
        |d| d.environments.push(environment("staging", Tier::Test, &["eu"])),
        "environment `staging` stands twice; rename or remove one",
    );
    check(
        |d| d.analyses.push(error_rate()),
        "analysis `errors` stands twice; rename or remove one",
    );
    check(
        |d| d.stages.push(d.stages[0].clone()),
        "stage `staging` stands twice; rename or remove one",
    );
    check(
        |d| d.stages[1].waves[0].push(id("us")),
        "region in `waves` `production/us` stands twice; rename or remove one",
    );
    let twice = "gate `cab` stands twice; approvals could not be told apart, so rename one";
    check(|d| d.stages[1].gates.push(approval("cab")), twice);
    check(
        |d| {
            let gates = vec![approval("cab"), approval("cab")];
            let green = BlueGreen { gates, ..BlueGreen::default() };
            d.stages[0].strategy = Strategy::BlueGreen(green);
        },
        twice,
    );
}

/// Found in review: these said `step ... stands twice`, of a step that nobody had written.
#[test]
fn analyses_that_would_become_one_step() {
    let twice = "names the analysis `errors` twice; once is enough, so remove one";
    check(
        |d| {
            let steps = vec![CanaryStep {
                analyses: vec![id("errors"); 2],
                ..CanaryStep::new(5, Span::ZERO)
            }];
            d.stages[1].strategy =
                Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(steps) });
        },
        &format!("stage `production` {twice}"),
    );
    check(
        |d| {
            let trigger = RollbackTrigger::Analysis(id("errors"));
            d.release.rollback.as_mut().unwrap().triggers.push(trigger);
        },
        &format!("`release.rollback` {twice}"),
    );
    let spec = BlueGreen { bake: Span::secs(1), keep_old: Span::secs(1), ..BlueGreen::default() };
    let steps = vec![CanaryStep::new(10, Span::secs(1))];
    let rolling = Rolling { max_unavailable: 1.into(), bake: Span::secs(1), ..Rolling::new(2) };
    // Where fresh instances are compared, and where sets of them run side by side.
    let fresh = ExperimentTemplate::new(id("fresh"), TemplateVersion::New, 1).share(20);
    let experiments =
        [(0, Experiment::of([fresh], Span::secs(1))), (10, Experiment::new(20, 4, Span::secs(1)))];
    let [sets, compared] = experiments.map(|(weight, experiment)| {
        let step = CanaryStep::new(weight, Span::secs(1));
        let steps = vec![CanaryStep { experiment: Some(experiment), ..step }];
        Strategy::Canary(Canary { keep_old: Span::secs(1), ..Canary::new(steps) })
    });
    for strategy in [
        sets,
        compared,
        Strategy::Recreate,
        Strategy::Rolling(rolling),
        Strategy::BlueGreen(spec),
        Strategy::Canary(Canary { keep_old: Span::secs(1), ..Canary::new(steps) }),
    ] {
        let mut definition = one_service(strategy);
        let sound = plan(&definition).unwrap();
        // Whatever steps there are: an analysis of that name gives no step that stands twice.
        let names = sound.steps().iter().filter_map(|step| step.id.as_str().rsplit('/').next());
        for name in names.filter(|name| *name != "errors") {
            definition.analyses[0].id = id(name);
            let trigger = RollbackTrigger::Analysis(id(name));
            definition.release.rollback.as_mut().unwrap().triggers = vec![trigger];
            match plan(&definition) {
                Ok(_) => {}
                Err(PlanErrors(errors)) => assert!(
                    matches!(&errors[..], [PlanError::ReservedAnalysis { analysis, .. }] if analysis.as_str() == name),
                    "{errors:?}"
                ),
            }
        }
    }
    let mut definition = one_service(Strategy::Recreate);
    definition.analyses[0].id = id("ready");
    definition.release.rollback.as_mut().unwrap().triggers =
        vec![RollbackTrigger::Analysis(id("ready"))];
    assert_eq!(
        errors(&definition)[0].to_string(),
        "stage 1 (prod): the analysis `ready` is called as a step of its strategy is; give it \
         another `id` in `analyses`, and where it is named"
    );
}

#[test]
fn versions_that_do_not_fit_each_other() {
    check(
        |d| d.release.versions = set(&[("db", "2.0.0"), ("api", "2.1.0"), ("web", "3.0.0")]),
        "`api` needs `db` ^1, but the new version set has 2.0.0; change one of the two",
    );
    check(
        |d| d.release.previous = set(&[("db", "0.9.0"), ("api", "2.0.0"), ("web", "2.9.0")]),
        "`api` needs `db` ^1, but the previous version set has 0.9.0; change one of the two",
    );
    check(
        |d| {
            d.release.versions = set(&[("db", "1.1.0"), ("web", "3.0.0")]);
            d.release.previous = set(&[("db", "1.0.0"), ("web", "2.9.0")]);
        },
        "`web` needs `api`, which neither the new version set nor the previous one contains; add it \
         to `release.versions`, or to `release.previous` if it stays as it is",
    );
}

/// Found in review: only what is released was looked at.
#[test]
fn what_stays_as_it_is_has_to_fit_what_is_released() {
    check(
        |d| d.release.versions = set(&[("db", "2.0.0")]),
        "`api` needs `db` ^1, but the new version set has 2.0.0; change one of the two",
    );
    let mut definition = shop();
    definition.release.versions = set(&[("db", "1.1.0"), ("web", "3.0.0")]);
    plan(&definition).unwrap(); // `web` finds the `api` that stays
}

#[test]
fn names_that_would_stand_twice() {
    check(
        |d| d.notify = vec![id("ops"), id("ops")],
        "channel in `notify` `ops` stands twice; rename or remove one",
    );
    let mut definition = shop();
    for region in ["wave-1", "wave-1-all"] {
        definition.environments[1].regions.push(id(region));
        definition.stages[1].waves[0].push(id(region));
    }
    let plan = plan(&definition).unwrap();
    let found = |name: &str| plan.steps().iter().any(|step| step.id.as_str() == name);
    assert!(found("production/wave-1-all-all/verified"));
}

#[test]
fn numbers_with_which_nothing_would_happen() {
    check(|d| d.services[0].replicas = 0, "service `db` has 0 replicas; set 1 or more");
    check(
        |d| d.analyses[0].count = 0,
        "analysis `errors` takes 0 measurements and could never pass; set `count` to 1 or more",
    );
    let quorum = "gate `cab` asks for no approvals; set `quorum` to 1 or more";
    let none = || Gate::Approval(Approval { quorum: 0, ..Approval::new(id("cab")) });
    check(|d| d.stages[1].gates = vec![none()], quorum);
    check(
        |d| {
            let green = BlueGreen { gates: vec![none()], ..BlueGreen::default() };
            d.stages[0].strategy = Strategy::BlueGreen(green);
        },
        quorum,
    );
    check(
        |d| d.stages[0].attempts = 0,
        "stage 1 (staging): `attempts` is 0 and nothing would be tried; set 1 or more",
    );
    // Found in review: a line of a file made four thousand million steps before anybody counted.
    let many = Rolling {
        batches: u32::MAX,
        max_unavailable: 0.into(),
        bake: Span::ZERO,
        ..Rolling::new(1)
    };
    check(
        |d| {
            d.services.iter_mut().for_each(|service| service.replicas = u32::MAX);
            d.stages[0].strategy = Strategy::Rolling(many);
        },
        "stage 1 (staging): `rolling.batches` is 4294967295; set 1000 or fewer",
    );
    let rolling = Rolling { max_unavailable: 0.into(), bake: Span::ZERO, ..Rolling::new(0) };
    check(
        |d| d.stages[0].strategy = Strategy::Rolling(rolling),
        "stage 1 (staging): `rolling.batches` is 0; set 1 or more",
    );
    check(|d| d.stages.clear(), "there are no stages; name at least one environment in `stages`");
    check(
        |d| d.environments[0].regions.clear(),
        "environment `staging` has no regions; give it at least one",
    );
    check(
        |d| d.release.rollback = None,
        "environment `production` is production, but the release has no rollback criteria; add `release.rollback.triggers`",
    );
    check(
        |d| d.release.rollback.as_mut().unwrap().triggers.clear(),
        "environment `production` is production, but the release has no rollback criteria; add `release.rollback.triggers`",
    );
}

/// Found in review: a step that may take no time at all can only fail.
#[test]
fn durations_with_which_nothing_could_be_done() {
    let none = |place, field| {
        format!(
            "{place}: `{field}` is 0s, in which nothing can be done; set 1ms or more, for example `30s`"
        )
    };
    check(|d| d.stages[0].step_timeout = Span::ZERO, &none("stage `staging`", "step_timeout"));
    check(|d| d.analyses[0].interval = Span::ZERO, &none("analysis `errors`", "interval"));
    let tiny = Span::from(std::time::Duration::from_micros(999));
    check(
        |d| d.stages[0].step_timeout = tiny,
        "stage `staging`: `step_timeout` is 999us, in which nothing can be done; set 1ms or more, for example `30s`",
    );
    let forever = Span::secs(u64::MAX);
    let longer = |place: &str, field: &str| {
        format!(
            "{place}: `{field}` is {forever}, which is longer than ten years; set less, for example `1h`"
        )
    };
    check(|d| d.stages[0].step_timeout = forever, &longer("stage `staging`", "step_timeout"));
    check(|d| d.analyses[0].interval = forever, &longer("analysis `errors`", "interval"));
    check(|d| d.stages[1].gates = vec![Gate::Soak(forever)], &longer("stage `production`", "soak"));
    let stage = "stage `staging`";
    for (field, strategy) in [
        (
            "bake",
            Strategy::Rolling(Rolling {
                max_unavailable: 0.into(),
                bake: forever,
                ..Rolling::new(1)
            }),
        ),
        ("bake", Strategy::BlueGreen(BlueGreen { bake: forever, ..BlueGreen::default() })),
        ("keep_old", Strategy::BlueGreen(BlueGreen { keep_old: forever, ..BlueGreen::default() })),
        (
            "soak",
            Strategy::BlueGreen(BlueGreen {
                gates: vec![Gate::Soak(forever)],
                ..BlueGreen::default()
            }),
        ),
        (
            "bake",
            Strategy::Canary(Canary {
                steps: vec![CanaryStep::new(1, forever)],
                keep_old: Span::ZERO,
                ..Canary::default()
            }),
        ),
        (
            "keep_old",
            Strategy::Canary(Canary {
                steps: vec![CanaryStep::new(1, Span::ZERO)],
                keep_old: forever,
                ..Canary::default()
            }),
        ),
    ] {
        check(|d| d.stages[0].strategy = strategy, &longer(stage, field));
    }
}

#[test]
fn canary_weights_lie_from_0_to_100() {
    for (weights, sound) in [
        (&[1, 100][..], true),
        (&[50], true),
        (&[], false),
        (&[0, 50], true),
        (&[50, 50], true),
        (&[60, 50], true),
        (&[50, 101], false),
    ] {
        let steps = weights.iter().map(|weight| CanaryStep::new(*weight, Span::ZERO)).collect();
        let strategy = Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(steps) });
        assert_eq!(plan(&one_service(strategy)).is_ok(), sound, "{weights:?}");
    }
}

#[test]
fn all_faults_are_reported_together() {
    let mut definition = shop();
    definition.services[0].replicas = 0;
    definition.services[2].depends_on.push(any("cache"));
    definition.stages[0].environment = id("qa");
    definition.stages[1].gates.push(approval("cab"));
    definition.analyses[0].count = 0;
    definition.release.rollback = None;
    let errors = plan(&definition).unwrap_err();
    assert_eq!(errors.0.len(), 6, "{errors}");
    assert!(
        errors.to_string().starts_with("6 faults:\n  1. service `db` has 0 replicas"),
        "{errors}"
    );
}

#[test]
fn cycles_are_told_on_the_way_round_shortest_first() {
    let mut definition = shop();
    definition.release.versions = set(&[]);
    definition.release.previous = set(&[]);
    let service = |name: &str, needs: &[&str]| {
        let mut service = Service::new(id(name), id("team"));
        service.depends_on = needs.iter().map(|name| any(name)).collect();
        service
    };
    definition.services = vec![
        service("c", &["a"]),
        service("a", &["b"]),
        service("b", &["c"]),
        service("y", &["x"]),
        service("x", &["y"]),
        service("me", &["me"]),
    ];
    let cycles: Vec<_> = errors(&definition)
        .into_iter()
        .filter_map(|error| match error {
            PlanError::Cycle { what: "services", names } => Some(names),
            _ => None,
        })
        .collect();
    assert_eq!(cycles, [vec!["me"], vec!["x", "y"], vec!["a", "b", "c"]]);
    let text = errors(&definition).iter().map(ToString::to_string).collect::<String>();
    assert!(
        text.contains("services depend on each other in a circle: a → b → c → a; remove one"),
        "{text}"
    );
}

#[test]
fn names_that_are_too_long_together_are_refused() {
    let long = "x".repeat(64);
    let mut definition = one_service(Strategy::Recreate);
    definition.analyses = vec![Analysis { id: id(&long), ..error_rate() }, error_rate()];
    definition.stages = vec![Stage {
        gates: vec![approval(&format!("{}g", "g/".repeat(159)))],
        ..definition.stages[0].clone()
    }];
    let errors = errors(&definition);
    assert!(matches!(&errors[..], [PlanError::Id(_)]), "{errors:?}");
}
