//! What all fakes share: a script of behaviours, and a record of the calls.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use release_core::model::Digest;
use release_core::port::{Clock, EffectCertainty};
use release_core::time::{Span, Timestamp};
use release_providers::{Context, ErrorKind, ProviderError};

use super::access::Access;
use super::weather::Weather;

/// What a fake does at one call, instead of what is right.
#[derive(Debug)]
#[non_exhaustive]
pub enum Behaviour {
    /// What is right. To let calls pass before a fault.
    Obey,
    /// Changes nothing and answers with this error.
    Fail(ProviderError),
    /// Changes nothing and never answers, until it is cancelled (then `Cancelled`) or dropped.
    Hang,
    /// Does it, and never answers, until it is cancelled (then `Cancelled`) or dropped.
    ApplyThenHang,
    /// Does it, and the answer gets lost: `Unavailable` with effect `Unknown`.
    ApplyThenLose,
    /// Changes nothing, and nobody knows: `Unavailable` with effect `Unknown`.
    LoseBefore,
    /// Panics.
    Panic,
    /// Does it, and answers about other content: another digest, where the answer has one.
    Lie,
    /// Does what is right after this long, on the clock that the fake was given; at once without.
    Slow(Span),
}

/// A call that a fake got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call<R> {
    /// The idempotency key.
    pub key: String,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// The caller's epoch.
    pub epoch: u64,
    /// What was asked.
    pub request: R,
}

/// A request of a fake's trait.
pub trait Request: fmt::Debug + Clone + Send + 'static {
    /// The trait's operations.
    type Op: Copy + Ord + fmt::Debug + Send;

    /// Which operation it asks for.
    fn op(&self) -> Self::Op;

    /// What errors call that operation.
    fn operation(&self) -> &'static str;
}

/// A fake's script and record.
#[derive(Debug)]
pub(crate) struct Stage<R: Request> {
    script: Mutex<BTreeMap<R::Op, VecDeque<Behaviour>>>,
    calls: Mutex<Vec<Call<R>>>,
    clock: Option<Arc<dyn Clock>>,
    weather: Option<Arc<Weather>>,
    access: Access,
}

impl<R: Request> Default for Stage<R> {
    fn default() -> Self {
        let (script, calls) = (Mutex::default(), Mutex::default());
        Self { script, calls, clock: None, weather: None, access: Access::default() }
    }
}

impl<R: Request> Stage<R> {
    /// One whose fake is reached on this way.
    pub(crate) fn reached_by(access: &Access) -> Self {
        Self { access: access.clone(), ..Self::default() }
    }

