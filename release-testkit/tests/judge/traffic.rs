//! Traffic of two versions as it might be, drawn from a seed.

use std::sync::Arc;

use release_core::analysis::{Conclusion, Trial};
use release_core::model::{
    Analysis, Digest, Direction, Expected, Finite, Judge, Margin, Metric, Selector, Sequential,
    Span, Target, Timestamp, Unit,
};
use release_core::plan::{Action, Beside, Deployment};
use release_core::port::{Evidence, Measurement};
use release_testkit::fixtures;

/// What a look of one metric measures.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Errors: so many a look in the old version, while all is well.
    Errors(f64),
    /// A mean that varies by its standard deviation, 1, from look to look.
    Mean,
}

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
    /// How bad the canary is: a multiple of errors, or standard deviations of a mean.
    pub(crate) harm: f64,
}

impl Traffic {
    pub(crate) const fn errors(a_look: f64, share: u8) -> Self {
        Self { kind: Kind::Errors(a_look), share, correlation: 0.0, waves: 0.0, harm: 1.0 }
    }

    pub(crate) const fn mean() -> Self {
        Self { kind: Kind::Mean, share: 50, correlation: 0.0, waves: 0.0, harm: 0.0 }
    }

    /// Both versions' own waves: an autoregression of the first order.
    pub(crate) const fn in_waves(self, correlation: f64, waves: f64) -> Self {
        Self { correlation, waves, ..self }
    }

    pub(crate) const fn harmed(self, harm: f64) -> Self {
        Self { harm, ..self }
    }
}

/// A generator of pseudo-random numbers, the same on every machine: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are a number")]
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Of the standard normal distribution.
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Of the Poisson distribution: by waiting times, in pieces that do not vanish.
    fn poisson(&mut self, mut mean: f64) -> f64 {
        let mut count = 0.0;
        while mean > 0.0 {
            let piece = mean.min(30.0);
            mean -= piece;
            let (limit, mut product) = ((-piece).exp(), self.unit());
            while product > limit {
                count += 1.0;
                product *= self.unit();
            }
        }
        count
    }
}

/// Requests of both versions in one look.
const REQUESTS: f64 = 10_000.0;

/// The step that judges `traffic` over so many looks.
fn action(traffic: Traffic, looks: u32, alpha: f64, comparisons: u32) -> Action {
    let finite = |value: f64| Finite::new(value).unwrap();
    let (all, bad) = (Selector::series("all"), Selector::series("bad"));
    let (metric, unit) = match traffic.kind {
        Kind::Errors(_) => (Metric::Ratio { numerator: bad, denominator: all }, Unit::Share),
        Kind::Mean => (Metric::Query { query: "load".into() }, Unit::Seconds),
    };
    let rule = Sequential {
        direction: Direction::LowerIsBetter,
        unit,
        margin: Margin { relative: finite(0.5), absolute: Finite::ZERO },
        expected: Expected {
            per_second: finite(REQUESTS),
            value: finite(0.01),
            spread: finite(1.0),
            detect: finite(3.0),
        },
        alpha: finite(alpha),
        critical: true,
        warm_up: 0,
        baseline: None,
        comparisons,
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
    Action::Analyze { deployment, analysis, from: None, beside, until: None }
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
    let mut counted = [[0.0; 2]; 2];
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

fn measured(
    dice: &mut Dice,
    traffic: Traffic,
    (waves, now): ([f64; 2], Timestamp),
    counted: &mut [[f64; 2]; 2],
    digests: [Digest; 2],
) -> [Measurement; 2] {
    let finite = |value: f64| Finite::new(value).unwrap();
    let share = f64::from(traffic.share) / 100.0;
    let mut of =
        |digest, wave: f64, own: f64, harm: Option<f64>, [bad, all]: &mut [f64; 2]| match traffic
            .kind
        {
            Kind::Errors(a_look) => {
                let wave = (traffic.waves * wave - traffic.waves * traffic.waves / 2.0).exp();
                *all += REQUESTS * own;
                *bad += dice.poisson(2.0 * a_look * own * wave * harm.unwrap_or(1.0));
                Measurement::Ratio { digest, numerator: finite(*bad), denominator: finite(*all) }
            }
            Kind::Mean => {
                let value = finite(wave + harm.unwrap_or(0.0));
                Measurement::Value { digest, value, at: now }
            }
        };
    let ([new, old], [canary, baseline], [one, other]) = (digests, waves, counted);
    [of(new, canary, share, Some(traffic.harm), one), of(old, baseline, 1.0 - share, None, other)]
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
