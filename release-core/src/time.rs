//! Instants and durations as they stand in definitions, plans and journals.
//!
//! Nothing here reads a clock: time comes in through [`crate::port::Clock`].

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};

/// An instant in UTC with microsecond precision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant and `span` later; saturates at the end of representable time.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        let micros = i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long after `earlier` this instant is; zero when it is not later.
    pub fn since(self, earlier: Self) -> Span {
        let micros = self.0.saturating_sub(earlier.0);
        Span(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(value: DateTime<Utc>) -> Self {
        Self(value.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(at) if (0..=9999).contains(&at.year()) => {
                f.write_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
            }
            _ => write!(f, "{}us", self.0), // RFC 3339 has years of four digits
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not an instant; write it as RFC 3339, for example `2026-11-23T14:00:00Z`")]
pub struct TimestampError {
    /// What was given.
    pub value: String,
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(value: &str) -> Result<Self, TimestampError> {
        if let Some(micros) = value.strip_suffix("us").and_then(|n| n.parse().ok()) {
            return Ok(Self(micros));
        }
        DateTime::parse_from_rfc3339(value)
            .map(|at| Self(at.timestamp_micros()))
            .map_err(|_| TimestampError { value: value.chars().take(80).collect() })
    }
}

/// A length of time. In files it is written as in `300ms`, `30s`, `5m`, `2h 30m`, `1day`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A span of `millis` milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A span of `secs` seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The span as a [`Duration`].
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(value: Duration) -> Self {
        Self(value)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{value}` is not a duration: {problem}; write a number and a unit, for example `300ms`, `30s`, `5m`, `2h`"
)]
pub struct SpanError {
    /// What was given.
    pub value: String,
    /// What is wrong with it.
    pub problem: SpanProblem,
}

/// What is wrong with text that is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanProblem {
    /// A minus stands before it.
    #[error("it is negative")]
    Negative,
    /// It is longer than 64 bits of seconds.
    #[error("it is longer than can be counted")]
    Overflow,
    /// A number stands without a unit.
    #[error("it has no unit")]
    NoUnit,
    /// A unit is none.
    #[error("its unit is not known")]
    UnknownUnit,
    /// It does not begin with a number.
    #[error("it does not begin with a number")]
    NoNumber,
}

impl std::str::FromStr for Span {
    type Err = SpanError;
    fn from_str(value: &str) -> Result<Self, SpanError> {
        humantime::parse_duration(value).map(Self).map_err(|error| SpanError {
            value: value.chars().take(80).collect(),
            problem: span_problem(value, &error),
        })
    }
}

fn span_problem(value: &str, error: &humantime::DurationError) -> SpanProblem {
    use humantime::DurationError::{
        Empty, InvalidCharacter, NumberExpected, NumberOverflow, UnknownUnit,
    };
    match error {
        _ if value.trim_start().starts_with('-') => SpanProblem::Negative,
        NumberOverflow => SpanProblem::Overflow,
        UnknownUnit { unit, .. } if unit.is_empty() => SpanProblem::NoUnit,
        UnknownUnit { .. } | InvalidCharacter(_) => SpanProblem::UnknownUnit,
        NumberExpected(_) | Empty => SpanProblem::NoNumber,
    }
}

macro_rules! serde_as_text {
    ($name:ident, $format:literal, $example:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

serde_as_text!(Timestamp, "date-time", "2026-11-23T14:00:00Z");
serde_as_text!(Span, "duration", "30s");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_round_trip_as_text() {
        for micros in [0, 1, 1_795_000_000_123_456, -1, i64::MAX, i64::MIN] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn spans_round_trip_and_saturate() {
        let span: Span = "2h 30m".parse().unwrap();
        assert_eq!(span, Span::secs(9_000));
        assert_eq!(span.to_string().parse(), Ok(span));
        for (text, want) in [
            ("soon", SpanProblem::NoNumber),
            ("", SpanProblem::NoNumber),
            ("-5m", SpanProblem::Negative),
            ("60", SpanProblem::NoUnit),
            ("5 fortnights", SpanProblem::UnknownUnit),
            ("5m!", SpanProblem::UnknownUnit),
            ("99999999999999999999d", SpanProblem::Overflow),
            ("9999999999999999999years", SpanProblem::Overflow),
        ] {
            assert_eq!(text.parse::<Span>().map_err(|e| e.problem), Err(want), "{text}");
        }
        assert_eq!(Timestamp::from_micros(5).since(Timestamp::from_micros(9)), Span::ZERO);
        let far = Timestamp::from_micros(i64::MAX - 1);
        assert_eq!(far.plus(Span::secs(u64::MAX)).as_micros(), i64::MAX);
    }
}
