//! What answers in a process of its own: started by a host, our plugin; with the path of a socket, a bare server.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use benches::plugin::{Answers, serve_bare};
use release_providers::plugin::serve;
use release_providers::spi::FlagStore;

#[expect(clippy::disallowed_methods, reason = "a program reads its command line")]
fn main() -> ExitCode {
    let Some(socket) = std::env::args().nth(1) else {
        return serve(Arc::new(Answers) as Arc<dyn FlagStore>);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(serve_bare(Path::new(&socket)))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
