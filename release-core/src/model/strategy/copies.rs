//! Copies of requests, as a step of a canary says them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{IntoDeserializer as _, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::request::{RequestMatch, only_problem};
use crate::model::{Digest, Mirror};

/// Copies of requests for the new version, as a strategy says it. The planner makes the [rule](Mirror) of it that routers keep.
///
/// In files it is a number where all requests are meant, `mirror: 10`, and a table where some are:
/// `mirror: { percent: 10, only: [{ method: { exact: GET } }] }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// Of how many requests in a hundred, 1 to 100.
    pub percent: u8,
    /// The requests that are meant: those that one of these fits. Empty: all of them.
    pub only: Vec<RequestMatch>,
}

impl Copies {
    /// Of `percent` of all requests.
    pub const fn of(percent: u8) -> Self {
        Self { percent, only: Vec::new() }
    }

    /// The same of those requests alone that one of these fits.
    #[must_use]
    pub fn with_only(self, only: impl IntoIterator<Item = RequestMatch>) -> Self {
        Self { only: only.into_iter().collect(), ..self }
    }

    /// The rule for routers, where `new` is the new version's content.
    pub fn rule(&self, new: Digest) -> Mirror {
        Mirror::new(new, self.percent).with_only(self.only.iter().cloned())
    }

    /// What is wrong with it, and how to mend it.
    pub fn problem(&self) -> Option<String> {
        let Self { percent, only } = self;
        if !(1..=100).contains(percent) {
            return Some(format!("`mirror` is {percent}; write a whole number from 1 to 100"));
        }
        only_problem(only).map(|problem| format!("`mirror`: {problem}"))
    }
}

impl From<u8> for Copies {
    /// As a bare number in a file.
    fn from(percent: u8) -> Self {
        Self::of(percent)
    }
}

impl Serialize for Copies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { percent, only } = self;
        if only.is_empty() {
            return serializer.serialize_u8(*percent);
        }
        let mut table = serializer.serialize_struct("Copies", 2)?;
        table.serialize_field("percent", percent)?;
        table.serialize_field("only", only)?;
        table.end()
    }
}

/// Copies of some requests alone, as a table.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CopiesOfSome")]
#[serde(deny_unknown_fields)]
struct Table {
    /// Of how many requests in a hundred.
    #[serde(deserialize_with = "percent")]
    #[schemars(range(min = 1, max = 100))]
    percent: u8,
    /// The requests that are meant: those that one of these fits. Empty: all of them.
    #[serde(default)]
    only: Vec<RequestMatch>,
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    super::share(deserializer, 1, "the requests")
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Copies;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 1 to 100, or a table with `percent` and `only`")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Copies, E> {
        percent(number.into_deserializer()).map(Copies::of)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Copies, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Copies, A::Error> {
        let Table { percent, only } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Copies { percent, only })
    }
}

impl<'de> Deserialize<'de> for Copies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for Copies {
    fn schema_name() -> Cow<'static, str> {
        "Copies".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        schemars::json_schema!({
            "description": "Copies of requests for the new version: of so many of all of them, or of those that a table names.",
            "anyOf": [
                { "type": "integer", "format": "uint8", "minimum": 1, "maximum": 100 },
                table,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TextMatch;

    fn read(text: &str) -> Result<Copies, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bare_number_means_all_requests_and_a_table_some() {
        assert_eq!(read("10"), Ok(Copies::of(10)));
        assert_eq!(read(r#"{"percent":10}"#), Ok(10.into()));
        assert_eq!(serde_json::to_string(&Copies::of(10)).unwrap(), "10");
        let text = r#"{"percent":10,"only":[{"method":{"exact":"GET"}},{"path":{"prefix":"/a"}}]}"#;
        let some = read(text).unwrap();
        let path = TextMatch::Prefix("/a".into());
        let only =
            [RequestMatch::default().with_method("GET"), RequestMatch::default().with_path(path)];
        assert_eq!(some, Copies::of(10).with_only(only.clone()));
        assert_eq!(serde_json::to_string(&some).unwrap(), text);
        let new = Digest::of(b"new");
        assert_eq!(some.rule(new), Mirror { to: new, percent: 10, only: only.into() });
        assert_eq!((some.problem(), Copies::of(100).problem()), (None, None));
    }

    #[test]
    fn what_is_neither_is_refused_with_what_would_be() {
        for (text, why) in [
            ("0", "`0` is no share of the requests; write a whole number from 1 to 100"),
            ("101", "`101` is no share of the requests"),
            ("-1", "`-1` is no share of the requests"),
            ("18446744073709551615", "is no share of the requests"),
            (r#"{"percent":0,"only":[]}"#, "`0` is no share of the requests"),
            (r#"{"only":[]}"#, "missing field `percent`"),
            (r#"{"percent":1,"match":[]}"#, "unknown field `match`, expected `percent` or `only`"),
            (r#"{"percent":1,"only":[{"verb":"GET"}]}"#, "unknown field `verb`"),
            (r#""10 %""#, "expected a whole number from 1 to 100, or a table with `percent`"),
            ("[10]", "expected a whole number from 1 to 100, or a table"),
            ("1.5", "expected a whole number from 1 to 100, or a table"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let of = |only| Copies::of(10).with_only([only]).problem().unwrap();
        assert!(of(RequestMatch::default()).starts_with("`mirror`: a match that says nothing"));
        assert!(Copies::of(101).problem().unwrap().starts_with("`mirror` is 101; write"));
    }
}
