//! One target's proxy: its listener, its shares, its instances and its counts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hyper::HeaderMap;
use hyper::header::COOKIE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use release_core::model::{Affinity, Digest, Target, TrafficRules};
use release_core::plan::Weight;
use release_core::port::{Clock, Served};
use release_core::time::Span;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::{Backend, Lease};
use super::balance::{Backends, Shares};
use super::files::lock;
use super::forward;
use crate::shares::{Pool, cookie};
use crate::spi::{Flights, TrafficStatus};

/// What a proxy needs of its platform.
#[derive(Debug, Clone)]
pub(super) struct Wiring {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) idle_timeout: Span,
    pub(super) upstream_timeout: Span,
    pub(super) drain_timeout: Span,
    pub(super) max_connections: usize,
    /// Ends listening and, gracefully, clients' connections.
    pub(super) stop: CancellationToken,
    /// Clients' connections.
    pub(super) clients: TaskTracker,
    /// Ends connections to instances.
    pub(super) cut: CancellationToken,
    /// Connections to instances.
    pub(super) wires: TaskTracker,
}

/// One target's proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    pub(super) wiring: Wiring,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    shares: Shares,
    rules: Option<TrafficRules>,
    backends: Backends,
    served: BTreeMap<Digest, u64>,
    /// Counts changes of the shares, so that a request counts for those under which it began.
    generation: u64,
    in_flight: u64,
    /// Those of them that an instance has, by whose it is.
    flights: BTreeMap<Pool, u64>,
}

/// Who serves a request.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) lease: Lease,
    pub(super) weight: Weight,
}

/// One request from its head to the end of its response.
#[derive(Debug)]
pub(super) struct Flight {
    proxy: Arc<Proxy>,
    /// Whose turn it was, or with whom a cookie keeps the client.
    turn: Option<Pool>,
    /// By what the client is to be kept from now on.
    keep: Option<Affinity>,
    generation: u64,
    tried: Vec<String>,
    /// Whose instance was tried last.
    at: Option<Pool>,
}

