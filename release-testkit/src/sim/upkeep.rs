//! What hosts do with runs beside driving them: an engine of a newer version lets them go on with another
//! plan; those that bring their engines down are quarantined, until somebody releases them.

use std::collections::BTreeSet;

use release_core::engine::rules::is_poison;
use release_core::model::Span;
use release_core::run::{Command, Directive, Input, Turn, migrate};

use super::course::What;
use super::machine::{Happening, Machine, TRY_AGAIN};
use super::shell::Driver;

/// How long after a call a poison run brings its engine down.
const POISON: Span = Span::millis(20);
/// How long after a migration that was not possible it is tried again.
const LATER: Span = Span::secs(240);

/// Which runs hosts leave alone, and why.
#[derive(Debug, Clone, Default)]
pub(super) struct Upkeep {
    /// Those that bring their engines down.
    poison: BTreeSet<usize>,
    pub(super) quarantined: BTreeSet<usize>,
    /// Those whose records are not what was written.
    pub(super) damaged: BTreeSet<usize>,
    /// Those that somebody has just released.
    releasing: BTreeSet<usize>,
}

impl Upkeep {
    pub(super) fn new(poison: &BTreeSet<usize>) -> Self {
        Self { poison: poison.clone(), ..Self::default() }
    }
}

impl Machine<'_> {
    /// A call was made: that of a poison run brings its engine down.
    pub(super) fn poisons(&mut self, engine: usize, run: usize, life: u64) {
        if self.upkeep.poison.contains(&run) && !self.healed {
            self.later(self.now.plus(POISON), Happening::Poison { engine, run, life });
        }
    }

    pub(super) fn poisoned(&mut self, engine: usize, run: usize, life: u64) {
        let slot = self.engines.get(engine).filter(|slot| slot.up);
        let driver = slot.and_then(|slot| slot.drivers.get(&run));
        if driver.is_some_and(|driver| driver.life == life) && self.upkeep.poison.contains(&run) {
            self.struck(&format!("run {run} brings engine {engine} down"));
            self.cover_engine(engine, "poison");
            self.crash(engine);
        }
    }

    /// A driver is about to take a run over. Returns why not, if that is left alone.
    pub(super) fn may_take_over(
        &mut self,
        engine: usize,
        run: usize,
        driver: &mut Driver,
    ) -> Result<(), String> {
        let recoveries = driver.state.recoveries();
        let released = self.upkeep.releasing.remove(&run);
        if !released && is_poison(recoveries, self.setup.max_recoveries) {
            if self.upkeep.quarantined.insert(run) {
                self.note(What::Quarantined { run, recoveries });
                let at = if self.healed {
                    self.now.plus(Span::secs(1))
                } else {
                    self.setup.humans.answers_at(self.now, &mut self.chance)
                };
                self.later(at, Happening::Release { run });
            }
            return Err(format!("taken over {recoveries} times in vain"));
        }
        let policy = self.policy(engine);
        let input = Input::TakeOver { engine: format!("engine-{engine}") };
        driver.decide(input, &policy).map_err(|illegal| illegal.to_string())?;
        if released {
            let by = self.setup.humans.operator.clone();
            let release = Directive::new(Command::ReleaseQuarantine, by, "the node was mended");
            let input = Input::Directive(release);
            driver.decide(input, &policy).map_err(|illegal| illegal.to_string())?;
        }
        Ok(())
    }

    /// Somebody mends what brought engines down, and releases the run.
    pub(super) fn release(&mut self, run: usize) {
        let Some(engine) = (0..self.engines.len()).find(|engine| self.acts(*engine)) else {
            return self.later(self.now.plus(TRY_AGAIN), Happening::Release { run });
        };
        if self.upkeep.quarantined.remove(&run) {
            self.upkeep.poison.remove(&run);
            self.upkeep.releasing.insert(run);
            self.start(engine, run);
        }
    }

    /// An engine of a newer version takes a run over and lets it go on with another plan.
    pub(super) fn upgrade(&mut self, nth: usize) {
        let Some((_, run, plan)) = self.setup.migrations.get(nth) else { return };
        let (run, plan) = (*run, plan.clone());
        if self.over.get(run) != Some(&false) || self.healed {
            return;
        }
        let again = self.now.plus(LATER);
        let engine = (0..self.engines.len()).find(|engine| self.acts(*engine));
        let begun = self.begun.get(run) == Some(&true) && !self.upkeep.quarantined.contains(&run);
        let (Some(engine), true) = (engine, begun) else {
            return self.later(again, Happening::Upgrade { nth });
        };
        let Some(Ok(history)) = self.read(run) else {
            return self.later(again, Happening::Upgrade { nth });
        };
        self.lives += 1;
        let Ok(mut driver) = self.resumed(engine, run, &history) else {
            return self.later(again, Happening::Upgrade { nth });
        };
        let by = self.setup.humans.operator.clone();
        let policy = self.policy(engine);
        let turn = Turn::new(driver.now, 0, &policy);
        match migrate(&driver.state, &plan, &by, "the engine was upgraded", &turn) {
            Ok(Some(event)) => {
                if driver.state.evolve(driver.now, &event).is_ok() {
                    driver.pending.push(event);
                    if let Some(slot) = self.engines.get_mut(engine) {
                        slot.drivers.insert(run, driver);
                    }
                    self.drive(engine, run);
                }
                self.later(again, Happening::Upgrade { nth });
            }
            Ok(None) => {}
            Err(reason) => {
                self.note(What::NotMigrated { run, why: reason.to_string() });
                self.later(again, Happening::Upgrade { nth });
            }
        }
    }
}
