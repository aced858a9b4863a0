//! Why a plugin cannot be had.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use release_core::model::{Digest, Span};

use crate::plugin::{HandshakeError, ManifestError};
use crate::{ErrorKind, ProviderError, RetryAdvice};

/// A plugin that cannot be started, or does not have what is asked for: which one, and why. Clones share the reason.
#[derive(Debug, Clone)]
pub struct PluginError {
    plugin: String,
    problem: Arc<PluginProblem>,
}

impl PluginError {
    pub(super) fn new(plugin: &str, problem: impl Into<Arc<PluginProblem>>) -> Self {
        Self { plugin: plugin.to_owned(), problem: problem.into() }
    }

    /// The plugin, as the host calls it.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// What is wrong.
    pub fn problem(&self) -> &PluginProblem {
        &self.problem
    }

    /// What the plugin says of its settings, or a store of their secrets.
    pub(super) fn of_settings(self) -> Result<ProviderError, Self> {
        let Self { plugin, problem } = self;
        match Arc::try_unwrap(problem) {
            Ok(PluginProblem::Settings(error) | PluginProblem::Secret(error)) => Ok(error),
            Ok(problem) => Err(Self::new(&plugin, problem)),
            Err(problem) => Err(Self { plugin, problem }), // somebody else has it too
        }
    }

    /// The error of a call that could not be made: nothing was done.
    pub(super) fn of_call(self, operation: &'static str) -> ProviderError {
        let text = format!("the plugin `{}` does not run and cannot be started", self.plugin);
        self.into_error(operation, text)
    }

    /// An error of something that was not done because of it.
    pub(super) fn into_error(self, operation: &'static str, text: String) -> ProviderError {
        let (kind, retry) = match self.problem() {
            // Somebody has to mend something first; until then, it is as if it were not there.
            PluginProblem::Quarantined { .. }
            | PluginProblem::Stopped
            | PluginProblem::Revoked { .. } => (ErrorKind::Unavailable, Some(RetryAdvice::Never)),
            PluginProblem::Digest { .. } => (ErrorKind::Corrupt, None),
            PluginProblem::Writable { .. }
            | PluginProblem::NotExecutable { .. }
            | PluginProblem::OpenDirectory { .. }
            | PluginProblem::PathTooLong { .. }
            | PluginProblem::Lacks { .. } => (ErrorKind::Invalid, None),
            PluginProblem::Open { .. } | PluginProblem::NoDirectory { .. } => {
                (ErrorKind::NotFound, None)
            }
            PluginProblem::Manifest(_)
            | PluginProblem::OtherManifest
            | PluginProblem::NoTokenCheck => (ErrorKind::Internal, None),
            _ => (ErrorKind::Unavailable, None),
        };
        let error = ProviderError::new(kind, operation, text).with_source(self);
        match retry {
            Some(retry) => error.with_retry(retry),
            None => error,
        }
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin `{}`: {}", self.plugin, self.problem)
    }
}

impl Error for PluginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source() // the problem itself is told already
    }
}

/// Why a plugin cannot be started, or does not have what is asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginProblem {
    /// The file cannot be read.
    #[error("cannot read its binary `{}`", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may change the file.
    #[error(
        "`{}` is no plain file that its owner alone may change; take the right to write it from group \
         and others", .path.display()
    )]
    Writable {
        /// The file.
        path: PathBuf,
    },
    /// Nobody may run the file.
    #[error("`{}` is not executable; make it so (chmod u+x)", .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The file has another content than was pinned.
    #[error("`{}` has the digest {found}, and {pinned} is pinned; find out who changed it, or pin the new one", .path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What was pinned.
        pinned: Digest,
        /// What it has.
        found: Digest,
    },
    /// The file must not run any more.
    #[error("`{}` is revoked: {reason}; pin another release of it", .path.display())]
    Revoked {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The directory of the host is not there.
    #[error("cannot find the host's directory `{}`; make it, for its owner alone (mode 0700)", .path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may write to the directory of the host.
    #[error("the host's directory `{}` is none to which its owner alone may write; take one of mode 0700 of this user", .path.display())]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Its directory, socket or process cannot be made.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The path of its socket is longer than the system allows.
    #[error("the path of the socket, `{}`, is longer than {most} bytes; take a shorter directory for the host", .path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// How long it may be.
        most: usize,
    },
    /// The plugin would inherit files of the host.
    #[error("the plugin would inherit open files of the host, {}; open them so that children do not (O_CLOEXEC), or install /bin/bash, which can close them", .files.join(", "))]
    Inherited {
        /// What they are.
        files: Vec<String>,
    },
    /// It ended before it was ready.
    #[error("it ended before it was ready, {exit}; it said: {}", said(.log))]
    Ended {
        /// How it ended.
        exit: String,
        /// The last lines that it printed.
        log: Vec<String>,
    },
    /// It was not ready in time.
    #[error("it was not ready within {within}, its `start_timeout`; it said: {}", said(.log))]
    NotReady {
        /// How long it had.
        within: Span,
        /// The last lines that it printed.
        log: Vec<String>,
    },
    /// Its first line is no handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It does not speak gRPC, or breaks the contract in its first answers.
    #[error("the first call of the plugin failed: {0}")]
    FirstCall(String),
    /// It answers to callers without its token.
    #[error(
        "it answers calls that do not carry its token; it must refuse them with UNAUTHENTICATED"
    )]
    NoTokenCheck,
    /// What it says of itself is not valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It cannot work with its settings.
    #[error("it cannot be used with its settings: {0}")]
    Settings(ProviderError),
    /// A secret that its settings name cannot be had. No fault of the plugin.
    #[error("a secret that its settings name cannot be had: {0}")]
    Secret(ProviderError),
    /// It says other things of itself than at the start before.
    #[error("it says other things of itself than when it was started before")]
    OtherManifest,
    /// It does not have a capability.
    #[error("it has no `{capability}`; it has: {}", .has.join(", "))]
    Lacks {
        /// What was asked for.
        capability: &'static str,
        /// What it has.
        has: Vec<String>,
    },
    /// It is in quarantine.
    #[error("it is in quarantine after {faults} faults; find out why, then release it")]
    Quarantined {
        /// How many faults there were.
        faults: u32,
    },
    /// It was shut down.
    #[error("it was shut down; start it anew")]
    Stopped,
}

fn said(log: &[String]) -> String {
    if log.is_empty() { "nothing".to_owned() } else { log.join(" / ") }
}
