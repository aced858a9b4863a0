//! One state of a run and of the world, and everything that can happen next.

use std::rc::Rc;

use release_core::ids::{PrincipalId, RunId};
use release_core::model::{Gate, Principal};
use release_core::plan::{Action, FrozenPlan};
use release_core::port::{EffectError, MAX_HEALTH_AGE, Observed, PermitAll};
use release_core::run::{
    Active, Command, Directive, EffectOutcome, Event, Fact, Input, Mode, Phase, RunState, Turn,
    Wait, WakeUp, turn,
};
use release_core::time::Timestamp;

use super::breach::Breach;
use super::world::World;

/// Most events of one turn.
const MOST: usize = 10_000;

/// How an effect under way goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Good,
    Refused,
    Busy,
    /// Nobody hears of it, and it took effect, or did not.
    Lost {
        applied: bool,
    },
    /// A measurement beyond its limit.
    Bad,
}

/// What happened, and before it.
#[derive(Debug)]
struct Happened {
    what: String,
    before: Option<Rc<Self>>,
}

#[derive(Clone)]
pub(super) struct Node {
    pub(super) state: RunState,
    pub(super) world: World,
    /// What broke on the way here.
    pub(super) breach: Option<Breach>,
    missing: u32,
    now: Timestamp,
    cancelled: bool,
    /// Whether the old versions have died already, be it that they were mended since.
    died: bool,
    happened: Option<Rc<Happened>>,
}

/// What tells two nodes apart: neither the time nor the number of attempts, by which nothing is decided.
pub(super) type Key = (Vec<u8>, String, Vec<(u32, bool, u32, [u32; 4], String)>, World, [bool; 2]);

impl Node {
    /// A run that has just begun.
    pub(super) fn begin(plan: FrozenPlan, world: World, missing: u32) -> Result<Self, String> {
        let now = Timestamp::from_micros(1_767_600_000_000_000);
        let event = Event::RunCreated {
            plan: plan.digest(),
            definition: None,
            supersedes: None,
            policy: None,
            requester: person("requester")?,
        };
        let id = RunId::new("explored").map_err(|error| error.to_string())?;
        let state = RunState::create(id, plan, &Fact { at: now, event });
        let state = state.map_err(|error| error.to_string())?;
        let (cancelled, died, happened, breach) = (false, false, None, None);
        let mut node = Self { state, world, breach, missing, now, cancelled, died, happened };
        node.input(None);
        Ok(node)
    }

    pub(super) fn key(&self) -> Key {
        let statuses = (0..).map_while(|index| self.state.status(index)).map(|s| s as u8).collect();
        let phase = match self.state.phase() {
            Phase::Forward => "forward".to_owned(),
            Phase::Stopping(cause) => format!("stopping {cause}"),
            Phase::RollingBack(cause) => format!("rolling back {cause}"),
            Phase::Abandoning { .. } => "abandoning".to_owned(),
            Phase::Finished(outcome) => outcome.to_string(),
        };
        // What goes on in the background is looked at for as long as one waits: that one look was good is all that counts, and
        // what is left of a bake tells one look from the next.
        let goes_on =
            |index: u32| self.state.plan().get(index).is_some_and(|step| step.action.goes_on());
        let all = self.state.all_active();
        let watched = all.iter().any(|(index, _)| goes_on(*index));
        let active = all.into_iter().map(|(index, active)| {
            let m = &active.measured;
            let good = if goes_on(index) { m.good.min(1) } else { m.good };
            let measured = [good, m.bad, m.inconclusive, m.undetermined];
            let waits = match &active.wait {
                Wait::Bake { until } if watched => format!("bake {}", until.since(self.now)),
                _ => waits(active),
            };
            (index, active.attempt > 0, active.failures, measured, waits)
        });
        (statuses, phase, active.collect(), self.world.clone(), [self.cancelled, self.died])
    }

    /// What happened so far, first things first.
    pub(super) fn course(&self) -> Vec<String> {
        let (mut course, mut at) = (Vec::new(), self.happened.as_deref());
        while let Some(happened) = at {
            course.push(happened.what.clone());
            at = happened.before.as_deref();
        }
        course.reverse();
        course
    }

    fn after(&self, what: String) -> Self {
        let mut next = self.clone();
        next.happened = Some(Rc::new(Happened { what, before: self.happened.clone() }));
        next
    }

    /// Whether the run took the input.
    fn input(&mut self, input: Option<&Input>) -> bool {
        let decision = Turn::new(self.now, 7, &PermitAll);
        turn(&mut self.state, input, &decision, MOST).is_ok()
    }

