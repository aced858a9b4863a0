//! The platform itself: opened on a root, shut down or destroyed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use release_core::model::{Digest, Target};
use release_core::port::EffectCertainty;
use release_core::time::Span;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::adopt::{Found, OPEN, find};
use super::config::LocalConfig;
use super::deployment::Deployment;
use super::effects::{EffectChange, EffectLog};
use super::fence::{Caller, Fences};
use super::files::{Paths, blocking, io_error, lock, write_record};
use super::notify::Sent;
use super::place::{Place, whole};
use super::process::Process;
use super::proxy::{Wiring, listen};
use super::record::{TargetRecord, Wish};
use super::supervisor;
use crate::disk::Lock;
use crate::endpoints::{Followers, InstanceChanges};
use crate::{Context, Description, EffectClass, ErrorKind, Fencing, ProviderError, Splitting};

/// Everything a release needs, on one machine: see [the module](super). A clone is the same
/// platform.
#[derive(Debug, Clone)]
pub struct LocalPlatform {
    handle: Arc<Handle>,
}

/// Ends all tasks with the last clone, as a crash would: instances live on.
#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.stop.cancel();
        self.inner.wiring.cut.cancel();
    }
}

/// The right to look at a target or to change it, until it is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// What the platform's tasks share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: LocalConfig,
    pub(super) paths: Paths,
    pub(super) boot: String,
    pub(super) wiring: Wiring,
    pub(super) stop: CancellationToken,
    /// Supervisors, keepers, listeners and calls that must not break off half-way.
    pub(super) tasks: TaskTracker,
    /// Ports that instances have, or are about to get.
    pub(super) ports: Mutex<BTreeSet<u16>>,
    pub(super) sent: tokio::sync::Mutex<Sent>,
    pub(super) places: Mutex<BTreeMap<Target, Arc<Place>>>,
    pub(super) fences: Fences,
    pub(super) effects: EffectLog,
    /// Whose turn it is, by target. Only those that somebody holds or waits for.
    gates: Mutex<BTreeMap<Target, Arc<tokio::sync::Mutex<()>>>>,
    sequence: AtomicU64,
    changes: watch::Sender<u64>,
    /// Routers that follow what runs, beside the platform's own proxy.
    pub(super) followers: Followers,
    lock: Mutex<Option<Lock>>,
}

impl LocalPlatform {
    /// Opens a root: creates it, or takes over what an earlier platform left there. Instances that
    /// still run are adopted, missing ones started, and targets get their ports and shares back.
    ///
    /// # Errors
    /// `Conflict` when another platform has the root open or a fixed port is taken, `Corrupt` for
    /// a record that cannot be read, `Unavailable` when the root cannot be written.
    pub async fn open(config: LocalConfig) -> Result<Self, ProviderError> {
        let root = config.root.clone();
        let now = config.clock.now();
        let mut found = blocking(OPEN, move || find(&root, now)).await?;
        let sent_path = found.paths.notifications();
        let sent = blocking(OPEN, move || Sent::read(&sent_path)).await?;
        let living = std::mem::take(&mut found.living);
        let (targets, wishes) =
            (std::mem::take(&mut found.targets), std::mem::take(&mut found.wishes));
        let mut samples = std::mem::take(&mut found.samples);
        let inner = Arc::new(Inner::new(config, found, sent));
        let platform = Self { handle: Arc::new(Handle { inner: Arc::clone(&inner) }) };
        let mut listeners = Vec::new();
        let mut all = BTreeMap::<Target, Option<TargetRecord>>::new();
        for wish in &wishes {
            all.insert(whole(&wish.target), None);
            all.insert(wish.target.clone(), None);
        }
        for record in targets {
            all.entry(whole(&record.target)).or_default();
            all.insert(record.target.clone(), Some(record));
        }
        // A target comes before its tracks.
        for (target, record) in all {
            let known = samples.extract_if(.., |s| s.target == target).next();
            listeners.extend(inner.reopen(&target, record, known).await?);
        }
        for wish in wishes {
            if let Some(place) = inner.place(&wish.target) {
                place.insert(Arc::new(Deployment::new(wish)));
            }
        }
        // From here on nothing fails: tasks may start.
        for (record, id) in living {
            let deployment = inner
                .place(&record.target)
                .and_then(|place| Some((place.deployment(record.digest)?, place)));
            if let (Some((deployment, place)), Some(process)) = (deployment, Process::adopt(id)) {
                supervisor::adopt(&inner, &place, &deployment, record, process);
            }
        }
        for (place, listener) in listeners {
            supervisor::serve(&inner, &place, listener);
        }
        for place in inner.places() {
            for deployment in place.deployments() {
                supervisor::supervise(&inner, &place, &deployment);
            }
        }
        Ok(platform)
    }

    /// Where a target's traffic goes in; `None` before anything was deployed there.
    pub fn address(&self, target: &Target) -> Option<SocketAddr> {
        self.inner().place(target).map(|place| place.proxy.address)
    }

