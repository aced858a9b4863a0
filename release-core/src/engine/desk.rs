//! How an engine gets permits for its runs: what it tells the ledger, what follows from that, and what its
//! runs are told then. Pure: the driver's limiter and the simulator of `release-testkit` share it, so that
//! what is simulated is what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::RunId;
use crate::limits::{Claim, Class, Ledger, LedgerEvent, Limits, Request, Standing, Unit, grants};
use crate::model::Principal;
use crate::port::Reason;
use crate::run::{Event, Permits, RunState};
use crate::time::{Span, Timestamp};

/// How soon the ledger is read again while somebody waits, in case another engine wrote; it doubles
/// while nothing changes.
const FIRST_LOOK: Span = Span::secs(1);
/// How late at most.
const LAST_LOOK: Span = Span::secs(30);

/// What runs and hosts tell the ledger, beside what they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// An engine drives a run on: what the run has is its own now.
    Adopted {
        /// The run.
        run: RunId,
        /// The epoch of its new writer.
        epoch: u64,
    },
    /// A step does not want to start any more.
    Withdrawn {
        /// The step.
        claim: Claim,
        /// The epoch of the run's writer.
        epoch: u64,
    },
    /// A run gives back.
    Released {
        /// The run.
        run: RunId,
        /// For what it had permits.
        units: Vec<Unit>,
        /// The epoch of the run's writer.
        epoch: u64,
    },
    /// A person gives back for a run.
    Forced {
        /// The run.
        run: RunId,
        /// Who.
        by: Principal,
        /// How they know that nothing is under way.
        reason: String,
    },
}

/// How a step that asked stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The step's place in its plan.
    pub step: u32,
    /// What it asked for.
    pub claim: Claim,
    /// Why it waits; none if it may start.
    pub waits: Option<Vec<Reason>>,
}

/// What a run tells its engine's desk once something of it is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// What it says.
    pub said: Vec<Said>,
    /// Steps that ask.
    pub asks: Vec<(u32, Request)>,
}

/// A step that waits.
#[derive(Debug)]
struct Waits {
    step: u32,
    request: Request,
    /// Whether it knows why.
    told: bool,
    /// Whether it knows that its writer is fenced.
    fenced: bool,
}

/// What one engine has to do with the ledger of permits.
#[derive(Debug)]
pub struct Desk {
    limits: Arc<Limits>,
    engine: String,
    waiting: BTreeMap<Claim, Waits>,
    /// What is to become durable.
    said: Vec<Said>,
    configured: bool,
    /// When the ledger is read again, and how long after the time before.
    look: (Timestamp, Span),
    /// Whether the ledger could not be read as it was written when it was last looked at.
    damaged: bool,
}

impl Desk {
    /// The desk of `engine`, which is called like no other, and knows these limits.
    pub fn new(limits: Arc<Limits>, engine: String) -> Self {
        let (waiting, said) = (BTreeMap::new(), Vec::new());
        let look = (Timestamp::default(), FIRST_LOOK);
        Self { limits, engine, waiting, said, configured: false, look, damaged: false }
    }

    /// A step asks, at `now`.
    pub fn ask(&mut self, step: u32, request: Request, now: Timestamp) {
        self.look = (now.plus(FIRST_LOOK), FIRST_LOOK);
        let waits = Waits { step, request, told: false, fenced: false };
        self.waiting.insert(waits.request.claim.clone(), waits);
    }

    /// Somebody says something.
    pub fn say(&mut self, said: Said) {
        if let Said::Withdrawn { claim, .. } = &said {
            self.waiting.remove(claim);
        }
        self.said.push(said);
    }

    /// Those who asked and whom `gone` says nobody can tell anything any more ask no more.
    pub fn leave(&mut self, gone: impl Fn(&Claim) -> bool) {
        let gone = self.waiting.extract_if(.., |claim, _| gone(claim));
        let withdrawn =
            gone.map(|(claim, waits)| Said::Withdrawn { claim, epoch: waits.request.epoch });
        self.said.extend(withdrawn);
    }

    /// When to read the ledger again, in case another engine wrote; never, while nobody waits.
    pub fn next_look(&self) -> Option<Timestamp> {
        (!self.waiting.is_empty()).then_some(self.look.0)
    }

    /// Another engine has written.
    pub const fn news(&mut self) {
        self.look.1 = FIRST_LOOK;
    }

