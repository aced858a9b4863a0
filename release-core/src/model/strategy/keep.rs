//! For how long what was taken back is kept.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::{Span, SpanError};

/// How it stands in files.
const FOREVER: &str = "forever";

/// For how long the new version is kept, without traffic, once it was taken back: for people to look at.
///
/// In files it is a time, `keep_new_after_abort: 10m`, or the word `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepNew {
    /// For so long; 0: it is removed at once.
    For(Span),
    /// No run removes it: people do, when they have seen enough, or a release of the same version, which uses its instances.
    /// Argo Rollouts says so by a delay of 0.
    Forever,
}

impl KeepNew {
    /// Not at all.
    pub const NOT: Self = Self::For(Span::ZERO);

    /// For how long, where that has an end.
    pub const fn span(self) -> Option<Span> {
        match self {
            Self::For(span) => Some(span),
            Self::Forever => None,
        }
    }
}

impl Default for KeepNew {
    fn default() -> Self {
        Self::NOT
    }
}

impl From<Span> for KeepNew {
    fn from(span: Span) -> Self {
        Self::For(span)
    }
}

impl fmt::Display for KeepNew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(span) => span.fmt(f),
            Self::Forever => f.write_str(FOREVER),
        }
    }
}

impl FromStr for KeepNew {
    type Err = SpanError;

    /// As it stands in files.
    fn from_str(text: &str) -> Result<Self, SpanError> {
        if text == FOREVER { Ok(Self::Forever) } else { text.parse().map(Self::For) }
    }
}

impl Serialize for KeepNew {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(span) => span.serialize(serializer),
            Self::Forever => serializer.serialize_str(FOREVER),
        }
    }
}

impl<'de> Deserialize<'de> for KeepNew {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for KeepNew {
    fn schema_name() -> Cow<'static, str> {
        "KeepNew".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        schemars::json_schema!({
            "description": "For how long the new version is kept once it was taken back: a time, or `forever`.",
            "anyOf": [span, { "type": "string", "const": "forever" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_time_or_the_word() {
        for (text, want) in [
            (r#""5m""#, KeepNew::For(Span::secs(300))),
            (r#""0s""#, KeepNew::NOT),
            (r#""forever""#, KeepNew::Forever),
        ] {
            assert_eq!(serde_json::from_str::<KeepNew>(text).unwrap(), want);
            assert_eq!(serde_json::to_string(&want).unwrap(), text);
            assert_eq!(format!("\"{want}\""), text);
        }
        for text in [r#""for ever""#, "300", r#""""#] {
            assert!(serde_json::from_str::<KeepNew>(text).is_err(), "{text}");
        }
        assert_eq!(KeepNew::from(Span::ZERO), KeepNew::default());
        assert_eq!((KeepNew::NOT.span(), KeepNew::Forever.span()), (Some(Span::ZERO), None));
    }
}
