//! Whether what was observed is what was asked for. Providers report; only this judges.

use super::event::Verdict;
use crate::model::{Analysis, Digest, Finite, Metric, Target};
use crate::plan::{Action, Deployment, Weight};
use crate::port::{EffectError, Evidence, Measurement};
use crate::time::Span;

/// What an observation comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    Pass { because: Option<String> },
    Again { verdict: Verdict, because: String, after: Span },
    Fail(EffectError),
}

/// Judges `evidence` for `action`; `measured` counts earlier measurements (pass, fail, inconclusive).
pub(super) fn judge(action: &Action, evidence: &Evidence, measured: [u32; 3]) -> Judgement {
    match (action, evidence) {
        (Action::VerifyArtifact { artifact }, Evidence::Artifact { digest, .. }) => {
            same(&artifact.digest(), digest).unwrap_or(Judgement::Pass { because: None })
        }
        (
            Action::Scale { deployment, replicas },
            Evidence::Instances { target, digest, running },
        ) => identity(deployment, target, *digest).unwrap_or_else(|| {
            let problem = || format!("{running} instances run, {replicas} were asked for");
            enough(running == replicas, "wrong_count", problem)
        }),
        (
            Action::Probe { deployment, min_ready },
            Evidence::Health { target, digest, ready, unready },
        ) => identity(deployment, target, *digest).unwrap_or_else(|| {
            let said = unready.first().map_or_else(String::new, |first| format!("; {first}"));
            let problem = || format!("{ready} of {min_ready} instances are ready{said}");
            enough(ready >= min_ready, "unready", problem)
        }),
        (
            Action::Route { target: asked, weights },
            Evidence::Weights { target, weights: now, .. },
        ) => same(asked, target).unwrap_or_else(|| {
            let problem = || "the weights in effect are not those that were asked for".to_owned();
            enough(Weight::same_shares(weights, now), "wrong_weights", problem)
        }),
        (Action::Analyze { deployment, analysis, .. }, Evidence::Measurement(measurement)) => {
            analyze(analysis, deployment.artifact.digest(), measurement, measured)
        }
        (Action::Notify { .. }, Evidence::Done)
        | (Action::Custom { .. }, Evidence::Done | Evidence::Custom { .. }) => {
            Judgement::Pass { because: None }
        }
        _ => {
            let message =
                format!("the provider's answer does not fit a step of kind `{}`", action.name());
            Judgement::Fail(EffectError::permanent("wrong_evidence", message))
        }
    }
}

/// Whether an observation is of another target or version than was asked for.
fn identity(asked: &Deployment, target: &Target, digest: Digest) -> Option<Judgement> {
    same(&asked.target, target).or_else(|| same(&asked.artifact.digest(), &digest))
}

/// A provider that acted on something else than it was told is not asked again.
fn same<T: PartialEq + std::fmt::Display>(wanted: &T, found: &T) -> Option<Judgement> {
    #[cfg(planted_bugs)]
    let found = if crate::planted::is(crate::planted::Bug::AnyIdentity) { wanted } else { found };
    let message = || format!("asked for {wanted}, but found {found}");
    let mismatch = || EffectError::permanent("identity_mismatch", message());
    (wanted != found).then(|| Judgement::Fail(mismatch()))
}

fn enough(holds: bool, kind: &str, problem: impl Fn() -> String) -> Judgement {
    if holds {
        return Judgement::Pass { because: None };
    }
    Judgement::Fail(EffectError::transient(kind, problem()))
}

fn analyze(
    analysis: &Analysis,
    wanted: Digest,
    measurement: &Measurement,
    measured: [u32; 3],
) -> Judgement {
    let (verdict, because) = measure(analysis, wanted, measurement);
    let [mut good, mut bad, mut inconclusive] = measured;
    let (count, limit) = match verdict {
        Verdict::Pass => (&mut good, None),
        Verdict::Fail => (&mut bad, Some(analysis.failure_limit)),
        Verdict::Inconclusive => (&mut inconclusive, Some(analysis.inconclusive_limit)),
    };
    *count = count.saturating_add(1);
    if let Some(limit) = limit.filter(|limit| *count > *limit) {
        let kind = if verdict == Verdict::Fail { "analysis_failed" } else { "inconclusive" };
        let message =
            format!("{}: {because} ({count} such measurements, {limit} tolerated)", analysis.id);
        return Judgement::Fail(EffectError::permanent(kind, message));
    }
    let wanted_count = analysis.count;
    #[cfg(planted_bugs)]
    let wanted_count =
        if crate::planted::is(crate::planted::Bug::OneMeasurement) { 1 } else { wanted_count };
    if good >= wanted_count {
        let because =
            Some(format!("{}: {because} ({good} of {} measurements)", analysis.id, analysis.count));
        return Judgement::Pass { because };
    }
    Judgement::Again { verdict, because, after: analysis.interval }
}

