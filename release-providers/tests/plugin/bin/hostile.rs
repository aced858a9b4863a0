//! A plugin that does everything wrong, one thing at a time: its argument says which. It speaks the contract by
//! messages of its own, so that it also shows what the contract looks like from outside of the crate.

use std::convert::Infallible;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tonic::body::Body;
use tonic::codegen::tokio_stream::StreamExt as _;
use tonic::codegen::tokio_stream::wrappers::UnixListenerStream;
use tonic::codegen::{Service, http};
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
struct CallContext {
    #[prost(string, tag = "1")]
    call_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Call {
    #[prost(message, optional, tag = "1")]
    context: Option<CallContext>,
    #[prost(bytes = "vec", tag = "2")]
    request: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(int32, tag = "4")]
    effect: i32,
    #[prost(string, tag = "6")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct Reply {
    #[prost(string, tag = "1")]
    call_id: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    ok: Option<Vec<u8>>,
    #[prost(message, optional, tag = "3")]
    error: Option<Failure>,
}

#[derive(Clone, PartialEq, Message)]
struct Description {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(int32, tag = "3")]
    effects: i32,
    #[prost(string, tag = "5")]
    config_schema: String,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    capability: String,
    #[prost(message, optional, tag = "2")]
    description: Option<Description>,
}

