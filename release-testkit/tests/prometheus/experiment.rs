//! An experiment over a real Prometheus: fresh instances of the old version run apart, beside as many of the new one, and only
//! the label of their track tells them from the rest of their version.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use release_core::engine::{Engine, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{
    Analysis, Direction, Edition, Expected, Finite, Judge, Margin, Metric, RollbackScope, Selector,
    Sequential, Target, TrackId, Unit,
};
use release_core::plan::{
    Action, Beside, Compensation, Deployment, EdgeKind, OnFailure, Plan, Step, Undo, UndoPhase,
    Weight,
};
use release_core::port::{Clock as _, Evidence, Measurement};
use release_core::run::{Event, Outcome};
use release_core::time::{Span, Timestamp};
use release_providers::endpoints::Endpoints as _;
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::prometheus::PrometheusSource;
use release_providers::spi::{
    ApplyRequest, ArtifactStore as _, Deployer as _, MeasureRequest, MetricsSource as _,
    ObserveTraffic, PutArtifact, SetWeights, TrafficRouter,
};
use release_providers::{ProviderSelector, Registry, SystemClock};
use release_testkit::fixtures;
use tokio::task::JoinSet;

use crate::demo::program;
use crate::real;
use crate::server::Server;
use crate::services::{get, scraping};

/// How long anything may take.
const PATIENCE: Span = Span::secs(20);

fn baseline() -> TrackId {
    fixtures::literal("baseline")
}

/// The old version, as many fresh instances of it as there are of the new one, and the new one.
struct Sides {
    platform: LocalPlatform,
    target: Target,
    old: Deployment,
    apart: Deployment,
    new: Deployment,
    /// Where Prometheus finds them, and which track they are on.
    discovery: Vec<serde_json::Value>,
}

impl Sides {
    /// Of 100 requests of the new version so many fail.
    async fn start(root: &Path, failures: u8) -> Self {
        let config = LocalConfig::new(root, Arc::new(SystemClock::new()));
        let platform = LocalPlatform::open(config).await.unwrap();
        let mut put = Vec::new();
        for (version, failures) in [("1.0.0", 0), ("1.1.0", failures)] {
            let request = PutArtifact::new(fixtures::literal("api"), program(version, failures));
            let artifact = platform.put(&fixtures::context(version), request).await.unwrap();
            let (target, version) = (fixtures::target("api"), fixtures::version(version));
            put.push(Deployment { target, artifact, version });
        }
        let [old, new] = <[_; 2]>::try_from(put).unwrap();
        let apart = Deployment { target: old.target.clone().on(baseline()), ..old.clone() };
        let target = old.target.clone();
        let mut sides = Self { platform, target, old, apart, new, discovery: Vec::new() };
        for (deployment, replicas) in
            [(sides.old.clone(), 2), (sides.apart.clone(), 1), (sides.new.clone(), 1)]
        {
            sides.run(deployment, replicas).await;
        }
        let all = Self::share(&sides.old, 100);
        let wish = SetWeights::new(sides.target.clone(), vec![all]);
        sides.platform.set_weights(&fixtures::context("route"), wish).await.unwrap();
        sides
    }

    /// Returns once its instances are ready.
    async fn run(&mut self, deployment: Deployment, replicas: u32) {
        let Deployment { target, artifact, version } = deployment;
        let digest = artifact.digest();
        let key = format!("{target} {digest}");
        let wish = ApplyRequest::new(target.clone(), artifact, version, replicas);
        self.platform.apply(&fixtures::context(&key), wish).await.unwrap();
        let mut changes = self.platform.changes();
        let ready = loop {
            let ready = self.platform.of(&target, digest).await.unwrap();
            if u32::try_from(ready.len()) == Ok(replicas) {
                break ready;
            }
            changes.changed().await.unwrap();
        };
        let mut labels = serde_json::json!({
            "environment": target.environment.to_string(),
            "region": target.region.to_string(),
        });
        if let (Some(track), Some(labels)) = (&target.track, labels.as_object_mut()) {
            labels.insert("track".into(), track.to_string().into());
        }
        let addresses: Vec<String> = ready.iter().map(ToString::to_string).collect();
        self.discovery.push(serde_json::json!({ "targets": addresses, "labels": labels }));
    }