/// Opens a listener on the loopback interface; port 0 lets the operating system choose.
pub(super) async fn listen(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

impl Proxy {
    pub(super) fn new(
        address: SocketAddr,
        wiring: Wiring,
        weights: Vec<Weight>,
        rules: Option<TrafficRules>,
    ) -> Arc<Self> {
        let inside = Inside { shares: Shares::new(weights), rules, ..Inside::default() };
        Arc::new(Self { address, wiring, inside: Mutex::new(inside) })
    }

    /// Serves until the platform stops.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.wiring.max_connections));
        loop {
            let place = tokio::select! {
                () = self.wiring.stop.cancelled() => return,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let accepted = tokio::select! {
                () = self.wiring.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors, most likely: some will come free.
                let clock = &self.wiring.clock;
                clock.sleep_until(clock.now().plus(Span::millis(20))).await;
                continue;
            };
            let proxy = Arc::clone(&self);
            self.wiring.clients.spawn(async move {
                proxy.converse(stream, peer).await;
                drop(place);
            });
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true); // only a matter of speed
        let wiring = self.wiring.clone();
        let service = service_fn(move |request| forward::forward(Arc::clone(&self), request, peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Span::secs(60).as_duration())
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = wiring.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let patience = wiring.clock.now().plus(wiring.drain_timeout);
        tokio::select! {
            _ = connection.as_mut() => {}
            () = wiring.clock.sleep_until(patience) => {}
            () = wiring.cut.cancelled() => {}
        }
    }

    /// Lets an instance serve, unless it was removed before.
    pub(super) fn add(&self, backend: Arc<Backend>) {
        let mut inside = lock(&self.inside);
        if !backend.is_retired() {
            inside.backends.add(backend);
        }
    }

    /// Gives an instance no more requests, for good; it finishes those it has.
    pub(super) fn remove(&self, backend: &Backend) {
        let mut inside = lock(&self.inside);
        backend.retire();
        inside.backends.remove(backend);
        drop(inside);
        backend.hang_up();
    }

    /// Puts new shares and rules into effect. The same again change nothing.
    pub(super) fn set(&self, weights: Vec<Weight>, rules: Option<TrafficRules>) {
        let mut inside = lock(&self.inside);
        if inside.shares.weights() != weights || inside.rules != rules {
            inside.rules = rules;
            inside.shares = Shares::new(weights);
            inside.served.clear();
            inside.generation = inside.generation.saturating_add(1);
        }
    }

    /// The shares in effect.
    pub(super) fn weights(&self) -> Vec<Weight> {
        lock(&self.inside).shares.weights().to_vec()
    }

    /// The rules in effect.
    pub(super) fn rules(&self) -> Option<TrafficRules> {
        lock(&self.inside).rules.clone()
    }

    /// What is, and what was served.
    pub(super) fn status(&self, target: Target) -> TrafficStatus {
        let inside = lock(&self.inside);
        let weights = inside.shares.weights().to_vec();
        let mut counts: BTreeMap<Digest, u64> = weights.iter().map(|w| (w.digest, 0)).collect();
        counts.extend(&inside.served);
        let served =
            counts.into_iter().map(|(digest, requests)| Served::new(digest, requests)).collect();
        let flights = inside.flights.iter();
        let flights = flights.map(|(at, n)| Flights::new(at.digest, at.track.clone(), *n));
        let status = TrafficStatus::new(target, weights, served, inside.in_flight).flying(flights);
        status.by(inside.rules.clone())
    }

    /// Closes the connections that carry nothing.
    pub(super) fn hang_up(&self) {
        let inside = lock(&self.inside);
        inside.backends.all().for_each(|backend| backend.hang_up());
    }
}

impl Flight {
    /// Begins a request: who serves it, by its cookie or by whose turn it is, is decided here and once.
    pub(super) fn begin(proxy: &Arc<Proxy>, headers: &HeaderMap) -> Self {
        let mut inside = lock(&proxy.inside);
        inside.in_flight = inside.in_flight.saturating_add(1);
        let mut keep = inside.rules.as_ref().and_then(|rules| rules.affinity.clone());
        let kept = keep.as_ref().and_then(|affinity| kept(affinity, headers, &inside.shares));
        keep = keep.filter(|_| kept.is_none());
        let (turn, generation) = (kept.or_else(|| inside.shares.turn()), inside.generation);
        Self { proxy: Arc::clone(proxy), turn, keep, generation, tried: Vec::new(), at: None }
    }

    /// The cookie that keeps the client with whom it was answered by, unless it has one, or that version keeps none.
    pub(super) fn cookie(&self, choice: &Choice) -> Option<String> {
        let keep = self.keep.as_ref().filter(|affinity| affinity.keeps(choice.weight.digest));
        keep.map(|affinity| cookie(affinity, &Pool::of(&choice.weight)))
    }

    pub(super) fn has_version(&self) -> bool {
        self.turn.is_some()
    }

    pub(super) fn wiring(&self) -> &Wiring {
        &self.proxy.wiring
    }

    /// The next instance to try: of the version whose turn it is, then of the others that have a
    /// share, the largest first. Never one that was tried before.
    pub(super) fn next(&mut self) -> Option<Choice> {
        let mut inside = lock(&self.proxy.inside);
        let mut order = inside.shares.weights().to_vec();
        order.sort_by(|a, b| {
            let mine = |weight: &Weight| self.turn.as_ref() != Some(&Pool::of(weight));
            mine(a).cmp(&mine(b)).then(b.percent.cmp(&a.percent)).then(a.digest.cmp(&b.digest))
        });
        let (weight, backend) = order.into_iter().find_map(|weight| {
            inside.backends.next(&Pool::of(&weight), &self.tried).map(|backend| (weight, backend))
        })?;
        self.tried.push(backend.id.clone());
        inside.fly(self.at.replace(backend.pool.clone()).as_ref(), Some(&backend.pool));
        // Counted before the lock is given back, so that a draining instance cannot be missed.
        Some(Choice { lease: Lease::new(&backend), weight })
    }

    /// Counts a response of `version`.
    pub(super) fn served(&self, version: Digest) {
        let mut inside = lock(&self.proxy.inside);
        if inside.generation == self.generation {
            let count = inside.served.entry(version).or_default();
            *count = count.saturating_add(1);
        }
    }
}

impl Inside {
    /// A request goes from one pool to another, or comes, or ends.
    fn fly(&mut self, from: Option<&Pool>, to: Option<&Pool>) {
        if let Some(to) = to {
            *self.flights.entry(to.clone()).or_default() += 1;
        }
        if let Some(from) = from {
            let left = self.flights.remove(from).unwrap_or_default().saturating_sub(1);
            if left > 0 {
                self.flights.insert(from.clone(), left);
            }
        }
    }
}

/// With whom a cookie keeps a client: only with somebody who keeps clients, and has a share.
fn kept(affinity: &Affinity, headers: &HeaderMap, shares: &Shares) -> Option<Pool> {
    let all = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut values = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == affinity.cookie).then_some(value)
    });
    let value = values.next()?;
    let mut pools = shares.weights().iter().map(Pool::of);
    pools.find(|pool| affinity.keeps(pool.digest) && pool.tag() == value)
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut inside = lock(&self.proxy.inside);
        inside.in_flight = inside.in_flight.saturating_sub(1);
        inside.fly(self.at.as_ref(), None);
    }
}
