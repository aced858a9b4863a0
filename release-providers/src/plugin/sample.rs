//! Values of all types that cross the boundary, and what has to hold of each: it comes out as it went in, and bytes
//! of anybody do no harm.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{any, prop};
use prost::Message as _;
use release_core::model::{
    AntiAffinity, ArtifactName, ArtifactRef, ChannelId, Digest, EnvironmentId, Finite, GateId,
    Metric, PrincipalId, RegionId, RoleId, RunId, ServiceId, TeamId, TextMatch, TrackId, TrainId,
};
use release_core::time::{Span, Timestamp};
use semver::Version;
use serde_json::Value;

use super::wire::Crosses;
use crate::Secret;
use crate::spi::SecretRef;

/// Bytes that say which value comes out: so values shrink as bytes do. When they are spent, all is 0.
pub(super) struct Dice<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// How deep the JSON is that is being made.
    depth: u8,
}

impl<'a> Dice<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), depth: 0 }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or_default()
    }

    fn below(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % most
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 4 {
            0 => u64::from(self.byte()),
            1 => u64::MAX,
            _ => u64::from_le_bytes([0; 8].map(|_: u8| self.byte())),
        }
    }

    /// One of them.
    pub(super) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn word(&mut self, longest: usize, rest: &[u8]) -> String {
        let first = char::from(self.pick(b"az0"));
        let length = self.below(longest);
        [first].into_iter().chain((0..length).map(|_| char::from(self.pick(rest)))).collect()
    }
}

