//! Releases of one service over a balancer of single requests, driven by the engine on a clock of their own.

use std::sync::Arc;

use release_core::engine::{Engine, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{
    BlueGreen, Canary, CanaryScale, CanaryStep, Copies, Definition, Experiment, HeaderRule,
    OnCancel, RollbackTrigger, Rolling, Shadow, Strategy, Tier,
};
use release_core::plan::{Plan, Weight, plan};
use release_core::port::Clock as _;
use release_core::run::{Command, Directive, Fact};
use release_core::time::Span;
use release_providers::{ProviderSelector, Registry};
use release_testkit::VirtualClock;
use release_testkit::fakes::FakeArtifacts;
use release_testkit::fixtures::{self, Shop, literal, one_service};

use super::chance::Chance;
use super::model::{Counts, Load, Manner, Stop};
use super::platform::Platform;
use super::world::World;

pub(super) const REPLICAS: u32 = 4;
/// How long each share is held before it is judged.
pub(super) const BAKE: Span = Span::secs(5);
/// How long one attempt at a step may take.
const TIMEOUT: Span = Span::secs(20);
/// How long requests still come once nothing happens to the release any more: longer than any table lags.
const AFTER: Span = Span::secs(60);

/// Forty requests a second, of which some take seconds.
pub(super) const LOAD: Load =
    Load { gap: Span::millis(25), mean: Span::millis(80), slow: 5, long: Span::secs(3), marked: 5 };

/// What goes wrong with the release itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Nothing,
    /// Somebody takes it back.
    Cancelled(Span),
    /// The new version fails from then on.
    GoesBad(Span),
    /// The new version is never ready.
    IsNeverReady,
}

/// What came of a release.
#[derive(Debug)]
pub(super) struct Told {
    /// The outcome's name, or that it waits for a person.
    pub(super) end: &'static str,
    pub(super) counts: Counts,
    pub(super) stops: Vec<Stop>,
    pub(super) history: History,
}

impl Told {
    /// The facts in a few words, for those who look for what went wrong.
    pub(super) fn course(&self) -> String {
        let said = |fact: &Fact| {
            let step = fact.event.step().map(|step| step.id.to_string()).unwrap_or_default();
            format!("{} {} {step}\n", fact.at, fact.event.name())
        };
        let course: String = self.history.facts().iter().map(said).collect();
        format!("{}, {:?}, {:?}\n{course}", self.end, self.counts, self.stops)
    }
}

/// One release, and all that is left to chance in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) seed: u64,
    pub(super) manner: Manner,
    pub(super) load: Load,
    pub(super) fate: Fate,
    /// Since when the balancer is stuck, if it ever is.
    pub(super) stuck: Option<Span>,
    pub(super) counts_in_flight: bool,
}

impl Trial {
    pub(super) const fn new(seed: u64, manner: Manner) -> Self {
        let (fate, stuck) = (Fate::Nothing, None);
        Self { seed, manner, load: LOAD, fate, stuck, counts_in_flight: true }
    }

    pub(super) fn release(self, definition: &Definition) -> Told {
        let planned = plan(definition).unwrap_or_else(|errors| panic!("{errors}"));
        self.drive(planned)
    }

    pub(super) fn drive(self, plan: Plan) -> Told {
        let clock = Arc::new(VirtualClock::new());
        let [old, new] = [Shop::OLD, Shop::NEW].map(|version| fixtures::digest("api", version));
        let stuck = self.stuck.map(|after| clock.now().plus(after));
        let manner = Manner { stuck, ..self.manner };
        let live = (Weight::new(old, fixtures::version(Shop::OLD), 100), REPLICAS);
        let mut world = World::new(self.seed, clock.now(), (manner, self.load), live);
        match self.fate {
            Fate::GoesBad(after) => world.goes_bad(after, new),
            Fate::IsNeverReady => world.is_never_ready(new),
            Fate::Nothing | Fate::Cancelled(_) => {}
        }
        let platform = Platform::new(world, &clock, self.counts_in_flight);
        let engine = engine(&platform, &clock);
        let work = async {
            let run = engine.start(literal("run-1"), plan, fixtures::requester()).await.unwrap();
            if let Fate::Cancelled(after) = self.fate {
                clock.sleep_until(clock.now().plus(after)).await;
                let cancel = Directive::new(Command::Cancel, fixtures::operator(), "think again");
                // It may be over by then.
                let _ = run.send(cancel).await;
            }
            let end = match run.settled().await.unwrap() {
                Settled::Finished(outcome) => outcome.name(),
                Settled::NeedsPerson(_) => "needs_person",
            };
            clock.sleep_until(clock.now().plus(AFTER)).await;
            (end, engine.load(run.run()).await.unwrap().0)
        };
        let (end, history) = clock.run(work).unwrap_or_else(|stuck| panic!("{self:?}: {stuck}"));
        let world = platform.world();
        Told { end, counts: world.counts, stops: world.stops.clone(), history }
    }
}

