//! What a request has to be, for rules that pick some.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::MAX_RULES;

/// Longest name or text that a rule may have, in bytes.
const MAX_TEXT: usize = 256;

/// What a header, a method or a path has to say.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TextMatch {
    /// This, to the letter.
    Exact(String),
    /// Something that begins with this.
    Prefix(String),
    /// Something that this regular expression matches as a whole, in the syntax of RE2.
    Regex(String),
}

impl TextMatch {
    /// The text or the expression.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Regex(text) => text,
        }
    }

    /// The text that stands in requests as it is; none for an expression.
    fn literal(&self) -> Option<&str> {
        match self {
            Self::Exact(text) | Self::Prefix(text) => Some(text),
            Self::Regex(_) => None,
        }
    }

    /// What is wrong with it as the value of `what`, and how to mend it.
    fn problem(&self, what: impl fmt::Display) -> Option<String> {
        let text = self.text();
        let bad = text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control);
        bad.then(|| {
            format!(
                "the value for {what} is empty, too long or has control characters; write 1 to {MAX_TEXT} printable ones"
            )
        })
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(text) => write!(f, "{text}…"),
            Self::Regex(text) => write!(f, "~{text}"),
        }
    }
}

/// One header of a request, and what it has to say.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// The header's name, in lower case.
    pub name: String,
    /// What it has to say.
    pub value: TextMatch,
}

impl HeaderMatch {
    /// The header `name` says exactly `value`.
    pub fn exact(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: TextMatch::Exact(value.into()) }
    }

    /// What is wrong with it, and how to mend it.
    pub fn problem(&self) -> Option<String> {
        if let Some(problem) = name_problem(&self.name) {
            return Some(format!("header `{}` {problem}", self.name.escape_debug()));
        }
        self.value.problem(format_args!("header `{}`", self.name))
    }
}

/// What is wrong with the name of a header or a cookie: it is a token of RFC 9110, section 5.6.2.
pub(super) fn name_problem(name: &str) -> Option<String> {
    let token = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if name.is_empty() || name.len() > MAX_TEXT || !name.chars().all(token) {
        return Some(format!(
            "is no name; write 1 to {MAX_TEXT} lower-case letters, digits, `-`, `_` and `.`"
        ));
    }
    None
}

/// What a request has to be: all that is said of it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct RequestMatch {
    /// Its method (RFC 9110, section 9), in capital letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<TextMatch>,
    /// Its path, without the `?` and what follows it. A prefix is one of letters: `/a` begins `/ab` as well as `/a/b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<TextMatch>,
    /// What its headers have to say; all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

impl RequestMatch {
    /// A request whose header `name` says exactly `value`.
    pub fn header(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { headers: vec![HeaderMatch::exact(name, value)], ..Self::default() }
    }

    /// The same, where its method is `method` to the letter.
    #[must_use]
    pub fn with_method(self, method: impl Into<String>) -> Self {
        Self { method: Some(TextMatch::Exact(method.into())), ..self }
    }

    /// The same, where its path is like `path`.
    #[must_use]
    pub fn with_path(self, path: TextMatch) -> Self {
        Self { path: Some(path), ..self }
    }

    /// What is wrong with it, and how to mend it.
    pub fn problem(&self) -> Option<String> {
        let Self { method, path, headers } = self;
        if method.is_none() && path.is_none() && headers.is_empty() {
            return Some(
                "a match that says nothing fits every request; name a method, a path or a header"
                    .into(),
            );
        }
        if headers.len() > MAX_RULES {
            return Some(format!(
                "one match names {} headers; {MAX_RULES} are the most",
                headers.len()
            ));
        }
        method
            .as_ref()
            .and_then(method_problem)
            .or_else(|| path.as_ref().and_then(path_problem))
            .or_else(|| headers.iter().find_map(HeaderMatch::problem))
    }
}

impl fmt::Display for RequestMatch {
    /// Method and path as they have to be, and the names of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [&self.method, &self.path].into_iter().flatten().map(ToString::to_string);
        let all = texts.chain(self.headers.iter().map(|header| header.name.clone()));
        for (n, text) in all.enumerate() {
            let gap = if n == 0 { "" } else { " " };
            write!(f, "{gap}`{text}`")?;
        }
        Ok(())
    }
}

