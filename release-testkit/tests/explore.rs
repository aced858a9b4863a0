//! From every state of every strategy, an abort reaches a state in which all traffic is on a version that runs and is
//! healthy; only a version from before that died by itself, and from which the run took no traffic, is left as it is. Explored
//! exhaustively: every way in which each effect can end, a cancel and a crash at every state.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

#[path = "explore/argo.rs"]
mod argo;
#[path = "explore/around.rs"]
mod around;
#[path = "explore/dead.rs"]
mod dead;

use std::io::Write as _;

use release_core::model::{
    Approval, Background, BlueGreen, Canary, CanaryReady, CanaryScale, CanaryStep, Definition,
    Experiment, Gate, HeaderRule, Hook, HookPoint, RollbackScope, Rolling, Service,
    SessionAffinity, Shadow, Span, Strategy,
};
use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
use release_core::plan::{Action, Planner, Undo, plan};
use release_testkit::explore::{Breach, Counterexample, Exploration, Explored};
use release_testkit::fixtures::{Shop, literal, one_service};

const REPLICAS: u32 = 4;

fn minute() -> Span {
    Span::secs(60)
}

fn step(weight: u8) -> CanaryStep {
    CanaryStep::new(weight, minute())
}

fn canary(steps: Vec<CanaryStep>) -> Canary {
    Canary { keep_old: minute(), ..Canary::new(steps) }
}

/// A switch at which some instances of the new version may be missing.
fn switch(max_unavailable: u32) -> Strategy {
    let (bake, keep_old) = (minute(), minute());
    let max_unavailable = max_unavailable.into();
    Strategy::BlueGreen(BlueGreen { max_unavailable, bake, keep_old, ..BlueGreen::default() })
}

fn by_header() -> Vec<HeaderRule> {
    vec![HeaderRule::exact("x-canary", "yes")]
}

/// Says how many states there are, which is part of the proof.
fn said(text: &str) {
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    writeln!(out, "{text}").unwrap();
}

/// Explores a strategy, and says how many states there are.
fn explored(name: &str, exploration: Exploration, definition: &Definition) -> usize {
    let plan = plan(definition).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    let found = exploration.run(definition, plan);
    let found: Explored = found.unwrap_or_else(|broken| panic!("{name}: {broken}"));
    said(&format!("{name:>36}: {found}"));
    for end in ["rolled_back", "succeeded"] {
        assert!(found.ends.contains_key(end), "{name}: {found}");
    }
    found.states
}

