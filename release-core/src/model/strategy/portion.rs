//! Some of a service's instances, as a count or as a percentage.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many of a service's instances: so many, or so many percent of all that it has.
///
/// In files a count is a number, `max_unavailable: 2`, and a percentage a text, `max_unavailable: 25%`. What a percentage comes
/// to is rounded to whole instances where it is used, up or down as it says there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// So many.
    Count(u32),
    /// So many percent of the service's instances, 0 to 100.
    Percent(u8),
}

impl Portion {
    /// None.
    pub const NONE: Self = Self::Count(0);

    /// How many that is of `all` instances, rounded up.
    pub fn rounded_up(self, all: u32) -> u32 {
        self.of(all, 99)
    }

    /// How many that is of `all` instances, rounded down.
    pub fn rounded_down(self, all: u32) -> u32 {
        self.of(all, 0)
    }

    fn of(self, all: u32, more: u64) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let exact = (u64::from(all) * u64::from(percent) + more) / 100;
                u32::try_from(exact).unwrap_or(u32::MAX)
            }
        }
    }

    /// Whether none are meant, however many there are.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// What is wrong with the one that stands in `field`, and how to mend it.
    pub fn problem(self, field: &str) -> Option<String> {
        match self {
            Self::Percent(percent) if percent > 100 => {
                Some(format!("`{field}` is {percent}%; write 0% to 100%, or a number of instances"))
            }
            Self::Count(_) | Self::Percent(_) => None,
        }
    }
}

impl Default for Portion {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<u32> for Portion {
    fn from(count: u32) -> Self {
        Self::Count(count)
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// Text that is no percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no number of instances; write one, such as 2, or a percentage, such as 25%")]
pub struct PortionError(String);

impl std::str::FromStr for Portion {
    type Err = PortionError;

    /// As it stands in files.
    fn from_str(text: &str) -> Result<Self, PortionError> {
        let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let read = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|p| *p <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        read.filter(|_| plain(text.trim_end_matches('%')))
            .ok_or_else(|| PortionError(text.chars().take(80).collect()))
    }
}

impl Serialize for Portion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Portion;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of instances, such as 2, or a percentage, such as 25%")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Portion, E> {
        let count = u32::try_from(number);
        count.map(Portion::Count).map_err(|_| E::custom(PortionError(number.to_string())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Portion, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Portion, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Portion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for Portion {
    fn schema_name() -> Cow<'static, str> {
        "Portion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "How many of a service's instances: a number, or a percentage of all that it has.",
            "anyOf": [
                { "type": "integer", "format": "uint32", "minimum": 0 },
                { "type": "string", "pattern": "^(100|[0-9]{1,2})%$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_as_it_is_asked() {
        for (portion, all, down, up) in [
            (Portion::Percent(25), 10, 2, 3),
            (Portion::Percent(25), 4, 1, 1),
            (Portion::Percent(1), 10, 0, 1),
            (Portion::Percent(0), 10, 0, 0),
            (Portion::Percent(100), u32::MAX, u32::MAX, u32::MAX),
            (Portion::Percent(255), u32::MAX, u32::MAX, u32::MAX),
            (Portion::Count(7), 4, 7, 7),
        ] {
            let found = (portion.rounded_down(all), portion.rounded_up(all));
            assert_eq!(found, (down, up), "{portion} of {all}");
        }
    }

    #[test]
    fn it_is_a_number_or_a_percentage() {
        for (text, want) in [
            ("2", Portion::Count(2)),
            ("0", Portion::NONE),
            (r#""25%""#, Portion::Percent(25)),
            (r#""100%""#, Portion::Percent(100)),
        ] {
            assert_eq!(serde_json::from_str::<Portion>(text).unwrap(), want);
            assert_eq!(serde_json::to_string(&want).unwrap(), text);
        }
        // A count may be in quotes, as it may be in YAML.
        assert_eq!(serde_json::from_str::<Portion>(r#""3""#).unwrap(), Portion::Count(3));
        for text in [
            "-1",
            "4294967296",
            r#""101%""#,
            r#""-1%""#,
            r#""+1%""#,
            r#""%""#,
            r#""""#,
            r#""1%%""#,
            r#""a third""#,
        ] {
            let error = serde_json::from_str::<Portion>(text).unwrap_err().to_string();
            assert!(error.contains("write one, such as 2, or a percentage"), "{text}: {error}");
        }
        for text in ["1.5", "true", "[25]", r#"{"percent":25}"#] {
            let error = serde_json::from_str::<Portion>(text).unwrap_err().to_string();
            assert!(error.contains("expected a number of instances, such as 2"), "{text}: {error}");
        }
    }

    #[test]
    fn more_than_all_is_refused_and_none_is_none() {
        let problem = Portion::Percent(101).problem("max_surge").unwrap();
        assert!(problem.starts_with("`max_surge` is 101%; write 0% to 100%"), "{problem}");
        assert_eq!(Portion::Percent(100).problem("max_surge"), None);
        assert_eq!(Portion::Count(u32::MAX).problem("max_surge"), None);
        for (portion, none) in [(0.into(), true), (Portion::Percent(0), true), (1.into(), false)] {
            assert_eq!(portion.is_none(), none, "{portion}");
        }
    }
}
