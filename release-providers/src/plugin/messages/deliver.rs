//! Targets, deployments, traffic, health, metrics and artifacts.

use release_core::model::{ArtifactRef, Metric, Selector, Target};
use release_core::plan::Weight;
use release_core::port::{Measurement, Served};

use crate::EffectClass;
use crate::plugin::pb;
use crate::plugin::wire::{Wire, WireError, nested, wire, wire_choice, wire_enum};
use crate::spi::{
    ApplyRequest, ArtifactContent, ArtifactStatus, Attested, CheckHealth, DeploymentPhase,
    DeploymentStatus, HealthReport, InstanceHealth, MeasureRequest, ObserveDeployment,
    ObserveSignature, ObserveTraffic, PutArtifact, SetWeights, SignArtifact, Signature,
    SignatureStatus, TrafficStatus, Verdict, Verification, VerifyArtifact,
};

wire! {
    Target => Target { environment, region, service }
    Weight => Weight { digest, version, percent }
    Served => Served by new { digest, requests }

    ApplyRequest => ApplyRequest { target, artifact, version, replicas }
    ObserveDeployment => ObserveDeployment { target, digest }
    DeploymentStatus => DeploymentStatus { target, digest, desired, running, phase }

    ObserveTraffic => ObserveTraffic { target }
    SetWeights => SetWeights { target, weights }
    TrafficStatus => TrafficStatus { target, weights, served, in_flight }

    CheckHealth => CheckHealth { target, digest }
    HealthReport => HealthReport { target, digest, instances, observed_at }
    InstanceHealth => InstanceHealth { instance, ready, detail }

    MeasureRequest => MeasureRequest { target, digest, version, metric, since }
    Selector => Selector { series, labels }

    PutArtifact => PutArtifact { name, bytes }
    ArtifactContent => ArtifactContent { digest, bytes }
    ArtifactStatus => ArtifactStatus { digest, bytes }

    VerifyArtifact => VerifyArtifact { artifact, predicates }
    Verification => Verification { digest, verdict, attestations }
    Attested => Attested { predicate, by, digest }

    SignArtifact => SignArtifact { artifact, signing_key, predicate; statement as statement_json }
    Signature => Signature { artifact, signing_key, envelope }
    ObserveSignature => ObserveSignature { operation }
    SignatureStatus => SignatureStatus { signature }
}

wire_choice! {
    DeploymentPhase => DeploymentPhase, deployment_phase::Phase as phase {
        Settled {}, Progressing {}, Failed { reason }
    }
    Measurement => Measurement, measurement::Measurement as measurement {
        Ratio { digest, numerator, denominator }, NoData { reason }
    }
    Verdict => Verdict, verdict::Verdict as verdict { Verified {}, Unverified { reasons } }
}

wire_enum! {
    EffectClass => EffectClass { Idempotent, Queryable, Opaque }
}

/// By hand: the core may get to know metrics that no message of this version can hold.
impl Wire<pb::Metric> for Metric {
    fn to_wire(&self) -> pb::Metric {
        let metric = match self {
            Self::Ratio { numerator, denominator } => {
                Some(pb::metric::Metric::Ratio(pb::metric::Ratio {
                    numerator: numerator.to_wire(),
                    denominator: denominator.to_wire(),
                }))
            }
            _ => None, // the plugin refuses it as missing
        };
        pb::Metric { metric }
    }
    fn from_wire(wire: pb::Metric) -> Result<Self, WireError> {
        match wire.metric.ok_or_else(WireError::missing)? {
            pb::metric::Metric::Ratio(pb::metric::Ratio { numerator, denominator }) => {
                Ok(Self::Ratio {
                    numerator: Wire::from_wire(numerator)
                        .map_err(|error: WireError| error.within("numerator"))?,
                    denominator: Wire::from_wire(denominator)
                        .map_err(|error: WireError| error.within("denominator"))?,
                })
            }
        }
    }
}
nested!(Metric => Metric);

/// As a request or an answer; elsewhere it is text.
impl Wire<pb::ArtifactRef> for ArtifactRef {
    fn to_wire(&self) -> pb::ArtifactRef {
        pb::ArtifactRef { artifact: self.to_wire() }
    }
    fn from_wire(wire: pb::ArtifactRef) -> Result<Self, WireError> {
        Self::from_wire(wire.artifact).map_err(|error| error.within("artifact"))
    }
}
nested!(ArtifactRef => ArtifactRef);
