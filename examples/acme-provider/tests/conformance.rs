//! The provider keeps what its trait promises.

mod place;

use std::future::ready;
use std::sync::Arc;

use acme_provider::FileFlags;
use release_providers::{Secret, SystemClock};
use release_testkit::conformance::flag_store::{FlagStoreSandbox, sandbox};

async fn flags() -> FlagStoreSandbox {
    let place = place::Place::new();
    let directory = place.directory();
    let flags = Arc::new(FileFlags::open(&directory, Arc::new(SystemClock::new())));
    let sandbox = sandbox(flags, "dark-mode", place::environment());
    sandbox
        .canary(Secret::new(directory.to_string_lossy()))
        .reach(move |within| ready(place.within_reach(within)))
}

release_testkit::conformance!(FlagStore, flags);
