//! A host with plugins of the tests, what happened to them, and a look at what is left.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use release_core::engine::SystemClock;
use release_core::model::{Digest, Principal, Span, Target};
use release_core::port::Clock as _;
use release_providers::plugin::host::{
    Host, Plugin, PluginError, PluginEvent, PluginEvents, PluginRecord, PluginSpec, TrailFile,
};
use release_providers::spi::{Notification, Notifier, Severity};
use release_providers::{Context, ProviderError};
use tempfile::TempDir;
use tokio::sync::watch;

pub(crate) const ORDINARY: &str = env!("CARGO_BIN_EXE_ordinary-plugin");
pub(crate) const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile-plugin");

/// Keeps the trail of what happens, and tells whoever waits what then stands in its file, a line an event.
#[derive(Debug)]
pub(crate) struct Recorder {
    trail: TrailFile,
    lines: watch::Sender<Vec<String>>,
}

impl PluginEvents for Recorder {
    fn on_event(&self, record: &PluginRecord) {
        self.trail.on_event(record);
        self.trail.flush();
        let trail = TrailFile::read(self.trail.path()).unwrap();
        assert_eq!((trail.unreadable, self.trail.failure()), (Vec::new(), None));
        self.lines.send_replace(trail.records.iter().map(line).collect());
    }
}

/// `plugin kind text`
fn line(PluginRecord { plugin, event, .. }: &PluginRecord) -> String {
    let text = match event {
        PluginEvent::Loaded { digest, manifest, .. } => {
            format!("loaded {digest} {}", manifest.name)
        }
        PluginEvent::StartFailed { error } => format!("start-failed {error}"),
        PluginEvent::Crashed { exit, log } => format!("crashed {exit}: {}", log.join(" / ")),
        PluginEvent::Hung { operation } => format!("hung {operation}"),
        PluginEvent::Fault { fault } => format!("fault {fault}"),
        PluginEvent::NotRenewed { error } => format!("not-renewed {error}"),
        PluginEvent::Stopped { exit } => format!("stopped {exit}"),
        PluginEvent::Quarantined { faults } => format!("quarantined {faults}"),
        PluginEvent::Released => "released".to_owned(),
        event => panic!("a new event, {event:?}"),
    };
    format!("{plugin} {text}")
}

/// A host, a directory, and a mark in the environment of every plugin.
pub(crate) struct Stage {
    pub(crate) directory: TempDir,
    recorder: Arc<Recorder>,
    pub(crate) host: Host,
    pub(crate) clock: Arc<SystemClock>,
}

/// The variable in which the mark stands.
pub(crate) const MARK: &str = "PLUGIN_TEST_MARK";

