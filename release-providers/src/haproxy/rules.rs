//! Rules as regular expressions in a map, which HAProxy goes through from the first to the last.
//!
//! What is looked up is the generation of the shares and then, behind `/h`, all headers of the request as `name: value`
//! lines, or behind `/c` its cookies. So an expression of one generation fits no request of another one, and rules and
//! shares take effect together, with the map of shares.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use release_core::model::{HeaderMatch, HeaderRoute, TextMatch, TrafficRules};

use super::shares::Shares;
use crate::routing::SET;
use crate::shares::{Pool, cookie_regex};
use crate::{ErrorKind, ProviderError};

/// Longest expression, in bytes: one command of the runtime API holds it with ease.
const LONGEST: usize = 8_000;

/// The entries of these rules: an expression, and the slot that it picks. Each begins with its place, so that none is there
/// twice.
pub(super) fn entries(shares: &Shares) -> Result<Vec<(String, String)>, ProviderError> {
    let Some(TrafficRules { headers, affinity, .. }) = &shares.rules else { return Ok(Vec::new()) };
    let generation = shares.generation;
    let mut entries = Vec::new();
    let mut add = |kind: char, expression: &str, pool: &Pool| {
        if let Some(slot) = shares.slot_of(pool) {
            let n = entries.len();
            entries.push((format!("(?#{n})^{generation}/{kind}{expression}"), slot.to_string()));
        }
    };
    for route in headers {
        add('h', &all_of(route)?, &Pool::whole(route.to));
    }
    let Some(affinity) = affinity else { return Ok(entries) };
    for weight in shares.weights().iter().filter(|weight| affinity.keeps(weight.digest)) {
        let pool = Pool::of(weight);
        let regex = cookie_regex(affinity, &pool).replace(';', "\\x3b").replace(' ', "\\x20");
        add('c', &format!("{regex}$"), &pool);
    }
    Ok(entries)
}

/// Entries as a file that HAProxy reads when it starts, and as they are sent.
pub(super) fn file(entries: impl IntoIterator<Item = (String, String)>) -> String {
    entries.into_iter().fold(String::new(), |text, (key, slot)| text + &key + " " + &slot + "\n")
}

/// The generation that an entry is of.
pub(super) fn generation(key: &str) -> Option<u64> {
    key.split_once(")^")?.1.split_once('/')?.0.parse().ok()
}

/// Looks ahead from the beginning of all headers, once for each that has to be there.
fn all_of(route: &HeaderRoute) -> Result<String, ProviderError> {
    let mut all = String::new();
    for (n, one) in route.rule.matches.iter().enumerate() {
        let (name, value) = (literal(&one.name), value(one)?);
        // A value ends where the rest of all begins that was seen from its beginning: no expression goes on behind it.
        let _ = write!(
            all,
            "(?=(?:|[\\s\\S]*\\n){name}:\\x20(?=[^\\r\\n]*(?<release{n}>\\r\\n[\\s\\S]*)$){value}(?=\\k<release{n}>$))"
        );
    }
    if all.len() <= LONGEST {
        return Ok(all);
    }
    let text = format!(
        "a header route is too long for HAProxy; its expression has {} bytes, {LONGEST} are the most",
        all.len()
    );
    Err(ProviderError::new(ErrorKind::Invalid, SET, text))
}

fn value(one: &HeaderMatch) -> Result<String, ProviderError> {
    match &one.value {
        TextMatch::Prefix(text) => Ok(format!("{}[^\\r\\n]*", literal(text))),
        TextMatch::Regex(regex) => expression(regex, &literal(&one.name)),
        other => Ok(literal(other.text())),
    }
}

/// Text that means itself: all but letters and digits is written by its number.
fn literal(text: &str) -> String {
    let one = |c: char| match c {
        c if c.is_ascii_alphanumeric() || !c.is_ascii() => c.to_string(),
        c => format!("\\x{:02x}", u32::from(c)),
    };
    text.chars().map(one).collect()
}

/// An expression of RE2 about one value, as one of PCRE in the middle of all headers: what means the beginning or the end
/// of the text means those of the value, and blanks are written by their number.
fn expression(regex: &str, name: &str) -> Result<String, ProviderError> {
    let (begin, end) = (format!("(?<={name}:\\x20)"), "(?=\\r\\n)");
    let mut out = "(?:".to_owned();
    let (mut chars, mut in_class) = (regex.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') => {
                    let text = "HAProxy takes no `\\Q…\\E` in header routes; escape each sign";
                    return Err(ProviderError::new(ErrorKind::Invalid, SET, text)
                        .with_context("regex", regex));
                }
                Some('A') => out.push_str(&begin),
                Some('z') => out.push_str(end),
                Some(' ') => out.push_str("\\x20"),
                Some(next) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
            ' ' => out.push_str("\\x20"),
            '^' if !in_class => out.push_str(&begin),
            '$' if !in_class => out.push_str(end),
            '[' if in_class => bracket(&mut chars, &mut out),
            '[' => {
                in_class = true;
                out.push('[');
                out.extend(chars.next_if_eq(&'^'));
                // Here it does not end the class.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            c => {
                in_class &= c != ']';
                out.push(c);
            }
        }
    }
    out.push(')');
    Ok(out)
}

/// A bracket within a class: a class by its name, such as `[:alnum:]`, or itself.
fn bracket(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    if chars.peek() != Some(&':') {
        out.push_str("\\[");
        return;
    }
    out.push('[');
    let mut before = None;
    for c in chars.by_ref() {
        out.push(c);
        if c == ']' && before == Some(':') {
            return;
        }
        before = Some(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_stand_in_the_middle_of_all_headers() {
        let made = |regex| expression(regex, "x").unwrap();
        assert_eq!(made("a b"), "(?:a\\x20b)");
        assert_eq!(made("^a$|[^$]\\$\\^"), "(?:(?<=x:\\x20)a(?=\\r\\n)|[^$]\\$\\^)");
        assert_eq!(made("[]$]$"), "(?:[\\]$](?=\\r\\n))");
        assert_eq!(made("[^]^]^"), "(?:[^\\]^](?<=x:\\x20))");
        assert_eq!(made("[[:alnum:]$]$"), "(?:[[:alnum:]$](?=\\r\\n))");
        assert_eq!(made("[[:^space:][$]$"), "(?:[[:^space:]\\[$](?=\\r\\n))");
        assert_eq!(made("\\Aa\\ b\\z"), "(?:(?<=x:\\x20)a\\x20b(?=\\r\\n))");
        assert_eq!(expression("\\Qa\\E", "x").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(literal("a-b.C \"é"), "a\\x2db\\x2eC\\x20\\x22é");
        assert_eq!(generation("(?#12)^7/hx"), Some(7));
        assert_eq!(generation("7/hx"), None);
    }
}
