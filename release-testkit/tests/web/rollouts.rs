//! What a web service says judges releases: a gate that takes a rollout back, and one that is asked at every look.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::engine::Engine;
use release_core::journal::MemoryJournal;
use release_core::model::{
    Analysis, Background, Bound, Canary, CanaryStep, Definition, Finite, Judge, Metric, Span,
    Strategy, Threshold, Unit,
};
use release_core::plan::{Weight, plan};
use release_core::port::Clock;
use release_core::run::{Event, Outcome};
use release_providers::spi::{
    ApplyRequest, Deployer as _, ObserveTraffic, SetWeights, TrafficRouter as _,
};
use release_providers::web::{WebMetric, WebSettings, WebSource};
use release_providers::{ProviderSelector, Registry, SystemClock};
use release_testkit::fakes::FakePlatform;
use release_testkit::fixtures::{self, Shop, literal, one_service};
use serde_json::json;

use crate::server::{Asked, Reply, Server};

/// What came of a release.
struct Ended {
    outcome: Outcome,
    /// What failed, in the order in which it did.
    failures: Vec<String>,
    /// The shares of the versions at the end.
    weights: Vec<Weight>,
}

impl Ended {
    #[track_caller]
    fn was_taken_back(&self) {
        assert!(matches!(self.outcome, Outcome::RolledBack { .. }), "{}", self.outcome);
        self.serves(Shop::OLD);
    }

    /// Something failed that says so.
    #[track_caller]
    fn failed_by(&self, why: &str) {
        let found = self.failures.iter().any(|failure| failure.contains(why));
        assert!(found, "{why}: {:?}", self.failures);
    }

    /// All traffic is on a version.
    #[track_caller]
    fn serves(&self, version: &str) {
        let [only] = &self.weights[..] else { panic!("{:?}", self.weights) };
        assert_eq!((only.digest, only.percent), (fixtures::digest("api", version), 100));
    }
}

/// An analysis of the metric `gate`, looked at every 10 milliseconds.
fn judged(success: Bound) -> Analysis {
    let metric = Metric::Query { query: "gate".into() };
    let judge = Judge::Threshold(Threshold::new(success).of(Unit::Number));
    let analysis = Analysis::judged(literal("gate"), metric, judge);
    // However busy the machine is.
    Analysis { interval: Span::millis(10), fresh_for: Some(Span::secs(60)), ..analysis }
}

/// A canary with half of the traffic for a minute, by these rules.
fn definition(analysis: Analysis, background: bool) -> Definition {
    let bake = if background { Span::secs(60) } else { Span::ZERO };
    let mut step = CanaryStep::new(50, bake);
    let mut canary = Canary::new(Vec::new());
    if background {
        canary.background = vec![Background { analysis: analysis.id.clone(), from_step: 1 }];
    } else {
        step.analyses = vec![analysis.id.clone()];
    }
    canary.steps = vec![step];
    let mut definition = one_service(Strategy::Canary(canary), 2);
    definition.analyses.push(analysis);
    definition
}

/// Releases 1.1.0 of `api` with the service as its gate, beside a source of metrics that finds the version healthy.
async fn release(server: &Server, definition: &Definition) -> Ended {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let platform = FakePlatform::on(&clock);
    let (cx, target) = (fixtures::context("before"), fixtures::target("api"));
    for version in [Shop::OLD, Shop::NEW] {
        platform.world.store(&fixtures::content("api", version));
    }
    let (artifact, number) = (fixtures::artifact("api", Shop::OLD), fixtures::version(Shop::OLD));
    let share = Weight::new(artifact.digest(), number.clone(), 100);
    let wish = ApplyRequest::new(target.clone(), artifact, number, 2);
    platform.deployer.apply(&cx, wish).await.unwrap();
    let shares = SetWeights::new(target.clone(), vec![share]);
    platform.router.set_weights(&fixtures::context("route"), shares).await.unwrap();
    platform.metrics.set_errors(fixtures::digest("api", Shop::NEW), 1.0, 1_000.0);

    let gate = WebMetric::gate(server.url("/gate"))
        .post(json!({ "name": "{{service}}", "phase": "Progressing" }));
    let settings = WebSettings::new().metric("gate", gate);
    let web = WebSource::new(&settings, &BTreeMap::new(), Arc::clone(&clock)).unwrap();
    let everywhere = ProviderSelector::everywhere;
    let registry = Registry::builder(clock)
        .artifacts(platform.artifacts.clone())
        .deployer(everywhere(), platform.deployer.clone())
        .router(everywhere(), platform.router.clone())
        .health(everywhere(), platform.health.clone())
        .metrics(everywhere(), Arc::new(web.beside(platform.metrics.clone())))
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry)).build();
    let plan = plan(definition).unwrap();
    let handle = engine.start(literal("run-1"), plan, fixtures::requester()).await.unwrap();
    let outcome = handle.wait().await.unwrap();
    let history = engine.load(&literal("run-1")).await.unwrap().0;
    let failed = |event: &Event| match event {
        Event::StepFailed { error, .. } => Some(error.to_string()),
        _ => None,
    };
    let failures = history.facts().iter().filter_map(|fact| failed(&fact.event)).collect();
    let look = ObserveTraffic::new(target);
    let weights = platform.router.observe(&fixtures::context("look"), look).await.unwrap().weights;
    Ended { outcome, failures, weights }
}

/// Closed for so many looks, and then what `then` says.
async fn closed_at_first(looks: usize, then: Reply) -> Server {
    let says = move |before: usize, _: &Asked| {
        if before < looks { Reply::status(404) } else { then.clone() }
    };
    Server::start(says).await
}

const ZERO: Bound = Bound::AtMost(Finite::ZERO);

fn open() -> Bound {
    Bound::AtLeast(Finite::new(1.0).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_of_rollback_that_opens_half_way_takes_the_rollout_back() {
    let server = closed_at_first(5, Reply::status(200)).await;
    let ended = release(&server, &definition(judged(ZERO), true)).await;
    ended.was_taken_back();
    let heard = server.asked();
    assert!(heard.len() > 5, "{}", heard.len());
    assert_eq!(heard[0].body, r#"{"name":"api","phase":"Progressing"}"#);
    ended.failed_by("gate: ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_of_rollback_that_never_answers_is_no_permit() {
    let server = closed_at_first(3, Reply::HangsUp).await;
    let gate = Analysis { inconclusive_limit: 2, ..judged(ZERO) };
    let ended = release(&server, &definition(gate, true)).await;
    ended.was_taken_back();
    ended.failed_by("could not be asked");
    assert!(server.asked().len() >= 6, "{}", server.asked().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_of_every_look_fails_the_rollout_beyond_its_limit_and_not_before() {
    let gate = || Analysis { count: 4, failure_limit: 2, ..judged(open()) };
    // So many of the first looks find it open; of those after it, so many find it closed.
    for (opened, closed, taken_back) in [(1, 3, true), (1, 2, false), (0, 3, true), (0, 0, false)] {
        let says = move |before: usize, _: &Asked| {
            let shut = (opened..opened + closed).contains(&before);
            Reply::status(if shut { 500 } else { 200 })
        };
        let server = Server::start(says).await;
        let ended = release(&server, &definition(gate(), false)).await;
        if taken_back {
            ended.was_taken_back();
            assert_eq!(server.asked().len(), opened + closed, "none after it has failed");
        } else {
            assert_eq!(ended.outcome, Outcome::Succeeded, "{:?}", ended.failures);
            ended.serves(Shop::NEW);
            assert_eq!(server.asked().len(), 4 + closed, "{opened} {closed}");
        }
    }
}
