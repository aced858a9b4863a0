//! Traffic of two versions as it might be, drawn from a seed.

use std::sync::Arc;

use release_core::analysis::{Conclusion, Power, Trial, power};
use release_core::model::{
    Analysis, Digest, Direction, Edition, Expected, Finite, Judge, Margin, Metric, Selector,
    Sequential, Span, Target, Timestamp, Unit,
};
use release_core::plan::{Action, Beside, Deployment};
use release_core::port::{Bucket, Evidence, Measurement};
use release_core::stats::special::normal_cdf;
use release_testkit::fixtures;

use super::dice::Dice;

/// What a look of one metric measures.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Errors: so many a look in the old version, while all is well.
    Errors(f64),
    /// The same, but both versions share the requests and the errors of a look by chance.
    Split(f64),
    /// The slowest hundredth of latencies: so many requests a look, whose logarithms are spread by this much, in the buckets
    /// that Prometheus' clients have by default; one in a hundred takes longer than this many seconds.
    Slow { requests: f64, spread: f64, p99: f64 },
    /// A mean that varies by its standard deviation, 1, from look to look, as a query answers it.
    Mean,
    /// The same around 10, as a sum and a count of a hundred a look.
    Sums,
}

/// Upper bounds of buckets in seconds, as Prometheus' clients have them by default.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// How many standard deviations above the mean one in a hundred lies.
pub(crate) const ONE_IN_A_HUNDRED: f64 = 2.326_347_874_040_841;

/// How looks go together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) kind: Kind,
    /// The canary's share in percent.
    pub(crate) share: u8,
    /// How one look goes with the next, of each version on its own.
    pub(crate) correlation: f64,
    /// Of errors: the standard deviation of the logarithm of their rate.
    pub(crate) waves: f64,
    /// How bad the canary is: a multiple of errors or latencies, or standard deviations of a mean.
    pub(crate) harm: f64,
    /// How much worse it may be, as a part of the old version's value.
    pub(crate) margin: f64,
    /// How much worse it may be besides, in the metric's unit.
    pub(crate) amount: f64,
    /// How bad harm is that the plan has to find: a multiple of the value, or of what is above a quantile.
    pub(crate) detect: f64,
    /// Whether any harm that is shown counts, also within what is tolerated.
    pub(crate) critical: bool,
}

impl Traffic {
    pub(crate) const fn errors(a_look: f64, share: u8) -> Self {
        Self::of(Kind::Errors(a_look), share, 1.0)
    }

    pub(crate) const fn split(a_look: f64, share: u8) -> Self {
        Self::of(Kind::Split(a_look), share, 1.0)
    }

    pub(crate) const fn slow(requests: f64, spread: f64, p99: f64) -> Self {
        Self::of(Kind::Slow { requests, spread, p99 }, 50, 1.0)
    }

    pub(crate) const fn mean() -> Self {
        Self::of(Kind::Mean, 50, 0.0)
    }

    pub(crate) const fn sums() -> Self {
        Self::of(Kind::Sums, 50, 0.0)
    }

    const fn of(kind: Kind, share: u8, harm: f64) -> Self {
        Self {
            kind,
            share,
            correlation: 0.0,
            waves: 0.0,
            harm,
            margin: 0.5,
            amount: 0.0,
            detect: 3.0,
            critical: true,
        }
    }

    /// Harm has to be shown to be beyond what is tolerated, as it is where an analysis says nothing.
    pub(crate) const fn tolerant(self) -> Self {
        Self { critical: false, ..self }
    }

    /// What is tolerated is an amount, and no part of the old version's value.
    pub(crate) const fn by(self, amount: f64) -> Self {
        Self { margin: 0.0, amount, ..self }
    }

    pub(crate) const fn to_find(self, detect: f64) -> Self {
        Self { detect, ..self }
    }

    pub(crate) const fn within(self, margin: f64) -> Self {
        Self { margin, ..self }
    }

    /// Both versions' own waves: an autoregression of the first order.
    pub(crate) const fn in_waves(self, correlation: f64, waves: f64) -> Self {
        Self { correlation, waves, ..self }
    }

    /// Whether it is as plans take it to be: looks are independent, and vary as chance lets them. A quantile is counted at the nearest
    /// bound, beyond which there may be fewer than the plan takes.
    pub(crate) fn is_as_planned(self) -> bool {
        self.correlation <= 0.0 && self.waves <= 0.0 && !matches!(self.kind, Kind::Slow { .. })
    }

    pub(crate) const fn harmed(self, harm: f64) -> Self {
        Self { harm, ..self }
    }
}

/// Requests of both versions in one look, at the least.
const REQUESTS: f64 = 10_000.0;

/// Requests of both versions in one look, of which so many are bad in the old one: one in a hundred at the most.
fn requests(a_look: f64) -> f64 {
    REQUESTS.max(200.0 * a_look)
}

