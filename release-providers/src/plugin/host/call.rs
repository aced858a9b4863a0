//! One call, from a provider's method to its answer.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;
use release_core::port::EffectCertainty;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status};

use super::leave::Caller;
use super::process::{Ending, Process};
use super::{Handle, Inner, PluginFault};
use crate::error::chain;
use crate::plugin::carry::Carried;
use crate::plugin::envelope::{Call, Outcome, Reply};
use crate::plugin::messages::error_from_wire;
use crate::plugin::pb;
use crate::plugin::wire::{Crosses, Wire as _};
use crate::spi::SecretLease;
use crate::{Context, Description, ErrorKind, ProviderError, Secret};

/// A plugin is asked so long after the first time again to end a call; then after twice the time, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A method of a capability.
#[derive(Debug)]
pub(in crate::plugin) struct Operation {
    /// The path of the gRPC method.
    pub(in crate::plugin) path: &'static str,
    /// The service that it is of.
    pub(in crate::plugin) service: &'static str,
    /// What errors call it.
    pub(in crate::plugin) name: &'static str,
}

/// One capability of a plugin.
#[derive(Debug)]
pub(in crate::plugin) struct Remote {
    pub(super) handle: Arc<Handle>,
    pub(super) description: Description,
}

impl Remote {
    pub(in crate::plugin) fn description(&self) -> Description {
        self.description.clone()
    }

    /// Makes a call and reads its answer. A secret in it is known from then on.
    pub(in crate::plugin) async fn call<A, B>(
        &self,
        operation: &'static Operation,
        cx: &Context,
        request: &A,
    ) -> Result<B, ProviderError>
    where
        A: Crosses,
        B: Crosses + Serialize + DeserializeOwned + 'static,
    {
        let inner = &self.handle.inner;
        let answer = inner.call(operation, cx, request.encoded(), secret::<B>).await?;
        let unreadable = |problem: &dyn std::fmt::Display| {
            let fault = PluginFault::Answer {
                operation: operation.name.into(),
                problem: inner.clean(&problem.to_string()),
            };
            inner.fault(operation, &fault)
        };
        let message = B::Message::decode(answer).map_err(|error| unreadable(&error))?;
        let answer = B::from_wire(message).map_err(|error| unreadable(&error))?;
        // The token of a start, which this one does not know, is worth nothing to whoever reads an answer.
        inner.host.redactor.answer(answer, |problem| {
            ProviderError::new(ErrorKind::Internal, operation.name, problem)
                .with_effect(EffectCertainty::Unknown)
                .with_context("plugin", &inner.spec.name)
        })
    }
}

/// The secret in an answer that is a `B`.
fn secret<B: 'static>(answer: &Bytes) -> Option<Secret> {
    if TypeId::of::<B>() != TypeId::of::<SecretLease>() {
        return None;
    }
    let lease = pb::SecretLease::decode(answer.clone()).ok()?;
    Some(Secret::new(lease.value))
}

/// Why a call is asked to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The caller cancelled it, or is gone.
    Cancelled,
    /// Its deadline passed.
    Late,
}

impl Stop {
    /// What the end that was asked for is to the caller: a plugin hears that a call is to end, and not why.
    fn told(self, error: ProviderError) -> ProviderError {
        match (self, error.kind()) {
            (Self::Late, ErrorKind::Cancelled) => error.renamed(ErrorKind::Timeout),
            _ => error,
        }
    }
}

/// A call on its way: it is followed to its end also when nobody waits any more.
struct Pending {
    inner: Arc<Inner>,
    operation: &'static Operation,
    cx: Context,
    /// Finds the secret in its answer.
    secret: fn(&Bytes) -> Option<Secret>,
    /// Cancelled when the caller is gone.
    left: CancellationToken,
    /// Cancelled, when it is dropped, since the call has ended.
    _ended: DropGuard,
    answer: Option<oneshot::Sender<Result<Bytes, ProviderError>>>,
}

impl Inner {
    async fn call(
        self: &Arc<Self>,
        operation: &'static Operation,
        cx: &Context,
        request: Vec<u8>,
        secret: fn(&Bytes) -> Option<Secret>,
    ) -> Result<Bytes, ProviderError> {
        let (sender, mut receiver) = oneshot::channel();
        let (clock, grace) = (&self.host.clock, self.spec.calls.grace);
        let caller = Caller::of(&self.left, clock, grace, operation.service);
        let pending = Pending {
            inner: Arc::clone(self),
            operation,
            cx: cx.clone(),
            secret,
            left: caller.gone.clone(),
            _ended: caller.ended.clone().drop_guard(),
            answer: Some(sender),
        };
        let mut work = Carried::new(pending.run(request), &self.tasks, &self.runtime);
        let answer = tokio::select! {
            biased;
            answer = &mut receiver => answer,
            () = &mut work => receiver.await,
        };
        caller.stays();
        answer.unwrap_or_else(|_| {
            let text = "the host shut down before the call had ended";
            Err(ProviderError::new(ErrorKind::Unavailable, operation.name, text)
                .with_effect(EffectCertainty::Unknown))
        })
    }
}

