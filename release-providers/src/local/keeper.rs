//! Keeps one instance: starts it, waits until it is ready, stops it gently, and sees its end.

use std::io;
use std::sync::Arc;

use release_core::model::Digest;
use release_core::time::{Span, Timestamp};
use rustix::process::Signal;

use super::config::LocalConfig;
use super::deployment::{Deployment, End, Instance};
use super::effects::EffectChange;
use super::fence::Caller;
use super::files::{io_error, tail, write_record};
use super::place::{Place, whole};
use super::platform::Inner;
use super::process::{Exit, Launch, MARKER, Process, kill_stray};
use super::proxy::listen;
use super::record::{FORMAT, InstanceRecord, ProcessId};
use super::samples::Death;
use super::store::open_verified;
use crate::http;
use crate::procfs;
use crate::{ErrorKind, ProviderError};

const START: &str = "deploy.start";
/// The exit code of an instance that found its port taken: `EADDRINUSE`.
const PORT_TAKEN: i32 = 98;
/// How long a killed process may take to vanish before somebody should know.
const KILL_PATIENCE: Span = Span::secs(10);
/// So many looks in a row have to find no connection: a router of many threads may make one just before the last of them knows.
const QUIET: u32 = 2;
/// The most that a health check reads.
const HEALTH_BYTES: usize = 64 * 1024;

/// An instance and all that belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    pub(super) inner: Arc<Inner>,
    pub(super) place: Arc<Place>,
    pub(super) deployment: Arc<Deployment>,
    pub(super) instance: Arc<Instance>,
    /// For whom it was started.
    pub(super) cause: Caller,
}

impl Keeper {
    /// Starts a new instance and keeps it.
    pub(super) async fn start(self) {
        match self.launch().await {
            Ok(process) => self.keep(process).await,
            Err(error) => {
                let reason = error.into_effect_error().message;
                self.finish(End::Unstartable(reason)).await;
            }
        }
    }

