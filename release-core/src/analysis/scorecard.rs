//! The judge of scorecards: points of several metrics, look by look, for the judges of Kayenta's kind.

use std::collections::BTreeMap;

use super::finding::{Conclusion, Finding, Harm, Method, Part, Scale, finite};
use super::increment::{Last, NoLevel, level};
use super::memory::{Case, Judged};
use super::netflix::{
    CanaryConfig, Classification, Judgement, MetricResult, NetflixAca, Samples, Strict, Verdict,
};
use super::ranged::new_points;
use super::stream::{digest_of, word_of};
use crate::model::{Digest, Finite, Metric, ScoreMethod, Scorecard};
use crate::port::{Evidence, Measurement, Pair};
use crate::stats::real;

/// How likely the interval of a shift misses the truth at one end: both judges have intervals of 98 percent.
const ALPHA: f64 = 0.01;

/// The points of all metrics so far.
#[derive(Debug, Clone, Default)]
pub struct Points {
    looks: u32,
    /// For each metric, in the scorecard's order.
    series: Vec<Series>,
    samples: Option<Digest>,
}

/// The points of one metric: of the new version, and of the old one.
#[derive(Debug, Clone, Default)]
struct Series {
    points: Samples,
    last: [Last; 2],
}

// Points follow from the measurements, of which the digest is kept.
impl PartialEq for Points {
    fn eq(&self, other: &Self) -> bool {
        self.samples == other.samples && self.words() == other.words()
    }
}

impl Eq for Points {}

/// One look of such a judge.
pub(super) struct Card<'a> {
    pub(super) case: Case<'a>,
    pub(super) card: &'a Scorecard,
}

impl Points {
    pub(super) fn judge(&mut self, look: &Card<'_>, evidence: &Evidence) -> Judged {
        let missing = self.take(look, evidence);
        let method = match look.card.method {
            ScoreMethod::NetflixAca { .. } => Method::NetflixAca,
            ScoreMethod::Strict { .. } => Method::Strict,
        };
        let mut finding = Finding::without_numbers(method, self.looks, finite(ALPHA), self.samples);
        let count = look.case.analysis.count;
        let last = self.looks >= count;
        let on_the_way = look
            .card
            .every
            .is_some_and(|every| every > 0 && self.looks > 0 && self.looks.is_multiple_of(every));
        if !last && !on_the_way {
            finding.conclusion = Conclusion::Undetermined;
            let missing = missing.map_or_else(String::new, |why| format!("; {why}"));
            let because = format!("point {} of {count}{missing}", self.looks);
            return Judged::new(finding, because, last);
        }
        let judgement = match self.judged(look.card) {
            Ok(judgement) => judgement,
            Err(because) => return Judged::new(finding, because, last),
        };
        finding.conclusion = concluded(&judgement, last);
        finding.seed = judgement.seed;
        finding.harm = harm(&judgement, look.card);
        finding.parts = judgement.metrics.iter().map(part).collect();
        let Judgement { verdict, score, score_at_most, reason, .. } = &judgement;
        let score = if score_at_most > score {
            format!("{score} to {score_at_most}")
        } else {
            score.to_string()
        };
        let verdict = match verdict {
            Verdict::Pass => "passes",
            Verdict::Marginal => "marginal",
            Verdict::Fail => "fails",
            Verdict::Inconclusive => "inconclusive",
        };
        let because =
            format!("{verdict} with a score of {score} after {} points: {reason}", self.longest());
        Judged::new(finding, because, last)
    }

    /// How many points the longest series has: as many as there were looks, unless ranges are measured.
    fn longest(&self) -> usize {
        let both =
            |series: &Series| series.points.experiment.len().max(series.points.control.len());
        self.series.iter().map(both).max().unwrap_or(0)
    }