fn engine(platform: &Platform, clock: &Arc<VirtualClock>) -> Engine {
    let (everywhere, platform) = (ProviderSelector::everywhere, Arc::new(platform.clone()));
    let contents = release_testkit::fakes::World::new();
    for version in [Shop::OLD, Shop::NEW] {
        contents.store(&fixtures::content("api", version));
    }
    let registry = Registry::builder(clock.clone())
        .deployer(everywhere(), platform.clone())
        .health(everywhere(), platform.clone())
        .metrics(everywhere(), platform.clone())
        .router(everywhere(), platform)
        .artifacts(Arc::new(FakeArtifacts::of(&contents)))
        .build()
        .unwrap()
        // What comes of it is seen here.
        .drained(false);
    Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry)).clock(clock.clone()).build()
}

/// A release by `strategy`, judged by the errors of one window each time, and taken back when a person says so.
pub(super) fn defined(strategy: Strategy) -> Definition {
    let mut definition = one_service(strategy, REPLICAS);
    definition.release.on_cancel = OnCancel::RollBack;
    definition.stages[0].step_timeout = TIMEOUT;
    // A share of a fifth may need a while until there are samples enough.
    definition.analyses[0].inconclusive_limit = 60;
    definition
}

fn step(weight: u8) -> CanaryStep {
    CanaryStep::new(weight, BAKE)
}

fn by_header() -> Vec<HeaderRule> {
    vec![HeaderRule::exact("x-canary", "yes")]
}

/// A release that nothing judges but its own steps.
pub(super) fn unjudged(strategy: Strategy) -> Definition {
    let mut definition = defined(strategy);
    definition.environments[0].tier = Tier::Staging;
    definition.release.rollback.as_mut().unwrap().triggers = vec![RollbackTrigger::StepFailed];
    definition
}

/// The strategies that leave nobody unserved.
pub(super) fn strategies() -> Vec<(&'static str, Strategy)> {
    let rolling = |batches, max_unavailable: u32, max_surge: Option<u32>| {
        let (bake, max_surge) = (BAKE, max_surge.map(Into::into));
        let max_unavailable = max_unavailable.into();
        Strategy::Rolling(Rolling { max_unavailable, max_surge, bake, ..Rolling::new(batches) })
    };
    let blue_green = BlueGreen { bake: BAKE, keep_old: BAKE, ..BlueGreen::default() };
    let previewed = BlueGreen {
        preview_replicas: Some(1),
        preview_headers: by_header(),
        preview: BAKE,
        bake: BAKE,
        ..BlueGreen::default()
    };
    let scaled = |weight| CanaryStep { scale: Some(CanaryScale::MatchTraffic), ..step(weight) };
    let small = Canary { shrink_old: true, ..Canary::new(vec![scaled(25), scaled(75)]) };
    let shown = vec![
        CanaryStep { headers: by_header(), ..step(20) },
        CanaryStep { mirror: Some(Copies::of(50)), ..step(50) },
    ];
    let waves = Canary {
        shrink_old: true,
        keep_new_after_abort: BAKE.into(),
        ..Canary::new([75, 25, 100, 50].map(step).to_vec())
    };
    let experiment = Experiment::new(30, 2, BAKE);
    let compared = CanaryStep {
        experiment: Some(experiment),
        scale: Some(CanaryScale::Replicas(2)),
        ..step(20)
    };
    let shadow = Shadow { replicas: Some(2), after: BAKE, ..Shadow::new(50, BAKE) };
    vec![
        ("rolling, adding first", rolling(2, 0, None)),
        ("rolling, making room", rolling(2, 1, None)),
        ("rolling, one more", rolling(1, 0, Some(1))),
        ("rolling, never one more", rolling(1, 1, Some(0))),
        ("blue-green", Strategy::BlueGreen(blue_green)),
        ("blue-green, previewed", Strategy::BlueGreen(previewed)),
        ("canary", Strategy::Canary(Canary::new([20, 50].map(step).to_vec()))),
        ("canary, as large as its share", Strategy::Canary(small)),
        ("canary, by headers and copies", Strategy::Canary(Canary::new(shown))),
        ("canary, up and down", Strategy::Canary(waves)),
        ("canary with an experiment", Strategy::Canary(Canary::new(vec![compared]))),
        ("shadow", Strategy::Shadow(shadow)),
    ]
}

/// The routers that do not lie: of each, what it is called, and one such by chance.
pub(super) fn routers(chance: &mut Chance) -> Vec<(&'static str, Manner, Option<Span>)> {
    let (none, few, many) = (Span::ZERO, Span::secs(3), Span::secs(50));
    let lagging = |lag| Manner { lag, ..Manner::EXACT };
    let lossy = |manner| Manner { loses: 40, ..manner };
    let forgetful = Manner { forgets: true, ..lossy(Manner::EXACT) };
    let some = |chance: &mut Chance| Some(chance.span(none, Span::secs(60)));
    vec![
        ("exact", Manner::EXACT, None),
        ("lagging", lagging((none, few)), None),
        ("lagging much", lagging((few, many)), None),
        ("lossy", forgetful, None),
        ("lossy and lagging", lossy(lagging((none, many))), None),
        ("stuck", Manner::EXACT, some(chance)),
        ("stuck and lagging", lagging((none, few)), some(chance)),
    ]
}

pub(super) fn fates(chance: &mut Chance) -> [Fate; 4] {
    let mut some = || chance.span(Span::ZERO, Span::secs(60));
    [Fate::Nothing, Fate::Cancelled(some()), Fate::GoesBad(some()), Fate::IsNeverReady]
}
