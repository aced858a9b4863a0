//! The same suite, which is shown more: a secret, the files themselves, a second provider, and what happens when they cannot be reached.

mod place;

use std::future::ready;

use release_providers::Secret;
use release_testkit::conformance::flag_store::{FlagStoreSandbox, sandbox};

async fn flags() -> FlagStoreSandbox {
    let (place, directory) = (place::Place::new(), place::Place::directory);
    let (flags, again, files) = (place.flags(), place.flags(), directory(&place));
    sandbox(flags, "dark-mode", place::environment())
        .canary(Secret::new(files.to_string_lossy()))
        .reopen(move || ready(Ok(again.clone() as _)))
        .seen_from_outside(move || ready(place::content(&files)))
        .reach(move |within| ready(place.within_reach(within)))
}

release_testkit::conformance!(FlagStore, flags);