type Trial = (&'static str, Strategy, Exploration);

/// Strategies that go by shares and instances alone.
fn plain() -> Vec<Trial> {
    let rolling = |missing: u32, surge: Option<u32>| {
        let bake = minute();
        let batches = if surge.is_none() { 2 } else { 1 };
        let (max_unavailable, max_surge) = (missing.into(), surge.map(Into::into));
        Strategy::Rolling(Rolling { max_unavailable, max_surge, bake, ..Rolling::new(batches) })
    };
    let new = Exploration::new;
    let blue_green = BlueGreen { bake: minute(), keep_old: minute(), ..BlueGreen::default() };
    let previewed = BlueGreen {
        preview_replicas: Some(1),
        preview_headers: by_header(),
        preview: minute(),
        preview_analyses: vec![literal("error-rate")],
        gates: vec![Gate::Approval(Approval::new(literal("go")))],
        keep_new_after_abort: minute().into(),
        ..BlueGreen::default()
    };
    vec![
        ("recreate", Strategy::Recreate, new().with_outage().apart()),
        ("rolling, adding first", rolling(0, None), new()),
        ("rolling, making room", rolling(1, None), new().missing(1)),
        ("rolling, one more", rolling(0, Some(1)), new().surge(1)),
        ("rolling, never one more", rolling(1, Some(0)), new().missing(1).surge(0)),
        ("rolling, one each way", rolling(1, Some(1)), new().missing(1).surge(1)),
        ("rolling, by threes", rolling(3, Some(0)), new().missing(3).surge(0)),
        ("rolling, all at once", rolling(4, Some(0)), new().with_outage().apart()),
        ("blue-green", Strategy::BlueGreen(blue_green), Exploration::new()),
        ("blue-green, previewed", Strategy::BlueGreen(previewed), Exploration::new()),
        ("canary", Strategy::Canary(canary(vec![step(10), step(50)])), Exploration::new()),
        ("canary to 100", Strategy::Canary(canary(vec![step(50), step(100)])), Exploration::new()),
        (
            "canary in five steps",
            Strategy::Canary(canary([5, 20, 40, 60, 80].map(step).to_vec())),
            Exploration::new(),
        ),
        (
            "canary, down and up again",
            Strategy::Canary(Canary {
                shrink_old: true,
                ..canary(vec![step(75), step(25), step(100), step(50)])
            }),
            Exploration::new(),
        ),
    ]
}

/// Canaries with all that they can have beside shares, and copies.
fn rich() -> Vec<Trial> {
    let scaled = |weight, scale| CanaryStep { scale: Some(scale), ..step(weight) };
    let experiment = Experiment::new(30, 2, minute());
    let background = vec![Background { analysis: literal("error-rate"), from_step: 1 }];
    vec![
        (
            "canary, to whom it may concern",
            Strategy::Canary(Canary {
                affinity: Some(SessionAffinity::new("stay")),
                ..canary(vec![CanaryStep { headers: by_header(), ..step(0) }, step(50)])
            }),
            Exploration::new(),
        ),
        (
            "canary, whose clients never go back",
            Strategy::Canary(Canary {
                shrink_old: true,
                affinity: Some(SessionAffinity::new("stay").to_new_version()),
                ..canary(vec![step(10), step(50)])
            }),
            Exploration::new(),
        ),
        (
            "canary, mirrored, gated",
            Strategy::Canary(canary(vec![
                CanaryStep { mirror: Some(50.into()), ..step(0) },
                CanaryStep {
                    gates: vec![Gate::Approval(Approval::new(literal("go")))],
                    ..step(50)
                },
            ])),
            Exploration::new(),
        ),
        (
            "canary, as large as its share",
            Strategy::Canary(Canary {
                shrink_old: true,
                keep_new_after_abort: minute().into(),
                ..canary(vec![scaled(50, CanaryScale::MatchTraffic)])
            }),
            Exploration::new(),
        ),
        (
            "canary, watched all the while",
            Strategy::Canary(Canary { background, ..canary(vec![step(50)]) }),
            Exploration::new(),
        ),
        (
            "canary with an experiment",
            Strategy::Canary(canary(vec![CanaryStep {
                experiment: Some(experiment),
                ..scaled(10, CanaryScale::Replicas(2))
            }])),
            Exploration::new(),
        ),
        ("shadow", Strategy::Shadow(Shadow::new(100, minute())), Exploration::new()),
    ]
}

/// Strategies that wait for fewer instances than they start.
fn sparing() -> Vec<Trial> {
    let scaled = |weight, count| {
        let scale = Some(CanaryScale::Replicas(count));
        CanaryStep { scale, ..step(weight) }
    };
    let ready = |count, step| CanaryStep { ready: Some(CanaryReady::Replicas(count)), ..step };
    vec![
        ("blue-green, one missing", switch(1), Exploration::new().missing(1)),
        ("blue-green, all but one missing", switch(3), Exploration::new().missing(3)),
        (
            "canary, as soon as enough are ready",
            Strategy::Canary(Canary {
                shrink_old: true,
                ready: Some(CanaryReady::Percent(25)),
                ..canary(vec![step(10), ready(3, step(50)), step(75)])
            }),
            Exploration::new(),
        ),
        (
            "canary, fewer and fewer ready",
            Strategy::Canary(canary(vec![ready(3, scaled(50, 4)), ready(1, scaled(25, 2))])),
            Exploration::new(),
        ),
    ]
}

/// But for an outage of the version from before where the run has moved no traffic: that is left as it is, as the module
/// [`explore`](release_testkit::explore) says.
#[test]
fn f25_f30_from_every_state_of_every_strategy_an_abort_ends_on_a_healthy_version() {
    let mut total = 0;
    let all = plain().into_iter().chain(rich()).chain(sparing()).chain(argo::as_argo());
    for (name, strategy, exploration) in all {
        let mut definition = one_service(strategy, REPLICAS);
        // What is looked at in the background is looked at three times while a bake lasts.
        definition.analyses.iter_mut().for_each(|analysis| analysis.interval = Span::secs(20));
        total += explored(name, exploration, &definition);
    }
    // Of more instances than the others have, one after the other: each may be where it may fail.
    for (name, surge) in [("of six, one more", 1), ("of six, never one more", 0)] {
        let rolling = Rolling {
            max_unavailable: (1 - surge).into(),
            max_surge: Some(surge.into()),
            bake: minute(),
            ..Rolling::new(1)
        };
        let exploration = Exploration::new().missing(1 - surge).surge(surge);
        total += explored(name, exploration, &one_service(Strategy::Rolling(rolling), 6));
    }
    said(&format!("{total} states in all"));
    assert!(total > 1_000_000, "{total}");
}

#[test]
fn what_stands_around_a_strategy_leaves_the_way_back_open() {
    let mut definition = one_service(Strategy::Canary(canary(vec![step(50)])), REPLICAS);
    let hook = |name: &str, at| Hook::new(literal(name), at, "webhook", serde_json::json!({}));
    let stage = &mut definition.stages[0];
    stage.before_traffic = vec![literal("error-rate")];
    stage.hooks = vec![
        hook("may-it", HookPoint::BeforeRollout),
        hook("test", HookPoint::WhenReady),
        hook("more", HookPoint::BeforeIncrease),
        hook("load", HookPoint::AfterIncrease),
        hook("tell", HookPoint::AfterRollback),
    ];
    explored("canary with hooks", Exploration::new(), &definition);
    // A version that was live a short while ago comes back at once.
    definition.release.recent = vec![definition.release.versions.clone()];
    definition.stages[0].rollback_window = 1;
    explored("back to a recent version", Exploration::new(), &definition);
    let plan = plan(&definition).unwrap();
    let shares = plan.steps().iter().filter_map(|step| match &step.action {
        Action::Route { weights, .. } => Some(weights.iter().map(|w| w.percent).collect()),
        _ => None,
    });
    assert_eq!(shares.collect::<Vec<Vec<u8>>>(), [[100]]);
}

/// Two services of which one needs the other.
fn set_of_two(strategy: Strategy, replicas: u32) -> Definition {
    let mut definition = one_service(strategy, replicas);
    let web = Service::new(literal("web"), literal("shop")).replicas(replicas);
    definition.services.push(web.needs(literal("api"), literal("*")));
    let set = |version: &str| {
        let member = |name: &str| {
            let artifact = release_testkit::fixtures::artifact(name, version);
            let version = literal(version);
            (literal(name), release_core::model::Member { artifact, version })
        };
        release_core::model::VersionSet { members: ["api", "web"].map(member).into() }
    };
    definition.release.versions = set(Shop::NEW);
    definition.release.previous = set(Shop::OLD);
    definition
}

/// The set is aborted as one, at every state; with every fault too, where that are not too many states.
#[test]
fn from_every_state_of_a_set_an_abort_ends_on_the_set_that_was_there() {
    let canary = set_of_two(Strategy::Canary(canary(vec![step(50)])), REPLICAS);
    let mut total = explored("a canary of two", Exploration::new().without_faults(), &canary);
    let apart = Exploration::new().with_outage().apart();
    let recreated = set_of_two(Strategy::Recreate, REPLICAS);
    total += explored("two, one after the other", apart, &recreated);
    said(&format!("{total} states in all"));
    assert!(total > 1_000, "{total}");
}

/// Two regions at once are cancelled at every state, in every order of what goes on in them.
#[test]
fn from_every_state_of_two_regions_each_ends_on_a_healthy_version() {
    for scope in [RollbackScope::Region, RollbackScope::Environment] {
        let mut definition = one_service(Strategy::Recreate, REPLICAS);
        definition.environments[0].regions = vec![literal("eu"), literal("us")];
        definition.stages[0].waves = vec![definition.environments[0].regions.clone()];
        definition.release.rollback.as_mut().unwrap().scope = scope;
        let exploration = Exploration::new().without_faults().with_outage().apart();
        let alone = scope == RollbackScope::Region;
        let exploration = if alone { exploration.partly() } else { exploration };
        let states = explored(&format!("two regions, by {scope:?}"), exploration, &definition);
        assert!(states > 100, "{states}");
    }
}

/// Stops the old version before all traffic has left it.
#[derive(Debug)]
struct Hasty;

impl RolloutStrategy for Hasty {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let mut steps = vec![site.scale_new("start", 1)?, site.probe("ready", 1)?];
        steps.push(site.route("half", 50)?);
        steps.extend(site.scale_old("stop", 0)?);
        steps.push(site.scale_new("grow", site.replicas())?);
        steps.push(site.route("all", 100)?);
        Ok(Rollout::of(steps))
    }
}

