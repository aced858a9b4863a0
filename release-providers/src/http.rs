//! One GET: for health checks, scrapes and admin interfaces.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use release_core::port::Clock;
use release_core::time::Timestamp;
use tokio::net::TcpStream;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Asks for `path` and reads at most `limit` bytes, until `deadline`. Every call makes a new
/// connection, so that the answer says that the instance accepts connections now.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    limit: usize,
    clock: &Arc<dyn Clock>,
    deadline: Timestamp,
) -> Result<Answer, String> {
    tokio::select! {
        answer = exchange(address, path, limit) => answer,
        () = clock.sleep_until(deadline) => Err(format!("{address} did not answer {path} in time")),
    }
}

async fn exchange(address: SocketAddr, path: &str, limit: usize) -> Result<Answer, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| format!("cannot connect to {address}: {e}"))?;
    let broken = |e: &dyn std::fmt::Display| format!("{address}{path} broke off: {e}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(&e))?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| format!("`{path}` is not a path: {e}"))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limit)
            .collect()
            .await
            .map_err(|e| broken(&e))?
            .to_bytes();
        Ok(Answer { status, body })
    };
    tokio::pin!(answer);
    // The connection only moves while it is polled; its end may come before the answer is read.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
