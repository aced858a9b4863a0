//! Appends, with the faults of the journal and the crashes in between.

use release_core::journal::{AppendError, Batch};
use release_core::model::Span;

use super::course::What;
use super::faults::{Boundary, Fault, JournalFault, When};
use super::machine::{Happening, Machine};
use super::permits::Clerk;
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

/// Where an append goes.
#[derive(Clone, Copy)]
enum Stream {
    Run { run: usize, engine: usize, quiet: bool },
    Ledger,
}

/// What a store that fails because the plan of faults says so tells.
fn planned() -> String {
    "as planned".to_owned()
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
    fn fate(&mut self, run: Option<usize>, appends: u64) -> Fate {
        let mut fate = Fate::default();
        for clause in 0..self.faults.plan.clauses.len() {
            let Some(clause) = self.faults.plan.clauses.get(clause).cloned() else { break };
            let crashes = matches!(clause.fault, Fault::Crash(_));
            let strikes = match clause.when {
                When::Chance(ppm) => {
                    !matches!(clause.fault, Fault::Provider(..)) && self.chance.happens(ppm)
                }
                When::Append(append) => append == self.faults.appends,
                When::EveryAppend => !crashes || appends > 2,
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
                Fault::TakeOver => {
                    let Some(run) = run else { continue };
                    self.later(self.now, Happening::TakeOver { run });
                }
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
        self.wrote(&batch);
        let fate = self.fate(Some(run), driver.appends);
        if let Some(fault) = fate.journal {
            self.cover(driver, &format!("journal {}", fault.name()));
        }
        if let Some(boundary) = fate.crash {
            self.cover(driver, super::coverage::crash(boundary));
        }
        if fate.pause.is_some() {
            self.cover(driver, "pause");
        }
        if self.faults.outage.is_some_and(|until| self.now < until) {
            self.cover(driver, "journal outage");
            return Appended::Answer(Err(AppendError::Unavailable { detail: planned() }));
        }
        if let Some(boundary) = fate.crash {
            self.crash_in_append(engine, run, driver, (boundary, batch));
            return Appended::Dead;
        }
        let into = Stream::Run { run, engine, quiet: driver.quiet };
        let answer = self.append_or_fail(fate.journal, into, batch);
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

    /// Appends to the ledger of permits, with the faults of all appends.
    pub(super) fn append_entries(
        &mut self,
        engine: usize,
        clerk: &mut Clerk,
        batch: Batch,
    ) -> Appended {
        self.faults.appends += 1;
        clerk.appends += 1;
        self.wrote(&batch);
        let fate = self.fate(None, clerk.appends);
        if let Some(fault) = fate.journal {
            self.coverage.note("ledger", &format!("journal {}", fault.name()), 1);
        }
        if let Some(boundary) = fate.crash {
            self.coverage.note("ledger", super::coverage::crash(boundary), 1);
        }
        if self.faults.outage.is_some_and(|until| self.now < until) {
            return Appended::Answer(Err(AppendError::Unavailable { detail: planned() }));
        }
        if let Some(boundary) = fate.crash {
            match boundary {
                Boundary::Before => {}
                Boundary::Torn(bytes) => self.tear_entries(batch, bytes),
                Boundary::Written | Boundary::Acked | Boundary::Effect => {
                    drop(self.store_entries(batch));
                }
            }
            let fault = format!("crash {boundary} at append {}", self.faults.appends);
            self.note(What::Struck { fault });
            return Appended::Dead;
        }
        let slow = fate.journal == Some(JournalFault::Slow);
        let answer = self.append_or_fail(fate.journal, Stream::Ledger, batch);
        if let Some(span) = fate.pause {
            self.pause(engine, span);
        }
        if answer.is_ok() && (slow || fate.pause.is_some()) {
            let wait = if slow { self.chance.span(SLOW.0, SLOW.1) } else { Span::ZERO };
            self.later(self.now.plus(wait), Happening::Desk { engine, life: clerk.life() });
            return Appended::Later;
        }
        Appended::Answer(answer)
    }

    /// What is answered to an append that a fault strikes, or none.
    fn append_or_fail(
        &mut self,
        fault: Option<JournalFault>,
        into: Stream,
        batch: Batch,
    ) -> Result<(), AppendError> {
        let mut store = |batch| match into {
            Stream::Run { run, engine, quiet } => self.store(engine, run, batch, quiet),
            Stream::Ledger => self.store_entries(batch),
        };
        let unknown = || Err(AppendError::Unknown { detail: planned() });
        match fault {
            Some(JournalFault::NoSpace) => Err(AppendError::NoSpace { detail: planned() }),
            Some(JournalFault::Unavailable) => Err(AppendError::Unavailable { detail: planned() }),
            Some(JournalFault::UnknownLost) => unknown(),
            Some(JournalFault::UnknownLate) => {
                let (at, batch) =
                    (self.now.plus(self.chance.span(LATE.0, LATE.1)), Box::new(batch));
                let late = match into {
                    Stream::Run { run, engine, .. } => Happening::Late { run, engine, batch },
                    Stream::Ledger => Happening::LateEntries { batch },
                };
                self.later(at, late);
                unknown()
            }
            Some(JournalFault::UnknownStored) => store(batch).and_then(|()| unknown()),
            Some(JournalFault::Slow) | None => store(batch),
        }
    }

    /// Notes how a batch is written.
    fn wrote(&mut self, batch: &Batch) {
        let bytes = u32::try_from(Log::bytes_of(batch)).unwrap_or(u32::MAX);
        let last = batch.records.last().map_or(0, Log::bytes_of_record);
        let last = bytes.saturating_sub(u32::try_from(last).unwrap_or(u32::MAX));
        self.writes.push(super::course::Write { last, bytes });
    }

    fn tear_entries(&mut self, batch: Batch, bytes: Option<u32>) {
        let most = u32::try_from(Log::bytes_of(&batch)).unwrap_or(u32::MAX);
        let bytes = bytes.unwrap_or_else(|| self.chance.pick(most)).min(most) as usize;
        let tick = self.tick();
        let log = self.ledger.iter_mut().find(|(stream, _)| *stream == batch.run);
        if let Some((_, log)) = log.filter(|(_, log)| batch.check(log.stored()).is_ok()) {
            log.tear(batch, bytes, tick);
        }
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