/// Gives the new version traffic without looking whether it is ready.
#[derive(Debug)]
struct Blind;

impl RolloutStrategy for Blind {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let steps = vec![site.scale_new("start", site.replicas())?, site.route("all", 100)?];
        Ok(Rollout { finale: site.retire(Span::ZERO)?, ..Rollout::of(steps) })
    }
}

/// Stops the old version first, and has a way back that does not.
#[derive(Debug)]
struct Crowded;

impl RolloutStrategy for Crowded {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut steps: Vec<_> = site.scale_old("stop", 0)?.into_iter().collect();
        steps.extend([site.scale_new("start", all)?, site.probe("ready", all)?]);
        steps.push(site.route("all", 100)?);
        Ok(Rollout::of(steps))
    }
}

/// Gives the old version all of the traffic back without looking whether it lives.
#[derive(Debug)]
struct Trusting;

impl RolloutStrategy for Trusting {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut half = site.route("half", 50)?;
        if let Undo::Compensate(undo) = &mut half.undo {
            undo.retain(|compensation| !matches!(compensation.action, Action::Probe { .. }));
        }
        let steps = vec![site.scale_new("start", all)?, site.probe("ready", all)?, half];
        Ok(Rollout::of(steps))
    }
}

/// Goes on once one instance of all is ready, whatever its share needs.
#[derive(Debug)]
struct Sparse;

