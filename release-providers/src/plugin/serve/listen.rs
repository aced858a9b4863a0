//! From the first line on standard output to the end.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;
use tonic::codegen::tokio_stream::wrappers::UnixListenerStream;
use tonic_health::ServingStatus;

use super::ServeError;
use super::environment::Environment;
use super::router::Router;
use super::services::Services;
use crate::kind::Manifest;
use crate::plugin::{HEALTH_SERVICE, Handshake};

pub(super) async fn serve(
    environment: Environment,
    manifest: Manifest,
    services: Services,
) -> Result<(), ServeError> {
    let socket = environment.directory.join("plugin.sock");
    let listener = UnixListener::bind(&socket).map_err(ServeError::Listen)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(HEALTH_SERVICE, ServingStatus::Serving).await;
    let asked = CancellationToken::new();
    let router = Router::new(environment.token, &manifest, services, health, asked.clone());

    let line = Handshake::new(environment.version, socket).line();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(ServeError::Listen)?;
    drop(stdout);

    // Calls that are open when the host asks to end are answered; a host that is gone waits for none.
    let server = tonic::transport::Server::builder().serve_with_incoming_shutdown(
        router,
        UnixListenerStream::new(listener),
        asked.cancelled_owned(),
    );
    tokio::select! {
        ended = server => ended.map_err(|error| ServeError::Serve(error.to_string())),
        () = host_is_gone() => Ok(()),
    }
}

/// Returns when standard input ends, which a host holds open as long as it lives. Never, where standard input
/// is no pipe.
async fn host_is_gone() {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let Some(mut stdin) = stdin.ok().and_then(|fd| pipe::Receiver::from_owned_fd(fd).ok()) else {
        return std::future::pending().await;
    };
    let mut unread = [0; 256];
    // What is sent means nothing here; an error is an end as well.
    while stdin.read(&mut unread).await.is_ok_and(|read| read > 0) {}
}
