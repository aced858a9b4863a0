//! One service for all: demands the token, and finds the provider by the path.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};

use futures_util::FutureExt as _;
use prost::Message;
use prost::bytes::Bytes;
use release_core::port::EffectCertainty;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::context::context;
use super::services::Services;
use crate::kind::Manifest;
use crate::plugin::boundary::Served;
use crate::plugin::carry::Carried;
use crate::plugin::envelope::{Call, Outcome, Reply};
use crate::plugin::messages::error_to_wire;
use crate::plugin::{TOKEN_METADATA, pb};
use crate::sync::lock;
use crate::{ErrorKind, ProviderError};

type Boxed<T, E> = std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// What all calls of a plugin go through. `H` serves `grpc.health.v1`.
#[derive(Clone)]
pub(super) struct Router<H> {
    shared: Arc<Shared>,
    health: H,
}

struct Shared {
    token: String,
    manifest: pb::DescribeReply,
    services: Services,
    /// Calls that are not answered yet, with what cancels them.
    open: Mutex<BTreeMap<String, CancellationToken>>,
    tasks: TaskTracker,
    asked_to_end: CancellationToken,
}

impl<H> Router<H> {
    pub(super) fn new(
        token: String,
        manifest: &Manifest,
        services: Services,
        health: H,
        asked_to_end: CancellationToken,
    ) -> Self {
        let shared = Shared {
            token,
            manifest: manifest.to_wire(),
            services,
            open: Mutex::default(),
            tasks: TaskTracker::new(),
            asked_to_end,
        };
        Self { shared: Arc::new(shared), health }
    }
}

impl<H> Service<http::Request<Body>> for Router<H>
where
    H: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    H::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let token = request.headers().get(TOKEN_METADATA);
        if !token.is_some_and(|token| same(token.as_bytes(), self.shared.token.as_bytes())) {
            return answer(Status::unauthenticated("the token of this start is missing or wrong"));
        }
        let path = request.uri().path().to_owned();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (service, method) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let shared = Arc::clone(&self.shared);
        match (service, method) {
            ("grpc.health.v1.Health", _) => Box::pin(self.health.call(request)),
            ("release.plugin.v1.Plugin", "Describe") => {
                unary(request, move |_: pb::DescribeRequest| {
                    let manifest = shared.manifest.clone();
                    async { Ok(manifest) }
                })
            }
            ("release.plugin.v1.Plugin", "Configure") => {
                unary(request, move |settings: pb::ConfigureRequest| async move {
                    let error = shared.services.configure(settings).await.err();
                    Ok(pb::ConfigureReply { error: error.as_ref().map(error_to_wire) })
                })
            }
            ("release.plugin.v1.Plugin", "Cancel") => {
                unary(request, move |cancel: pb::CancelRequest| {
                    if let Some(open) = lock(&shared.open).get(&cancel.call_id) {
                        open.cancel();
                    }
                    async { Ok(pb::CancelReply {}) }
                })
            }
            ("release.plugin.v1.Plugin", "Shutdown") => {
                unary(request, move |_: pb::ShutdownRequest| {
                    shared.asked_to_end.cancel();
                    async { Ok(pb::ShutdownReply {}) }
                })
            }
            _ => match shared.services.get(service) {
                Some(served) => {
                    let method = method.to_owned();
                    unary(request, move |call| provide(shared, served, method, call))
                }
                None => answer(Status::unimplemented("this plugin does not have that capability")),
            },
        }
    }
}

fn answer(status: Status) -> Boxed<http::Response<Body>, Infallible> {
    Box::pin(async move { Ok(status.into_http()) })
}

/// Whether both are the same, in a time that does not tell where they differ.
fn same(given: &[u8], token: &[u8]) -> bool {
    let differ = given.iter().zip(token).fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
    given.len() == token.len() && differ == 0
}

/// Serves one call of one message.
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
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<B, A>::default())
            .max_decoding_message_size(usize::MAX) // the host is trusted, and bounds what it sends
            .max_encoding_message_size(usize::MAX); // and what it takes
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

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        match self.0.take() {
            Some(handle) => {
                let handled = handle(request.into_inner());
                Box::pin(async move { handled.await.map(Response::new) })
            }
            None => Box::pin(async { Err(Status::internal("asked twice")) }), // never: it is one call
        }
    }
}

/// A call that is open; dropped, also by a host that no longer waits, it is cancelled.
struct Open {
    shared: Arc<Shared>,
    call_id: String,
    cancellation: CancellationToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.cancellation.cancel();
        lock(&self.shared.open).remove(&self.call_id);
    }
}

async fn provide(
    shared: Arc<Shared>,
    served: Arc<dyn Served>,
    method: String,
    call: Call,
) -> Result<Reply, Status> {
    let context_of_call = call.context.unwrap_or_default();
    let call_id = context_of_call.call_id.clone();
    let cancellation = CancellationToken::new();
    lock(&shared.open).insert(call_id.clone(), cancellation.clone());
    let tasks = shared.tasks.clone();
    let open = Open { shared, call_id: call_id.clone(), cancellation: cancellation.clone() };
    let outcome = match context(context_of_call, cancellation) {
        Err(error) => Err(error),
        Ok(cx) => {
            // It goes on when nobody waits, and a panic is its own.
            let request: Bytes = call.request;
            let work = async move { served.call(&method, &cx, request).await };
            let work = AssertUnwindSafe(work).catch_unwind();
            match Carried::new(work, &tasks, &Handle::current()).await {
                Ok(Some(outcome)) => outcome,
                Ok(None) => return Err(Status::unimplemented("there is no such method")),
                Err(_) => Err(panicked()),
            }
        }
    };
    drop(open);
    let result = match outcome {
        Ok(answer) => Outcome::Ok(answer.into()),
        Err(error) => Outcome::Error(error_to_wire(&error)),
    };
    Ok(Reply { call_id, result: Some(result) })
}

fn panicked() -> ProviderError {
    let text = "the provider panicked; the plugin's standard error says where";
    ProviderError::new(ErrorKind::Internal, "plugin.call", text)
        .with_effect(EffectCertainty::Unknown)
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn tokens_are_the_same_or_not() {
        for (given, token, is) in [
            ("", "", true),
            ("abc", "abc", true),
            ("abd", "abc", false),
            ("ab", "abc", false),
            ("abcd", "abc", false),
            ("", "abc", false),
        ] {
            assert_eq!(same(given.as_bytes(), token.as_bytes()), is, "{given} {token}");
        }
    }
}
