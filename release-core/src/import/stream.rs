//! Documents of OpenSLO that stand together in one stream, and refer to each other by name.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Findings, ImportErrors, one_error};

/// What stands beside the document that is imported.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// By kind and name.
    documents: BTreeMap<(String, String), Value>,
    read: BTreeSet<(String, String)>,
}

/// The one document of kind `wanted` in a stream, and those beside it.
///
/// # Errors
/// There is none, or several; a document without a name, or with that of another of its kind.
pub(super) fn split(text: &str, wanted: &str) -> Result<(Value, Others), ImportErrors> {
    let documents = crate::model::yaml_stream(text).map_err(|problem| one_error("", problem))?;
    let (mut one, mut others, mut kinds) = (None, Others::default(), Vec::new());
    for document in documents {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let kind = text(document.get("kind")).unwrap_or_else(|| "nothing".into());
        if kind == wanted {
            if one.replace(document).is_some() {
                let text = format!("there are several of `{wanted}`; import one at a time");
                return Err(one_error("kind", text));
            }
            continue;
        }
        kinds.push(kind.clone());
        let Some(name) = text(document.pointer("/metadata/name")) else {
            let text = format!("a document of kind `{kind}` has no name; give it one");
            return Err(one_error("metadata.name", text));
        };
        let problem = format!("there are several of kind `{kind}` called `{name}`; keep one");
        if others.documents.insert((kind, name), document).is_some() {
            return Err(one_error("metadata.name", problem));
        }
    }
    let Some(one) = one else {
        let told = kinds.first().map_or("nothing", String::as_str);
        return Err(one_error("kind", format!("it is `{told}`; give one of kind `{wanted}`")));
    };
    Ok((one, others))
}

impl Others {
    /// The document of this kind and name.
    pub(super) fn named(&mut self, kind: &str, name: &str) -> Option<&Value> {
        let key = (kind.to_owned(), name.to_owned());
        let document = self.documents.get(&key)?;
        self.read.insert(key);
        Some(document)
    }

    /// What stands in `item` itself, or what it names, and where that is: the `spec` of a document of this kind. Where there is none, a
    /// note says why.
    pub(super) fn resolve<T: DeserializeOwned>(
        &mut self,
        item: &Value,
        (field, kind): (&str, &str),
        at: &str,
        found: &mut Findings,
    ) -> Option<(T, String)> {
        let named = item.as_str().or_else(|| item.get(field).and_then(Value::as_str));
        let (document, at) = match named {
            Some(name) => {
                let Some(document) = self.named(kind, name) else {
                    let text = format!(
                        "`{name}` stands elsewhere and is not read; put it into the same stream"
                    );
                    found.note(at, text);
                    return None;
                };
                (document, format!("{kind}/{name}"))
            }
            None => (item, at.to_owned()),
        };
        if let Some(fields) = document.as_object() {
            let beside = |name: &&String| !["spec", field].contains(&name.as_str());
            let rest = fields.keys().filter(beside).map(|name| (name.clone(), Value::Null));
            found.unread(&at, &rest.collect());
        }
        let at = format!("{at}.spec");
        let spec = document.get("spec").cloned().unwrap_or(Value::Null);
        match serde_json::from_value(spec) {
            Ok(spec) => Some((spec, at)),
            Err(error) => {
                found.note(
                    &at,
                    format!("it is left out: {error}; compare with the definition of `{kind}`"),
                );
                None
            }
        }
    }

    /// Tells of those that nobody asked for.
    pub(super) fn unread(&self, found: &mut Findings) {
        for (kind, name) in self.documents.keys().filter(|key| !self.read.contains(*key)) {
            found.note(&format!("{kind}/{name}"), "is not read here");
        }
    }
}
