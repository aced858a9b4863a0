//! A Prometheus of a test's own: started, waited for, stalled, killed.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};

use release_core::engine::SystemClock;
use release_core::port::Clock as _;
use release_core::time::Span;
use release_testkit::conformance::HookError;
use tempfile::TempDir;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A server with a directory of its own, both gone with this.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    pub(crate) directory: TempDir,
    pub(crate) address: SocketAddr,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn new(program: &Path) -> Self {
        // Below what the operating system gives to those that let it choose.
        let start = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
        // Tests run at once: a port that one of them found free is not looked at by another.
        let next = || NEXT.fetch_add(1, Ordering::Relaxed);
        let mut addresses = std::iter::repeat_with(|| (Ipv4Addr::LOCALHOST, start + next()).into());
        let free = |at: &SocketAddr| TcpListener::bind(at).is_ok();
        let address = addresses.by_ref().take(5_000).find(free).unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self { program: program.to_owned(), directory, address, child: None }
    }

    /// Starts it with what is in its directory, and returns once it takes calls.
    pub(crate) async fn start(&mut self, configuration: &str) -> Result<(), HookError> {
        std::fs::write(self.directory.path().join("prometheus.yml"), configuration)?;
        self.restart().await
    }

    pub(crate) async fn restart(&mut self) -> Result<(), HookError> {
        let at = |name: &str| self.directory.path().join(name);
        let log = File::options().create(true).append(true).open(at("log"))?;
        let option = |name: &str, value: &str| format!("--{name}={value}");
        let mut command = Command::new(&self.program);
        command
            .arg(option("config.file", &at("prometheus.yml").display().to_string()))
            .arg(option("storage.tsdb.path", &at("data").display().to_string()))
            .arg(option("storage.tsdb.retention.time", "100y"))
            .arg(option("web.listen-address", &self.address.to_string()));
        if at("web.yml").exists() {
            command.arg(option("web.config.file", &at("web.yml").display().to_string()));
        }
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        let clock = SystemClock::new();
        let patience = clock.now().plus(Span::secs(20));
        while !std::fs::read_to_string(at("log"))?.contains("ready to receive web requests")
            || TcpStream::connect(self.address).is_err()
        {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if exited.is_some() || clock.now() > patience {
                let log = std::fs::read_to_string(at("log"))?;
                return Err(format!("Prometheus did not get ready ({exited:?}): {log}").into());
            }
            clock.sleep_until(clock.now().plus(Span::millis(5))).await;
        }
        Ok(())
    }

    /// Ends it as a loss of power would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it take calls and answer none, or go on.
    pub(crate) fn stall(&self, comes: bool) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let signal = if comes { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        // Its threads stop one after the other, each when it next gets the processor.
        while comes && !stands(&pid) {
            std::thread::yield_now();
        }
    }
}

/// Whether all threads of a process are stopped.
fn stands(pid: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stopped = |thread: std::fs::DirEntry| {
        // One that ended meanwhile runs no more.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    };
    threads.flatten().all(stopped)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