    /// The live processes of one version in a target, by instance.
    pub fn processes(&self, target: &Target, digest: Digest) -> BTreeMap<String, i32> {
        let deployment = self.inner().place(target).and_then(|place| place.deployment(digest));
        let mut pids = BTreeMap::new();
        for instance in deployment.iter().flat_map(|deployment| deployment.instances()) {
            if let Some(process) = instance.process().filter(crate::procfs::alive) {
                pids.insert(instance.backend.id.clone(), process.pid);
            }
        }
        pids
    }

    /// Counts changes of what runs and of what is ready: wait on it instead of polling.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner().changes()
    }

    /// The same for [routers that follow](crate::endpoints::follow): an instance that a version can spare is stopped only when
    /// they send nothing there any more.
    pub fn instance_changes(&self) -> InstanceChanges {
        InstanceChanges::new(self.changes(), &self.inner().followers)
    }

    /// Stops supervising, finishes the requests that have begun and closes all listeners.
    /// Instances live on, for the next platform on this root to adopt.
    pub async fn shutdown(&self) {
        let inner = self.inner();
        inner.stop.cancel();
        inner.tasks.close();
        inner.tasks.wait().await;
        inner.wiring.clients.close();
        inner.wiring.clients.wait().await;
        inner.wiring.cut.cancel();
        inner.wiring.wires.close();
        inner.wiring.wires.wait().await;
        inner.places().iter().for_each(|place| place.proxy.hang_up());
        drop(lock(&inner.lock).take()); // only now may somebody else open the root
    }

    /// Stops every instance, gently and then by force, forgets all wishes and shares, also those
    /// that come meanwhile, and shuts down. Artifacts, logs and notifications stay.
    ///
    /// # Errors
    /// `Unavailable` when the root cannot be written; then nothing was stopped that still is wished.
    pub async fn destroy(&self) -> Result<(), ProviderError> {
        const DESTROY: &str = "local.destroy";
        let inner = self.inner();
        inner.check_open(DESTROY)?;
        let mut changes = self.changes();
        loop {
            for target in inner.targets() {
                let turn = inner.wait_turn(&target).await;
                let held = Arc::clone(inner);
                let work = async move { held.clear(DESTROY, &target).await };
                inner.finish(DESTROY, turn, work).await?;
            }
            let places = inner.places();
            let mut deployments = places.iter().flat_map(|place| place.deployments());
            let running = deployments.any(|deployment| !deployment.instances().is_empty());
            if !running || changes.changed().await.is_err() {
                break;
            }
        }
        self.shutdown().await;
        Ok(())
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }
}

/// What the platform says of itself, in all of its roles.
pub(super) fn description() -> Description {
    Description::new("local", version(), EffectClass::Idempotent).able(|can| {
        can.deployer.fencing = Fencing::Epochs;
        can.traffic_router.fencing = Fencing::Epochs;
        can.traffic_router.splitting = Splitting::Shares;
        can.traffic_router.counts_served = true;
        can.traffic_router.counts_in_flight = true;
        can.traffic_router.affinity = true;
        can.traffic_router.affinity_to_one = true;
        can.tracks = true;
        can.metrics_source.means = true;
        can.metrics_source.quantiles = true;
    })
}

/// The version of all that this crate provides.
pub(super) fn version() -> semver::Version {
    env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0))
}

impl Inner {
    fn new(config: LocalConfig, found: Found, sent: Sent) -> Self {
        let stop = CancellationToken::new();
        let wiring = Wiring {
            clock: Arc::clone(&config.clock),
            idle_timeout: config.idle_timeout,
            upstream_timeout: config.upstream_timeout,
            drain_timeout: config.drain_timeout,
            max_connections: config.max_connections.clamp(1, 100_000),
            stop: stop.clone(),
            clients: TaskTracker::new(),
            cut: CancellationToken::new(),
            wires: TaskTracker::new(),
        };
        Self {
            config,
            paths: found.paths,
            boot: found.boot,
            wiring,
            stop,
            tasks: TaskTracker::new(),
            ports: Mutex::default(),
            sent: tokio::sync::Mutex::new(sent),
            places: Mutex::default(),
            fences: Fences::new(found.fences),
            effects: found.effects,
            gates: Mutex::default(),
            sequence: AtomicU64::new(found.sequence),
            changes: watch::Sender::new(0),
            followers: Followers::default(),
            lock: Mutex::new(Some(found.lock)),
        }
    }

