//! What actions are called.

use std::fmt;

use super::{Action, Weight};
use crate::model::{AntiAffinity, Metadata, TrafficRules};

impl Action {
    /// The action's name as it stands in journals and drawings.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Bake { .. } => "bake",
            Self::VerifyArtifact { .. } => "verify_artifact",
            Self::Scale { .. } => "scale",
            Self::Probe { .. } => "probe",
            Self::Route { .. } => "route",
            Self::Confirm { .. } => "confirm",
            Self::Analyze { .. } => "analyze",
            Self::Flag(flag) => flag.name(),
            Self::Notify { .. } => "notify",
            Self::Custom { .. } => "custom",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sync => f.write_str("wait for all"),
            Self::Bake { duration } => write!(f, "bake {duration}"),
            Self::VerifyArtifact { artifact } => write!(f, "verify {}", artifact.name()),
            Self::Scale { deployment, replicas, apart, metadata } => {
                write!(f, "scale {} to {replicas}", deployment.version)?;
                match apart {
                    None => Ok(()),
                    Some(AntiAffinity::Required) => f.write_str(", apart from others"),
                    Some(AntiAffinity::Preferred(weight)) => {
                        write!(f, ", apart from others if possible ({weight})")
                    }
                }?;
                metadata.iter().try_for_each(|metadata| carried(f, metadata))
            }
            Self::Probe { deployment, min_ready } => {
                write!(f, "{min_ready} × {} ready", deployment.version)
            }
            Self::Route { weights, rules, .. } => {
                distribution(f, "route", weights, rules.as_deref())
            }
            Self::Confirm { weights, rules, .. } => {
                distribution(f, "routed", weights, rules.as_deref())
            }
            Self::Analyze { deployment, analysis, .. } => {
                write!(f, "{} of {}", analysis.id, deployment.version)
            }
            Self::Flag(flag) => flag.fmt(f),
            Self::Notify { channel, .. } => write!(f, "notify {channel}"),
            Self::Custom { capability, .. } => f.write_str(capability),
        }
    }
}

/// The labels, by which people know roles, and how many annotations there are.
fn carried(f: &mut fmt::Formatter<'_>, metadata: &Metadata) -> fmt::Result {
    f.write_str(", carrying")?;
    metadata.labels.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))?;
    match metadata.annotations.len() {
        0 if metadata.labels.is_empty() => f.write_str(" nothing"),
        0 => Ok(()),
        1 => f.write_str(" and an annotation"),
        many => write!(f, " and {many} annotations"),
    }
}

fn distribution(
    f: &mut fmt::Formatter<'_>,
    verb: &str,
    weights: &[Weight],
    rules: Option<&TrafficRules>,
) -> fmt::Result {
    f.write_str(verb)?;
    if weights.is_empty() {
        return f.write_str(" nobody");
    }
    weights.iter().try_for_each(|w| write!(f, " {}%→{}", w.percent, w.label()))?;
    rules.iter().try_for_each(|rules| write!(f, "{rules}"))
}
