//! A value that is never written anywhere.

use std::fmt;

use zeroize::Zeroizing;

/// A secret: it cannot be serialised, prints as `***`, and its memory is cleared when it is dropped.
///
/// It has no `Serialize`, so that no event, log, plan or report can hold one by accident. Pass a
/// [`SecretRef`](crate::spi::SecretRef) instead, wherever something is stored.
///
/// ```
/// use release_providers::Secret;
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?} {secret}"), "*** ***");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
///
/// ```compile_fail
/// fn store(value: impl serde::Serialize) {}
/// store(release_providers::Secret::new("hunter2"));
/// ```
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value over.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself: for the one call that needs it, and for nothing that is kept.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Most characters of somebody else's text that are told to people.
#[cfg(any(feature = "prometheus", feature = "web"))]
const CUT: usize = 300;

/// A text as it may be told to people: in one line, not too long, without secrets.
#[cfg(any(feature = "prometheus", feature = "web"))]
pub(crate) fn without(secrets: &[Secret], text: &str) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.expose(), "***");
    }
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut: String = plain.take(CUT).collect();
    if text.chars().nth(CUT).is_some() {
        cut.push('…');
    }
    cut
}

/// Compares all of both, however early they differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (self.0.as_bytes(), other.0.as_bytes());
        let differs = one.iter().zip(two).fold(0, |all, (a, b)| all | (a ^ b));
        one.len() == two.len() && differs == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