impl Pending {
    async fn run(mut self, request: Vec<u8>) {
        let inner = Arc::clone(&self.inner);
        let places = async {
            inner.left.settled(self.operation.service, &*inner.host.clock).await;
            let place = inner.places.acquire().await;
            (place, inner.running().await)
        };
        // Mostly there is one, and nothing has to be waited for.
        let found = tokio::select! {
            biased;
            found = places => Ok(found),
            stop = self.stop() => Err(stop),
        };
        let (_place, process) = match (found, self.over()) {
            (Ok(found), None) => found,
            (Err(stop), _) | (_, Some(stop)) => return self.finish(Err(self.not_begun(stop))),
        };
        match process {
            Ok(process) => self.perform(&process, request).await,
            Err(problem) => self.finish(Err(inner.error(problem).of_call(self.operation.name))),
        }
    }

    fn finish(&mut self, answer: Result<Bytes, ProviderError>) {
        if let Some(sender) = self.answer.take() {
            drop(sender.send(answer)); // nobody waits any more
        }
    }

    /// Whether the call is to end at once. A timer may round; this does not.
    fn over(&self) -> Option<Stop> {
        if self.cx.cancellation.is_cancelled() || self.left.is_cancelled() {
            return Some(Stop::Cancelled);
        }
        (self.inner.host.clock.now() >= self.cx.deadline).then_some(Stop::Late)
    }

    /// Until the call is to end early.
    async fn stop(&self) -> Stop {
        let clock = &self.inner.host.clock;
        tokio::select! {
            () = self.cx.cancellation.cancelled() => Stop::Cancelled,
            () = self.left.cancelled() => Stop::Cancelled,
            () = clock.sleep_until(self.cx.deadline) => Stop::Late,
        }
    }

    async fn perform(&mut self, process: &Arc<Process>, request: Vec<u8>) {
        let inner = Arc::clone(&self.inner);
        let (clock, grace) = (&inner.host.clock, inner.spec.calls.grace);
        let id = process.next_call();
        let call = Call { context: Some(self.context(&id)), request: request.into() };
        let mut answer =
            std::pin::pin!(process.line.unary::<Call, Reply>(self.operation.path, call));
        let stop = tokio::select! {
            biased;
            result = &mut answer => {
                let answer = self.judge(process, &id, result).await;
                return self.finish(answer);
            }
            () = process.gone.cancelled() => return self.finish(Err(self.lost(process))),
            stop = self.stop() => stop,
        };
        let _until_it_ends = self.ask_to_end(process, id.clone());
        let until = clock.now().plus(grace);
        let last = self.cx.deadline.max(clock.now()).plus(grace);
        let rounds = [until.min(last), last];
        for (round, until) in rounds.into_iter().enumerate() {
            tokio::select! {
                biased;
                result = &mut answer => {
                    let answer = self.judge(process, &id, result).await;
                    return self.finish(answer.map_err(|error| stop.told(error)));
                }
                () = process.gone.cancelled() => return self.finish(Err(self.lost(process))),
                () = clock.sleep_until(until) => {}
            }
            // Whoever cancelled does not wait for the deadline too.
            if round == 0 && stop == Stop::Cancelled {
                self.finish(Err(self.unanswered(stop)));
            }
        }
        process.kill(Ending::Hung(self.operation.name.to_owned()));
        process.gone.cancelled().await;
        self.finish(Err(self.unanswered(stop)));
    }

    fn context(&self, id: &str) -> pb::CallContext {
        let cx = &self.cx;
        pb::CallContext {
            call_id: id.to_owned(),
            key: cx.key.clone(),
            deadline_unix_micros: cx.deadline.as_micros(),
            attempt: cx.attempt,
            run: cx.run.to_wire(),
            epoch: cx.epoch,
            principal: cx.principal.to_wire(),
        }
    }

    /// Asks the plugin to end the call, until what this returns is dropped: a plugin that takes requests in any order may
    /// hear of the end before it hears of the call. It need not know how to end one.
    fn ask_to_end(&self, process: &Arc<Process>, call_id: String) -> DropGuard {
        let (inner, process) = (Arc::clone(&self.inner), Arc::clone(process));
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        self.inner.tasks.spawn(async move {
            let asking = async {
                let mut pause = FIRST_PAUSE;
                loop {
                    let asked = pb::CancelRequest { call_id: call_id.clone() };
                    let path = "/release.plugin.v1.Plugin/Cancel";
                    drop::<Result<pb::CancelReply, _>>(process.line.unary(path, asked).await);
                    inner.host.clock.sleep_until(inner.host.clock.now().plus(pause.into())).await;
                    pause = pause.saturating_mul(2);
                }
            };
            tokio::select! {
                () = asking => {}
                () = ended.cancelled() => {}
                () = process.gone.cancelled() => {}
            }
        });
        guard
    }

