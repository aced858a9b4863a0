//! The provider in a process of its own: `acme-flags DIRECTORY`, started by a host.

use std::{process::ExitCode, sync::Arc};

use acme_provider::FileFlags;
use release_providers::{SystemClock, plugin::serve, spi::FlagStore};

fn main() -> ExitCode {
    let directory = std::env::args().nth(1).unwrap_or_default();
    let flags = FileFlags::open(directory, Arc::new(SystemClock::new()));
    serve(Arc::new(flags) as Arc<dyn FlagStore>)
}
