//! Conversions between the types of the traits and the messages of the contract, field by field.

use std::fmt;
use std::str::FromStr;

use release_core::model::{
    ArtifactRef, ChannelId, Digest, EnvironmentId, PrincipalId, RegionId, RoleId, RunId, ServiceId,
};
use release_core::time::Timestamp;
use semver::Version;

/// A type that stands in messages as a `P`.
pub(super) trait Wire<P>: Sized {
    /// As it stands in a message.
    fn to_wire(&self) -> P;
    /// From a message of somebody who may lie.
    fn from_wire(wire: P) -> Result<Self, WireError>;
}

/// A message that breaks the contract: which field, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{}`: {problem}", path(.fields))]
pub(super) struct WireError {
    /// From the inside out.
    fields: Vec<&'static str>,
    problem: String,
}

impl WireError {
    pub(super) fn new(problem: impl fmt::Display) -> Self {
        Self { fields: Vec::new(), problem: problem.to_string().chars().take(200).collect() }
    }

    pub(super) fn missing() -> Self {
        Self::new("it is missing")
    }

    /// The same, inside of `field`.
    #[must_use]
    pub(super) fn within(mut self, field: &'static str) -> Self {
        self.fields.push(field);
        self
    }
}

fn path(fields: &[&'static str]) -> String {
    fields.iter().rev().copied().collect::<Vec<_>>().join(".")
}

/// Structs whose fields are those of a message: `wire! { Struct => Message { field, field } }`.
macro_rules! wire {
    ($($type:ty => $message:ident { $($field:ident),* $(,)? })*) => {$(
        impl $crate::plugin::wire::Wire<$crate::plugin::pb::$message> for $type {
            fn to_wire(&self) -> $crate::plugin::pb::$message {
                $crate::plugin::pb::$message {
                    $($field: $crate::plugin::wire::Wire::to_wire(&self.$field),)*
                }
            }
            fn from_wire(
                wire: $crate::plugin::pb::$message,
            ) -> Result<Self, $crate::plugin::wire::WireError> {
                Ok(Self {
                    $($field: $crate::plugin::wire::Wire::from_wire(wire.$field)
                        .map_err(|error| error.within(stringify!($field)))?,)*
                })
            }
        }
        $crate::plugin::wire::nested!($type => $message);
    )*};
}

/// A message inside of another, where it has to be.
macro_rules! nested {
    ($type:ty => $message:ident) => {
        impl $crate::plugin::wire::Wire<Option<$crate::plugin::pb::$message>> for $type {
            fn to_wire(&self) -> Option<$crate::plugin::pb::$message> {
                Some($crate::plugin::wire::Wire::to_wire(self))
            }
            fn from_wire(
                wire: Option<$crate::plugin::pb::$message>,
            ) -> Result<Self, $crate::plugin::wire::WireError> {
                $crate::plugin::wire::Wire::from_wire(
                    wire.ok_or_else($crate::plugin::wire::WireError::missing)?,
                )
            }
        }
    };
}

/// Enums without fields: `wire_enum! { Enum => Message { Variant = Value, ... } }`.
macro_rules! wire_enum {
    ($($type:ty => $message:ident { $($ours:ident),* $(,)? })*) => {$(
        impl $crate::plugin::wire::Wire<i32> for $type {
            fn to_wire(&self) -> i32 {
                let value = match self {
                    $(Self::$ours => $crate::plugin::pb::$message::$ours,)*
                };
                value.into()
            }
            fn from_wire(wire: i32) -> Result<Self, $crate::plugin::wire::WireError> {
                match $crate::plugin::pb::$message::try_from(wire) {
                    $(Ok($crate::plugin::pb::$message::$ours) => Ok(Self::$ours),)*
                    Ok($crate::plugin::pb::$message::Unspecified) | Err(_) => {
                        let text = format!("{wire} is no known {}", stringify!($message));
                        Err($crate::plugin::wire::WireError::new(text))
                    }
                }
            }
        }
    )*};
}

pub(super) use {nested, wire, wire_enum};

macro_rules! texts {
    ($($type:ty),* $(,)?) => {$(
        impl Wire<String> for $type {
            fn to_wire(&self) -> String {
                self.to_string()
            }
            fn from_wire(wire: String) -> Result<Self, WireError> {
                <$type>::from_str(&wire).map_err(WireError::new)
            }
        }
    )*};
}

texts!(
    ArtifactRef,
    ChannelId,
    Digest,
    EnvironmentId,
    PrincipalId,
    RegionId,
    RoleId,
    RunId,
    ServiceId,
    Version,
);

macro_rules! same {
    ($($type:ty),* $(,)?) => {$(
        impl Wire<$type> for $type {
            fn to_wire(&self) -> $type {
                self.clone()
            }
            fn from_wire(wire: $type) -> Result<Self, WireError> {
                Ok(wire)
            }
        }
    )*};
}

same!(String, bool, u32, u64);

impl Wire<u32> for u8 {
    fn to_wire(&self) -> u32 {
        u32::from(*self)
    }
    fn from_wire(wire: u32) -> Result<Self, WireError> {
        Self::try_from(wire).map_err(|_| WireError::new(format!("{wire} is more than 255")))
    }
}

impl Wire<i64> for Timestamp {
    fn to_wire(&self) -> i64 {
        self.as_micros()
    }
    fn from_wire(wire: i64) -> Result<Self, WireError> {
        Ok(Self::from_micros(wire))
    }
}

impl<P, T: Wire<P>> Wire<Vec<P>> for Vec<T> {
    fn to_wire(&self) -> Vec<P> {
        self.iter().map(Wire::to_wire).collect()
    }
    fn from_wire(wire: Vec<P>) -> Result<Self, WireError> {
        wire.into_iter().map(Wire::from_wire).collect()
    }
}

impl<P, T: Wire<P> + Ord> Wire<Vec<P>> for std::collections::BTreeSet<T> {
    fn to_wire(&self) -> Vec<P> {
        self.iter().map(Wire::to_wire).collect()
    }
    fn from_wire(wire: Vec<P>) -> Result<Self, WireError> {
        wire.into_iter().map(Wire::from_wire).collect()
    }
}

impl<P, T: Wire<P>> Wire<Option<P>> for Option<T> {
    fn to_wire(&self) -> Option<P> {
        self.as_ref().map(Wire::to_wire)
    }
    fn from_wire(wire: Option<P>) -> Result<Self, WireError> {
        wire.map(Wire::from_wire).transpose()
    }
}
