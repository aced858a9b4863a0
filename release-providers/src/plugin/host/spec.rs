//! What a host says of a plugin before it is started.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use release_core::model::{Digest, Span};

use crate::kind::Opening;

/// A plugin to run: which binary, with what, and how far it is trusted.
#[derive(Clone)]
#[non_exhaustive]
pub struct PluginSpec {
    /// What the host calls it, in events, logs and errors.
    pub name: String,
    /// Its binary, or a script that begins with `#!`.
    pub path: PathBuf,
    /// The SHA-256 of that file. Another content is not started.
    pub digest: Digest,
    /// Its arguments. Everybody on the machine can read them: never a secret.
    pub args: Vec<String>,
    /// Its environment, beside what the handshake needs. Nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// What never stands in logs, events and errors.
    secrets: Vec<String>,
    /// What it is told after each start.
    pub(super) settings: Settings,
    /// What its processes may use.
    pub limits: Limits,
    /// What its calls may use.
    pub calls: CallLimits,
    /// How much of its output is kept.
    pub output: OutputLimits,
    /// When it is restarted and when no more.
    pub restarts: RestartPolicy,
    /// How long it has, from the start of the process to a checked manifest.
    pub start_timeout: Span,
    /// How long it has to end after it was asked to, and again after SIGTERM.
    pub stop_grace: Span,
    /// How often its health and the number of its processes are looked at...
    pub look_every: Span,
    /// ...and how many looks one after the other it may leave unanswered.
    pub missed_looks: u32,
    /// The shell that holds the plugin back until its limits are set: any of POSIX.
    pub shell: PathBuf,
}

impl PluginSpec {
    /// The plugin `name` in the file `path`, whose content has `digest`, with the usual limits.
    pub fn new(name: impl Into<String>, path: PathBuf, digest: Digest) -> Self {
        Self {
            name: name.into(),
            path,
            digest,
            args: Vec::new(),
            env: BTreeMap::new(),
            secrets: Vec::new(),
            settings: Settings::None,
            limits: Limits::default(),
            calls: CallLimits::default(),
            output: OutputLimits::default(),
            restarts: RestartPolicy::default(),
            start_timeout: Span::secs(60),
            stop_grace: Span::secs(5),
            look_every: Span::secs(1),
            missed_looks: 10,
            shell: "/bin/sh".into(),
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The same with a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The same with a secret in its environment, which never stands in logs, events and errors. A file or a
    /// lease is better: whoever may read the process may read its environment.
    #[must_use]
    pub fn secret_env(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into();
        self.redacting(value.clone()).env(name, value)
    }

    /// The same with something that never stands in logs, events and errors. Texts of less than four bytes are
    /// left: they are in everything.
    #[must_use]
    pub fn redacting(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// The same with settings, which it is given after each start, with the secrets that they name: these are asked
    /// for anew each time, and stand in no logs, events and errors.
    #[must_use]
    pub fn opening(mut self, opening: Opening) -> Self {
        self.settings = Settings::Some(Box::new(opening));
        self
    }

    /// The same for a start that is only to tell what the plugin is.
    pub(super) fn unasked(mut self) -> Self {
        self.settings = Settings::Unasked;
        self
    }

    pub(super) fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

impl fmt::Debug for PluginSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSpec")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("digest", &self.digest)
            .field("args", &self.args.len()) // a secret is there in spite of all
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What a plugin is told after each start.
#[derive(Clone)]
pub(super) enum Settings {
    /// Nothing is set.
    None,
    /// It is only asked what it is.
    Unasked,
    Some(Box<Opening>),
}

/// What the processes of a plugin may use. `None` is what the host itself may.
///
/// These are resource limits of each process, but for [`Limits::processes`]. A limit for all of them together,
/// and one that a plugin cannot leave, takes a cgroup around the host's plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of address space a process (`RLIMIT_AS`).
    pub memory: Option<u64>,
    /// Processor time a process (`RLIMIT_CPU`), in whole seconds.
    pub cpu: Option<Span>,
    /// Open files a process (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Bytes that a process may write to one file (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
    /// Processes in the plugin's group at once. The kernel has no such limit: the host counts at every look, and
    /// kills the group when there are more.
    pub processes: Option<u32>,
    /// Processes and threads of the *user* (`RLIMIT_NPROC`), the host's among them. Does not hold for root.
    pub user_processes: Option<u64>,
}

impl Default for Limits {
    /// 4 GiB of address space, 1,024 open files, files of 1 GiB, 64 processes; no limit of processor time or of
    /// the user's processes.
    fn default() -> Self {
        Self {
            memory: Some(4 << 30),
            cpu: None,
            open_files: Some(1_024),
            file_size: Some(1 << 30),
            processes: Some(64),
            user_processes: None,
        }
    }
}

/// What the calls of a plugin may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallLimits {
    /// Bytes of an answer.
    pub answer: usize,
    /// Bytes of a request.
    pub request: usize,
    /// Calls at once; further ones wait, at most until their deadline.
    pub in_flight: u32,
    /// How long after a deadline, or after a cancellation, an answer is waited for. A plugin that owes one
    /// after deadline and grace is killed.
    pub grace: Span,
}

impl Default for CallLimits {
    /// 4 MiB both ways, 64 calls at once, 5 s of grace.
    fn default() -> Self {
        Self { answer: 4 << 20, request: 4 << 20, in_flight: 64, grace: Span::secs(5) }
    }
}

/// How much of what a plugin prints is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputLimits {
    /// Bytes of a line; the rest of it is passed over.
    pub line: usize,
    /// Lines a second; further ones are counted and passed over.
    pub lines_a_second: u32,
    /// How many of the last lines are kept for errors and events.
    pub kept: usize,
}

impl Default for OutputLimits {
    /// 4 KiB a line, 100 lines a second, the last 50.
    fn default() -> Self {
        Self { line: 4_096, lines_a_second: 100, kept: 50 }
    }
}

/// When a plugin that ended is started again, and when no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// The pause before it is started again. Doubles with every failure until a call succeeds...
    pub first_pause: Span,
    /// ...up to this.
    pub longest_pause: Span,
    /// So many faults (crashes, hangs, starts that failed, answers that break the contract)...
    pub faults: u32,
    /// ...within this, and it is not started any more until somebody releases it.
    pub window: Span,
}

impl Default for RestartPolicy {
    /// Pauses of 100 ms to 30 s; five faults within ten minutes.
    fn default() -> Self {
        Self {
            first_pause: Span::millis(100),
            longest_pause: Span::secs(30),
            faults: 5,
            window: Span::secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f40_a_specification_does_not_print_its_secrets() {
        let spec = PluginSpec::new("acme", "/bin/acme".into(), Digest::of(b"x"))
            .arg("--password=canary-1")
            .env("LEVEL", "canary-2")
            .secret_env("TOKEN", "canary-3")
            .redacting("canary-4");
        let text = format!("{spec:?}");
        assert!(text.contains("acme") && text.contains("TOKEN"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
