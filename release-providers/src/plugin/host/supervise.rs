//! What becomes of a plugin over its starts and ends.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::runtime::Handle as Runtime;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::keep::keep;
use super::launch::{Launched, launch};
use super::leave::Left;
use super::process::{Ending, Exit, Process, look, watch};
use super::record::Record;
use super::text::Redactor;
use super::{
    Host, PluginError, PluginEvent, PluginFault, PluginProblem, PluginRecord, PluginSpec,
    PluginState,
};
use crate::error::chain;
use crate::kind::Manifest;
use crate::sync::lock;

/// Whoever holds the plugin. Dropped, the plugin is killed.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.close();
    }
}

pub(super) struct Inner {
    pub(super) host: Host,
    pub(super) spec: PluginSpec,
    /// As it was at the first start.
    manifest: OnceLock<Manifest>,
    pub(super) places: Semaphore,
    pub(super) tasks: TaskTracker,
    /// Where it was started.
    pub(super) runtime: Runtime,
    /// Calls whose callers are gone.
    pub(super) left: Left,
    /// Knows the secrets of the specification, the token of every start, and all secrets that were leased.
    pub(super) redactor: Redactor,
    /// Held while it is started.
    starting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inner({:?}, {:?})", self.spec, self.state())
    }
}

struct State {
    slot: Slot,
    record: Record,
    /// How often it was tried to start it.
    starts: u64,
    /// Why it could not be the last time.
    failure: Option<Arc<PluginProblem>>,
}

enum Slot {
    Down,
    Up(Arc<Process>),
    Quarantined(u32),
    /// For good; with the process that is ending.
    Stopped(Option<Arc<Process>>),
}

impl Inner {
    pub(super) fn new(host: Host, spec: PluginSpec) -> Arc<Self> {
        let places = usize::try_from(spec.calls.in_flight.max(1)).unwrap_or(usize::MAX);
        let state = State {
            slot: Slot::Down,
            record: Record::new(spec.restarts),
            starts: 0,
            failure: None,
        };
        Arc::new(Self {
            manifest: OnceLock::new(),
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            tasks: TaskTracker::new(),
            runtime: Runtime::current(),
            left: Left::default(),
            redactor: Redactor::new(
                host.redactor.clone(),
                spec.secrets().iter().map(String::as_str),
            ),
            starting: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
            host,
            spec,
        })
    }

    pub(super) fn manifest(&self) -> Option<&Manifest> {
        self.manifest.get()
    }

    /// A text of the plugin, fit for errors and events.
    pub(super) fn clean(&self, text: &str) -> String {
        self.redactor.clean(text)
    }

    /// What is wrong with it, for those outside.
    pub(super) fn error(&self, problem: impl Into<Arc<PluginProblem>>) -> PluginError {
        PluginError::new(&self.spec.name, problem)
    }

    fn process(&self) -> Option<Arc<Process>> {
        match &lock(&self.state).slot {
            Slot::Up(process) => Some(Arc::clone(process)),
            Slot::Down | Slot::Quarantined(_) | Slot::Stopped(_) => None,
        }
    }

    pub(super) fn state(&self) -> PluginState {
        match &lock(&self.state).slot {
            Slot::Down => PluginState::Restarting,
            Slot::Up(_) => PluginState::Running,
            Slot::Quarantined(_) => PluginState::Quarantined,
            Slot::Stopped(_) => PluginState::Stopped,
        }
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.process().map(|process| process.leader().as_raw_nonzero().get())
    }

    pub(super) fn tell(&self, event: PluginEvent) {
        let (at, plugin) = (self.host.clock.now(), self.spec.name.clone());
        tracing::info!(%plugin, ?event, "plugin");
        if let Some(events) = &self.host.events {
            let record = PluginRecord { at, plugin, event };
            // Whoever takes notes of plugins does not hold up their end.
            let told = catch_unwind(AssertUnwindSafe(|| events.on_event(&record)));
            if told.is_err() {
                tracing::error!(?record, "whoever takes note of plugins panicked");
            }
        }
    }

