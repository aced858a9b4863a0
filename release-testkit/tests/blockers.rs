//! Trains with the real engine over fakes: what blocks one holds all later stops at once, whatever the instant; what is mended goes on.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

#[path = "blockers/any.rs"]
mod any;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::engine::{Engine, RunHandle};
use release_core::journal::MemoryJournal;
use release_core::model::{Definition, Digest, Principal, RunId, Span, TeamId, Timestamp};
use release_core::plan::{FrozenPlan, plan};
use release_core::port::{Clock, PermitAll, Policy};
use release_core::run::{Command, Directive, Event as RunEvent, Fact, Mode, Outcome};
use release_policy::AllOf;
use release_policy::compat::{VerifiedSet, Versions};
use release_policy::train::departure::{
    BoardingRule, Car, Conductor, Event, Stop, StraddleRule, SyncPoint, Train, TrainSpec,
};
use release_providers::escalation::{Escalation, Escalator};
use release_providers::spi::{ApplyRequest, Deployer as _};
use release_testkit::VirtualClock;
use release_testkit::fakes::{FakePager, FakePlatform, PagerOp};
use release_testkit::fixtures::{self, Shop, literal, version};
use support::OverFakes;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];
/// The regions of the second stop.
const REST: [&str; 2] = ["us", "ap"];
const SCENARIOS: u64 = 48;
const TICK: Span = Span::secs(1);

fn all(number: &str) -> Versions {
    Shop::SERVICES.map(|service| (literal(service), version(number))).into()
}

/// Departs a minute after `begin`: first to `eu`, then to the other two together.
fn spec(begin: Timestamp) -> TrainSpec {
    let stop = |name: &str, regions: &[&str]| Stop {
        id: literal(name),
        regions: regions.iter().map(|region| literal(region)).collect(),
        takes: Span::secs(600),
    };
    let car = |(service, team): (&str, &str)| {
        Car::new(literal(service), version(Shop::NEW), literal(team)).ready(begin)
    };
    let cars = Shop::SERVICES.into_iter().zip(["payments", "search", "search"]).map(car).collect();
    TrainSpec {
        id: literal("weekly-20260105"),
        environment: literal("production"),
        cut: begin,
        boarding_rule: BoardingRule::Ready,
        cars,
        shared: Vec::new(),
        departs: begin.plus(Span::secs(60)),
        stops: vec![stop("few", &["eu"]), stop("rest", &REST)],
        sync_points: Vec::new(),
        blockers: Vec::new(),
        straddle_rule: StraddleRule { closed: Vec::new(), back: Span::secs(300) },
        tick: TICK,
    }
}

fn conductor(spec: TrainSpec) -> Conductor {
    let train = Train::new(spec).unwrap();
    let proof = VerifiedSet::of(all(Shop::NEW), Digest::of(b"report"));
    let boarded = train.board(&all(Shop::OLD), &[proof]).unwrap();
    Conductor::new(train, &boarded, [literal("shop")]).unwrap()
}

struct Host {
    clock: Arc<VirtualClock>,
    platform: FakePlatform,
    begin: Timestamp,
    plan: FrozenPlan,
}

impl Host {
    fn new() -> Self {
        Self::of(|_| {})
    }

