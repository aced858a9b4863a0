//! What the rules of a route match.

use release_core::model::{HeaderMatch, HeaderRoute, RequestMatch, TextMatch};
use serde_json::{Value, json};

use crate::routing::SET;
use crate::{ErrorKind, ProviderError};

/// The methods that the API knows.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Requests of any path whose headers say all of this.
pub(super) fn any(headers: &[HeaderMatch]) -> Value {
    of(&everywhere(), headers.iter())
}

fn everywhere() -> Value {
    json!({ "type": "PathPrefix", "value": "/" })
}

fn of<'h>(path: &Value, headers: impl Iterator<Item = &'h HeaderMatch>) -> Value {
    let headers: Vec<Value> = headers.map(header).collect();
    let mut one = json!({ "path": path });
    if let (false, Some(fields)) = (headers.is_empty(), one.as_object_mut()) {
        fields.insert("headers".into(), headers.into());
    }
    one
}

/// The requests of a rule with these headers that are such ones besides; those that nobody can send are left out.
pub(super) fn picked(
    headers: &[HeaderMatch],
    only: &[RequestMatch],
) -> Result<Vec<Value>, ProviderError> {
    let mut all = Vec::new();
    for request in only {
        let path = path(request.path.as_ref())?;
        let method = request.method.as_ref().map(method).transpose()?;
        if !can_be(headers, &request.headers)? {
            continue;
        }
        let mut one = of(&path, headers.iter().chain(&request.headers));
        if let (Some(method), Some(fields)) = (method, one.as_object_mut()) {
            fields.insert("method".into(), method.into());
        }
        all.push(one);
    }
    Ok(all)
}

/// Whether a request can say both. The API sees one match for a name, and lets that with more headers count: a header that both
/// name would count once.
fn can_be(headers: &[HeaderMatch], own: &[HeaderMatch]) -> Result<bool, ProviderError> {
    for (n, one) in own.iter().enumerate() {
        let mut others = headers.iter().chain(own.iter().take(n));
        match others.find(|other| other.name == one.name).map(|other| (&other.value, &one.value)) {
            None => {}
            Some((TextMatch::Exact(a), TextMatch::Exact(b))) if a != b => return Ok(false),
            Some(_) => {
                let text = "copies of some requests have a match for a header that has another one already, of which the \
                            Gateway API takes the first; name the header once";
                return Err(ProviderError::new(ErrorKind::Invalid, SET, text)
                    .with_context("header", &one.name));
            }
        }
    }
    Ok(true)
}

/// A path that counts before `/` with every controller. A prefix is one of whole segments there, and where an expression stands is
/// left to controllers: some let `/` count first.
fn path(path: Option<&TextMatch>) -> Result<Value, ProviderError> {
    match path {
        None => Ok(everywhere()),
        Some(TextMatch::Prefix(text)) if text == "/" => Ok(everywhere()),
        Some(TextMatch::Exact(text)) => Ok(json!({ "type": "Exact", "value": text })),
        Some(other) => {
            let text = "in the Gateway API a prefix of a path is one of whole segments, and no expression surely counts before \
                        other rules; copy requests by whole paths";
            Err(ProviderError::new(ErrorKind::Unsupported, SET, text).with_context("path", other))
        }
    }
}

fn method(method: &TextMatch) -> Result<&str, ProviderError> {
    match method {
        TextMatch::Exact(name) if METHODS.contains(&name.as_str()) => Ok(name),
        other => {
            let text = "the Gateway API knows nine methods, to the letter; name one of them";
            Err(ProviderError::new(ErrorKind::Unsupported, SET, text)
                .with_context("method", other)
                .with_context("methods", METHODS.join(", ")))
        }
    }
}

fn header(one: &HeaderMatch) -> Value {
    let (kind, value) = match &one.value {
        TextMatch::Prefix(text) => ("RegularExpression", format!("{}.*", literal(text))),
        TextMatch::Regex(regex) => ("RegularExpression", regex.clone()),
        other => ("Exact", other.text().to_owned()),
    };
    json!({ "type": kind, "name": one.name, "value": value })
}