    /// Starts it for the first time.
    pub(super) async fn start(self: &Arc<Self>) -> Result<(), PluginProblem> {
        let _alone = self.starting.lock().await;
        self.try_start().await.map(drop)
    }

    /// The plugin as it runs; started if it does not, after the pause that is due.
    pub(super) async fn running(self: &Arc<Self>) -> Result<Arc<Process>, Arc<PluginProblem>> {
        let seen = {
            let state = lock(&self.state);
            match state.up() {
                Ok(Some(process)) => return Ok(process),
                Ok(None) => state.starts,
                Err(error) => return Err(Arc::new(error)),
            }
        };
        // In a task of its own: a caller that cannot wait so long does not undo what others wait for.
        let inner = Arc::clone(self);
        let started = self.tasks.spawn(async move { inner.restart(seen).await }).await;
        started.unwrap_or_else(|_| Err(Arc::new(PluginProblem::Stopped))) // the runtime is shut down
    }

    async fn restart(self: Arc<Self>, seen: u64) -> Result<Arc<Process>, Arc<PluginProblem>> {
        let _alone = self.starting.lock().await;
        let not_before = {
            let state = lock(&self.state);
            match (state.up(), &state.failure) {
                (Ok(Some(process)), _) => return Ok(process),
                (Err(error), _) => return Err(Arc::new(error)),
                // Somebody else tried in the meantime.
                (Ok(None), Some(failure)) if state.starts > seen => {
                    return Err(Arc::clone(failure));
                }
                (Ok(None), _) => state.record.not_before(),
            }
        };
        if let Some(at) = not_before {
            self.host.clock.sleep_until(at).await;
        }
        let started = self.try_start().await.map_err(Arc::new);
        lock(&self.state).failure = started.as_ref().err().map(Arc::clone);
        started
    }

    /// Starts it now. Only for whoever is alone.
    async fn try_start(self: &Arc<Self>) -> Result<Arc<Process>, PluginProblem> {
        let number = {
            let mut state = lock(&self.state);
            state.up()?;
            state.starts = state.starts.saturating_add(1);
            state.starts
        };
        let launched = match self.host.revocations.of(self.spec.digest) {
            Some(reason) => Err(PluginProblem::Revoked { path: self.spec.path.clone(), reason }),
            None => launch(&self.host, &self.spec, &self.redactor, &self.tasks).await,
        };
        match launched.and_then(|launched| self.install(number, launched)) {
            Ok(process) => Ok(process),
            Err(error) => {
                let now = self.host.clock.now();
                lock(&self.state).record.ended(now);
                self.tell(PluginEvent::StartFailed { error: self.clean(&chain(&error)) });
                // An outage of the host's own store is no fault of the plugin.
                if !matches!(error, PluginProblem::Secret(_)) {
                    self.count_fault();
                }
                Err(error)
            }
        }
    }

    /// Takes what was started into service. What is refused is killed when it is dropped.
    fn install(
        self: &Arc<Self>,
        number: u64,
        launched: Launched,
    ) -> Result<Arc<Process>, PluginProblem> {
        if *self.manifest.get_or_init(|| launched.manifest.clone()) != launched.manifest {
            return Err(PluginProblem::OtherManifest);
        }
        let exit = Exit::of(launched.group.leader()).map_err(|source| {
            let what = "watch the process of the plugin";
            PluginProblem::System { what, source }
        })?;
        let pid = launched.group.leader().as_raw_nonzero().get();
        let keeper = Arc::clone(&launched.output);
        let Launched { group, line, output, stdin, binary, .. } = launched;
        let process = Arc::new(Process::new(number, group, line, output, stdin, binary));
        {
            let mut state = lock(&self.state);
            state.up()?;
            state.slot = Slot::Up(Arc::clone(&process));
        }
        let stdout = self.tasks.spawn(async move { keeper.keep("stdout", launched.stdout).await });
        let watched = (Arc::clone(self), Arc::clone(&process));
        self.tasks.spawn(watch(
            watched.0,
            watched.1,
            exit,
            launched.child,
            [stdout, launched.stderr],
        ));
        self.tasks.spawn(look(Arc::clone(self), Arc::clone(&process)));
        self.tasks.spawn(keep(Arc::clone(self), Arc::clone(&process), launched.leases));
        let digest = self.spec.digest;
        let manifest = Box::new(launched.manifest);
        self.tell(PluginEvent::Loaded { digest, manifest, pid });
        Ok(process)
    }

