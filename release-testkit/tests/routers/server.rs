//! A server that is not ours: started, waited for, stalled, killed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};

use release_core::engine::SystemClock;
use release_core::port::Clock as _;
use release_core::time::Span;
use release_testkit::conformance::HookError;

use crate::real;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Haproxy,
    Envoy,
}

impl Which {
    pub(crate) fn find(self) -> Option<PathBuf> {
        match self {
            Self::Haproxy => real::find("haproxy"),
            Self::Envoy => real::find("envoy"),
        }
    }
}

/// A port of the loopback that is free, and that nobody gets who lets the operating system choose.
pub(crate) fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + u16::try_from(std::process::id() % 150).unwrap() * 100;
    for _ in 0..1_000 {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 5_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port");
}

/// A server, gone with this.
#[derive(Debug)]
pub(crate) struct Server {
    which: Which,
    program: PathBuf,
    directory: PathBuf,
    control: String,
    child: Option<Child>,
}

impl Server {
    /// `control` is where it is asked: a socket's path, or the address of an admin interface.
    pub(crate) fn new(which: Which, program: PathBuf, directory: &Path, control: String) -> Self {
        Self { which, program, directory: directory.to_owned(), control, child: None }
    }

    /// Writes its configuration, and starts it.
    pub(crate) async fn start(&mut self, configuration: &str) -> Result<(), HookError> {
        let name = if self.which == Which::Haproxy { "haproxy.cfg" } else { "envoy.json" };
        std::fs::write(self.directory.join(name), configuration)?;
        self.restart().await
    }

    /// Starts it, with what it was started with before, and returns once it answers.
    pub(crate) async fn restart(&mut self) -> Result<(), HookError> {
        let log = File::options().create(true).append(true).open(self.directory.join("log"))?;
        let mut command = Command::new(&self.program);
        match self.which {
            Which::Haproxy => command.arg("-db").arg("-f").arg(self.directory.join("haproxy.cfg")),
            Which::Envoy => command
                .args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"])
                .arg("-c")
                .arg(self.directory.join("envoy.json")),
        };
        command.stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn()?);
        let clock = SystemClock::new();
        let patience = clock.now().plus(Span::secs(30));
        while !self.is_ready() {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if exited.is_some() || clock.now() > patience {
                let log = std::fs::read_to_string(self.directory.join("log"))?;
                return Err(format!("the server did not get ready ({exited:?}): {log}").into());
            }
            clock.sleep_until(clock.now().plus(Span::millis(5))).await;
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let (question, answer) = match self.which {
            Which::Haproxy => ("show version\n".to_owned(), "."),
            Which::Envoy => {
                ("GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(), "LIVE")
            }
        };
        let mut text = String::new();
        let asked = match self.which {
            Which::Haproxy => UnixStream::connect(&self.control).and_then(|mut stream| {
                stream.write_all(question.as_bytes())?;
                stream.read_to_string(&mut text)
            }),
            Which::Envoy => TcpStream::connect(&self.control).and_then(|mut stream| {
                stream.write_all(question.as_bytes())?;
                stream.read_to_string(&mut text)
            }),
        };
        asked.is_ok() && text.contains(answer)
    }

    /// Ends it as a loss of power would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.child = None;
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it take calls and answer none, or go on.
    pub(crate) fn stall(&self, comes: bool) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let signal = if comes { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
