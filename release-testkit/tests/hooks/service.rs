//! A web service of a test's own, over TLS or without: it keeps what it was sent, and answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// The first line and the headers, in lower case but for values.
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// How it answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16, String),
    /// The request is read, and the connection breaks off.
    Nothing,
    /// Nothing comes for as long as the client waits.
    Silence,
}

#[derive(Debug, Default)]
struct State {
    heard: Vec<Heard>,
    replies: VecDeque<Reply>,
}

/// The service; what is not scripted is answered with 200.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// The certificate's authority, where TLS is spoken.
    authority: Option<(TempDir, PathBuf)>,
    /// Ends with the service.
    _task: JoinSet<()>,
}

impl Service {
    pub(crate) async fn plain() -> Self {
        Self::open(None, None).await
    }

    /// One with a certificate for `localhost`, of an authority that nobody else knows.
    pub(crate) async fn secure() -> Self {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authority.pem");
        std::fs::write(&path, made.cert.pem()).unwrap();
        Self::open(Some(TlsAcceptor::from(Arc::new(config))), Some((directory, path))).await
    }

    async fn open(tls: Option<TlsAcceptor>, authority: Option<(TempDir, PathBuf)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, state) = (tls.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &state).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &state).await,
                            Err(_) => None, // the client does not trust it
                        },
                    }
                });
            }
        });
        Self { address, state, authority, _task: task }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.authority.as_ref().unwrap().1.clone()
    }

    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().replies.extend(replies);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.state.lock().unwrap().heard.clone()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    state: &Mutex<State>,
) -> Option<()> {
    loop {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut request = Heard { head, body: Value::Null };
        let length: usize =
            request.header("content-length").map_or(0, |text| text.parse().unwrap());
        while bytes.len() < end + 4 + length {
            stream.read_buf(&mut bytes).await.ok()?;
        }
        request.body = serde_json::from_slice(&bytes[end + 4..]).unwrap();
        let reply = {
            let mut state = state.lock().unwrap();
            state.heard.push(request);
            state.replies.pop_front().unwrap_or_else(|| Reply::Status(200, "{}".into()))
        };
        match reply {
            Reply::Status(status, body) => {
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nlocation: http://127.0.0.1:1/\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.ok()?;
            }
            Reply::Nothing => return None,
            Reply::Silence => std::future::pending().await,
        }
    }
}
