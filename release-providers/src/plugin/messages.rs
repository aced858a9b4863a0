//! Which type is which message. One line a struct where the fields are the same.

use release_core::model::{Principal, PrincipalKind, Span, Target};
use release_core::plan::Weight;
use release_core::port::{EffectCertainty, Served};

use super::pb;
use super::wire::{Wire, WireError, nested, wire, wire_enum};
use crate::spi::{
    ApplyRequest, CheckHealth, DeploymentPhase, DeploymentStatus, HealthReport, InstanceHealth,
    Notification, ObserveDeployment, ObserveTraffic, SetWeights, Severity, TrafficStatus,
};
use crate::{EffectClass, ErrorKind, ErrorReport, ProviderError, RetryAdvice};

wire! {
    Target => Target { environment, region, service }
    Weight => Weight { digest, version, percent }
    Served => Served { digest, requests }
    Principal => Principal { id, kind, roles }

    ApplyRequest => ApplyRequest { target, artifact, version, replicas }
    ObserveDeployment => ObserveDeployment { target, digest }
    DeploymentStatus => DeploymentStatus { target, digest, desired, running, phase }

    ObserveTraffic => ObserveTraffic { target }
    SetWeights => SetWeights { target, weights }
    TrafficStatus => TrafficStatus { target, weights, served, in_flight }

    CheckHealth => CheckHealth { target, digest }
    HealthReport => HealthReport { target, digest, instances, observed_at }
    InstanceHealth => InstanceHealth { instance, ready, detail }

    Notification => Notification { channel, severity, message }
}

wire_enum! {
    PrincipalKind => PrincipalKind { Human, Service }
    Severity => Severity { Info, Warning }
    EffectClass => EffectClass { Idempotent, Queryable, Opaque }
}

impl Wire<pb::Done> for () {
    fn to_wire(&self) -> pb::Done {
        pb::Done {}
    }
    fn from_wire(_: pb::Done) -> Result<Self, WireError> {
        Ok(())
    }
}

impl Wire<pb::DeploymentPhase> for DeploymentPhase {
    fn to_wire(&self) -> pb::DeploymentPhase {
        use pb::deployment_phase::{Failed, Phase, Progressing, Settled};
        let phase = match self {
            Self::Settled => Phase::Settled(Settled {}),
            Self::Progressing => Phase::Progressing(Progressing {}),
            Self::Failed { reason } => Phase::Failed(Failed { reason: reason.clone() }),
        };
        pb::DeploymentPhase { phase: Some(phase) }
    }
    fn from_wire(wire: pb::DeploymentPhase) -> Result<Self, WireError> {
        use pb::deployment_phase::Phase;
        match wire.phase.ok_or_else(WireError::missing)? {
            Phase::Settled(_) => Ok(Self::Settled),
            Phase::Progressing(_) => Ok(Self::Progressing),
            Phase::Failed(failed) => Ok(Self::Failed { reason: failed.reason }),
        }
    }
}
nested!(DeploymentPhase => DeploymentPhase);

/// The kinds of errors, both ways.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        fn kind_to_wire(kind: ErrorKind) -> pb::ErrorKind {
            match kind {
                $(ErrorKind::$kind => pb::ErrorKind::$kind,)*
            }
        }
        /// A kind that nobody here knows is a fault of the provider.
        fn kind_from_wire(kind: i32) -> ErrorKind {
            match pb::ErrorKind::try_from(kind) {
                $(Ok(pb::ErrorKind::$kind) => ErrorKind::$kind,)*
                Ok(pb::ErrorKind::Unspecified) | Err(_) => ErrorKind::Internal,
            }
        }
    };
}

kinds!(
    Invalid,
    NotFound,
    Conflict,
    Fenced,
    Corrupt,
    Denied,
    RateLimited,
    Unavailable,
    NoSpace,
    Timeout,
    Cancelled,
    Unsupported,
    Failed,
    Internal,
);

