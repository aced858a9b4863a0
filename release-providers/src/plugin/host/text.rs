//! Makes what plugins say fit to be read: no secrets, no control characters, no end.

use std::borrow::Cow;

/// Shorter texts are in everything and are left.
const SHORTEST_SECRET: usize = 4;
/// The most characters that an error or event quotes.
const LONGEST_QUOTE: usize = 1_000;

/// Takes secrets out of texts.
#[derive(Clone)]
pub(super) struct Redactor {
    /// The longest first, so that none is cut by one that is a part of it.
    secrets: Vec<String>,
}

impl Redactor {
    pub(super) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut all: Vec<String> =
            secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Self { secrets: all }
    }

    /// The bytes of the longest secret.
    pub(super) fn longest(&self) -> usize {
        self.secrets.first().map_or(0, String::len)
    }

    /// A quote for errors and events.
    pub(super) fn clean(&self, text: &str) -> String {
        self.clean_to(text, LONGEST_QUOTE)
    }

    pub(super) fn clean_to(&self, text: &str, most: usize) -> String {
        // Control characters first: one in the middle of a secret would hide it.
        let printable = |c: char| !c.is_control() && !is_invisible(c);
        let mut text: Cow<'_, str> = if text.chars().all(printable) {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.chars().map(space).filter(|c| printable(*c)).collect())
        };
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), "***"));
            }
        }
        if text.chars().nth(most).is_some() {
            return text.chars().take(most).chain(['…']).collect();
        }
        text.into_owned()
    }
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
        let redactor = Redactor::new(["hunter2".into(), "hunter2-long".into(), "abc".into()]);
        for (text, clean) in [
            ("fine", "fine"),
            ("with hunter2 in it", "with *** in it"),
            ("hunter2-long hunter2", "*** ***"),
            ("hun\u{0}ter2", "***"),
            ("hun\u{200b}ter2", "***"),
            ("\u{1b}[31mred", "[31mred"),
            ("a\tb\nc", "a b c"),
            ("abc stays", "abc stays"),
        ] {
            assert_eq!(redactor.clean(text), clean, "{text:?}");
        }
        assert_eq!(redactor.clean_to("123456", 3), "123…");
        assert_eq!(redactor.clean_to("123", 3), "123");
    }
}
