//! Load: several clients that never stop asking, over kept connections and over new ones, and note whatever goes wrong. Every
//! other request is a `POST` with a body, which no server may send a second time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use release_testkit::conformance::HookError;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::stage::VERSIONS;

/// How many clients keep their connections, and how many make a new one for each request.
const CLIENTS: [u64; 2] = [3, 3];
/// Half of a body.
const BODY: &[u8] = &[b'x'; 1_500];

#[derive(Debug, Default)]
struct Seen {
    stop: AtomicBool,
    answers: [AtomicU64; 2],
    failures: Mutex<Vec<String>>,
}

/// Clients at work, until they are told to stop.
#[derive(Debug)]
pub(crate) struct Load {
    seen: Arc<Seen>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn begin(address: SocketAddr) -> Self {
        let (seen, mut clients) = (Arc::new(Seen::default()), JoinSet::new());
        for (kept, count) in [true, false].into_iter().zip(CLIENTS) {
            for _ in 0..count {
                let seen = Arc::clone(&seen);
                clients.spawn(async move { ask_on(address, kept, &seen).await });
            }
        }
        Self { seen, clients }
    }

    /// Answers of each version so far.
    pub(crate) fn answers(&self) -> [u64; 2] {
        [0, 1].map(|which| self.seen.answers[which].load(Ordering::SeqCst))
    }

    /// All answers, once every client has had its last; all of them have to be good.
    pub(crate) async fn end(mut self) -> [u64; 2] {
        self.seen.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let failures = self.seen.failures.lock().unwrap().clone();
        assert!(failures.is_empty(), "{} failures: {:?}", failures.len(), failures.first());
        self.answers()
    }
}

async fn ask_on(address: SocketAddr, kept: bool, seen: &Seen) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    let mut post = false;
    while !seen.stop.load(Ordering::SeqCst) {
        post = !post;
        match ask(address, connection.take(), (kept, post)).await {
            Ok((version, stream)) => {
                let which = VERSIONS.iter().position(|known| *known == version);
                match which {
                    Some(which) => drop(seen.answers[which].fetch_add(1, Ordering::SeqCst)),
                    None => seen.failures.lock().unwrap().push(format!("version {version}")),
                }
                connection = kept.then_some(stream);
            }
            Err(error) => {
                seen.failures.lock().unwrap().push(format!("kept {kept}, post {post}: {error}"));
            }
        }
    }
}

/// One request and its whole answer; tells which version gave it.
async fn ask(
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    (keep, post): (bool, bool),
) -> Result<(String, BufReader<TcpStream>), HookError> {
    let mut stream = match connection {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(address).await?),
    };
    let connection = if keep { "keep-alive" } else { "close" };
    let head = format!("/work HTTP/1.1\r\nhost: api\r\nconnection: {connection}\r\n");
    if post {
        let length = BODY.len() * 2;
        let head = format!("POST {head}content-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), BODY].concat()).await?;
        // The instance that has the head gets the rest, too.
        tokio::task::yield_now().await;
        stream.write_all(BODY).await?;
    } else {
        stream.write_all(format!("GET {head}\r\n").as_bytes()).await?;
    }
    let answer = receive(&mut stream).await?;
    Ok((answer, stream))
}

/// Reads one answer, which has to be 200; tells which version gave it.
async fn receive(stream: &mut BufReader<TcpStream>) -> Result<String, HookError> {
    let (mut line, mut first, mut length, mut version) =
        (String::new(), String::new(), 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(format!("the connection ended after `{first}`").into());
        }
        let text = line.trim_end();
        if first.is_empty() {
            first = text.to_owned();
        }
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "x-version" => value.trim().clone_into(&mut version),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if first.starts_with("HTTP/1.1 200 ") {
        return Ok(version);
    }
    Err(format!("{first}: {}", String::from_utf8_lossy(&body)).into())
}
