//! The judge `NetflixACAJudge-v1.0` of Kayenta, and the same decision mended.
//!
//! - [`NetflixAca`] decides as Kayenta does, down to the tolerance of its root finder, so that whoever
//!   moves from it gets the verdicts that they know. Only its noise is seeded here, and the seed recorded.
//! - [`Strict`] asks the same questions of the same configuration, and mends what is known to be wrong:
//!
//! | | [`NetflixAca`] | [`Strict`] |
//! |---|---|---|
//! | shift and interval | roots to 1e-4 of nothing: ratios and seconds come out at random | exact differences, at any scale |
//! | a mean of zero | no check of the effect | errors against none are an infinite increase |
//! | arms that do not vary | unseeded noise (seeded here) | no noise |
//! | no data, replaced | pass | never a pass |
//! | too little data, nothing that varies | pass | inconclusive |
//! | weights of groups that are not 100 together | some weight, even below zero | an error |
//!
//! Both look once. Who looks again and again needs the e-processes of [`crate::stats`].

mod aca;
mod config;
mod of_model;
mod prepare;
mod result;
mod score;
mod strict;

pub use aca::NetflixAca;
pub use config::{
    CanaryConfig, ConfigError, Direction, EffectMeasure, EffectSize, Metric, MetricConfig,
    NanStrategy, OutlierStrategy, Outliers, Samples, Thresholds,
};
pub use result::{Classification, GroupScore, Judgement, MetricResult, Verdict};
pub use strict::Strict;
pub(crate) use strict::check;
