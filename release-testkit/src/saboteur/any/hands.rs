//! What a saboteur remembers, and how it handles calls.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use release_core::port::EffectCertainty;
use release_core::time::{Span, Timestamp};
use release_providers::{Context, ErrorKind, Operation, ProviderError, Secret};

use super::AnyFault;
use crate::fakes::{Rewind, lock};
use crate::saboteur::{STANDS, dawdle, later, renamed, telling, trip_over, unsure};

/// So many looks find what was done, and so many equal answers are there; then something is wrong.
const LOOKS: u32 = 12;
/// So much later than its deadline somebody gives up who does it late.
const LONG: Span = Span::secs(20);
/// What was given up is done so much later.
const LATE: Duration = Duration::from_millis(30);

type Anything = Box<dyn Any + Send>;
type Undo = Box<dyn FnOnce() + Send>;

/// What a saboteur needs besides the provider that it stands before.
pub(super) struct Hands {
    pub(super) fault: AnyFault,
    /// The operation that has the fault; all, if none is named.
    pub(super) only: Option<Operation>,
    pub(super) rewind: Option<Rewind>,
    pub(super) secret: Secret,
    /// Whether there was another instance before.
    reopened: bool,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// What was done, by operation and key.
    done: BTreeSet<(Operation, String)>,
    under_way: BTreeSet<(Operation, String)>,
    /// The last right answer of each operation.
    answers: BTreeMap<Operation, Anything>,
    /// What was looked at last, with its answer, and how many times in a row.
    looked: Option<(Operation, Anything, Anything, u32)>,
    away: bool,
    /// Takes back all that the instance before did.
    lost: Option<Undo>,
    /// Takes back what was done first under a key.
    first: BTreeMap<(Operation, String), Undo>,
    /// Takes back what was done last.
    undo: Option<(Undo, u32)>,
    calls: u64,
}

/// A call: which operation, for what, and how the right provider is asked.
pub(super) struct Asked<'a, R, F> {
    pub(super) operation: Operation,
    pub(super) cx: &'a Context,
    pub(super) request: R,
    pub(super) ask: F,
}

impl Hands {
    pub(super) fn new(fault: AnyFault, only: Option<Operation>, secret: Secret) -> Self {
        Self { fault, only, rewind: None, secret, reopened: false, memory: Mutex::default() }
    }

    /// The same of another instance, as after a restart.
    pub(super) fn reopened(mut self) -> Self {
        self.reopened = true;
        if self.fault == AnyFault::LosesAllWhenReopened {
            let lost = self.rewind.as_ref().map(|rewind| rewind());
            lock(&self.memory).lost = lost;
        }
        self
    }

    /// Asks the right provider, and does something wrong about it.
    pub(super) async fn call<R, A, F>(
        &self,
        call: Asked<'_, R, impl Fn(Context, R) -> F + Sync>,
    ) -> Result<A, ProviderError>
    where
        R: Clone + PartialEq + Send + Sync + 'static,
        A: Clone + PartialEq + Send + Sync + 'static,
        F: Future<Output = Result<A, ProviderError>> + Send + 'static,
    {
        let Asked { operation, cx, request, ask } = call;
        if self.only.is_some_and(|only| only != operation) {
            return ask(cx.clone(), request).await;
        }
        self.before(operation);
        let key = (operation, company(operation, &cx.key));
        if self.fault == AnyFault::RefusesRepeats && lock(&self.memory).done.contains(&key) {
            return Err(wrong(operation, ErrorKind::Conflict));
        }
        if self.fault == AnyFault::TripsOverFarDeadlines {
            trip_over(cx, operation.to_string())?;
        }
        if self.fault == AnyFault::TripsOverCompany {
            if !lock(&self.memory).under_way.insert(key.clone()) {
                return Err(wrong(operation, ErrorKind::Internal));
            }
            dawdle().await;
        }
        let answer = if operation.acts {
            self.act(operation, cx, &request, &ask).await
        } else {
            ask(self.mistaken(cx), request.clone()).await
        };
        lock(&self.memory).under_way.remove(&key);
        if operation.acts && answer.is_ok() {
            lock(&self.memory).done.insert(key);
        }
        self.after(operation, request, answer)
    }

    /// What it takes the call for.
    fn mistaken(&self, cx: &Context) -> Context {
        let mut cx = cx.clone();
        match self.fault {
            AnyFault::IgnoresCancellation => {
                cx.cancellation = crate::fixtures::context("").cancellation;
            }
            AnyFault::IgnoresDeadline => cx.deadline = Timestamp::from_micros(i64::MAX),
            // Not one that is over already.
            AnyFault::WaitsPastDeadlines if cx.deadline > Timestamp::default() => {
                cx.deadline = Timestamp::from_micros(i64::MAX);
            }
            AnyFault::GivesUpLate if cx.deadline > Timestamp::default() => {
                cx.deadline = cx.deadline.plus(LONG);
            }
            AnyFault::ForgetsKeys => return self.besides(&cx),
            AnyFault::ForgetsKeysWhenReopened if self.reopened => return self.besides(&cx),
            _ => {}
        }
        cx
    }