    pub(super) fn under_way(&self) -> Vec<(u32, u32, Mode)> {
        let active = self.state.all_active().into_iter();
        active
            .filter_map(|(index, active)| match active.wait {
                Wait::Outcome { mode, .. } => Some((index, active.attempt, mode)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn end(&self, (step, attempt, mode): (u32, u32, Mode), end: End) -> Option<Self> {
        let found = self.state.plan().get(step)?;
        let action = found.action.clone();
        let mut next = self.after(format!("{}: {end:?}", found.id));
        let changes = action.mutates() && mode == Mode::Perform;
        let looks = self.looks(step);
        let outcome = match end {
            End::Good => {
                if changes {
                    next.change(&action);
                }
                next.world.look(&action);
                Ok(next.world.observe(&action, looks, self.now, true))
            }
            End::Bad if matches!(action, Action::Analyze { .. }) => {
                Ok(next.world.observe(&action, looks, self.now, false))
            }
            End::Refused if mode == Mode::Perform => Err(EffectError::permanent("no", "never")),
            End::Busy if mode == Mode::Perform => Err(EffectError::transient("busy", "later")),
            End::Lost { applied } if !applied || changes => {
                if applied {
                    next.change(&action);
                }
                Err(EffectError::unknown("lost", "no answer"))
            }
            _ => return None,
        };
        let outcome = match mode {
            Mode::Perform => EffectOutcome::Performed(outcome),
            Mode::Look => EffectOutcome::Looked(outcome.map(|evidence| {
                if next.world.is_as(&action) {
                    Observed::Applied(evidence)
                } else {
                    Observed::NotApplied
                }
            })),
        };
        next.input(Some(&Input::Outcome { step, attempt, outcome })).then_some(next)
    }

    fn change(&mut self, action: &Action) {
        // On the way back nobody dies any more, so that whoever looks there sees what is.
        let back = matches!(self.state.phase(), Phase::RollingBack(_));
        let revived = || self.world.revived(action).filter(|_| back);
        self.breach = self.world.unready(action, self.missing).or_else(revived);
        self.world.apply(action);
        if matches!(action, Action::Custom { .. }) {
            self.world.age();
        }
    }

    /// How often a step has looked already.
    fn looks(&self, step: u32) -> u32 {
        self.state.active(step).map_or(0, |active| {
            let m = &active.measured;
            m.good + m.bad + m.inconclusive + m.undetermined
        })
    }

    pub(super) fn command(&self, command: Command, by: &str) -> Option<Self> {
        let mut next = self.after(format!("{} by {by}", command.name()));
        let directive = Directive::new(command, person(by).ok()?, "because");
        next.input(Some(&Input::Directive(directive))).then_some(next)
    }

    /// Everything that can happen next. In a rollback, effects fail in passing only: one that fails for good
    /// waits for a person, and never is called one.
    pub(super) fn successors(&self, faults: bool, dies: bool) -> Vec<Self> {
        let mut next = Vec::new();
        let back = matches!(self.state.phase(), Phase::RollingBack(_));
        for effect in self.under_way() {
            let mut ends = vec![End::Good];
            if faults {
                ends.extend([End::Lost { applied: true }, End::Lost { applied: false }, End::Busy]);
            }
            if faults && !back {
                ends.extend([End::Refused, End::Bad]);
            }
            next.extend(ends.into_iter().filter_map(|end| self.end(effect, end)));
        }
        if !self.cancelled && *self.state.phase() == Phase::Forward {
            next.extend(self.command(Command::Cancel, "bob").map(|mut cancelled| {
                cancelled.cancelled = true;
                cancelled
            }));
        }
        if dies && !self.died && *self.state.phase() == Phase::Forward {
            let mut dead = self.after("the old versions die".into());
            dead.died = true;
            next.extend(dead.world.dies(true).then_some(dead));
        }
        if faults && !self.under_way().is_empty() {
            let mut crashed = self.after("a crash, and another engine".into());
            crashed.input(Some(&Input::TakeOver { engine: "heir".into() }));
            next.push(crashed);
        }
        if self.under_way().is_empty()
            && let Some(at) = self.state.next_wakeup()
        {
            let mut later = self.after("time passes".into());
            later.now = later.now.max(at);
            if later.now.since(self.now).as_duration() >= MAX_HEALTH_AGE.as_duration() / 2 {
                later.world.age();
            }
            later.input(None);
            next.push(later);
        }
        let waiting = self.state.all_active().into_iter();
        next.extend(waiting.filter_map(|(index, active)| self.helped(index, active)));
        next
    }

    /// What a person does for a step that waits for one.
    fn helped(&self, index: u32, active: &Active) -> Option<Self> {
        let step = self.state.plan().get(index)?;
        match &active.wait {
            // Somebody looks and says what is. Whoever is called mends first what is broken.
            Wait::Operator { unknown: true } => {
                let mut mended = self.clone();
                mended.world.dies(false);
                let applied = !step.action.mutates() || mended.world.is_as(&step.action);
                let mut next =
                    mended.command(Command::Reconcile { step: step.id.clone(), applied }, "bob")?;
                next.world.look(&step.action);
                Some(next)
            }
            Wait::Operator { unknown: false } => {
                let mut mended = self.after("somebody mends what is broken".into());
                mended.world.dies(false);
                mended.command(Command::Retry { step: step.id.clone() }, "bob")
            }
            Wait::Blocked(WakeUp::Approval { .. }) => {
                let mut next = self.clone();
                next.world.age();
                for approval in step.gates.iter().filter_map(Gate::approval) {
                    for number in 0..approval.quorum {
                        let approve = Command::Approve { gate: approval.id.clone() };
                        next = next.command(approve, &format!("approver-{number}"))?;
                    }
                }
                Some(next)
            }
            _ => None,
        }
    }
}

/// What a step waits for, without when.
fn waits(active: &Active) -> String {
    match &active.wait {
        Wait::Outcome { mode, .. } => format!("{mode:?}"),
        Wait::Bake { .. } => "bake".into(),
        Wait::Attempt { .. } => "attempt".into(),
        Wait::Measurement { .. } => "measurement".into(),
        Wait::Look { .. } => "look".into(),
        Wait::Blocked(_) => "blocked".into(),
        Wait::Operator { unknown } => format!("operator {unknown}"),
    }
}

fn person(name: &str) -> Result<Principal, String> {
    Ok(Principal::human(PrincipalId::new(name).map_err(|error| error.to_string())?))
}
