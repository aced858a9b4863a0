//! The bytes over which digests are computed, defined here so that no change of a serializer can ever
//! change what an approval is bound to.
//!
//! Every part is preceded by its kind and length, so that two different values never have the same bytes.

use release_core::model::Digest;

/// Collects parts in order, then gives their SHA-256 digest.
#[derive(Debug)]
pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    /// Begins with what is described and its version, for example `release/subject/1`.
    pub(crate) fn new(tag: &str) -> Self {
        Self(Vec::with_capacity(256)).text(tag)
    }

    /// Adds text.
    pub(crate) fn text(self, text: &str) -> Self {
        self.part(b't', text.as_bytes())
    }

    /// Adds a number.
    pub(crate) fn number(self, number: impl Into<i128>) -> Self {
        self.part(b'n', &number.into().to_be_bytes())
    }

    /// Adds a digest.
    pub(crate) fn digest(self, digest: &Digest) -> Self {
        self.part(b'd', digest.as_bytes())
    }

    /// Adds something that may be absent.
    pub(crate) fn maybe<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.part(b'0', &[]),
            Some(value) => add(self.part(b'1', &[]), value),
        }
    }

    /// Adds all of a list, after its length.
    pub(crate) fn list<T>(
        self,
        list: impl ExactSizeIterator<Item = T>,
        add: impl Fn(Self, T) -> Self,
    ) -> Self {
        let begun = self.part(b'l', &(list.len() as u64).to_be_bytes());
        list.fold(begun, add)
    }

    /// The digest of all parts.
    pub(crate) fn finish(self) -> Digest {
        Digest::of(&self.0)
    }

    fn part(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.0.push(kind);
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_values_share_their_bytes() {
        let texts = |texts: &[&str]| {
            Canonical::new("t/1").list(texts.iter(), |all, text| all.text(text)).finish()
        };
        assert_ne!(texts(&["ab", "c"]), texts(&["a", "bc"]));
        assert_ne!(texts(&["a"]), texts(&["a", ""]));
        assert_ne!(Canonical::new("t/1").finish(), Canonical::new("t/2").finish());
        let maybe =
            |value: Option<&str>| Canonical::new("t/1").maybe(value, Canonical::text).finish();
        assert_ne!(maybe(None), maybe(Some("")));
    }
}