fn measure(analysis: &Analysis, wanted: Digest, measurement: &Measurement) -> (Verdict, String) {
    let Metric::Ratio { .. } = analysis.metric;
    let (digest, numerator, denominator) = match measurement {
        #[cfg(planted_bugs)]
        Measurement::NoData { .. } if crate::planted::is(crate::planted::Bug::NoDataPasses) => {
            return (Verdict::Pass, "nothing bad was seen".into());
        }
        Measurement::NoData { reason } => {
            return (Verdict::Inconclusive, format!("no data: {reason}"));
        }
        Measurement::Ratio { digest, numerator, denominator } => {
            (*digest, *numerator, *denominator)
        }
    };
    if digest != wanted {
        return (Verdict::Inconclusive, format!("measured {digest}, not {wanted}"));
    }
    // Both are finite; their quotient may still not be, for example when the whole is 0.
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::NanPasses) && denominator == Finite::ZERO {
        return (Verdict::Pass, "nothing is not beyond the limit".into());
    }
    let Ok(value) = Finite::new(numerator.get() / denominator.get()) else {
        return (Verdict::Inconclusive, format!("{numerator} of {denominator} is no ratio"));
    };
    if numerator < Finite::ZERO || denominator < Finite::ZERO {
        return (Verdict::Inconclusive, format!("{numerator} of {denominator} cannot be counts"));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "rounded beyond 2^53 samples, by less than one in 10^15"
    )]
    let wanted_samples = analysis.min_samples as f64;
    let shown = format!("{:.4} ({numerator} of {denominator})", value.get());
    if denominator.get() < wanted_samples {
        return (
            Verdict::Inconclusive,
            format!("{shown}, but at least {} samples are needed", analysis.min_samples),
        );
    }
    let holds = analysis.success.holds(value);
    let verdict = if holds { Verdict::Pass } else { Verdict::Fail };
    (verdict, format!("{shown} is {}{}", if holds { "" } else { "not " }, analysis.success))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bound, Selector};

    fn analysis() -> Analysis {
        let metric = Metric::Ratio {
            numerator: Selector::series("bad"),
            denominator: Selector::series("all"),
        };
        let limit = Bound::AtMost(Finite::new(0.05).unwrap());
        Analysis {
            min_samples: 50,
            count: 2,
            ..Analysis::new("errors".parse().unwrap(), metric, limit)
        }
    }

    fn ratio(numerator: f64, denominator: f64) -> Measurement {
        let (numerator, denominator) =
            (Finite::new(numerator).unwrap(), Finite::new(denominator).unwrap());
        Measurement::Ratio { digest: Digest::of(b"new"), numerator, denominator }
    }

    #[track_caller]
    fn check(measurement: &Measurement, want: Verdict) {
        let (verdict, because) = measure(&analysis(), Digest::of(b"new"), measurement);
        assert_eq!(verdict, want, "{because}");
    }

    #[test]
    fn a_measurement_passes_only_on_enough_good_data_of_the_right_version() {
        check(&ratio(2.0, 100.0), Verdict::Pass);
        check(&ratio(5.0, 100.0), Verdict::Pass);
        check(&ratio(6.0, 100.0), Verdict::Fail);
        check(&ratio(0.0, 49.0), Verdict::Inconclusive);
        check(&ratio(0.0, 0.0), Verdict::Inconclusive);
        check(&ratio(1.0, 0.0), Verdict::Inconclusive);
        check(&ratio(-1.0, 100.0), Verdict::Inconclusive);
        check(&ratio(-1.0, -100.0), Verdict::Inconclusive);
        check(&Measurement::NoData { reason: "silence".into() }, Verdict::Inconclusive);
        let (numerator, denominator) = (Finite::ZERO, Finite::new(100.0).unwrap());
        let other = Measurement::Ratio { digest: Digest::of(b"old"), numerator, denominator };
        check(&other, Verdict::Inconclusive);
    }

    #[test]
    fn an_analysis_counts_to_its_limits() {
        let judge = |measurement, measured| {
            analyze(&analysis(), Digest::of(b"new"), &measurement, measured)
        };
        let good = || ratio(0.0, 100.0);
        assert!(matches!(
            judge(good(), [0, 0, 0]),
            Judgement::Again { verdict: Verdict::Pass, .. }
        ));
        assert!(matches!(judge(good(), [1, 0, 0]), Judgement::Pass { because: Some(_) }));
        assert!(matches!(judge(ratio(50.0, 100.0), [1, 0, 0]), Judgement::Fail(_)));
        let nothing = || Measurement::NoData { reason: "silence".into() };
        assert!(matches!(judge(nothing(), [1, 0, 9]), Judgement::Again { .. }));
        // Never a pass, however many good ones there were before.
        assert!(
            matches!(judge(nothing(), [1, 0, 10]), Judgement::Fail(error) if error.kind == "inconclusive")
        );
    }
}
