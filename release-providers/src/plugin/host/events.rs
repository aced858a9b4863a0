//! What happens to plugins, for the host's audit.

use std::borrow::Cow;
use std::fmt;

use release_core::model::Digest;
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kind::Manifest;

/// Takes note of what happens to plugins. Called where it happens: it must return quickly, and may be called
/// from several threads. [`TrailFile`](super::TrailFile) is one.
pub trait PluginEvents: fmt::Debug + Send + Sync + 'static {
    /// Something happened to a plugin.
    fn on_event(&self, record: &PluginRecord);
}

/// What happened to which plugin, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PluginRecord {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// The plugin, as the host calls it.
    pub plugin: String,
    /// What happened.
    #[serde(flatten)]
    pub event: PluginEvent,
}

/// Something that happened to a plugin. Texts of the plugin in it are cleaned: no secrets that the host named,
/// no control characters, and of limited length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PluginEvent {
    /// It was started, and is ready.
    Loaded {
        /// What runs.
        digest: Digest,
        /// What it says that it can do.
        manifest: Box<Manifest>,
        /// Its process, which leads its group.
        pid: i32,
    },
    /// It could not be started.
    StartFailed {
        /// Why.
        error: String,
    },
    /// It ended by itself.
    Crashed {
        /// How it ended, for example `exit status: 101`.
        exit: String,
        /// The last lines that it printed.
        log: Vec<String>,
    },
    /// It did not answer by a deadline and its grace, or to looks at its health; it was killed.
    Hung {
        /// What it did not answer.
        operation: String,
    },
    /// It broke the contract or its limits.
    Fault {
        /// How.
        fault: PluginFault,
    },
    /// Leases of secrets in its settings could be neither renewed nor replaced. It runs on with what it has, and the next
    /// attempt comes later.
    NotRenewed {
        /// Why.
        error: String,
    },
    /// It was asked to end, and did or was made to.
    Stopped {
        /// How it ended.
        exit: String,
    },
    /// It is not started any more, because of too many faults.
    Quarantined {
        /// How many there were within the window.
        faults: u32,
    },
    /// Somebody took it out of quarantine.
    Released,
}

/// How a plugin broke the contract or its limits. None of its answers to the call is believed, so whether the call
/// took effect is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PluginFault {
    /// The answer names another call than the one that was made.
    #[error("the answer to `{operation}` is for another call, `{answered}`")]
    WrongCall {
        /// The operation.
        operation: Cow<'static, str>,
        /// The id in the answer.
        answered: String,
    },
    /// The answer names a call that was made before.
    #[error("the answer to `{operation}` is that of an earlier call, `{answered}`")]
    Replayed {
        /// The operation.
        operation: Cow<'static, str>,
        /// The id in the answer.
        answered: String,
    },
    /// The answer has neither a result nor an error, or one that does not fit the operation.
    #[error("the answer to `{operation}` breaks the contract: {problem}")]
    Answer {
        /// The operation.
        operation: Cow<'static, str>,
        /// What is wrong.
        problem: String,
    },
    /// A gRPC status instead of an answer: an answer that is too large or no message, a method that the manifest
    /// promises and that is not there, an exception in the plugin.
    #[error("`{operation}` ended with the gRPC status {code} instead of an answer: {message}")]
    Status {
        /// The operation.
        operation: Cow<'static, str>,
        /// The status, for example `OutOfRange`.
        code: String,
        /// What it says.
        message: String,
    },
    /// The connection broke while the process lives.
    #[error("the connection broke during `{operation}`: {problem}")]
    Connection {
        /// The operation.
        operation: Cow<'static, str>,
        /// How.
        problem: String,
    },
    /// More processes than allowed.
    #[error("it has {processes} processes, and may have {most}; it was killed")]
    Processes {
        /// How many there were.
        processes: usize,
        /// How many there may be.
        most: u32,
    },
    /// Its binary must not run any more.
    #[error("its binary is revoked: {reason}; it was killed")]
    Revoked {
        /// Why.
        reason: String,
    },
    /// Other capabilities than at the start before, by the same binary.
    #[error("it says other things of itself than when it was started before")]
    Manifest,
}

/// How a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginState {
    /// It runs.
    Running,
    /// It does not run; the next call starts it, after the pause that is due.
    Restarting,
    /// It is not started any more, until [`Plugin::release`](super::Plugin::release).
    Quarantined,
    /// It was shut down for good.
    Stopped,
}
