//! Records calls, and answers them from a recording.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Redactor;
use crate::capability::Operation;
use crate::error::ErrorReport;
use crate::sync::lock;
use crate::{Context, ErrorKind, ProviderError};

/// A recording of calls, or what answers from one. Clones are the same tape.
///
/// A recording tape notes every call with its answer, after secrets were taken out. A replaying one answers each call as
/// the same request was answered: of several equal ones, in their order, and the last one again from then on. It never
/// reaches the provider; what was not recorded is an error, with effect `NotApplied`. Secrets are on no tape: a replayed
/// [`SecretLease`](crate::spi::SecretLease) is empty.
///
/// ```
/// use release_providers::layer::Tape;
/// let tape = Tape::recording();
/// // … put it into `Layers::tape`, make calls …
/// let text = tape.to_json_lines();
/// let again = Tape::replaying(&text)?;
/// # Ok::<(), release_providers::layer::TapeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tape(Arc<Mode>);

#[derive(Debug)]
enum Mode {
    Recording(Mutex<Vec<Taped>>),
    Replaying(Mutex<BTreeMap<String, VecDeque<Result<Value, ErrorReport>>>>),
}

/// One call on a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Taped {
    /// The provider, as it describes itself.
    pub provider: String,
    /// The operation, for example `deployer.apply`.
    pub operation: String,
    /// The idempotency key. Replay does not compare it.
    pub key: String,
    /// What was asked.
    pub request: Value,
    /// What was answered.
    pub answer: Result<Value, ErrorReport>,
}

/// A line that is not one of a tape.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the tape cannot be read; record it again, or take the line out")]
pub struct TapeError {
    /// Which, from 1.
    pub line: usize,
    /// Why.
    pub source: serde_json::Error,
}

impl Tape {
    /// An empty tape that records.
    pub fn recording() -> Self {
        Self(Arc::new(Mode::Recording(Mutex::default())))
    }

    /// A tape that answers from what [`to_json_lines`](Self::to_json_lines) gave.
    ///
    /// # Errors
    /// [`TapeError`] names the first line that cannot be read.
    pub fn replaying(text: &str) -> Result<Self, TapeError> {
        let mut all: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let taped: Taped =
                serde_json::from_str(text).map_err(|source| TapeError { line, source })?;
            let Taped { provider, operation, request, answer, .. } = taped;
            all.entry(asked(&provider, &operation, &request)).or_default().push_back(answer);
        }
        Ok(Self(Arc::new(Mode::Replaying(Mutex::new(all)))))
    }

    /// What was recorded so far, in the order in which the calls ended; nothing of a tape that replays.
    pub fn calls(&self) -> Vec<Taped> {
        match &*self.0 {
            Mode::Recording(calls) => lock(calls).clone(),
            Mode::Replaying(_) => Vec::new(),
        }
    }

    /// The same as text, one JSON object a line.
    pub fn to_json_lines(&self) -> String {
        // INVARIANT: every key of every map in it is text, so that it can always be written.
        let line = |taped: &Taped| {
            serde_json::to_string(taped).map_or_else(|e| e.to_string(), |l| l + "\n")
        };
        self.calls().iter().map(line).collect()
    }

    pub(super) fn begin(
        &self,
        provider: &str,
        operation: Operation,
        cx: &Context,
        request: &impl Serialize,
        redactor: &Redactor,
    ) -> Result<OnTape<'_>, ProviderError> {
        let mut request = serde_json::to_value(request).map_err(|error| {
            let text = format!("its request cannot be recorded: {error}");
            ProviderError::new(ErrorKind::Invalid, operation.to_string(), text)
        })?;
        redactor.clean(&mut request);
        let (provider, key) = (provider.to_owned(), cx.key.clone());
        Ok(OnTape { tape: &self.0, provider, operation, key, request })
    }
}

/// A call on its way to a tape or from one.
pub(super) struct OnTape<'a> {
    tape: &'a Mode,
    provider: String,
    operation: Operation,
    key: String,
    request: Value,
}

impl OnTape<'_> {
    /// What the tape answers; `None` if it records.
    pub(super) fn replayed<A: DeserializeOwned>(&self) -> Option<Result<A, ProviderError>> {
        let Mode::Replaying(all) = self.tape else { return None };
        let name = self.operation.to_string();
        let missing = |text: String| ProviderError::new(ErrorKind::Invalid, name.clone(), text);
        let key = asked(&self.provider, &name, &self.request);
        let mut all = lock(all);
        let Some(answers) = all.get_mut(&key) else {
            let text =
                format!("`{}` was never asked this on the tape: {}", self.provider, self.request);
            return Some(Err(missing(text)));
        };
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        drop(all);
        Some(match answer {
            Some(Ok(value)) => serde_json::from_value(value).map_err(|error| {
                missing(format!("its answer on the tape cannot be read: {error}"))
            }),
            Some(Err(report)) => Err(report.into()),
            None => Err(missing("the tape has no answer".into())),
        })
    }

    pub(super) fn record<A: Serialize>(self, answer: &Result<A, ProviderError>) {
        let Mode::Recording(calls) = self.tape else { return };
        let answer = match answer {
            Ok(answer) => serde_json::to_value(answer).map_err(|error| {
                let text = format!("its answer cannot be recorded: {error}");
                ProviderError::new(ErrorKind::Internal, self.operation.to_string(), text).report()
            }),
            Err(error) => Err(error.report()),
        };
        let (provider, operation) = (self.provider, self.operation.to_string());
        lock(calls).push(Taped {
            provider,
            operation,
            key: self.key,
            request: self.request,
            answer,
        });
    }
}

fn asked(provider: &str, operation: &str, request: &Value) -> String {
    // INVARIANT: an array of texts and JSON values can always be written.
    serde_json::json!([provider, operation, request]).to_string()
}
