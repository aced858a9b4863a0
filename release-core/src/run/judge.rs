//! Whether what was observed is what was asked for. Providers report; only this judges.

use super::event::Verdict;
use super::flags;
use super::measured::Measured;
use crate::analysis::{Conclusion, Finding, Judged, Memory, When};
use crate::model::{Analysis, Digest, Judge, Target, TrafficRules, Undecided};
use crate::plan::{Action, Deployment, Weight};
use crate::port::{DRIFT, EffectError, Evidence, MAX_HEALTH_AGE, Measurement, Pair, Retry};
use crate::time::{Span, Timestamp};

/// What an observation comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    Pass {
        because: Option<String>,
        found: Option<Finding>,
    },
    Again {
        verdict: Verdict,
        because: String,
        after: Span,
        found: Option<Finding>,
    },
    /// It failed. What follows is for people to say where it is not `decided` whether the version is bad.
    Fail {
        error: EffectError,
        found: Option<Finding>,
        decided: bool,
    },
}

impl Judgement {
    const PASS: Self = Self::Pass { because: None, found: None };

    pub(super) const fn fail(error: EffectError) -> Self {
        Self::Fail { error, found: None, decided: true }
    }
}

/// Judges `evidence` for `action`; `measured` are earlier measurements, to which this one is added.
pub(super) fn judge(
    action: &Action,
    evidence: &Evidence,
    measured: &mut Measured,
    when: When,
) -> Judgement {
    if let Action::Analyze { analysis, .. } = action {
        return analyze(analysis, action, evidence, measured, when);
    }
    as_asked(action, evidence, when.at)
}

impl Judgement {
    /// Of an analysis that only tells, whatever it found is as good as a pass.
    pub(super) fn unless_dry_run(self, action: &Action) -> Self {
        match (self, action) {
            (Self::Fail { error, found, .. }, Action::Analyze { analysis, .. })
                if analysis.dry_run =>
            {
                let because = format!("dry run, it would have failed: {}", error.message);
                Self::Pass { because: Some(because), found }
            }
            (judgement, _) => judgement,
        }
    }

    /// What is judged once that is over in whose background it was measured: that ends with a good look. After one that is not
    /// good, it is looked again, as often as the analysis tolerates.
    pub(super) fn at_the_end(self, action: &Action, measured: &Measured) -> Self {
        let (Self::Again { verdict, because, found, .. }, Action::Analyze { analysis, .. }) =
            (&self, action)
        else {
            return self;
        };
        if measured.good > 0 && *verdict != Verdict::Pass {
            return self;
        }
        let (id, good, found) = (&analysis.id, measured.good, found.clone());
        if good > 0 {
            let because =
                format!("{id}: {because} ({good} good measurements until the rollout was through)");
            return Self::Pass { because: Some(because), found };
        }
        let message = format!(
            "{id}: not evaluated: no measurement was good until the rollout was through; the last one: {because}"
        );
        let error = EffectError::permanent("not_evaluated", message);
        let decided = decides(analysis, Conclusion::NotEvaluated);
        // Whatever the last look says: what ends without a good one was not evaluated.
        let found = found.map(|last| Finding { conclusion: Conclusion::NotEvaluated, ..last });
        Self::Fail { error, found, decided }
    }
}

/// Adds a measurement that was judged before to those that come later ones are judged with.
pub(super) fn remember(action: &Action, evidence: &Evidence, measured: &mut Measured, when: When) {
    if let Some(memory) = memory(action, measured) {
        memory.take(action, when, evidence);
    }
}

/// What earlier looks left behind, where the judge goes by all of them.
fn memory<'a>(action: &Action, measured: &'a mut Measured) -> Option<&'a mut Memory> {
    if measured.memory.is_none() {
        measured.memory = Memory::of(action).map(Box::new);
    }
    measured.memory.as_deref_mut()
}

/// Whether what was measured is as much as the judge needs: one version, both, or several metrics of one or both.
const fn fits(analysis: &Analysis, evidence: &Evidence) -> bool {
    match (&analysis.judge, evidence) {
        (Judge::Scorecard(card), Evidence::Comparisons { of }) => of.len() == card.metrics.len(),
        (Judge::Objectives(rule), Evidence::Measurements { of }) => of.len() == rule.of.len(),
        (Judge::Scorecard(_) | Judge::Objectives(_), _) => false,
        (_, Evidence::Comparison { .. }) => analysis.compares(),
        (_, Evidence::Measurement(_)) => !analysis.compares(),
        _ => false,
    }
}