    pub(crate) fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.clock = Some(clock);
    }

    pub(crate) fn set_weather(&mut self, weather: Arc<Weather>) {
        self.weather = Some(weather);
    }

    pub(crate) fn set_access(&mut self, access: Access) {
        self.access = access;
    }

    pub(crate) const fn access(&self) -> &Access {
        &self.access
    }

    /// The same without script and record, to be changed before it is shared.
    pub(crate) fn anew(&self) -> Self {
        let (clock, weather, access) =
            (self.clock.clone(), self.weather.clone(), self.access.clone());
        Self { clock, weather, access, ..Self::default() }
    }

    pub(crate) const fn clock(&self) -> Option<&Arc<dyn Clock>> {
        self.clock.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.as_ref().map(|clock| clock.now()).unwrap_or_default()
    }

    pub(crate) fn script(&self, op: R::Op, behaviours: impl IntoIterator<Item = Behaviour>) {
        lock(&self.script).entry(op).or_default().extend(behaviours);
    }

    pub(crate) fn calls(&self) -> Vec<Call<R>> {
        lock(&self.calls).clone()
    }

    /// Refuses a call that nobody waits for any more.
    pub(crate) fn heed(&self, cx: &Context, operation: &'static str) -> Result<(), ProviderError> {
        let over = |kind, text| {
            let error = ProviderError::new(kind, operation, text);
            Err(error.with_effect(EffectCertainty::NotApplied))
        };
        if cx.cancellation.is_cancelled() {
            return over(ErrorKind::Cancelled, "cancelled before it began");
        }
        if self.now() >= cx.deadline {
            return over(ErrorKind::Timeout, "its deadline passed before it began");
        }
        Ok(())
    }

    /// Records the call and plays what the script has for it. `act` does what is right, or tells
    /// its lie if it is given `true`.
    pub(crate) async fn play<T>(
        &self,
        cx: &Context,
        request: R,
        act: impl FnOnce(bool) -> Result<T, ProviderError> + Send,
    ) -> Result<T, ProviderError> {
        let (op, operation) = (request.op(), request.operation());
        if let (Some(weather), Some(clock)) = (&self.weather, &self.clock) {
            weather.pass(cx, &**clock, operation).await?;
        }
        let Context { key, attempt, epoch, .. } = cx;
        let call = Call { key: key.clone(), attempt: *attempt, epoch: *epoch, request };
        lock(&self.calls).push(call);
        self.access.note(cx, operation);
        self.heed(cx, operation)?;
        self.access.pass(cx, self.clock.as_ref(), operation).await?;
        self.access.check(operation)?;
        let behaviour = lock(&self.script).get_mut(&op).and_then(VecDeque::pop_front);
        match behaviour.unwrap_or(Behaviour::Obey) {
            Behaviour::Obey => act(false),
            Behaviour::Lie => act(true),
            Behaviour::Fail(error) => Err(error),
            Behaviour::Hang => Err(cancelled(cx, operation).await),
            Behaviour::ApplyThenHang => {
                act(false)?;
                Err(cancelled(cx, operation).await)
            }
            Behaviour::ApplyThenLose => {
                act(false)?;
                Err(lost(operation))
            }
            Behaviour::LoseBefore => Err(lost(operation)),
            Behaviour::Panic => panic(operation),
            Behaviour::Slow(span) => {
                if let Some(clock) = &self.clock {
                    let until = clock.now().plus(span);
                    tokio::select! {
                        () = clock.sleep_until(until) => {}
                        error = cancelled(cx, operation) => {
                            return Err(error.with_effect(EffectCertainty::NotApplied));
                        }
                    }
                }
                act(false)
            }
        }
    }
}

#[expect(clippy::panic, reason = "that is what was scripted")]
fn panic<T>(operation: &str) -> T {
    panic!("scripted panic of {operation}")
}

async fn cancelled(cx: &Context, operation: &'static str) -> ProviderError {
    cx.cancellation.cancelled().await;
    ProviderError::new(ErrorKind::Cancelled, operation, "scripted to hang until cancelled")
}

fn lost(operation: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::Unavailable, operation, "the answer got lost, as scripted")
        .with_effect(EffectCertainty::Unknown)
}

/// Nothing panics while it holds one of our locks, so a poisoned one can be used on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The methods that every fake has: its script, its record and its clock.
macro_rules! staged {
    ($fake:ident, $request:ident, $op:ident) => {
        impl $fake {
            /// Uses `clock` for what takes time and for what bears a date.
            #[must_use]
            pub fn with_clock(
                mut self,
                clock: std::sync::Arc<dyn release_core::port::Clock>,
            ) -> Self {
                self.stage.set_clock(clock);
                self
            }

            /// The same, which takes time and fails by chance.
            #[must_use]
            pub fn in_weather(
                mut self,
                weather: impl Into<std::sync::Arc<$crate::fakes::Weather>>,
            ) -> Self {
                self.stage.set_weather(weather.into());
                self
            }

            /// The same, reached on a way that it may share with others.
            #[must_use]
            pub fn with_access(mut self, access: $crate::fakes::Access) -> Self {
                self.stage.set_access(access);
                self
            }

            /// Puts it out of reach (`true`), or back, and all that share its [`Access`]($crate::fakes::Access).
            pub fn cut_off(&self, cut_off: bool) {
                self.stage.access().cut_off(cut_off);
            }

            /// Lets the next calls of `op` behave like this, one each; after that it is correct
            /// again.
            pub fn script(
                &self,
                op: $op,
                behaviours: impl IntoIterator<Item = $crate::fakes::Behaviour>,
            ) {
                self.stage.script(op, behaviours);
            }

            /// The calls that it got so far, in order.
            pub fn calls(&self) -> Vec<$crate::fakes::Call<$request>> {
                self.stage.calls()
            }

            /// How many calls of `op` it got so far.
            pub fn count(&self, op: $op) -> usize {
                use $crate::fakes::Request as _;
                self.stage.calls().iter().filter(|call| call.request.op() == op).count()
            }
        }
    };
}
pub(crate) use staged;

/// Some other digest.
pub(super) fn other(digest: Digest) -> Digest {
    Digest::of(digest.as_bytes())
}
