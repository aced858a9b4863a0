//! Targets, deployments, traffic, health, metrics and artifacts.

use release_core::model::{
    Affinity, AntiAffinity, ArtifactRef, HeaderMatch, HeaderRoute, HeaderRule, Metadata, Metric,
    Mirror, RequestMatch, Selector, Target, TextMatch, TrafficRules,
};
use release_core::plan::Weight;
use release_core::port::{Bucket, Measurement, Point, Served};

use crate::EffectClass;
use crate::plugin::pb;
use crate::plugin::wire::{Wire, WireError, nested, wire, wire_choice, wire_enum};
use crate::spi::{
    ApplyRequest, ArtifactContent, ArtifactStatus, Attested, CheckHealth, DeploymentPhase,
    DeploymentStatus, Flights, HealthReport, InstanceHealth, MeasureRequest, ObserveDeployment,
    ObserveSignature, ObserveTraffic, PutArtifact, SetWeights, SignArtifact, Signature,
    SignatureStatus, TrafficStatus, Verdict, Verification, VerifyArtifact,
};

wire! {
    Target => Target { environment, region, service, track }
    Weight => Weight { digest, version, percent, track }
    Served => Served by new { digest, requests }

    ApplyRequest => ApplyRequest { target, artifact, version, replicas, apart, metadata }
    Metadata => Metadata { labels, annotations }
    ObserveDeployment => ObserveDeployment { target, digest }
    DeploymentStatus => DeploymentStatus { target, digest, desired, running, phase }

    ObserveTraffic => ObserveTraffic { target }
    SetWeights => SetWeights { target, weights, rules }
    TrafficStatus => TrafficStatus { target, weights, served, in_flight, rules, flights }
    Flights => Flights { digest, track, requests }

    TrafficRules => TrafficRules { headers, mirror, affinity }
    HeaderRoute => HeaderRoute { rule, to }
    HeaderRule => HeaderRule { matches }
    HeaderMatch => HeaderMatch { name, value }
    Mirror => Mirror { to, percent, only }
    RequestMatch => RequestMatch { method, path, headers }
    Affinity => Affinity { cookie, only; max_age as max_age_micros }

    CheckHealth => CheckHealth { target, digest }
    HealthReport => HealthReport { target, digest, instances, observed_at }
    InstanceHealth => InstanceHealth { instance, ready, detail }

    MeasureRequest => MeasureRequest { target, digest, version, metric, since }
    Selector => Selector { series, labels }
    Bucket => Bucket { at_most, count }

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
        Ratio { digest, numerator, denominator }, NoData { reason },
        Histogram { digest, buckets }, Value { digest, value, at },
        Points { digest, points }
    }
    Point => Point, point::Point as point {
        Number { at, value, late }, NotANumber { at }, Conflicting { at }, Gap { after, until },
        Stale { newest }
    }
    Verdict => Verdict, verdict::Verdict as verdict { Verified {}, Unverified { reasons } }
}

wire_enum! {
    EffectClass => EffectClass { Idempotent, Queryable, Opaque }
}

/// By hand: the core may get to know metrics that no message of this version can hold.
impl Wire<pb::Metric> for Metric {
    fn to_wire(&self) -> pb::Metric {
        use pb::metric as wired;
        let metric = match self {
            Self::Ratio { numerator, denominator } => Some(wired::Metric::Ratio(wired::Ratio {
                numerator: numerator.to_wire(),
                denominator: denominator.to_wire(),
            })),
            Self::Mean { sum, count } => Some(wired::Metric::Mean(wired::Mean {
                sum: sum.to_wire(),
                count: count.to_wire(),
            })),
            Self::Quantile { histogram, quantile } => {
                Some(wired::Metric::Quantile(wired::Quantile {
                    histogram: histogram.to_wire(),
                    quantile: quantile.to_wire(),
                }))
            }
            Self::Query { query } => {
                Some(wired::Metric::Query(wired::Query { query: query.to_wire() }))
            }
            Self::Range { query, step, over } => Some(wired::Metric::Range(wired::Range {
                query: query.to_wire(),
                step_micros: step.to_wire(),
                over_micros: over.to_wire(),
            })),
            _ => None, // the plugin refuses it as missing
        };
        pb::Metric { metric }
    }
    fn from_wire(wire: pb::Metric) -> Result<Self, WireError> {
        use pb::metric as wired;
        Ok(match wire.metric.ok_or_else(WireError::missing)? {
            wired::Metric::Ratio(wired::Ratio { numerator, denominator }) => Self::Ratio {
                numerator: part(numerator, "numerator")?,
                denominator: part(denominator, "denominator")?,
            },
            wired::Metric::Mean(wired::Mean { sum, count }) => {
                Self::Mean { sum: part(sum, "sum")?, count: part(count, "count")? }
            }
            wired::Metric::Quantile(wired::Quantile { histogram, quantile }) => Self::Quantile {
                histogram: part(histogram, "histogram")?,
                quantile: part(quantile, "quantile")?,
            },
            wired::Metric::Query(wired::Query { query }) => {
                Self::Query { query: part(query, "query")? }
            }
            wired::Metric::Range(wired::Range { query, step_micros, over_micros }) => Self::Range {
                query: part(query, "query")?,
                step: part(step_micros, "step_micros")?,
                over: part(over_micros, "over_micros")?,
            },
        })
    }
}

/// By hand: the core may get to know ways to stand apart that no message of this version can hold.
impl Wire<pb::AntiAffinity> for AntiAffinity {
    fn to_wire(&self) -> pb::AntiAffinity {
        use pb::anti_affinity::{Kind, Required};
        let kind = match self {
            Self::Required => Some(Kind::Required(Required {})),
            Self::Preferred(weight) => Some(Kind::Preferred(weight.to_wire())),
            _ => None, // the plugin refuses it as missing
        };
        pb::AntiAffinity { kind }
    }
    fn from_wire(wire: pb::AntiAffinity) -> Result<Self, WireError> {
        use pb::anti_affinity::{Kind, Required};
        Ok(match wire.kind.ok_or_else(WireError::missing)? {
            Kind::Required(Required {}) => Self::Required,
            Kind::Preferred(weight) => Self::Preferred(part(weight, "preferred")?),
        })
    }
}
nested!(AntiAffinity => AntiAffinity);

/// By hand: the core may get to know ways to match that no message of this version can hold.
impl Wire<pb::TextMatch> for TextMatch {
    fn to_wire(&self) -> pb::TextMatch {
        use pb::text_match::Text;
        let text = match self {
            Self::Exact(text) => Some(Text::Exact(text.clone())),
            Self::Prefix(text) => Some(Text::Prefix(text.clone())),
            Self::Regex(text) => Some(Text::Regex(text.clone())),
            _ => None, // the plugin refuses it as missing
        };
        pb::TextMatch { text }
    }
    fn from_wire(wire: pb::TextMatch) -> Result<Self, WireError> {
        use pb::text_match::Text;
        Ok(match wire.text.ok_or_else(WireError::missing)? {
            Text::Exact(text) => Self::Exact(text),
            Text::Prefix(text) => Self::Prefix(text),
            Text::Regex(text) => Self::Regex(text),
        })
    }
}
nested!(TextMatch => TextMatch);

fn part<P, T: Wire<P>>(wire: P, field: &'static str) -> Result<T, WireError> {
    T::from_wire(wire).map_err(|error| error.within(field))
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
