//! One call on its way through the layers.

use std::any::Any;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use futures_util::FutureExt as _;
use release_core::model::{Span, Timestamp};
use release_core::port::EffectCertainty;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::{CallRecord, Layered, Provider};
use crate::capability::Operation;
use crate::{Context, ErrorKind, ProviderError, RetryAdvice};

type Answering<'a, A> = Pin<Box<dyn Future<Output = Result<A, ProviderError>> + Send + 'a>>;

/// How an operation of a trait is called.
type Call<T, R, A> = for<'a> fn(&'a T, &'a Context, R) -> Answering<'a, A>;

impl<T: ?Sized + Provider> Layered<T> {
    /// Trace and metrics.
    pub(super) async fn call<R, A>(
        &self,
        cx: &Context,
        operation: Operation,
        request: R,
        call: Call<T, R, A>,
    ) -> Result<A, ProviderError>
    where
        R: Clone + Serialize + Send + Sync + 'static,
        A: Serialize + DeserializeOwned + Send + 'static,
    {
        let Operation { capability, name, .. } = operation;
        let provider = &*self.description.name;
        let Context { key, attempt, .. } = cx;
        let span = tracing::debug_span!("provider", provider, capability, name, key, attempt);
        let began = self.layers.clock.now();
        let mut tries = 0;
        let taped = self.taped(cx, operation, request, call, &mut tries);
        let answer = taped.instrument(span.clone()).await;
        if let Err(error) = &answer {
            let (kind, effect) = (error.kind().as_str(), error.effect());
            tracing::debug!(parent: &span, kind, ?effect, %error, "the provider failed");
        }
        if let Some(observer) = &self.layers.observer {
            let took = self.layers.clock.now().since(began).as_duration();
            let failed = answer.as_ref().err().map(ProviderError::kind);
            observer.observed(&CallRecord { provider, operation, attempts: tries, took, failed });
        }
        answer
    }

    async fn taped<R, A>(
        &self,
        cx: &Context,
        operation: Operation,
        request: R,
        call: Call<T, R, A>,
        tries: &mut u32,
    ) -> Result<A, ProviderError>
    where
        R: Clone + Serialize + Send + Sync + 'static,
        A: Serialize + DeserializeOwned + Send + 'static,
    {
        let Some(tape) = &self.layers.tape else {
            return self.retried(cx, operation, request, call, tries).await;
        };
        let call_on_tape =
            tape.begin(&self.description.name, operation, cx, &request, self.layers.redactor())?;
        if let Some(answer) = call_on_tape.replayed() {
            return answer;
        }
        let answer = self.retried(cx, operation, request, call, tries).await;
        call_on_tape.record(&answer);
        answer
    }

    /// Check and retry.
    async fn retried<R, A>(
        &self,
        cx: &Context,
        operation: Operation,
        request: R,
        call: Call<T, R, A>,
        tries: &mut u32,
    ) -> Result<A, ProviderError>
    where
        R: Clone + Send + Sync + 'static,
        A: Serialize + DeserializeOwned + Send + 'static,
    {
        let (clock, retrying) = (&*self.layers.clock, &self.layers.retrying);
        cx.check(operation, clock.now())?;
        // What was not declared is refused before anything is done.
        if let Some(ability) = self.description.abilities.lacks(&request) {
            let text =
                format!("`{}` does not declare that it can {ability}", self.description.name);
            return Err(ProviderError::new(ErrorKind::Unsupported, operation.to_string(), text));
        }
        let mut attempt = Cow::Borrowed(cx);
        while !retrying.is_spent(*tries + 1) {
            *tries += 1;
            let answer = self.once(&attempt, operation, request.clone(), call).await;
            let Err(error) = answer else { return answer };
            let Some(pause) = retrying.pause(operation, &error, *tries) else { return Err(error) };
            let until = clock.now().plus(pause.into());
            if until >= cx.deadline {
                return Err(error);
            }
            tokio::select! {
                () = clock.sleep_until(until) => {}
                () = cx.cancellation.cancelled() => return Err(error),
            }
            let again = attempt.to_mut();
            again.attempt = again.attempt.saturating_add(1);
        }
        // What is not asked again is given away: it may be all of an artifact.
        *tries += 1;
        let last = self.once(&attempt, operation, request, call).await;
        last.map_err(|error| {
            let exhausted = *tries > 1 && error.retry() != RetryAdvice::Never;
            if exhausted { error.with_retry(RetryAdvice::Exhausted) } else { error }
        })
    }