/// An error of a provider as it goes to the host: the chain of its causes in one line.
pub(super) fn error_to_wire(error: &ProviderError) -> pb::Error {
    let (retry, after) = match error.retry() {
        RetryAdvice::Never => (pb::Retry::Never, None),
        RetryAdvice::Backoff => (pb::Retry::Backoff, None),
        RetryAdvice::After(pause) => (pb::Retry::After, Some(pause)),
        RetryAdvice::Exhausted => (pb::Retry::Exhausted, None),
    };
    let effect = match error.effect() {
        EffectCertainty::NotApplied => pb::Effect::NotApplied,
        EffectCertainty::Unknown => pb::Effect::Unknown,
        EffectCertainty::Applied => pb::Effect::Applied,
    };
    let ErrorReport { operation, message, context, .. } = error.report();
    pb::Error {
        kind: kind_to_wire(error.kind()).into(),
        retry: retry.into(),
        retry_after_micros: after.map(|pause| u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)),
        effect: effect.into(),
        operation,
        message,
        facts: context.into_iter().map(|(name, value)| pb::Fact { name, value }).collect(),
    }
}

/// An error of a plugin. What it does not say, nobody knows: `clean` makes its texts fit to be read.
pub(super) fn error_from_wire(
    wire: &pb::Error,
    operation: &'static str,
    clean: impl Fn(&str) -> String,
) -> ProviderError {
    let effect = match wire.effect() {
        pb::Effect::NotApplied => EffectCertainty::NotApplied,
        pb::Effect::Applied => EffectCertainty::Applied,
        pb::Effect::Unknown | pb::Effect::Unspecified => EffectCertainty::Unknown,
    };
    let retry = match wire.retry() {
        pb::Retry::Backoff => RetryAdvice::Backoff,
        pb::Retry::After => {
            let pause = std::time::Duration::from_micros(wire.retry_after_micros());
            RetryAdvice::After(pause.min(LONGEST_PAUSE.as_duration()))
        }
        pb::Retry::Exhausted => RetryAdvice::Exhausted,
        pb::Retry::Never | pb::Retry::Unspecified => RetryAdvice::Never,
    };
    let error = ProviderError::new(kind_from_wire(wire.kind), operation, clean(&wire.message))
        .with_effect(effect)
        .with_retry(retry);
    let facts = wire.facts.iter().take(MOST_FACTS);
    facts.fold(error, |error, fact| error.with_context(clean(&fact.name), clean(&fact.value)))
}