/// A type of which there are samples.
pub(super) trait Sample: Sized {
    fn sample(dice: &mut Dice<'_>) -> Self;
}

macro_rules! samples {
    ($($type:ty: |$dice:ident| $make:expr;)*) => {$(
        impl Sample for $type {
            fn sample($dice: &mut Dice<'_>) -> Self {
                $make
            }
        }
    )*};
}

samples! {
    (): |_dice| ();
    bool: |dice| dice.byte() % 2 == 1;
    u8: |dice| dice.byte();
    u32: |dice| Self::from_le_bytes([0; 4].map(|_: u8| dice.byte()));
    u64: |dice| dice.number();
    String: |dice| {
        let letters = ['a', 'Z', ' ', '"', '\\', '\n', '\0', 'é', '\u{202e}', '🚀'];
        let length = dice.below(6);
        (0..length).map(|_| dice.pick(&letters)).collect()
    };
    Timestamp: |dice| Self::from_micros(dice.number().cast_signed());
    Span: |dice| std::time::Duration::from_micros(dice.number()).into();
    Finite: |dice| {
        let any = f64::from_bits(dice.number());
        Self::new(any).unwrap_or(Self::ZERO)
    };
    Digest: |dice| Self::of(&[dice.byte()]);
    ArtifactRef: |dice| {
        let artifact = Self::new(Sample::sample(dice), Sample::sample(dice));
        match dice.below(2) {
            0 => artifact,
            _ => artifact.with_tag(&dice.word(128, b"azAZ09._-")).unwrap(),
        }
    };
    Version: |dice| {
        let mut version = Self::new(dice.number(), dice.number(), dice.number());
        version.pre = dice.pick(&["", "rc.1", "a-b.0"]).parse().unwrap();
        version.build = dice.pick(&["", "001", "x.y-z"]).parse().unwrap();
        version
    };
    SecretRef: |dice| Self::new(String::sample(dice));
    Secret: |dice| Self::new(String::sample(dice));
    Value: |dice| {
        let kinds = if dice.depth < 3 { 7 } else { 5 };
        dice.depth += 1;
        let value = match dice.below(kinds) {
            0 => Self::Null,
            1 => bool::sample(dice).into(),
            2 => dice.number().into(),
            3 => Finite::sample(dice).get().into(),
            4 => String::sample(dice).into(),
            5 => Vec::<Self>::sample(dice).into(),
            _ => Self::Object(BTreeMap::<String, Self>::sample(dice).into_iter().collect()),
        };
        dice.depth -= 1;
        value
    };
    Metric: |dice| {
        let makers: [fn(&mut Dice<'_>) -> Self; 5] = [
            |dice| Self::Ratio { numerator: Sample::sample(dice), denominator: Sample::sample(dice) },
            |dice| Self::Mean { sum: Sample::sample(dice), count: Sample::sample(dice) },
            |dice| Self::Quantile { histogram: Sample::sample(dice), quantile: Sample::sample(dice) },
            |dice| Self::Query { query: Sample::sample(dice) },
            |dice| Self::Range {
                query: Sample::sample(dice),
                step: Sample::sample(dice),
                over: Sample::sample(dice),
            },
        ];
        dice.pick(&makers)(dice)
    };
    AntiAffinity: |dice| {
        let weight = Sample::sample(dice);
        dice.pick(&[Self::Required, Self::Preferred(weight)])
    };
    TextMatch: |dice| {
        let makers: [fn(String) -> Self; 3] = [Self::Exact, Self::Prefix, Self::Regex];
        dice.pick(&makers)(Sample::sample(dice))
    };
}

macro_rules! ids {
    ($($id:ident $longest:literal $rest:literal;)*) => {$(
        impl Sample for $id {
            fn sample(dice: &mut Dice<'_>) -> Self {
                dice.word($longest, $rest).parse().unwrap()
            }
        }
    )*};
}

/// Ids that are paths of names.
macro_rules! paths {
    ($($id:ident)*) => {$(
        impl Sample for $id {
            fn sample(dice: &mut Dice<'_>) -> Self {
                let more = dice.below(4);
                let names: Vec<_> = (0..=more).map(|_| dice.word(39, b"az09._-")).collect();
                names.join("/").parse().unwrap()
            }
        }
    )*};
}

paths!(ArtifactName GateId);

ids! {
    ChannelId 64 b"az09._-";
    EnvironmentId 64 b"az09._-";
    PrincipalId 64 b"az09._-";
    RegionId 64 b"az09._-";
    RoleId 64 b"az09._-";
    RunId 64 b"az09._-";
    ServiceId 64 b"az09._-";
    TeamId 64 b"az09._-";
    TrackId 64 b"az09._-";
    TrainId 64 b"az09._-";
}

impl<T: Sample> Sample for Option<T> {
    fn sample(dice: &mut Dice<'_>) -> Self {
        bool::sample(dice).then(|| T::sample(dice))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(dice: &mut Dice<'_>) -> Self {
        let length = dice.below(4);
        (0..length).map(|_| T::sample(dice)).collect()
    }
}

impl<T: Sample + Ord> Sample for BTreeSet<T> {
    fn sample(dice: &mut Dice<'_>) -> Self {
        Vec::sample(dice).into_iter().collect()
    }
}

impl<T: Sample> Sample for BTreeMap<String, T> {
    fn sample(dice: &mut Dice<'_>) -> Self {
        let length = dice.below(4);
        (0..length).map(|_| (String::sample(dice), T::sample(dice))).collect()
    }
}

/// What holds of one type.
#[derive(Clone, Copy)]
struct Check {
    name: &'static str,
    /// A value as bytes.
    encoded: fn(&[u8]) -> Vec<u8>,
    /// A value comes out as it went in.
    comes_back: fn(&[u8]),
    /// Bytes that can be read mean one value, whatever they are.
    is_read_or_refused: fn(&[u8]),
}

fn check<T: Crosses + Sample + PartialEq + std::fmt::Debug>(name: &'static str) -> Check {
    Check {
        name,
        encoded: |dice| T::sample(&mut Dice::new(dice)).encoded(),
        comes_back: |dice| {
            let value = T::sample(&mut Dice::new(dice));
            let bytes = value.encoded();
            let back = T::from_wire(T::Message::decode(&*bytes).unwrap());
            assert_eq!(back.as_ref(), Ok(&value));
        },
        is_read_or_refused: |bytes| {
            let Ok(message) = T::Message::decode(bytes) else { return };
            match T::from_wire(message) {
                Ok(value) => assert_eq!(T::from_wire(value.to_wire()), Ok(value)),
                Err(error) => assert!(error.to_string().starts_with("field `"), "{error}"),
            }
        },
    }
}

macro_rules! checks {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        /// All requests and answers of all capabilities.
        fn checks() -> Vec<Check> {
            vec![$($(
                check::<$request>(concat!($capability, ".", stringify!($operation), " request")),
                check::<$answer>(concat!($capability, ".", stringify!($operation), " answer")),
            )*)*]
        }
    };
}
crate::for_each_capability!(checks);

proptest::proptest! {
    #[test]
    fn requests_and_answers_come_out_as_they_went_in(
        dice in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        for check in checks() {
            (check.comes_back)(&dice);
        }
    }

    /// Bytes of anybody, and messages in which some bytes are others, or missing.
    #[test]
    fn f39_garbage_is_refused_and_nothing_worse(
        dice in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for check in checks() {
            (check.is_read_or_refused)(&dice);
            let mut bytes = (check.encoded)(&dice);
            if bytes.is_empty() {
                continue;
            }
            (check.is_read_or_refused)(&bytes[..cut.index(bytes.len())]);
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
                (check.is_read_or_refused)(&bytes);
            }
        }
    }
}

/// Samples that are all the same would show nothing.
#[test]
fn every_type_has_many_samples() {
    let none: &[&str] = &["clock_source.read request", "identity_source.read request"];
    for check in checks() {
        let throw = |seed: u8| {
            let dice: Vec<u8> =
                (0..=255_u8).map(|n| n.wrapping_mul(seed).rotate_left(3) ^ seed).collect();
            (check.encoded)(&dice)
        };
        let different: BTreeSet<_> = (0..=255).map(throw).collect();
        let is_done = (check.encoded)(&[255; 64]).is_empty();
        let empty = none.contains(&check.name) || is_done;
        assert!(empty || different.len() >= 50, "{}: {}", check.name, different.len());
        assert!(!empty || different.len() == 1, "{}: {}", check.name, different.len());
    }
}
