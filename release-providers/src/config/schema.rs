//! Schemas come from plugins: none may keep whoever checks a file busy.

use serde_json::Value;

/// Most bytes of a schema.
const MOST_BYTES: usize = 256 << 10;
/// Most parts of a schema, with those that it refers to counted as often as it refers to them.
const MOST_PARTS: usize = 20_000;

/// Whether a schema is of a size that is checked in a moment, or what is wrong with it.
pub(super) fn bounded(schema: &Value) -> Result<(), String> {
    if schema.to_string().len() > MOST_BYTES {
        return Err(format!("has more than {MOST_BYTES} bytes"));
    }
    let mut left = MOST_PARTS;
    if count(schema, schema, &mut Vec::new(), &mut left) {
        Ok(())
    } else {
        Err(format!("has more than {MOST_PARTS} parts, with those that it refers to"))
    }
}

/// Counts down the parts of `part`; `false` when none are left. `within` are the references that led here: what refers
/// to itself is checked along with the settings, which have an end.
fn count<'a>(
    part: &'a Value,
    whole: &'a Value,
    within: &mut Vec<&'a str>,
    left: &mut usize,
) -> bool {
    let Some(fewer) = left.checked_sub(1) else { return false };
    *left = fewer;
    match part {
        Value::Object(all) => {
            let named =
                ["$ref", "$dynamicRef"].into_iter().filter_map(|name| all.get(name)?.as_str());
            for reference in named {
                let pointer = reference.strip_prefix('#');
                let target = pointer.and_then(|pointer| whole.pointer(pointer));
                let Some(target) = target.filter(|_| !within.contains(&reference)) else {
                    continue;
                };
                within.push(reference);
                if !count(target, whole, within, left) {
                    return false;
                }
                within.pop();
            }
            all.iter()
                .filter(|(name, _)| *name != "$defs")
                .all(|(_, part)| count(part, whole, within, left))
        }
        Value::Array(all) => all.iter().all(|part| count(part, whole, within, left)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    /// Each level refers twice to the next.
    fn doubling(levels: usize) -> Value {
        let mut defs = Map::new();
        for level in 0..levels {
            let next = json!({ "$ref": format!("#/$defs/l{}", level + 1) });
            defs.insert(format!("l{level}"), json!({ "allOf": [next, next] }));
        }
        defs.insert(format!("l{levels}"), json!({ "type": "object" }));
        json!({ "$defs": defs, "$ref": "#/$defs/l0" })
    }

    #[test]
    fn f44_a_schema_that_doubles_at_each_level_is_refused_at_once() {
        assert_eq!(bounded(&doubling(4)), Ok(()));
        assert!(bounded(&doubling(40)).unwrap_err().contains("parts"));
        assert!(
            bounded(&json!({ "description": "x".repeat(1 << 20) })).unwrap_err().contains("bytes")
        );
        let recursive = json!({ "$ref": "#/$defs/tree", "$defs": { "tree": {
            "properties": { "children": { "items": { "$ref": "#/$defs/tree" } } }
        } } });
        assert_eq!(bounded(&recursive), Ok(()));
    }
}
