//! Why a plugin cannot be had.

use std::io;
use std::path::PathBuf;

use release_core::model::Digest;

use crate::plugin::{HandshakeError, ManifestError};
use crate::{ErrorKind, ProviderError};

/// Why a plugin cannot be started, or does not have what is asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The file cannot be read.
    #[error("cannot read the plugin `{}`", .path.display())]
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
    #[error("it was not ready in time; it said: {}", said(.log))]
    NotReady {
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
    #[error("the plugin `{plugin}` has no `{capability}`; it has: {}", .has.join(", "))]
    Lacks {
        /// The plugin.
        plugin: String,
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

impl PluginError {
    /// The error of a call that could not be made: nothing was done.
    pub(super) fn of_call(self: std::sync::Arc<Self>, operation: &'static str) -> ProviderError {
        let text = "the plugin does not run and cannot be started";
        ProviderError::new(ErrorKind::Unavailable, operation, text).with_source(self)
    }
}

fn said(log: &[String]) -> String {
    if log.is_empty() { "nothing".to_owned() } else { log.join(" / ") }
}