impl Stage {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let trail = TrailFile::open(directory.path().join("trail.jsonl")).unwrap();
        let lines = watch::Sender::new(Vec::new());
        let recorder = Arc::new(Recorder { trail, lines });
        let clock = Arc::new(SystemClock::new());
        let host =
            Host::new(Arc::clone(&clock) as _, directory.path()).events(Arc::clone(&recorder) as _);
        Self { directory, recorder, host, clock }
    }

    /// A specification with limits that show within a test.
    pub(crate) fn spec(&self, name: &str, path: impl AsRef<Path>) -> PluginSpec {
        let digest = Digest::of(&std::fs::read(&path).unwrap());
        let mut spec = PluginSpec::new(name, path.as_ref().to_owned(), digest);
        spec = spec.env(MARK, self.mark());
        spec.stop_grace = Span::millis(300);
        spec.calls.grace = Span::millis(300);
        spec.restarts.first_pause = Span::millis(10);
        spec.restarts.faults = 100;
        spec.look_every = Span::millis(50);
        spec.missed_looks = 100; // the machine may be busy
        spec
    }

    pub(crate) fn hostile(&self, mode: &str) -> PluginSpec {
        self.spec("hostile", HOSTILE).arg(mode)
    }

    /// A plugin that is a script.
    pub(crate) fn script(&self, name: &str, text: &str) -> PluginSpec {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        self.spec(name, &path)
    }

    pub(crate) async fn start(&self, spec: PluginSpec) -> Result<Plugin, PluginError> {
        Plugin::start(&self.host, spec).await
    }

    pub(crate) async fn ordinary(&self) -> Plugin {
        let mut spec = self.spec("ordinary", ORDINARY);
        spec.calls.grace = Span::secs(10); // it does answer, also on a busy machine
        self.start(spec).await.unwrap()
    }

    fn mark(&self) -> String {
        self.directory.path().display().to_string()
    }

    /// The file that keeps what happened.
    pub(crate) fn trail(&self) -> &Path {
        self.recorder.trail.path()
    }

    /// What happened so far.
    pub(crate) fn events(&self) -> Vec<String> {
        self.recorder.lines.borrow().clone()
    }

    /// The first event so far that begins with `start`, which has happened.
    #[track_caller]
    pub(crate) fn event(&self, start: &str) -> String {
        let events = self.events();
        let found = events.iter().find(|event| event.starts_with(start)).cloned();
        found.unwrap_or_else(|| panic!("no `{start}` in {events:#?}"))
    }

    /// Waits until something has happened `times` times.
    pub(crate) async fn happened(&self, start: &str, times: usize) {
        let mut events = self.recorder.lines.subscribe();
        let enough = |lines: &Vec<String>| {
            lines.iter().filter(|line| line.starts_with(start)).count() >= times
        };
        events.wait_for(enough).await.unwrap();
    }

    /// The live processes with this stage's mark.
    pub(crate) fn left(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.mark());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let read =
                |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let ours = read("environ").split(|b| *b == 0).any(|v| v == mark.as_bytes());
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
            ours && !matches!(state, None | Some('Z' | 'X'))
        })
        .collect()
    }

    /// The directories of starts that are left.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// Returns when nothing of this stage is left, for those whose end nobody waits for.
    pub(crate) async fn all_gone(&self) {
        self.eventually("nothing is left", || self.left().is_empty()).await;
    }

    /// A plugin that does not answer, and the file that it writes when it is called.
    pub(crate) async fn hanging(&self) -> (Plugin, PathBuf) {
        let state = self.directory.path().join("state");
        let spec = self.hostile("hang").env("STATE", state.display().to_string());
        (self.start(spec).await.unwrap(), state)
    }

    /// Looks every 5 ms, where the world gives no event. Panics after 20 s.
    pub(crate) async fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let end = self.clock.now().plus(Span::secs(20));
        while !holds() {
            assert!(self.clock.now() < end, "not within 20 s: {what}: {:#?}", self.events());
            self.clock.sleep_until(self.clock.now().plus(Span::millis(5))).await;
        }
    }

    pub(crate) fn clock_is_past(&self, cx: &Context, grace: Span) -> bool {
        self.clock.now() >= cx.deadline.plus(grace)
    }

    pub(crate) fn cx(&self, within: Span) -> Context {
        let deadline = self.clock.now().plus(within);
        Context::new("key-1", deadline, Principal::service("tester".parse().unwrap()))
    }

    /// A context of which no deadline is felt.
    pub(crate) fn calm(&self) -> Context {
        self.cx(Span::secs(60))
    }

    /// Does something while the calls of another plugin go on, and shows that these are not affected.
    pub(crate) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let other = self.start(self.spec("other", ORDINARY)).await.unwrap();
        let (pid, notifier) = (other.pid().unwrap(), other.notifier().unwrap());
        let over = AtomicBool::new(false);
        let calls = async {
            let mut calls = 0;
            while !over.load(Ordering::SeqCst) {
                tell(&notifier, &self.calm(), "hello").await.unwrap();
                calls += 1;
            }
            calls
        };
        let work = async {
            tell(&notifier, &self.calm(), "before").await.unwrap();
            let result = work.await;
            tell(&notifier, &self.calm(), "after").await.unwrap();
            over.store(true, Ordering::SeqCst);
            result
        };
        let (result, calls) = tokio::join!(work, calls);
        assert!(calls > 0);
        assert_eq!(other.pid(), Some(pid), "{:#?}", self.events());
        other.shutdown().await;
        assert!(!self.events().iter().any(|event| event.starts_with("other crashed")));
        result
    }
}

pub(crate) async fn tell(
    notifier: &Arc<dyn Notifier>,
    cx: &Context,
    message: &str,
) -> Result<(), ProviderError> {
    let channel = "ops".parse().unwrap();
    notifier.notify(cx, Notification::new(channel, Severity::Info, message)).await
}

pub(crate) fn target() -> Target {
    Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), "api".parse().unwrap())
}

pub(crate) fn digest() -> Digest {
    Digest::of(b"content")
}
