//! Secrets that stand where only a reference may.

use serde_json::Value;

use crate::kind::reference;

/// What names of settings that are secrets end with.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "privatekeypem",
    "credential",
    "authorization",
];

/// The paths of settings that look like secrets written out. By their names and forms: a secret under a name that tells
/// nothing is not found.
pub(super) fn literals(config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(config, "", &mut |path, _, value| {
        let is_secret = match value {
            Value::String(text) => (!text.is_empty() && in_secret(path)) || has_password(text),
            Value::Number(_) => in_secret(path),
            _ => false,
        };
        if is_secret {
            found.push(path.to_owned());
        }
    });
    found
}

/// Whether the path leads through the name of a secret.
fn in_secret(path: &str) -> bool {
    path.split('.').any(is_secret)
}

/// The references to secrets.
pub(super) fn references(config: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(config, "", &mut |path, _, value| {
        if let Some(secret) = reference(value) {
            found.push((path.to_owned(), secret.to_owned()));
        }
    });
    found
}

fn walk(value: &Value, path: &str, see: &mut impl FnMut(&str, &str, &Value)) {
    let name = path.rsplit('.').next().unwrap_or_default();
    see(path, name, value);
    if reference(value).is_some() {
        return;
    }
    match value {
        Value::Object(all) => {
            for (name, value) in all {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(value, &path, see);
            }
        }
        Value::Array(all) => {
            for (index, value) in all.iter().enumerate() {
                walk(value, &format!("{path}[{index}]"), see);
            }
        }
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    // `api_key`, `apiKey` and `api-key` are one; so is the name of a list of them.
    let name = name.split('[').next().unwrap_or_default();
    let plain: String =
        name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase();
    NAMES.iter().any(|secret| {
        plain.ends_with(secret) || plain.strip_suffix('s').is_some_and(|one| one.ends_with(secret))
    })
}

/// Whether it is a URL with credentials: `https://ada:hunter2@example.org`, `https://x?token=hunter2`.
fn has_password(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    if scheme.is_empty()
        || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    // A user alone is no secret, but for the tokens that are given as one.
    let opens = |user: &str| match user.split_once(':') {
        Some((_, password)) => !password.is_empty(),
        None => user.len() >= LIKE_A_TOKEN,
    };
    let mut query = rest.split_once('?').map_or("", |(_, query)| query).split(['&', '#']);
    user.is_some_and(opens)
        || query.any(|one| {
            one.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_secret(name))
        })
}

/// So long is a token, and no name of a user.
const LIKE_A_TOKEN: usize = 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_that_are_written_out_are_found() {
        let config = json!({
            "url": "https://ada:hunter2@example.org/x",
            "proxy": "http://proxy.example:3128",
            "mail": "ada@example.org",
            "password": "hunter2",
            "db": { "api-key": "k", "accessKeys": ["a", "b"], "token_url": "https://x", "timeout": 3 },
            "pin": { "password": 12_345_678, "passwords": { "a": "x" } },
            "hook": "https://x/y?a=1&token=hunter2",
            "git": "https://ghp_0123456789abcdefghij@x",
            "ssh": "ssh://git@host/x",
            "list": [{ "client_secret": "s" }, { "client_secret": { "secret": "kv/x" } }],
            "secret": "",
            "auth": { "secret": "kv/y" },
            "token": { "secret": "kv/z", "more": 1 },
        });
        let mut found = literals(&config);
        found.sort();
        assert_eq!(
            found,
            [
                "db.accessKeys[0]",
                "db.accessKeys[1]",
                "db.api-key",
                "git",
                "hook",
                "list[0].client_secret",
                "password",
                "pin.password",
                "pin.passwords.a",
                "token.more",
                "token.secret",
                "url"
            ]
        );
        let mut named: Vec<_> = references(&config).into_iter().map(|(path, _)| path).collect();
        named.sort();
        assert_eq!(named, ["auth", "list[1].client_secret"]);
    }
}