    fn share(of: &Deployment, percent: u8) -> Weight {
        let weight = Weight::new(of.artifact.digest(), of.version.clone(), percent);
        Weight { track: of.target.track.clone(), ..weight }
    }

    /// A fifth of the traffic for each of the two, and a comparison, which takes that back where the new one is worse.
    fn plan(&self) -> Plan {
        let route = |weights| Action::Route { target: self.target.clone(), weights, rules: None };
        let shares = vec![
            Self::share(&self.old, 60),
            Self::share(&self.apart, 20),
            Self::share(&self.new, 20),
        ];
        let action = route(vec![Self::share(&self.old, 100)]);
        let back = Compensation { action, phase: UndoPhase::RestoreTraffic };
        let begin = Step::new(fixtures::literal("share"), route(shares));
        // Both are scraped, but not at one moment: that their counts differ is no fault of their shares.
        let beside = Beside { steered: true, ..Beside::new(self.apart.clone(), 50) };
        let compare = Action::Analyze {
            deployment: self.new.clone().into(),
            analysis: Arc::new(errors()),
            from: None,
            beside: Some(Box::new(beside)),
            until: None,
        };
        let compare = Step::new(fixtures::literal("compare"), compare)
            .on_failure(OnFailure::RollBack(RollbackScope::Release));
        let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
        plan.step(begin.undo(Undo::Compensate(vec![back])));
        plan.step(compare);
        plan.edge(0, 1, EdgeKind::Order);
        plan.build().unwrap()
    }

    /// Who gets requests, as a line each.
    async fn served(&self) -> Vec<String> {
        let cx = fixtures::context("look");
        let look = ObserveTraffic::new(self.target.clone());
        let status = TrafficRouter::observe(&self.platform, &cx, look).await.unwrap();
        let mut served: Vec<String> = status
            .weights
            .iter()
            .filter(|weight| weight.percent > 0)
            .map(|weight| {
                let track = weight.track.as_ref().map_or("-", TrackId::as_str);
                format!("{} {track} {}", weight.version, weight.percent)
            })
            .collect();
        served.sort();
        served
    }
}

/// The share of requests that fail: it must not be shown to be higher than beside it, and has to be shown not to be much higher.
fn errors() -> Analysis {
    let requests = Selector::series("http_requests_total");
    let metric =
        Metric::Ratio { numerator: requests.clone().label("code", "500"), denominator: requests };
    let number = |number| Finite::new(number).unwrap();
    let rule = Sequential {
        direction: Direction::LowerIsBetter,
        unit: Unit::Share,
        margin: Margin { relative: Finite::ZERO, absolute: number(0.1) },
        expected: Expected {
            per_second: number(200.0),
            value: number(0.005),
            spread: Finite::ZERO,
            detect: number(30.0),
        },
        alpha: number(0.05),
        critical: true,
        warm_up: 0,
        baseline: None,
        comparisons: 1,
        edition: Edition::default(),
    };
    let judged = Analysis::judged(fixtures::literal("errors"), metric, Judge::Sequential(rule));
    let (min_samples, interval, count) = (20, Span::millis(500), 100);
    Analysis { min_samples, interval, count, inconclusive_limit: 100, ..judged }
}

/// Requests without an end, through the proxy of the platform; not so many that others have to wait for the processor.
struct Load {
    over: Arc<AtomicBool>,
    sender: JoinSet<()>,
}

impl Load {
    fn begin(sides: &Sides) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let address = sides.platform.address(&sides.target).unwrap();
        let (mut sender, done) = (JoinSet::new(), Arc::clone(&over));
        sender.spawn(async move {
            let clock = SystemClock::new();
            while !done.load(Ordering::Relaxed) {
                tokio::task::spawn_blocking(move || get(address, "/work")).await.unwrap();
                clock.sleep_until(clock.now().plus(Span::millis(2))).await;
            }
        });
        Self { over, sender }
    }

    async fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.sender.join_next().await {
            ended.unwrap();
        }
    }
}

