//! Secrets that stand where only a reference may.

use serde_json::Value;

use crate::kind::reference;

/// What names of settings that are secrets end with.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "credentials",
];

/// The paths of settings that look like secrets written out.
pub(super) fn literals(config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(config, "", &mut |path, name, value| {
        let Value::String(text) = value else { return };
        if (!text.is_empty() && is_secret(name)) || has_password(text) {
            found.push(path.to_owned());
        }
    });
    found
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

/// Whether it is a URL with a password: `https://ada:hunter2@example.org`.
fn has_password(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let sound = !scheme.is_empty()
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    sound
        && user
            .and_then(|user| user.split_once(':'))
            .is_some_and(|(_, password)| !password.is_empty())
}

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
            "db": { "api-key": "k", "accessKeys": ["a", "b"], "token_url": "https://x", "max_tokens": 3 },
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
                "list[0].client_secret",
                "password",
                "token.secret",
                "url"
            ]
        );
        let mut named: Vec<_> = references(&config).into_iter().map(|(path, _)| path).collect();
        named.sort();
        assert_eq!(named, ["auth", "list[1].client_secret"]);
    }
}
