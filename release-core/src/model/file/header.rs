//! What a file says of its format, read without a look at anything else.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The fields that a file begins with, whatever its format; others are passed over.
#[derive(serde::Deserialize)]
pub(super) struct Start<T> {
    #[serde(default = "none")]
    pub(super) format: Option<T>,
}

const fn none<T>() -> Option<T> {
    None
}

/// A value that may be of any kind; what lists and tables hold is passed over, however deep.
#[derive(Debug)]
pub(super) enum Said {
    Scalar(String),
    List,
    Table,
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SaidVisitor)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Said, E> {
        Ok(Said::Scalar(text.into()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Said, E> {
        Ok(Said::Scalar(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Said, E> {
        Ok(Said::Scalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Said, E> {
        Ok(Said::Scalar(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Said, E> {
        Ok(Said::Scalar(value.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Said, E> {
        Ok(Said::Scalar("null".into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Said, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Said::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Said, A::Error> {
        while table.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Said::Table)
    }
}