    /// One attempt, within limits and its time.
    async fn once<R, A>(
        &self,
        cx: &Context,
        operation: Operation,
        request: R,
        call: Call<T, R, A>,
    ) -> Result<A, ProviderError>
    where
        A: Serialize + DeserializeOwned + Send + 'static,
    {
        let work = self.guarded(cx, operation, request, call);
        self.shielded(cx, self.timed(cx, operation, work)).await
    }

    /// Limit and circuit breaker.
    async fn shielded<A>(
        &self,
        cx: &Context,
        work: impl Future<Output = Result<A, ProviderError>>,
    ) -> Result<A, ProviderError> {
        let Some(shield) = &self.shield else { return work.await };
        let clock = &*self.layers.clock;
        let pass = shield.enter(clock, cx, give_up(clock.now(), cx.deadline)).await?;
        let answer = work.await;
        pass.answered(clock.now(), &answer);
        answer
    }

    /// Timeout of one attempt, and the deadline of the call: a provider that heeds neither is not waited for.
    async fn timed<A>(
        &self,
        cx: &Context,
        operation: Operation,
        work: impl Future<Output = Result<A, ProviderError>>,
    ) -> Result<A, ProviderError> {
        let (clock, timeout) = (&self.layers.clock, self.layers.attempt_timeout);
        let own = timeout.map(|timeout| (clock.now().plus(timeout.into()), timeout));
        let own = own.filter(|(until, _)| *until < cx.deadline);
        tokio::select! {
            biased;
            answer = work => answer,
            () = clock.sleep_until(own.map_or(cx.deadline, |(until, _)| until)) => {
                let text = match own {
                    Some((_, timeout)) => format!("no answer within {}", Span::from(timeout)),
                    None => "no answer by the deadline".to_owned(),
                };
                Err(lost(operation, ErrorKind::Timeout, text))
            }
        }
    }

    /// Panics and redaction.
    async fn guarded<R, A>(
        &self,
        cx: &Context,
        operation: Operation,
        request: R,
        call: Call<T, R, A>,
    ) -> Result<A, ProviderError>
    where
        A: Serialize + DeserializeOwned + Send + 'static,
    {
        let redactor = &self.layers.redactor;
        let work = std::panic::catch_unwind(AssertUnwindSafe(|| call(&self.inner, cx, request)));
        let work = match work {
            Ok(work) => AssertUnwindSafe(work).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        match work {
            Ok(Ok(answer)) => {
                redactor.answer(answer, |text| lost(operation, ErrorKind::Internal, text))
            }
            Ok(Err(error)) => Err(redactor.error(error)),
            Err(panic) => Err(redactor.error(panicked(operation, &*panic))),
        }
    }
}

/// A little before the deadline, so that an answer still says what was missing.
fn give_up(now: Timestamp, deadline: Timestamp) -> Timestamp {
    let left = deadline.since(now).as_duration();
    now.plus(left.saturating_sub(left / 20).into())
}

fn panicked(operation: Operation, panic: &(dyn Any + Send)) -> ProviderError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = format!("the provider panicked: {}", text.unwrap_or("no message"));
    lost(operation, ErrorKind::Internal, text)
}

/// A call whose answer is not there: nobody knows what came of it, unless it only looked.
pub(super) fn lost(
    operation: Operation,
    kind: ErrorKind,
    text: impl Into<String>,
) -> ProviderError {
    let effect =
        if operation.acts { EffectCertainty::Unknown } else { EffectCertainty::NotApplied };
    ProviderError::new(kind, operation.to_string(), text).with_effect(effect)
}