    /// The same under a key that nobody had.
    fn besides(&self, cx: &Context) -> Context {
        let mut cx = cx.clone();
        let mut memory = lock(&self.memory);
        memory.calls += 1;
        cx.key = format!("{}/{}", cx.key, memory.calls);
        cx
    }

    /// Takes back later what was just done for the first time.
    fn revert(&self, key: &(Operation, String), undo: Option<Undo>) {
        let mut memory = lock(&self.memory);
        let Some(undo) = undo.filter(|_| !memory.done.contains(key)) else { return };
        match self.fault {
            AnyFault::RevertsLater => later(STANDS, async { undo() }),
            _ => memory.undo = Some((undo, 0)),
        }
    }

    /// Takes back what was done for the first time, once it is done again.
    fn take_back(&self, key: (Operation, String), undo: Option<Undo>) {
        let mut memory = lock(&self.memory);
        if memory.done.contains(&key) {
            if let Some(undo) = memory.first.remove(&key) {
                undo();
            }
        } else if let Some(undo) = undo {
            memory.first.insert(key, undo);
        }
    }

    /// What is due before anything else.
    fn before(&self, operation: Operation) {
        let mut memory = lock(&self.memory);
        if let Some(lose) = memory.lost.take() {
            lose();
        }
        if operation.acts {
            memory.looked = None;
        } else if let Some((undo, looks)) = memory.undo.take() {
            if looks >= LOOKS {
                undo();
            } else {
                memory.undo = Some((undo, looks + 1));
            }
        }
    }

    async fn act<R, A, F>(
        &self,
        operation: Operation,
        cx: &Context,
        request: &R,
        ask: &(impl Fn(Context, R) -> F + Sync),
    ) -> Result<A, ProviderError>
    where
        R: Clone + Send + Sync + 'static,
        A: Send + 'static,
        F: Future<Output = Result<A, ProviderError>> + Send + 'static,
    {
        let refuses = || wrong(operation, ErrorKind::Cancelled);
        // The same call as one that nobody gives up.
        let again = || {
            let mut cx = cx.clone();
            cx.cancellation = crate::fixtures::context("").cancellation;
            cx.deadline = Timestamp::from_micros(i64::MAX);
            let call = ask(cx, request.clone());
            Box::pin(async move { drop(call.await) })
        };
        let taken_back = self.rewind.as_ref().map(|rewind| rewind());
        match self.fault {
            AnyFault::ActsLate => {
                let mut given_up = GivenUp(Some(again()));
                dawdle().await;
                let answer = ask(cx.clone(), request.clone()).await;
                given_up.0 = None;
                answer
            }
            AnyFault::DoesWhatItSaysWasCancelled => {
                let answer = ask(cx.clone(), request.clone()).await;
                let before = answer.is_err();
                dawdle().await;
                if cx.cancellation.is_cancelled() && !before { Err(refuses()) } else { answer }
            }
            AnyFault::DoesLaterWhatWasCancelled if !cx.cancellation.is_cancelled() => {
                dawdle().await;
                if cx.cancellation.is_cancelled() {
                    later(LATE, again());
                    return Err(refuses());
                }
                ask(cx.clone(), request.clone()).await
            }
            AnyFault::ActsThenRefuses => {
                let answer = ask(cx.clone(), request.clone()).await;
                if answer.as_ref().err().is_some_and(nobody_waits) {
                    again().await;
                }
                answer
            }
            AnyFault::LearnsKeysFromAnswers => {
                // What the service does under way, of which nobody hears the end.
                let unheard = ask(self.besides(cx), request.clone());
                let mut given_up = GivenUp(Some(Box::pin(async move { drop(unheard.await) })));
                dawdle().await;
                given_up.0 = None;
                ask(cx.clone(), request.clone()).await
            }
            AnyFault::ActsBesides => {
                let answer = ask(cx.clone(), request.clone()).await;
                if answer.is_ok() {
                    drop(ask(self.besides(cx), request.clone()).await);
                }
                answer
            }
            _ => {
                let answer = ask(self.mistaken(cx), request.clone()).await;
                self.afterwards((operation, cx.key.clone()), &answer, taken_back, again);
                answer
            }
        }
    }

