//! The same suite over the boundary: the provider in a process of its own, started by a host.

mod place;

use std::future::ready;
use std::sync::Arc;

use release_providers::model::Digest;
use release_providers::plugin::host::{Host, Plugin, PluginSpec};
use release_providers::{Secret, SystemClock};
use release_testkit::conformance::flag_store::{FlagStoreSandbox, sandbox};

const BINARY: &str = env!("CARGO_BIN_EXE_acme-flags");

async fn flags() -> FlagStoreSandbox {
    let place = place::Place::new();
    let directory = place.directory().display().to_string();
    let host = Host::new(Arc::new(SystemClock::new()), place.sockets());
    let digest = Digest::of(&std::fs::read(BINARY).unwrap());
    let spec = PluginSpec::new("acme-flags", BINARY.into(), digest).arg(&directory);
    let flags = Plugin::start(&host, spec).await.unwrap().flag_store().unwrap();
    sandbox(flags, "dark-mode", place::environment())
        .canary(Secret::new(directory))
        .reach(move |within| ready(place.within_reach(within)))
}

release_testkit::conformance!(FlagStore, flags);
