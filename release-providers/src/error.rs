//! The one error of all providers.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use release_core::port::{EffectCertainty, EffectError};
use serde::{Deserialize, Serialize};

/// A provider call that failed: what, whether to try again, and whether anything changed.
#[derive(Debug)]
pub struct ProviderError {
    kind: ErrorKind,
    retry: RetryAdvice,
    effect: EffectCertainty,
    operation: Cow<'static, str>,
    message: String,
    context: Vec<(Cow<'static, str>, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// An error and its causes.
#[cfg(feature = "plugin")]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What kind of fault it is; documented by what the caller does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request breaks the provider's rules: mend the request.
    Invalid,
    /// The thing does not exist: create it or mend the name.
    NotFound,
    /// Somebody else is at it: wait, then look again.
    Conflict,
    /// A newer writer has taken the run over: stop, and leave the run to it.
    Fenced,
    /// The content does not match its digest: do not use it, find out who changed it.
    Corrupt,
    /// Wrong or expired credentials: renew them.
    Denied,
    /// Too many calls: slow down.
    RateLimited,
    /// No answer, or not able to: try again later.
    Unavailable,
    /// No space left: make room.
    NoSpace,
    /// The deadline passed: look what happened.
    Timeout,
    /// The caller cancelled: look what happened.
    Cancelled,
    /// The provider does not have this ability: use another.
    Unsupported,
    /// What was deployed broke by itself: read its log.
    Failed,
    /// A fault of the provider: report it.
    Internal,
}

impl ErrorKind {
    /// The stable word for it, as it stands in journals.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Fenced => "fenced",
            Self::Corrupt => "corrupt",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::NoSpace => "no_space",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
            Self::Internal => "internal",
        }
    }
}

/// Whether and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAdvice {
    /// The same request fails again.
    Never,
    /// With growing pauses.
    Backoff,
    /// Not before this long from now.
    After(Duration),
    /// It was retried already; do not retry again further up.
    Exhausted,
}

impl ProviderError {
    /// An error of `operation`, which changed nothing. Kinds that pass by themselves (`Conflict`,
    /// `RateLimited`, `Unavailable`, `NoSpace`) advise a retry with pauses, `Timeout` and
    /// `Cancelled` leave the effect unknown.
    pub fn new(
        kind: ErrorKind,
        operation: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        let retry = match kind {
            ErrorKind::Conflict
            | ErrorKind::RateLimited
            | ErrorKind::Unavailable
            | ErrorKind::NoSpace
            | ErrorKind::Timeout
            | ErrorKind::Cancelled => RetryAdvice::Backoff,
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Fenced
            | ErrorKind::Corrupt
            | ErrorKind::Denied
            | ErrorKind::Unsupported
            | ErrorKind::Failed
            | ErrorKind::Internal => RetryAdvice::Never,
        };
        let effect = match kind {
            ErrorKind::Timeout | ErrorKind::Cancelled => EffectCertainty::Unknown,
            _ => EffectCertainty::NotApplied,
        };
        Self {
            kind,
            retry,
            effect,
            operation: operation.into(),
            message: message.into(),
            context: Vec::new(),
            source: None,
        }
    }

    /// The same error as one of another kind.
    #[cfg(feature = "plugin")]
    pub(crate) const fn renamed(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says whether anything changed.
    #[must_use]
    pub const fn with_effect(mut self, effect: EffectCertainty) -> Self {
        self.effect = effect;
        self
    }

    /// Says whether and when to try again.
    #[must_use]
    pub const fn with_retry(mut self, retry: RetryAdvice) -> Self {
        self.retry = retry;
        self
    }

    /// Adds a fact, for example the target. Never a secret.
    #[must_use]
    pub fn with_context(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
    ) -> Self {
        self.context.push((name.into(), value.to_string()));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The kind of fault.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether and when to try again.
    pub const fn retry(&self) -> RetryAdvice {
        self.retry
    }

    /// Whether anything changed.
    pub const fn effect(&self) -> EffectCertainty {
        self.effect
    }

    /// The operation that failed.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The value of a fact, if it is known.
    pub fn context(&self, name: &str) -> Option<&str> {
        self.context.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)?;
        for (name, value) in &self.context {
            write!(f, ", {name}: {value}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ProviderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl ProviderError {
    /// The error as plain data, which can be stored, sent to another process and become an error again. The chain
    /// of causes becomes a part of the message.
    pub fn report(&self) -> ErrorReport {
        let Self { kind, retry, effect, operation, message, context, .. } = self;
        let message = with_causes(message.clone(), self);
        let context = context.iter().map(|(name, value)| (name.to_string(), value.clone()));
        ErrorReport {
            kind: *kind,
            retry: *retry,
            effect: *effect,
            operation: operation.to_string(),
            message,
            context: context.collect(),
        }
    }

    /// The error as the engine journals it: the whole chain of causes in one line.
    pub fn into_effect_error(self) -> EffectError {
        let message = with_causes(self.to_string(), &self);
        let kind = self.kind.as_str();
        let error = match self.retry {
            RetryAdvice::Never | RetryAdvice::Exhausted => EffectError::permanent(kind, message),
            RetryAdvice::Backoff => EffectError::transient(kind, message),
            RetryAdvice::After(pause) => EffectError::transient(kind, message).after(pause.into()),
        };
        EffectError { effect: self.effect, ..error }
    }
}

fn with_causes(mut message: String, error: &ProviderError) -> String {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

/// A [`ProviderError`] as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorReport {
    /// The kind of fault.
    pub kind: ErrorKind,
    /// Whether and when to try again.
    pub retry: RetryAdvice,
    /// Whether anything changed.
    pub effect: EffectCertainty,
    /// The operation that failed.
    pub operation: String,
    /// What is wrong, with all causes.
    pub message: String,
    /// Facts, by name.
    pub context: Vec<(String, String)>,
}

impl From<ErrorReport> for ProviderError {
    fn from(report: ErrorReport) -> Self {
        let ErrorReport { kind, retry, effect, operation, message, context } = report;
        let context = context.into_iter().map(|(name, value)| (Cow::Owned(name), value));
        Self {
            kind,
            retry,
            effect,
            operation: Cow::Owned(operation),
            message,
            context: context.collect(),
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use release_core::model::Span;
    use release_core::port::Retry;

    use super::*;

    #[test]
    fn a_pause_that_a_provider_asks_for_reaches_the_engine() {
        let error = |retry| {
            let error = ProviderError::new(ErrorKind::RateLimited, "deploy.apply", "slow down");
            error.with_retry(retry).with_effect(EffectCertainty::Unknown).into_effect_error()
        };
        let advised = error(RetryAdvice::After(Duration::from_secs(30)));
        assert_eq!((advised.retry, advised.retry_after), (Retry::Backoff, Some(Span::secs(30))));
        assert_eq!((&*advised.kind, advised.effect), ("rate_limited", EffectCertainty::Unknown));
        for (advice, retry) in [
            (RetryAdvice::Backoff, Retry::Backoff),
            (RetryAdvice::Never, Retry::Never),
            (RetryAdvice::Exhausted, Retry::Never),
        ] {
            assert_eq!((error(advice).retry, error(advice).retry_after), (retry, None));
        }
    }
}