    /// What it does once it has its answer.
    fn afterwards<A, F: Future<Output = ()> + Send + 'static>(
        &self,
        key: (Operation, String),
        answer: &Result<A, ProviderError>,
        taken_back: Option<Undo>,
        again: impl FnOnce() -> F,
    ) {
        let undo = taken_back.filter(|_| answer.is_ok());
        match self.fault {
            AnyFault::RevertsLater | AnyFault::RevertsWhenLookedAt => self.revert(&key, undo),
            AnyFault::TakesBackWhenAskedAgain => self.take_back(key, undo),
            AnyFault::SaysDone => undo.into_iter().for_each(|undo| undo()),
            AnyFault::DoesLaterWhatWasDenied => {
                let denied = |error: &ProviderError| error.kind() == ErrorKind::Denied;
                if answer.as_ref().err().is_some_and(denied) {
                    later(STANDS, again());
                }
            }
            _ => {}
        }
    }

    /// What becomes of an answer.
    fn after<R, A>(
        &self,
        operation: Operation,
        request: R,
        answer: Result<A, ProviderError>,
    ) -> Result<A, ProviderError>
    where
        R: PartialEq + Send + 'static,
        A: Clone + PartialEq + Send + 'static,
    {
        let mut memory = lock(&self.memory);
        match answer {
            Ok(answer) if memory.away => {
                drop(answer);
                Err(wrong(operation, ErrorKind::Unavailable))
            }
            Ok(answer) => {
                memory.answers.insert(operation, Box::new(answer.clone()));
                if self.fault != AnyFault::UsesUpAnswers || operation.acts {
                    return Ok(answer);
                }
                let times = memory.times_looked(operation, request, answer.clone());
                if times < LOOKS {
                    Ok(answer)
                } else {
                    Err(wrong(operation, ErrorKind::Unavailable))
                }
            }
            Err(error) => self.fail(&mut memory, operation, error),
        }
    }

    fn fail<A: Clone + Send + 'static>(
        &self,
        memory: &mut Memory,
        operation: Operation,
        error: ProviderError,
    ) -> Result<A, ProviderError> {
        let out_of_reach = error.kind() == ErrorKind::Unavailable;
        let nobody_waits = nobody_waits(&error);
        // Not what comes between it and its service, which others are for.
        let refused = !matches!(
            error.kind(),
            ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::RateLimited
        );
        match self.fault {
            AnyFault::AcceptsAnything if refused && !nobody_waits => {
                memory.last(operation).ok_or(error)
            }
            AnyFault::AnswersFromMemory if out_of_reach => memory.last(operation).ok_or(error),
            AnyFault::CallsErrorsInternal if refused && !nobody_waits => {
                Err(renamed(&error, ErrorKind::Internal))
            }
            AnyFault::CallsOutageInternal if out_of_reach => {
                Err(renamed(&error, ErrorKind::Internal))
            }
            AnyFault::CallsDenialUnavailable if error.kind() == ErrorKind::Denied => {
                Err(renamed(&error, ErrorKind::Unavailable))
            }
            AnyFault::CallsThrottlingUnavailable if error.kind() == ErrorKind::RateLimited => {
                Err(renamed(&error, ErrorKind::Unavailable))
            }
            AnyFault::StaysAway if out_of_reach => {
                memory.away = true;
                Err(error)
            }
            AnyFault::LeavesEffectOpen => Err(unsure(error)),
            AnyFault::TellsSecretWhenDenied if error.kind() == ErrorKind::Denied => {
                Err(telling(&error, &self.secret))
            }
            AnyFault::TellsSecretInErrors => Err(telling(&error, &self.secret)),
            _ => Err(error),
        }
    }
}

fn nobody_waits(error: &ProviderError) -> bool {
    matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Timeout)
}

impl Memory {
    /// The last right answer of an operation; where there is nothing to say, there needs to have been none.
    fn last<A: Clone + 'static>(&self, operation: Operation) -> Option<A> {
        let nothing: &dyn Any = &();
        let last = self.answers.get(&operation).map(|answer| answer.downcast_ref::<A>());
        last.flatten().or_else(|| nothing.downcast_ref::<A>()).cloned()
    }

    /// How many times in a row the same was looked at, with the same answer.
    fn times_looked<R, A>(&mut self, operation: Operation, request: R, answer: A) -> u32
    where
        R: PartialEq + Send + 'static,
        A: PartialEq + Send + 'static,
    {
        let times = match &self.looked {
            Some((last, asked, told, times))
                if *last == operation
                    && asked.downcast_ref::<R>() == Some(&request)
                    && told.downcast_ref::<A>() == Some(&answer) =>
            {
                times + 1
            }
            _ => 1,
        };
        self.looked = Some((operation, Box::new(request), Box::new(answer), times));
        times
    }
}

/// Carries out later what is dropped half-way.
struct GivenUp(Option<BoxFuture<'static, ()>>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            later(LATE, call);
        }
    }
}

/// By what it tells one call from another.
fn company(operation: Operation, key: &str) -> String {
    if operation.acts { key.to_owned() } else { String::new() }
}

/// An error that the right provider would not have had.
fn wrong(operation: Operation, kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, operation.to_string(), "sabotaged")
        .with_effect(EffectCertainty::NotApplied)
}