/// Text that means itself in a regular expression.
fn literal(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The API lets the match with more headers count, and of equal ones the first; and it sees one match for a name.
pub(super) fn check_order(routes: &[HeaderRoute]) -> Result<(), ProviderError> {
    let refuse = |text: &'static str| Err(ProviderError::new(ErrorKind::Invalid, SET, text));
    for (n, later) in routes.iter().enumerate() {
        let matches = &later.rule.matches;
        let twice = |(n, one): (usize, &HeaderMatch)| {
            matches.iter().take(n).any(|other| other.name == one.name)
        };
        if matches.iter().enumerate().any(twice) {
            let text = "a header route has two matches for one header, of which the Gateway API takes the first; make them one";
            return refuse(text);
        }
        let overtakes = |earlier: &HeaderRoute| {
            earlier.rule.matches.len() < matches.len() && earlier.to != later.to
        };
        if routes.iter().take(n).any(overtakes) {
            let text = "in the Gateway API a header route of more headers counts before one of fewer; put it first";
            return refuse(text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use release_core::model::{Digest, HeaderRule};

    use super::*;

    fn route(names: &[&str], to: &str) -> HeaderRoute {
        let matches = names.iter().map(|name| HeaderMatch::exact(*name, "1")).collect();
        HeaderRoute { rule: HeaderRule { matches }, to: Digest::of(to.as_bytes()) }
    }

    #[test]
    fn rules_that_the_api_would_take_in_another_order_are_refused() {
        assert!(check_order(&[route(&["a", "b"], "x"), route(&["a"], "y")]).is_ok());
        assert!(check_order(&[route(&["a"], "x"), route(&["a", "b"], "x")]).is_ok());
        let kind = |routes: &[HeaderRoute]| check_order(routes).unwrap_err().kind();
        assert_eq!(kind(&[route(&["a"], "x"), route(&["a", "b"], "y")]), ErrorKind::Invalid);
        assert_eq!(kind(&[route(&["a", "a"], "x")]), ErrorKind::Invalid);
    }

    #[test]
    fn requests_are_matched_as_the_api_has_it_or_not_at_all() {
        let get = || RequestMatch::default().with_method("GET");
        let at = |path| RequestMatch::default().with_path(path);
        let kind = |name: &str| RequestMatch::header(name, "1");
        let headers = [HeaderMatch::exact("a", "1")];
        let all = [
            get(),
            at(TextMatch::Exact("/x".into())),
            at(TextMatch::Prefix("/".into())),
            kind("b"),
        ];
        let made = picked(&headers, &all).unwrap();
        assert!(made.iter().all(|one| one["headers"][0]["name"] == "a"));
        assert_eq!((&made[0]["method"], &made[0]["path"]), (&json!("GET"), &everywhere()));
        assert_eq!(made[1]["path"], json!({ "type": "Exact", "value": "/x" }));
        assert_eq!((&made[2]["path"], made[2].get("method")), (&everywhere(), None));
        assert_eq!(made[3]["headers"][1]["name"], "b");
        assert!(
            any(&[]).get("headers").is_none()
                && picked(&[], &[get()]).unwrap()[0].get("headers").is_none()
        );
        // Nobody says both.
        assert!(picked(&headers, &[RequestMatch::header("a", "2")]).unwrap().is_empty());
        let regex = TextMatch::Regex("/.*".into());
        for (request, why) in [
            (kind("a"), ErrorKind::Invalid),
            (
                RequestMatch { headers: vec![HeaderMatch::exact("b", "1"); 2], ..get() },
                ErrorKind::Invalid,
            ),
            (at(regex.clone()), ErrorKind::Unsupported),
            (at(TextMatch::Prefix("/x".into())), ErrorKind::Unsupported),
            (RequestMatch { method: Some(regex), ..get() }, ErrorKind::Unsupported),
            (get().with_method("PURGE"), ErrorKind::Unsupported),
        ] {
            assert_eq!(
                picked(&headers, std::slice::from_ref(&request)).unwrap_err().kind(),
                why,
                "{request}"
            );
        }
    }
}
