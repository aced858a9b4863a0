//! Conversions between the types of the traits and the messages of the contract, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use prost::Message as _;
use prost::bytes::Bytes;
use release_core::model::{
    ArtifactName, ArtifactRef, ChannelId, Digest, EnvironmentId, Finite, GateId, PrincipalId,
    RegionId, RoleId, RunId, ServiceId, TeamId, TrackId, TrainId,
};
use release_core::time::{Span, Timestamp};
use semver::Version;
use serde_json::Value;

use super::pb;
use crate::Secret;
use crate::spi::SecretRef;

/// A type that stands in messages as a `P`.
pub(super) trait Wire<P>: Sized {
    /// As it stands in a message.
    fn to_wire(&self) -> P;
    /// From a message of somebody who may lie.
    fn from_wire(wire: P) -> Result<Self, WireError>;
}

/// A type that has a message of its own: a request, an answer, or a part of one.
pub(super) trait Crosses: Wire<Self::Message> {
    /// Its message.
    type Message: prost::Message + Default;

    /// The bytes of its message.
    fn encoded(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }
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

/// Structs whose fields are those of a message: `wire! { Struct => Message { field, field } }`. Those that are called
/// otherwise there come last: `{ field; field as other }`.
macro_rules! wire {
    ($($type:ty => $message:ident $(by $new:ident)? {
        $($field:ident),* $(,)? $(; $($ours:ident as $theirs:ident),* $(,)?)?
    })*) => {$(
        impl $crate::plugin::wire::Wire<$crate::plugin::pb::$message> for $type {
            fn to_wire(&self) -> $crate::plugin::pb::$message {
                $crate::plugin::pb::$message {
                    $($field: $crate::plugin::wire::Wire::to_wire(&self.$field),)*
                    $($($theirs: $crate::plugin::wire::Wire::to_wire(&self.$ours),)*)?
                }
            }
            fn from_wire(
                wire: $crate::plugin::pb::$message,
            ) -> Result<Self, $crate::plugin::wire::WireError> {
                let $crate::plugin::pb::$message { $($field,)* $($($theirs),*)? } = wire;
                Ok($crate::plugin::wire::made!([$($new)?]
                    $($field: $crate::plugin::wire::Wire::from_wire($field)
                        .map_err(|error| error.within(stringify!($field)))?,)*
                    $($($ours: $crate::plugin::wire::Wire::from_wire($theirs)
                        .map_err(|error| error.within(stringify!($theirs)))?,)*)?
                ))
            }
        }
        $crate::plugin::wire::nested!($type => $message);

        #[cfg(test)]
        impl $crate::plugin::sample::Sample for $type {
            fn sample(dice: &mut $crate::plugin::sample::Dice<'_>) -> Self {
                let _ = &dice; // not all have fields
                $crate::plugin::wire::made!([$($new)?]
                    $($field: $crate::plugin::sample::Sample::sample(dice),)*
                    $($($ours: $crate::plugin::sample::Sample::sample(dice),)*)?
                )
            }
        }
    )*};
}

/// A value of its fields, or of the arguments of its constructor where other crates make it by that alone.
macro_rules! made {
    ([] $($field:ident: $value:expr,)*) => { Self { $($field: $value,)* } };
    ([new] $($field:ident: $value:expr,)*) => { Self::new($($value,)*) };
}

/// A message of its own, which has to be there where it is a part of another one.
macro_rules! nested {
    ($type:ty => $message:ident) => {
        impl $crate::plugin::wire::Crosses for $type {
            type Message = $crate::plugin::pb::$message;
        }

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

/// Enums whose variants are messages in a message:
/// `wire_choice! { Enum => Message, message::Oneof as oneof { Variant { field }, Variant {} } }`.
macro_rules! wire_choice {
    ($($type:ty => $message:ident, $module:ident::$one:ident as $choice:ident {
        $($variant:ident { $($field:ident),* }),* $(,)?
    })*) => {$(
        impl $crate::plugin::wire::Wire<$crate::plugin::pb::$message> for $type {
            fn to_wire(&self) -> $crate::plugin::pb::$message {
                use $crate::plugin::pb::$module as wired;
                let choice = match self {
                    $(Self::$variant { $($field),* } => wired::$one::$variant(wired::$variant {
                        $($field: $crate::plugin::wire::Wire::to_wire($field),)*
                    }),)*
                };
                $crate::plugin::pb::$message { $choice: Some(choice) }
            }
            fn from_wire(
                wire: $crate::plugin::pb::$message,
            ) -> Result<Self, $crate::plugin::wire::WireError> {
                use $crate::plugin::pb::$module as wired;
                let choice = wire.$choice.ok_or_else($crate::plugin::wire::WireError::missing)?;
                match choice {
                    $(wired::$one::$variant(wired::$variant { $($field),* }) => Ok(Self::$variant {
                        $($field: $crate::plugin::wire::Wire::from_wire($field)
                            .map_err(|error| error.within(stringify!($field)))?,)*
                    }),)*
                }
            }
        }
        $crate::plugin::wire::nested!($type => $message);

        #[cfg(test)]
        impl $crate::plugin::sample::Sample for $type {
            fn sample(dice: &mut $crate::plugin::sample::Dice<'_>) -> Self {
                let makers: &[fn(&mut $crate::plugin::sample::Dice<'_>) -> Self] = &[$(|dice| {
                    let _ = &dice; // not all have fields
                    Self::$variant { $($field: $crate::plugin::sample::Sample::sample(dice)),* }
                }),*];
                dice.pick(makers)(dice)
            }
        }
    )*};
}

/// Enums without fields: `wire_enum! { Enum => Message { Variant, Variant } }`.
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

        #[cfg(test)]
        impl $crate::plugin::sample::Sample for $type {
            fn sample(dice: &mut $crate::plugin::sample::Dice<'_>) -> Self {
                dice.pick(&[$(Self::$ours),*])
            }
        }
    )*};
}

