//! One version in one target: what is wished, what runs, and what to do about the difference.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use release_core::model::{Digest, Target};
use release_core::time::{Span, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::config::LocalConfig;
use super::files::lock;
use super::process::Exit;
use super::record::{ProcessId, Wish};
use crate::procfs;
use crate::spi::{DeploymentPhase, DeploymentStatus};

/// How often in a row a port may be snatched away before it counts as a failure.
const PORT_CONFLICTS: u32 = 5;
/// How often in a row a proven version may die before it is ready again.
const EARLY_EXITS: u32 = 5;

/// An instance, from the intent to start it until it is gone.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) sequence: u64,
    /// The generation of the wish that started it.
    pub(super) generation: u64,
    pub(super) backend: Arc<Backend>,
    /// Cancelled when it shall end.
    pub(super) stop: CancellationToken,
    pub(super) since: Timestamp,
    /// When it was started, if that is known.
    pub(super) born: Option<Timestamp>,
    ready: AtomicBool,
    process: Mutex<Option<ProcessId>>,
}

/// How an instance came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// It was told to.
    Stopped,
    /// It ended by itself.
    Exited {
        exit: Exit,
        /// The last lines of its log.
        log: String,
        /// Whether somebody else has its port.
        port_taken: bool,
    },
    /// It could not be started.
    Unstartable(String),
}

impl Instance {
    pub(super) fn new(
        sequence: u64,
        generation: u64,
        backend: Backend,
        since: Timestamp,
        ready: bool,
    ) -> Self {
        Self {
            sequence,
            generation,
            backend: Arc::new(backend),
            stop: CancellationToken::new(),
            since,
            born: Some(since),
            ready: AtomicBool::new(ready),
            process: Mutex::new(None),
        }
    }

    /// The same instance, found by this platform and started by another.
    pub(super) const fn adopted(mut self, born: Option<Timestamp>) -> Self {
        self.born = born;
        self
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(super) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub(super) fn process(&self) -> Option<ProcessId> {
        lock(&self.process).clone()
    }

    pub(super) fn set_process(&self, process: ProcessId) {
        *lock(&self.process) = Some(process);
    }

    fn is_alive(&self) -> bool {
        self.process().is_some_and(|process| procfs::alive(&process))
    }

    fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn has_started(&self, now: Timestamp, watch: Span) -> bool {
        self.is_ready() || now.since(self.since) >= watch
    }
}

/// One version in one target.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) target: Target,
    pub(super) digest: Digest,
    /// Something changed; the supervisor looks again.
    pub(super) wake: Notify,
    /// Held while the wish is written, so that memory and file change in the same order: callers
    /// have turns, but instances write too.
    pub(super) gate: tokio::sync::Mutex<()>,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    wish: Wish,
    instances: BTreeMap<u64, Arc<Instance>>,
    restarts: u32,
    early_exits: u32,
    port_conflicts: u32,
    not_before: Option<Timestamp>,
}

/// What to do next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    /// How many instances to start.
    pub(super) start: u32,
    /// When to look again, if nothing happens before.
    pub(super) at: Option<Timestamp>,
}

impl Deployment {
    pub(super) fn new(wish: Wish) -> Self {
        Self {
            target: wish.target.clone(),
            digest: wish.digest,
            wake: Notify::new(),
            gate: tokio::sync::Mutex::new(()),
            inside: Mutex::new(Inside {
                wish,
                instances: BTreeMap::new(),
                restarts: 0,
                early_exits: 0,
                port_conflicts: 0,
                not_before: None,
            }),
        }
    }

    pub(super) fn wish(&self) -> Wish {
        lock(&self.inside).wish.clone()
    }

    /// Takes over a wish that has been written.
    pub(super) fn accept(&self, wish: Wish) {
        let mut inside = lock(&self.inside);
        (inside.restarts, inside.early_exits, inside.port_conflicts) = (0, 0, 0);
        inside.not_before = None;
        inside.wish = wish;
        drop(inside);
        self.wake.notify_one();
    }

    pub(super) fn insert(&self, instance: Arc<Instance>) {
        lock(&self.inside).instances.insert(instance.sequence, instance);
    }

    /// All instances that exist and shall go on existing.
    pub(super) fn serving(&self) -> Vec<Arc<Instance>> {
        let inside = lock(&self.inside);
        inside.instances.values().filter(|i| !i.is_stopping()).map(Arc::clone).collect()
    }

    /// All instances, also those that are being stopped.
    pub(super) fn instances(&self) -> Vec<Arc<Instance>> {
        lock(&self.inside).instances.values().map(Arc::clone).collect()
    }

