//! What controllers say of a route: whether it is in effect.

use serde::Deserialize;
use serde_json::Value;

/// Whether a generation of a route is in effect at all of its gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everywhere.
    InEffect,
    /// Somebody has not said so yet.
    Awaited,
    /// Somebody serves it and does not find a backend, and says why: requests for that fail.
    Broken(String),
    /// Somebody refuses it, and says why.
    Refused(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    parents: Vec<Parent>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parent {
    parent_ref: Reference,
    #[serde(default)]
    conditions: Vec<Condition>,
}

/// A gateway, with what goes without saying.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default = "group")]
    group: String,
    #[serde(default = "kind")]
    kind: String,
    namespace: Option<String>,
    name: String,
    section_name: Option<String>,
    port: Option<u16>,
}

fn group() -> String {
    "gateway.networking.k8s.io".into()
}

fn kind() -> String {
    "Gateway".into()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    observed_generation: i64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// What is said of this generation of a route in this namespace.
pub(super) fn standing(
    route: &Value,
    namespace: &str,
    generation: i64,
) -> Result<Standing, String> {
    let field = |at: &str| route.pointer(at).filter(|value| !value.is_null());
    let mut wanted = Vec::new();
    for parent in field("/spec/parentRefs").and_then(Value::as_array).into_iter().flatten() {
        wanted.push(Reference::deserialize(parent).map_err(|e| e.to_string())?);
    }
    if wanted.is_empty() {
        return Err("it has no `parentRefs`, so that no gateway serves it".into());
    }
    let status = field("/status").map_or_else(|| Ok(Status::default()), Status::deserialize);
    let mut status = status.map_err(|e| e.to_string())?;
    let own = |reference: &mut Reference| {
        reference.namespace.get_or_insert_with(|| namespace.to_owned());
    };
    wanted.iter_mut().for_each(own);
    status.parents.iter_mut().for_each(|parent| own(&mut parent.parent_ref));
    let mut standing = Standing::InEffect;
    for reference in &wanted {
        let mut said = status.parents.iter().filter(|parent| parent.parent_ref == *reference);
        // More than one controller may speak of a gateway; one that refuses is enough to refuse.
        let said = said.by_ref().map(|parent| of_parent(parent, generation)).collect::<Vec<_>>();
        if let Some(refused) = said.iter().find(|one| matches!(one, Standing::Refused(_))) {
            return Ok(refused.clone());
        }
        let broken = said.iter().find(|one| matches!(one, Standing::Broken(_)));
        standing = match (standing, broken) {
            (Standing::Broken(why), _) => Standing::Broken(why),
            (_, Some(broken)) => broken.clone(),
            (before, None) if said.contains(&Standing::InEffect) => before,
            _ => Standing::Awaited,
        };
    }
    Ok(standing)
}

fn of_parent(parent: &Parent, generation: i64) -> Standing {
    let said = |kind: &str| {
        let of_now = |one: &&Condition| one.kind == kind && one.observed_generation == generation;
        parent.conditions.iter().find(of_now)
    };
    let why = |said: &Condition| {
        let Condition { kind, reason, message, .. } = said;
        format!("{kind} at `{}`: {reason}, {message}", parent.parent_ref.name)
    };
    match (said("Accepted"), said("ResolvedRefs")) {
        (Some(accepted), _) if accepted.status == "False" => Standing::Refused(why(accepted)),
        (Some(accepted), Some(resolved)) if accepted.status == "True" => match &*resolved.status {
            "True" => Standing::InEffect,
            "False" => Standing::Broken(why(resolved)),
            _ => Standing::Awaited,
        },
        _ => Standing::Awaited,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(kind: &str, status: &str, generation: i64) -> Value {
        json!({ "type": kind, "status": status, "observedGeneration": generation, "reason": "X" })
    }

    fn both(status: &str, generation: i64) -> Value {
        json!([
            condition("Accepted", "True", generation),
            condition("ResolvedRefs", status, generation)
        ])
    }

    fn route(parents: &[(&str, Value)]) -> Value {
        let references = ["a", "b"].map(|name| json!({ "name": name }));
        let said = parents.iter().map(|(name, conditions)| {
            let reference = json!({ "name": name, "namespace": "shop", "kind": "Gateway" });
            json!({ "parentRef": reference, "conditions": conditions })
        });
        json!({
            "spec": { "parentRefs": references },
            "status": { "parents": said.collect::<Vec<_>>() },
        })
    }

    #[test]
    fn every_gateway_has_to_say_both_of_this_generation() {
        let of = |parents: &[(&str, Value)]| standing(&route(parents), "shop", 3).unwrap();
        assert_eq!(of(&[("a", both("True", 3)), ("b", both("True", 3))]), Standing::InEffect);
        assert_eq!(of(&[]), Standing::Awaited);
        assert_eq!(of(&[("a", both("True", 3))]), Standing::Awaited);
        assert_eq!(of(&[("a", both("True", 3)), ("b", both("True", 2))]), Standing::Awaited);
        assert_eq!(of(&[("a", both("Unknown", 3)), ("b", both("True", 3))]), Standing::Awaited);
        // What is refused of another generation is not this one.
        assert_eq!(of(&[("a", both("False", 2)), ("b", both("True", 3))]), Standing::Awaited);
        // Accepted, it is served, whether its backends are found or not.
        let broken = of(&[("a", both("True", 3)), ("b", both("False", 3))]);
        assert!(matches!(&broken, Standing::Broken(why) if why.contains("ResolvedRefs at `b`")));
        assert_eq!(
            of(&[("a", both("False", 3)), ("b", both("True", 3))]),
            of(&[("a", both("False", 3))])
        );
        let no = json!([condition("Accepted", "False", 3), condition("ResolvedRefs", "False", 3)]);
        let refused = of(&[("a", both("False", 3)), ("b", no)]);
        assert!(matches!(&refused, Standing::Refused(why) if why.contains("Accepted at `b`")));
        let half = json!([condition("Accepted", "True", 3)]);
        assert_eq!(of(&[("a", both("True", 3)), ("b", half)]), Standing::Awaited);
        assert!(standing(&json!({ "spec": {} }), "shop", 3).is_err());
        assert!(standing(&json!({ "spec": { "parentRefs": [7] } }), "shop", 3).is_err());
    }
}
