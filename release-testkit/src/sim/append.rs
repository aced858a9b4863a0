//! Appends, with the faults of the journal and the crashes in between.

use release_core::journal::{AppendError, Batch};
use release_core::model::Span;

use super::course::What;
use super::faults::{Boundary, Fault, JournalFault, When};
use super::machine::{Happening, Machine};
use super::shell::{Busy, Driver};
use super::store::Log;

/// How long a slow journal takes.
const SLOW: (Span, Span) = (Span::millis(10), Span::secs(8));
/// How late an append can be stored whose outcome nobody knew.
const LATE: (Span, Span) = (Span::millis(10), Span::secs(3));

/// What an append came to.
pub(super) enum Appended {
    Answer(Result<(), AppendError>),
    Later,
    Dead,
}

/// What goes wrong with an append.
#[derive(Default)]
struct Fate {
    crash: Option<Boundary>,
    journal: Option<JournalFault>,
    pause: Option<Span>,
}

impl Machine<'_> {
    /// What goes wrong with the next append.
    fn fate(&mut self, run: usize, driver: &Driver) -> Fate {
        let mut fate = Fate::default();
        for clause in 0..self.faults.plan.clauses.len() {
            let Some(clause) = self.faults.plan.clauses.get(clause).cloned() else { break };
            let crashes = matches!(clause.fault, Fault::Crash(_));
            let strikes = match clause.when {
                When::Chance(ppm) => {
                    !matches!(clause.fault, Fault::Provider(..)) && self.chance.happens(ppm)
                }
                When::Append(append) => append == self.faults.appends,
                When::EveryAppend => !crashes || driver.appends > 2,
                When::At(_) => false,
            };
            if !strikes {
                continue;
            }
            match clause.fault {
                Fault::Crash(boundary) => {
                    let any = |machine: &mut Self| match machine.chance.pick(5) {
                        0 => Boundary::Written,
                        1 => Boundary::Acked,
                        2 => Boundary::Effect,
                        3 if clause.when != When::EveryAppend => Boundary::Before,
                        _ if clause.when != When::EveryAppend => Boundary::Torn(None),
                        _ => Boundary::Effect,
                    };
                    fate.crash = Some(boundary.unwrap_or_else(|| any(self)));
                }
                Fault::Journal(fault) => fate.journal = Some(fault),
                Fault::Pause(span) => fate.pause = Some(span),
                Fault::TakeOver => self.later(self.now, Happening::TakeOver { run }),
                _ => {}
            }
        }
        fate
    }

    pub(super) fn append(&mut self, engine: usize, run: usize, driver: &mut Driver) -> Appended {
        self.faults.appends += 1;
        driver.appends += 1;
        let Some(departure) = self.setup.departures.get(run) else { return Appended::Dead };
        let batch = driver.batch(&departure.run);
        #[cfg(planted_bugs)]
        if release_core::planted::is(release_core::planted::Bug::ActFirst) {
            self.announce(engine, run, driver);
        }
        let fate = self.fate(run, driver);
        let detail = || "as planned".to_owned();
        if self.faults.outage.is_some_and(|until| self.now < until) {
            return Appended::Answer(Err(AppendError::Unavailable { detail: detail() }));
        }
        if let Some(boundary) = fate.crash {
            self.crash_in_append(engine, run, driver, (boundary, batch));
            return Appended::Dead;
        }
        let answer = match fate.journal {
            Some(JournalFault::NoSpace) => Err(AppendError::NoSpace { detail: detail() }),
            Some(JournalFault::Unavailable) => Err(AppendError::Unavailable { detail: detail() }),
            Some(JournalFault::UnknownLost) => Err(AppendError::Unknown { detail: detail() }),
            Some(JournalFault::UnknownLate) => {
                let at = self.now.plus(self.chance.span(LATE.0, LATE.1));
                self.later(at, Happening::Late { run, engine, batch: Box::new(batch) });
                Err(AppendError::Unknown { detail: detail() })
            }
            Some(JournalFault::UnknownStored) => {
                let stored = self.store(engine, run, batch, driver.quiet);
                stored.and(Err(AppendError::Unknown { detail: detail() }))
            }
            Some(JournalFault::Slow) | None => self.store(engine, run, batch, driver.quiet),
        };
        let slow = fate.journal == Some(JournalFault::Slow);
        if let Some(span) = fate.pause {
            self.pause(engine, span);
        }
        if slow || fate.pause.is_some() {
            let wait = if slow { self.chance.span(SLOW.0, SLOW.1) } else { Span::ZERO };
            driver.busy = Busy::Appending(answer);
            let life = driver.life;
            self.later(self.now.plus(wait), Happening::Answered { engine, run, life });
            return Appended::Later;
        }
        Appended::Answer(answer)
    }

    pub(super) fn store(
        &mut self,
        engine: usize,
        run: usize,
        batch: Batch,
        quiet: bool,
    ) -> Result<(), AppendError> {
        let tick = self.tick();
        let (epoch, first, count) = (batch.epoch, batch.expected + 1, batch.records.len());
        let Some(log) = self.logs.get_mut(run) else { return Ok(()) };
        let head = batch.records.last().map(|record| (record.seq, record.hash));
        #[cfg(planted_bugs)]
        let late = release_core::planted::is(release_core::planted::Bug::AckBeforeSync);
        #[cfg(not(planted_bugs))]
        let late = false;
        if late {
            log.sync(); // what was acknowledged before
            log.append(batch, tick)?;
        } else {
            log.append(batch, tick)?;
            log.sync();
        }
        if let Some(seen) = self.seen.get_mut(run) {
            seen.extend(head);
        }
        self.note(What::Stored { run, engine, epoch, first, count, quiet });
        Ok(())
    }

    /// The engine dies at a boundary of an append.
    fn crash_in_append(
        &mut self,
        engine: usize,
        run: usize,
        driver: &mut Driver,
        (boundary, batch): (Boundary, Batch),
    ) {
        match boundary {
            Boundary::Before => {}
            Boundary::Torn(bytes) => {
                let most = u32::try_from(Log::bytes_of(&batch)).unwrap_or(u32::MAX);
                let bytes = bytes.unwrap_or_else(|| self.chance.pick(most)).min(most) as usize;
                let tick = self.tick();
                let fits = self.logs.get(run).is_some_and(|log| batch.check(log.stored()).is_ok());
                if let Some(log) = self.logs.get_mut(run).filter(|_| fits) {
                    log.tear(batch, bytes, tick);
                }
            }
            Boundary::Written | Boundary::Acked => {
                drop(self.store(engine, run, batch, driver.quiet));
            }
            Boundary::Effect => {
                if self.store(engine, run, batch, driver.quiet).is_ok() {
                    self.announce(engine, run, driver);
                }
            }
        }
        self.note(What::Struck {
            fault: format!("crash {boundary} at append {}", self.faults.appends),
        });
    }
}