    /// Adds a point to every series, or the new ones of a range; one without a value where there is none. Says what the first of
    /// those lack.
    pub(super) fn take(&mut self, look: &Card<'_>, evidence: &Evidence) -> Option<String> {
        let pairs: &[Pair] = match evidence {
            Evidence::Comparisons { of } => of,
            _ => &[],
        };
        let all = pairs.iter().flat_map(|pair| [&pair.canary, &pair.baseline]);
        self.samples = Some(digest_of(self.samples, all));
        self.looks = self.looks.saturating_add(1);
        self.series.resize_with(look.card.metrics.len(), Series::default);
        let baseline = look.case.beside.map(|beside| beside.baseline.artifact.digest());
        let mut missing = None;
        let mut pairs = pairs.iter();
        for (series, scored) in self.series.iter_mut().zip(&look.card.metrics) {
            let none = Measurement::NoData { reason: "it was not measured".into() };
            let (canary, old) =
                pairs.next().map_or((&none, &none), |pair| (&pair.canary, &pair.baseline));
            let [was, before] = &mut series.last;
            let mut add = |wanted: Option<Digest>,
                           measured: &Measurement,
                           last: &mut Last,
                           to: &mut Vec<f64>| {
                let wanted =
                    wanted.ok_or_else(|| NoLevel::from("there is no old version".to_owned()));
                let found = wanted.and_then(|digest| {
                    values(&look.case, &scored.metric, (digest, measured), *last)
                });
                match found {
                    Ok((values, now)) => {
                        *last = now;
                        to.extend(values);
                    }
                    Err(NoLevel { why, anew }) => {
                        *last = anew.unwrap_or(*last);
                        missing.get_or_insert_with(|| format!("{}: {why}", scored.name));
                        to.push(f64::NAN);
                    }
                }
            };
            let Samples { experiment, control } = &mut series.points;
            add(Some(look.case.wanted()), canary, was, experiment);
            add(baseline, old, before, control);
        }
        missing
    }

    fn judged(&self, card: &Scorecard) -> Result<Judgement, String> {
        let config = CanaryConfig::from(card);
        let points: BTreeMap<String, Samples> = card
            .metrics
            .iter()
            .zip(&self.series)
            .map(|(scored, series)| (scored.name.clone(), series.points.clone()))
            .collect();
        match card.method {
            ScoreMethod::NetflixAca { seed } => Ok(NetflixAca::new(seed).judge(&config, &points)),
            ScoreMethod::Strict { .. } => {
                let judged = strict(card).judge(&config, &points);
                judged.map_err(|error| error.to_string())
            }
        }
    }

    /// What it is made of, for the digest of a state: points follow from the measurements, of which it has the digest.
    pub(super) fn words(&self) -> Vec<u64> {
        vec![
            u64::from(self.looks),
            self.samples.map_or(0, word_of),
            real(self.series.len()).to_bits(),
        ]
    }
}

/// What one look adds to a series: a level, or the new points of a range; and what to remember of it.
///
/// # Errors
/// Why there is nothing.
fn values(
    case: &Case<'_>,
    metric: &Metric,
    (wanted, measured): (Digest, &Measurement),
    last: Last,
) -> Result<(Vec<f64>, Last), NoLevel> {
    match metric {
        Metric::Range { step, .. } => {
            new_points(case, *step, (wanted, measured), last).map_err(NoLevel::from)
        }
        _ => level(case, metric, wanted, measured, last).map(|(value, now)| (vec![value], now)),
    }
}

/// The judge of a strict scorecard.
fn strict(card: &Scorecard) -> Strict {
    let default = Strict::default();
    let ScoreMethod::Strict { min_points } = card.method else { return default };
    Strict { min_points: usize::try_from(min_points).unwrap_or(usize::MAX), ..default }
}

fn concluded(judgement: &Judgement, last: bool) -> Conclusion {
    let harmed = |metric: &MetricResult| {
        matches!(metric.classification, Classification::High | Classification::Low)
    };
    let any_harm = judgement.metrics.iter().any(harmed);
    match judgement.verdict {
        Verdict::Pass if last => Conclusion::Healthy,
        Verdict::Fail if any_harm => Conclusion::Regressed,
        // It fails for lack of data, which shows no harm.
        Verdict::Fail => Conclusion::NoData,
        Verdict::Pass | Verdict::Marginal | Verdict::Inconclusive => Conclusion::Undetermined,
    }
}

/// How many points are missing of the full score; what does not tell yet may be missing or not.
fn harm(judgement: &Judgement, card: &Scorecard) -> Option<Harm> {
    let missing = |score: f64| Finite::new(100.0 - score).ok();
    Some(Harm {
        scale: Scale::Missing,
        estimate: missing(judgement.score),
        low: missing(judgement.score_at_most),
        high: missing(judgement.score),
        tolerated: missing(card.pass.get())?,
    })
}

fn part(metric: &MetricResult) -> Part {
    let number = |value: Option<f64>| value.and_then(|value| Finite::new(value).ok());
    let critical = if metric.critical { ", critical" } else { "" };
    Part {
        name: metric.name.clone(),
        says: format!("{}{critical}", metric.classification),
        estimate: number(metric.estimate),
        low: number(metric.lower),
        high: number(metric.upper),
        samples: finite(real(metric.experiment)),
        baseline_samples: Some(finite(real(metric.control))),
    }
}