/// What an analysis goes by when its source could not be asked just now: no data, of all that it wanted to see. It is asked
/// again at its interval, as often as it tolerates that.
pub(super) fn unmeasured(action: &Action, error: &EffectError) -> Option<Evidence> {
    let Action::Analyze { analysis, .. } = action else { return None };
    // In dry run, nothing that the source says holds anything up.
    if error.retry != Retry::Backoff && !analysis.dry_run {
        return None;
    }
    let none = || Measurement::NoData { reason: format!("the source could not be asked: {error}") };
    Some(match &analysis.judge {
        Judge::Scorecard(card) => {
            let pair = |_| Pair { canary: none(), baseline: none() };
            Evidence::Comparisons { of: card.metrics.iter().map(pair).collect() }
        }
        Judge::Objectives(rule) => {
            Evidence::Measurements { of: rule.of.iter().map(|_| none()).collect() }
        }
        _ if analysis.compares() => {
            Evidence::Comparison { canary: Box::new(none()), baseline: Box::new(none()) }
        }
        _ => Evidence::Measurement(none()),
    })
}

/// Whether what was observed is just what was asked for.
fn as_asked(action: &Action, evidence: &Evidence, now: Timestamp) -> Judgement {
    match (action, evidence) {
        (Action::VerifyArtifact { artifact }, Evidence::Artifact { digest, .. }) => {
            same(&artifact.digest(), digest).unwrap_or(Judgement::PASS)
        }
        (
            Action::Scale { deployment, replicas, .. },
            Evidence::Instances { target, digest, running },
        ) => identity(deployment, target, *digest).unwrap_or_else(|| {
            let problem = || format!("{running} instances run, {replicas} were asked for");
            enough(running == replicas, "wrong_count", problem)
        }),
        (
            Action::Probe { deployment, min_ready },
            Evidence::Health { target, digest, ready, unready, observed_at },
        ) => identity(deployment, target, *digest).unwrap_or_else(|| {
            if let Some(stale) = stale(*observed_at, now) {
                return enough(false, "stale_health", || stale.clone());
            }
            let said = unready.first().map_or_else(String::new, |first| format!("; {first}"));
            let problem = || format!("{ready} of {min_ready} instances are ready{said}");
            enough(ready >= min_ready, "unready", problem)
        }),
        (
            Action::Route { target: asked, weights, rules },
            Evidence::Weights { target, weights: now, rules: kept, .. },
        ) => same(asked, target).unwrap_or_else(|| {
            if !Weight::same_shares(weights, now) {
                let problem =
                    || "the weights in effect are not those that were asked for".to_owned();
                return enough(false, "wrong_weights", problem);
            }
            let problem = || "the rules in effect are not those that were asked for".to_owned();
            enough(rules == kept, "wrong_rules", problem)
        }),
        (
            Action::Confirm { target: asked, weights, rules },
            Evidence::Weights { target, weights: now, rules: kept, .. },
        ) => same(asked, target).unwrap_or_else(|| {
            if Weight::same_shares(weights, now) && rules == kept {
                return Judgement::PASS;
            }
            let set = (weights.as_slice(), rules.as_deref());
            drifted(set, (now.as_slice(), kept.as_deref()))
        }),
        (Action::Flag(asked), Evidence::Flag(found)) => flags::as_asked(asked, found),
        (Action::Notify { .. }, Evidence::Done)
        | (Action::Custom { .. }, Evidence::Done | Evidence::Custom { .. }) => Judgement::PASS,
        _ => unfit(action),
    }
}

/// Why health that was observed at `at` says nothing of `now`, as any does of which nobody knows how old it is. Clocks of two
/// machines differ, so that an instant to come is not one to come for long.
fn stale(at: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let Some(at) = at else {
        return Some(
            "the provider does not say when it observed health, so that it may be of any age; give `observed_at`".into(),
        );
    };
    let (age, ahead) = (now.since(at), at.since(now));
    if age > MAX_HEALTH_AGE {
        return Some(format!(
            "health is {age} old, and older than {MAX_HEALTH_AGE} is no evidence"
        ));
    }
    (ahead > MAX_HEALTH_AGE).then(|| format!("health is dated {ahead} ahead; set the clocks right"))
}

fn unfit(action: &Action) -> Judgement {
    let message = format!("the provider's answer does not fit a step of kind `{}`", action.name());
    Judgement::fail(EffectError::permanent("wrong_evidence", message))
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
    (wanted != found).then(|| Judgement::fail(mismatch()))
}

/// What was set was seen to be in effect, and is not any more: to look again would not bring it back.
fn drifted(set: Distribution<'_>, seen: Distribution<'_>) -> Judgement {
    let message = format!(
        "the traffic was set to {}, and is now {}; somebody else changed it, or the router forgot it: put it right and retry, or go back",
        Weight::in_words(set.0, set.1),
        Weight::in_words(seen.0, seen.1),
    );
    Judgement::fail(EffectError::permanent(DRIFT, message))
}

/// Shares, and what holds beside them.
type Distribution<'a> = (&'a [Weight], Option<&'a TrafficRules>);

