//! Queries in `PromQL`: selectors, and what is put into a query that somebody wrote.

use std::fmt::Write as _;

use release_core::model::{Digest, Target, TrackId};
use release_core::time::{Span, Timestamp};

use crate::samples::growth::{Labels, NAME};

/// Whether it is the name of a label: letters, digits and `_`, with no digit in front.
pub(super) fn is_label(name: &str) -> bool {
    is_name(name, "_")
}

/// Whether it is the name of a series: as of a label, and colons.
pub(super) fn is_series(name: &str) -> bool {
    is_name(name, "_:")
}

fn is_name(name: &str, more: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    name.chars().all(fits) && name.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Series of one of `names`, all of which are [names](is_series), with `labels`.
pub(super) fn selector(names: &[&str], labels: &Labels) -> String {
    let name = match names {
        [] => None,
        [one] => Some(format!("{NAME}=\"{one}\"")),
        // A regular expression in PromQL matches the whole.
        all => Some(format!("{NAME}=~\"{}\"", all.join("|"))),
    };
    let labels = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value)));
    format!("{{{}}}", name.into_iter().chain(labels).collect::<Vec<_>>().join(","))
}

/// Demands that a label has one of these values.
pub(super) fn one_of<'a>(label: &str, values: impl Iterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = values.map(|value| escape(&quote(value))).collect();
    format!("{label}=~\"{}\"", quoted.join("|"))
}

/// A value as a regular expression that only it matches.
fn quote(value: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$".contains(c);
    value.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A value as it stands in a string of `PromQL`, whichever of the three quotes it has: none can end it.
pub(super) fn escape(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        match c {
            '\\' => text += "\\\\",
            '"' => text += "\\x22",
            '\'' => text += "\\x27",
            '`' => text += "\\x60",
            c if c.is_ascii_control() => {
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

/// Milliseconds since 1970, rounded down, as Prometheus counts.
pub(super) const fn millis(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000)
}

/// An instant as the API takes it: seconds with three decimals.
pub(super) fn time(at: Timestamp) -> String {
    let millis = millis(at);
    let sign = if millis < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", millis.unsigned_abs() / 1_000, millis.unsigned_abs() % 1_000)
}

/// What the words in double braces stand for.
#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) target: &'a Target,
    pub(super) digest: Digest,
    pub(super) version: &'a str,
    pub(super) window: Span,
}

impl Words<'_> {
    /// Puts them into a query.
    ///
    /// # Errors
    /// Which word nobody knows.
    pub(super) fn put_into(&self, query: &str) -> Result<String, String> {
        let (mut text, mut rest) = (String::new(), query);
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((word, after)) = after.split_once("}}") else {
                return Err("`{{` has no `}}` after it".to_owned());
            };
            text += before;
            text += &match word.trim() {
                "version" => escape(self.version),
                "digest" => escape(&self.digest.to_string()),
                "environment" => escape(self.target.environment.as_str()),
                "region" => escape(self.target.region.as_str()),
                "service" => escape(self.target.service.as_str()),
                "track" => escape(self.target.track.as_ref().map_or("", TrackId::as_str)),
                "window" => self.window.as_duration().as_secs().max(1).to_string(),
                other => {
                    let other: String = other.chars().take(40).collect();
                    return Err(format!(
                        "`{{{{{other}}}}}` stands for nothing; known are version, digest, environment, region, \
                         service, track and window"
                    ));
                }
            };
            rest = after;
        }
        Ok(text + rest)
    }
}

/// Whether a query has a word in double braces.
pub(super) fn says(query: &str, word: &str) -> bool {
    let mut words = query.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    words.any(|(said, _)| said.trim() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_the_string_that_it_stands_in() {
        assert_eq!(escape("1.4.0+b-7"), "1.4.0+b-7");
        let bad = escape("a\"b'c`d\\e\nf\u{7f}");
        assert_eq!(bad, "a\\x22b\\x27c\\x60d\\\\e\\x0af\\x7f");
        let labels = [("a".to_owned(), "x\"} or vector(1".to_owned())].into();
        assert_eq!(selector(&["n", "m"], &labels), "{__name__=~\"n|m\",a=\"x\\x22} or vector(1\"}");
        assert_eq!(selector(&["n"], &Labels::new()), "{__name__=\"n\"}");
        let values = ["a.b|c".to_owned(), "d\"".to_owned()];
        assert_eq!(one_of("i", values.iter()), "i=~\"a\\\\.b\\\\|c|d\\x22\"");
    }

    #[test]
    fn names_are_only_names() {
        for good in ["a", "_a1", "http_requests_total"] {
            assert!(is_label(good) && is_series(good), "{good}");
        }
        assert!(is_series("job:errors:rate5m") && !is_label("a:b"));
        for bad in ["", "1a", "a-b", "a\"", "é", "a}"] {
            assert!(!is_label(bad) && !is_series(bad), "{bad}");
        }
    }

    #[test]
    fn instants_are_written_in_milliseconds() {
        for (micros, text) in [
            (0, "0.000"),
            (1_234_567, "1.234"),
            (999, "0.000"),
            (-1, "-0.001"),
            (-1_500_000, "-1.500"),
        ] {
            assert_eq!(time(Timestamp::from_micros(micros)), text);
        }
    }

    #[test]
    fn words_are_replaced_and_unknown_ones_refused() {
        let id = "api".parse().unwrap();
        let target = Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), id);
        let words = |millis| Words {
            target: &target,
            digest: Digest::of(b"x"),
            version: "1.4.0",
            window: Span::millis(millis),
        };
        let put = |query: &str| words(90_500).put_into(query);
        let text = put(
            "sum(rate(x{v=\"{{version}}\",e=\"{{ environment }}\",r=\"{{region}}\",s=\"{{service}}\"}[{{window}}s]))",
        );
        let want = "sum(rate(x{v=\"1.4.0\",e=\"prod\",r=\"eu\",s=\"api\"}[90s]))";
        assert_eq!(text.unwrap(), want);
        assert_eq!(put("{{digest}}").unwrap(), Digest::of(b"x").to_string());
        assert_eq!(put("x{a=\"}\"}").unwrap(), "x{a=\"}\"}");
        let query = "x{t=\"{{ track }}\"}";
        assert_eq!(put(query).unwrap(), "x{t=\"\"}");
        assert!(says(query, "track") && !says("{{window}} track}}", "track"));
        let baseline = target.clone().on("baseline".parse().unwrap());
        let on_track = Words { target: &baseline, ..words(5) };
        assert_eq!(on_track.put_into(query).unwrap(), "x{t=\"baseline\"}");
        assert!(put("{{versoin}}").unwrap_err().contains("versoin"));
        assert!(put("{{version").unwrap_err().contains("}}"));
        assert_eq!(words(5).put_into("{{window}}").unwrap(), "1");
    }
}
