//! One operating-system process: started or adopted, waited for, signalled.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use release_core::model::Span;
use release_core::port::Clock;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use super::config::ServiceConfig;
use super::record::ProcessId;
use crate::procfs;

/// The variable by which an instance is found again when its pid was never written down.
pub(super) const MARKER: &str = "RELEASE_INSTANCE";

/// What a process is started with.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) root: &'a Path,
    pub(super) id: &'a str,
    pub(super) service: &'a str,
    pub(super) port: u16,
    pub(super) config: &'a ServiceConfig,
    pub(super) log: &'a Path,
    /// What is executed: this open file, whatever its name points to by now.
    pub(super) program: File,
}

/// A process, and the means to learn of its end.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    waiter: Waiter,
    /// Kept open, because the interpreter of a script opens it by its number, some time later.
    _program: Option<File>,
}

#[derive(Debug)]
enum Waiter {
    Child(Box<Child>),
    /// Not our child: the kernel tells through a pidfd.
    Pidfd(AsyncFd<OwnedFd>),
    /// A kernel without pidfds: look now and then.
    Poll,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) code: Option<i32>,
    pub(super) text: String,
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        let text = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        Self { code: status.code(), text }
    }

    fn unknown() -> Self {
        let text = "ended; its exit status went to the process that had started it".to_owned();
        Self { code: None, text }
    }
}

impl Process {
    /// Starts a process in a group of its own. It outlives this value and this very program.
    pub(super) fn start(launch: Launch<'_>, boot: &str) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(launch.log)?;
        // Named through our own table of open files, so that it is the verified file whatever has
        // happened to its path, and so that scripts work: their interpreter opens it by this name.
        let program = format!("/proc/{}/fd/{}", std::process::id(), launch.program.as_raw_fd());
        let mut child = Command::new(program)
            .arg0(launch.service)
            .args(&launch.config.args)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(&launch.config.env)
            .env("PORT", launch.port.to_string())
            .env("SERVICE_NAME", launch.service)
            .env(MARKER, procfs::mark(launch.root, launch.id))
            .current_dir(launch.root)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(false)
            .spawn()?;
        // It cannot be gone: an ended child stays in /proc until it is waited for.
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let Some((pid, stat)) = pid.and_then(|pid| Some((pid, procfs::stat(pid)?))) else {
            child.start_kill()?;
            return Err(io::Error::other("/proc does not show the process that was started"));
        };
        let started = stat.started;
        let id = ProcessId { pid, started, boot: boot.to_owned() };
        let waiter = Waiter::Child(Box::new(child));
        Ok(Self { id, waiter, _program: Some(launch.program) })
    }

    /// Takes over a process that somebody else started; `None` when it is gone.
    pub(super) fn adopt(id: ProcessId) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(id.pid)?, PidfdFlags::empty());
        // Looked at after the pidfd was opened, so that the pidfd means this very process.
        if !procfs::alive(&id) {
            return None;
        }
        let waiter = match pidfd.map_err(io::Error::from).and_then(register) {
            Ok(fd) => Waiter::Pidfd(fd),
            Err(_) => Waiter::Poll,
        };
        Some(Self { id, waiter, _program: None })
    }

    /// Returns once the process has ended. May be dropped and called again.
    pub(super) async fn exited(&mut self, clock: &Arc<dyn Clock>) -> Exit {
        match &mut self.waiter {
            Waiter::Child(child) => match child.wait().await {
                Ok(status) => Exit::of(status),
                Err(_) => Exit::unknown(),
            },
            Waiter::Pidfd(fd) => {
                while fd.readable().await.is_err() {
                    clock.sleep_until(clock.now().plus(Span::millis(500))).await;
                }
                Exit::unknown()
            }
            Waiter::Poll => {
                while procfs::alive(&self.id) {
                    clock.sleep_until(clock.now().plus(Span::millis(250))).await;
                }
                Exit::unknown()
            }
        }
    }

    /// Sends a signal to the process and all of its group. Nothing happens if it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        if let Waiter::Pidfd(fd) = &self.waiter {
            // Others may have reaped it, and its number may be another's: each is told by its pidfd.
            let others = procfs::group_of(&self.id);
            let _ = pidfd_send_signal(fd.get_ref(), signal); // it may have ended
            for (pid, started) in others {
                procfs::send(pid, started, signal);
            }
        } else if let Some(pid) = Pid::from_raw(self.id.pid).filter(|_| procfs::alive(&self.id)) {
            let _ = kill_process_group(pid, signal); // it may end at this very moment
        }
    }
}

/// Lets the runtime watch a pidfd.
#[expect(
    deprecated,
    reason = "deprecated because a type might close or swap its descriptor while it is registered; \
              an `OwnedFd` that nobody takes out does not, and the successor is unsafe to call"
)]
fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(pidfd)
}

/// Kills a process that carries our mark and belongs to no instance.
pub(super) fn kill_stray(stray: &procfs::Marked) {
    procfs::send(stray.pid, stray.stat.started, Signal::KILL);
}
