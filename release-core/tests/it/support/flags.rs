//! A world with feature flags in it, whose calls can be made to go wrong one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::flags::{FlagKey, FlagReading, FlagState};
use release_core::journal::Journal;
use release_core::model::{Canary, CanaryStep, Definition, FlagChange, Span, Strategy};
use release_core::plan::{Action, FlagDeed, FlagStep, Plan};
use release_core::port::{
    AuthorizedCommand, BindingError, EffectError, Evidence, KillOrder, Observed, Performer,
};

use super::samples::{id, one_service};
use super::world::{TokioClock, faithful_to};

/// How one performance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Faithful,
    /// Nothing happens, for good.
    Refuse,
    /// It takes effect, and nobody hears of it.
    ApplyThenHang,
    /// It waits until the test lets it go on.
    Hold,
}

type Script = Box<dyn Fn(usize) -> Deed + Send + Sync>;

/// Flags, and everything else as it is asked for.
pub(crate) struct FlagWorld {
    script: Script,
    seen: Mutex<Seen>,
    pub(crate) gate: tokio::sync::Semaphore,
}

#[derive(Debug, Default)]
struct Seen {
    flags: BTreeMap<FlagKey, (FlagState, u64, Option<String>)>,
    /// What was performed: the step, and what became so by it.
    done: Vec<(String, String)>,
    calls: usize,
    applied: std::collections::BTreeSet<String>,
}

impl std::fmt::Debug for FlagWorld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlagWorld").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl FlagWorld {
    pub(crate) fn new(script: impl Fn(usize) -> Deed + Send + Sync + 'static) -> Arc<Self> {
        let flags = before().into_iter().map(|(flag, state)| (flag, (state, 1, None)));
        let seen = Mutex::new(Seen { flags: flags.collect(), ..Seen::default() });
        let gate = tokio::sync::Semaphore::new(0);
        Arc::new(Self { script: Box::new(script), seen, gate })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn flags(&self) -> BTreeMap<FlagKey, FlagState> {
        self.seen().flags.iter().map(|(flag, (state, ..))| (flag.clone(), *state)).collect()
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen().calls
    }

    /// What was performed, in order.
    pub(crate) fn done(&self) -> Vec<(String, String)> {
        self.seen().done.clone()
    }

    /// Somebody sets a flag by hand.
    pub(crate) fn by_hand(&self, flag: &str, state: FlagState) {
        let mut seen = self.seen();
        let is = seen.flags.get_mut(&id::<FlagKey>(flag)).unwrap();
        *is = (state, is.1 + 1, None);
    }

    fn reading(&self, step: &FlagStep) -> FlagReading {
        let (state, revision, killed) = self.seen().flags[&step.flag].clone();
        let (environment, flag) = (step.environment.clone(), step.flag.clone());
        FlagReading { environment, flag, state, revision, killed }
    }

    fn apply(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        let action = &command.step().action;
        let mut seen = self.seen();
        seen.applied.insert(command.key());
        seen.done.push((command.step().id.to_string(), action.to_string()));
        drop(seen);
        let Action::Flag(step) = action else { return Ok(faithful_to(command)) };
        if let Some(state) = step.wanted() {
            let mut seen = self.seen();
            let is = seen.flags.get_mut(&step.flag).unwrap();
            if is.2.is_none() && is.0 != state {
                *is = (state, is.1 + 1, None);
            }
        } else if step.deed != FlagDeed::Read {
            return Err(EffectError::permanent("invalid", "nothing was recorded"));
        }
        Ok(Evidence::Flag(self.reading(step)))
    }
}

#[async_trait]
impl Performer for FlagWorld {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }

    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        let call = {
            let mut seen = self.seen();
            seen.calls += 1;
            seen.calls - 1
        };
        match (self.script)(call) {
            Deed::Faithful => self.apply(command),
            Deed::Refuse => Err(EffectError::permanent("no", "never")),
            Deed::ApplyThenHang => {
                self.apply(command)?;
                std::future::pending().await
            }
            Deed::Hold => {
                self.gate.acquire().await.unwrap().forget();
                self.apply(command)
            }
        }
    }

    async fn observe(&self, command: &AuthorizedCommand) -> Result<Observed, EffectError> {
        let action = &command.step().action;
        let Action::Flag(step) = action else {
            let applied = self.seen().applied.contains(&command.key());
            return Ok(if applied {
                Observed::Applied(faithful_to(command))
            } else {
                Observed::NotApplied
            });
        };
        let reading = self.reading(step);
        let is_so = step.wanted() == Some(reading.state)
            || step.wanted().is_some() && reading.killed.is_some();
        Ok(if is_so { Observed::Applied(Evidence::Flag(reading)) } else { Observed::NotApplied })
    }

    async fn kill(&self, order: &KillOrder) -> Result<FlagReading, EffectError> {
        let mut seen = self.seen();
        let Some(is) = seen.flags.get_mut(order.flag()) else {
            return Err(EffectError::permanent("not_found", "there is no such flag"));
        };
        if is.2.is_none() {
            let why = format!("{}: {}", order.by(), order.reason());
            *is = (FlagState::Off, is.1 + 1, Some(why));
        }
        drop(seen);
        let step = FlagStep::read(order.environment().clone(), order.flag().clone());
        Ok(self.reading(&step))
    }
}

/// How the flags stand before a run.
pub(crate) fn before() -> BTreeMap<FlagKey, FlagState> {
    BTreeMap::from([
        (id("dual-write"), FlagState::Share { percent: 30 }),
        (id("newCheckout"), FlagState::Off),
        (id("old-banner"), FlagState::On),
    ])
}

/// One service, with a flag before its rollout and two after it.
pub(crate) fn release() -> Definition {
    let steps = vec![CanaryStep::new(50, Span::secs(60))];
    let canary = Canary::new(steps);
    let mut definition = one_service(Strategy::Canary(canary));
    let stage = definition.stages.remove(0);
    let stage = stage
        .flag(FlagChange::new(id("dual-write"), vec![100]).before())
        .flag(FlagChange::new(id("newCheckout"), vec![10, 100]).bake(Span::secs(600)))
        .flag(FlagChange::new(id("old-banner"), vec![0]).of(id("api")));
    definition.stages.push(stage);
    definition
}

pub(crate) fn engine(journal: &Arc<dyn Journal>, world: &Arc<FlagWorld>, name: &str) -> Engine {
    let performer: Arc<dyn Performer> = Arc::<FlagWorld>::clone(world);
    Engine::builder(Arc::clone(journal), performer).clock(TokioClock::new()).name(name).build()
}