fn enough(holds: bool, kind: &str, problem: impl Fn() -> String) -> Judgement {
    if holds {
        return Judgement::PASS;
    }
    Judgement::fail(EffectError::transient(kind, problem()))
}

fn analyze(
    analysis: &Analysis,
    action: &Action,
    evidence: &Evidence,
    measured: &mut Measured,
    when: When,
) -> Judgement {
    let Action::Analyze { beside, .. } = action else { return unfit(action) };
    if !fits(analysis, evidence) || beside.is_some() != analysis.compares() {
        return unfit(action);
    }
    let looked = Memory::look(memory(action, measured), action, when, evidence);
    let Some(Judged { finding, verdict, because, last }) = looked else { return unfit(action) };
    let no_data = finding.is_without_data();
    let count = measured.count(analysis, (verdict, no_data), action.goes_on());
    let limit = match analysis.consecutive_no_data {
        Some(limit) if no_data => Some(limit),
        _ => most(analysis, action, verdict),
    };
    let limit =
        if last && verdict != Verdict::Pass { Some(count.saturating_sub(1)) } else { limit };
    // A measurement beside its limit says it all.
    let told = match analysis.judge {
        Judge::Threshold(_) => String::new(),
        _ => format!("{}; ", finding.conclusion.name()),
    };
    if let Some(limit) = limit.filter(|limit| count > *limit) {
        let kind = match verdict {
            Verdict::Fail => "analysis_failed",
            Verdict::Undetermined => "undetermined",
            Verdict::Pass | Verdict::Inconclusive => "inconclusive",
        };
        let message = format!(
            "{}: {told}{because} ({count} such measurements, {limit} tolerated)",
            analysis.id
        );
        // To go back would help nobody, or is founded on nothing.
        let for_people =
            matches!(finding.conclusion, Conclusion::BaselineUnhealthy | Conclusion::ShareMismatch);
        let decided =
            verdict == Verdict::Fail || (decides(analysis, finding.conclusion) && !for_people);
        let error = EffectError::permanent(kind, message);
        return Judgement::Fail { error, found: Some(finding), decided };
    }
    let wanted = wanted(analysis, action);
    #[cfg(planted_bugs)]
    let wanted = if crate::planted::is(crate::planted::Bug::OneMeasurement) { 1 } else { wanted };
    let rows = measured.rows.unwrap_or_default();
    if let Some(row) = analysis.consecutive_good {
        let told = format!("{}: {told}{because} ({} in a row of {row})", analysis.id, rows.good);
        if rows.good >= row && !action.goes_on() {
            return Judgement::Pass { because: Some(told), found: Some(finding) };
        }
        if rows.all >= analysis.count && !action.goes_on() {
            let error = EffectError::permanent("undetermined", told);
            let decided = decides(analysis, finding.conclusion);
            return Judgement::Fail { error, found: Some(finding), decided };
        }
    } else if measured.good >= wanted {
        let because = format!("{}: {told}{because}", analysis.id);
        let because = if analysis.judge.sums_up() {
            because
        } else {
            format!("{because} ({} of {} measurements)", measured.good, analysis.count)
        };
        return Judgement::Pass { because: Some(because), found: Some(finding) };
    }
    let (because, after) = (told + &because, analysis.interval);
    Judgement::Again { verdict, because, after, found: Some(finding) }
}

/// Whether what ends undecided, with this conclusion, is as good as bad.
const fn decides(analysis: &Analysis, conclusion: Conclusion) -> bool {
    match analysis.undecided {
        Undecided::Unsaid | Undecided::Fail => true,
        Undecided::Hold => false,
        Undecided::HoldUndetermined => !matches!(conclusion, Conclusion::Undetermined),
    }
}

/// How many good measurements it takes to pass.
const fn wanted(analysis: &Analysis, action: &Action) -> u32 {
    if action.goes_on() {
        return u32::MAX;
    }
    if analysis.judge.sums_up() { 1 } else { analysis.count }
}

