//! What the looks of an analysis leave behind for the next, whichever judge looks.

use super::burn::{BurnCase, Burned};
use super::cusum::{CusumCase, Summed};
use super::finding::{Conclusion, Finding};
use super::objectives::{Scores, Scoring};
use super::scorecard::{Card, Points};
use super::sequential;
use super::stream::{Look, Stream};
use super::threshold::{self, Sampled};
use crate::model::{Analysis, Digest, Judge};
use crate::plan::{Action, Beside, Deployment};
use crate::port::{Evidence, Measurement};
use crate::run::Verdict;
use crate::time::Timestamp;

/// What the looks of one analysis have seen so far: what its judge goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Memory {
    /// Of a comparison of versions: constant memory.
    Stream(Stream),
    /// Of burn rates: what was counted at each look of the longest window.
    Burned(Burned),
    /// Of a cumulative sum: constant memory.
    Summed(Summed),
    /// Of a scorecard: all points.
    Points(Points),
    /// Of objectives: how far each was counted, or of which moment its newest number was.
    Scores(Scores),
    /// Of a threshold: how far it was counted, or of which moment the newest number was.
    Sampled(Sampled),
}

/// What a look comes to, with the sentence for people.
pub(crate) struct Judged {
    pub(crate) finding: Finding,
    /// As what it counts.
    pub(crate) verdict: Verdict,
    pub(crate) because: String,
    /// Whether no further look is planned, so that what does not pass has failed.
    pub(crate) last: bool,
}

impl Judged {
    /// What counts as its conclusion says.
    pub(super) fn new(finding: Finding, because: String, last: bool) -> Self {
        let verdict = match finding.conclusion {
            Conclusion::Healthy => Verdict::Pass,
            Conclusion::Regressed => Verdict::Fail,
            Conclusion::Undetermined => Verdict::Undetermined,
            Conclusion::NoData
            | Conclusion::NotEvaluated
            | Conclusion::BaselineUnhealthy
            | Conclusion::ShareMismatch => Verdict::Inconclusive,
        };
        Self { finding, verdict, because, last }
    }
}

/// When a look is taken, and since when what it sees counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    pub(crate) at: Timestamp,
    /// The beginning of the window, where it is known.
    pub(crate) since: Option<Timestamp>,
}

/// Whom one look of any judge looks at, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) canary: &'a Deployment,
    pub(super) beside: Option<&'a Beside>,
    pub(super) at: Timestamp,
    /// The beginning of the window, where it is known.
    pub(super) since: Option<Timestamp>,
    /// Whether it goes on as long as others do, in whose background it is measured.
    pub(super) goes_on: bool,
}

impl<'a> Case<'a> {
    fn of(action: &'a Action, when: When) -> Option<Self> {
        let Action::Analyze { deployment: canary, analysis, beside, until, .. } = action else {
            return None;
        };
        let (beside, goes_on, When { at, since }) = (beside.as_deref(), until.is_some(), when);
        Some(Self { analysis, canary, beside, at, since, goes_on })
    }

    /// Which content is judged.
    pub(super) fn wanted(&self) -> Digest {
        self.canary.artifact.digest()
    }

    /// The measurements of the new version and, where it is asked for, of the old one.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn one<'e>(
        &self,
        evidence: &'e Evidence,
    ) -> Result<(&'e Measurement, Option<&'e Measurement>), String> {
        match (evidence, self.beside) {
            (Evidence::Measurement(one), None) => Ok((one, None)),
            (Evidence::Comparison { canary, baseline }, Some(_)) => Ok((canary, Some(baseline))),
            (_, None) => Err("two versions were measured, and one was asked for".into()),
            (_, Some(_)) => Err("only one version was measured; both are needed".into()),
        }
    }
}