    /// Keeps an instance that runs already. Its process has been set.
    pub(super) async fn keep(self, mut process: Process) {
        let stop = self.inner.stop.clone();
        if self.instance.is_ready() {
            self.place.proxy.add(Arc::clone(&self.instance.backend));
        }
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => return, // it lives on; whoever comes next adopts it
            end = self.watch(&mut process) => end,
        };
        self.finish(end).await;
    }

    async fn launch(&self) -> Result<Process, ProviderError> {
        let clock = &self.inner.config.clock;
        let mut tries = 0;
        let process = loop {
            let keeper = self.clone();
            let process = self.inner.blocking(START, move || keeper.launch_blocking()).await?;
            match process {
                // Somebody forked while the file was being written, and has not executed yet.
                Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                    tries += 1;
                    clock.sleep_until(clock.now().plus(Span::millis(20))).await;
                }
                Err(e) => {
                    let text = "the artifact cannot be executed; is it a program for this machine?";
                    return Err(ProviderError::new(ErrorKind::Failed, START, text)
                        .with_context("artifact", self.deployment.digest)
                        .with_source(e));
                }
                Ok(process) => break process,
            }
        };
        self.instance.set_process(process.id.clone());
        self.record().await?;
        self.inner.changed();
        Ok(process)
    }

    /// The intent is written first: should this program die right after the start, the instance is
    /// found by its mark, and its port and version are known.
    fn launch_blocking(&self) -> Result<io::Result<Process>, ProviderError> {
        let paths = &self.inner.paths;
        write_record(START, &paths.instance(self.id()), &self.as_record(None))?;
        let (program, _) = open_verified(paths, self.deployment.digest, START)?;
        let service = &self.deployment.target.service;
        let process = Process::start(
            Launch {
                root: &paths.root,
                id: self.id(),
                service: service.as_str(),
                port: self.instance.backend.address.port(),
                config: &self.inner.config.services.get(service).cloned().unwrap_or_default(),
                log: &paths.log(self.id()),
                program,
            },
            &self.inner.boot,
        );
        if process.is_ok() {
            let digest = self.deployment.digest;
            let change = EffectChange::Started { instance: self.id().to_owned(), digest };
            let (now, target) = (self.inner.config.clock.now(), self.deployment.target.clone());
            self.inner.effects.append(&self.cause.effect(now, target, change))?;
        }
        Ok(process)
    }

    /// Writes down that a process is gone. Whoever wished it away is named, or for whom it ran.
    async fn log_end(&self, end: &End) {
        if self.instance.process().is_none() {
            return;
        }
        let instance = self.id().to_owned();
        let (caller, change) = match end {
            End::Stopped => (self.deployment.wish().caller(), EffectChange::Stopped { instance }),
            End::Exited { .. } | End::Unstartable(_) => {
                (self.cause.clone(), EffectChange::Died { instance })
            }
        };
        let target = &self.deployment.target;
        if let Err(error) = self.inner.log_effect(START, &caller, target, change).await {
            tracing::warn!(%error, instance = self.id(), "its end could not be written down");
        }
    }

    fn id(&self) -> &str {
        &self.instance.backend.id
    }

    fn as_record(&self, process: Option<ProcessId>) -> InstanceRecord {
        InstanceRecord {
            format: FORMAT,
            id: self.id().to_owned(),
            sequence: self.instance.sequence,
            target: self.deployment.target.clone(),
            digest: self.deployment.digest,
            generation: self.instance.generation,
            cause: self.cause.clone(),
            born: self.instance.born,
            port: self.instance.backend.address.port(),
            process,
            ready: self.instance.is_ready(),
        }
    }

    async fn record(&self) -> Result<(), ProviderError> {
        let path = self.inner.paths.instance(self.id());
        let record = self.as_record(self.instance.process());
        self.inner.blocking(START, move || write_record(START, &path, &record)).await
    }

    async fn watch(&self, process: &mut Process) -> End {
        let clock = Arc::clone(&self.inner.config.clock);
        if !self.instance.is_ready() {
            tokio::select! {
                biased;
                exit = process.exited(&clock) => return self.exited(exit).await,
                () = self.instance.stop.cancelled() => return self.stop(process).await,
                () = self.first_ready() => self.ready().await,
            }
        }
        tokio::select! {
            biased;
            exit = process.exited(&clock) => self.exited(exit).await,
            () = self.instance.stop.cancelled() => self.stop(process).await,
        }
    }

    /// Asks until the instance is ready: the world gives no event for it.
    async fn first_ready(&self) {
        let config = &self.inner.config;
        let mut pause = Span::millis(10);
        while !self.instance.is_ready() {
            let deadline = config.clock.now().plus(config.probe_timeout);
            if check(config, &self.deployment, &self.instance, deadline).await.0 {
                return;
            }
            config.clock.sleep_until(config.clock.now().plus(pause)).await;
            pause = Span::from(pause.as_duration().saturating_mul(2)).min(Span::millis(500));
        }
    }

    async fn ready(&self) {
        self.instance.set_ready();
        self.place.proxy.add(Arc::clone(&self.instance.backend));
        self.inner.changed();
        // Both records only spare a successor some questions; a failed write harms nobody.
        let _ = self.record().await;
        let _gate = self.deployment.gate.lock().await;
        if let Some(wish) = self.deployment.proved() {
            let _ = self.inner.write_wish(START, wish).await;
        }
    }

    async fn exited(&self, exit: Exit) -> End {
        let path = self.inner.paths.log(self.id());
        let log = self.inner.blocking(START, move || Ok(tail(&path))).await.unwrap_or_default();
        let port = self.instance.backend.address.port();
        let taken = listen(port).await.is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse);
        End::Exited { port_taken: taken || exit.code == Some(PORT_TAKEN), exit, log }
    }

    /// Takes it out of the traffic, lets it finish what it has begun, asks it to end, and kills it
    /// if it does not.
    async fn stop(&self, process: &mut Process) -> End {
        let config = &self.inner.config;
        let clock = &config.clock;
        self.inner.changed();
        self.place.proxy.remove(&self.instance.backend);
        let within = |span| clock.sleep_until(clock.now().plus(span));
        tokio::select! {
            () = self.let_go() => {}
            _ = process.exited(clock) => return End::Stopped,
            () = within(config.drain_timeout) => {
                self.say_unfinished();
            }
        }
        process.signal(Signal::TERM);
        tokio::select! {
            _ = process.exited(clock) => return End::Stopped,
            () = within(config.stop_grace) => process.signal(Signal::KILL),
        }
        tokio::select! {
            _ = process.exited(clock) => return End::Stopped,
            () = within(KILL_PATIENCE) => {
                self.say_undead();
            }
        }
        process.exited(clock).await;
        End::Stopped
    }

    /// Returns once no request is under way here: none of the platform's own proxy and, where the version goes on without this
    /// instance, none of the routers that follow. A version that ends as a whole was drained before.
    async fn let_go(&self) {
        let (target, count) = (&self.deployment.target, *self.inner.changes().borrow());
        self.instance.backend.drained().await;
        if self.deployment.wish().replicas == 0 {
            return;
        }
        let served = whole(target);
        if !self.inner.followers.have_seen(&served, count).await {
            return;
        }
        // What routers have begun is on their connections; those that carry nothing they close.
        let (clock, port) = (&self.inner.config.clock, self.instance.backend.address.port());
        let (mut pause, mut quiet) = (Span::millis(10), 0);
        while quiet < QUIET {
            clock.sleep_until(clock.now().plus(pause)).await;
            pause = Span::from(pause.as_duration().saturating_mul(2)).min(Span::millis(200));
            let look = move || Ok(procfs::connections(port));
            let open = self.inner.blocking(START, look).await.unwrap_or_default();
            quiet = if open == 0 { quiet + 1 } else { 0 };
        }
    }

    fn say_unfinished(&self) {
        let left = self.instance.backend.in_flight();
        tracing::warn!(instance = self.id(), left, "stopped with unfinished requests");
    }

    fn say_undead(&self) {
        tracing::error!(instance = self.id(), "a killed process does not end");
    }

    async fn finish(self, end: End) {
        self.place.proxy.remove(&self.instance.backend);
        let (paths, id) = (self.inner.paths.clone(), self.id().to_owned());
        // What the instance itself has started ends with it.
        let cleaned = self.inner.blocking(START, move || {
            procfs::marked(MARKER, &paths.root)
                .iter()
                .filter(|m| m.instance == id)
                .for_each(kill_stray);
            let path = paths.instance(&id);
            std::fs::remove_file(&path).map_err(|e| io_error(START, &path, e))
        });
        let _ = cleaned.await; // a record that stays names a process that is gone
        if matches!(end, End::Exited { .. }) && self.instance.is_ready() {
            let (digest, at) = (self.deployment.digest, self.inner.config.clock.now());
            self.place.died(self.id().to_owned(), Death { digest, at });
        }
        self.log_end(&end).await;
        let gate = self.deployment.gate.lock().await;
        let config = &self.inner.config;
        let failed = self.deployment.ended(&self.instance, end, config.clock.now(), config);
        if let Some(wish) = failed {
            tracing::warn!(target = %wish.target, reason = wish.failed.as_deref(), "gave up");
            let _ = self.inner.write_wish(START, wish).await; // at worst it is tried once more
        }
        drop(gate);
        self.inner.release_port(self.instance.backend.address.port());
        self.deployment.wake.notify_one();
        self.inner.changed();
    }
}

/// Asks an instance once whether it is ready, and what it says.
pub(super) async fn check(
    config: &LocalConfig,
    deployment: &Deployment,
    instance: &Instance,
    deadline: Timestamp,
) -> (bool, String) {
    let service = config.services.get(&deployment.target.service).cloned().unwrap_or_default();
    let (path, address) = (&service.health_path, instance.backend.address);
    match http::get(address, path, HEALTH_BYTES, &config.clock, deadline).await {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
            let detail = format!("{} {line}", answer.status);
            (answer.status.is_success(), detail.trim_end().to_owned())
        }
        Err(problem) => (false, problem),
    }
}

/// The name of a new instance.
pub(super) fn name(service: &str, digest: Digest, sequence: u64) -> String {
    format!("{service}-{}-{sequence}", digest.short())
}
