//! Small pipelines, sets and histories.

use release_core::model::{Digest, EnvironmentId, GateId, Span, Tier, Timestamp};
use release_policy::approval::Subject;
use release_policy::promotion::{
    Evidence, Found, GateAnswer, History, Pipeline, PromotionEvent, PromotionFact, Sample,
    Sampling, SamplingSpec, Sources, StageSpec, Verdict, may_enter,
};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

pub(crate) const fn secs(span: u64) -> Span {
    Span::secs(span)
}

pub(crate) fn env(name: &str) -> EnvironmentId {
    name.parse().unwrap()
}

pub(crate) fn gate(name: &str) -> GateId {
    name.parse().unwrap()
}

pub(crate) fn set(seed: u8) -> Digest {
    Digest::from_bytes([seed; 32])
}

/// A subject whose set is `set(seed)`.
pub(crate) fn subject(seed: u8) -> Subject {
    let same = Digest::from_bytes([100; 32]);
    Subject { plan: same, artifacts: set(seed), environment: same, policy: same, evidence: same }
}

pub(crate) fn stage(name: &str, sources: Sources) -> StageSpec {
    StageSpec::new(env(name), Tier::Test, sources)
}

pub(crate) fn pipeline(stages: impl IntoIterator<Item = StageSpec>) -> Pipeline {
    Pipeline::new(stages).unwrap()
}

pub(crate) fn entered(second: i64, stage: &str, seed: u8) -> PromotionFact {
    let event = PromotionEvent::Entered { stage: env(stage), set: set(seed) };
    PromotionFact { at: at(second), event }
}

pub(crate) fn verified(second: i64, stage: &str, seed: u8, found: Found) -> PromotionFact {
    let event = PromotionEvent::Verified { stage: env(stage), set: set(seed), found };
    PromotionFact { at: at(second), event }
}

pub(crate) fn history(facts: impl IntoIterator<Item = PromotionFact>) -> History {
    History::fold(facts).unwrap()
}

/// Whether `set(1)` may enter `stage`, which has no other criteria than its sources.
pub(crate) fn enter(
    pipeline: &Pipeline,
    history: &History,
    stage: &str,
    second: i64,
) -> GateAnswer {
    let evidence = Evidence::new(subject(1), at(0));
    may_enter(pipeline, history, &env(stage), &evidence, at(second)).unwrap()
}

pub(crate) fn verdict(pipeline: &Pipeline, history: &History, stage: &str, second: i64) -> Verdict {
    enter(pipeline, history, stage, second).verdict
}

pub(crate) fn pending(second: Option<i64>) -> Verdict {
    Verdict::Pending { recheck_at: second.map(at) }
}

pub(crate) fn sampling(delay: u64, interval: u64, steady: u64, timeout: u64) -> Sampling {
    spec(&["check"], [delay, interval, steady, timeout]).try_into().unwrap()
}

pub(crate) fn spec(checks: &[&str], seconds: [u64; 4]) -> SamplingSpec {
    let [delay, interval, steady, timeout] = seconds.map(secs);
    let checks = checks.iter().map(|name| gate(name)).collect();
    SamplingSpec { checks, delay, interval, steady, timeout }
}

pub(crate) fn sample(check: &str, second: i64, found: Found) -> Sample {
    Sample { check: gate(check), at: at(second), of: subject(1).digest(), found }
}
