//! Reads a quorum, and stops at the first part that is too deep or one too many: what comes from outside is
//! bounded while it is read, not after.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, EnumAccess, Error, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::quorum::{Expression, MAX_DEPTH, MAX_PARTS, Quorum, QuorumError};

impl<'de> Deserialize<'de> for Quorum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Expression::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bounded { depth: 1, parts: &Cell::new(0) }.deserialize(deserializer)
    }
}

const KINDS: [&str; 5] = ["all_of", "any_of", "of_role", "anyone", "must_include"];

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    AllOf,
    AnyOf,
    OfRole,
    Anyone,
    MustInclude,
}

/// One expression at a depth.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    depth: usize,
    parts: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Expression;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Expression, D::Error> {
        self.parts.set(self.parts.get() + 1);
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(QuorumError::TooDeep));
        }
        if self.parts.get() > MAX_PARTS {
            return Err(D::Error::custom(QuorumError::TooManyParts));
        }
        deserializer.deserialize_enum("Expression", &KINDS, self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Expression;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a quorum: one of {}", KINDS.join(", "))
    }
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Expression, A::Error> {
        let (kind, content) = data.variant::<Kind>()?;
        let parts = Parts(Self { depth: self.depth + 1, ..self });
        match kind {
            Kind::AllOf => content.newtype_variant_seed(parts).map(Expression::AllOf),
            Kind::AnyOf => content.newtype_variant_seed(parts).map(Expression::AnyOf),
            Kind::OfRole => content.newtype_variant().map(Expression::OfRole),
            Kind::Anyone => content.newtype_variant().map(Expression::Anyone),
            Kind::MustInclude => content.newtype_variant().map(Expression::MustInclude),
        }
    }
}

/// A list of expressions, each at a depth.
struct Parts<'a>(Bounded<'a>);

impl<'de> DeserializeSeed<'de> for Parts<'_> {
    type Value = Vec<Expression>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = Vec<Expression>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of quorums")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(part) = list.next_element_seed(self.0)? {
            all.push(part);
        }
        Ok(all)
    }
}