/// Returns once Prometheus has seen all instances of both versions.
async fn seen(source: &PrometheusSource, sides: &Sides) {
    let clock = SystemClock::new();
    let patience = clock.now().plus(PATIENCE);
    let all = "count(http_request_duration_seconds_count{version=\"{{version}}\"})";
    for (deployment, instances) in [(&sides.old, 3.0), (&sides.new, 1.0)] {
        loop {
            let Deployment { target, artifact, version } = deployment.clone();
            let metric = Metric::Query { query: all.to_owned() };
            let (digest, since) = (artifact.digest(), Timestamp::default());
            let request = MeasureRequest::new(target, digest, version, metric, since);
            let mut cx = fixtures::context("seen");
            cx.deadline = clock.now().plus(PATIENCE);
            let found = source.measure(&cx, request).await.unwrap();
            let wanted = Finite::new(instances).unwrap();
            if matches!(found, Measurement::Value { value, .. } if value == wanted) {
                break;
            }
            assert!(clock.now() < patience, "not {instances} instances, but {found:?}");
            clock.sleep_until(clock.now().plus(Span::millis(20))).await;
        }
    }
}

/// What came of an experiment, and who is served after it; `None` where there is no Prometheus.
async fn experiment(failures: u8) -> Option<(Outcome, History, Vec<String>)> {
    let prometheus = real::find("prometheus")?;
    let root = tempfile::tempdir().unwrap();
    let sides = Sides::start(root.path(), failures).await;
    let mut server = Server::new(&prometheus);
    let discovery = serde_json::Value::from(sides.discovery.clone()).to_string();
    let source = scraping(&mut server, discovery).await;
    seen(&source, &sides).await;

    let everywhere = ProviderSelector::everywhere;
    let registry = Registry::builder(Arc::new(SystemClock::new()))
        .router(everywhere(), Arc::new(sides.platform.clone()))
        .metrics(everywhere(), Arc::new(source))
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry)).build();
    let load = Load::begin(&sides);
    let handle = engine.start("r-1".parse().unwrap(), sides.plan(), fixtures::requester()).await;
    let handle = handle.unwrap();
    let settled = handle.settled().await.unwrap();
    load.end().await;
    let history = engine.load(handle.run()).await.unwrap().0;
    let shares = sides.served().await;
    sides.platform.destroy().await.unwrap();
    match settled {
        Settled::Finished(outcome) => Some((outcome, history, shares)),
        Settled::NeedsPerson(awaiting) => panic!("the run waits for {awaiting:?}"),
    }
}

/// What both sides had counted at the last look that compared them.
fn counted(history: &History) -> Option<[f64; 2]> {
    let all = |side: &Measurement| match side {
        Measurement::Ratio { denominator, .. } => Some(denominator.get()),
        _ => None,
    };
    history.facts().iter().rev().find_map(|fact| match &fact.event {
        Event::StepMeasured { evidence: Evidence::Comparison { canary, baseline }, .. }
        | Event::StepSucceeded { evidence: Evidence::Comparison { canary, baseline }, .. } => {
            Some([all(canary)?, all(baseline)?])
        }
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_version_that_is_no_worse_than_its_baseline_goes_on() {
    let Some((outcome, history, served)) = experiment(0).await else { return };
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(served, ["1.0.0 - 60", "1.0.0 baseline 20", "1.1.0 - 20"]);
    // The baseline alone, which has the share of the new version; all of its version have four times as much.
    let [canary, baseline] = counted(&history).unwrap();
    assert!(
        canary > 0.0 && baseline < canary * 2.5,
        "{baseline} of the baseline, {canary} of the new one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_version_that_is_worse_than_its_baseline_goes_back() {
    let Some((outcome, _, served)) = experiment(20).await else { return };
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!(served, ["1.0.0 - 100"]);
}
