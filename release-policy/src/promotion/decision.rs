//! A gate's answer as a decision of a policy.

use release_core::model::EnvironmentId;
use release_core::port::{Decision, Reason, ReasonKind};

use super::eligible::{SourceState, Standing};
use super::gate::GateAnswer;
use super::verdict::Verdict;

impl GateAnswer {
    /// The answer of a gate of `stage` as a decision of a policy: a pass permits, a failure denies, and what is
    /// pending or cannot be told waits.
    pub fn decision(&self, stage: &EnvironmentId) -> Decision {
        let mut reasons = Vec::new();
        if let Some(eligible) = self.eligibility.as_ref().filter(|found| !found.verdict.is_pass()) {
            reasons.extend(eligible.sources.iter().filter_map(|source| of_source(stage, source)));
        }
        for (id, verdict) in self.unmet() {
            let (text, kind) = told(verdict);
            let text = format!("the criterion `{id}` of `{stage}` {text}");
            let lifted_by = "evidence that meets it, or whoever owns the pipeline";
            let rule = format!("promotion/{stage}/{id}");
            reasons.push(Reason::new(rule, text, lifted_by).kind(kind));
        }
        match &self.verdict {
            Verdict::Pass { .. } => Decision::permit(),
            Verdict::Fail => Decision::deny(reasons),
            Verdict::Pending { recheck_at } => Decision::wait(*recheck_at, reasons),
            Verdict::Inconclusive => Decision::wait(None, reasons),
        }
    }
}

fn told(verdict: &Verdict) -> (String, ReasonKind) {
    match verdict {
        Verdict::Pass { .. } => ("is met".to_owned(), ReasonKind::Rule),
        Verdict::Fail => ("failed".to_owned(), ReasonKind::Rule),
        Verdict::Pending { recheck_at: None } => ("is not met yet".to_owned(), ReasonKind::Missing),
        Verdict::Pending { recheck_at: Some(at) } => {
            (format!("is not met yet, and not before {at}"), ReasonKind::Missing)
        }
        Verdict::Inconclusive => ("cannot be told".to_owned(), ReasonKind::Error),
    }
}

/// Why a set may not come from a source, if it may not.
fn of_source(stage: &EnvironmentId, source: &SourceState) -> Option<Reason> {
    let SourceState { stage: from, verdict, standing, soaked } = source;
    let (text, lifted_by, kind) = match (verdict, standing) {
        (Verdict::Pass { .. }, _) => return None,
        (_, Standing::Revoked) => (
            format!("`{from}` failed it when it was verified last"),
            format!("a good verification in `{from}`"),
            ReasonKind::Rule,
        ),
        (_, Standing::Unknown) => (
            format!("the last verification in `{from}` could not tell"),
            format!("a good verification in `{from}`"),
            ReasonKind::Error,
        ),
        (_, Standing::Unverified) => (
            format!("it is not verified in `{from}`"),
            format!("a good verification in `{from}`"),
            ReasonKind::Missing,
        ),
        (Verdict::Pending { recheck_at: Some(at) }, Standing::Sound) => (
            format!("it soaks in `{from}`, for {soaked} so far"),
            format!("time, at {at}"),
            ReasonKind::Missing,
        ),
        (_, Standing::Sound) => (
            format!(
                "it soaked in `{from}` for {soaked}, which is not enough, and is there no more"
            ),
            format!("more time in `{from}`"),
            ReasonKind::Missing,
        ),
    };
    let lifted_by = format!("{lifted_by}, or an override by whoever may");
    Some(Reason::new(format!("promotion/{stage}/from/{from}"), text, lifted_by).kind(kind))
}
