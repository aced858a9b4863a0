//! Errors, both ways.

use release_core::port::EffectCertainty;
use release_core::time::Span;

use crate::plugin::pb;
use crate::{ErrorKind, ErrorReport, ProviderError, RetryAdvice};

/// The kinds of errors, both ways.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        fn kind_to_wire(kind: ErrorKind) -> pb::ErrorKind {
            match kind {
                $(ErrorKind::$kind => pb::ErrorKind::$kind,)*
            }
        }
        /// A kind that nobody here knows is a fault of the provider.
        fn kind_from_wire(kind: i32) -> ErrorKind {
            match pb::ErrorKind::try_from(kind) {
                $(Ok(pb::ErrorKind::$kind) => ErrorKind::$kind,)*
                Ok(pb::ErrorKind::Unspecified) | Err(_) => ErrorKind::Internal,
            }
        }
    };
}

kinds!(
    Invalid,
    NotFound,
    Conflict,
    Fenced,
    Corrupt,
    Denied,
    RateLimited,
    Unavailable,
    NoSpace,
    Timeout,
    Cancelled,
    Unsupported,
    Failed,
    Internal,
);

/// An error of a provider as it goes to the host: the chain of its causes in one line.
pub(in crate::plugin) fn error_to_wire(error: &ProviderError) -> pb::Error {
    let (retry, after) = match error.retry() {
        RetryAdvice::Never => (pb::Retry::Never, None),
        RetryAdvice::Backoff => (pb::Retry::Backoff, None),
        RetryAdvice::After(pause) => (pb::Retry::After, Some(pause)),
        RetryAdvice::Exhausted => (pb::Retry::Exhausted, None),
    };
    let effect = match error.effect() {
        EffectCertainty::NotApplied => pb::Effect::NotApplied,
        EffectCertainty::Unknown => pb::Effect::Unknown,
        EffectCertainty::Applied => pb::Effect::Applied,
    };
    let ErrorReport { operation, message, context, .. } = error.report();
    pb::Error {
        kind: kind_to_wire(error.kind()).into(),
        retry: retry.into(),
        retry_after_micros: after.map(|pause| u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)),
        effect: effect.into(),
        operation,
        message,
        facts: context.into_iter().map(|(name, value)| pb::Fact { name, value }).collect(),
    }
}

/// An error of a plugin. What it does not say, nobody knows: `clean` makes its texts fit to be read.
pub(in crate::plugin) fn error_from_wire(
    wire: &pb::Error,
    operation: &'static str,
    clean: impl Fn(&str) -> String,
) -> ProviderError {
    let effect = match wire.effect() {
        pb::Effect::NotApplied => EffectCertainty::NotApplied,
        pb::Effect::Applied => EffectCertainty::Applied,
        pb::Effect::Unknown | pb::Effect::Unspecified => EffectCertainty::Unknown,
    };
    let retry = match wire.retry() {
        pb::Retry::Backoff => RetryAdvice::Backoff,
        pb::Retry::After => {
            let pause = std::time::Duration::from_micros(wire.retry_after_micros());
            RetryAdvice::After(pause.min(LONGEST_PAUSE.as_duration()))
        }
        pb::Retry::Exhausted => RetryAdvice::Exhausted,
        pb::Retry::Never | pb::Retry::Unspecified => RetryAdvice::Never,
    };
    let error = ProviderError::new(kind_from_wire(wire.kind), operation, clean(&wire.message))
        .with_effect(effect)
        .with_retry(retry);
    let facts = wire.facts.iter().take(MOST_FACTS);
    facts.fold(error, |error, fact| error.with_context(clean(&fact.name), clean(&fact.value)))
}

/// No plugin holds a caller back for longer than this by its advice.
const LONGEST_PAUSE: Span = Span::secs(3_600);
/// So many facts of one error are kept.
const MOST_FACTS: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn errors_keep_what_callers_go_by() {
        let effects =
            [EffectCertainty::NotApplied, EffectCertainty::Unknown, EffectCertainty::Applied];
        let advice = [
            RetryAdvice::Never,
            RetryAdvice::Backoff,
            RetryAdvice::After(Duration::from_millis(1_500)),
            RetryAdvice::Exhausted,
        ];
        for kind in 1..=14 {
            let kind = kind_from_wire(kind);
            for effect in effects {
                for retry in advice {
                    let cause = std::io::Error::other("disk on fire");
                    let error = ProviderError::new(kind, "deploy.apply", "no luck")
                        .with_effect(effect)
                        .with_retry(retry)
                        .with_context("target", "prod")
                        .with_source(cause);
                    let back = error_from_wire(&error_to_wire(&error), "x.y", str::to_owned);
                    assert_eq!((back.kind(), back.effect(), back.retry()), (kind, effect, retry));
                    assert_eq!(back.to_string(), "x.y: no luck: disk on fire, target: prod");
                }
            }
        }
    }

    #[test]
    fn f39_what_an_error_does_not_say_is_unknown() {
        let back =
            error_from_wire(&pb::Error { kind: 99, ..Default::default() }, "x.y", str::to_owned);
        assert_eq!(back.kind(), ErrorKind::Internal);
        assert_eq!(back.effect(), EffectCertainty::Unknown);
        assert_eq!(back.retry(), RetryAdvice::Never);
        let wire = pb::Error {
            retry: pb::Retry::After.into(),
            retry_after_micros: Some(u64::MAX),
            ..Default::default()
        };
        let back = error_from_wire(&wire, "x.y", str::to_owned);
        assert_eq!(back.retry(), RetryAdvice::After(Duration::from_hours(1)));
    }
}
