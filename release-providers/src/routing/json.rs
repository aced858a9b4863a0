//! Compares what was written with what a server says that it has.

use serde_json::Value;

/// Whether all that is in one is in the other; lists are the same.
pub(crate) fn covers(made: &Value, there: &Value) -> bool {
    match (made, there) {
        (Value::Object(made), Value::Object(there)) => {
            made.iter().all(|(key, value)| there.get(key).is_some_and(|it| covers(value, it)))
        }
        (Value::Array(made), Value::Array(there)) => {
            made.len() == there.len() && made.iter().zip(there).all(|(a, b)| covers(a, b))
        }
        (made, there) => made == there,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn more_may_be_there_but_nothing_else() {
        let made = json!({ "a": [{ "b": 1 }], "c": "d" });
        assert!(covers(&made, &json!({ "a": [{ "b": 1, "x": 2 }], "c": "d", "e": null })));
        for other in [
            json!({ "a": [{ "b": 2 }], "c": "d" }),
            json!({ "a": [], "c": "d" }),
            json!({ "a": [{ "b": 1 }, {}], "c": "d" }),
            json!({ "a": [{ "b": 1 }] }),
            json!(null),
        ] {
            assert!(!covers(&made, &other), "{other}");
        }
    }
}
