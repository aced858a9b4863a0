//! One request over a connection of its own: for health checks, scrapes, admin interfaces and Prometheus.

#[cfg(any(feature = "local", feature = "envoy"))]
use std::net::SocketAddr;
#[cfg(any(feature = "local", feature = "envoy"))]
use std::sync::Arc;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
#[cfg(any(feature = "local", feature = "envoy"))]
use hyper::header;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
#[cfg(any(feature = "local", feature = "envoy"))]
use release_core::port::Clock;
#[cfg(any(feature = "local", feature = "envoy"))]
use release_core::time::Timestamp;
use tokio::net::{TcpStream, ToSocketAddrs};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    #[cfg_attr(
        not(feature = "samples"),
        expect(dead_code, reason = "only sources of metrics say when to ask again")
    )]
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// It is longer than it may be.
    #[error("{at} answered more than {limit} bytes")]
    TooLong {
        /// Who was asked.
        at: String,
        /// How long it may be.
        limit: usize,
    },
    /// Nobody is there, or the connection broke off.
    #[error("{0}")]
    Broken(String),
}

/// Asks for `path` and reads at most `limit` bytes, until `deadline`. Every call makes a new
/// connection, so that the answer says that the instance accepts connections now.
#[cfg(any(feature = "local", feature = "envoy"))]
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    limit: usize,
    clock: &Arc<dyn Clock>,
    deadline: Timestamp,
) -> Result<Answer, String> {
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(http_body_util::Empty::<Bytes>::new())
        .map_err(|e| format!("`{path}` is not a path: {e}"))?;
    let at = format!("{address}{path}");
    tokio::select! {
        answer = exchange(address, &at, request, limit) => answer.map_err(|e| e.to_string()),
        () = clock.sleep_until(deadline) => Err(format!("{address} did not answer {path} in time")),
    }
}

/// Where something is, by a url of the form `http://host:port/path`.
#[cfg(feature = "samples")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HttpPlace {
    host: String,
    port: u16,
    /// What the host is called in requests.
    pub(crate) authority: String,
    /// The path; `/` without one.
    pub(crate) path: String,
}

#[cfg(feature = "samples")]
impl HttpPlace {
    /// Reads a url, which may hold secrets: no error repeats it.
    pub(crate) fn read(url: &str) -> Result<Self, &'static str> {
        let uri: hyper::Uri = url.parse().map_err(|_| "the url is none")?;
        let authority = uri.authority().filter(|_| uri.query().is_none());
        let authority = authority
            .ok_or("the url is not of the form `http://host:port/path`, without a query")?;
        if authority.as_str().contains('@') {
            return Err(
                "the url holds credentials; give them by reference, where there is a setting",
            );
        }
        if uri.scheme_str() != Some("http") {
            return Err(
                "only `http` is spoken; let a proxy on this machine speak TLS to the server, and give its address",
            );
        }
        Ok(Self {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            path: uri.path().to_owned(),
        })
    }

    /// Whom to connect to.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

/// Sends a request to `address`, which errors call `at`, and reads at most `limit` bytes.
pub(crate) async fn exchange<B>(
    address: impl ToSocketAddrs,
    at: &str,
    request: Request<B>,
    limit: usize,
) -> Result<Answer, NoAnswer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| NoAnswer::Broken(format!("cannot connect to {at}: {e}")))?;
    let broken = |e: &dyn std::fmt::Display| NoAnswer::Broken(format!("{at} broke off: {e}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(&e))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = Limited::new(response.into_body(), limit).collect().await.map_err(|e| {
            let at = at.to_owned();
            if e.is::<LengthLimitError>() { NoAnswer::TooLong { at, limit } } else { broken(&e) }
        })?;
        Ok(Answer { status, headers, body: body.to_bytes() })
    };
    tokio::pin!(answer);
    // The connection only moves while it is polled; its end may come before the answer is read.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
