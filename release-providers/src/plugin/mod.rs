//! Providers in processes of their own, in any language: what they crash, hang or flood is theirs alone.
//!
//! - [`mod@host`] runs plugins: starts, limits, watches, restarts and quarantines them, and answers with providers
//!   that are called like any other. Whatever a plugin does, a call ends with an answer or with a
//!   [`ProviderError`](crate::ProviderError) that says whether anything may have changed.
//! - [`mod@serve`] is the plugin's side for vendors in Rust. Vendors in other languages implement the contract in
//!   the folder `proto` of this crate, package `release.plugin.v1`; `plugin.proto` tells how a plugin is started.
//!
//! The handshake is that of `HashiCorp`'s [go-plugin](https://github.com/hashicorp/go-plugin), core protocol 1.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use release_providers::plugin::host::{Host, Plugin, PluginSpec, PluginError};
//! # async fn f(clock: Arc<dyn release_core::port::Clock>, digest: release_core::model::Digest) -> Result<(), PluginError> {
//! let host = Host::new(clock, "/run/acme/plugins");
//! let spec = PluginSpec::new("acme", "/opt/acme/bin/acme-plugin".into(), digest);
//! let plugin = Plugin::start(&host, spec).await?;
//! let deployer = plugin.deployer()?; // an `Arc<dyn Deployer>` as any other
//! # Ok(()) }
//! ```
//!
//! # What the boundary promises, and what it does not
//!
//! A plugin runs what the pinned digest says, with an environment that is empty but for what the host allows,
//! in an empty directory, in a process group of its own, under limits that are set before its first
//! instruction. A token, new at every start, keeps others of the same user from calling it by mistake. It is
//! *not* a sandbox: it runs as the host's user, reads that user's files and may use the network. A plugin that
//! is not trusted with that belongs under another user, in a container or a virtual machine; the host then
//! starts the command that enters it.
//!
//! Where a binary comes from is the host's to know: there is no index of plugins and no tier of WebAssembly. What must
//! not run any more is named in [`Revocations`](host::Revocations).

mod boundary;
mod carry;
mod envelope;
mod handshake;
pub mod host;
mod manifest;
mod messages;
mod pb;
#[cfg(test)]
mod sample;
pub mod serve;
mod wire;

pub use handshake::{Handshake, HandshakeError};
pub use manifest::ManifestError;
pub use serve::{Provider, serve, serve_kind};

/// The environment variable by which a plugin knows that a host started it (the magic cookie), and its value.
/// A guard for users who start a plugin by hand, not security.
pub const COOKIE: (&str, &str) = ("RELEASE_PLUGIN", "8f1d5c0e-release-plugin");

/// The versions of the contract that this version of the crate speaks, the newest last.
pub const PROTOCOL_VERSIONS: [u32; 1] = [1];

/// The environment variable with the versions that a host speaks, separated by commas.
pub const VERSIONS_VARIABLE: &str = "PLUGIN_PROTOCOL_VERSIONS";

/// The environment variable with the directory in which a plugin makes its socket.
pub const SOCKET_DIR_VARIABLE: &str = "PLUGIN_UNIX_SOCKET_DIR";

/// The environment variable with the token of this start.
pub const TOKEN_VARIABLE: &str = "RELEASE_PLUGIN_TOKEN";

/// The metadata key under which every call carries the token.
pub const TOKEN_METADATA: &str = "release-plugin-token";

/// The service by which `grpc.health.v1` is asked how the plugin is.
pub const HEALTH_SERVICE: &str = "plugin";
