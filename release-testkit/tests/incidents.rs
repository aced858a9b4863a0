//! Incidents that come while a run is under way: a real engine over fakes, told by a watch.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::engine::{Engine, RunHandle, SendError};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{
    OnSignal, RollbackScope, ServiceId, SignalKind, SignalResponse, Span, Timestamp,
};
use release_core::plan::{
    Action, Compensation, Deployment, EdgeKind, Place, Plan, SignalRule, Step, StepScope, Undo,
    UndoPhase,
};
use release_core::port::Clock;
use release_core::run::{Cause, Command, Directive, Event, Outcome};
use release_providers::incidents::{Heard, IncidentRule, IncidentWatch, WatchedRun};
use release_providers::spi::{Incident, IncidentSeverity};
use release_providers::{ProviderError, ProviderSelector, Registry};
use release_testkit::fakes::{FakeIncidentSource, FakePlatform, IncidentSourceOp};
use release_testkit::{VirtualClock, fixtures};
use tokio::sync::Notify;

/// A run that a real engine drives.
#[derive(Debug)]
struct Driven {
    handle: RunHandle,
    blind: AtomicUsize,
}

#[async_trait]
impl WatchedRun for Driven {
    async fn hear(&self, directive: Directive) -> Heard {
        match self.handle.send(directive).await {
            Ok(()) => Heard::Taken,
            Err(SendError::Rejected(_)) => Heard::Refused,
            Err(_) => Heard::NotNow,
        }
    }

    async fn over(&self) {
        drop(self.handle.wait().await);
    }

    fn blind(&self, _: &ProviderError) {
        self.blind.fetch_add(1, Ordering::SeqCst);
    }
}

fn deployment() -> Deployment {
    Deployment {
        target: fixtures::target("api"),
        artifact: fixtures::artifact("api", "1.1.0"),
        version: fixtures::version("1.1.0"),
    }
}

/// Starts `api`, and bakes it for an hour, in which an incident takes it back.
fn plan() -> Plan {
    let scaled = |replicas| Action::Scale {
        deployment: deployment().into(),
        replicas,
        apart: None,
        metadata: None,
    };
    let target = deployment().target;
    let mut place = Place::new(target.environment);
    (place.region, place.service) = (Some(target.region), Some(target.service));
    let scope = StepScope::of(place);
    let undo = Compensation { action: scaled(0), phase: UndoPhase::Remove };
    let start = Step::new(fixtures::literal("scale"), scaled(2)).scope(scope.clone());
    let bake = Action::Bake { duration: Span::secs(3_600) };
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    plan.step(start.undo(Undo::Compensate(vec![undo])));
    plan.step(Step::new(fixtures::literal("bake"), bake).scope(scope));
    plan.edge(0, 1, EdgeKind::Order);
    let on = OnSignal { kind: SignalKind::Incident, source: None, then: SignalResponse::RollBack };
    plan.signal(SignalRule { on, scope: RollbackScope::Release });
    plan.build().unwrap()
}

/// An open incident of some services.
fn incident(id: &str, severity: IncidentSeverity, at: Timestamp, services: &[&str]) -> Incident {
    let mut incident = Incident::new(id.to_owned(), severity, format!("{id} burns"), at);
    incident.services = services.iter().map(|service| fixtures::literal(service)).collect();
    incident
}

/// What became of a run, and what was seen on the way.
struct Became {
    outcome: Outcome,
    history: History,
    platform: FakePlatform,
    /// How often the source could not be read.
    blind: usize,
    /// How often it was read, when the run was over and long after it.
    looks: [usize; 2],
}

/// Runs the plan while `then` happens to the source, whose incidents a watch tells the run of, minute by minute.
fn run(then: impl AsyncFnOnce(&FakeIncidentSource, &VirtualClock)) -> Became {
    let clock = Arc::new(VirtualClock::new());
    let dynamic: Arc<dyn Clock> = clock.clone();
    let (platform, source) =
        (FakePlatform::on(&dynamic), FakeIncidentSource::new().with_clock(clock.clone()));
    platform.world.store(&fixtures::content("api", "1.1.0"));
    let registry = Registry::builder(clock.clone())
        .deployer(ProviderSelector::everywhere(), platform.deployer.clone())
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
        .clock(clock.clone())
        .build();
    let rule = IncidentRule::of(&plan(), clock.now());
    let mut watch =
        IncidentWatch::new(Arc::new(source.clone()), clock.clone(), fixtures::operator(), rule)
            .every(Span::secs(60));
    let work = async {
        let handle = engine.start("r-1".parse().unwrap(), plan(), fixtures::requester()).await;
        let handle = handle.unwrap();
        let driven = Driven { handle: handle.clone(), blind: AtomicUsize::new(0) };
        let time: &VirtualClock = &clock;
        tokio::join!(watch.watch(&driven), then(&source, time));
        let outcome = handle.wait().await.unwrap();
        let at_the_end = source.count(IncidentSourceOp::List);
        clock.sleep_until(clock.now().plus(Span::secs(7_200))).await;
        let looks = [at_the_end, source.count(IncidentSourceOp::List)];
        let history = engine.load(handle.run()).await.unwrap().0;
        (outcome, history, driven.blind.load(Ordering::SeqCst), looks)
    };
    let (outcome, history, blind, looks) = clock.run(work).unwrap();
    Became { outcome, history, platform, blind, looks }
}