    /// What an answer is worth.
    async fn judge(
        &self,
        process: &Process,
        id: &str,
        result: Result<Reply, Status>,
    ) -> Result<Bytes, ProviderError> {
        let (inner, operation) = (&self.inner, self.operation.name);
        let reply = match result {
            Ok(reply) => reply,
            Err(status) => return Err(self.failed(process, &status).await),
        };
        if reply.call_id != id {
            let answered = inner.clean(&reply.call_id);
            let fault = if process.made(&reply.call_id) {
                PluginFault::Replayed { operation: operation.into(), answered }
            } else {
                PluginFault::WrongCall { operation: operation.into(), answered }
            };
            return Err(inner.fault(self.operation, &fault));
        }
        match reply.result {
            Some(Outcome::Ok(answer)) => {
                inner.succeeded();
                // Here, since a caller that is gone does not see it.
                if let Some(secret) = (self.secret)(&answer) {
                    inner.redactor.learn(secret.expose());
                }
                Ok(answer)
            }
            Some(Outcome::Error(error)) => {
                Err(error_from_wire(&error, operation, |text| inner.clean(text))
                    .with_context("plugin", &inner.spec.name))
            }
            None => {
                let problem = "it has neither a result nor an error".to_owned();
                Err(inner.fault(
                    self.operation,
                    &PluginFault::Answer { operation: operation.into(), problem },
                ))
            }
        }
    }

    /// What a call without an answer is worth: the plugin ended, or does what it must not.
    async fn failed(&self, process: &Process, status: &Status) -> ProviderError {
        let (inner, operation) = (&self.inner, self.operation.name);
        let connection = std::error::Error::source(status).is_some();
        if connection {
            // The connection breaks a little before the process has ended.
            let until = inner.host.clock.now().plus(inner.spec.calls.grace);
            tokio::select! {
                () = process.gone.cancelled() => return self.lost(process),
                () = inner.host.clock.sleep_until(until) => {}
            }
            let problem = inner.clean(&chain(status));
            let fault = PluginFault::Connection { operation: operation.into(), problem };
            return inner.fault(self.operation, &fault);
        }
        let (code, message) = (format!("{:?}", status.code()), inner.clean(status.message()));
        let fault = PluginFault::Status { operation: operation.into(), code, message };
        let error = inner.fault(self.operation, &fault);
        if status.code() == Code::Unimplemented {
            let text =
                "the plugin does not have this method, though its manifest has the capability";
            return ProviderError::new(ErrorKind::Unsupported, operation, text)
                .with_effect(EffectCertainty::Unknown) // nobody but the plugin knows when it said so
                .with_context("plugin", &inner.spec.name);
        }
        error
    }

    fn not_begun(&self, stop: Stop) -> ProviderError {
        let (kind, text) = match stop {
            Stop::Cancelled => (ErrorKind::Cancelled, "nobody needs it any more"),
            Stop::Late => (ErrorKind::Timeout, "the deadline passed before the plugin was called"),
        };
        ProviderError::new(kind, self.operation.name, text)
            .with_effect(EffectCertainty::NotApplied)
            .with_context("plugin", &self.inner.spec.name)
    }

    fn unanswered(&self, stop: Stop) -> ProviderError {
        let (kind, text) = match stop {
            Stop::Cancelled => (
                ErrorKind::Cancelled,
                "it was cancelled, and the plugin did not answer in the grace",
            ),
            Stop::Late => (
                ErrorKind::Timeout,
                "the plugin did not answer by the deadline and the grace, and was killed",
            ),
        };
        ProviderError::new(kind, self.operation.name, text)
            .with_effect(EffectCertainty::Unknown)
            .with_context("plugin", &self.inner.spec.name)
    }

    /// The plugin ended during the call.
    fn lost(&self, process: &Process) -> ProviderError {
        let text = match process.ending() {
            None => "the plugin ended during the call".to_owned(),
            Some(Ending::Hung(what)) => {
                format!("the plugin was killed during the call, since it did not answer {what}")
            }
            Some(Ending::Fault(fault)) => {
                format!("the plugin was killed during the call: {fault}")
            }
            Some(Ending::Quarantine) => {
                "the plugin was put into quarantine during the call".to_owned()
            }
            Some(Ending::Asked) => "the plugin was shut down during the call".to_owned(),
        };
        let error = ProviderError::new(ErrorKind::Unavailable, self.operation.name, text)
            .with_effect(EffectCertainty::Unknown)
            .with_context("plugin", &self.inner.spec.name)
            .with_context("exit", process.exit());
        match process.output.tail().last() {
            Some(line) => error.with_context("last line", self.inner.clean(line)),
            None => error,
        }
    }
}

impl Inner {
    /// Notes that a plugin broke the contract. Whether the call took effect is unknown.
    fn fault(&self, operation: &'static Operation, fault: &PluginFault) -> ProviderError {
        let text = format!("the plugin is not to be believed: {fault}");
        self.note_fault(fault);
        ProviderError::new(ErrorKind::Internal, operation.name, text)
            .with_effect(EffectCertainty::Unknown)
            .with_context("plugin", &self.spec.name)
    }
}
