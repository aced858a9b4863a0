//! Makes what plugins say fit to be read: no secrets, no control characters, no end.

use std::borrow::Cow;

use serde_json::Value;

use crate::Secret;
use crate::layer::Redactor as Known;

/// The most characters that an error or event quotes.
const LONGEST_QUOTE: usize = 1_000;

/// Takes secrets out of texts. Clones know the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Redactor {
    /// As they look in what a plugin says.
    own: Known,
    /// That of the host, which knows the plugin's secrets too.
    shared: Known,
}

impl Redactor {
    pub(super) fn new<'a>(shared: Known, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let all = Self { own: Known::default(), shared };
        secrets.into_iter().for_each(|secret| all.learn(secret));
        all
    }

    /// Knows one more from now on, and so does the host.
    pub(super) fn learn(&self, secret: &str) {
        self.shared.learn(&Secret::new(secret));
        self.learn_alone(secret);
    }

    /// Knows one more from now on that is worth nothing to others, and each of its lines: output is kept by lines.
    pub(super) fn learn_alone(&self, secret: &str) {
        for part in secret.lines().chain([secret]) {
            self.own.learn(&Secret::new(printable(part)));
        }
    }

    /// The most bytes of a secret.
    pub(super) fn longest(&self) -> usize {
        self.own.longest().max(self.shared.longest())
    }

    /// Whether there is a secret in any text of a value.
    pub(super) fn finds(&self, value: &Value) -> bool {
        let mut copy = value.clone();
        self.own.clean(&mut copy) || self.shared.clean(&mut copy)
    }

    /// A quote for errors and events.
    pub(super) fn clean(&self, text: &str) -> String {
        self.clean_to(text, LONGEST_QUOTE)
    }

    pub(super) fn clean_to(&self, text: &str, most: usize) -> String {
        // Control characters first: one in the middle of a secret would hide it.
        let text = printable(text);
        let text = self.own.redact(&text).map_or(text, Cow::Owned);
        let text = self.shared.redact(&text).map_or(text, Cow::Owned);
        if text.chars().nth(most).is_some() {
            return text.chars().take(most).chain(['…']).collect();
        }
        text.into_owned()
    }
}

/// Without characters that are not shown.
fn printable(text: &str) -> Cow<'_, str> {
    let printable = |c: char| !c.is_control() && !is_invisible(c);
    if text.chars().all(printable) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(space).filter(|c| printable(*c)).collect())
}

const fn space(c: char) -> char {
    if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }
}

/// Characters that change how others are shown.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f40_secrets_and_control_characters_are_taken_out() {
        let redactor = Redactor::new(
            Known::default(),
            ["hunter2", "hunter2-long", "abc", "-- BEGIN\nkey-part\r\n-- END\n"],
        );
        for (text, clean) in [
            ("fine", "fine"),
            ("with hunter2 in it", "with *** in it"),
            ("hunter2-long hunter2", "*** ***"),
            ("hun\u{0}ter2", "***"),
            ("hun\u{200b}ter2", "***"),
            ("\u{1b}[31mred", "[31mred"),
            ("a\tb\nc", "a b c"),
            ("abc stays", "abc stays"),
            ("a line: key-part", "a line: ***"),
            ("all: -- BEGIN\nkey-part\r\n-- END\n.", "all: ***."),
        ] {
            assert_eq!(redactor.clean(text), clean, "{text:?}");
        }
        assert_eq!(redactor.clean_to("123456", 3), "123…");
        assert_eq!(redactor.clean_to("123", 3), "123");
    }
}