    /// The process has ended.
    pub(super) fn ended(&self, process: &Arc<Process>, exit: &str) {
        let ending = process.ending();
        {
            let mut state = lock(&self.state);
            if matches!(&state.slot, Slot::Up(up) if Arc::ptr_eq(up, process)) {
                state.slot = Slot::Down;
            }
            if !matches!(ending, Some(Ending::Asked)) {
                state.record.ended(self.host.clock.now());
            }
        }
        match &ending {
            None => {
                let (exit, log) = (exit.to_owned(), process.output.tail());
                self.tell(PluginEvent::Crashed { exit, log });
                self.count_fault();
            }
            Some(Ending::Hung(operation)) => {
                self.tell(PluginEvent::Hung { operation: operation.clone() });
                self.count_fault();
            }
            Some(Ending::Fault(fault)) => self.note_fault(fault),
            Some(Ending::Asked) => self.tell(PluginEvent::Stopped { exit: exit.to_owned() }),
            Some(Ending::Quarantine) => {}
        }
    }

    /// It broke the contract or its limits.
    pub(super) fn note_fault(&self, fault: &PluginFault) {
        self.tell(PluginEvent::Fault { fault: fault.clone() });
        self.count_fault();
    }

    /// One fault more, which may be one too many.
    fn count_fault(&self) {
        let now = self.host.clock.now();
        let (faults, process) = {
            let mut state = lock(&self.state);
            let Some(faults) = state.record.fault(now) else { return };
            if matches!(state.slot, Slot::Quarantined(_) | Slot::Stopped(_)) {
                return;
            }
            let before = std::mem::replace(&mut state.slot, Slot::Quarantined(faults));
            (faults, if let Slot::Up(process) = before { Some(process) } else { None })
        };
        if let Some(process) = process {
            process.kill(Ending::Quarantine);
        }
        self.tell(PluginEvent::Quarantined { faults });
    }

    pub(super) fn succeeded(&self) {
        lock(&self.state).record.succeeded();
    }

    pub(super) fn release(&self) -> bool {
        {
            let mut state = lock(&self.state);
            if !matches!(state.slot, Slot::Quarantined(_)) {
                return false;
            }
            state.slot = Slot::Down;
            state.record.forgive();
            state.failure = None;
        }
        self.tell(PluginEvent::Released);
        true
    }

    /// No more starts; gives what is still ending.
    fn stopping(&self) -> Option<Arc<Process>> {
        let mut state = lock(&self.state);
        let process = match &state.slot {
            Slot::Up(process) => Some(Arc::clone(process)),
            Slot::Stopped(process) => process.as_ref().map(Arc::clone),
            Slot::Down | Slot::Quarantined(_) => None,
        };
        state.slot = Slot::Stopped(process.as_ref().map(Arc::clone));
        process
    }

    pub(super) async fn shutdown(&self) {
        if let Some(process) = self.stopping() {
            process.stop(self).await;
            let until = self.host.clock.now().plus(self.spec.stop_grace);
            tokio::select! {
                () = process.released.cancelled() => {}
                () = self.host.clock.sleep_until(until) => {} // the store hangs, and leases run out
            }
        }
    }

    fn close(&self) {
        if let Some(process) = self.stopping() {
            process.kill(Ending::Asked);
        }
    }
}

impl State {
    /// The process that runs, if one does; or why none ever will.
    fn up(&self) -> Result<Option<Arc<Process>>, PluginProblem> {
        match &self.slot {
            Slot::Up(process) => Ok(Some(Arc::clone(process))),
            Slot::Down => Ok(None),
            Slot::Quarantined(faults) => Err(PluginProblem::Quarantined { faults: *faults }),
            Slot::Stopped(_) => Err(PluginProblem::Stopped),
        }
    }
}
