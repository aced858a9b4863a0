//! A plugin that runs: its connection, its calls and its end.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use prost::Message;
use release_core::model::Span;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, ChildStdin};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;

use super::binary::Binary;
use super::group::Group;
use super::output::Output;
use super::{CallLimits, Inner, PluginFault};
use crate::plugin::{HEALTH_SERVICE, TOKEN_METADATA};
use crate::sync::lock;

/// The connection to a plugin.
#[derive(Debug, Clone)]
pub(super) struct Line {
    channel: Channel,
    token: MetadataValue<Ascii>,
    limits: CallLimits,
}

impl Line {
    pub(super) const fn new(
        channel: Channel,
        token: MetadataValue<Ascii>,
        limits: CallLimits,
    ) -> Self {
        Self { channel, token, limits }
    }

    /// Makes one call.
    pub(super) async fn unary<A, B>(&self, path: &'static str, message: A) -> Result<B, Status>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
    {
        let mut request = Request::new(message);
        let mut token = self.token.clone();
        // It is marked so that nothing shows it. A header that is so marked goes out whole each time (RFC 7541, 7.1.3),
        // which is against those who guess at a connection that they share: this one is shared with nobody.
        token.set_sensitive(false);
        request.metadata_mut().insert(TOKEN_METADATA, token);
        self.send(path, request).await
    }

    /// Makes one call that must be refused.
    pub(super) async fn without_token<A, B>(
        &self,
        path: &'static str,
        message: A,
    ) -> Result<B, Status>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
    {
        self.send(path, Request::new(message)).await
    }

    async fn send<A, B>(&self, path: &'static str, request: Request<A>) -> Result<B, Status>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(self.limits.answer)
            .max_encoding_message_size(self.limits.request);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(path);
        Ok(grpc.unary(request, path, ProstCodec::<A, B>::default()).await?.into_inner())
    }

    /// Asks after its health.
    async fn healthy(&self) -> bool {
        let request = HealthCheckRequest { service: HEALTH_SERVICE.to_owned() };
        let answer = self.unary("/grpc.health.v1.Health/Check", request).await;
        answer.is_ok_and(|answer: HealthCheckResponse| answer.status == SERVING)
    }
}

/// `SERVING` of `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;

/// The end of a process, which is seen before anybody has waited for it.
pub(super) struct Exit(AsyncFd<OwnedFd>);

impl Exit {
    #[expect(
        deprecated,
        reason = "what takes its place is unsafe; an owned descriptor stays open, which is all it asks for"
    )]
    pub(super) fn of(pid: Pid) -> std::io::Result<Self> {
        let fd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        Ok(Self(AsyncFd::with_interest(fd, Interest::READABLE)?))
    }

    pub(super) async fn wait(&self) {
        drop(self.0.readable().await); // fails only when the runtime is shut down
    }
}

/// Why the host ends a process.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// It did not answer this.
    Hung(String),
    /// It broke its limits.
    Fault(PluginFault),
    /// It failed too often.
    Quarantine,
    /// The host does not need it any more.
    Asked,
}

/// A plugin that runs.
pub(super) struct Process {
    group: Group,
    pub(super) line: Line,
    pub(super) output: Arc<Output>,
    /// Cancelled when nothing of it is left.
    pub(super) gone: CancellationToken,
    /// Cancelled when the leases of its settings have ended too.
    pub(super) released: CancellationToken,
    /// How it ended.
    exit: OnceLock<String>,
    ending: Mutex<Option<Ending>>,
    stdin: Mutex<Option<ChildStdin>>,
    /// Which start it is of.
    number: u64,
    calls: AtomicU64,
    _binary: Binary,
}

impl Process {
    pub(super) fn new(
        number: u64,
        group: Group,
        line: Line,
        output: Arc<Output>,
        stdin: ChildStdin,
        binary: Binary,
    ) -> Self {
        Self {
            group,
            line,
            output,
            gone: CancellationToken::new(),
            released: CancellationToken::new(),
            exit: OnceLock::new(),
            ending: Mutex::default(),
            stdin: Mutex::new(Some(stdin)),
            number,
            calls: AtomicU64::new(0),
            _binary: binary,
        }
    }

    pub(super) const fn leader(&self) -> Pid {
        self.group.leader()
    }

