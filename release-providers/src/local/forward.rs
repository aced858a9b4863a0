//! Takes one request to an instance and brings its response back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use hyper::header::{HeaderName, HeaderValue};

use super::backend::{Connection, Outbound, Undelivered};
use super::proxy::{Choice, Flight, Proxy};

/// The response header that names the version that answered.
pub const VERSION_HEADER: &str = "x-release-version";
/// The response header that names the first twelve digits of its digest.
pub const DIGEST_HEADER: &str = "x-release-digest";

type Answer = Either<Relayed, Full<Bytes>>;

/// Headers that are between two neighbours and are never passed on.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Serves one request. Whatever happens, the client gets an answer.
pub(super) async fn forward(
    proxy: Arc<Proxy>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Answer>, Infallible> {
    let flight = Flight::begin(&proxy);
    drop(proxy);
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return Ok(refuse(StatusCode::NOT_IMPLEMENTED, "tunnels are not supported"));
    }
    if !flight.has_version() {
        let text = "no version has a share of this target's traffic; set weights";
        return Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    prepare(&mut parts, peer);
    let empty = body.is_end_stream();
    let body = if empty { Either::Left(Empty::new()) } else { Either::Right(body) };
    let repeatable = empty && parts.method.is_idempotent();
    Ok(try_all(flight, &parts, body, repeatable).await)
}

async fn try_all(
    mut flight: Flight,
    parts: &Parts,
    body: Outbound,
    repeatable: bool,
) -> Response<Answer> {
    let make = || Request::from_parts(parts.clone(), Either::Left(Empty::new()));
    let again: Option<&(dyn Fn() -> Request<Outbound> + Send + Sync)> =
        if repeatable { Some(&make) } else { None };
    let mut request = Request::from_parts(parts.clone(), body);
    let mut last = None;
    while let Some(choice) = flight.next() {
        let clock = Arc::clone(&flight.wiring().clock);
        let patience = clock.now().plus(flight.wiring().upstream_timeout);
        let sent = tokio::select! {
            sent = choice.lease.backend.send(flight.wiring(), request, again) => sent,
            () = clock.sleep_until(patience) => {
                return refuse(StatusCode::GATEWAY_TIMEOUT, "the instance did not answer in time");
            }
        };
        match (sent, again) {
            (Ok((response, connection)), _) => return relay(flight, choice, response, connection),
            (Err(Undelivered::Unsent(back, problem)), _) => {
                request = *back;
                last = Some(problem);
            }
            (Err(Undelivered::Lost(problem)), Some(again)) => {
                request = again();
                last = Some(problem);
            }
            (Err(Undelivered::Lost(_) | Undelivered::Garbage(_)), _) => {
                let text = "the instance broke off; whether it did what was asked is unknown";
                return refuse(StatusCode::BAD_GATEWAY, text);
            }
        }
    }
    tracing::debug!(problem = last.as_deref(), "no instance could serve a request");
    refuse(StatusCode::SERVICE_UNAVAILABLE, "no live instance of a version that has traffic")
}


/// Makes the head of a client's request that of a request to an instance.
fn prepare(parts: &mut Parts, peer: SocketAddr) {
    strip(&mut parts.headers);
    parts.headers.remove(header::EXPECT); // the listener has answered it
    let name = HeaderName::from_static("x-forwarded-for");
    let mut way: Vec<String> = Vec::new();
    for value in parts.headers.get_all(&name) {
        way.extend(value.to_str().map(ToOwned::to_owned));
    }
    way.push(peer.ip().to_string());
    if let Ok(value) = HeaderValue::from_str(&way.join(", ")) {
        parts.headers.insert(name, value);
    }
    if let Some(authority) = parts.uri.authority() {
        // The absolute form is for proxies; its authority takes the place of the host header.
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            parts.headers.insert(header::HOST, host);
        }
        let path = parts.uri.path_and_query().cloned();
        parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    parts.version = hyper::Version::HTTP_11;
    parts.headers.entry(header::HOST).or_insert_with(|| HeaderValue::from_static("localhost"));
}

fn strip(headers: &mut HeaderMap) {
    let mut named: Vec<String> = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let names = value.to_str().unwrap_or_default().split(',');
        named.extend(names.map(|name| name.trim().to_ascii_lowercase()));
    }
    for name in HOP_BY_HOP.into_iter().chain(named.iter().map(String::as_str)) {
        // How long a body is must not become doubtful on the way.
        if name != "content-length" && name != "host" {
            headers.remove(name);
        }
    }
}

fn relay(
    flight: Flight,
    choice: Choice,
    response: Response<Incoming>,
    connection: Connection,
) -> Response<Answer> {
    flight.served(choice.weight.digest);
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    let names = [
        (VERSION_HEADER, choice.weight.version.to_string()),
        (DIGEST_HEADER, choice.weight.digest.short()),
    ];
    for (name, value) in names {
        if let Ok(value) = HeaderValue::from_str(&value) {
            parts.headers.insert(HeaderName::from_static(name), value);
        }
    }
    parts.version = hyper::Version::HTTP_11;
    let relayed =
        Relayed { body, ended: false, connection: Some(connection), choice, flight };
    Response::from_parts(parts, Either::Left(relayed))
}

/// An answer of the proxy's own.
fn refuse(status: StatusCode, problem: &str) -> Response<Answer> {
    let body = serde_json::json!({ "error": problem, "by": "release local proxy" }).to_string();
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// A response's body on its way. When it is dropped, the request is finished.
#[derive(Debug)]
pub(super) struct Relayed {
    body: Incoming,
    ended: bool,
    connection: Option<Connection>,
    choice: Choice,
    flight: Flight,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.ended |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // A connection whose response was not read to its end cannot carry another request.
        if self.ended || self.body.is_end_stream() {
            if let Some(connection) = self.connection.take() {
                self.choice.lease.keep(self.flight.wiring().clock.now(), connection);
            }
        }
    }
}
