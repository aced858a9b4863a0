//! The judge of scorecards: points of several metrics, look by look, for the judges of Kayenta's kind.

use std::collections::BTreeMap;

use super::finding::{Conclusion, Finding, Harm, Method, Part, Scale, finite};
use super::increment::{Last, NoLevel, level};
use super::memory::{Case, Judged};
use super::netflix::{
    CanaryConfig, Classification, Judgement, MetricResult, NetflixAca, Samples, Strict, Verdict,
};
use super::ranged::{self, Curve};
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
    sides: [Side; 2],
}

/// The points of one metric of one version.
#[derive(Debug, Clone, Default)]
struct Side {
    /// Of a range.
    curve: Curve,
    /// Of all else: one a look.
    levels: Vec<f64>,
    last: Last,
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
        if let Some(because) = self.silent(look.card) {
            finding.conclusion = Conclusion::NoData;
            return Judged::new(finding, because, last);
        }
        if let Some(because) = self.too_few(look) {
            // On the way, more may come.
            finding.conclusion = if last { Conclusion::NoData } else { Conclusion::Undetermined };
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
        let sides = self.series.iter().flat_map(|series| &series.sides);
        sides.map(|side| side.values().count()).max().unwrap_or(0)
    }

    /// Of which version no metric that counts has any number, if there is one. What a scorecard puts in the place of missing values says
    /// nothing of it then, whichever judge is asked: it may be dead, or measured nowhere.
    fn silent(&self, card: &Scorecard) -> Option<String> {
        let counted = || {
            let all = card.metrics.iter().zip(&self.series);
            all.filter(|(scored, _)| !scored.muted).map(|(_, series)| series)
        };
        let says = |side: &Side| side.values().any(|value| !value.is_nan());
        let [new, old] =
            [0, 1].map(|nth| counted().any(|series| series.sides.get(nth).is_some_and(says)));
        let who = match (new, old) {
            (true, true) => return None,
            (true, false) => "the old version",
            (false, true) => "the new version",
            (false, false) => "either version",
        };
        Some(format!("no metric has a number of {who}"))
    }

    /// Which range has fewer numbers of a version than it needs, if one has. Where one is all that is needed, the judge itself says
    /// what becomes of none.
    fn too_few(&self, look: &Card<'_>) -> Option<String> {
        let least = look.case.analysis.min_samples;
        // Beside what is counted, it says how much each look has to have counted.
        let all = &look.card.metrics;
        let of_points = all.iter().all(|one| matches!(one.metric, Metric::Range { .. }));
        let metrics = all.iter().zip(&self.series);
        let ranges = metrics.filter(|(scored, _)| least > 1 && of_points && !scored.muted);
        ranges
            .flat_map(|(scored, series)| series.sides.iter().map(move |side| (scored, side)))
            .find_map(|(scored, side)| {
                let numbers = side.values().filter(|value| !value.is_nan()).count();
                let few = u64::try_from(numbers).is_ok_and(|numbers| numbers < least);
                few.then(|| {
                    format!("{}: {numbers} points of a version, {least} are needed", scored.name)
                })
            })
    }

    /// Adds a point to every series, or the new ones of a range; what has none is without a value. Says what the first of those lack.
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
            let both = [(Some(look.case.wanted()), canary), (baseline, old)];
            for (side, (wanted, measured)) in series.sides.iter_mut().zip(both) {
                let wanted = wanted.ok_or_else(|| "there is no old version".to_owned());
                let lacks = side.take(&look.case, &scored.metric, (wanted, measured));
                if let Some(why) = lacks.filter(|_| missing.is_none()) {
                    missing = Some(format!("{}: {why}", scored.name));
                }
            }
        }
        missing
    }

    fn judged(&self, card: &Scorecard) -> Result<Judgement, String> {
        let config = CanaryConfig::from(card);
        let points: BTreeMap<String, Samples> = card
            .metrics
            .iter()
            .zip(&self.series)
            .map(|(scored, series)| (scored.name.clone(), series.samples()))
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

impl Series {
    fn samples(&self) -> Samples {
        let [new, old] = &self.sides;
        Samples { experiment: new.values().collect(), control: old.values().collect() }
    }
}

impl Side {
    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.levels.iter().copied().chain(self.curve.values())
    }

    /// Adds what one look says of a version: a level, or the new points of a range. Says what is lacking, or does not count.
    fn take(
        &mut self,
        case: &Case<'_>,
        metric: &Metric,
        (wanted, measured): (Result<Digest, String>, &Measurement),
    ) -> Option<String> {
        if let Metric::Range { step, over, .. } = metric {
            let told = wanted.and_then(|digest| ranged::facts(digest, measured));
            return self.curve.take(case, (*step, *over), told).unwrap_or_else(Some);
        }
        let found = wanted.map_err(NoLevel::from);
        match found.and_then(|digest| level(case, metric, digest, measured, self.last)) {
            Ok((value, now)) => {
                self.last = now;
                self.levels.push(value);
                None
            }
            Err(NoLevel { why, anew }) => {
                self.last = anew.unwrap_or(self.last);
                self.levels.push(f64::NAN);
                Some(why)
            }
        }
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
