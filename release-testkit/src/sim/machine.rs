//! The machine of a simulation: virtual time, the engines with their clocks, and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use release_core::engine::ClockReading;
use release_core::journal::History;
use release_core::model::{Span, Timestamp};
use release_core::port::{Admission, ClockAnomaly, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Input, held_while_in_doubt};
use release_policy::{Window, Windows};

use super::chance::Chance;
use super::course::{Call, Note, What};
use super::faults::{Clause, FaultPlan, When};
use super::setup::Setup;
use super::shell::Driver;
use super::store::Log;
use super::world::World;

/// When a host tries again to start or resume a run whose journal failed.
pub(super) const TRY_AGAIN: Span = Span::secs(30);
/// When something happens, what chance says of ties, and its number.
pub(super) type Due = (Timestamp, u64, u64);

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// A run is to depart.
    Begin { run: usize },
    /// A driver's time has come.
    Wake { engine: usize, run: usize, life: u64 },
    /// The journal answers.
    Answered { engine: usize, run: usize, life: u64 },
    /// It is time to read the journal again.
    Rested { engine: usize, run: usize, life: u64 },
    /// A provider gets on with a call.
    Provider { call: usize, part: super::calls::Part },
    /// An engine is there again.
    Up { engine: usize },
    /// An engine goes on after it stood still.
    GoesOn { engine: usize },
    /// An engine looks for runs that nobody drives.
    Adopt { engine: usize },
    /// An append whose outcome nobody knew is stored late.
    Late { run: usize, engine: usize, batch: Box<release_core::journal::Batch> },
    /// A fault whose instant has come.
    Strike { clause: usize },
    /// Another engine takes a run over.
    TakeOver { run: usize },
    /// An engine's desk of permits has something to do.
    Desk { engine: usize, life: u64 },
    /// Records of the ledger whose outcome nobody knew are stored late.
    LateEntries { batch: Box<release_core::journal::Batch> },
    /// A run brings its engine down.
    Poison { engine: usize, run: usize, life: u64 },
    /// Somebody releases a run from its quarantine.
    Release { run: usize },
    /// A run is to go on with another plan.
    Upgrade { nth: usize },
    /// Somebody does what a script says.
    Deed(super::script::Deed),
    /// Somebody does something.
    Human { run: usize, act: super::people::Act },
    /// The end of all faults.
    Heal,
}

/// The policy under test, as an engine asks it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    inner: Arc<dyn Policy>,
    tightened: Arc<[(Timestamp, Windows)]>,
    anomaly: Option<ClockAnomaly>,
}

impl Asked {
    /// The policy of an engine that is not there.
    pub(super) fn nobody() -> Self {
        Self {
            inner: Arc::new(release_policy::AllOf::new()),
            tightened: Arc::new([]),
            anomaly: None,
        }
    }
}

impl Asked {
    /// The window that denies since the policy was tightened.
    fn denies(&self, request: &Admission<'_>) -> Option<&Window> {
        let place = request.step.scope.place()?;
        let known = self.tightened.iter().filter(|(since, _)| *since <= request.now);
        known.into_iter().find_map(|(_, windows)| windows.freeze_in(place, request.now))
    }

    /// From now on these windows deny.
    pub(super) fn tighten(&mut self, windows: &Arc<[(Timestamp, Windows)]>) {
        self.tightened = Arc::clone(windows);
    }
}

impl Policy for Asked {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let decision = match self.denies(request) {
            None => self.inner.admit(request),
            Some(window) => {
                let rule = format!("tightened/{}", window.id());
                let text = format!("denied: {}", window.spec().reason);
                Decision::deny(vec![Reason::new(rule, text, "time")])
            }
        };
        held_while_in_doubt(decision, self.anomaly)
    }

    fn opens(&self, request: &Admission<'_>) -> Decision {
        self.inner.opens(request)
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        self.inner.authorize(request)
    }
}

/// One engine: a process that drives runs.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) up: bool,
    /// It stands still until then.
    pub(super) still: Option<Timestamp>,
    pub(super) drivers: BTreeMap<usize, Driver>,
    pub(super) policy: Asked,
    /// None where there are no limits.
    pub(super) clerk: Option<super::permits::Clerk>,
    clock: ClockReading,
    begun: Timestamp,
}

