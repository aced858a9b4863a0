//! A call by tonic alone: the same socket, codec and limits, with messages of as many bytes, and nothing else.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::UnixListenerStream;
use tonic::codegen::{Service, http};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::Answering;
use crate::Failure;

/// A message with as many bytes as a call of the contract, and one with as many as its reply.
#[derive(Clone, PartialEq, prost::Message)]
struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    context: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    request: Bytes,
}

/// Bytes of the call's context, of its request, and of its answer: those of [`Question`](super::Question), and no fewer.
const CALL: (usize, usize) = (96, 32);
const REPLY: (usize, usize) = (8, 32);

const LIMIT: usize = 4 << 20;

fn message((context, request): (usize, usize)) -> Echo {
    Echo { context: vec![b'x'; context].into(), request: vec![b'y'; request].into() }
}

/// A bare server in a process of its own. Dropped, it is killed.
#[derive(Debug, Clone)]
pub struct Bare {
    channel: Channel,
    call: Echo,
    _child: Arc<Child>,
}

impl Bare {
    pub(super) async fn start(binary: &Path, socket: PathBuf) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command.arg(&socket).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        if line != "ready\n" {
            return Err(format!("the bare server says {line:?}").into());
        }
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
        let channel = endpoint.connect().await?;
        Ok(Self { channel, call: message(CALL), _child: Arc::new(child) })
    }
}

impl Answering for Bare {
    async fn call(&self) -> Result<(), Failure> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(LIMIT)
            .max_encoding_message_size(LIMIT);
        grpc.ready().await?;
        let (path, codec) =
            (PathAndQuery::from_static("/bench.Echo/Call"), ProstCodec::<Echo, Echo>::default());
        let reply = grpc.unary(Request::new(self.call.clone()), path, codec).await?.into_inner();
        if reply.request.len() == REPLY.1 { Ok(()) } else { Err("another answer".into()) }
    }
}

/// Serves until it is killed.
///
/// # Errors
/// When it cannot listen.
#[expect(clippy::print_stdout, reason = "whoever started it waits for that")]
pub async fn serve_bare(socket: &Path) -> Result<(), Failure> {
    drop(std::fs::remove_file(socket)); // of one before
    let listener = UnixListener::bind(socket)?;
    println!("ready");
    let served = Server::builder().serve_with_incoming(Echoes, UnixListenerStream::new(listener));
    Ok(served.await?)
}

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// As tonic generates it.
#[derive(Clone)]
struct Echoes;

impl Service<http::Request<Body>> for Echoes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Echo, Echo>::default());
            Ok(grpc.unary(Reply, request).await)
        })
    }
}

struct Reply;

impl Service<Request<Echo>> for Reply {
    type Response = Response<Echo>;
    type Error = Status;
    type Future = Boxed<Response<Echo>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Echo>) -> Self::Future {
        Box::pin(async { Ok(Response::new(message(REPLY))) })
    }
}