/// No plugin holds a caller back for longer than this by its advice.
const LONGEST_PAUSE: Span = Span::secs(3_600);
/// So many facts of one error are kept.
const MOST_FACTS: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn errors_keep_what_callers_go_by() {
        let effects =
            [EffectCertainty::NotApplied, EffectCertainty::Unknown, EffectCertainty::Applied];
        let advice = [
            RetryAdvice::Never,
            RetryAdvice::Backoff,
            RetryAdvice::After(Duration::from_millis(1_500)),
            RetryAdvice::Exhausted,
        ];
        for kind in 1..=14 {
            let kind = kind_from_wire(kind);
            for effect in effects {
                for retry in advice {
                    let cause = std::io::Error::other("disk on fire");
                    let error = ProviderError::new(kind, "deploy.apply", "no luck")
                        .with_effect(effect)
                        .with_retry(retry)
                        .with_context("target", "prod")
                        .with_source(cause);
                    let back = error_from_wire(&error_to_wire(&error), "x.y", str::to_owned);
                    assert_eq!((back.kind(), back.effect(), back.retry()), (kind, effect, retry));
                    assert_eq!(back.to_string(), "x.y: no luck: disk on fire, target: prod");
                }
            }
        }
    }

    #[test]
    fn f39_what_an_error_does_not_say_is_unknown() {
        let back =
            error_from_wire(&pb::Error { kind: 99, ..Default::default() }, "x.y", str::to_owned);
        assert_eq!(back.kind(), ErrorKind::Internal);
        assert_eq!(back.effect(), EffectCertainty::Unknown);
        assert_eq!(back.retry(), RetryAdvice::Never);
        let wire = pb::Error {
            retry: pb::Retry::After.into(),
            retry_after_micros: Some(u64::MAX),
            ..Default::default()
        };
        let back = error_from_wire(&wire, "x.y", str::to_owned);
        assert_eq!(back.retry(), RetryAdvice::After(Duration::from_hours(1)));
    }

    /// Bytes by a fixed rule (xorshift), so that every run reads the same ones.
    struct Noise(u64);

    impl Noise {
        fn below(&mut self, most: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(most).unwrap()).unwrap()
        }
    }

    /// Reads bytes as a plugin may have sent them; what can be read means the same when it is sent again.
    fn read<T, P>(bytes: &[u8]) -> bool
    where
        T: Wire<P> + PartialEq + std::fmt::Debug,
        P: prost::Message + Default,
    {
        let Ok(message) = P::decode(bytes) else { return false };
        let Ok(value) = T::from_wire(message) else { return false };
        assert_eq!(T::from_wire(value.to_wire()).as_ref(), Ok(&value));
        true
    }

    #[test]
    fn f39_any_bytes_are_read_or_refused() {
        use prost::Message as _;
        use release_core::model::Digest;
        use release_core::time::Timestamp;

        let target =
            Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), "api".parse().unwrap());
        let digest = Digest::of(b"content");
        let phase = DeploymentPhase::Failed { reason: "exit status 1".to_owned() };
        let status = DeploymentStatus::new(target.clone(), digest, Some(3), 2, phase);
        let weight = Weight::new(digest, semver::Version::new(1, 2, 3), 40);
        let served = vec![Served { digest, requests: u64::MAX }];
        let traffic = TrafficStatus::new(target.clone(), vec![weight], served, 9);
        let instance =
            InstanceHealth { instance: "a".to_owned(), ready: true, detail: "ok".to_owned() };
        let health = HealthReport::new(target, digest, vec![instance], Timestamp::from_micros(-7));
        let messages: [Vec<u8>; 3] = [
            Wire::<pb::DeploymentStatus>::to_wire(&status).encode_to_vec(),
            Wire::<pb::TrafficStatus>::to_wire(&traffic).encode_to_vec(),
            Wire::<pb::HealthReport>::to_wire(&health).encode_to_vec(),
        ];
        assert!(read::<DeploymentStatus, pb::DeploymentStatus>(&messages[0]));
        assert!(read::<TrafficStatus, pb::TrafficStatus>(&messages[1]));
        assert!(read::<HealthReport, pb::HealthReport>(&messages[2]));

        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let (mut readable, mut refused) = (0, 0);
        for round in 0..30_000 {
            let mut bytes = messages[round % 3].clone();
            for _ in 0..=noise.below(3) {
                let at = noise.below(bytes.len());
                match noise.below(3) {
                    0 => bytes[at] = u8::try_from(noise.below(256)).unwrap(),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, u8::try_from(noise.below(256)).unwrap()),
                }
            }
            for is_read in [
                read::<DeploymentStatus, pb::DeploymentStatus>(&bytes),
                read::<TrafficStatus, pb::TrafficStatus>(&bytes),
                read::<HealthReport, pb::HealthReport>(&bytes),
            ] {
                if is_read { readable += 1 } else { refused += 1 }
            }
        }
        assert!(readable > 100 && refused > 100, "{readable} {refused}");
    }

    #[test]
    fn f39_fields_that_lie_are_named() {
        let wire = pb::DeploymentStatus {
            target: Some(pb::Target { environment: "../etc".into(), ..Default::default() }),
            ..Default::default()
        };
        let error = DeploymentStatus::from_wire(wire).unwrap_err();
        assert!(error.to_string().starts_with("field `target.environment`: "), "{error}");
        let error = ApplyRequest::from_wire(pb::ApplyRequest::default()).unwrap_err();
        assert_eq!(error.to_string(), "field `target`: it is missing");
        let error = Weight::from_wire(pb::Weight {
            digest: release_core::model::Digest::of(b"x").to_string(),
            version: "1.0.0".into(),
            percent: 256,
        });
        assert_eq!(error.unwrap_err().to_string(), "field `percent`: 256 is more than 255");
    }
}