    /// With another definition.
    fn of(change: impl FnOnce(&mut Definition)) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let dynamic: Arc<dyn Clock> = clock.clone();
        let platform = FakePlatform::on(&dynamic);
        let shop = Shop::new().without_staging().regions(REGIONS).bake(Span::secs(60));
        platform.world.store_all(shop.contents());
        for service in Shop::SERVICES {
            platform.metrics.set_errors(fixtures::digest(service, Shop::NEW), 1.0, 1_000.0);
        }
        let mut definition = shop.definition();
        for stage in &mut definition.stages {
            stage.waves = vec![vec![literal("eu")], REST.map(literal).into()];
        }
        change(&mut definition);
        let plan = plan(&definition).unwrap().freeze();
        let host = Self { begin: clock.now(), clock, platform, plan };
        host.clock.run(host.old_is_live()).unwrap();
        host
    }

    async fn old_is_live(&self) {
        for (region, service) in REGIONS.into_iter().flat_map(|r| Shop::SERVICES.map(|s| (r, s))) {
            let target = fixtures::target_in("production", region, service);
            let artifact = fixtures::artifact(service, Shop::OLD);
            let wish = ApplyRequest::new(target, artifact, version(Shop::OLD), 2);
            self.platform.deployer.apply(&fixtures::context("earlier"), wish).await.unwrap();
        }
    }

    fn engine(&self, policy: impl Policy + 'static) -> Engine {
        let performer = Arc::new(OverFakes(self.platform.clone()));
        Engine::builder(Arc::new(MemoryJournal::new()), performer)
            .clock(self.clock.clone())
            .policy(AllOf::new().and(policy))
            .build()
    }

    async fn start(&self, engine: &Engine) -> RunHandle {
        engine.start_frozen(run(), self.plan.clone(), fixtures::requester()).await.unwrap()
    }

    fn after(&self, seconds: u64) -> Timestamp {
        self.begin.plus(Span::secs(seconds))
    }

    /// Plays a run to its end, of which the conductor is told all of this as it happens.
    fn play(
        &self,
        policy: impl Policy + 'static,
        told: Option<&Conductor>,
        events: &[Event],
    ) -> Ran {
        let engine = self.engine(policy);
        let life = async {
            let handle = self.start(&engine).await;
            for event in events {
                self.clock.sleep_until(event.at()).await;
                if told.is_some_and(|conductor| conductor.tell(event.clone()).unwrap()) {
                    // A run that is over has nothing to reconsider.
                    let _ = handle.reconsider().await;
                }
            }
            let outcome = handle.wait().await.unwrap();
            let (history, plan) = engine.load(&run()).await.unwrap();
            Ran { outcome, facts: history.facts().to_vec(), plan }
        };
        self.clock.run(life).unwrap()
    }
}

fn run() -> RunId {
    literal("run-1")
}

struct Ran {
    outcome: Outcome,
    facts: Vec<Fact>,
    plan: FrozenPlan,
}

impl Ran {
    /// Effects of the way forward that began in these regions, but for what tidies up: when, and whether that changes something.
    fn starts(&self, regions: &[&str]) -> Vec<(Timestamp, u32, bool)> {
        let own = |fact: &Fact| {
            let RunEvent::StepStarted { step, mode: Mode::Perform, .. } = &fact.event else {
                return None;
            };
            let known = self.plan.get(step.index).filter(|_| !self.plan.in_rollback(step.index))?;
            let here = regions.iter().any(|region| known.scope.region() == Some(&literal(region)));
            (here && !known.finale && !known.action.is_pure())
                .then(|| (fact.at, step.index, known.action.mutates()))
        };
        self.facts.iter().filter_map(own).collect()
    }

    /// Steps that had to wait for a blocker, and when they were told so first.
    fn held(&self) -> BTreeMap<u32, Timestamp> {
        let mut held = BTreeMap::new();
        for fact in &self.facts {
            if let RunEvent::StepBlocked { step, reasons, .. } = &fact.event
                && reasons.iter().any(|why| why.text.contains("` holds `"))
            {
                held.entry(step.index).or_insert(fact.at);
            }
        }
        held
    }

    /// Effects of the second stop that began while something blocked the train before it, behind the instant at which that was told.
    fn broken(&self, held: &[(Timestamp, Timestamp)]) -> usize {
        let starts = self.starts(&REST);
        let begins = starts.iter().filter(|(.., changes)| *changes).map(|(at, ..)| *at).min();
        let before = starts.iter().filter(|(at, ..)| begins.is_none_or(|begins| *at <= begins));
        let blocked = |at: Timestamp| held.iter().any(|(from, until)| *from < at && at < *until);
        before.filter(|(at, ..)| blocked(*at)).count()
    }
}