/// Methods are tokens of RFC 9110, and those in use have no small letters: `get` would never fit.
fn method_problem(method: &TextMatch) -> Option<String> {
    let sign = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-_".contains(c);
    if let Some(text) = method.literal()
        && (text.is_empty() || text.len() > MAX_TEXT || !text.chars().all(sign))
    {
        return Some(format!(
            "method `{}` is none; write 1 to {MAX_TEXT} capital letters, digits, `-` and `_`, such as `GET`",
            text.escape_debug()
        ));
    }
    method.problem("the method")
}

fn path_problem(path: &TextMatch) -> Option<String> {
    if let Some(problem) = path.problem("the path") {
        return Some(problem);
    }
    let text = path.literal()?;
    if !text.starts_with('/') {
        return Some(format!("path `{text}` does not begin with `/`; write `/{text}`"));
    }
    text.contains(['?', '#']).then(|| {
        format!("path `{text}` goes on behind its end, at `?` or `#`; leave out what follows")
    })
}

/// What is wrong with a list of requests of which one has to fit, and how to mend it.
pub(crate) fn only_problem(only: &[RequestMatch]) -> Option<String> {
    if only.len() > MAX_RULES {
        let count = only.len();
        return Some(format!("there are {count} matches for requests; {MAX_RULES} are the most"));
    }
    only.iter().find_map(RequestMatch::problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_path(path: TextMatch) -> RequestMatch {
        RequestMatch::default().with_path(path)
    }

    #[test]
    fn what_no_request_could_be_is_named() {
        let exact = |path: &str| of_path(TextMatch::Exact(path.into()));
        let method = |method: &str| RequestMatch::default().with_method(method);
        for (request, why) in [
            (RequestMatch::default(), "fits every request; name a method, a path or a header"),
            (method(""), "method `` is none; write 1 to 256 capital letters"),
            (method("get"), "method `get` is none"),
            (method("GET /"), "method `GET /` is none"),
            (method("GE\nT"), "method `GE\\nT` is none"),
            (exact("orders"), "path `orders` does not begin with `/`; write `/orders`"),
            (of_path(TextMatch::Prefix("a/".into())), "write `/a/`"),
            (exact(""), "the value for the path is empty"),
            (exact("/a\nb"), "the value for the path is empty, too long or has control characters"),
            (exact(&"/".repeat(257)), "write 1 to 256 printable ones"),
            (exact("/a?b=1"), "path `/a?b=1` goes on behind its end, at `?` or `#`"),
            (of_path(TextMatch::Regex(String::new())), "the value for the path is empty"),
            (RequestMatch::header("X y", "1"), "header `X y` is no name"),
            (RequestMatch::header("x-y", ""), "the value for header `x-y` is empty"),
            (
                RequestMatch { headers: vec![HeaderMatch::exact("x", "y"); 33], ..method("GET") },
                "one match names 33 headers; 32 are the most",
            ),
        ] {
            let problem = request.problem().unwrap();
            assert!(problem.contains(why), "{why}: {problem}");
            assert_eq!(only_problem(&[method("GET"), request]), Some(problem));
        }
        let many = vec![method("GET"); MAX_RULES + 1];
        assert!(only_problem(&many).unwrap().contains("33 matches for requests; 32 are the most"));
        // Of expressions only the length and the signs are looked at, as everywhere.
        let regexes = RequestMatch {
            method: Some(TextMatch::Regex("get|post".into())),
            ..of_path(TextMatch::Regex("[^/]*".into()))
        };
        let fine = [method("M-SEARCH"), exact("/"), of_path(TextMatch::Prefix("/a".into()))];
        for request in fine.into_iter().chain([regexes, RequestMatch::header("x-y", "1")]) {
            assert_eq!(request.problem(), None, "{request}");
        }
    }

    #[test]
    fn requests_are_written_and_shown_as_people_write_them() {
        let text = r#"{"method":{"exact":"GET"},"path":{"prefix":"/orders/"},"headers":[{"name":"x-kind","value":{"regex":"a|b"}}]}"#;
        let request: RequestMatch = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(request.to_string(), "`GET` `/orders/…` `x-kind`");
        assert_eq!(of_path(TextMatch::Regex("/.".into())).to_string(), "`~/.`");
        let some = RequestMatch::header("x-kind", "a");
        assert_eq!(
            serde_json::to_string(&some).unwrap(),
            r#"{"headers":[{"name":"x-kind","value":{"exact":"a"}}]}"#
        );
        assert!(serde_json::from_str::<RequestMatch>(r#"{"query":"x"}"#).is_err());
    }
}