    /// Decides at `now` what follows from all that was said and asked, folding each event into `ledger`.
    /// Of runs that are `finished` everything is taken back: whoever drove them crashed just then.
    ///
    /// Nothing counts before it is durable: [`Desk::durable`] is to be called then. If it cannot be made
    /// durable, the ledger has to be read again, and all decided anew.
    pub fn decide(
        &mut self,
        ledger: &mut Ledger,
        now: Timestamp,
        finished: &BTreeSet<RunId>,
    ) -> Vec<LedgerEvent> {
        let mut events = Vec::new();
        if !self.configured && *ledger.limits() != *self.limits {
            let limits = (*self.limits).clone();
            note(ledger, now, LedgerEvent::Configured { limits }, &mut events);
        }
        for event in leftovers(ledger, finished) {
            note(ledger, now, event, &mut events);
        }
        let said: Vec<_> = self.said.iter().filter_map(|said| self.entry(ledger, said)).collect();
        for event in said {
            note(ledger, now, event, &mut events);
        }
        let queued: BTreeSet<&Claim> = ledger.queue().map(|r| &r.claim).collect();
        // What a fenced writer asked for nobody would give back.
        let fenced =
            |waits: &Waits| ledger.is_fenced(&waits.request.claim.run, waits.request.epoch);
        let mine = self.waiting.iter();
        let mine = mine.filter(|(claim, waits)| !queued.contains(claim) && !fenced(waits));
        let mine =
            mine.filter_map(|(claim, waits)| match ledger.standing(claim, &waits.request.wants) {
                Standing::Unknown => {
                    Some(LedgerEvent::Requested { request: waits.request.clone() })
                }
                Standing::Offered => Some(LedgerEvent::Taken { claim: claim.clone() }),
                Standing::Waiting | Standing::Granted => None,
            });
        for event in mine.collect::<Vec<_>>() {
            note(ledger, now, event, &mut events);
        }
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::GrantNobody)
            && !events.iter().any(|event| matches!(event, LedgerEvent::Requested { .. }))
        {
            return events;
        }
        events.extend(grants(ledger, now, &self.engine));
        events
    }

    /// What something that was said leads to as the ledger stands. Nothing, if that happened already.
    fn entry(&self, ledger: &Ledger, said: &Said) -> Option<LedgerEvent> {
        match said {
            Said::Adopted { run, epoch } => {
                let permits = ledger.permits().iter().any(|p| p.run == *run && p.epoch < *epoch);
                let waits = ledger.queue().any(|r| r.claim.run == *run && r.epoch < *epoch);
                let news = *epoch > 1 && !ledger.is_fenced(run, epoch.saturating_sub(1));
                let (run, epoch, engine) = (run.clone(), *epoch, self.engine.clone());
                (permits || waits || news).then_some(LedgerEvent::Adopted { run, epoch, engine })
            }
            Said::Withdrawn { claim, epoch } => {
                let waits = ledger.queue().any(|r| r.claim == *claim && r.epoch <= *epoch);
                let event = LedgerEvent::Withdrawn { claim: claim.clone(), epoch: *epoch };
                waits.then_some(event)
            }
            Said::Released { run, units, epoch } => {
                let has =
                    |unit: &&Unit| ledger.permit(run, unit).is_some_and(|p| p.epoch <= *epoch);
                let units: Vec<Unit> = units.iter().filter(has).cloned().collect();
                let (run, epoch, why) = (run.clone(), *epoch, "over".to_owned());
                (!units.is_empty()).then_some(LedgerEvent::Released { run, units, epoch, why })
            }
            Said::Forced { run, by, reason } => {
                let has = ledger.permits().iter().any(|permit| permit.run == *run);
                let (run, by, reason) = (run.clone(), by.clone(), reason.clone());
                has.then_some(LedgerEvent::ForceReleased { run, by, reason })
            }
        }
    }

    /// The ledger cannot be read as it was written. What puts something back goes on without it, for it
    /// must never be held; all else waits, and is told why. What was said is kept for the ledger that is
    /// restored or begun anew. Returns whom to tell what.
    pub fn damaged(&mut self, detail: &str, now: Timestamp) -> Vec<Verdict> {
        self.look = (now.plus(LAST_LOOK), LAST_LOOK);
        let first = !std::mem::replace(&mut self.damaged, true);
        let mut verdicts = Vec::new();
        self.waiting.retain(|claim, waits| {
            let step = waits.step;
            let mut tell = |waits| verdicts.push(Verdict { step, claim: claim.clone(), waits });
            if waits.request.class == Class::Rollback {
                tell(None);
                return false;
            }
            if !std::mem::replace(&mut waits.told, true) || first {
                tell(Some(vec![crate::limits::damaged(detail)]));
            }
            true
        });
        verdicts
    }

    /// What was decided is durable: whom to tell what, and whether there is something more to decide.
    pub fn durable(&mut self, ledger: &Ledger, now: Timestamp) -> (Vec<Verdict>, bool) {
        self.configured = true;
        self.said.clear();
        if std::mem::take(&mut self.damaged) {
            self.waiting.values_mut().for_each(|waits| waits.told = false);
        }
        let wait = self.look.1;
        self.look = (now.plus(wait), Span::from(wait.as_duration() * 2).min(LAST_LOOK));
        let queued: BTreeSet<&Claim> = ledger.queue().map(|request| &request.claim).collect();
        let (mut verdicts, mut more) = (Vec::new(), false);
        self.waiting.retain(|claim, waits| {
            let step = waits.step;
            let mut tell = |waits| verdicts.push(Verdict { step, claim: claim.clone(), waits });
            let fenced = ledger.is_fenced(&claim.run, waits.request.epoch);
            if queued.contains(claim) && !fenced {
                #[cfg(planted_bugs)]
                if crate::planted::is(crate::planted::Bug::StartUnpermitted) {
                    tell(None);
                    return false;
                }
                if !std::mem::replace(&mut waits.told, true) {
                    tell(ledger.why_waiting(claim, now).map(|why| why.reasons()));
                }
                return true;
            }
            if fenced {
                // Whoever waits for nothing else would never notice.
                if !std::mem::replace(&mut waits.fenced, true) {
                    let text = format!("another engine drives run `{}`", claim.run);
                    tell(Some(vec![Reason::new("limit/fenced", text, "the other engine")]));
                }
                return true;
            }
            if ledger.standing(claim, &waits.request.wants) != Standing::Granted {
                more = true; // it was offered, or the offer has lapsed
                return true;
            }
            tell(None);
            false
        });
        (verdicts, more)
    }
}

