//! A driver's turns: inputs → decide → append → effects, in that order and no other, with the faults of
//! the journal and the crashes in between.

use release_core::engine::rules::{
    self, ASK_AGAIN, AfterFailedAppend, AfterReading, Doubt, OnEffects,
};
use release_core::journal::{AppendError, History, Sealer};
use release_core::model::Span;
use release_core::run::{Event, Fact, Input, Phase, RunState};

use super::append::Appended;
use super::course::What;
use super::machine::{Happening, Machine, TRY_AGAIN};
use super::shell::{Busy, Driver};

/// Most outcomes that are decided before what they led to is appended.
const OUTCOMES_A_TURN: usize = 256;
/// What a driver does next.
enum Next {
    /// It goes on at once.
    On,
    /// It waits.
    Wait,
    /// It drives the run no more.
    Gone(String),
    /// Its engine died.
    Dead,
}

impl Machine<'_> {
    /// An engine starts a run, or resumes it when there is one.
    pub(super) fn start(&mut self, engine: usize, run: usize) {
        let Some(departure) = self.setup.departures.get(run) else { return };
        let history = match self.read(run) {
            None => return self.later(self.now.plus(TRY_AGAIN), Happening::Adopt { engine }),
            Some(Ok(history)) => Some(history),
            Some(Err(_)) if self.logs.get(run).is_some_and(|log| log.records.is_empty()) => None,
            Some(Err(damage)) => {
                self.upkeep.damaged.insert(run); // it is refused from now on; other runs go on
                return self.left(engine, run, 0, damage);
            }
        };
        self.lives += 1;
        let (clock, limits) = (self.clock(engine), self.setup.limits.as_ref());
        let driver = match history {
            None => {
                let plan = &departure.plan;
                let event = Event::RunCreated {
                    plan: plan.digest(),
                    definition: plan.plan().definition(),
                    requester: departure.requester.clone(),
                    supersedes: None,
                    policy: None,
                };
                let fact = Fact { at: clock, event };
                let state = RunState::create(departure.run.clone(), plan.clone(), &fact);
                state.map_err(|illegal| illegal.to_string()).map(|state| {
                    let sealer = Sealer::new(&departure.run);
                    let mut driver = Driver::new(state, sealer, plan.clone(), (self.lives, limits));
                    driver.pending.push(fact.event);
                    driver
                })
            }
            Some(history) => self.resumed(engine, run, &history),
        };
        match driver {
            Ok(driver) if driver.state.outcome().is_some() => self.is_over(run),
            Ok(driver) => {
                if let Some(slot) = self.engines.get_mut(engine) {
                    slot.drivers.insert(run, driver);
                }
                self.drive(engine, run);
            }
            Err(problem) => self.left(engine, run, 0, problem),
        }
    }

    pub(super) fn resumed(
        &mut self,
        engine: usize,
        run: usize,
        history: &History,
    ) -> Result<Driver, String> {
        let Some(departure) = self.setup.departures.get(run) else { return Err(String::new()) };
        let state = match history.state(departure.plan.clone(), None) {
            Ok(state) => state,
            Err(damage) => {
                self.upkeep.damaged.insert(run);
                return Err(damage.to_string());
            }
        };
        let seq = u64::try_from(history.facts().len()).unwrap_or(u64::MAX);
        let epoch = history.epoch().saturating_add(1);
        let sealer = Sealer::after(&departure.run, seq, epoch, history.head());
        let life = (self.lives, self.setup.limits.as_ref());
        let mut driver = Driver::new(state, sealer, departure.plan.clone(), life);
        if driver.state.outcome().is_none() {
            driver.read_clock(self.clock(engine));
            self.may_take_over(engine, run, &mut driver)?;
        }
        Ok(driver)
    }

    pub(super) fn policy(&self, engine: usize) -> super::machine::Asked {
        let policy = self.engines.get(engine).map(|slot| slot.policy.clone());
        policy.unwrap_or_else(super::machine::Asked::nobody)
    }

    fn is_over(&mut self, run: usize) {
        if let Some(over) = self.over.get_mut(run) {
            *over = true;
        }
    }

    fn left(&mut self, engine: usize, run: usize, epoch: u64, why: String) {
        self.note(What::Left { run, engine, epoch, why });
        // Whoever hosts the engine tries again later, if nobody else has the run.
        self.later(self.now.plus(TRY_AGAIN), Happening::Adopt { engine });
    }

    /// Lets a driver go on until it has to wait.
    pub(super) fn drive(&mut self, engine: usize, run: usize) {
        while self.acts(engine) {
            let taken = self.engines.get_mut(engine).and_then(|slot| slot.drivers.remove(&run));
            let Some(mut driver) = taken else { return };
            let next = if driver.busy == Busy::No {
                self.turn(engine, run, &mut driver)
            } else {
                Next::Wait
            };
            match next {
                Next::Gone(why) => {
                    let epoch = driver.epoch_held();
                    self.abandoned(&driver);
                    if driver.state.outcome().is_some() && why.is_empty() {
                        self.compare(run, &driver);
                        return self.is_over(run);
                    }
                    return self.left(engine, run, epoch, why);
                }
                Next::Dead => {
                    self.abandoned(&driver);
                    return self.crash(engine);
                }
                Next::On | Next::Wait => {
                    if let Some(slot) = self.engines.get_mut(engine) {
                        slot.drivers.insert(run, driver);
                    }
                }
            }
            if matches!(next, Next::Wait) {
                return self.ask_people(run);
            }
        }
    }

    fn turn(&mut self, engine: usize, run: usize, driver: &mut Driver) -> Next {
        if driver.beginning {
            return self.commit(engine, run, driver);
        }
        if self.adopts((engine, run), driver) {
            return Next::Wait;
        }
        let policy = self.policy(engine);
        driver.quiet = match driver.settle(&policy) {
            Ok(quiet) => quiet,
            Err(illegal) => return Next::Gone(format!("internal: {illegal}")),
        };
        if !driver.pending.is_empty() {
            return self.commit(engine, run, driver);
        }
        driver.asked.clear();
        self.settle_permits((engine, run), driver, &[]);
        if driver.state.outcome().is_some() {
            return Next::Gone(String::new());
        }
        if !driver.quiet {
            return Next::On;
        }
        if driver.inbox.is_empty() && !driver.verdicts.is_empty() {
            let clock = self.clock(engine);
            driver.read_clock(clock);
            let policy = self.policy(engine);
            return match driver.hear(&policy) {
                Ok(()) => Next::On,
                Err(illegal) => Next::Gone(format!("internal: {illegal}")),
            };
        }
        if driver.inbox.is_empty() {
            self.rests(engine, run, driver);
            return Next::Wait;
        }
        let clock = self.clock(engine);
        driver.read_clock(clock);
        let policy = self.policy(engine);
        for taken in 0..OUTCOMES_A_TURN {
            let is_outcome = matches!(driver.inbox.front(), Some(Input::Outcome { .. }));
            if taken > 0 && !is_outcome {
                break;
            }
            let Some(input) = driver.inbox.pop_front() else { break };
            let commanded = super::people::commanded(run, &input);
            match driver.decide(input.clone(), &policy) {
                Ok(refused) => {
                    self.heard(run, &input, refused.as_ref());
                    if let Some(What::Commanded { run, by, command, .. }) = commanded {
                        let refused = refused.map(|refused| refused.to_string());
                        self.note(What::Commanded { run, by, command, refused });
                    }
                }
                Err(illegal) => return Next::Gone(format!("internal: {illegal}")),
            }
            if !is_outcome {
                break;
            }
        }
        Next::On
    }

    /// There is nothing to decide now: waits for time, if there is an instant to wait for.
    fn rests(&mut self, engine: usize, run: usize, driver: &mut Driver) {
        let seq = driver.sealer.seq();
        self.note(What::Quiet { run, engine, seq });
        let ask_again = driver.state.asks_policy().then_some(driver.ask_again);
        let Some(at) = driver.state.next_wakeup().into_iter().chain(ask_again).min() else {
            return;
        };
        let clock = self.clock(engine);
        let wake =
            self.now.plus(at.since(clock).max(Span::from(std::time::Duration::from_micros(1))));
        if driver.wake.is_none_or(|before| wake < before) {
            driver.wake = Some(wake);
            self.later(wake, Happening::Wake { engine, run, life: driver.life });
        }
    }

    pub(super) fn wake(&mut self, engine: usize, run: usize, life: u64) {
        let clock = self.clock(engine);
        let now = self.now;
        let slot = self.engines.get_mut(engine).and_then(|slot| slot.drivers.get_mut(&run));
        let Some(driver) = slot.filter(|driver| driver.life == life) else { return };
        if driver.wake.is_some_and(|wake| wake > now) {
            return; // it is to be woken at another time
        }
        driver.wake = None;
        if driver.busy != Busy::No || driver.beginning {
            return;
        }
        driver.read_clock(clock);
        if driver.state.asks_policy() && driver.now >= driver.ask_again {
            driver.ask_again = driver.now.plus(ASK_AGAIN);
            driver.inbox.push_back(Input::Reconsider);
        }
        self.drive(engine, run);
    }

    fn commit(&mut self, engine: usize, run: usize, driver: &mut Driver) -> Next {
        match self.append(engine, run, driver) {
            Appended::Answer(answer) => self.answered(engine, run, driver, answer),
            Appended::Later => Next::Wait,
            Appended::Dead => Next::Dead,
        }
    }

    fn answered(
        &mut self,
        engine: usize,
        run: usize,
        driver: &mut Driver,
        answer: Result<(), AppendError>,
    ) -> Next {
        driver.busy = Busy::No;
        let Err(error) = answer else {
            self.announce(engine, run, driver);
            return Next::On;
        };
        self.note(What::AppendFailed { run, engine, error: error.to_string() });
        #[cfg(planted_bugs)]
        if matches!(error, AppendError::Unknown { .. })
            && !driver.beginning
            && release_core::planted::is(release_core::planted::Bug::AppendAgain)
        {
            return self.commit(engine, run, driver);
        }
        if driver.beginning {
            // Whoever asked for it is there to be told; only what is unknown is looked for.
            let unknown = matches!(error, AppendError::Unknown { .. });
            let stored = unknown
                && matches!(self.read(run), Some(Ok(history)) if history.head() == driver.sealer.head());
            if stored {
                self.announce(engine, run, driver);
                return Next::On;
            }
            return Next::Gone(error.to_string());
        }
        if matches!(error, AppendError::Unknown { .. }) {
            let (head, answers) = (driver.sealer.head(), vec![(); driver.asked.len()]);
            driver.doubts.push(Doubt { head, answers });
        }
        match rules::after_failed_append(&error, driver.in_doubt) {
            AfterFailedAppend::Stop => Next::Gone(error.to_string()),
            AfterFailedAppend::ReadBack { in_doubt } => {
                driver.in_doubt = in_doubt;
                self.rest(engine, run, driver);
                Next::Wait
            }
        }
    }

    /// Waits before the journal is read again.
    fn rest(&mut self, engine: usize, run: usize, driver: &mut Driver) {
        let pause = rules::pause_before_reading(driver.failures);
        driver.failures = driver.failures.saturating_add(1);
        driver.busy = Busy::Resting;
        self.later(self.now.plus(pause), Happening::Rested { engine, run, life: driver.life });
    }

    /// What is pending is durable: its effects begin.
    pub(super) fn announce(&mut self, engine: usize, run: usize, driver: &mut Driver) {
        driver.failures = 0;
        driver.doubts.clear();
        driver.beginning = false;
        driver.asked.clear();
        let events = std::mem::take(&mut driver.pending);
        for event in &events {
            match rules::on_effects(event, driver.state.plan()) {
                OnEffects::Launch { step, attempt, mode } => {
                    self.launch((engine, run), driver, (step, attempt, mode));
                }
                OnEffects::LeaveOff => self.leave_off(driver),
                OnEffects::DropOne { step } => self.drop_effects(driver, |at, _| at != step),
                OnEffects::DropAll => self.drop_effects(driver, |_, _| false),
                OnEffects::Keep => {}
            }
            if matches!(event, Event::RollbackBlocked { .. }) {
                driver.forward = *driver.state.phase() == Phase::Forward;
            }
        }
        self.settle_permits((engine, run), driver, &events);
        self.follow_script(run, &events);
    }

    pub(super) fn journal_answers(&mut self, engine: usize, run: usize, life: u64) {
        if let Some(until) = self.still(engine) {
            return self.later(until, Happening::Answered { engine, run, life });
        }
        self.with(engine, run, life, |machine, driver| {
            match std::mem::replace(&mut driver.busy, Busy::No) {
                Busy::Appending(answer) => machine.answered(engine, run, driver, answer),
                other => {
                    driver.busy = other;
                    Next::Wait
                }
            }
        });
    }

    pub(super) fn read_back(&mut self, engine: usize, run: usize, life: u64) {
        if let Some(until) = self.still(engine) {
            return self.later(until, Happening::Rested { engine, run, life });
        }
        self.with(engine, run, life, |machine, driver| {
            let history = match machine.read(run) {
                None => {
                    machine.rest(engine, run, driver);
                    return Next::Wait;
                }
                Some(Err(damage)) => return Next::Gone(damage),
                Some(Ok(history)) => history,
            };
            driver.busy = Busy::No;
            match rules::after_reading(&driver.sealer, &history) {
                AfterReading::Fenced => Next::Gone("another engine has the run".into()),
                AfterReading::Stored => {
                    machine.announce(engine, run, driver);
                    Next::On
                }
                AfterReading::GoBack => machine.go_back(engine, run, driver, &history),
            }
        });
    }

    fn go_back(
        &mut self,
        engine: usize,
        run: usize,
        driver: &mut Driver,
        history: &History,
    ) -> Next {
        let (asked, missing) = match driver.go_back(history) {
            Ok(again) => again,
            Err(damage) => return Next::Gone(damage),
        };
        self.leave_off(driver);
        let clock = self.clock(engine);
        driver.read_clock(clock);
        let wanted: Vec<_> = driver
            .effects
            .iter()
            .filter(|(step, (attempt, _))| driver.wants(**step, *attempt))
            .map(|(step, _)| *step)
            .collect();
        self.drop_effects(driver, |step, _| wanted.contains(&step));
        for effect in missing {
            self.launch((engine, run), driver, effect);
        }
        let policy = self.policy(engine);
        for input in asked {
            if let Err(illegal) = driver.decide(input, &policy) {
                return Next::Gone(format!("internal: {illegal}"));
            }
        }
        Next::On
    }

    /// Until when an engine stands still, if it does.
    pub(super) fn still(&self, engine: usize) -> Option<release_core::model::Timestamp> {
        // Whoever is to let it go on may be late.
        let soon = self.now.plus(Span::millis(1));
        self.engines.get(engine)?.still.map(|until| until.max(soon))
    }

    /// Lets a driver do something, and then go on.
    fn with(
        &mut self,
        engine: usize,
        run: usize,
        life: u64,
        act: impl FnOnce(&mut Self, &mut Driver) -> Next,
    ) {
        let slot = self.engines.get_mut(engine).filter(|slot| slot.up);
        let Some(mut driver) = slot.and_then(|slot| slot.drivers.remove(&run)) else { return };
        let next = if driver.life == life { act(self, &mut driver) } else { Next::Wait };
        if let Next::Gone(why) = next {
            self.abandoned(&driver);
            return self.left(engine, run, driver.epoch_held(), why);
        }
        if let Some(slot) = self.engines.get_mut(engine) {
            slot.drivers.insert(run, driver);
        }
        if matches!(next, Next::On) {
            self.drive(engine, run);
        }
    }
}
