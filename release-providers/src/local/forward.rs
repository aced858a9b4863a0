//! Takes one request to an instance and brings its response back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};

use super::backend::{Connection, Outbound, Undelivered};
use super::proxy::{Choice, Flight, Proxy};

/// The response header that names the version that answered.
pub const VERSION_HEADER: &str = "x-release-version";
/// The response header that names the first twelve digits of its digest.
pub const DIGEST_HEADER: &str = "x-release-digest";

type Answer = Either<Relayed, Full<Bytes>>;

/// How often a request that may have arrived is given to another instance. No more, because it may
/// be the request that breaks them.
const REPEATS: u32 = 1;

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
    let flight = Flight::begin(&proxy, request.headers());
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
    let mut lost = 0;
    while let Some(choice) = flight.next() {
        let clock = Arc::clone(&flight.wiring().clock);
        let patience = clock.now().plus(flight.wiring().upstream_timeout);
        let sent = tokio::select! {
            sent = choice.lease.backend.send(flight.wiring(), request, again) => sent,
            () = clock.sleep_until(patience) => {
                return refuse(StatusCode::GATEWAY_TIMEOUT, "the instance did not answer in time");
            }
        };
        let problem = match sent {
            Ok((response, connection)) => return relay(flight, choice, response, connection),
            Err(Undelivered::Unsent(back, problem)) => {
                say(&problem, "could not be reached");
                request = *back;
                continue;
            }
            Err(Undelivered::Lost(problem) | Undelivered::Garbage(problem)) => problem,
        };
        say(&problem, "broke off");
        lost += 1;
        match again.filter(|_| lost <= REPEATS) {
            Some(again) => request = again(),
            None => break,
        }
    }
    if lost > 0 {
        let text = "the instance broke off; whether it did what was asked is unknown";
        return refuse(StatusCode::BAD_GATEWAY, text);
    }
    refuse(StatusCode::SERVICE_UNAVAILABLE, "no live instance of a version that has traffic")
}