fn note(ledger: &mut Ledger, now: Timestamp, event: LedgerEvent, events: &mut Vec<LedgerEvent>) {
    match ledger.evolve(now, &event) {
        Ok(()) => events.push(event),
        Err(illegal) => tracing::debug!(%illegal, "the ledger of permits went another way"),
    }
}

/// What runs that are over left behind.
fn leftovers(ledger: &Ledger, finished: &BTreeSet<RunId>) -> Vec<LedgerEvent> {
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::LeakPermit) {
        return Vec::new();
    }
    let permits = ledger.permits().iter().filter(|permit| finished.contains(&permit.run));
    let released = permits.map(|permit| LedgerEvent::Released {
        run: permit.run.clone(),
        units: vec![permit.unit.clone()],
        epoch: permit.epoch,
        why: "the run is over".to_owned(),
    });
    let over = ledger.queue().filter(|request| finished.contains(&request.claim.run));
    let withdrawn = over.map(|request| LedgerEvent::Withdrawn {
        claim: request.claim.clone(),
        epoch: request.epoch,
    });
    released.chain(withdrawn).collect()
}

/// What a run wants once `events` are durable and folded into `state`. `engine` is what its engine is
/// called in the ledger, `epoch` that of the run's writer.
pub fn wishes(
    permits: &mut Permits,
    state: &RunState,
    events: &[Event],
    (engine, epoch): (&str, u64),
) -> Wishes {
    for event in events {
        permits.note(state, event);
    }
    let settlement = permits.settle(state);
    let mut wishes = Wishes::default();
    if !settlement.release.is_empty() {
        let (run, units) = (state.run().clone(), settlement.release);
        wishes.said.push(Said::Released { run, units, epoch });
    }
    let withdrawn = settlement.withdraw.into_iter();
    wishes.said.extend(withdrawn.map(|claim| Said::Withdrawn { claim, epoch }));
    for step in settlement.ask {
        let (claim, team, class) = permits.claim(state, step);
        let (engine, wants) = (engine.to_owned(), permits.wants(state, step));
        wishes.asks.push((step, Request { claim, epoch, engine, team, class, wants }));
    }
    wishes
}

/// What a run must have as its own records say, as requests of its writer's, for a ledger that does not
/// know of it.
pub fn in_use(permits: &Permits, state: &RunState, (engine, epoch): (&str, u64)) -> Vec<Request> {
    let mut requests: BTreeMap<u32, Request> = BTreeMap::new();
    for (step, want) in permits.in_use(state) {
        let request = requests.entry(step).or_insert_with(|| {
            let (claim, team, class) = permits.claim(state, step);
            Request { claim, epoch, engine: engine.to_owned(), team, class, wants: Vec::new() }
        });
        request.wants.push(want);
    }
    requests.into_values().collect()
}

/// The ledger gave a run's driver `units`, which it had before that driver.
pub fn adopted(permits: &mut Permits, state: &RunState, units: Vec<Unit>) {
    for unit in units {
        permits.has(unit);
    }
    permits.restart(state);
}

/// A run hears how a step of its own stands. Returns whether the run has to decide on it.
pub fn hears(permits: &mut Permits, state: &RunState, verdict: Verdict) -> bool {
    let Verdict { step, claim, waits } = verdict;
    if let Some(reasons) = waits {
        return permits.waits(step, &claim, reasons);
    }
    permits.granted(state, step, &claim);
    true
}
