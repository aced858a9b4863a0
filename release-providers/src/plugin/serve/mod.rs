//! The plugin's side: serves providers to the host that started this process.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use release_providers::plugin::serve::Server;
//! use release_providers::spi::{Deployer, Notifier};
//!
//! /// What `main` ends with.
//! fn run(deployer: Arc<dyn Deployer>, notifier: Arc<dyn Notifier>) -> ExitCode {
//!     let version = semver::Version::new(1, 0, 0);
//!     Server::new("acme", version).deployer(deployer).notifier(notifier).run_blocking()
//! }
//! ```

mod context;
mod environment;
mod listen;
mod router;
mod services;

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use semver::Version;

use self::environment::Environment;
use self::services::Services;
use super::boundary::Served;
use crate::kind::{Manifest, ProviderKind};

/// A provider that can be served, whatever its trait: made from an `Arc<dyn Deployer>` and so on.
pub struct Provider {
    capability: &'static str,
    service: &'static str,
    served: Arc<dyn Served>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({}: {:?})", self.capability, self.served.describe())
    }
}

impl Provider {
    pub(super) fn new(
        capability: &'static str,
        service: &'static str,
        served: impl Served + 'static,
    ) -> Self {
        Self { capability, service, served: Arc::new(served) }
    }
}

/// Serves providers to the host that started this process.
#[derive(Debug)]
#[must_use = "a server does nothing until it runs"]
pub struct Server {
    name: String,
    version: Version,
    providers: Vec<Provider>,
}

/// Why a plugin could not serve, or not to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Somebody started it by hand.
    #[error(
        "this program is a plugin for release automation and is of no use by itself; name its path and \
         digest in the configuration of the host, which starts it"
    )]
    NotStartedByHost,
    /// The host did not say what a plugin has to know.
    #[error("the host did not set `{variable}`; use a host that speaks this contract")]
    Environment {
        /// The environment variable that is missing.
        variable: &'static str,
    },
    /// Two providers of one capability.
    #[error("there are two providers for `{capability}`; a plugin serves one of each trait")]
    Twice {
        /// The capability.
        capability: &'static str,
    },
    /// The socket could not be made, or the connection broke.
    #[error("cannot listen on the socket in the directory of the host")]
    Listen(#[source] std::io::Error),
    /// The connection broke in a way that no host does.
    #[error("the gRPC server failed: {0}")]
    Serve(String),
}

impl Server {
    /// A plugin of this name and version that can do nothing yet.
    pub fn new(name: impl Into<String>, version: Version) -> Self {
        Self { name: name.into(), version, providers: Vec::new() }
    }

    /// Serves a provider, made from an `Arc<dyn Trait>`.
    pub fn with(mut self, provider: impl Into<Provider>) -> Self {
        self.providers.push(provider.into());
        self
    }

    /// Serves until the host asks to end or is gone, and says how it ended: 0 for that, 1 for anything else,
    /// with one line on standard error. To be awaited in `main`, in a runtime with threads, so that a provider
    /// that blocks does not stop the others.
    pub async fn run(self) -> ExitCode {
        report(self.try_run().await)
    }

    /// As [`Server::run`], in a runtime that it makes itself.
    pub fn run_blocking(self) -> ExitCode {
        in_a_runtime(self.try_run())
    }

    /// Serves until the host asks to end or is gone.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn try_run(self) -> Result<(), ServeError> {
        let environment = Environment::of_process()?;
        let mut services = BTreeMap::new();
        let mut capabilities = BTreeMap::new();
        for provider in self.providers {
            let Provider { capability, service, served } = provider;
            if capabilities.insert(capability.to_owned(), served.describe()).is_some() {
                return Err(ServeError::Twice { capability });
            }
            services.insert(service, served);
        }
        let manifest = Manifest { name: self.name, version: self.version, capabilities };
        listen::serve(environment, manifest, Services::ready(services)).await
    }
}

/// Serves one provider, under the name and version by which it describes itself, until the host asks to end:
/// all that the `main` of a plugin has to do.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use release_providers::spi::Deployer;
/// /// What `main` ends with.
/// fn run(deployer: Arc<dyn Deployer>) -> std::process::ExitCode {
///     release_providers::plugin::serve(deployer)
/// }
/// ```
pub fn serve(provider: impl Into<Provider>) -> ExitCode {
    let provider = provider.into();
    let description = provider.served.describe();
    Server::new(description.name, description.version).with(provider).run_blocking()
}

/// Serves providers that are opened with the host's settings: what [`serve`] is for those that need none.
///
/// ```no_run
/// # use release_providers::kind::ProviderKind;
/// /// What `main` ends with.
/// fn run(kind: impl ProviderKind) -> std::process::ExitCode {
///     release_providers::plugin::serve_kind(kind)
/// }
/// ```
pub fn serve_kind(kind: impl ProviderKind) -> ExitCode {
    let kind: Arc<dyn ProviderKind> = Arc::new(kind);
    in_a_runtime(async {
        let environment = Environment::of_process()?;
        let manifest = kind.manifest();
        listen::serve(environment, manifest.clone(), Services::of(kind, manifest)).await
    })
}

/// Waits for it in a runtime of its own, and says how it ended.
fn in_a_runtime(work: impl Future<Output = Result<(), ServeError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(ServeError::Listen(error))),
    };
    let code = report(runtime.block_on(work));
    runtime.shutdown_background(); // a provider that blocks does not keep the process
    code
}

#[expect(clippy::print_stderr, reason = "a plugin's last words go to its host, or to a person")]
fn report(result: Result<(), ServeError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error);
            eprintln!("{error}{}", cause.map(|c| format!(": {c}")).unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}