/// A simulation under way.
pub(super) struct Machine<'a> {
    pub(super) setup: &'a Setup,
    pub(super) chance: Chance,
    pub(super) now: Timestamp,
    /// By how much the wall clock is off.
    pub(super) offset: i64,
    pub(super) world: World,
    pub(super) logs: Vec<Log>,
    /// The streams of the ledger of permits, in order.
    pub(super) ledger: Vec<(release_core::model::RunId, Log)>,
    pub(super) engines: Vec<Engine>,
    pub(super) calls: Vec<Call>,
    pub(super) operations: Vec<super::calls::Operation>,
    pub(super) notes: Vec<Note>,
    pub(super) seen: Vec<Vec<(u64, release_core::model::Digest)>>,
    pub(super) diverged: Vec<Vec<String>>,
    pub(super) faults: Faults,
    pub(super) people: super::people::People,
    pub(super) over: Vec<bool>,
    pub(super) begun: Vec<bool>,
    pub(super) healed: bool,
    pub(super) upkeep: super::upkeep::Upkeep,
    pub(super) tightened: Arc<[(Timestamp, Windows)]>,
    /// What of a script has happened: the run, and which `when`.
    pub(super) fired: std::collections::BTreeSet<(usize, usize)>,
    /// What a script had somebody tell a run that has not decided on it: the run, the command, the text.
    pub(super) told: Vec<(usize, &'static str, String)>,
    /// What came to nothing of what a script says is done, and why.
    pub(super) undone: Vec<String>,
    pub(super) coverage: super::coverage::Coverage,
    pub(super) priorities: Option<super::pct::Priorities>,
    /// For each append, how it was written.
    pub(super) writes: Vec<super::course::Write>,
    happenings: BinaryHeap<Reverse<Due>>,
    what: BTreeMap<u64, Happening>,
    numbers: u64,
    pub(super) lives: u64,
    happened: u64,
}