/// An even draw below `below`, the same for ever.
fn draw(scenario: u64, of: &str, below: u64) -> u64 {
    let digest = Digest::of(format!("{scenario}/{of}").as_bytes());
    u64::from_be_bytes(*digest.as_bytes().first_chunk().unwrap()) % below
}

/// One to three blockers at any time of the way, and when each is mended.
fn blockers(host: &Host, scenario: u64) -> Vec<(Timestamp, Timestamp)> {
    let one = |nth: u64| {
        let from = draw(scenario, &format!("from/{nth}"), 600);
        let lasts = 15 + draw(scenario, &format!("lasts/{nth}"), 400);
        (host.after(from), host.after(from + lasts))
    };
    (0..=draw(scenario, "count", 3)).map(one).collect()
}

fn told(blockers: &[(Timestamp, Timestamp)]) -> Vec<Event> {
    let both = blockers.iter().enumerate().flat_map(|(nth, (from, until))| {
        let (blocker, by) = (literal(&format!("bug-{nth}")), literal("ann"));
        let begins = Event::Blocked { blocker, by, reason: "500s".into(), at: *from };
        let (blocker, by) = (literal(&format!("bug-{nth}")), literal("bob"));
        [begins, Event::Cleared { blocker, by, at: *until }]
    });
    let mut all: Vec<_> = both.collect();
    all.sort_by_key(Event::at);
    all
}

#[test]
fn after_a_blocker_no_later_stop_begins_and_once_it_is_mended_it_does() {
    let (mut held, mut free, mut broken) = (0, 0, 0);
    for scenario in 0..SCENARIOS {
        let host = Host::new();
        let blockers = blockers(&host, scenario);
        let (events, conductor) = (told(&blockers), conductor(spec(host.begin)));
        let ran = host.play(conductor.clone(), Some(&conductor), &events);
        assert_eq!(ran.outcome, Outcome::Succeeded, "{scenario}");
        assert_eq!(ran.broken(&blockers), 0, "{scenario}: {blockers:?}");
        // Nothing of the second stop begins before all of the first is done.
        let (first, rest) = (ran.starts(&["eu"]), ran.starts(&REST));
        let last = first.iter().map(|(at, ..)| *at).max().unwrap();
        assert!(!rest.is_empty() && rest.iter().all(|(at, ..)| *at >= last), "{scenario}");
        // Who was held begins in the instant in which something is mended, or the train departs.
        let waited = ran.held();
        let departs = conductor.train().departs();
        let mended = blockers.iter().map(|(_, until)| *until).chain([departs]);
        let mended: BTreeSet<_> = mended.collect();
        for (at, index, _) in first.iter().chain(&rest) {
            if waited.contains_key(index) {
                assert!(mended.contains(at), "{scenario}: {at}, and {blockers:?}");
            }
        }
        let later = rest.iter().any(|(_, index, _)| waited.contains_key(index));
        (held, free) = (held + usize::from(later), free + usize::from(!later));

        // The same without a conductor.
        let host = Host::new();
        broken += usize::from(host.play(PermitAll, None, &events).broken(&blockers) > 0);
    }
    assert!(held > 0 && free > 0, "{held} were held, and {free} were not");
    assert!(broken > 0, "without a conductor nothing is held");
}

#[test]
fn a_rollback_does_not_wait_for_what_blocks_the_train() {
    let host = Host::new();
    let conductor = conductor(spec(host.begin));
    let engine = host.engine(conductor.clone());
    let (blocks, cancels) = (host.after(90), host.after(3_000));
    let blocked = told(&[(blocks, host.after(9_000))]).swap_remove(0);
    let life = async {
        let handle = host.start(&engine).await;
        host.clock.sleep_until(blocks).await;
        assert!(conductor.tell(blocked).unwrap());
        host.clock.sleep_until(cancels).await;
        let ann = Principal::human(literal("ann"));
        let cancel = Directive::new(Command::Cancel, ann, "it is not mended today");
        handle.send(cancel).await.unwrap();
        let outcome = handle.wait().await.unwrap();
        let (history, plan) = engine.load(&run()).await.unwrap();
        Ran { outcome, facts: history.facts().to_vec(), plan }
    };
    let ran = host.clock.run(life).unwrap();
    assert!(matches!(ran.outcome, Outcome::RolledBack { .. }), "{}", ran.outcome);
    assert!(ran.starts(&["eu"]).iter().any(|(at, ..)| *at > blocks), "what began goes on");
    assert!(ran.starts(&REST).is_empty() && !ran.held().is_empty());
    let back = ran.facts.iter().filter(|fact| {
        let step = fact.event.step().filter(|step| ran.plan.in_rollback(step.index));
        step.is_some() && matches!(fact.event, RunEvent::StepStarted { .. })
    });
    assert!(back.count() > 0);
}

