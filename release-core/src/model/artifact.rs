//! Content-addressed deliverables and the sets in which they move.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{ArtifactName, IdError, ServiceId};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps 32 bytes that somebody else computed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, without the `sha256:` in front.
    pub fn hex(&self) -> String {
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
    }

    /// The first twelve hexadecimal digits: enough for people, never for machines.
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", self.short())
    }
}

/// Text that is not a reference to an immutable artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The digest is not `sha256:` and 64 hexadecimal digits.
    #[error("`{0}` is not a digest; write `sha256:` and 64 lower-case hexadecimal digits")]
    Digest(String),
    /// There is a name or a tag, but no digest.
    #[error("`{0}` has no digest, and a tag alone can move; write `name@sha256:…`")]
    NoDigest(String),
    /// The name breaks the rules for names.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The tag breaks the rules of OCI tags.
    #[error("`{0}` is not a tag; use up to 128 ASCII letters, digits, `.`, `_` and `-`")]
    Tag(String),
}

impl std::str::FromStr for Digest {
    type Err = ArtifactError;
    fn from_str(value: &str) -> Result<Self, ArtifactError> {
        let bad = || ArtifactError::Digest(value.chars().take(100).collect());
        let hex = value.strip_prefix("sha256:").ok_or_else(bad)?;
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

/// A deliverable that cannot change under its name: the digest is part of the type.
///
/// Written `name@sha256:…` or `name:tag@sha256:…`; the tag is only for people. There is no way to
/// make one without a digest:
///
/// ```
/// use release_core::model::ArtifactRef;
/// let error = "api:v2".parse::<ArtifactRef>().unwrap_err();
/// assert!(error.to_string().contains("a tag alone can move"));
/// ```
///
/// ```compile_fail
/// use release_core::model::ArtifactRef;
/// let tag_only = ArtifactRef::new("api".parse().unwrap()); // a digest is missing
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactRef {
    name: ArtifactName,
    tag: Option<String>,
    digest: Digest,
}

impl ArtifactRef {
    /// A reference to the content `digest` under `name`.
    pub const fn new(name: ArtifactName, digest: Digest) -> Self {
        Self { name, tag: None, digest }
    }

    /// The same content, and the tag that people know it by.
    ///
    /// # Errors
    /// [`ArtifactError::Tag`] for what is not an OCI tag.
    pub fn with_tag(mut self, tag: &str) -> Result<Self, ArtifactError> {
        self.tag = Some(check_tag(tag)?);
        Ok(self)
    }

    /// The artifact's name.
    pub const fn name(&self) -> &ArtifactName {
        &self.name
    }

    /// The tag that people know it by, if any; never used to find it.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// What identifies the content.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Display for ArtifactRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            None => write!(f, "{}@{}", self.name, self.digest),
            Some(tag) => write!(f, "{}:{tag}@{}", self.name, self.digest),
        }
    }
}

impl std::str::FromStr for ArtifactRef {
    type Err = ArtifactError;
    fn from_str(value: &str) -> Result<Self, ArtifactError> {
        let Some((place, digest)) = value.split_once('@') else {
            return Err(ArtifactError::NoDigest(value.chars().take(100).collect()));
        };
        let (name, tag) = match place.split_once(':') {
            None => (place, None),
            Some((name, tag)) => (name, Some(check_tag(tag)?)),
        };
        Ok(Self { name: ArtifactName::new(name)?, tag, digest: digest.parse()? })
    }
}

fn check_tag(tag: &str) -> Result<String, ArtifactError> {
    let fits = (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits { Ok(tag.to_owned()) } else { Err(ArtifactError::Tag(tag.chars().take(40).collect())) }
}

macro_rules! serde_as_text {
    ($name:ident, $pattern:literal) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

serde_as_text!(Digest, "^sha256:[0-9a-f]{64}$");
serde_as_text!(
    ArtifactRef,
    "^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9._-]+)?@sha256:[0-9a-f]{64}$"
);

/// One service's place in a version set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The semantic version that people and dependency rules speak of, for example `2.1.0`.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "version")]
    pub version: Version,
    /// The content that is deployed.
    pub artifact: ArtifactRef,
}

fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    let text = String::deserialize(deserializer)?;
    Version::parse(&text).map_err(|error| {
        let text: String = text.chars().take(80).collect();
        serde::de::Error::custom(format!(
            "`{text}` is not a version: {error}; write three numbers, for example `2.1.0`"
        ))
    })
}

/// Versions that move, are verified and are rolled back as one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VersionSet {
    /// What each service runs in this set.
    pub members: BTreeMap<ServiceId, Member>,
}

impl VersionSet {
    /// An empty set; add to it with [`VersionSet::with`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces one service's member.
    #[must_use]
    pub fn with(mut self, service: ServiceId, version: Version, artifact: ArtifactRef) -> Self {
        self.members.insert(service, Member { version, artifact });
        self
    }

    /// The member for `service`, if it is part of this set.
    pub fn get(&self, service: &ServiceId) -> Option<&Member> {
        self.members.get(service)
    }

    /// Identifies the set by content: equal sets have equal digests.
    ///
    /// The hashed bytes are, for each member in id order, the service, version and artifact digest,
    /// each preceded by its length as a little-endian `u64`.
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        for (service, member) in &self.members {
            let version = member.version.to_string();
            let digest = member.artifact.digest();
            for part in [service.as_str().as_bytes(), version.as_bytes(), digest.as_bytes()] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Digest(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_needs_a_digest() {
        let digest = Digest::of(b"bytes");
        let text = format!("shop/api:v2@{digest}");
        let parsed: ArtifactRef = text.parse().unwrap();
        assert_eq!((parsed.to_string(), parsed.digest(), parsed.tag()), (text, digest, Some("v2")));
        let made = ArtifactRef::new(ArtifactName::new("shop/api").unwrap(), digest);
        assert_eq!(made.clone().with_tag("v2"), Ok(parsed));
        assert_eq!(made.with_tag("v 2"), Err(ArtifactError::Tag("v 2".into())));
        assert_eq!("api:v2".parse::<ArtifactRef>(), Err(ArtifactError::NoDigest("api:v2".into())));
        assert!(matches!("api@sha256:12".parse::<ArtifactRef>(), Err(ArtifactError::Digest(_))));
        assert!(matches!("api:@sha256:12".parse::<ArtifactRef>(), Err(ArtifactError::Tag(_))));
    }

    #[test]
    fn digests_match_a_known_answer() {
        // FIPS 180-4, "abc".
        let want = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), want);
        assert_eq!(want.parse(), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn a_sets_digest_depends_on_every_part() {
        let id = |s: &str| ServiceId::new(s).unwrap();
        let artifact = |b: &[u8]| ArtifactRef::new(ArtifactName::new("a").unwrap(), Digest::of(b));
        let base = VersionSet::new().with(id("a"), Version::new(1, 0, 0), artifact(b"x"));
        let others = [
            VersionSet::new().with(id("b"), Version::new(1, 0, 0), artifact(b"x")),
            VersionSet::new().with(id("a"), Version::new(1, 0, 1), artifact(b"x")),
            VersionSet::new().with(id("a"), Version::new(1, 0, 0), artifact(b"y")),
        ];
        assert!(others.iter().all(|other| other.digest() != base.digest()));
        assert_eq!(base.clone().digest(), base.digest());
    }
}
