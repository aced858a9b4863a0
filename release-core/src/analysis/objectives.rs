//! The judge of objectives: one look at several metrics of one version, scored together.

use super::finding::{Conclusion, Finding, Harm, Method, Part, Scale, finite};
use super::memory::{Case, Judged};
use super::stream::digest_of;
use super::threshold::{Again, Sampled, Told, told};
use crate::model::{Bound, Criterion, Finite, Metric, Objective, Objectives};
use crate::port::{Evidence, Measurement};
use crate::run::Verdict;

/// What the newest measurement of each objective was of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scores(Vec<Sampled>);

/// One look of such a judge.
pub(super) struct Scoring<'a> {
    pub(super) case: Case<'a>,
    pub(super) rule: &'a Objectives,
}

/// What an objective comes to at one look.
enum Scored {
    /// It failed, it warned, or neither.
    Fails(Told),
    Warns(Told),
    Passes(Told),
    /// There is nothing to judge it by.
    NoData(String),
    /// There is nothing newer yet.
    Waits(String),
}

impl Scores {
    /// What a look comes to.
    pub(super) fn judge(&mut self, look: &Scoring<'_>, evidence: &Evidence) -> Judged {
        let measured = measurements(evidence);
        let sample = digest_of(None, measured);
        let mut finding =
            Finding::without_numbers(Method::Objectives, 1, Finite::ZERO, Some(sample));
        let all = self.scored(look, evidence);
        finding.parts = all.iter().map(|(objective, scored)| part(objective, scored)).collect();
        if let Some((objective, Scored::Waits(why))) =
            all.iter().find(|(_, scored)| matches!(scored, Scored::Waits(_)))
        {
            finding.conclusion = Conclusion::Undetermined;
            let because = format!("{}: {why}", objective.name);
            return Judged { finding, verdict: Verdict::Undetermined, because, last: false };
        }
        let score = Score::of(&all);
        let (conclusion, verdict) = score.concluded(look.rule);
        finding.conclusion = conclusion;
        finding.harm = score.harm(look.rule);
        Judged { finding, verdict, because: score.because(&all, look.rule), last: false }
    }

    /// Takes a look in that was judged before.
    pub(super) fn take(&mut self, look: &Scoring<'_>, evidence: &Evidence) {
        drop(self.scored(look, evidence));
    }

    /// Holds each measurement against its criteria, and keeps in mind what it was of. A look that waits uses none of them up: the
    /// next one judges by all objectives together, and each would otherwise wait for the others in turn.
    fn scored<'a>(
        &mut self,
        look: &Scoring<'a>,
        evidence: &Evidence,
    ) -> Vec<(&'a Objective, Scored)> {
        let mut newest = self.0.clone();
        newest.resize_with(look.rule.of.len(), Sampled::default);
        let none = Measurement::NoData { reason: "it was not measured".into() };
        let measured = measurements(evidence).iter().chain(std::iter::repeat(&none));
        let each = look.rule.of.iter().zip(measured).zip(&mut newest);
        let all: Vec<_> =
            each.map(|((of, one), sampled)| (of, scored(look, of, one, sampled))).collect();
        if !all.iter().any(|(_, scored)| matches!(scored, Scored::Waits(_))) {
            self.0 = newest;
        }
        all
    }

    /// All that it is made of, for the digest of a state.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|sampled| sampled.words())
    }
}

const fn measurements(evidence: &Evidence) -> &[Measurement] {
    match evidence {
        Evidence::Measurements { of } => of.as_slice(),
        _ => &[],
    }
}

fn scored(
    look: &Scoring<'_>,
    objective: &Objective,
    measurement: &Measurement,
    sampled: &mut Sampled,
) -> Scored {
    let Scoring { case, .. } = look;
    let (side, analysis) = (good_side(objective), case.analysis);
    let told = match told((&objective.metric, side), case, measurement) {
        Ok(told) => told,
        Err(why) => return Scored::NoData(why),
    };
    match sampled.again(analysis, told.of, case.at) {
        Some(Again::Waiting(why)) => return Scored::Waits(why),
        Some(Again::Nothing(why)) => return Scored::NoData(why),
        None => {}
    }
    if let Some(why) = told.too_few(analysis) {
        return Scored::NoData(why);
    }
    if objective.fails(told.number) {
        Scored::Fails(told)
    } else if objective.warns(told.number) {
        Scored::Warns(told)
    } else {
        Scored::Passes(told)
    }
}

/// To which side values are good: that end of a bucket is taken of a quantile for which nothing is passed that is not good.
fn good_side(objective: &Objective) -> Bound {
    match objective.failure.or(objective.warning) {
        Some(Criterion::AtMost(limit) | Criterion::Below(limit)) => Bound::AtLeast(limit),
        Some(Criterion::AtLeast(limit) | Criterion::Above(limit)) => Bound::AtMost(limit),
        Some(Criterion::Within { to, .. } | Criterion::Outside { to, .. }) => Bound::AtMost(to),
        None => Bound::AtMost(Finite::ZERO),
    }
}

