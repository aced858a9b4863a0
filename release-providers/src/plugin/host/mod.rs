//! The host's side: runs plugins, and answers with providers that are called like any other.
//!
//! A plugin is started when it is made, and again by the first call after it ended. What happens to it is told to
//! [`PluginEvents`], of which [`TrailFile`] keeps it on disk, and to `tracing`. A call ends as follows, whatever the plugin does:
//!
//! | the plugin | the call | the plugin then |
//! |---|---|---|
//! | answers | its answer, its error | goes on |
//! | ends, or is killed because of another call | `Unavailable`, effect unknown | is restarted by the next call, after a pause |
//! | does not answer by the deadline and [`CallLimits::grace`] | `Timeout`, effect unknown | is killed, with its group |
//! | does not answer a cancellation within the grace | `Cancelled`, effect unknown | has until the deadline and the grace |
//! | answers for another call, too much, or what cannot be read | `Internal`, effect unknown | goes on; it is a fault |
//! | is in quarantine, is revoked, was shut down | `Unavailable` that is not to be tried again, nothing was done | |
//! | cannot be started | `Corrupt`, `Invalid`, `NotFound` or `Internal` where somebody has to mend something, `Unavailable` otherwise; nothing was done | |
//!
//! A call whose future was dropped is over for its caller only: the plugin is asked to end it, and the next call of the
//! same capability waits until it has, at most for [`CallLimits::grace`], so that a look tells what came of it.
//!
//! Crashes, hangs, failed starts and faults count; after [`RestartPolicy::faults`] of them within
//! [`RestartPolicy::window`] the plugin is in quarantine until [`Plugin::release`].

mod binary;
mod call;
mod error;
mod events;
mod group;
mod keep;
mod launch;
mod leave;
mod output;
mod process;
mod record;
mod revoke;
mod settings;
mod spec;
mod supervise;
mod text;
mod trail;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use release_core::port::Clock;

pub(super) use self::call::{Operation, Remote};
pub use self::error::{PluginError, PluginProblem};
pub use self::events::{PluginEvent, PluginEvents, PluginFault, PluginRecord, PluginState};
pub use self::revoke::Revocations;
pub use self::settings::PluginKind;
pub use self::spec::{CallLimits, Limits, OutputLimits, PluginSpec, RestartPolicy};
use self::supervise::{Handle, Inner};
pub use self::trail::{Trail, TrailFile};
use crate::kind::Manifest;
use crate::layer::Redactor;

/// What all plugins of a host share.
#[derive(Debug, Clone)]
pub struct Host {
    clock: Arc<dyn Clock>,
    directory: PathBuf,
    events: Option<Arc<dyn PluginEvents>>,
    redactor: Redactor,
    revocations: Revocations,
}

impl Host {
    /// A host by `clock`, which makes a directory for each start of a plugin, with its socket, in `directory`.
    /// That exists, and no other user may write to it; its path is short, at most 70 bytes.
    pub fn new(clock: Arc<dyn Clock>, directory: impl Into<PathBuf>) -> Self {
        let (redactor, revocations) = (Redactor::default(), Revocations::default());
        Self { clock, directory: directory.into(), events: None, redactor, revocations }
    }

    /// The same, telling `redactor` every secret that its plugins get ([`PluginSpec::secret_env`], settings) or hand out.
    /// With the [`Redactor`] of the [`Layers`](crate::layer::Layers), no other provider repeats them either.
    #[must_use]
    pub fn redacting(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// The same, running no binary that is in `revocations`, now or later.
    #[must_use]
    pub fn revoking(mut self, revocations: Revocations) -> Self {
        self.revocations = revocations;
        self
    }

    /// The same, telling `events` what happens to its plugins.
    #[must_use]
    pub fn events(mut self, events: Arc<dyn PluginEvents>) -> Self {
        self.events = Some(events);
        self
    }
}

/// A plugin. Clones are the same plugin; when the last of them and of its providers is dropped, its processes are
/// killed. [`Plugin::shutdown`] is kinder.
#[derive(Clone)]
pub struct Plugin {
    handle: Arc<Handle>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plugin({}, {:?})", self.handle.inner.spec.name, self.state())
    }
}

impl Plugin {
    /// Starts a plugin, checks what it says of itself, and keeps it running. To be called in a tokio runtime with
    /// I/O, in which the plugin then lives.
    ///
    /// Dropping the future kills what was started.
    ///
    /// # Errors
    /// [`PluginError`], when it cannot be started.
    pub async fn start(host: &Host, spec: PluginSpec) -> Result<Self, PluginError> {
        let inner = Inner::new(host.clone(), spec);
        let handle = Arc::new(Handle { inner });
        let started = handle.inner.start().await;
        started.map_err(|problem| handle.inner.error(problem))?;
        Ok(Self { handle })
    }

    /// What the plugin says that it is and can do. The same for as long as the host holds it.
    ///
    /// # Errors
    /// [`PluginProblem::Stopped`], never for a plugin that was started.
    pub fn manifest(&self) -> Result<&Manifest, PluginError> {
        let inner = &self.handle.inner;
        inner.manifest().ok_or_else(|| inner.error(PluginProblem::Stopped))
    }

    /// How it is now.
    pub fn state(&self) -> PluginState {
        self.handle.inner.state()
    }

    /// The process that leads its group, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.handle.inner.pid()
    }

    /// Takes it out of quarantine and forgets its faults: somebody found out why. The next call starts it. Says
    /// whether it was in quarantine.
    pub fn release(&self) -> bool {
        self.handle.inner.release()
    }

    /// Ends it for good: asks it to, and makes it after [`PluginSpec::stop_grace`]. Returns when no process of it is
    /// left. Dropping the future leaves it ending; whatever is left is killed with the last handle.
    pub async fn shutdown(&self) {
        self.handle.inner.shutdown().await;
    }

    /// The provider behind a capability of the manifest.
    pub(super) fn remote(&self, capability: &'static str) -> Result<Remote, PluginError> {
        let manifest = self.manifest()?;
        let description = manifest.capabilities.get(capability).ok_or_else(|| {
            let has = manifest.capabilities.keys().map(String::clone).collect();
            self.handle.inner.error(PluginProblem::Lacks { capability, has })
        })?;
        Ok(Remote { handle: Arc::clone(&self.handle), description: description.clone() })
    }
}