#[test]
fn a_sync_point_that_is_missed_names_the_teams_and_calls_people_once() {
    let host = Host::new();
    let deadline = host.after(300);
    let point = SyncPoint {
        id: literal("seen"),
        before: literal("rest"),
        awaits: ["payments", "search"].map(literal).into(),
        deadline,
        escalate: literal("conductors"),
    };
    let conductor = conductor(TrainSpec { sync_points: vec![point], ..spec(host.begin) });
    let engine = host.engine(conductor.clone());
    let pager = FakePager::new([literal::<TeamId>("conductors")]).with_clock(host.clock.clone());
    let shared = Arc::new(pager.clone());
    let mut escalator = Escalator::new(shared, host.clock.clone(), fixtures::robot());
    let came = |team: &str, at| Event::Arrived { point: literal("seen"), team: literal(team), at };
    let (comes, mut looks, mut about) = (host.after(1_500), 0, None);
    let life = async {
        let handle = host.start(&engine).await;
        conductor.tell(came("payments", host.after(200))).unwrap();
        // Once a minute somebody looks.
        while host.clock.now() < comes {
            let state = handle.state().await.unwrap();
            for missed in conductor.missed(Some(&state), host.clock.now()) {
                assert_eq!(missed.missing, [literal("search")].into());
                let (key, teams) = (missed.key(conductor.train().id()), [missed.escalate.clone()]);
                let late = Escalation::new(key, teams, missed.to_string()).unwrap();
                escalator.missed(&late).await;
                (looks, about) = (looks + 1, Some(late));
            }
            host.clock.sleep_until(host.clock.now().plus(Span::secs(60))).await;
        }
        let early = handle.state().await.unwrap();
        let entered: BTreeSet<_> =
            early.entered(&literal("production")).map(|(id, ..)| id.clone()).collect();
        assert_eq!(entered, [literal("eu")].into());
        assert!(conductor.tell(came("search", host.clock.now())).unwrap());
        handle.reconsider().await.unwrap();
        let state = handle.state().await.unwrap();
        assert!(conductor.missed(Some(&state), host.clock.now()).is_empty());
        escalator.come(about.as_ref().unwrap()).await;
        let outcome = handle.wait().await.unwrap();
        let (history, plan) = engine.load(&run()).await.unwrap();
        Ran { outcome, facts: history.facts().to_vec(), plan }
    };
    let ran = host.clock.run(life).unwrap();
    assert_eq!(ran.outcome, Outcome::Succeeded);
    assert!(looks > 1, "it was looked {looks} times");
    assert_eq!([PagerOp::Page, PagerOp::Resolve].map(|op| pager.count(op)), [1, 1]);
    assert!(ran.starts(&REST).iter().all(|(at, ..)| *at >= comes));
    let told: Vec<_> = ran
        .facts
        .iter()
        .filter_map(|fact| match &fact.event {
            RunEvent::StepBlocked { reasons, .. } => Some(reasons),
            _ => None,
        })
        .flatten()
        .map(|why| why.text.clone())
        .collect();
    let missed = format!(
        "sync point `seen`: stop `rest` waits with payments for search, due at {deadline}; call conductors"
    );
    assert!(told.contains(&missed), "{told:?}");
}