/// What all objectives of a look score together.
struct Score {
    /// All weights.
    all: f64,
    scored: f64,
    /// What it would be if all that has no data passed.
    most: f64,
    key_failed: bool,
    key_missing: bool,
    missing: bool,
}

impl Score {
    fn of(all: &[(&Objective, Scored)]) -> Self {
        let none = Self {
            all: 0.0,
            scored: 0.0,
            most: 0.0,
            key_failed: false,
            key_missing: false,
            missing: false,
        };
        all.iter().fold(none, |mut sum, (objective, scored)| {
            let weight = objective.weight.get();
            sum.all += weight;
            let (least, most) = match scored {
                Scored::Fails(_) => (0.0, 0.0),
                Scored::Warns(_) => (weight / 2.0, weight / 2.0),
                Scored::Passes(_) => (weight, weight),
                Scored::NoData(_) | Scored::Waits(_) => (0.0, weight),
            };
            sum.scored += least;
            sum.most += most;
            sum.key_failed |= objective.key && matches!(scored, Scored::Fails(_));
            let missing = matches!(scored, Scored::NoData(_));
            sum.missing |= missing;
            sum.key_missing |= objective.key && missing;
            sum
        })
    }

    /// What part of all that is, in percent.
    fn percent(&self, score: f64) -> f64 {
        if score >= self.all { 100.0 } else { 100.0 * score / self.all }
    }

    fn concluded(&self, rule: &Objectives) -> (Conclusion, Verdict) {
        let warning = rule.warning.unwrap_or(rule.pass).get();
        let good = self.percent(self.scored) >= rule.pass.get() && !self.key_missing;
        if self.key_failed || self.percent(self.most) < warning {
            (Conclusion::Regressed, Verdict::Fail)
        } else if good {
            (Conclusion::Healthy, Verdict::Pass)
        } else if self.missing {
            (Conclusion::NoData, Verdict::Inconclusive)
        } else {
            (Conclusion::Undetermined, Verdict::Inconclusive)
        }
    }

    /// How many points are missing of the full score; what has no data may be missing or not.
    fn harm(&self, rule: &Objectives) -> Option<Harm> {
        let missing = |score: f64| Finite::new(100.0 - score).ok();
        Some(Harm {
            scale: Scale::Missing,
            estimate: missing(self.percent(self.scored)),
            low: missing(self.percent(self.most)),
            high: missing(self.percent(self.scored)),
            tolerated: missing(rule.pass.get())?,
        })
    }

    fn because(&self, all: &[(&Objective, Scored)], rule: &Objectives) -> String {
        let (least, most) = (self.percent(self.scored), self.percent(self.most));
        let score = if most > least {
            format!("{least:.1} to {most:.1} %")
        } else {
            format!("{least:.1} %")
        };
        let not = all.iter().filter_map(|(objective, scored)| {
            let key = if objective.key { ", a key objective" } else { "" };
            let said = match scored {
                Scored::Passes(_) => return None,
                Scored::Fails(told) | Scored::Warns(told) => {
                    let (word, criterion) = if matches!(scored, Scored::Fails(_)) {
                        ("fails", objective.failure)
                    } else {
                        ("warns", objective.warning)
                    };
                    let met = criterion.map_or_else(String::new, |met| format!(", {met}"));
                    format!("{word}: {}{met}", told.shown)
                }
                Scored::NoData(why) | Scored::Waits(why) => format!("has no data: {why}"),
            };
            Some(format!("; {}{key} {said}", objective.name))
        });
        format!("a score of {score}, where {} % pass{}", rule.pass, not.collect::<String>())
    }
}

fn part(objective: &Objective, scored: &Scored) -> Part {
    let (says, told) = match scored {
        Scored::Fails(told) => ("fails", Some(told)),
        Scored::Warns(told) => ("warns", Some(told)),
        Scored::Passes(told) => ("passes", Some(told)),
        Scored::NoData(_) => ("no data", None),
        Scored::Waits(_) => ("waits for the next sample", None),
    };
    let key = if objective.key { ", key" } else { "" };
    let number = |value: f64| Finite::new(value).ok();
    let [low, high] = told.map_or([None; 2], |told| told.ends().map(|end| end.and_then(number)));
    Part {
        name: objective.name.clone(),
        says: format!("{says}{key}"),
        estimate: told.and_then(|told| number(told.number)),
        low,
        high,
        samples: told.map_or(Finite::ZERO, |told| finite(told.samples())),
        baseline_samples: None,
    }
}

/// Whether a quantile, of which only a bucket is known, can be held against a criterion.
pub(crate) const fn tells(metric: &Metric, criterion: &Criterion) -> bool {
    !matches!(
        (metric, criterion),
        (Metric::Quantile { .. }, Criterion::Within { .. } | Criterion::Outside { .. })
    )
}
