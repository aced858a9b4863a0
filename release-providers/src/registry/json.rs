//! Requests and answers as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{ErrorKind, OPERATIONS, ProviderError};

/// A request, or what is wrong with it.
pub(super) fn read<T: Serialize + DeserializeOwned>(value: &Value) -> Result<T, String> {
    let request: T =
        T::deserialize(value).map_err(|error| format!("its input is wrong: {error}"))?;
    let known = serde_json::to_value(&request).map_err(|error| error.to_string())?;
    match unknown_field(value, &known) {
        Some(path) => Err(format!("its input is wrong: there is no field `{path}`")),
        None => Ok(request),
    }
}

pub(super) fn write(answer: &impl Serialize) -> Result<Value, ProviderError> {
    serde_json::to_value(answer).map_err(|error| {
        // Never: keys of maps in answers are text.
        let text = format!("the answer cannot be written as JSON: {error}");
        ProviderError::new(ErrorKind::Internal, "registry.call", text)
            .with_effect(release_core::port::EffectCertainty::Unknown)
    })
}

/// A field that was given and that nobody reads: what serde passes over is a slip of whoever wrote it.
fn unknown_field(given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| {
            let Some(known) = known.get(name) else { return Some(name.clone()) };
            unknown_field(value, known).map(|path| format!("{name}.{path}"))
        }),
        (Value::Array(given), Value::Array(known)) if given.len() == known.len() => {
            let mut all = given.iter().zip(known).enumerate();
            all.find_map(|(at, (given, known))| {
                Some(format!("{at}.{}", unknown_field(given, known)?))
            })
        }
        _ => None,
    }
}

pub(super) fn unknown(capability: &'static str, operation: &str) -> ProviderError {
    let text =
        format!("`{capability}` has no operation `{operation}`; it has {}", operations(capability));
    ProviderError::new(ErrorKind::Invalid, "registry.call", text)
}

/// The operations of a capability, for people.
pub(super) fn operations(capability: &str) -> String {
    let own = OPERATIONS.iter().filter(|operation| operation.capability == capability);
    own.map(|operation| format!("`{}`", operation.name)).collect::<Vec<_>>().join(", ")
}