    /// Refuses calls after a shutdown.
    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), ProviderError> {
        if self.stop.is_cancelled() {
            let text = "the platform was shut down; open its root again";
            return Err(ProviderError::new(ErrorKind::Unavailable, operation, text));
        }
        Ok(())
    }

    /// Does `work` within the caller's deadline, unless the caller cancels. `effect` is what may
    /// have happened if it does not come to its end.
    pub(super) async fn bounded<T>(
        &self,
        operation: &'static str,
        cx: &Context,
        effect: EffectCertainty,
        work: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        self.check_open(operation)?;
        cx.within(&*self.config.clock, operation, effect, work).await
    }

    /// Does `work` to its end even if whoever waits for it goes away. What it needs to `hold` for
    /// that, for example its turn, is given back right after.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        operation: &'static str,
        hold: impl Send + 'static,
        work: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, ProviderError> {
        // A shutdown that comes after the check waits for the token, and then for the task.
        let token = self.tasks.token();
        self.check_open(operation)?;
        let task = self.tasks.spawn(async move {
            let done = work.await;
            drop(hold);
            done
        });
        drop(token);
        match task.await {
            Ok(done) => done,
            Err(e) => Err(ProviderError::new(ErrorKind::Internal, operation, "a task broke off")
                .with_effect(EffectCertainty::Unknown)
                .with_source(e)),
        }
    }

    /// Waits until it is the caller's turn to look at a target or to change it. Turns come in the
    /// order in which they were first asked for. Whoever stops waiting gives up the turn.
    pub(super) async fn turn(
        &self,
        operation: &'static str,
        cx: &Context,
        target: &Target,
    ) -> Result<Turn, ProviderError> {
        let wait = async { Ok(self.wait_turn(target).await) };
        self.bounded(operation, cx, EffectCertainty::NotApplied, wait).await
    }

    pub(super) async fn wait_turn(&self, target: &Target) -> Turn {
        let gate = {
            let mut gates = lock(&self.gates);
            // Holders and those who wait have a share; a new one is only given out in here.
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            Arc::clone(gates.entry(target.clone()).or_default())
        };
        // Unconstrained: nobody is put off before they stand in the queue.
        unconstrained(gate.lock_owned()).await
    }

    /// Changes a target when it is the caller's turn, and then to the end. A caller that goes away
    /// before has changed nothing and never will; one that goes away later has made its change as
    /// far as any later turn can see.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        operation: &'static str,
        cx: &Context,
        target: &Target,
        work: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let turn = self.turn(operation, cx, target).await?;
        // Nothing is waited for between the turn and the task that holds it.
        let work = self.finish(operation, turn, work);
        self.bounded(operation, cx, EffectCertainty::Unknown, work).await
    }

    /// Targets that are known, or about to be.
    fn targets(&self) -> BTreeSet<Target> {
        let mut targets: BTreeSet<Target> = lock(&self.gates).keys().cloned().collect();
        targets.extend(lock(&self.places).keys().cloned());
        targets
    }

    /// Takes back all wishes and shares of a target. Only for whoever has its turn.
    async fn clear(
        self: &Arc<Self>,
        operation: &'static str,
        target: &Target,
    ) -> Result<(), ProviderError> {
        let Some(place) = self.place(target) else { return Ok(()) };
        let itself = Caller::itself(operation);
        if target.track.is_none() && !place.proxy.weights().is_empty() {
            self.write_target(operation, &place, Vec::new(), None).await?;
            let change = EffectChange::Weights { weights: Vec::new() };
            self.log_effect(operation, &itself, target, change).await?;
            place.proxy.set(Vec::new(), None);
        }
        for deployment in place.deployments() {
            let _gate = deployment.gate.lock().await;
            let mut wish = deployment.wish();
            if wish.replicas > 0 {
                wish.replicas = 0;
                Caller { key: wish.key, run: wish.run, epoch: wish.epoch } = itself.clone();
                wish.generation = wish.generation.saturating_add(1);
                self.write_wish(operation, wish.clone()).await?;
                deployment.accept(wish);
            }
        }
        Ok(())
    }

    /// Does blocking work on a thread made for it. Neither a shutdown nor the next platform on this
    /// root overtakes it: it holds the lock.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (inner, token) = (Arc::clone(self), self.tasks.token());
        let work = move || {
            let done = work();
            drop((token, inner));
            done
        };
        blocking(operation, work).await
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn write_wish(
        self: &Arc<Self>,
        operation: &'static str,
        wish: Wish,
    ) -> Result<(), ProviderError> {
        let path = self.paths.wish(&wish.target, wish.digest);
        self.blocking(operation, move || write_record(operation, &path, &wish)).await
    }

    /// A port that is free now and that no other instance is about to get.
    pub(super) async fn pick_port(&self) -> Result<u16, ProviderError> {
        const PORT: &str = "deploy.port";
        for _ in 0..100 {
            let (_, address) = listen(0).await.map_err(|e| io_error(PORT, &self.paths.root, e))?;
            if lock(&self.ports).insert(address.port()) {
                return Ok(address.port());
            }
        }
        Err(ProviderError::new(ErrorKind::Unavailable, PORT, "no free port on the loopback"))
    }

    pub(super) fn release_port(&self, port: u16) {
        lock(&self.ports).remove(&port);
    }
}

/// How long a call of the platform's own may take when nobody else says.
pub(super) fn sooner(
    config: &LocalConfig,
    limit: Span,
    deadline: release_core::time::Timestamp,
) -> release_core::time::Timestamp {
    config.clock.now().plus(limit).min(deadline)
}