/// What goes wrong from now on.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    pub(super) plan: FaultPlan,
    /// Appends so far.
    pub(super) appends: u64,
    pub(super) outage: Option<Timestamp>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(setup: &'a Setup, mut chance: Chance) -> Self {
        let priorities = super::pct::Priorities::new(setup.scheduler, &mut chance);
        let runs = setup.departures.len();
        let mut world = World::default();
        world.places.clone_from(&setup.places);
        world.bad.clone_from(&setup.bad);
        world.fakes.clone_from(&setup.fakes);
        let mut machine = Self {
            setup,
            chance,
            now: setup.start,
            offset: 0,
            world,
            logs: vec![Log::default(); runs],
            ledger: Vec::new(),
            engines: Vec::new(),
            calls: Vec::new(),
            operations: Vec::new(),
            notes: Vec::new(),
            seen: vec![Vec::new(); runs],
            diverged: vec![Vec::new(); runs],
            faults: Faults { plan: setup.faults.clone(), appends: 0, outage: None },
            people: super::people::People::new(runs),
            over: vec![false; runs],
            begun: vec![false; runs],
            healed: false,
            upkeep: super::upkeep::Upkeep::new(&setup.poison),
            tightened: setup.tightened.clone().into(),
            fired: std::collections::BTreeSet::new(),
            told: Vec::new(),
            undone: Vec::new(),
            coverage: super::coverage::Coverage::default(),
            priorities,
            writes: Vec::new(),
            happenings: BinaryHeap::new(),
            what: BTreeMap::new(),
            numbers: 0,
            lives: 0,
            happened: 0,
        };
        let engines = (0..setup.engines.max(1)).map(|_| machine.engine()).collect();
        machine.engines = engines;
        for (run, departure) in setup.departures.iter().enumerate() {
            machine.later(setup.start.plus(departure.after), Happening::Begin { run });
        }
        for (clause, Clause { when, .. }) in setup.faults.clauses.iter().enumerate() {
            if let When::At(after) = when {
                machine.later(setup.start.plus(*after), Happening::Strike { clause });
            }
        }
        for (after, run, directive) in &setup.commands {
            let act = super::people::Act::Scripted(directive.clone());
            machine.later(setup.start.plus(*after), Happening::Human { run: *run, act });
        }
        for (nth, (after, ..)) in setup.migrations.iter().enumerate() {
            machine.later(setup.start.plus(*after), Happening::Upgrade { nth });
        }
        for (at, deed) in &setup.deeds {
            machine.later(*at, Happening::Deed(deed.clone()));
        }
        machine.later(setup.start.plus(setup.span), Happening::Heal);
        machine
    }

    pub(super) fn engine(&mut self) -> Engine {
        let policy = Asked {
            inner: Arc::clone(&self.setup.policy),
            tightened: Arc::clone(&self.tightened),
            anomaly: None,
        };
        Engine {
            up: true,
            still: None,
            drivers: BTreeMap::new(),
            policy,
            clerk: self.clerk(),
            clock: ClockReading::new(self.wall(), Span::secs(60)),
            begun: self.now,
        }
    }

    /// Lets everything happen, to the end. Returns whether it was cut short.
    pub(super) fn run(&mut self) -> bool {
        loop {
            let Some(happening) = self.next() else {
                // Nothing more will ever happen.
                self.now = self.horizon();
                return false;
            };
            self.happened += 1;
            if self.happened > self.setup.most_happenings {
                return true;
            }
            self.happens(happening);
            if self.healed && self.over.iter().all(|over| *over) {
                self.close_ledger();
                return false;
            }
        }
    }

    /// When runs must be over.
    fn horizon(&self) -> Timestamp {
        self.setup.start.plus(self.setup.span).plus(self.setup.heal_for)
    }

    /// Takes what happens next. Of what happens at one instant, chance says what is first.
    fn next(&mut self) -> Option<Happening> {
        let Reverse(mut first) = self.happenings.pop()?;
        if matches!(self.chance, Chance::Trail { .. }) {
            let mut ties = vec![first];
            while let Some(Reverse(next)) = self.happenings.peek().copied()
                && next.0 == first.0
            {
                self.happenings.pop();
                ties.push(next);
            }
            let chosen = self.chance.pick(u32::try_from(ties.len()).unwrap_or(1)) as usize;
            first = ties.remove(chosen.min(ties.len() - 1));
            self.happenings.extend(ties.into_iter().map(Reverse));
        }
        if self.priorities.is_some() && first.0 <= self.horizon() {
            first = self.by_priority(first);
        }
        if first.0 > self.horizon() {
            return None;
        }
        self.now = self.now.max(first.0);
        self.what.remove(&first.2)
    }

    /// Takes what happens next, if that is until then.
    pub(super) fn next_until(&mut self, until: Timestamp) -> Option<Due> {
        let next = self.happenings.peek().map(|Reverse(next)| *next)?;
        (next.0 <= until).then(|| self.happenings.pop().map(|Reverse(next)| next)).flatten()
    }

    pub(super) fn what(&self, number: u64) -> Option<&Happening> {
        self.what.get(&number)
    }

    pub(super) fn put_back(&mut self, due: Vec<Due>) {
        self.happenings.extend(due.into_iter().map(Reverse));
    }

    pub(super) fn later(&mut self, at: Timestamp, happening: Happening) {
        self.numbers += 1;
        let tie = match self.chance {
            Chance::Seeded(_) => self.chance.draw(),
            Chance::Trail { .. } => 0,
        };
        self.happenings.push(Reverse((at.max(self.now), tie, self.numbers)));
        self.what.insert(self.numbers, happening);
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Begin { run } => self.begin(run),
            Happening::Wake { engine, run, life } => self.wake(engine, run, life),
            Happening::Answered { engine, run, life } => self.journal_answers(engine, run, life),
            Happening::Rested { engine, run, life } => self.read_back(engine, run, life),
            Happening::Provider { call, part } => self.provider(call, part),
            Happening::Up { engine } => self.up(engine),
            Happening::GoesOn { engine } => self.goes_on(engine),
            Happening::Adopt { engine } => self.adopt(engine),
            Happening::Late { run, engine, batch } => {
                drop(self.store(engine, run, *batch, false));
            }
            Happening::LateEntries { batch } => drop(self.store_entries(*batch)),
            Happening::Desk { engine, life } => self.desk(engine, life),
            Happening::Poison { engine, run, life } => self.poisoned(engine, run, life),
            Happening::Release { run } => self.release(run),
            Happening::Upgrade { nth } => self.upgrade(nth),
            Happening::Deed(deed) => self.deed(deed),
            Happening::TakeOver { run } => self.take_over(run),
            Happening::Strike { clause } => self.strike(clause),
            Happening::Human { run, act } => self.human(run, act),
            Happening::Heal => self.heal(),
        }
    }

    /// What the wall clock says.
    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(self.now.as_micros().saturating_add(self.offset))
    }

    /// What an engine's clock says, and whether it admits anything.
    pub(super) fn clock(&mut self, engine: usize) -> Timestamp {
        let (wall, now) = (self.wall(), self.now);
        let Some(engine) = self.engines.get_mut(engine) else { return now };
        let elapsed: Duration = now.since(engine.begun).as_duration();
        let at = engine.clock.now(wall, elapsed);
        engine.policy.anomaly = engine.clock.anomaly();
        at
    }

    /// The next tick.
    pub(super) fn tick(&self) -> u64 {
        u64::try_from(self.notes.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn note(&mut self, what: What) -> u64 {
        let tick = self.tick();
        self.notes.push(Note { tick, at: self.now, what });
        tick
    }

    pub(super) fn struck(&mut self, fault: &impl std::fmt::Display) {
        self.note(What::Struck { fault: fault.to_string() });
    }

    /// Whether an engine can act now.
    pub(super) fn acts(&self, engine: usize) -> bool {
        self.engines.get(engine).is_some_and(|engine| engine.up && engine.still.is_none())
    }

    /// Whether an engine that is up drives a run.
    pub(super) fn driver_of(&self, run: usize) -> Option<usize> {
        // Of several, the one that came last is the one that the host asks.
        let drives = self.engines.iter().enumerate().filter(|(_, engine)| engine.up);
        let of = drives.filter_map(|(at, engine)| Some((engine.drivers.get(&run)?.life, at)));
        of.max().map(|(_, engine)| engine)
    }

    /// What a run's log says, verified, if it can be read now.
    pub(super) fn read(&mut self, run: usize) -> Option<Result<History, String>> {
        if self.faults.outage.is_some_and(|until| self.now < until) {
            return None;
        }
        let (log, departure) = (self.logs.get(run)?, self.setup.departures.get(run)?);
        if let Some(last) = log.records.last()
            && let Some(seen) = self.seen.get_mut(run)
        {
            seen.push((last.seq, last.hash));
        }
        let history = History::verify(&departure.run, &log.records);
        Some(history.map_err(|damage| damage.to_string()))
    }

    /// Gives a driver an input.
    pub(super) fn send(&mut self, engine: usize, run: usize, input: Input) {
        let driver = self.engines.get_mut(engine).and_then(|slot| slot.drivers.get_mut(&run));
        if let Some(driver) = driver {
            driver.inbox.push_back(input);
            self.drive(engine, run);
        }
    }
}

impl Machine<'_> {
    /// Compares the state of a driver, whose decisions are all durable, with what the records give.
    pub(super) fn compare(&mut self, run: usize, driver: &Driver) {
        let idle = driver.busy == super::shell::Busy::No && driver.pending.is_empty();
        let (Some(log), Some(departure)) = (self.logs.get(run), self.setup.departures.get(run))
        else {
            return;
        };
        if !idle || driver.beginning || log.stored().seq != driver.sealer.seq() {
            return;
        }
        let replayed = History::verify(&departure.run, &log.records)
            .and_then(|history| history.state(departure.plan.clone(), None));
        let found = match replayed {
            Ok(state) if format!("{state:?}") == format!("{:?}", driver.state) => return,
            Ok(_) => format!(
                "{} #{}: the state is not what the records give",
                departure.run,
                driver.sealer.seq()
            ),
            Err(damage) => damage.to_string(),
        };
        if let Some(diverged) = self.diverged.get_mut(run) {
            diverged.push(found);
        }
    }
}
