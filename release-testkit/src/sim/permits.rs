//! The permits of a simulation: each engine's desk and the ledger in the journal, with the faults of both.
//! What is decided is `release_core::engine::desk`'s, as in production.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::engine::desk::{self, Desk, Said, Verdict};
use release_core::engine::ledger::Pages;
use release_core::engine::rules::pause_before_reading;
use release_core::journal::{AppendError, Batch, LedgerHistory};
use release_core::limits::{Claim, LedgerEvent, Request, Unit};
use release_core::model::{RunId, Timestamp};
use release_core::run::Event;

use super::append::Appended;
use super::course::Entry;
use super::machine::{Happening, Machine};
use super::shell::{Busy, Driver};
use super::store::Log;

/// What a desk is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    /// It waits before it reads the ledger again, and looks for runs that are over or does not.
    Resting {
        over: bool,
    },
    /// What it decided is stored, and it is told only now; whether the page is full.
    Stored {
        finishes: bool,
    },
}

/// What drivers tell their engine's desk.
#[derive(Debug)]
enum Message {
    Say(Said),
    Ask { step: u32, request: Request, run: usize, life: u64 },
    Adopt { run: usize, life: u64 },
}

/// The desk of one engine, and what it knows.
#[derive(Debug)]
pub(super) struct Clerk {
    desk: Desk,
    pages: Pages,
    life: u64,
    /// What the engine is called in the ledger.
    name: String,
    inbox: Vec<Message>,
    /// Whose step it is: the run, its driver, and the epoch.
    tell: BTreeMap<Claim, (usize, u64, u64)>,
    adopting: Vec<(usize, u64)>,
    stage: Stage,
    /// Whether a turn is to come for what is in the inbox.
    due: bool,
    /// When it is to look next.
    looks: Option<Timestamp>,
    fresh: bool,
    failures: u32,
    /// Whether what it knows is what was stored when it last looked.
    clean: bool,
    pub(super) appends: u64,
}

impl Clerk {
    /// Tells this clerk from those of the engine's other lives.
    pub(super) const fn life(&self) -> u64 {
        self.life
    }
}

/// What is to be told to a driver.
enum News {
    Verdict(Verdict),
    Adopted(Vec<Unit>),
}

/// How a turn of a desk ended.
enum Turned {
    Told(Vec<(usize, u64, News)>),
    Waits,
    Dead,
}

