//! Puts load on production and counts what comes back: the witness of what users see.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use release_core::model::Target;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The pause between two requests of one client.
const PAUSE: Duration = Duration::from_millis(6);
/// Clients for each target.
const CLIENTS: usize = 2;

/// What came back for each service: answers by version and status, and requests that got none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count {
    /// (service, version, status) → requests.
    pub(crate) answers: BTreeMap<(String, String, u16), u64>,
    /// Requests without an answer, or with one that came from no service, and why.
    pub(crate) lost: Vec<String>,
}

impl Count {
    pub(crate) fn requests(&self) -> u64 {
        self.answers.values().sum::<u64>() + self.lost.len() as u64
    }

    /// How many answers `choose` picks by service, version and status.
    pub(crate) fn of(&self, choose: impl Fn(&str, &str, u16) -> bool) -> u64 {
        let chosen = self
            .answers
            .iter()
            .filter(|((service, version, status), _)| choose(service, version, *status));
        chosen.map(|(_, count)| count).sum()
    }
}

pub(crate) struct Load {
    count: watch::Sender<Count>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(targets: Vec<(Target, SocketAddr)>) -> Self {
        let count = watch::Sender::new(Count::default());
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for (target, address) in targets {
            for _ in 0..CLIENTS {
                clients.spawn(client(
                    target.service.to_string(),
                    address,
                    count.clone(),
                    stopped.clone(),
                ));
            }
        }
        Self { count, stop, clients }
    }

    pub(crate) fn count(&self) -> Count {
        self.count.borrow().clone()
    }

    /// Waits until there was a request, so that whatever is said of the load is said of some.
    pub(crate) async fn has_begun(&self) {
        // INVARIANT: the sender lives as long as `self`, so the wait cannot fail.
        let _ = self.count.subscribe().wait_for(|count| count.requests() > 0).await;
    }

    /// Lets every client finish its request, and counts.
    pub(crate) async fn stop(mut self) -> Count {
        self.stop.send_replace(true);
        while self.clients.join_next().await.is_some() {}
        self.count()
    }
}

#[expect(clippy::disallowed_methods, reason = "users come in real time")]
async fn client(
    service: String,
    address: SocketAddr,
    count: watch::Sender<Count>,
    stop: watch::Receiver<bool>,
) {
    let mut pace = tokio::time::interval(PAUSE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut connection = None;
    while !*stop.borrow() {
        pace.tick().await;
        let result = request(&mut connection, address).await;
        count.send_modify(|count| match result {
            Ok((version, status)) => {
                *count.answers.entry((service.clone(), version, status)).or_default() += 1;
            }
            Err(error) => {
                connection = None;
                count.lost.push(format!("{service} at {address}: {error}"));
            }
        });
    }
}

/// One request on a connection that is kept. An answer without a version came from no service.
async fn request(
    connection: &mut Option<BufStream<TcpStream>>,
    address: SocketAddr,
) -> Result<(String, u16), Box<dyn std::error::Error + Send + Sync>> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(BufStream::new(TcpStream::connect(address).await?)),
    };
    stream.write_all(b"GET /work HTTP/1.1\r\nhost: shop\r\n\r\n").await?;
    stream.flush().await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status: u16 = line.split(' ').nth(1).ok_or("the connection was closed")?.parse()?;
    let (mut length, mut version) = (0, None);
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "x-version" => version = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let version = version.ok_or_else(|| format!("{status}: {}", String::from_utf8_lossy(&body)))?;
    Ok((version, status))
}
