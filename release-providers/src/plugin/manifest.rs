//! What a plugin says that it is and can do, on the wire.

use std::collections::BTreeMap;

use semver::Version;

use super::pb;
use super::wire::Wire as _;
use crate::kind::Manifest;
use crate::{Capability, Description};

/// A manifest that breaks the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest is not valid: `{field}` {problem}")]
pub struct ManifestError {
    field: String,
    problem: String,
}

impl ManifestError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// More than this no plugin can do.
const MOST_CAPABILITIES: usize = 64;

impl Manifest {
    pub(in crate::plugin) fn to_wire(&self) -> pb::DescribeReply {
        let entry = |(capability, description): (&String, &Description)| pb::CapabilityEntry {
            capability: capability.clone(),
            description: Some(description_to_wire(description)),
        };
        pb::DescribeReply {
            name: self.name.clone(),
            version: self.version.to_string(),
            capabilities: self.capabilities.iter().map(entry).collect(),
        }
    }

    pub(in crate::plugin) fn from_wire(wire: pb::DescribeReply) -> Result<Self, ManifestError> {
        let name = name("name", wire.name)?;
        let version = version("version", &wire.version)?;
        if wire.capabilities.len() > MOST_CAPABILITIES {
            return Err(ManifestError::new(
                "capabilities",
                "has more entries than there are traits",
            ));
        }
        let mut capabilities = BTreeMap::new();
        for entry in wire.capabilities {
            let capability = self::name("capability", entry.capability)?;
            let description = entry
                .description
                .ok_or_else(|| ManifestError::new(&*capability, "has no description"))?;
            let description = description_from_wire(&capability, description)?;
            if capabilities.insert(capability.clone(), description).is_some() {
                return Err(ManifestError::new(capability, "is there twice"));
            }
        }
        Ok(Self { name, version, capabilities })
    }
}

fn name(field: &str, text: String) -> Result<String, ManifestError> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    if text.is_empty() || text.len() > 64 || !text.chars().all(sound) {
        let problem = "must be 1 to 64 ASCII letters, digits, blanks or `._-`";
        return Err(ManifestError::new(field, problem));
    }
    Ok(text)
}

fn version(field: &str, text: &str) -> Result<Version, ManifestError> {
    text.parse().map_err(|_| ManifestError::new(field, "is no version as of Semantic Versioning"))
}

fn description_to_wire(description: &Description) -> pb::Description {
    let ability = |ability: &Capability| match serde_json::to_value(ability) {
        Ok(serde_json::Value::String(word)) => Some(word),
        Ok(value) => Some(value.to_string()),
        Err(_) => None, // never: abilities serialise
    };
    pb::Description {
        name: description.name.clone(),
        version: description.version.to_string(),
        effects: description.effects.to_wire(),
        capabilities: description.capabilities.iter().filter_map(ability).collect(),
        config_schema: description.config_schema.to_string(),
    }
}

fn description_from_wire(
    capability: &str,
    wire: pb::Description,
) -> Result<Description, ManifestError> {
    let field = |name: &str| format!("{capability}.{name}");
    let known = |text: &String| {
        let word = serde_json::Value::String(text.clone());
        serde_json::from_value(word).ok().or_else(|| serde_json::from_str(text).ok())
    };
    let effects = crate::EffectClass::from_wire(wire.effects)
        .map_err(|error| ManifestError::new(field("effects"), error.to_string()))?;
    let schema = serde_json::from_str(&wire.config_schema)
        .map_err(|_| ManifestError::new(field("config_schema"), "is no JSON"))?;
    let name = name(&field("name"), wire.name)?;
    let version = version(&field("version"), &wire.version)?;
    let mut description = Description::new(name, version, effects).with_config_schema(schema);
    description.capabilities = wire.capabilities.iter().filter_map(known).collect();
    Ok(description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EffectClass;

    fn manifest() -> Manifest {
        let description =
            Description::new("acme router", Version::new(1, 2, 3), EffectClass::Queryable)
                .with(Capability::WeightedRouting)
                .with_config_schema(serde_json::json!({ "type": "object" }));
        let capabilities = [("traffic_router".to_owned(), description)].into();
        Manifest { name: "acme".into(), version: Version::new(1, 0, 0), capabilities }
    }

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        assert_eq!(Manifest::from_wire(manifest().to_wire()), Ok(manifest()));
    }

    #[test]
    fn abilities_of_newer_plugins_are_passed_over() {
        let mut wire = manifest().to_wire();
        for more in ["teleport", "{\"teleport\":3}", ""] {
            wire.capabilities[0].description.as_mut().unwrap().capabilities.push(more.into());
        }
        assert_eq!(Manifest::from_wire(wire), Ok(manifest()));
    }

    #[test]
    fn f39_manifests_that_lie_are_refused() {
        type Change = fn(&mut pb::DescribeReply);
        let table: &[(&str, Change)] = &[
            ("name", |m| m.name = "x\u{1b}[31m".into()),
            ("name", |m| m.name = String::new()),
            ("version", |m| m.version = "one".into()),
            ("traffic_router", |m| m.capabilities[0].description = None),
            ("traffic_router", |m| m.capabilities.push(m.capabilities[0].clone())),
            ("capabilities", |m| m.capabilities = vec![m.capabilities[0].clone(); 65]),
            ("traffic_router.effects", |m| {
                m.capabilities[0].description.as_mut().unwrap().effects = 0;
            }),
            ("traffic_router.config_schema", |m| {
                m.capabilities[0].description.as_mut().unwrap().config_schema = "[".repeat(100_000);
            }),
        ];
        for (field, change) in table {
            let mut wire = manifest().to_wire();
            change(&mut wire);
            assert_eq!(Manifest::from_wire(wire).unwrap_err().field, *field);
        }
    }
}