impl Memory {
    /// An empty one for what `action` judges; `None` for an action whose judge needs none.
    pub(crate) fn of(action: &Action) -> Option<Self> {
        let Action::Analyze { analysis, .. } = action else { return None };
        match &analysis.judge {
            Judge::Threshold(_) => Sampled::of(analysis).map(Self::Sampled),
            Judge::Sequential(_) => {
                Look::of(action, Timestamp::default()).map(|_| Self::Stream(Stream::default()))
            }
            Judge::BurnRate(_) => Some(Self::Burned(Burned::default())),
            Judge::Cusum(_) => Some(Self::Summed(Summed::default())),
            Judge::Scorecard(_) => Some(Self::Points(Points::default())),
            Judge::Objectives(_) => Some(Self::Scores(Scores::default())),
        }
    }

    /// Takes a look in, and says what all looks come to; `None` if they are of another judge. A limit goes without memory, too.
    pub(crate) fn look(
        memory: Option<&mut Self>,
        action: &Action,
        when: When,
        evidence: &Evidence,
    ) -> Option<Judged> {
        let (case, at) = (Case::of(action, when)?, when.at);
        if let Judge::Threshold(limits) = &case.analysis.judge {
            let (one, None) = case.one(evidence).ok()? else { return None };
            let sampled = match memory {
                Some(Self::Sampled(sampled)) => Some(sampled),
                _ => None,
            };
            let wanted = case.wanted();
            return Some(threshold::measure(case.analysis, limits, wanted, (one, sampled), at));
        }
        match (memory?, &case.analysis.judge) {
            (Self::Stream(stream), Judge::Sequential(_)) => {
                Some(sequential::judge(stream, &Look::of(action, at)?, evidence))
            }
            (Self::Burned(burned), Judge::BurnRate(rule)) => {
                Some(burned.judge(&BurnCase { case, rule }, evidence))
            }
            (Self::Summed(summed), Judge::Cusum(rule)) => {
                Some(summed.judge(&CusumCase { case, rule }, evidence))
            }
            (Self::Points(points), Judge::Scorecard(card)) => {
                Some(points.judge(&Card { case, card }, evidence))
            }
            (Self::Scores(scores), Judge::Objectives(rule)) => {
                Some(scores.judge(&Scoring { case, rule }, evidence))
            }
            _ => None,
        }
    }

    /// Takes a look in that was judged before.
    pub(crate) fn take(&mut self, action: &Action, when: When, evidence: &Evidence) {
        let Some(case) = Case::of(action, when) else { return };
        match (self, &case.analysis.judge) {
            (Self::Stream(stream), Judge::Sequential(_)) => {
                if let Some(look) = Look::of(action, when.at) {
                    // What a look says was journaled with it; here only what it leaves behind counts.
                    let _ = stream.take(&look, evidence);
                }
            }
            (Self::Burned(burned), Judge::BurnRate(rule)) => {
                let _ = burned.take(&BurnCase { case, rule }, evidence);
            }
            (Self::Summed(summed), Judge::Cusum(rule)) => {
                let _ = summed.take(&CusumCase { case, rule }, evidence);
            }
            (Self::Points(points), Judge::Scorecard(card)) => {
                points.take(&Card { case, card }, evidence);
            }
            (Self::Scores(scores), Judge::Objectives(rule)) => {
                scores.take(&Scoring { case, rule }, evidence);
            }
            (Self::Sampled(sampled), Judge::Threshold(limits)) => {
                if let Ok((one, None)) = case.one(evidence) {
                    sampled.take((&case, limits), one);
                }
            }
            _ => {}
        }
    }

    /// All that it is made of, for the digest of a state.
    pub(crate) fn words(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        match self {
            Self::Stream(stream) => Box::new(stream.words()),
            Self::Burned(burned) => Box::new(burned.words()),
            Self::Summed(summed) => Box::new(summed.words().into_iter()),
            Self::Points(points) => Box::new(points.words().into_iter()),
            Self::Scores(scores) => Box::new(scores.words()),
            Self::Sampled(sampled) => Box::new(sampled.words()),
        }
    }
}