impl Machine<'_> {
    /// The desk of an engine that is just there.
    pub(super) fn clerk(&mut self) -> Option<Clerk> {
        let limits = self.setup.limits.as_ref()?;
        self.lives += 1;
        let (life, name) = (self.lives, format!("engine/{}", self.lives));
        Some(Clerk {
            desk: Desk::new(Arc::clone(limits), name.clone()),
            pages: self.setup.pages()?,
            life,
            name,
            inbox: Vec::new(),
            tell: BTreeMap::new(),
            adopting: Vec::new(),
            stage: Stage::Idle,
            due: false,
            looks: None,
            fresh: true,
            failures: 0,
            clean: false,
            appends: 0,
        })
    }

    /// Takes up what became durable of a run, and tells the desk what follows.
    pub(super) fn settle_permits(
        &mut self,
        (engine, run): (usize, usize),
        driver: &mut Driver,
        events: &[Event],
    ) {
        if events.iter().any(|event| matches!(event, Event::RollbackStarted { .. })) {
            driver.name_providers(driver.state.plan().base_len());
        }
        let clerk = self.engines.get_mut(engine).and_then(|slot| slot.clerk.as_mut());
        let (Some(clerk), Some(permits)) = (clerk, driver.permits.as_mut()) else { return };
        let writer = (clerk.name.as_str(), driver.sealer.epoch());
        let wishes = desk::wishes(permits, &driver.state, events, writer);
        let life = driver.life;
        let asks = wishes.asks.into_iter();
        let asks = asks.map(|(step, request)| Message::Ask { step, request, run, life });
        clerk.inbox.extend(wishes.said.into_iter().map(Message::Say).chain(asks));
        if !clerk.inbox.is_empty() {
            self.desk_is_due(engine);
        }
    }

    /// A driver that has its run asks what that has in the ledger. Returns whether it has to wait for the
    /// answer.
    pub(super) fn adopts(&mut self, (engine, run): (usize, usize), driver: &mut Driver) -> bool {
        let clerk = self.engines.get_mut(engine).and_then(|slot| slot.clerk.as_mut());
        if driver.adopted || driver.permits.is_none() {
            return false;
        }
        let Some(clerk) = clerk else { return false };
        let (id, epoch) = (driver.state.run().clone(), driver.sealer.epoch());
        clerk.inbox.push(Message::Say(Said::Adopted { run: id, epoch }));
        clerk.inbox.push(Message::Adopt { run, life: driver.life });
        driver.adopted = true;
        driver.busy = Busy::Adopting;
        self.desk_is_due(engine);
        true
    }

    fn desk_is_due(&mut self, engine: usize) {
        let clerk = self.engines.get_mut(engine).and_then(|slot| slot.clerk.as_mut());
        if let Some(clerk) = clerk.filter(|clerk| !clerk.due && clerk.stage == Stage::Idle) {
            clerk.due = true;
            let life = clerk.life;
            self.later(self.now, Happening::Desk { engine, life });
        }
    }

    /// A desk's time has come.
    pub(super) fn desk(&mut self, engine: usize, life: u64) {
        let still = self.still(engine);
        let Some(slot) = self.engines.get_mut(engine).filter(|slot| slot.up) else { return };
        if slot.clerk.as_ref().is_none_or(|clerk| clerk.life != life) {
            return;
        }
        if let Some(until) = still {
            return self.later(until, Happening::Desk { engine, life });
        }
        let Some(mut clerk) = slot.clerk.take() else { return };
        clerk.due = false;
        let turned = match clerk.stage {
            Stage::Stored { finishes } => {
                clerk.stage = Stage::Idle;
                clerk.clean = true;
                clerk.pages.stored(finishes);
                self.durable(engine, &mut clerk)
            }
            Stage::Resting { over } => {
                clerk.stage = Stage::Idle;
                self.attend(engine, &mut clerk, (true, over))
            }
            Stage::Idle => {
                let looks = clerk.looks.is_some_and(|at| at <= self.now);
                let sweep = std::mem::take(&mut clerk.fresh) || looks;
                if !sweep && clerk.inbox.is_empty() {
                    if let Some(slot) = self.engines.get_mut(engine) {
                        slot.clerk = Some(clerk);
                    }
                    return;
                }
                self.take_messages(engine, &mut clerk);
                self.attend(engine, &mut clerk, (sweep, sweep))
            }
        };
        let idle = clerk.stage == Stage::Idle;
        if let Some(slot) = self.engines.get_mut(engine) {
            slot.clerk = Some(clerk);
        }
        match turned {
            Turned::Dead => self.crash(engine),
            Turned::Waits => {}
            Turned::Told(news) => {
                self.look_again(engine);
                for (run, life, news) in news {
                    self.hear(engine, (run, life), news);
                }
            }
        }
        let more = self.engines.get(engine).and_then(|slot| slot.clerk.as_ref());
        if idle && more.is_some_and(|clerk| !clerk.inbox.is_empty()) {
            self.desk_is_due(engine);
        }
    }

    fn take_messages(&mut self, engine: usize, clerk: &mut Clerk) {
        let now = self.clock(engine);
        for message in std::mem::take(&mut clerk.inbox) {
            match message {
                Message::Say(said) => {
                    if let Said::Withdrawn { claim, .. } = &said {
                        clerk.tell.remove(claim);
                    }
                    clerk.desk.say(said);
                }
                Message::Ask { step, request, run, life } => {
                    clerk.tell.insert(request.claim.clone(), (run, life, request.epoch));
                    clerk.desk.ask(step, request, now);
                }
                Message::Adopt { run, life } => clerk.adopting.push((run, life)),
            }
        }
    }

    /// Makes everything durable that came in and that follows from it.
    fn attend(
        &mut self,
        engine: usize,
        clerk: &mut Clerk,
        (mut read, over): (bool, bool),
    ) -> Turned {
        loop {
            if read && !self.read_ledger(clerk) {
                return self.desk_rests(engine, clerk, over);
            }
            let ended = if over { self.finished() } else { BTreeSet::new() };
            clerk.tell.retain(|_, (run, life, _)| self.has_driver(engine, *run, *life));
            clerk.desk.leave(|claim| !clerk.tell.contains_key(claim));
            let now = self.clock(engine).max(clerk.pages.ledger.now());
            let carried = clerk.pages.carried();
            let events = clerk.desk.decide(&mut clerk.pages.ledger, now, &ended);
            if events.is_empty() {
                return self.durable(engine, clerk);
            }
            let batch = clerk.pages.batch(&events, carried, now);
            let finishes = batch.finishes;
            clerk.clean = false;
            match self.append_entries(engine, clerk, batch) {
                Appended::Answer(Ok(())) => {
                    clerk.clean = true;
                    clerk.pages.stored(finishes);
                    return self.durable(engine, clerk);
                }
                Appended::Answer(Err(
                    AppendError::Conflict { .. } | AppendError::Finished { .. },
                )) => read = true,
                Appended::Answer(Err(_)) => return self.desk_rests(engine, clerk, over),
                Appended::Later => {
                    clerk.stage = Stage::Stored { finishes };
                    return Turned::Waits;
                }
                Appended::Dead => return Turned::Dead,
            }
        }
    }

    fn desk_rests(&mut self, engine: usize, clerk: &mut Clerk, over: bool) -> Turned {
        let pause = pause_before_reading(clerk.failures);
        clerk.failures = clerk.failures.saturating_add(1);
        clerk.stage = Stage::Resting { over };
        self.later(self.now.plus(pause), Happening::Desk { engine, life: clerk.life });
        Turned::Waits
    }

    /// What was decided is durable: says whom to tell what.
    fn durable(&mut self, engine: usize, clerk: &mut Clerk) -> Turned {
        clerk.failures = 0;
        let mut news = Vec::new();
        for (run, life) in std::mem::take(&mut clerk.adopting) {
            let Some(departure) = self.setup.departures.get(run) else { continue };
            let units = clerk.pages.ledger.units_of(&departure.run);
            news.push((run, life, News::Adopted(units)));
        }
        let now = self.clock(engine).max(clerk.pages.ledger.now());
        let (verdicts, more) = clerk.desk.durable(&clerk.pages.ledger, now);
        for verdict in verdicts {
            let Some((run, life, epoch)) = clerk.tell.get(&verdict.claim).copied() else {
                continue;
            };
            if verdict.waits.is_none() {
                clerk.tell.remove(&verdict.claim);
                if !self.has_driver(engine, run, life) {
                    let units = clerk.pages.ledger.units_for(&verdict.claim);
                    let run = verdict.claim.run.clone();
                    clerk.inbox.push(Message::Say(Said::Released { run, units, epoch }));
                }
            }
            news.push((run, life, News::Verdict(verdict)));
        }
        if more && !clerk.due {
            clerk.due = true;
            clerk.looks = Some(self.now);
            self.later(self.now, Happening::Desk { engine, life: clerk.life });
        }
        Turned::Told(news)
    }

    /// Plans when a desk reads the ledger again.
    fn look_again(&mut self, engine: usize) {
        let clock = self.clock(engine);
        let (now, mut wake) = (self.now, None);
        if let Some(clerk) = self.engines.get_mut(engine).and_then(|slot| slot.clerk.as_mut()) {
            let next = clerk.desk.next_look().map(|at| now.plus(at.since(clock)));
            let planned = clerk.looks.filter(|at| *at > now || clerk.due);
            clerk.looks = planned.into_iter().chain(next).min();
            wake = (clerk.looks != planned).then_some((clerk.looks, clerk.life));
        }
        if let Some((Some(at), life)) = wake {
            self.later(at, Happening::Desk { engine, life });
        }
    }

    fn has_driver(&self, engine: usize, run: usize, life: u64) -> bool {
        let driver = self.engines.get(engine).and_then(|slot| slot.drivers.get(&run));
        driver.is_some_and(|driver| driver.life == life)
    }

    /// A driver is told what the ledger says.
    fn hear(&mut self, engine: usize, (run, life): (usize, u64), news: News) {
        if !self.has_driver(engine, run, life) {
            return;
        }
        let slot = self.engines.get_mut(engine).filter(|slot| slot.up);
        let Some(mut driver) = slot.and_then(|slot| slot.drivers.remove(&run)) else { return };
        match news {
            News::Verdict(verdict) => driver.verdicts.push_back(verdict),
            News::Adopted(units) => {
                driver.busy = Busy::No;
                driver.adopts(units);
                self.settle_permits((engine, run), &mut driver, &[]);
            }
        }
        if let Some(slot) = self.engines.get_mut(engine) {
            slot.drivers.insert(run, driver);
        }
        self.drive(engine, run);
    }

    /// Runs that are over.
    fn finished(&self) -> BTreeSet<RunId> {
        let runs = self.setup.departures.iter().zip(&self.logs);
        let over = runs.filter(|(_, log)| log.stored().finished);
        over.map(|(departure, _)| departure.run.clone()).collect()
    }

    /// Reads the ledger, if that can be read now.
    fn read_ledger(&self, clerk: &mut Clerk) -> bool {
        if self.faults.outage.is_some_and(|until| self.now < until) {
            return false;
        }
        let log = self.ledger.iter().find(|(stream, _)| stream == clerk.pages.stream());
        if clerk.clean && log.map_or(0, |(_, log)| log.stored().seq) == clerk.pages.seq() {
            return true;
        }
        let before = clerk.pages.ledger.clone();
        loop {
            let log = self.ledger.iter().find(|(stream, _)| stream == clerk.pages.stream());
            match clerk.pages.read(log.map(|(_, log)| &log.records[..]).unwrap_or_default()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return false,
            }
        }
        if clerk.pages.ledger != before {
            clerk.desk.news();
        }
        clerk.clean = true;
        true
    }

    /// Stores a batch of the ledger, or says why not.
    pub(super) fn store_entries(&mut self, batch: Batch) -> Result<(), AppendError> {
        let tick = self.tick();
        let known = self.ledger.iter().position(|(stream, _)| *stream == batch.run);
        let at = known.unwrap_or_else(|| {
            self.ledger.push((batch.run.clone(), Log::default()));
            self.ledger.len() - 1
        });
        let count = batch.records.len();
        let Some((_, log)) = self.ledger.get_mut(at) else { return Ok(()) };
        log.append(batch, tick)?;
        self.note(super::What::Entered { count });
        Ok(())
    }

    /// As any engine that comes later would: takes back what runs that are over left behind.
    pub(super) fn close_ledger(&mut self) {
        let Some(mut clerk) = self.clerk() else { return };
        self.faults.outage = None;
        for (_, log) in &mut self.ledger {
            log.open();
        }
        let (finished, now) = (self.finished(), self.now);
        if self.read_ledger(&mut clerk) {
            let carried = clerk.pages.carried();
            let now = now.max(clerk.pages.ledger.now());
            let events = clerk.desk.decide(&mut clerk.pages.ledger, now, &finished);
            if !events.is_empty() {
                let batch = clerk.pages.batch(&events, carried, now);
                // Nobody else is there to be faster.
                let _ = self.store_entries(batch);
            }
        }
    }

    /// All that the ledger says, and how it is damaged if it is.
    pub(super) fn entries(&self) -> (Vec<Entry>, Option<String>) {
        let mut all = Vec::new();
        for (stream, log) in &self.ledger {
            match LedgerHistory::verify(stream, &log.records) {
                Ok(history) => {
                    let entries = history.entries.into_iter().zip(&log.ticks);
                    let kept = entries.filter(|((_, event), _)| {
                        !matches!(event, LedgerEvent::Opened { .. } | LedgerEvent::Closed { .. })
                    });
                    all.extend(kept.map(|((at, event), tick)| Entry { tick: *tick, at, event }));
                }
                Err(damage) => return (all, Some(damage.to_string())),
            }
        }
        (all, None)
    }
}
