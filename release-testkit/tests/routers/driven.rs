//! Releases that the engine drives, by the plans of its strategies, over a real server: under load no request is lost to them or
//! to their aborts, and nothing is stopped that has a request under way.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use release_core::engine::Engine;
use release_core::journal::MemoryJournal;
use release_core::model::{
    BlueGreen, Canary, CanaryStep, Definition, Environment, OnCancel, Release, RollbackCriteria,
    RollbackScope, RollbackTrigger, RunId, Service, Stage as Step, Strategy, Target, Tier,
    VersionSet,
};
use release_core::plan::{Plan, plan};
use release_core::port::{Clock, DRIFT, EffectError, Evidence};
use release_core::run::{Command, Directive, Event, Outcome};
use release_core::time::Span;
use release_providers::endpoints::follow;
use release_providers::local::LocalPlatform;
use release_providers::spi::{
    ApplyRequest, CheckHealth, Deployer as _, HealthProbe as _, ObserveTraffic, TrafficRouter,
    TrafficStatus,
};
use release_providers::{Context, ProviderSelector, Registry};
use release_testkit::conformance::Subject;
use release_testkit::fixtures::{self, literal};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::load::Load;
use crate::server::Which;
use crate::stage::Stage;

/// What releases need, whoever routes.
pub(crate) struct Driven {
    engine: Engine,
    platform: LocalPlatform,
    router: Arc<dyn TrafficRouter>,
    target: Target,
    subjects: [Subject; 2],
    pub(crate) clock: Arc<dyn Clock>,
}

/// Long enough to be in the middle of.
const LONG: Span = Span::secs(60);
/// Long enough for some hundred requests.
const SHORT: Span = Span::millis(200);

pub(crate) fn canary(bake: Span) -> Strategy {
    let steps = [10, 50].map(|weight| CanaryStep::new(weight, bake));
    Strategy::Canary(Canary::new(steps.to_vec()))
}

pub(crate) fn blue_green(bake: Span) -> Strategy {
    Strategy::BlueGreen(BlueGreen { bake, ..BlueGreen::default() })
}

impl Driven {
    pub(crate) fn new(
        platform: LocalPlatform,
        router: Arc<dyn TrafficRouter>,
        subjects: [Subject; 2],
        clock: Arc<dyn Clock>,
    ) -> Self {
        let everywhere = ProviderSelector::everywhere;
        let shared = Arc::new(platform.clone());
        let registry = Registry::builder(Arc::clone(&clock))
            .deployer(everywhere(), Arc::<LocalPlatform>::clone(&shared))
            .health(everywhere(), Arc::<LocalPlatform>::clone(&shared))
            .metrics(everywhere(), Arc::<LocalPlatform>::clone(&shared))
            .artifacts(shared)
            .router(everywhere(), Arc::clone(&router))
            .build()
            .unwrap();
        let journal = Arc::new(MemoryJournal::new());
        let engine = Engine::builder(journal, Arc::new(registry)).clock(Arc::clone(&clock)).build();
        Self { engine, platform, router, target: fixtures::target("api"), subjects, clock }
    }

    /// A release of one version in the place of the other; two instances.
    fn plan(&self, from: usize, to: usize, strategy: Strategy) -> Plan {
        let set = |which: usize| {
            let Subject { artifact, version, .. } = self.subjects[which].clone();
            VersionSet::new().with(literal("api"), version, artifact)
        };
        let mut release = Release::new(literal("r-1"), set(to));
        release.previous = set(from);
        let triggers = vec![RollbackTrigger::StepFailed];
        release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
        release.on_cancel = OnCancel::RollBack;
        let Target { environment, region, service, .. } = self.target.clone();
        let stage = Step { attempts: 2, ..Step::new(environment.clone(), strategy) };
        let (tier, owner, regions) = (Tier::Staging, literal("sre"), vec![region]);
        let definition = Definition::builder(literal("shop"), release)
            .service(Service::new(service, literal("shop")).replicas(2))
            .environment(Environment { id: environment, tier, owner, regions })
            .stage(stage)
            .build();
        plan(&definition).unwrap()
    }

    /// Releases one version in the place of the other.
    pub(crate) async fn release(&self, run: &str, from: usize, to: usize, strategy: Strategy) {
        let plan = self.plan(from, to, strategy);
        let run = self.engine.start(literal(run), plan, fixtures::requester()).await.unwrap();
        assert_eq!(run.wait().await.unwrap(), Outcome::Succeeded);
        assert_eq!(self.running(), if to == 1 { [0, 2] } else { [2, 0] });
    }

    /// The same, and takes it back once the new version has this share.
    pub(crate) async fn abort(&self, run: &str, from: usize, strategy: Strategy, at: u8) {
        let (to, before) = (1 - from, self.running());
        let plan = self.plan(from, to, strategy);
        let run = self.engine.start(literal(run), plan, fixtures::requester()).await.unwrap();
        self.until("the share to be in effect", async || self.share(to).await == at).await;
        let cancel = Directive::new(Command::Cancel, fixtures::operator(), "we think again");
        run.send(cancel).await.unwrap();
        let outcome = run.wait().await.unwrap();
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
        assert_eq!((self.share(from).await, self.running()), (100, before));
    }

