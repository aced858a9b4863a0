//! Names of flags and of their variants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name accepted, in bytes.
const LONGEST: usize = 100;

/// A name of a flag or of a variant that breaks the rules, with how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {kind}: {problem}")]
pub struct FlagNameError {
    /// What was expected: `flag key` or `variant`.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub value: String,
    /// What is wrong with it, and how to mend it.
    pub problem: &'static str,
}

fn check(kind: &'static str, value: &str) -> Result<(), FlagNameError> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if value.is_empty() {
        "it is empty; give it a name"
    } else if value.len() > LONGEST {
        "it is longer than 100 characters; shorten it"
    } else if !value.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it must begin with an ASCII letter or a digit"
    } else if !value.chars().all(known) {
        "use ASCII letters, digits, `.`, `_` and `-`"
    } else {
        return Ok(());
    };
    Err(FlagNameError { kind, value: value.chars().take(80).collect(), problem })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `value` and makes a name of it.
            ///
            /// # Errors
            /// [`FlagNameError`] says what is wrong with it.
            pub fn new(value: impl AsRef<str>) -> Result<Self, FlagNameError> {
                check($kind, value.as_ref())?;
                Ok(Self(Arc::from(value.as_ref())))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = FlagNameError;
            fn from_str(value: &str) -> Result<Self, FlagNameError> {
                Self::new(value)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = String::deserialize(deserializer)?;
                Self::new(value).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "maxLength": LONGEST,
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
                })
            }
        }
    };
}

name! {
    /// Names a flag. Unlike the ids of this crate it may have capital letters, since applications name their flags so.
    FlagKey, "flag key"
}
name! {
    /// Names one of the values that a flag can have, for example `on`.
    Variant, "variant"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_a_safe_alphabet() {
        for good in ["new-checkout", "newCheckout", "a.b_c", "9"] {
            assert_eq!(FlagKey::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-x", "a b", "a/b", "ä", "../x", &"x".repeat(101)] {
            assert!(FlagKey::new(bad).is_err(), "{bad}");
        }
        let told = Variant::new("on off").unwrap_err().to_string();
        assert_eq!(
            told,
            "`on off` is not a valid variant: use ASCII letters, digits, `.`, `_` and `-`"
        );
    }
}