#[derive(Clone, PartialEq, Message)]
struct Manifest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(message, repeated, tag = "3")]
    capabilities: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Health {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// What is asked after, and the beginning of the answer.
#[derive(Clone, PartialEq, Message)]
struct Deployment {
    #[prost(bytes = "vec", tag = "1")]
    target: Vec<u8>,
    #[prost(string, tag = "2")]
    digest: String,
    #[prost(bytes = "vec", optional, tag = "5")]
    phase: Option<Vec<u8>>,
}

#[derive(Clone)]
struct Hostile {
    mode: Arc<str>,
    token: Arc<str>,
    /// The next bytes that are written are the answer to a call.
    armed: Arc<AtomicBool>,
    first: Arc<Mutex<Option<Reply>>>,
    name: Arc<str>,
}

impl Hostile {
    fn manifest(&self) -> Manifest {
        let description = Description {
            name: "hostile".into(),
            version: "1.0.0".into(),
            effects: 1,
            config_schema: match &*self.mode {
                "bad-manifest" => "{".into(),
                "large-manifest" => format!(r#"{{"title":"{}"}}"#, "x".repeat(64 << 10)),
                "secret-in-manifest" => format!(r#"{{"default":"{}"}}"#, secret()),
                _ => "true".into(),
            },
        };
        let entry = |capability: &str| Entry {
            capability: capability.into(),
            description: Some(description.clone()),
        };
        Manifest {
            name: self.name.to_string(),
            version: "1.0.0".into(),
            capabilities: vec![entry("deployer"), entry("notifier")],
        }
    }

    async fn answer(self, path: String, call: Call) -> Result<Reply, Status> {
        let call_id = call.context.unwrap_or_default().call_id;
        let reply = |ok| Reply { call_id: call_id.clone(), ok: Some(ok), error: None };
        let done = reply(Vec::new());
        self.armed.store(true, Ordering::SeqCst);
        match &*self.mode {
            "abort" => std::process::abort(),
            "hang" => {
                let _told = std::fs::write(from_host("STATE"), "called");
                std::future::pending().await
            }
            "freeze" => {
                let own = rustix::process::getpid();
                let _stopped = rustix::process::kill_process(own, rustix::process::Signal::STOP);
                std::future::pending().await
            }
            "memory" => eat(),
            "fork" => {
                breed();
                std::future::pending().await
            }
            "oversized" => Ok(reply(vec![0; 64 << 20])),
            "wrong-id" => Ok(Reply { call_id: "9-9999".into(), ..done }),
            "replay" => {
                let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(first.get_or_insert(done).clone())
            }
            "neither" => Ok(Reply { ok: None, ..done }),
            "status" => Err(Status::internal(format!("exception with {}", secret()))),
            "no-method" => Err(Status::unimplemented("what is that?")),
            "noise" => {
                make_noise(&self.token);
                Ok(done)
            }
            "secret" => {
                let message = format!("denied for {}\u{1b}[2J with {}", secret(), self.token);
                Ok(Reply { ok: None, error: Some(Failure { kind: 6, effect: 1, message }), ..done })
            }
            "nonsense" if path.ends_with("Observe") => Ok(reply(vec![0xff; 40])),
            "lies" if path.ends_with("Observe") => {
                let mut answer = Deployment::decode(&*call.request).unwrap_or_default();
                answer.phase = Some(vec![0x0a, 0x00]); // settled, and nothing runs
                Ok(reply(answer.encode_to_vec()))
            }
            "secret-in-answer" if path.ends_with("Observe") => {
                let mut answer = Deployment::decode(&*call.request).unwrap_or_default();
                // Failed, since the server did not take the secret.
                let reason = format!("401 for {}", secret());
                let length = |text: &[u8]| u8::try_from(text.len()).unwrap_or_default();
                let failed = [&[0x0a, length(reason.as_bytes())], reason.as_bytes()].concat();
                answer.phase = Some([&[0x1a, length(&failed)], &*failed].concat());
                Ok(reply(answer.encode_to_vec()))
            }
            _ => Ok(done),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the test hands a secret over in the environment")]
fn secret() -> String {
    std::env::var("SECRET").unwrap_or_default()
}

/// Takes memory until there is none.
fn eat() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 16 << 20]);
    }
}

/// Makes processes that do nothing, half of them in groups of their own.
fn breed() {
    for number in 0..100 {
        let mut child = Command::new("/proc/self/exe");
        child.arg("idle").stdin(Stdio::null());
        if number % 2 == 1 {
            child.process_group(0);
        }
        drop(child.spawn());
    }
}

fn make_noise(token: &str) {
    for _ in 0..20_000 {
        for mut stream in [
            Box::new(std::io::stdout()) as Box<dyn std::io::Write>,
            Box::new(std::io::stderr()) as Box<dyn std::io::Write>,
        ] {
            let _nobody_reads = writeln!(stream, "1|1|unix|/etc/passwd|grpc \u{1b}[31m {token}");
        }
    }
    let _nobody_reads = std::io::stderr().write_all(&vec![b'x'; 4 << 20]);
}

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<http::Request<Body>> for Hostile {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let given = request.headers().get("release-plugin-token").map(|t| t.as_bytes().to_vec());
        if &*self.mode != "no-token" && given.as_deref() != Some(self.token.as_bytes()) {
            return Box::pin(async { Ok(Status::unauthenticated("who are you?").into_http()) });
        }
        let (hostile, path) = (self.clone(), request.uri().path().to_owned());
        match &*path {
            "/release.plugin.v1.Plugin/Describe" => {
                unary(request, move |()| async move { Ok(hostile.manifest()) })
            }
            // It takes what it gets.
            "/release.plugin.v1.Plugin/Configure" => unary(request, |()| async { Ok(()) }),
            // It says that it will.
            "/release.plugin.v1.Plugin/Shutdown" | "/release.plugin.v1.Plugin/Cancel" => {
                unary(request, |()| async { Ok(()) })
            }
            "/grpc.health.v1.Health/Check" => {
                unary(request, |()| async { Ok(Health { status: 1 }) })
            }
            _ => unary(request, move |call: Call| hostile.answer(path, call)),
        }
    }
}

fn unary<A, B, F, Fut>(
    request: http::Request<Body>,
    handle: F,
) -> Boxed<http::Response<Body>, Infallible>
where
    A: Message + Default + 'static,
    B: Message + Default + 'static,
    F: FnOnce(A) -> Fut + Send + 'static,
    Fut: Future<Output = Result<B, Status>> + Send + 'static,
{
    Box::pin(async move {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<B, A>::default());
        Ok(grpc.unary(Once(Some(handle)), request).await)
    })
}

struct Once<F>(Option<F>);

impl<A, B, F, Fut> Service<Request<A>> for Once<F>
where
    B: Send + 'static,
    F: FnOnce(A) -> Fut,
    Fut: Future<Output = Result<B, Status>> + Send + 'static,
{
    type Response = Response<B>;
    type Error = Status;
    type Future = Boxed<Response<B>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        match self.0.take() {
            Some(handle) => {
                let handled = handle(request.into_inner());
                Box::pin(async move { handled.await.map(Response::new) })
            }
            None => Box::pin(async { Err(Status::internal("asked twice")) }),
        }
    }
}

