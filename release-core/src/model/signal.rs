//! What a run is told from outside that may take its release back: incidents and alerts.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentId, RegionId, ServiceId};

/// Something that was seen outside of a run and may be its doing: an incident, an alert, a health check.
///
/// One that names no place is about everything that the run changes. One is the same as another if all of it is: told twice,
/// it counts once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// What kind of thing was seen.
    pub kind: SignalKind,
    /// Who saw it, for example the name of an incident service.
    pub source: String,
    /// What it is called there, for example an incident's number.
    pub reference: String,
    /// The environment that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// The region of that environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// The service that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
}

impl Signal {
    /// A signal about everything that a run changes.
    pub fn new(kind: SignalKind, source: impl Into<String>, reference: impl Into<String>) -> Self {
        let (source, reference) = (source.into(), reference.into());
        Self { kind, source, reference, environment: None, region: None, service: None }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` of {}", self.kind, self.reference, self.source)?;
        let place = [
            self.environment.as_ref().map(ToString::to_string),
            self.region.as_ref().map(ToString::to_string),
            self.service.as_ref().map(ToString::to_string),
        ];
        let place: Vec<_> = place.into_iter().flatten().collect();
        if place.is_empty() { Ok(()) } else { write!(f, " at {}", place.join("/")) }
    }
}

/// What kind of thing was seen.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignalKind {
    /// Somebody declared an incident.
    Incident,
    /// A rule of a monitoring system fired.
    Alert,
    /// A platform says that something is not healthy.
    Health,
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incident => "incident",
            Self::Alert => "alert",
            Self::Health => "health signal",
        })
    }
}

/// What a release does about signals of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnSignal {
    /// Of which kind.
    pub kind: SignalKind,
    /// Of which source; left out, of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it does.
    #[serde(default)]
    pub then: SignalResponse,
}

impl OnSignal {
    /// Whether a signal is one of these.
    pub fn fits(&self, signal: &Signal) -> bool {
        let from_there = self.source.as_ref().is_none_or(|source| *source == signal.source);
        self.kind == signal.kind && from_there
    }
}

/// What a release does about a signal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SignalResponse {
    /// What the run changed is put back, as far as the criteria's scope reaches from where the signal is about.
    #[default]
    RollBack,
    /// Nothing new starts until somebody resumes the run.
    Hold,
}
