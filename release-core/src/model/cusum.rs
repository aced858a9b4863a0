//! A level that is watched for a long time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::{Direction, Unit};
use super::number::Finite;

/// A one-sided cumulative sum of how much worse a level is than usual: for the time after a release, in which a small change
/// that lasts is to be found soon, and a large one that passes is not to be made much of.
///
/// At each look `S = max(0, S + (worse − usual) / spread − k)`, of what was measured since the look before; the version has
/// *regressed* when `S` is above `h`. After `count` looks without that, it is *healthy*.
///
/// # How long it runs
/// With the usual `k` of 0.5 and looks that are independent and normal, an alarm comes after this many looks in the mean
/// ([`run_length`](crate::stats::cusum::run_length), in which the change is there from the beginning):
///
/// | `h` | no change | half a spread | one spread | two |
/// |---|---|---|---|---|
/// | 4 | 335 | 26.7 | 8.4 | 3.3 |
/// | 5 | 931 | 38.0 | 10.4 | 4.0 |
/// | 8 | 18,950 | 84.0 | 16.4 | 6.0 |
///
/// Unlike a sequential test, a sum has a false alarm at last, however well all is. The planner computes how likely that is
/// within `count` looks, and refuses more than `alpha`; and a plan in which a change of `detect` would be found with less than
/// 95 percent. So with `h` of 5 between 21 and 53 looks can be planned, with `h` of 8 between 30 and about a thousand. Waves (looks that go with the look before) make false alarms more frequent than that: `spread` is that of
/// looks, and `interval` long enough for them to stand alone.
///
/// In the background of a rollout it goes on until that is through, and passes if there was no alarm and at least one look that
/// told something: plan as many looks (`count`) as the rollout takes, for which the chances above are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cusum {
    /// Which way is worse.
    pub direction: Direction,
    /// What the metric's numbers are numbers of.
    pub unit: Unit,
    /// What is usual, in that unit. Left out, it is what the old version has at the same look, which then has to serve too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<Finite>,
    /// By how much one look of one version differs from the next while all is well (the standard deviation), in that unit.
    pub spread: Finite,
    /// How much worse is let pass, in spreads: half of `detect` finds that soonest.
    #[serde(default = "half")]
    pub k: Finite,
    /// The sum above which there is an alarm, in spreads.
    #[serde(default = "five")]
    pub h: Finite,
    /// The change that has to be found, in spreads.
    #[serde(default = "one")]
    pub detect: Finite,
    /// How likely a false alarm within all looks is, at the most.
    #[serde(default = "five_percent")]
    pub alpha: Finite,
}

impl Cusum {
    /// With the usual `k` of 0.5 and `h` of 5, for a change of one spread.
    pub fn new(direction: Direction, unit: Unit, usual: Option<Finite>, spread: Finite) -> Self {
        let (k, h, detect, alpha) = (half(), five(), one(), five_percent());
        Self { direction, unit, usual, spread, k, h, detect, alpha }
    }
}

fn number(value: f64) -> Finite {
    Finite::new(value).unwrap_or(Finite::ZERO)
}
fn half() -> Finite {
    number(0.5)
}
fn five() -> Finite {
    number(5.0)
}
fn one() -> Finite {
    number(1.0)
}
fn five_percent() -> Finite {
    number(0.05)
}