    /// Compares wish and reality. Surplus instances are told to stop, the unready and the newest
    /// first; missing ones are for the caller to start.
    pub(super) fn next(&self, now: Timestamp) -> Next {
        let inside = lock(&self.inside);
        let desired = usize::try_from(inside.wish.replicas).unwrap_or(usize::MAX);
        let mut live: Vec<&Arc<Instance>> =
            inside.instances.values().filter(|i| !i.is_stopping()).collect();
        live.sort_by_key(|i| (!i.is_ready(), i.sequence));
        for surplus in live.iter().skip(desired) {
            surplus.stop.cancel();
        }
        let missing = u32::try_from(desired.saturating_sub(live.len())).unwrap_or(u32::MAX);
        if missing == 0 || inside.wish.failed.is_some() {
            return Next::default();
        }
        match inside.not_before.filter(|at| now < *at) {
            Some(at) => Next { start: 0, at: Some(at) },
            None => Next { start: missing, at: None },
        }
    }

    /// Notes that an instance answered ready. Returns the wish if it must be written.
    pub(super) fn proved(&self) -> Option<Wish> {
        let mut inside = lock(&self.inside);
        (inside.early_exits, inside.port_conflicts) = (0, 0);
        if inside.wish.proven {
            return None;
        }
        inside.wish.proven = true;
        Some(inside.wish.clone())
    }

    /// Notes that an instance is gone. Returns the wish if it must be written.
    pub(super) fn ended(
        &self,
        instance: &Instance,
        end: End,
        now: Timestamp,
        config: &LocalConfig,
    ) -> Option<Wish> {
        let mut inside = lock(&self.inside);
        inside.instances.remove(&instance.sequence);
        let inside = &mut *inside;
        if instance.is_stopping() {
            return None;
        }
        let failed = match end {
            End::Stopped => None,
            End::Unstartable(reason) => Some(reason),
            End::Exited { .. } if instance.is_ready() => {
                inside.restart(config, now, now.since(instance.since));
                None
            }
            End::Exited { port_taken: true, .. } if inside.port_conflicts < PORT_CONFLICTS => {
                inside.port_conflicts += 1;
                None // the next one gets another port
            }
            End::Exited { exit, log, .. } => inside.early_exit(instance, &exit, &log, now, config),
        };
        let reason = failed.filter(|_| instance.generation == inside.wish.generation)?;
        inside.wish.failed = Some(reason);
        Some(inside.wish.clone())
    }

    /// What is.
    pub(super) fn status(&self, now: Timestamp, watch: Span) -> DeploymentStatus {
        let inside = lock(&self.inside);
        let desired = inside.wish.replicas;
        let all = || inside.instances.values();
        let running = u32::try_from(all().filter(|i| i.is_alive()).count()).unwrap_or(u32::MAX);
        let settled = running == desired
            && all().len() == usize::try_from(desired).unwrap_or(usize::MAX)
            && all().all(|i| !i.is_stopping() && i.has_started(now, watch));
        let phase = match &inside.wish.failed {
            Some(reason) if desired > 0 => DeploymentPhase::Failed { reason: reason.clone() },
            _ if settled => DeploymentPhase::Settled,
            _ => DeploymentPhase::Progressing,
        };
        DeploymentStatus::new(self.target.clone(), self.digest, Some(desired), running, phase)
    }
}

impl Inside {
    /// A version that is known to run died: pause, longer each time, then start it again.
    fn restart(&mut self, config: &LocalConfig, now: Timestamp, lived: Span) {
        if lived >= config.restart_pause_limit {
            self.restarts = 0;
        }
        let factor = 1_u32.checked_shl(self.restarts).unwrap_or(u32::MAX);
        self.restarts = self.restarts.saturating_add(1);
        let pause = Span::from(config.restart_pause.as_duration().saturating_mul(factor));
        self.not_before = Some(now.plus(pause.min(config.restart_pause_limit)));
    }

