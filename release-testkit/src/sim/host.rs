//! Whoever hosts the engines: they start and resume runs, die, stand still, and are there again.

use release_core::model::Span;

use super::course::What;
use super::faults::{Clause, Fault, FaultPlan};
use super::machine::{Happening, Machine, TRY_AGAIN};
use super::shell::Driver;

/// How long an engine may take to be there again after a crash.
const RESTART: (Span, Span) = (Span::secs(1), Span::secs(30));
/// When other engines notice that one is gone.
const LEASE: Span = Span::secs(45);

impl Machine<'_> {
    fn someone_up(&self) -> Option<usize> {
        (0..self.engines.len()).find(|engine| self.acts(*engine))
    }

    pub(super) fn begin(&mut self, run: usize) {
        let Some(engine) = self.someone_up() else {
            return self.later(self.now.plus(TRY_AGAIN), Happening::Begin { run });
        };
        if let Some(begun) = self.begun.get_mut(run) {
            *begun = true;
        }
        self.start(engine, run);
    }

    /// An engine resumes all runs that nobody drives.
    pub(super) fn adopt(&mut self, engine: usize) {
        if !self.acts(engine) {
            return;
        }
        for run in 0..self.over.len() {
            let open = self.begun.get(run) == Some(&true) && self.over.get(run) == Some(&false);
            if open && self.driver_of(run).is_none() {
                self.start(engine, run);
            }
        }
    }

    /// An engine dies, with all it knows.
    pub(super) fn crash(&mut self, engine: usize) {
        let Some(dead) = self.engines.get_mut(engine) else { return };
        if !dead.up {
            return;
        }
        dead.up = false;
        dead.still = None;
        let drivers = std::mem::take(&mut dead.drivers);
        for (run, driver) in drivers {
            self.compare(run, &driver);
            self.abandoned(&driver);
        }
        // The journal lies on its host.
        self.logs.iter_mut().for_each(super::store::Log::lose_unsynced);
        self.struck(&format!("engine {engine} dies"));
        let again = self.chance.span(RESTART.0, RESTART.1);
        self.later(self.now.plus(again), Happening::Up { engine });
        for other in (0..self.engines.len()).filter(|other| *other != engine) {
            self.later(self.now.plus(LEASE), Happening::Adopt { engine: other });
        }
    }

    /// Nobody waits for the effects of a driver any more.
    pub(super) fn abandoned(&mut self, driver: &Driver) {
        let tick = self.tick();
        for (_, call) in driver.effects.values() {
            if let Some(call) = self.calls.get_mut(*call) {
                call.over.get_or_insert(tick);
            }
        }
    }

    pub(super) fn up(&mut self, engine: usize) {
        let fresh = self.engine();
        if let Some(slot) = self.engines.get_mut(engine) {
            *slot = fresh;
        }
        for log in &mut self.logs {
            log.open();
        }
        self.note(What::Up { engine });
        self.adopt(engine);
    }

    /// An engine stands still for `span`.
    pub(super) fn pause(&mut self, engine: usize, span: Span) {
        let until = self.now.plus(span);
        let Some(still) = self.engines.get_mut(engine).filter(|engine| engine.up) else { return };
        still.still = Some(until);
        self.struck(&format!("engine {engine} stands still for {span}"));
        self.later(until, Happening::GoesOn { engine });
        if span > LEASE {
            for other in (0..self.engines.len()).filter(|other| *other != engine) {
                let at = self.now.plus(LEASE);
                self.later(at, Happening::Adopt { engine: other });
            }
        }
    }

    pub(super) fn goes_on(&mut self, engine: usize) {
        let Some(slot) = self.engines.get_mut(engine) else { return };
        if slot.still.is_none_or(|until| until > self.now) {
            return;
        }
        slot.still = None;
        let drivers: Vec<usize> = slot.drivers.keys().copied().collect();
        for run in drivers {
            self.drive(engine, run);
        }
    }

    pub(super) fn strike(&mut self, clause: usize) {
        let Some(Clause { fault, .. }) = self.faults.plan.clauses.get(clause).cloned() else {
            return;
        };
        match fault {
            Fault::Crash(_) => {
                let engine = self.chance.pick(u32::try_from(self.engines.len()).unwrap_or(1));
                self.crash(engine as usize);
            }
            Fault::Pause(span) => {
                let engine = self.chance.pick(u32::try_from(self.engines.len()).unwrap_or(1));
                self.pause(engine as usize, span);
            }
            Fault::TakeOver => {
                for run in 0..self.over.len() {
                    self.take_over(run);
                }
            }
            Fault::Outage(span) => {
                self.faults.outage = Some(self.now.plus(span));
                self.struck(&format!("the journal is away for {span}"));
            }
            Fault::Clock(by) => {
                self.offset = self.offset.saturating_add(by);
                self.struck(&format!("the clock jumps by {} s", by / 1_000_000));
                self.wake_all();
            }
            Fault::Journal(_) | Fault::Provider(..) => {}
        }
    }

    /// Another engine takes a run over that one drives.
    pub(super) fn take_over(&mut self, run: usize) {
        let Some(owner) = self.driver_of(run) else { return };
        let other = (1..=self.engines.len()).map(|by| (owner + by) % self.engines.len());
        let other = other.into_iter().find(|other| *other != owner && self.acts(*other));
        if let Some(other) = other {
            self.struck(&format!("engine {other} takes run {run} from engine {owner}"));
            self.start(other, run);
        }
    }

    /// Every driver looks at its clock again soon.
    pub(super) fn wake_all(&mut self) {
        let mut all = Vec::new();
        for (engine, slot) in self.engines.iter_mut().enumerate() {
            for (run, driver) in &mut slot.drivers {
                driver.wake = None;
                all.push(Happening::Wake { engine, run: *run, life: driver.life });
            }
        }
        for happening in all {
            self.later(self.now.plus(Span::secs(1)), happening);
        }
    }

    /// No more faults: engines are up, the journal works, the clock is right, people answer.
    pub(super) fn heal(&mut self) {
        self.note(What::Healed);
        self.healed = true;
        self.faults.plan = FaultPlan::none();
        self.faults.outage = None;
        self.offset = 0;
        self.world.bad.clear();
        for engine in 0..self.engines.len() {
            if let Some(slot) = self.engines.get_mut(engine)
                && slot.still.is_some()
            {
                slot.still = Some(self.now);
                self.goes_on(engine);
            }
            if self.engines.get(engine).is_some_and(|slot| !slot.up) {
                self.up(engine);
            } else {
                self.adopt(engine);
            }
        }
        self.wake_all();
        for run in 0..self.over.len() {
            self.ask_people(run);
        }
    }
}
