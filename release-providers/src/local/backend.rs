//! One instance as the proxy sees it: an address, its connections and its unfinished requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use release_core::time::{Span, Timestamp};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::files::lock;
use super::proxy::Wiring;
use crate::shares::Pool;

/// What is sent: nothing, or what a client is sending.
pub(super) type Outbound = Either<Empty<Bytes>, Incoming>;

/// A connection that can carry one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Outbound>,
    /// Cancelled once the task that drives it has ended.
    ended: CancellationToken,
}

/// An instance to which requests can be sent.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) id: String,
    pub(super) pool: Pool,
    pub(super) address: SocketAddr,
    inside: Mutex<Inside>,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    retired: bool,
    in_flight: u64,
    connections: Vec<(Timestamp, Connection)>,
}

/// A request that was not answered.
#[derive(Debug)]
pub(super) enum Undelivered {
    /// It never left: here it is again.
    Unsent(Box<Request<Outbound>>, String),
    /// It may have arrived.
    Lost(String),
    /// What came back is not HTTP.
    Garbage(String),
}

impl Backend {
    pub(super) fn new(id: String, pool: Pool, address: SocketAddr) -> Self {
        Self { id, pool, address, inside: Mutex::default(), idle: Notify::new() }
    }

    /// Returns once no request is unfinished. Only final if nobody can begin new ones.
    pub(super) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if lock(&self.inside).in_flight == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Requests begun and not finished.
    pub(super) fn in_flight(&self) -> u64 {
        lock(&self.inside).in_flight
    }

    /// Marks it as never to be used again.
    pub(super) fn retire(&self) {
        lock(&self.inside).retired = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        lock(&self.inside).retired
    }

    /// Closes the connections that carry nothing.
    pub(super) fn hang_up(&self) {
        let closed = std::mem::take(&mut lock(&self.inside).connections);
        drop(closed);
    }

    /// A kept connection that should still be good; the last used is the best.
    fn checkout(&self, now: Timestamp, idle_timeout: Span) -> Option<Connection> {
        let mut inside = lock(&self.inside);
        inside.connections.retain(|(at, connection)| {
            !connection.sender.is_closed() && now.since(*at) < idle_timeout
        });
        inside.connections.pop().map(|(_, connection)| connection)
    }

    /// Sends one request, over a kept connection if there is one.
    ///
    /// `again` makes the same request once more if it has no body and may be repeated: a kept
    /// connection can turn out to be closed only when it is used.
    pub(super) async fn send(
        &self,
        wiring: &Wiring,
        request: Request<Outbound>,
        again: Option<&(dyn Fn() -> Request<Outbound> + Send + Sync)>,
    ) -> Result<(Response<Incoming>, Option<Connection>), Undelivered> {
        let mut request = request;
        while let Some(mut kept) = self.checkout(wiring.clock.now(), wiring.idle_timeout) {
            if kept.sender.ready().await.is_err() {
                continue;
            }
            match (attempt(kept, request).await, again) {
                (Ok(answered), _) => return Ok(answered),
                (Err(Undelivered::Unsent(back, _)), _) => request = *back,
                (Err(Undelivered::Lost(_)), Some(again)) => request = again(),
                (Err(other), _) => return Err(other),
            }
        }
        match self.connect(wiring).await {
            Ok(fresh) => attempt(fresh, request).await,
            Err(problem) => Err(Undelivered::Unsent(Box::new(request), problem)),
        }
    }

    async fn connect(&self, wiring: &Wiring) -> Result<Connection, String> {
        let connect = async {
            let stream = TcpStream::connect(self.address).await.map_err(|e| e.to_string())?;
            let _ = stream.set_nodelay(true); // only a matter of speed
            handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())
        };
        let patience = wiring.clock.now().plus(Span::secs(2));
        let (mut sender, connection) = tokio::select! {
            connected = connect => connected?,
            () = wiring.clock.sleep_until(patience) => return Err("no connection in time".into()),
        };
        let (cut, ended) = (wiring.cut.clone(), CancellationToken::new());
        let end = ended.clone();
        wiring.wires.spawn(async move {
            tokio::select! {
                _ = connection => {}
                () = cut.cancelled() => {}
            }
            end.cancel(); // the connection itself is gone by now
        });
        sender.ready().await.map_err(|e| e.to_string())?;
        Ok(Connection { sender, ended })
    }
}

/// Sends a request over a connection and waits for the head of the response; with it comes the
/// connection, if it still is one.
async fn attempt(
    mut connection: Connection,
    request: Request<Outbound>,
) -> Result<(Response<Incoming>, Option<Connection>), Undelivered> {
    let sent = connection.sender.try_send_request(request);
    tokio::pin!(sent);
    let ended = connection.ended.clone();
    let mut connection = Some(connection);
    let answer = tokio::select! {
        biased;
        answer = &mut sent => answer,
        () = ended.cancelled() => {
            // A request that was queued at the very moment when the connection's task ended lies in
            // the queue until its last holder, the sender, lets go. Then it comes back.
            drop(connection.take());
            sent.await
        }
    };
    answer.map(|response| (response, connection)).map_err(|mut failure| {
        let back = failure.take_message();
        let error = failure.into_error();
        match back {
            Some(request) => Undelivered::Unsent(Box::new(request), error.to_string()),
            None if error.is_parse() => Undelivered::Garbage(error.to_string()),
            None => Undelivered::Lost(error.to_string()),
        }
    })
}

/// One unfinished request at one instance. It is finished when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) backend: Arc<Backend>,
}

impl Lease {
    pub(super) fn new(backend: &Arc<Backend>) -> Self {
        let mut inside = lock(&backend.inside);
        inside.in_flight = inside.in_flight.saturating_add(1);
        Self { backend: Arc::clone(backend) }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, at: Timestamp, connection: Connection) {
        if !connection.sender.is_closed() {
            lock(&self.backend.inside).connections.push((at, connection));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut inside = lock(&self.backend.inside);
        inside.in_flight = inside.in_flight.saturating_sub(1);
        if inside.in_flight == 0 {
            self.backend.idle.notify_waiters();
        }
    }
}
