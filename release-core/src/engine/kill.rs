//! The kill switch: a flag is switched off at once, whatever runs, freezes and limits say.
//!
//! It asks nobody: no policy, no gate, no quota, and it is no step of a run, so that none that is paused or stuck is in its
//! way. It is on record before it acts, as everything is; but where the journal fails or is slow, it acts all the same and
//! says that there is no record. That is the one exception from the law, and the reason for it is the one that kill switches exist for.
//!
//! What was killed stays off by the word of its store ([`FlagReading::killed`]), and so for all runs of all engines: a
//! later step that would turn it on fails, and a rollback that would restore it leaves it off.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::effect::panic_text;
use super::{Engine, EngineError, Shared, rules};
use crate::bounds;
use crate::flags::{FlagKey, FlagKill, FlagReading, FlagState, KillEvent};
use crate::ids::{EnvironmentId, RunId};
use crate::journal::{AppendError, Batch, Record, Sealer, is_kill, kill_stream, verify_kill};
use crate::model::Principal;
use crate::port::{EffectError, KillOrder, Retry};
use crate::time::{Span, Timestamp};

/// How long the journal is waited for before a flag is killed without its record.
const RECORDED_WITHIN: Span = Span::secs(2);
/// How long it is tried.
const DONE_WITHIN: Span = Span::secs(30);
/// How long one attempt may take.
const ATTEMPT: Span = Span::secs(10);
/// The pause between attempts.
const PAUSE: Span = Span::millis(200);

/// A flag that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it says whether the kill is on record"]
pub struct Killed {
    /// How the flag was seen to stand then.
    pub reading: FlagReading,
    /// The stream of its records, or why there is none, or none of its end.
    pub recorded: Result<RunId, AppendError>,
}

/// A flag that is not known to be off. Killing it again does no harm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "flag `{flag}` of `{environment}` is not known to be off: {error}; kill it again, or in its store"
)]
pub struct NotKilled {
    /// Where.
    pub environment: EnvironmentId,
    /// Which flag.
    pub flag: FlagKey,
    /// What failed.
    pub error: EffectError,
    /// The stream of its records, or why there is none, or none of its end.
    pub recorded: Result<RunId, AppendError>,
}

impl Engine {
    /// Switches a flag off for everybody at once, and keeps it off: on record with who and why.
    ///
    /// Always permitted. Whoever holds the engine decides who may call this. It goes on if the caller goes away, and works
    /// while the engine shuts down. Tried for 30 s.
    ///
    /// # Errors
    /// [`NotKilled`] when the flag was not seen to be off and killed.
    pub async fn kill_flag(
        &self,
        environment: EnvironmentId,
        flag: FlagKey,
        by: Principal,
        reason: impl Into<String>,
    ) -> Result<Killed, NotKilled> {
        let reason = bounds::text(&reason.into()).into_owned();
        let (shared, at) = (Arc::clone(&self.shared), self.shared.clock.now());
        let lost = (environment.clone(), flag.clone());
        // INVARIANT: the name is of the alphabet of ids, and short.
        let Some(stream) = kill_stream(at, self.shared.draw()) else {
            return Err(not_killed(lost, "no stream can have the name of the kill's"));
        };
        let deadline = at.plus(DONE_WITHIN);
        let order = KillOrder { stream, environment, flag, by, reason, attempt: 1, deadline };
        let task = self.shared.tasks.spawn(async move { shared.kill(order, at).await });
        match task.await {
            Ok(killed) => killed,
            Err(_) => Err(not_killed(lost, "its task broke off")),
        }
    }

    /// All kills that are on record, in the order in which they were ordered.
    ///
    /// # Errors
    /// What the journal says; damage of any of their streams.
    pub async fn flag_kills(&self) -> Result<Vec<FlagKill>, EngineError> {
        let mut kills = Vec::new();
        for head in self.shared.journal.heads().await? {
            if is_kill(&head.run) {
                let records = self.shared.journal.read(&head.run).await?;
                kills.extend(verify_kill(&head.run, &records)?);
            }
        }
        kills.sort_by(|one, other| (one.at, &one.stream).cmp(&(other.at, &other.stream)));
        Ok(kills)
    }
}

fn not_killed((environment, flag): (EnvironmentId, FlagKey), text: &str) -> NotKilled {
    let error = EffectError::unknown("internal", text);
    let recorded = Err(AppendError::Unknown { detail: text.to_owned() });
    NotKilled { environment, flag, error, recorded }
}