/// A connection that writes its answers badly.
struct Wire {
    stream: UnixStream,
    mode: Arc<str>,
    armed: Arc<AtomicBool>,
    tick: tokio::time::Interval,
}

impl Connected for Wire {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if !self.armed.load(Ordering::SeqCst) {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        match &*self.mode {
            "trickle" => {
                if self.tick.poll_tick(cx).is_pending() {
                    return Poll::Pending;
                }
                Pin::new(&mut self.stream).poll_write(cx, bytes.split_at(1.min(bytes.len())).0)
            }
            "mid-write" => {
                let half = bytes.split_at(bytes.len() / 2).0;
                let _written = Pin::new(&mut self.stream).poll_write(cx, half);
                std::process::exit(0)
            }
            "garbage-frames" => {
                let garbage = vec![0xee; bytes.len()];
                Pin::new(&mut self.stream).poll_write(cx, &garbage)
            }
            _ => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn idle() -> ! {
    loop {
        std::thread::park();
    }
}

/// What it says instead of a handshake, if it does.
fn first_words(mode: &str, socket: &str) -> Option<String> {
    match mode {
        "garbage" => Some("Welcome to ACME!\u{7}\n".to_owned()),
        "endless-line" => Some("1".repeat(1 << 20)),
        "silent" => Some(String::new()),
        "old-core" => Some(format!("2|1|unix|{socket}|grpc\n")),
        "version" => Some(format!("1|9|unix|{socket}|grpc\n")),
        "tcp" => Some("1|1|tcp|127.0.0.1:1|grpc\n".to_owned()),
        "elsewhere" => Some("1|1|unix|/tmp/elsewhere.sock|grpc\n".to_owned()),
        "no-socket" => Some(format!("1|1|unix|{socket}.not|grpc\n")),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "hosts speak to plugins by the environment")]
fn from_host(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the mode stands on the command line")]
fn mode() -> String {
    std::env::args().nth(1).unwrap_or_default()
}

/// Another name at every start.
fn name(mode: &str) -> String {
    if mode != "two-faced" {
        return "hostile".to_owned();
    }
    let path = PathBuf::from(from_host("STATE"));
    let met = std::fs::exists(&path).unwrap_or_default();
    let _kept = std::fs::write(path, "met");
    if met { "friend" } else { "hostile" }.to_owned()
}

#[expect(clippy::disallowed_methods, reason = "it is slow because that is what it is for")]
fn tick() -> tokio::time::Interval {
    // A whole answer takes half a minute: longer than any deadline, also of a host that is held up.
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

fn main() -> ExitCode {
    let mode = mode();
    match &*mode {
        "idle" => idle(),
        "quit" => return ExitCode::from(7),
        _ => {}
    }
    let socket = format!("{}/hostile.sock", from_host("PLUGIN_UNIX_SOCKET_DIR"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let Ok(listener) = UnixListener::bind(&socket) else { return };
        let words = first_words(&mode, &socket);
        let goes_on = words.is_none();
        let line = words.unwrap_or_else(|| format!("1|1|unix|{socket}|grpc\n"));
        let mut stdout = std::io::stdout();
        let _nobody_reads = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
        if !goes_on {
            idle();
        }
        let hostile = Hostile {
            name: name(&mode).into(),
            mode: mode.into(),
            token: from_host("RELEASE_PLUGIN_TOKEN").into(),
            armed: Arc::default(),
            first: Arc::default(),
        };
        let (mode, armed) = (Arc::clone(&hostile.mode), Arc::clone(&hostile.armed));
        let wires = UnixListenerStream::new(listener).map(move |stream| {
            let (mode, armed) = (Arc::clone(&mode), Arc::clone(&armed));
            stream.map(|stream| Wire { stream, mode, armed, tick: tick() })
        });
        let _ended = tonic::transport::Server::builder().serve_with_incoming(hostile, wires).await;
    });
    ExitCode::SUCCESS
}