/// What is told of `traffic` when it is planned: requests a second, the value and by how much it differs from look to look.
fn expected(traffic: Traffic) -> Expected {
    let (per_second, value) = match traffic.kind {
        Kind::Errors(a_look) | Kind::Split(a_look) => {
            (requests(a_look), 2.0 * a_look / requests(a_look))
        }
        Kind::Slow { requests, p99, .. } => (requests, p99),
        Kind::Mean => (REQUESTS, 0.01),
        Kind::Sums => (REQUESTS, 10.0),
    };
    let (per_second, value) = (finite(per_second), finite(value));
    Expected { per_second, value, spread: finite(1.0), detect: finite(traffic.detect) }
}

/// The step that judges `traffic` over so many looks.
pub(crate) fn action(traffic: Traffic, looks: u32, alpha: f64, comparisons: u32) -> Action {
    let (all, bad) = (Selector::series("all"), Selector::series("bad"));
    let (metric, unit) = match traffic.kind {
        Kind::Errors(_) | Kind::Split(_) => {
            (Metric::Ratio { numerator: bad, denominator: all }, Unit::Share)
        }
        Kind::Slow { .. } => {
            let histogram = Selector::series("took");
            (Metric::Quantile { histogram, quantile: finite(0.99) }, Unit::Seconds)
        }
        Kind::Mean => (Metric::Query { query: "load".into() }, Unit::Seconds),
        Kind::Sums => (Metric::Mean { sum: bad, count: all }, Unit::Seconds),
    };
    let rule = Sequential {
        direction: Direction::LowerIsBetter,
        unit,
        margin: Margin { relative: finite(traffic.margin), absolute: finite(traffic.amount) },
        expected: expected(traffic),
        alpha: finite(alpha),
        critical: traffic.critical,
        warm_up: 0,
        baseline: None,
        comparisons,
        edition: Edition::default(),
    };
    let analysis = Analysis {
        count: looks,
        ..Analysis::judged(fixtures::literal("it"), metric, Judge::Sequential(rule))
    };
    let deployment = |version: &str| Deployment {
        target: target(),
        artifact: fixtures::artifact("api", version),
        version: fixtures::version(version),
    };
    let beside = Some(Box::new(Beside::new(deployment("1.0.0"), traffic.share)));
    let (deployment, analysis) = (deployment("1.1.0"), Arc::new(analysis));
    Action::Analyze { deployment: deployment.into(), analysis, from: None, beside, until: None }
}

fn target() -> Target {
    fixtures::target("api")
}

/// What one path of looks comes to, and at which look; it ends with the first conclusion, as a run does.
pub(crate) fn path(
    dice: &mut Dice,
    traffic: Traffic,
    looks: u32,
    alpha: f64,
    comparisons: u32,
) -> (Conclusion, u32) {
    let mut trial = Trial::new(action(traffic, looks, alpha, comparisons)).unwrap();
    let digests = ["1.1.0", "1.0.0"].map(|version| fixtures::artifact("api", version).digest());
    let mut waves = [dice.normal(), dice.normal()];
    let mut counted = [Counted::default(); 2];
    let step = (1.0 - traffic.correlation * traffic.correlation).sqrt();
    let mut now = Timestamp::default();
    for look in 1..=looks {
        now = now.plus(Span::secs(1));
        for wave in &mut waves {
            if look > 1 {
                *wave = traffic.correlation.mul_add(*wave, step * dice.normal());
            }
        }
        let [canary, baseline] = measured(dice, traffic, (waves, now), &mut counted, digests);
        let evidence =
            Evidence::Comparison { canary: Box::new(canary), baseline: Box::new(baseline) };
        let (finding, because) = trial.look(now, &evidence).unwrap();
        match finding.conclusion {
            Conclusion::Undetermined => {}
            Conclusion::Regressed | Conclusion::Healthy => return (finding.conclusion, look),
            other => panic!("{other:?}: {because}"),
        }
    }
    (Conclusion::Undetermined, looks)
}

/// What one version counted since the beginning.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    bad: f64,
    all: f64,
    /// Of each bucket alone.
    buckets: [f64; BUCKETS.len() + 1],
}

