//! Runs `git`: never asks anybody, never runs what a repository brings, and ends in time.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use release_core::port::Clock;
use release_core::time::Span;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::config::{GitBuildsConfig, MARKER};
use super::layout::Paths;
use crate::procfs::mark;
use crate::{ErrorKind, ProviderError};

/// What git is marked with, so that what a crash left running is found.
pub(super) const GIT: &str = "git";

/// How much of what git prints is read; the rest is dropped.
const MOST_PRINTED: u64 = 64 * 1024;

/// What every command begins with. Settings of the user and of the system are not read, so these are all there are, besides
/// those of a mirror, which this runner writes itself.
const SETTINGS: [&str; 9] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "protocol.ext.allow=never",
    "protocol.version=2",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
];

/// How `git` is run.
#[derive(Debug)]
pub(super) struct Git {
    program: PathBuf,
    env: BTreeMap<String, String>,
    mark: std::ffi::OsString,
    limit: Span,
    clock: Arc<dyn Clock>,
}

/// What a command of git came to.
#[derive(Debug)]
pub(super) struct Printed {
    status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

impl Printed {
    pub(super) fn is_good(&self) -> bool {
        self.status.success()
    }

    /// What it complained of, in one line, for people.
    fn complaint(&self) -> String {
        const SIGNS: usize = 600;
        let lines = self.err.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines.collect::<Vec<_>>().join(" | ");
        let printable = line.chars().map(|c| if c.is_control() { '?' } else { c });
        let text: String = printable.take(SIGNS).collect();
        if text.is_empty() { self.status.to_string() } else { text }
    }
}

impl Git {
    pub(super) fn new(config: &GitBuildsConfig, paths: &Paths) -> Self {
        let fixed = [
            ("PATH", config.path.clone()),
            ("HOME", paths.git_home().display().to_string()),
            ("LC_ALL", "C".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_ASKPASS", "false".to_owned()),
            ("SSH_ASKPASS", "false".to_owned()),
            ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes".to_owned()),
            ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh".to_owned()),
        ];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
        let env = fixed.chain(config.git_env.clone()).collect();
        let (program, limit, clock) =
            (config.git.clone(), config.git_limit, Arc::clone(&config.clock));
        Self { program, env, mark: mark(&paths.root, GIT), limit, clock }
    }

    /// Runs it in a directory, and returns what it printed, whether or not it succeeded. Whoever drops this stops it.
    ///
    /// # Errors
    /// `Unavailable` where there is no git, and where it takes too long.
    pub(super) async fn run(
        &self,
        operation: &'static str,
        directory: &Path,
        args: &[&OsStr],
    ) -> Result<Printed, ProviderError> {
        let mut command = Command::new(&self.program);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
            .args(args)
            .current_dir(directory)
            .env_clear()
            .envs(&self.env)
            .env(MARKER, &self.mark)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| self.missing(operation, e))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (out, err) = tokio::join!(read(stdout), read(stderr));
            io::Result::Ok(Printed { status: child.wait().await?, out: out?, err: err? })
        };
        let limit = self.clock.sleep_until(self.clock.now().plus(self.limit));
        let done = tokio::select! {
            done = work => Some(done),
            () = limit => None,
        };
        let Some(done) = done else {
            drop(group); // which kills it
            let _ = child.wait().await; // so that it holds no lock any more
            let (what, limit) = (told(args), self.limit);
            let text = format!("`git {what}` was not done within {limit}, and was stopped");
            return Err(ProviderError::new(ErrorKind::Unavailable, operation, text));
        };
        group.forget();
        done.map_err(|e| {
            let text = format!("`git {}` could not be waited for", told(args));
            ProviderError::new(ErrorKind::Unavailable, operation, text).with_source(e)
        })
    }

    /// The same, where only a success will do.
    ///
    /// # Errors
    /// Those of [`Git::run`]; `Unavailable`, or `Denied` where somebody wants credentials, with what git said.
    pub(super) async fn done(
        &self,
        operation: &'static str,
        directory: &Path,
        args: &[&OsStr],
    ) -> Result<String, ProviderError> {
        let printed = self.run(operation, directory, args).await?;
        if printed.is_good() {
            return Ok(printed.out);
        }
        Err(failed(operation, args, &printed))
    }

    fn missing(&self, operation: &'static str, error: io::Error) -> ProviderError {
        let text = if error.kind() == io::ErrorKind::NotFound {
            "there is no `git` to run; install it (apt-get install git), or say in `git` and `path` where it is"
        } else {
            "`git` cannot be run"
        };
        ProviderError::new(ErrorKind::Unavailable, operation, text)
            .with_context("git", self.program.display())
            .with_source(error)
    }
}

/// A command that ended without success.
pub(super) fn failed(operation: &'static str, args: &[&OsStr], printed: &Printed) -> ProviderError {
    const CREDENTIALS: [&str; 5] = [
        "Authentication failed",
        "Permission denied (publickey",
        "could not read Username",
        "could not read Password",
        "Host key verification failed",
    ];
    let denied = CREDENTIALS.iter().any(|words| printed.err.contains(words));
    let kind = if denied { ErrorKind::Denied } else { ErrorKind::Unavailable };
    let text = format!("`git {}` failed: {}", told(args), printed.complaint());
    ProviderError::new(kind, operation, text)
}

/// What was asked of git, without what it was asked of.
fn told<'a>(args: &[&'a OsStr]) -> &'a str {
    args.first().and_then(|arg| arg.to_str()).unwrap_or_default()
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut pipe) = pipe else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    (&mut pipe).take(MOST_PRINTED).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A group of processes that is killed with whoever waits for it. Its leader is not reaped before.
struct Group(Option<Pid>);

impl Group {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL); // it may end at this very moment
        }
    }
}