impl RolloutStrategy for Sparse {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", 1)?];
        steps.push(site.route("half", 50)?);
        steps.extend([site.probe("all-ready", all)?, site.route("all", 100)?]);
        Ok(Rollout { finale: site.retire(Span::ZERO)?, ..Rollout::of(steps) })
    }
}

/// Stops as many instances as are not ready, and these may be the others.
#[derive(Debug)]
struct Thrifty;

impl RolloutStrategy for Thrifty {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", all - 1)?];
        steps.extend([site.scale_new("shrink", all - 1)?, site.route("most", 75)?]);
        Ok(Rollout::of(steps))
    }
}

/// What comes of a strategy that is not ours.
fn theirs(
    strategy: fn() -> Box<dyn RolloutStrategy>,
    exploration: Exploration,
) -> Result<Explored, Box<Counterexample>> {
    let other = release_core::model::Other { name: "theirs".into(), with: serde_json::Value::Null };
    let definition = one_service(Strategy::Other(other), REPLICAS);
    let planner =
        Planner::new().measured_before_traffic(false).strategy("theirs", move |_| Ok(strategy()));
    let plan = planner.plan(&definition).unwrap_or_else(|errors| panic!("{errors}"));
    exploration.run(&definition, plan)
}

/// What is found in the plan of a strategy that is not ours.
fn broken(strategy: fn() -> Box<dyn RolloutStrategy>, exploration: Exploration) -> Breach {
    match theirs(strategy, exploration) {
        Err(broken) => broken.breach,
        Ok(found) => panic!("nothing was broken: {found}"),
    }
}