    fn cx(&self) -> Context {
        let now = self.clock.now();
        Context::new(format!("driven/{}", now.as_micros()), now.plus(LONG), fixtures::robot())
    }

    async fn look(&self) -> TrafficStatus {
        let look = ObserveTraffic::new(self.target.clone());
        self.router.observe(&self.cx(), look).await.unwrap()
    }

    /// Requests that are under way.
    pub(crate) async fn in_flight(&self) -> u64 {
        self.look().await.in_flight
    }

    /// Asks for so many instances of a version, and does not wait for them.
    pub(crate) async fn scale(&self, which: usize, replicas: u32) {
        let Subject { artifact, version, .. } = self.subjects[which].clone();
        let wish = ApplyRequest::new(self.target.clone(), artifact, version, replicas);
        self.platform.apply(&self.cx(), wish).await.unwrap();
    }

    /// How many instances of a version are ready.
    pub(crate) async fn ready(&self, which: usize) -> usize {
        let look = CheckHealth::new(self.target.clone(), self.subjects[which].artifact.digest());
        let report = self.platform.check(&self.cx(), look).await.unwrap();
        report.instances.iter().filter(|one| one.ready).count()
    }

    async fn share(&self, which: usize) -> u8 {
        let digest = self.subjects[which].artifact.digest();
        let weights = self.look().await.weights.into_iter();
        weights.filter(|weight| weight.digest == digest).map(|weight| weight.percent).sum()
    }

    pub(crate) fn running(&self) -> [usize; 2] {
        let digests = self.subjects.each_ref().map(|subject| subject.artifact.digest());
        digests.map(|digest| self.platform.processes(&self.target, digest).len())
    }

    pub(crate) async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let patience = self.clock.now().plus(Span::secs(60));
        while !so().await {
            assert!(self.clock.now() < patience, "waited in vain for {what}");
            self.clock.sleep_until(self.clock.now().plus(Span::millis(5))).await;
        }
    }

    /// Whether a step of a run has begun, by the end of its name.
    async fn has_begun(&self, run: &RunId, step: &str) -> bool {
        let (history, _) = self.engine.load(run).await.unwrap();
        history.facts().iter().any(|fact| match &fact.event {
            Event::StepStarted { step: begun, .. } => begun.id.as_str().ends_with(step),
            _ => false,
        })
    }
}

impl Stage {
    pub(crate) fn driven(&self) -> Driven {
        let (router, clock) = (self.router(), Arc::clone(&self.clock));
        Driven::new(self.platform.clone(), router, self.subjects.clone(), clock)
    }

    /// Tells the router of instances that come and go, as a host does.
    pub(crate) fn following(&self) -> JoinSet<()> {
        let (router, clock, changes) =
            (self.router(), self.clock.clone(), self.platform.instance_changes());
        let mut tasks = JoinSet::new();
        let targets = vec![self.target.clone()];
        tasks.spawn(follow(router, clock, fixtures::robot(), targets, changes));
        tasks
    }
}

/// A canary and blue-green, each to its end and each with an abort in its middle.
pub(crate) async fn all_of(driven: &Driven) {
    driven.release("canary", 0, 1, canary(SHORT)).await;
    driven.release("switch", 1, 0, blue_green(SHORT)).await;
    driven.abort("aborted-canary", 0, canary(LONG), 10).await;
    driven.abort("aborted-switch", 0, blue_green(LONG), 100).await;
}

async fn releases(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 2).await;
    stage.route([100, 0]).await;
    let mut following = stage.following();
    let load = Load::begin(stage.address);
    all_of(&stage.driven()).await;
    let answers = load.end().await;
    following.shutdown().await;
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    writeln!(out, "{which:?} driven by the engine: {answers:?} answers, none failed").unwrap();
    stage.close().await.unwrap_or_else(|error| panic!("{error}: {}", stage.log()));
}

/// The old version is not stopped before the last request that it has begun is answered, however long that takes.
async fn drains(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 2).await;
    stage.route([100, 0]).await;
    let driven = stage.driven();
    stage.hold().await.unwrap();
    stage.until_in_flight(0, 1).await;
    let plan = driven.plan(0, 1, blue_green(Span::ZERO));
    let run = driven.engine.start(literal("drains"), plan, fixtures::requester()).await.unwrap();
    driven.until("the end", async || driven.has_begun(run.run(), "remove-old").await).await;
    // Whatever would stop it does so at once; what waits for the request goes on waiting.
    let patience = driven.clock.now().plus(Span::secs(1));
    while driven.clock.now() < patience {
        assert_eq!((driven.running(), stage.in_flight(0).await), ([2, 2], 1));
    }
    let heard = stage.let_go().await.unwrap();
    assert_eq!(heard.from, stage.digest(0));
    assert_eq!(run.wait().await.unwrap(), Outcome::Succeeded);
    assert_eq!(driven.running(), [0, 2]);
    stage.close().await.unwrap();
}

