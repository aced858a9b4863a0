//! What a plugin says that it is and can do, on the wire.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use semver::Version;

use super::pb;
use super::wire::Wire as _;
use crate::kind::Manifest;
use crate::{Abilities, Description, Fencing, Splitting};

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
/// The most bytes of a schema of settings.
const LARGEST_SCHEMA: usize = 64 << 10;

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

    /// Demands that nothing in it is a secret.
    pub(in crate::plugin) fn holds_none(
        &self,
        is_secret: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<(), ManifestError> {
        let own = [("name".to_owned(), self.name.as_str().into())];
        let own = own.into_iter().chain([("version".to_owned(), self.version.to_string().into())]);
        let described = self.capabilities.iter().flat_map(|(capability, description)| {
            let field = |name: &str| format!("{capability}.{name}");
            [
                (field("name"), description.name.as_str().into()),
                (field("version"), description.version.to_string().into()),
                (field("config_schema"), description.config_schema.clone()),
            ]
        });
        match own.chain(described).find(|(_, value)| is_secret(value)) {
            Some((field, _)) => Err(ManifestError::new(field, "holds a secret; take it out")),
            None => Ok(()),
        }
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
    pb::Description {
        name: description.name.clone(),
        version: description.version.to_string(),
        effects: description.effects.to_wire(),
        abilities: Some(abilities_to_wire(&description.abilities)),
        config_schema: description.config_schema.to_string(),
    }
}

fn description_from_wire(
    capability: &str,
    wire: pb::Description,
) -> Result<Description, ManifestError> {
    let field = |name: &str| format!("{capability}.{name}");
    let effects = crate::EffectClass::from_wire(wire.effects)
        .map_err(|error| ManifestError::new(field("effects"), error.to_string()))?;
    if wire.config_schema.len() > LARGEST_SCHEMA {
        let problem = format!("is longer than {LARGEST_SCHEMA} bytes");
        return Err(ManifestError::new(field("config_schema"), problem));
    }
    let schema = serde_json::from_str(&wire.config_schema)
        .map_err(|_| ManifestError::new(field("config_schema"), "is no JSON"))?;
    let name = name(&field("name"), wire.name)?;
    let version = version(&field("version"), &wire.version)?;
    let mut description = Description::new(name, version, effects).with_config_schema(schema);
    description.abilities = abilities_from_wire(wire.abilities.unwrap_or_default());
    Ok(description)
}

fn abilities_to_wire(abilities: &Abilities) -> pb::Abilities {
    let Abilities { deployer, traffic_router, secret_store, metrics_source, tracks } = abilities;
    pb::Abilities {
        deployer: Some(pb::DeployerAbilities {
            fences_epochs: deployer.fencing == Fencing::Epochs,
            most_replicas: deployer.most_replicas.map_or(0, NonZeroU32::get),
            anti_affinity: deployer.anti_affinity,
            metadata: deployer.metadata,
        }),
        traffic_router: Some(pb::RouterAbilities {
            splits_by_shares: traffic_router.splitting == Splitting::Shares,
            counts_served: traffic_router.counts_served,
            fences_epochs: traffic_router.fencing == Fencing::Epochs,
            header_routes: traffic_router.header_routes,
            mirroring: traffic_router.mirroring,
            mirror_matching: traffic_router.mirror_matching,
            affinity: traffic_router.affinity,
            affinity_to_one: traffic_router.affinity_to_one,
            counts_in_flight: traffic_router.counts_in_flight,
        }),
        tracks: *tracks,
        secret_store: Some(pb::SecretStoreAbilities { rotation: secret_store.rotation }),
        metrics_source: Some(pb::MetricsAbilities {
            means: metrics_source.means,
            quantiles: metrics_source.quantiles,
            queries: metrics_source.queries,
            ranges: metrics_source.ranges,
        }),
    }
}

fn abilities_from_wire(wire: pb::Abilities) -> Abilities {
    let fencing = |fences| if fences { Fencing::Epochs } else { Fencing::None };
    let mut abilities = Abilities { tracks: wire.tracks, ..Abilities::default() };
    if let Some(deployer) = wire.deployer {
        abilities.deployer.fencing = fencing(deployer.fences_epochs);
        abilities.deployer.most_replicas = NonZeroU32::new(deployer.most_replicas);
        abilities.deployer.anti_affinity = deployer.anti_affinity;
        abilities.deployer.metadata = deployer.metadata;
    }
    if let Some(router) = wire.traffic_router {
        if router.splits_by_shares {
            abilities.traffic_router.splitting = Splitting::Shares;
        }
        abilities.traffic_router.counts_served = router.counts_served;
        abilities.traffic_router.header_routes = router.header_routes;
        abilities.traffic_router.mirroring = router.mirroring;
        abilities.traffic_router.mirror_matching = router.mirror_matching;
        abilities.traffic_router.affinity = router.affinity;
        abilities.traffic_router.affinity_to_one = router.affinity_to_one;
        abilities.traffic_router.counts_in_flight = router.counts_in_flight;
        abilities.traffic_router.fencing = fencing(router.fences_epochs);
    }
    if let Some(store) = wire.secret_store {
        abilities.secret_store.rotation = store.rotation;
    }
    if let Some(source) = wire.metrics_source {
        abilities.metrics_source.means = source.means;
        abilities.metrics_source.quantiles = source.quantiles;
        abilities.metrics_source.queries = source.queries;
        abilities.metrics_source.ranges = source.ranges;
    }
    abilities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EffectClass;

    fn manifest() -> Manifest {
        let description =
            Description::new("acme router", Version::new(1, 2, 3), EffectClass::Queryable)
                .able(|can| {
                    can.traffic_router.splitting = Splitting::Shares;
                    can.traffic_router.counts_served = true;
                    can.traffic_router.counts_in_flight = true;
                    can.traffic_router.affinity_to_one = true;
                    can.traffic_router.mirror_matching = true;
                    can.deployer.fencing = Fencing::Epochs;
                    can.deployer.most_replicas = NonZeroU32::new(7);
                    can.deployer.anti_affinity = true;
                    can.deployer.metadata = true;
                    can.secret_store.rotation = true;
                    can.metrics_source.means = true;
                    can.metrics_source.quantiles = true;
                    can.metrics_source.queries = true;
                    can.metrics_source.ranges = true;
                })
                .with_config_schema(serde_json::json!({ "type": "object" }));
        let capabilities = [("traffic_router".to_owned(), description)].into();
        Manifest { name: "acme".into(), version: Version::new(1, 0, 0), capabilities }
    }

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        assert_eq!(Manifest::from_wire(manifest().to_wire()), Ok(manifest()));
    }

    #[test]
    fn a_plugin_that_declares_nothing_is_able_to_do_nothing_more() {
        let mut wire = manifest().to_wire();
        wire.capabilities[0].description.as_mut().unwrap().abilities = None;
        let read = Manifest::from_wire(wire).unwrap();
        assert_eq!(read.capabilities["traffic_router"].abilities, Abilities::default());
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
