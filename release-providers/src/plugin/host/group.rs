//! The processes of one start of a plugin: its group, and those that left the group and are known by the
//! directory in their environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use release_core::model::Span;
use release_core::port::Clock;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::plugin::SOCKET_DIR_VARIABLE;

/// How often at most what is left of a group is looked for and killed.
const ROUNDS: u32 = 200;

/// The processes of one start. Dropped, all of them are killed, and their directory is removed.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    directory: Directory,
    /// The leader was waited for: its number may be another's by now.
    over: AtomicBool,
}

impl Group {
    /// The group that `leader` leads, which is not waited for before [`Group::ended`].
    pub(super) const fn new(leader: Pid, directory: Directory) -> Self {
        Self { leader, directory, over: AtomicBool::new(false) }
    }

    pub(super) const fn leader(&self) -> Pid {
        self.leader
    }

    /// Sends a signal to the group.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.over.load(Ordering::SeqCst) {
            // It fails when all have ended, and then all is well.
            let _gone = kill_process_group(self.leader, signal);
        }
    }

    /// How many processes live in the group.
    pub(super) fn count(&self) -> usize {
        live().filter(|process| process.group == self.leader.as_raw_nonzero().get()).count()
    }

    /// Kills the group and whoever left it, until none is left. To be called before the leader is waited for.
    pub(super) async fn end(&self, clock: &Arc<dyn Clock>) {
        for _ in 0..ROUNDS {
            if self.kill_all() == 0 {
                return;
            }
            clock.sleep_until(clock.now().plus(Span::millis(2))).await;
        }
        tracing::error!(group = %self.leader, "processes of a plugin do not end though they are killed");
    }

    /// Kills all, and says how many there were.
    fn kill_all(&self) -> usize {
        self.signal(Signal::KILL);
        let mut left = 0;
        for process in live() {
            let ours = process.group == self.leader.as_raw_nonzero().get();
            if ours || process.has(self.directory.path()) {
                left += 1;
                if let Some(pid) = Pid::from_raw(process.pid).filter(|_| !ours) {
                    let _gone = kill_process(pid, Signal::KILL);
                }
            }
        }
        left
    }

    /// The leader was waited for, and nobody is left.
    pub(super) fn ended(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.directory.remove();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over.load(Ordering::SeqCst) {
            self.kill_all();
        }
    }
}

/// A directory that goes with its owner.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes a directory that only the host's user may enter.
    pub(super) fn create(path: PathBuf) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().mode(0o700).create(&path)?; // fails where something is
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn remove(&self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "cannot remove a plugin's directory");
            }
            _ => {}
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.remove();
    }
}

struct Process {
    pid: i32,
    group: i32,
}

impl Process {
    /// Whether its environment names `directory` as that of a plugin. Unreadable ones are none of ours.
    fn has(&self, directory: &Path) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let Ok(environment) = fs::read(format!("/proc/{}/environ", self.pid)) else { return false };
        environment.split(|byte| *byte == 0).any(|variable| {
            let value = variable.strip_prefix(SOCKET_DIR_VARIABLE.as_bytes());
            value.and_then(|value| value.strip_prefix(b"="))
                == Some(directory.as_os_str().as_bytes())
        })
    }
}

/// All processes that have not ended.
fn live() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, group) = parse(&stat)?;
        (!matches!(state, "Z" | "X" | "x")).then_some(Process { pid, group })
    })
}

/// State and process group of a line of `/proc/<pid>/stat`. The name stands in brackets and may itself hold blanks
/// and brackets.
fn parse(stat: &str) -> Option<(&str, i32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_groups_are_read_whatever_the_name() {
        assert_eq!(parse("7 (sh) S 1 42 42 0"), Some(("S", 42)));
        assert_eq!(parse("7 (a ) R 1 9) b) Z 1 42 42 0"), Some(("Z", 42)));
        assert_eq!(parse("7 (sh) S"), None);
        assert_eq!(parse(""), None);
    }
}