fn measured(
    dice: &mut Dice,
    traffic: Traffic,
    (waves, now): ([f64; 2], Timestamp),
    counted: &mut [Counted; 2],
    digests: [Digest; 2],
) -> [Measurement; 2] {
    let share = f64::from(traffic.share) / 100.0;
    let owns = [share, 1.0 - share];
    let rates =
        waves.map(|wave| (traffic.waves * wave - traffic.waves * traffic.waves / 2.0).exp());
    let harms = [Some(traffic.harm), None];
    if let Kind::Split(a_look) = traffic.kind {
        let all = dice.split(requests(a_look), share);
        let bad = dice.poisson(2.0 * a_look * (share * (traffic.harm - 1.0) + 1.0));
        let of = dice.split(bad, share * traffic.harm / (share * (traffic.harm - 1.0) + 1.0));
        let [new, old] = counted;
        (new.all, new.bad) = (new.all + all, new.bad + of);
        (old.all, old.bad) = (old.all + requests(a_look) - all, old.bad + bad - of);
    }
    let mut of = |which: usize| {
        let (digest, own, rate, harm) = (digests[which], owns[which], rates[which], harms[which]);
        let so_far = &mut counted[which];
        match traffic.kind {
            Kind::Errors(a_look) => {
                so_far.all += requests(a_look) * own;
                so_far.bad += dice.poisson(2.0 * a_look * own * rate * harm.unwrap_or(1.0));
                ratio(digest, so_far)
            }
            Kind::Split(_) => ratio(digest, so_far),
            Kind::Slow { requests, spread, p99 } => {
                let middle =
                    p99.ln() - spread * ONE_IN_A_HUNDRED + (rate * harm.unwrap_or(1.0)).ln();
                let below = |bound: f64| normal_cdf((bound.ln() - middle) / spread);
                let ends = BUCKETS.map(below).into_iter().chain([1.0]);
                let begins = [0.0].into_iter().chain(BUCKETS.map(below));
                for ((begin, end), count) in begins.zip(ends).zip(&mut so_far.buckets) {
                    *count += dice.poisson(requests * own * (end - begin));
                }
                histogram(digest, so_far)
            }
            Kind::Mean => {
                let value = finite(waves[which] + harm.unwrap_or(0.0));
                Measurement::Value { digest, value, at: now }
            }
            Kind::Sums => {
                so_far.bad += 100.0 * (10.0 + waves[which] + harm.unwrap_or(0.0));
                so_far.all += 100.0;
                ratio(digest, so_far)
            }
        }
    };
    [of(0), of(1)]
}

fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

fn ratio(digest: Digest, counted: &Counted) -> Measurement {
    let (numerator, denominator) = (finite(counted.bad), finite(counted.all));
    Measurement::Ratio { digest, numerator, denominator }
}

fn histogram(digest: Digest, counted: &Counted) -> Measurement {
    let bounds = BUCKETS.map(|bound| Some(finite(bound))).into_iter().chain([None]);
    let mut count = 0.0;
    let buckets = bounds.zip(counted.buckets).map(|(at_most, more)| {
        count += more;
        Bucket { at_most, count: finite(count) }
    });
    Measurement::Histogram { digest, buckets: buckets.collect() }
}

/// How many of so many paths end with `wanted`.
pub(crate) fn share_of(
    wanted: Conclusion,
    paths: u32,
    (traffic, looks): (Traffic, u32),
    (alpha, metrics): (f64, u32),
) -> f64 {
    let mut dice = Dice::new(u64::from(looks) * 1_000 + u64::from(metrics));
    let hits = (0..paths).filter(|_| {
        // A run is taken back when any one of its metrics says so.
        (0..metrics).any(|_| path(&mut dice, traffic, looks, alpha, metrics).0 == wanted)
    });
    f64::from(u32::try_from(hits.count()).unwrap()) / f64::from(paths)
}

/// How many of so many runs end so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// With any metric that is found to be worse.
    pub(crate) regressed: f64,
    /// With none of these, and with any that is undetermined after its last look.
    pub(crate) undetermined: f64,
}

/// How so many runs end. The paths are those of [`share_of`] what has regressed.
pub(crate) fn ends_of(
    paths: u32,
    (traffic, looks): (Traffic, u32),
    (alpha, metrics): (f64, u32),
) -> Ends {
    let mut dice = Dice::new(u64::from(looks) * 1_000 + u64::from(metrics));
    let (mut regressed, mut undetermined) = (0_u32, 0_u32);
    for _ in 0..paths {
        let mut open = false;
        let harmed = (0..metrics).any(|_| {
            let end = path(&mut dice, traffic, looks, alpha, metrics).0;
            open |= end == Conclusion::Undetermined;
            end == Conclusion::Regressed
        });
        regressed += u32::from(harmed);
        undetermined += u32::from(open && !harmed);
    }
    let share = |hits: u32| f64::from(hits) / f64::from(paths);
    Ends { regressed: share(regressed), undetermined: share(undetermined) }
}

/// What a plan of so many looks, of so many such metrics, says of itself.
pub(crate) fn promised(traffic: Traffic, looks: u32, alpha: f64, metrics: u32) -> Power {
    let Action::Analyze { analysis, .. } = action(traffic, looks, alpha, metrics) else { panic!() };
    power(&analysis, traffic.share).unwrap().unwrap()
}
