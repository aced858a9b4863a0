//! Clients of a router: what they send, and what they hear.

use release_core::model::Digest;

/// A request that a case sends: `GET` of a path that the service works for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// Its headers beside those that every request has: names in lower case, values. A cookie is one of them.
    pub headers: Vec<(String, String)>,
}

impl Ask {
    /// A request without anything special.
    pub fn plain() -> Self {
        Self::default()
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The one answer that a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heard {
    /// The version that gave it, by what the answer says of itself.
    pub from: Digest,
    /// The values of its `set-cookie` headers.
    pub cookies: Vec<String>,
}

impl Heard {
    /// An answer of a version.
    pub const fn of(from: Digest) -> Self {
        Self { from, cookies: Vec::new() }
    }

    /// With these cookies.
    #[must_use]
    pub fn setting(mut self, cookies: impl IntoIterator<Item = String>) -> Self {
        self.cookies.extend(cookies);
        self
    }
}

/// What a client sends back of what it was told to keep, as one cookie of several.
pub(super) fn kept(heard: &Heard, name: &str) -> Option<Ask> {
    let pair = heard.cookies.iter().find_map(|cookie| {
        let (pair, rest) = cookie.split_once(';')?;
        let lasts = rest.to_ascii_lowercase().contains("max-age=");
        (pair.starts_with(&format!("{name}=")) && lasts).then_some(pair)
    })?;
    Some(Ask::plain().with("cookie", format!("first=1; {pair}; last=2")))
}

/// What becomes of the second version's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hurt {
    /// They are well again, and the router may send to them.
    Healed,
    /// They take requests and never answer.
    Silent,
    /// They take no requests.
    Gone,
}