fn say_unrecorded(stream: &RunId, recorded: Result<(), AppendError>) -> Result<(), AppendError> {
    recorded.inspect_err(|error| {
        tracing::error!(%stream, %error, "a kill of a flag is not on record, or not its end");
    })
}

impl Shared {
    async fn kill(
        self: Arc<Self>,
        mut order: KillOrder,
        at: Timestamp,
    ) -> Result<Killed, NotKilled> {
        let KillOrder { environment, flag, by, reason, stream, .. } = order.clone();
        let (place, which) = (environment.clone(), flag.clone());
        let mut sealer = Sealer::new(&stream);
        let ordered = KillEvent::Ordered { environment, flag, by, reason };
        let first = sealer.seal_kill(at, &ordered);
        let begun = self.record(batch(&stream, 0, first, false));
        tokio::pin!(begun);
        let mut early = tokio::select! {
            biased;
            stored = &mut begun => Some(stored),
            () = self.clock.sleep_until(at.plus(RECORDED_WITHIN)) => None,
        };
        let killed = self.kill_until(&mut order).await;
        if early.is_none() {
            let patience = self.clock.now().plus(RECORDED_WITHIN);
            early = tokio::select! {
                biased;
                stored = &mut begun => Some(stored),
                () = self.clock.sleep_until(patience) => None,
            };
        }
        let late = || {
            let detail = format!("it did not answer within {RECORDED_WITHIN}");
            Err(AppendError::Unavailable { detail })
        };
        let mut recorded = early.unwrap_or_else(late);
        if recorded.is_ok() {
            let end = match &killed {
                Ok(reading) => KillEvent::Confirmed { reading: reading.clone() },
                Err(error) => KillEvent::Failed { error: bounds::error(error) },
            };
            let now = rules::decision_time(self.clock.now(), at, at);
            let last = sealer.seal_kill(now, &end);
            let ended = self.record(batch(&stream, 1, last, true));
            recorded = tokio::select! {
                biased;
                stored = ended => stored,
                () = self.clock.sleep_until(now.plus(RECORDED_WITHIN)) => late(),
            };
        }
        let recorded = say_unrecorded(&stream, recorded).map(|()| stream);
        match killed {
            Ok(reading) => Ok(Killed { reading, recorded }),
            Err(error) => Err(NotKilled { environment: place, flag: which, error, recorded }),
        }
    }

    async fn record(&self, batch: Batch) -> Result<(), AppendError> {
        self.journal.append(batch).await
    }

    /// Tries until it is done, cannot be, or its time is up.
    async fn kill_until(&self, order: &mut KillOrder) -> Result<FlagReading, EffectError> {
        let until = order.deadline;
        loop {
            order.deadline = self.clock.now().plus(ATTEMPT).min(until);
            let error = match self.kill_once(order).await {
                Ok(reading) => return Ok(reading),
                Err(error) => error,
            };
            let pause = error.retry_after.unwrap_or(PAUSE).max(PAUSE);
            let next = self.clock.now().plus(pause);
            // Whatever layers around a provider think of trying again: only what no time mends ends this early.
            let hopeless = ["not_found", "invalid", "denied", "unsupported", "unbound"];
            let hopeless = error.retry == Retry::Never && hopeless.contains(&&*error.kind);
            if hopeless || next >= until {
                return Err(error);
            }
            self.clock.sleep_until(next).await;
            order.attempt = order.attempt.saturating_add(1);
        }
    }

    async fn kill_once(&self, order: &KillOrder) -> Result<FlagReading, EffectError> {
        let asked = AssertUnwindSafe(async { self.performer.kill(order).await }).catch_unwind();
        let answer = tokio::select! {
            biased;
            answer = asked => answer,
            () = self.clock.sleep_until(order.deadline) => {
                return Err(EffectError::unknown("timeout", "no answer in time"));
            }
        };
        let reading = answer.unwrap_or_else(|panic| {
            let text = format!("the provider panicked: {}", panic_text(&*panic));
            Err(EffectError::unknown("panic", text))
        })?;
        let KillOrder { environment, flag, .. } = order;
        let of_it = (&reading.environment, &reading.flag) == (environment, flag);
        if of_it && reading.state == FlagState::Off && reading.killed.is_some() {
            return Ok(reading);
        }
        Err(EffectError::unknown("not_killed", format!("the store says afterwards: {reading}")))
    }
}

fn batch(stream: &RunId, expected: u64, record: Record, finishes: bool) -> Batch {
    let (records, blobs) = (vec![record], Vec::new());
    Batch { run: stream.clone(), expected, epoch: 1, records, blobs, finishes }
}