fn say(problem: &str, what: &str) {
    tracing::debug!(problem, "an instance {what}");
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
    let mut private: Vec<String> = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let names = value.to_str().unwrap_or_default().split(',');
        private.extend(names.map(|name| name.trim().to_ascii_lowercase()));
    }
    for name in HOP_BY_HOP.into_iter().chain(private.iter().map(String::as_str)) {
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
    connection: Option<Connection>,
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
    if let Some(cookie) = flight.cookie(&choice).and_then(|text| HeaderValue::from_str(&text).ok())
    {
        parts.headers.append(header::SET_COOKIE, cookie);
    }
    parts.version = hyper::Version::HTTP_11;
    let relayed = Relayed { body, ended: false, connection, choice, flight };
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
        let finished = self.ended || self.body.is_end_stream();
        if let Some(connection) = self.connection.take().filter(|_| finished) {
            self.choice.lease.keep(self.flight.wiring().clock.now(), connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use http_body_util::BodyExt as _;
    use hyper_util::rt::TokioIo;
    use release_core::model::{Digest, Span, Timestamp};
    use release_core::plan::Weight;
    use release_core::port::{Clock, ClockAnomaly, Served};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpSocket, TcpStream};
    use tokio::task::JoinSet;

    use super::*;
    use crate::local::backend::Backend;
    use crate::local::proxy::{Wiring, listen};
    use crate::shares::Pool;

    /// Time stands still, so nothing times out.
    #[derive(Debug)]
    struct StillClock;

    #[async_trait::async_trait]
    impl Clock for StillClock {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }
        fn anomaly(&self) -> Option<ClockAnomaly> {
            None
        }
        async fn sleep_until(&self, _: Timestamp) {
            std::future::pending::<()>().await;
        }
    }

    /// A proxy over these addresses, as instances of one version; and its own address.
    async fn proxy(addresses: &[SocketAddr], tasks: &mut JoinSet<()>) -> Arc<Proxy> {
        let wiring = Wiring {
            clock: Arc::new(StillClock),
            idle_timeout: Span::secs(1),
            upstream_timeout: Span::secs(1),
            drain_timeout: Span::secs(1),
            max_connections: 8,
            stop: tokio_util::sync::CancellationToken::new(),
            clients: tokio_util::task::TaskTracker::new(),
            cut: tokio_util::sync::CancellationToken::new(),
            wires: tokio_util::task::TaskTracker::new(),
        };
        let (listener, address) = listen(0).await.unwrap();
        let digest = Digest::of(b"x");
        let weight = Weight::new(digest, semver::Version::new(1, 0, 0), 100);
        let proxy = Proxy::new(address, wiring, vec![weight], None);
        for (n, address) in addresses.iter().enumerate() {
            let pool = Pool { digest, track: None };
            proxy.add(Arc::new(Backend::new(format!("x-{n}"), pool, *address)));
        }
        tasks.spawn(Arc::clone(&proxy).serve(listener));
        proxy
    }

    async fn ask(proxy: &Proxy, method: Method, body: &'static str) -> (StatusCode, String) {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let request = Request::builder().method(method).uri("/").header("host", "a");
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        let answer = async {
            let response = sender.send_request(request).await.unwrap();
            let status = response.status();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            drop(sender);
            (status, String::from_utf8(bytes.to_vec()).unwrap())
        };
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }

    /// Answers the first `answers` requests of each connection, and hangs up on the next.
    async fn backend(answers: u64, asked: Arc<AtomicU64>, tasks: &mut JoinSet<()>) -> SocketAddr {
        let (listener, address) = listen(0).await.unwrap();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, answers, Arc::clone(&asked)));
            }
        });
        address
    }

    /// A request of these tests comes in one piece: head and body together are short.
    async fn converse(mut stream: TcpStream, answers: u64, asked: Arc<AtomicU64>) {
        let mut buffer = vec![0; 4096];
        for n in 0.. {
            let (mut read, whole) = (0, |text: &str| match text.split_once("\r\n\r\n") {
                Some((head, body)) => !head.starts_with("POST") || body == "body",
                None => false,
            });
            while !whole(&String::from_utf8_lossy(&buffer[..read])) {
                match stream.read(&mut buffer[read..]).await {
                    Ok(0) | Err(_) => return,
                    Ok(more) => read += more,
                }
            }
            asked.fetch_add(1, Ordering::SeqCst);
            if n == answers {
                return;
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
            stream.write_all(answer).await.unwrap();
        }
    }

    /// An address where nobody listens, nor can while the socket is held.
    fn nobody() -> (SocketAddr, TcpSocket) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    fn here() -> release_core::model::Target {
        let (environment, region) = ("prod".parse().unwrap(), "eu".parse().unwrap());
        release_core::model::Target::new(environment, region, "api".parse().unwrap())
    }

    #[tokio::test]
    async fn what_was_never_sent_goes_elsewhere_with_its_body() {
        let (mut tasks, asked) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        let good = backend(u64::MAX, Arc::clone(&asked), &mut tasks).await;
        let ((one, _held), (two, _too)) = (nobody(), nobody());
        let proxy = proxy(&[one, two, good], &mut tasks).await;
        for n in 1..=6 {
            let (status, text) = ask(&proxy, Method::POST, "body").await;
            assert_eq!((status, text.as_str()), (StatusCode::OK, "fine"));
            assert_eq!(asked.load(Ordering::SeqCst), n);
        }
        let served = Served::new(Digest::of(b"x"), 6);
        assert_eq!(proxy.status(here()).served, [served]);
    }

    #[tokio::test]
    async fn with_nobody_there_it_says_so() {
        let mut tasks = JoinSet::new();
        let ((one, _held), (two, _too)) = (nobody(), nobody());
        let proxy = proxy(&[one, two], &mut tasks).await;
        let (status, text) = ask(&proxy, Method::POST, "body").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
        assert_eq!(
            (proxy.status(here()).served[0].requests, proxy.status(here()).in_flight),
            (0, 0)
        );
    }

    #[tokio::test]
    async fn a_kept_connection_that_fails_is_replaced_if_the_request_may_be_repeated() {
        let (mut tasks, asked) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        let shy = backend(1, Arc::clone(&asked), &mut tasks).await;
        let proxy = proxy(&[shy], &mut tasks).await;
        assert_eq!(ask(&proxy, Method::GET, "").await.0, StatusCode::OK);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // Over the kept connection, which hangs up, then over a new one.
        assert_eq!(ask(&proxy, Method::GET, "").await.0, StatusCode::OK);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        // This may have arrived, so it is not sent again.
        assert_eq!(ask(&proxy, Method::POST, "body").await.0, StatusCode::BAD_GATEWAY);
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_request_that_breaks_instances_does_not_break_them_all() {
        let (mut tasks, asked) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        let mut brittle = Vec::new();
        for _ in 0..5 {
            brittle.push(backend(0, Arc::clone(&asked), &mut tasks).await);
        }
        let proxy = proxy(&brittle, &mut tasks).await;
        assert_eq!(ask(&proxy, Method::GET, "").await.0, StatusCode::BAD_GATEWAY);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