    /// The id of a new call.
    pub(super) fn next_call(&self) -> String {
        format!("{}-{}", self.number, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether that is the id of a call that was made, of this start or one before.
    pub(super) fn made(&self, call_id: &str) -> bool {
        let number = |text: &str| text.parse::<u64>().ok();
        let Some((start, call)) = call_id.split_once('-') else { return false };
        let (Some(start), Some(call)) = (number(start), number(call)) else { return false };
        start < self.number || start == self.number && call < self.calls.load(Ordering::Relaxed)
    }

    /// How it ended, once it has.
    pub(super) fn exit(&self) -> &str {
        self.exit.get().map_or("it still runs", String::as_str)
    }

    /// Why the host ended it, if it did.
    pub(super) fn ending(&self) -> Option<Ending> {
        lock(&self.ending).clone()
    }

    /// Says why it is to end, unless it is ending already.
    pub(super) fn set_ending(&self, why: Ending) {
        lock(&self.ending).get_or_insert(why);
    }

    /// Kills all its processes.
    pub(super) fn kill(&self, why: Ending) {
        self.set_ending(why);
        self.group.signal(Signal::KILL);
    }

    /// Asks to end: by the contract, by the end of standard input and, after a grace each, by SIGTERM and SIGKILL.
    pub(super) async fn stop(&self, inner: &Inner) {
        self.set_ending(Ending::Asked);
        let clock = &inner.host.clock;
        let grace = inner.spec.stop_grace;
        let until = clock.now().plus(grace);
        let ask = async {
            let request = crate::plugin::pb::ShutdownRequest {};
            let path = "/release.plugin.v1.Plugin/Shutdown";
            let answer: Result<crate::plugin::pb::ShutdownReply, _> =
                self.line.unary(path, request).await;
            drop(answer); // it ends, or is made to
        };
        tokio::select! {
            () = ask => {}
            () = self.gone.cancelled() => return,
            () = clock.sleep_until(until) => {}
        }
        tokio::select! {
            () = self.gone.cancelled() => return,
            () = clock.sleep_until(until) => {}
        }
        drop(lock(&self.stdin).take());
        self.group.signal(Signal::TERM);
        tokio::select! {
            () = self.gone.cancelled() => return,
            () = clock.sleep_until(clock.now().plus(grace)) => {}
        }
        self.kill(Ending::Asked);
        self.gone.cancelled().await;
    }
}

/// Waits for the end of a plugin, and clears away what is left of it.
pub(super) async fn watch(
    inner: Arc<Inner>,
    process: Arc<Process>,
    exit: Exit,
    mut child: Child,
    output: [JoinHandle<()>; 2],
) {
    exit.wait().await;
    let clock = &inner.host.clock;
    process.group.end(clock).await;
    let exit = child.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string());
    process.group.ended();
    // What it printed is read to the end; somebody who hid from the host may still hold the streams.
    let drained = futures_util::future::join_all(output);
    tokio::select! {
        _ = drained => {}
        () = clock.sleep_until(clock.now().plus(Span::secs(1))) => {}
    }
    let exit = process.exit.get_or_init(|| exit);
    inner.ended(&process, exit);
    process.gone.cancel();
}

/// Looks now and then whether a plugin is within its limits, and well.
pub(super) async fn look(inner: Arc<Inner>, process: Arc<Process>) {
    let (clock, spec) = (&inner.host.clock, &inner.spec);
    let mut missed = 0_u32;
    loop {
        let next = clock.now().plus(spec.look_every);
        tokio::select! {
            () = process.gone.cancelled() => return,
            () = clock.sleep_until(next) => {}
        }
        if let Some(reason) = inner.host.revocations.of(spec.digest) {
            process.kill(Ending::Fault(PluginFault::Revoked { reason }));
        }
        if let Some(most) = spec.limits.processes {
            let processes = process.group.count();
            if u32::try_from(processes).unwrap_or(u32::MAX) > most {
                process.kill(Ending::Fault(PluginFault::Processes { processes, most }));
            }
        }
        let well = tokio::select! {
            well = process.line.healthy() => well,
            () = process.gone.cancelled() => return,
            () = clock.sleep_until(clock.now().plus(spec.look_every)) => false,
        };
        missed = if well { 0 } else { missed.saturating_add(1) };
        if missed > spec.missed_looks {
            process.kill(Ending::Hung("a look at its health".to_owned()));
        }
    }
}