#[test]
fn a_way_back_with_more_instances_than_there_may_be_is_found() {
    let crowded = || -> Box<dyn RolloutStrategy> { Box::new(Crowded) };
    let found = broken(crowded, Exploration::new().with_outage().apart());
    assert!(matches!(found, Breach::Together { .. }), "{found}");
    let found = broken(crowded, Exploration::new().with_outage().surge(0));
    assert!(matches!(found, Breach::TooMany { running: 8, most: REPLICAS, .. }), "{found}");
}

#[test]
fn f30_a_look_for_fewer_instances_than_the_traffic_needs_is_found() {
    let found = broken(|| Box::new(Sparse), Exploration::new());
    assert!(matches!(found, Breach::Unready { ready: 1, needed: 2, .. }), "{found}");
    let found = broken(|| Box::new(Thrifty), Exploration::new());
    assert!(matches!(found, Breach::Unready { ready: 2, needed: 3, .. }), "{found}");
    // As many as may be missing, and not one more.
    for (may, asked, ready, needed) in [(0, 1, 3, 4), (1, 2, 2, 3), (2, 3, 1, 2)] {
        let definition = one_service(switch(asked), REPLICAS);
        let exploration = Exploration::new().missing(may);
        let found = exploration.run(&definition, plan(&definition).unwrap()).unwrap_err().breach;
        let Breach::Unready { ready: seen, needed: wanted, .. } = found else { panic!("{found}") };
        assert_eq!((seen, wanted), (ready, needed), "{asked} missing of {may}");
    }
}

/// <https://github.com/fluxcd/flagger/issues/1898>
#[test]
fn flagger_1898_a_way_back_that_does_not_look_at_the_old_version_is_found() {
    let found = broken(|| Box::new(Trusting), Exploration::new());
    assert!(matches!(found, Breach::Unready { ready: 0, needed: REPLICAS, .. }), "{found}");
}

#[test]
fn f30_traffic_for_what_nobody_has_seen_to_be_ready_is_found() {
    let other = release_core::model::Other { name: "blind".into(), with: serde_json::Value::Null };
    let definition = one_service(Strategy::Other(other), REPLICAS);
    let planner =
        Planner::new().measured_before_traffic(false).strategy("blind", |_| Ok(Box::new(Blind)));
    let plan = planner.plan(&definition).unwrap();
    let broken = Exploration::new().run(&definition, plan).unwrap_err();
    assert!(
        matches!(broken.breach, Breach::Unready { ready: 0, needed: REPLICAS, .. }),
        "{broken}"
    );
}

#[test]
fn a_strategy_that_breaks_its_contract_is_found_with_how_it_comes_to_that() {
    let other = release_core::model::Other { name: "hasty".into(), with: serde_json::Value::Null };
    let definition = one_service(Strategy::Other(other), REPLICAS);
    let planner =
        Planner::new().measured_before_traffic(false).strategy("hasty", |_| Ok(Box::new(Hasty)));
    let plan = planner.plan(&definition).unwrap();
    let broken = Exploration::new().run(&definition, plan).unwrap_err();
    assert!(
        matches!(
            broken.breach,
            Breach::NobodyServes { .. } | Breach::TooFew { .. } | Breach::Unready { .. }
        ),
        "{broken}"
    );
    let told = broken.to_string();
    assert!(told.contains("production/eu/api/"), "{told}");
}