pub(super) use {made, nested, wire, wire_choice, wire_enum};

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
    ArtifactName,
    ArtifactRef,
    ChannelId,
    Digest,
    EnvironmentId,
    GateId,
    PrincipalId,
    RegionId,
    RoleId,
    RunId,
    ServiceId,
    TeamId,
    TrackId,
    TrainId,
    Version,
);

impl Wire<String> for SecretRef {
    fn to_wire(&self) -> String {
        self.as_str().to_owned()
    }
    fn from_wire(wire: String) -> Result<Self, WireError> {
        Ok(Self::new(wire))
    }
}

/// The one way out of a [`Secret`]: to the host that leases it.
impl Wire<String> for Secret {
    fn to_wire(&self) -> String {
        self.expose().to_owned()
    }
    fn from_wire(wire: String) -> Result<Self, WireError> {
        Ok(Self::new(wire))
    }
}

/// As JSON text. The empty text is null, so that nobody has to write that.
impl Wire<String> for Value {
    fn to_wire(&self) -> String {
        self.to_string()
    }
    fn from_wire(wire: String) -> Result<Self, WireError> {
        if wire.is_empty() {
            return Ok(Self::Null);
        }
        serde_json::from_str(&wire)
            .map_err(|error| WireError::new(format!("it is no JSON: {error}")))
    }
}

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

impl Wire<f64> for Finite {
    fn to_wire(&self) -> f64 {
        self.get()
    }
    fn from_wire(wire: f64) -> Result<Self, WireError> {
        Self::new(wire).map_err(WireError::new)
    }
}

impl Wire<Bytes> for Vec<u8> {
    fn to_wire(&self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
    fn from_wire(wire: Bytes) -> Result<Self, WireError> {
        Ok(wire.into())
    }
}

/// In whole microseconds; more than 584,542 years are as many.
impl Wire<u64> for Span {
    fn to_wire(&self) -> u64 {
        u64::try_from(self.as_duration().as_micros()).unwrap_or(u64::MAX)
    }
    fn from_wire(wire: u64) -> Result<Self, WireError> {
        Ok(std::time::Duration::from_micros(wire).into())
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

impl<P, T: Wire<P> + Ord> Wire<Vec<P>> for BTreeSet<T> {
    fn to_wire(&self) -> Vec<P> {
        self.iter().map(Wire::to_wire).collect()
    }
    fn from_wire(wire: Vec<P>) -> Result<Self, WireError> {
        wire.into_iter().map(Wire::from_wire).collect()
    }
}

impl<P, T: Wire<P>> Wire<BTreeMap<String, P>> for BTreeMap<String, T> {
    fn to_wire(&self) -> BTreeMap<String, P> {
        self.iter().map(|(name, value)| (name.clone(), value.to_wire())).collect()
    }
    fn from_wire(wire: BTreeMap<String, P>) -> Result<Self, WireError> {
        wire.into_iter().map(|(name, value)| Ok((name, T::from_wire(value)?))).collect()
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

impl Wire<pb::Done> for () {
    fn to_wire(&self) -> pb::Done {
        pb::Done {}
    }
    fn from_wire(_: pb::Done) -> Result<Self, WireError> {
        Ok(())
    }
}
nested!(() => Done);