/// What the run was told, and what it did.
fn answers(history: &History) -> Vec<String> {
    let told = history.facts().iter().filter_map(|fact| match &fact.event {
        Event::Signalled { signal, answer, reason, .. } => {
            Some(format!("{signal} ({reason}): {answer}"))
        }
        _ => None,
    });
    told.collect()
}

/// What no rule of the run is about: from before it, of another service, not so bad, over already.
async fn of_no_concern(source: &FakeIncidentSource, clock: &VirtualClock) {
    let begin = clock.now();
    let early = Timestamp::from_micros(begin.as_micros() - 60_000_000);
    source.with(|log| log.open(incident("INC-0", IncidentSeverity::Critical, early, &["api"])));
    clock.sleep_until(begin.plus(Span::secs(300))).await;
    let now = clock.now();
    source.with(|log| {
        log.open(incident("INC-1", IncidentSeverity::Critical, now, &["web"]));
        log.open(incident("INC-2", IncidentSeverity::Minor, now, &["api"]));
        log.open(incident("INC-3", IncidentSeverity::Critical, now, &["api"]));
        assert!(log.resolve("INC-3", now));
    });
}

#[test]
fn an_incident_that_comes_while_a_run_is_under_way_takes_it_back() {
    let became = run(async |source, clock| {
        of_no_concern(source, clock).await;
        // While nobody can read it, nobody is told; then all is as it would have been.
        source.with(|log| log.down = true);
        let now = clock.now();
        let worst = incident("INC-4", IncidentSeverity::Major, now, &["web", "api"]);
        source.with(|log| log.open(worst));
        clock.sleep_until(now.plus(Span::secs(150))).await;
        source.with(|log| log.down = false);
    });
    let Became { outcome, history, platform, blind, looks } = became;
    assert!(matches!(outcome, Outcome::RolledBack { cause: Cause::Signalled { .. } }), "{outcome}");
    let told = "incident `INC-4` of fake-incident-source at api (major incident: INC-4 burns): the run goes back";
    assert_eq!(answers(&history), [told]);
    let Deployment { target, artifact, .. } = deployment();
    assert!(platform.world.instances(&target, artifact.digest()).is_empty());
    assert!(blind > 0, "nobody was told that the source could not be read");
    assert_eq!(looks[0], looks[1], "it went on after the run");
}

#[test]
fn incidents_of_others_and_from_before_take_nothing_back() {
    let Became { outcome, history, platform, blind, looks } = run(of_no_concern);
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!((answers(&history), blind), (Vec::new(), 0));
    let Deployment { target, artifact, .. } = deployment();
    assert_eq!(platform.world.instances(&target, artifact.digest()).len(), 2);
    assert!(looks[0] >= 60, "an hour, minute by minute: {looks:?}");
    assert_eq!(looks[0], looks[1], "it went on after the run");
}

/// A run that answers what a test says, in turn, and takes all after that.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<Vec<Heard>>,
    heard: Mutex<Vec<Directive>>,
    ended: Notify,
}

#[async_trait]
impl WatchedRun for Scripted {
    async fn hear(&self, directive: Directive) -> Heard {
        self.heard.lock().unwrap().push(directive);
        self.answers.lock().unwrap().pop().unwrap_or(Heard::Taken)
    }

    async fn over(&self) {
        self.ended.notified().await;
    }

    fn blind(&self, _: &ProviderError) {}
}

#[test]
fn a_run_is_told_of_an_incident_until_it_takes_it_and_not_again() {
    let clock = Arc::new(VirtualClock::new());
    let source = FakeIncidentSource::new().with_clock(clock.clone());
    let services: BTreeSet<ServiceId> = [fixtures::literal("api"), fixtures::literal("web")].into();
    let rule = IncidentRule::new(services, clock.now()).at_least(IncidentSeverity::Minor);
    let (now, run) = (clock.now(), Scripted::default());
    let mut everywhere = incident("INC-1", IncidentSeverity::Minor, now, &[]);
    everywhere.environment = Some(fixtures::literal("production"));
    source.with(|log| {
        log.open(everywhere);
        log.open(incident("INC-2", IncidentSeverity::Critical, now, &["api", "web", "more"]));
    });
    // The first time nobody can take them.
    *run.answers.lock().unwrap() = vec![Heard::Refused, Heard::Taken, Heard::NotNow, Heard::NotNow];
    let mut watch =
        IncidentWatch::new(Arc::new(source.clone()), clock.clone(), fixtures::operator(), rule)
            .every(Span::secs(60));
    let ends = async {
        clock.sleep_until(now.plus(Span::secs(200))).await;
        run.ended.notify_one();
    };
    clock.run(async { tokio::join!(watch.watch(&run), ends) }).unwrap();
    let heard = run.heard.lock().unwrap();
    let said: Vec<_> = heard
        .iter()
        .map(|directive| match &directive.command {
            Command::Signal { signal } => format!("{signal}: {}", directive.reason),
            other => other.name().to_owned(),
        })
        .collect();
    let both = [
        "incident `INC-1` of fake-incident-source at production: minor incident: INC-1 burns",
        "incident `INC-2` of fake-incident-source: critical incident: INC-2 burns",
    ];
    assert_eq!(said, [both, both].concat());
    assert_eq!(source.count(IncidentSourceOp::List), 4);
}