    /// An instance ended before it was ready. Returns why to give up, if so.
    fn early_exit(
        &mut self,
        instance: &Instance,
        exit: &Exit,
        log: &str,
        now: Timestamp,
        config: &LocalConfig,
    ) -> Option<String> {
        if self.wish.proven && self.early_exits < EARLY_EXITS {
            self.early_exits += 1;
            self.restart(config, now, Span::ZERO);
            return None;
        }
        let (id, text) = (&instance.backend.id, &exit.text);
        let log = if log.is_empty() { "its log is empty" } else { log };
        Some(format!("instance {id} ended before it was ready: {text}; log: {log}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::record::FORMAT;

    #[derive(Debug)]
    struct NoClock;
    #[async_trait::async_trait]
    impl release_core::port::Clock for NoClock {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }
        fn anomaly(&self) -> Option<release_core::port::ClockAnomaly> {
            None
        }
        async fn sleep_until(&self, _: Timestamp) {}
    }

    fn config() -> LocalConfig {
        LocalConfig::new("/nowhere", Arc::new(NoClock))
    }

    fn deployment(replicas: u32, proven: bool) -> Deployment {
        let id = "x".parse().unwrap();
        let target = Target::new("e".parse().unwrap(), "r".parse().unwrap(), id);
        let (digest, version) = (Digest::of(b"x"), semver::Version::new(1, 0, 0));
        let (key, generation, failed) = ("k".to_owned(), 1, None);
        let format = FORMAT;
        Deployment::new(Wish {
            format,
            target,
            digest,
            version,
            replicas,
            key,
            run: None,
            epoch: 1,
            generation,
            proven,
            failed,
        })
    }

    fn add(deployment: &Deployment, sequence: u64, ready: bool) -> Arc<Instance> {
        let address = "127.0.0.1:1".parse().unwrap();
        let pool = crate::shares::Pool { digest: Digest::of(b"x"), track: None };
        let backend = Backend::new(format!("x-{sequence}"), pool, address);
        let instance = Arc::new(Instance::new(sequence, 1, backend, Timestamp::default(), ready));
        deployment.insert(Arc::clone(&instance));
        instance
    }

    fn exit(code: i32) -> End {
        exited(code, false)
    }

    fn exited(code: i32, port_taken: bool) -> End {
        let exit = Exit { code: Some(code), text: format!("exit code {code}") };
        End::Exited { exit, log: "oops".into(), port_taken }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::default().plus(Span::millis(millis))
    }

    #[test]
    fn the_unready_and_the_newest_stop_first() {
        let deployment = deployment(2, true);
        let all: Vec<_> = [(1, true), (2, false), (3, true), (4, true)]
            .map(|(n, r)| add(&deployment, n, r))
            .into();
        assert_eq!(deployment.next(at(0)), Next::default());
        let stopping: Vec<u64> =
            all.iter().filter(|i| i.is_stopping()).map(|i| i.sequence).collect();
        assert_eq!(stopping, [2, 4]);
        assert_eq!(deployment.next(at(0)), Next::default(), "stopped ones are not stopped twice");
    }

    #[test]
    fn an_unproven_version_that_exits_at_once_is_given_up() {
        let deployment = deployment(2, false);
        assert_eq!(deployment.next(at(0)).start, 2);
        let instance = add(&deployment, 1, false);
        let wish = deployment.ended(&instance, exit(3), at(0), &config()).unwrap();
        let reason = wish.failed.unwrap();
        assert!(reason.contains("exit code 3") && reason.contains("oops"), "{reason}");
        assert_eq!(deployment.next(at(0)).start, 0);
    }

    #[test]
    fn an_end_is_not_blamed_on_a_later_wish() {
        let deployment = deployment(1, false);
        let instance = add(&deployment, 1, false);
        deployment.accept(Wish { generation: 2, ..deployment.wish() });
        assert_eq!(deployment.ended(&instance, exit(3), at(0), &config()), None);
        assert_eq!(deployment.next(at(0)).start, 1);
    }

    #[test]
    fn a_proven_version_is_restarted_with_growing_and_bounded_pauses() {
        let (deployment, config) = (deployment(1, true), config());
        let mut pauses = Vec::new();
        for n in 0..12 {
            let instance = add(&deployment, n, true);
            assert_eq!(deployment.ended(&instance, exit(1), at(0), &config), None);
            pauses.push(deployment.next(at(0)).at.unwrap().since(at(0)));
        }
        assert_eq!(pauses[..3], [Span::millis(100), Span::millis(200), Span::millis(400)]);
        assert_eq!(pauses.last(), Some(&config.restart_pause_limit));
        assert_eq!(deployment.next(at(30_000)).start, 1);
    }

    #[test]
    fn even_a_proven_version_is_given_up_when_it_never_gets_ready_again() {
        let (deployment, config) = (deployment(1, true), config());
        let mut ends = 0;
        while deployment.wish().failed.is_none() {
            let instance = add(&deployment, ends, false);
            let _ = deployment.ended(&instance, exit(1), at(0), &config);
            ends += 1;
        }
        assert_eq!(ends, u64::from(EARLY_EXITS) + 1);
    }

    #[test]
    fn a_snatched_port_is_tried_again_but_not_for_ever() {
        let (deployment, config) = (deployment(1, false), config());
        let mut ends = 0;
        while deployment.wish().failed.is_none() {
            assert_eq!(deployment.next(at(0)).start, 1);
            let instance = add(&deployment, ends, false);
            let _ = deployment.ended(&instance, exited(1, true), at(0), &config);
            ends += 1;
        }
        assert_eq!(ends, u64::from(PORT_CONFLICTS) + 1);
    }
}