/// What a release says when somebody meddles with the traffic in the middle of its canary's first bake: the look behind that finds
/// it, nobody else gets the new version, and it goes back.
async fn found(stage: &Stage, meddle: impl AsyncFnOnce(&Stage)) -> (EffectError, Option<Evidence>) {
    stage.run(0, 2).await;
    stage.route([100, 0]).await;
    let driven = stage.driven();
    let plan = driven.plan(0, 1, canary(Span::secs(5)));
    let run = driven.engine.start(literal("drifts"), plan, fixtures::requester()).await.unwrap();
    let bakes = async || driven.has_begun(run.run(), "weight-10/bake").await;
    driven.until("the bake", bakes).await;
    assert_eq!(driven.share(1).await, 10);
    meddle(stage).await;
    let outcome = run.wait().await.unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!((driven.share(0).await, driven.running()), (100, [2, 0]));
    assert!(!driven.has_begun(run.run(), "/weight-50").await);
    let (history, _) = driven.engine.load(run.run()).await.unwrap();
    let failed = history.facts().iter().filter_map(|fact| match &fact.event {
        Event::StepFailed { step, error, evidence, .. } => {
            Some((step.id.to_string(), error.clone(), evidence.clone()))
        }
        _ => None,
    });
    let mut failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    let (step, error, evidence) = failed.remove(0);
    assert_eq!(error.kind, DRIFT, "{error}");
    assert!(step.ends_with("weight-10/still-routed"), "{step}");
    (error, evidence)
}

/// Somebody else gives the old version all of the traffic again.
async fn drifts(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    let (_, evidence) = found(&stage, async |stage| stage.route([100, 0]).await).await;
    let Some(Evidence::Weights { weights, .. }) = evidence else { panic!("{evidence:?}") };
    let seen: Vec<_> = weights.iter().map(|weight| (weight.digest, weight.percent)).collect();
    assert_eq!(seen, [(stage.digest(0), 100)]);
    stage.close().await.unwrap();
}

/// Past the router, by commands of the server's own: each number of the map gets whoever has the first of them. What the map says
/// then is nobody's shares, so that there is none to keep as evidence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_shares_that_raw_commands_change_are_found_over_haproxy() {
    let Some(stage) = Stage::set(Which::Haproxy).await else { return };
    let (error, evidence) = found(&stage, async |stage| {
        let map = stage.map();
        let shares = stage.raw(&format!("show map {map}"));
        let mut numbers = BTreeMap::new();
        for line in shares.lines() {
            let mut words = line.split(' ').skip(1);
            let number = words.next().and_then(|key| key.parse::<u8>().ok());
            numbers.extend(number.zip(words.next()));
        }
        assert_eq!(numbers.len(), 100, "{shares}");
        let others: Vec<_> = numbers.iter().filter(|(_, slot)| **slot != numbers[&0]).collect();
        assert!(matches!(others.len(), 10 | 90), "{shares}");
        for (number, _) in others {
            assert_eq!(stage.raw(&format!("set map {map} {number} {}", numbers[&0])).trim(), "");
        }
    })
    .await;
    assert!(error.message.contains("not one that this router wrote"), "{error}");
    assert_eq!(evidence, None);
    stage.close().await.unwrap();
}

/// Past the router, by its file, as somebody would who knows Envoy and not us: the bound of the first share is another, and all that
/// stands beside it is as it was, the version of the table and our own note included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_table_that_somebody_edits_is_found_over_envoy() {
    let Some(stage) = Stage::set(Which::Envoy).await else { return };
    let (error, evidence) = found(&stage, async |stage| {
        let table = stage.table();
        let mut read: Value = serde_json::from_slice(&std::fs::read(&table).unwrap()).unwrap();
        let first = "/resources/0/virtual_hosts/0/routes/0/match/runtime_fraction/default_value";
        let bound = read.pointer_mut(&format!("{first}/numerator")).unwrap();
        assert!(*bound == 10 || *bound == 90, "{bound}");
        *bound = 77.into();
        let edited = table.with_extension("edited");
        std::fs::write(&edited, read.to_string()).unwrap();
        std::fs::rename(&edited, &table).unwrap();
        let dump = "/config_dump?resource=dynamic_route_configs";
        let taken = async || stage.admin(dump).contains("\"numerator\": 77");
        stage.driven().until("Envoy to take it", taken).await;
    })
    .await;
    assert!(error.message.contains("not those that this router wrote"), "{error}");
    assert_eq!(evidence, None);
    stage.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_shares_that_somebody_else_takes_back_are_found_over_haproxy() {
    drifts(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_shares_that_somebody_else_takes_back_are_found_over_envoy() {
    drifts(Which::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_driven_over_haproxy_lose_nothing() {
    releases(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_driven_over_envoy_lose_nothing() {
    releases(Which::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_post_outlasts_its_version_over_haproxy() {
    drains(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_post_outlasts_its_version_over_envoy() {
    drains(Which::Envoy).await;
}