/// How many measurements with a verdict are tolerated. Where versions are compared, the last of the planned looks has to
/// tell. Where each is held against a limit, only looks before the next sample do not tell, and there are no more of these than
/// the newest one is fresh for.
fn most(analysis: &Analysis, action: &Action, verdict: Verdict) -> Option<u32> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Fail => Some(analysis.failure_limit),
        Verdict::Inconclusive => Some(analysis.inconclusive_limit),
        Verdict::Undetermined
            if matches!(analysis.judge, Judge::Threshold(_) | Judge::Objectives(_)) =>
        {
            None
        }
        Verdict::Undetermined if action.goes_on() => Some(analysis.inconclusive_limit),
        Verdict::Undetermined => Some(analysis.count.saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::model::{Bound, Finite, Metric, Selector};

    const NOW: When = When { at: Timestamp::from_micros(0), since: None };

    fn deployment(content: &[u8]) -> Deployment {
        let [environment, region, service] = ["prod", "eu", "api"];
        let target = Target::new(
            environment.parse().unwrap(),
            region.parse().unwrap(),
            service.parse().unwrap(),
        );
        let artifact = crate::model::ArtifactRef::new("api".parse().unwrap(), Digest::of(content));
        Deployment { target, artifact, version: semver::Version::new(1, 0, 0) }
    }

    fn action() -> Action {
        let metric = Metric::Ratio {
            numerator: Selector::series("bad"),
            denominator: Selector::series("all"),
        };
        let limit = Bound::AtMost(Finite::new(0.05).unwrap());
        let analysis = Analysis {
            min_samples: 50,
            count: 2,
            ..Analysis::new("errors".parse().unwrap(), metric, limit)
        };
        let (deployment, analysis) = (Arc::new(deployment(b"new")), Arc::new(analysis));
        Action::Analyze { deployment, analysis, from: None, beside: None, until: None }
    }

    fn ratio(numerator: f64, denominator: f64) -> Evidence {
        let (numerator, denominator) =
            (Finite::new(numerator).unwrap(), Finite::new(denominator).unwrap());
        let digest = Digest::of(b"new");
        Evidence::Measurement(Measurement::Ratio { digest, numerator, denominator })
    }

    #[test]
    fn an_analysis_counts_to_its_limits() {
        let judged = |evidence: Evidence, [good, bad, inconclusive]: [u32; 3]| {
            let mut measured = Measured { good, bad, inconclusive, ..Measured::NONE };
            judge(&action(), &evidence, &mut measured, NOW)
        };
        let good = || ratio(0.0, 100.0);
        assert!(matches!(
            judged(good(), [0, 0, 0]),
            Judgement::Again { verdict: Verdict::Pass, .. }
        ));
        assert!(matches!(judged(good(), [1, 0, 0]), Judgement::Pass { because: Some(_), .. }));
        assert!(matches!(judged(ratio(50.0, 100.0), [1, 0, 0]), Judgement::Fail { .. }));
        let nothing = || Evidence::Measurement(Measurement::NoData { reason: "silence".into() });
        assert!(matches!(judged(nothing(), [1, 0, 9]), Judgement::Again { .. }));
        // Never a pass, however many good ones there were before.
        assert!(
            matches!(judged(nothing(), [1, 0, 10]), Judgement::Fail { error, .. } if error.kind == "inconclusive")
        );
    }

    #[test]
    fn what_was_counted_before_is_no_further_measurement() {
        let mut measured = Measured::NONE;
        let mut at = |evidence: Evidence| {
            let judged = judge(&action(), &evidence, &mut measured, NOW);
            remember(&action(), &evidence, &mut measured, NOW);
            judged
        };
        assert!(matches!(at(ratio(0.0, 100.0)), Judgement::Again { verdict: Verdict::Pass, .. }));
        // A canary that gets no more requests is no better for being asked again.
        for same in [ratio(0.0, 100.0), ratio(0.0, 90.0), ratio(0.0, 90.0)] {
            let judged = at(same);
            assert!(
                matches!(judged, Judgement::Again { verdict: Verdict::Inconclusive, .. }),
                "{judged:?}"
            );
        }
        assert!(matches!(at(ratio(0.0, 91.0)), Judgement::Pass { .. }));
    }

    /// A plan from before says nothing, and fails as it always did.
    #[test]
    fn what_is_undecided_is_as_good_as_bad_unless_the_analysis_says_otherwise() {
        let Action::Analyze { analysis, .. } = action() else { panic!() };
        for (undecided, open, blind) in [
            (Undecided::Unsaid, true, true),
            (Undecided::Fail, true, true),
            (Undecided::Hold, false, false),
            (Undecided::HoldUndetermined, false, true),
        ] {
            let analysis = Analysis { undecided, ..Analysis::clone(&analysis) };
            assert_eq!(decides(&analysis, Conclusion::Undetermined), open, "{undecided:?}");
            for none in [Conclusion::NoData, Conclusion::NotEvaluated] {
                assert_eq!(decides(&analysis, none), blind, "{undecided:?}");
            }
        }
    }

    #[test]
    fn what_was_not_asked_for_is_no_answer() {
        let compared = Evidence::Comparison {
            canary: Box::new(Measurement::NoData { reason: "silence".into() }),
            baseline: Box::new(Measurement::NoData { reason: "silence".into() }),
        };
        for (action, evidence) in [(action(), compared), (action(), Evidence::Done)] {
            let judged = judge(&action, &evidence, &mut Measured::NONE.clone(), NOW);
            assert!(
                matches!(judged, Judgement::Fail { ref error, .. } if error.kind == "wrong_evidence"),
                "{judged:?}"
            );
        }
    }
}
