//! Scorecards of the model as configurations of Kayenta's kind, and the other way round.

use super::config::{
    CanaryConfig, Direction, EffectMeasure, EffectSize, Metric, MetricConfig, NanStrategy,
    OutlierStrategy, Outliers, Thresholds,
};
use crate::model::{
    self, Change, Effect, Finite, FiniteError, NoValue, ScoreMethod, Scorecard, Scored,
};

impl From<&Scorecard> for CanaryConfig {
    fn from(card: &Scorecard) -> Self {
        let metric = |scored: &Scored| Metric {
            name: scored.name.clone(),
            groups: scored.groups.clone(),
            canary: MetricConfig::from(scored),
        };
        let weight = |(group, weight): (&String, &Finite)| (group.clone(), weight.get());
        Self {
            metrics: card.metrics.iter().map(metric).collect(),
            group_weights: card.group_weights.iter().map(weight).collect(),
            score_thresholds: Thresholds { pass: card.pass.get(), marginal: card.marginal.get() },
        }
    }
}

impl From<&Scored> for MetricConfig {
    fn from(scored: &Scored) -> Self {
        let number = |value: Option<Finite>| value.map(Finite::get);
        let effect = &scored.effect;
        let default = Outliers::default();
        Self {
            direction: match scored.direction {
                Change::Increase => Direction::Increase,
                Change::Decrease => Direction::Decrease,
                Change::Either => Direction::Either,
            },
            nan_strategy: match scored.nan {
                NoValue::Remove => NanStrategy::Remove,
                NoValue::Replace => NanStrategy::Replace,
            },
            critical: scored.critical,
            muted: scored.muted,
            must_have_data: scored.must_have_data,
            effect_size: EffectSize {
                measure: match effect.measure {
                    model::EffectMeasure::MeanRatio => EffectMeasure::MeanRatio,
                    model::EffectMeasure::Cles => EffectMeasure::Cles,
                },
                allowed_increase: number(effect.allowed_increase),
                allowed_decrease: number(effect.allowed_decrease),
                critical_increase: number(effect.critical_increase),
                critical_decrease: number(effect.critical_decrease),
            },
            outliers: scored.outlier_factor.map_or(default, |factor| Outliers {
                strategy: OutlierStrategy::Remove,
                outlier_factor: factor.get(),
            }),
        }
    }
}

impl Scorecard {
    /// A scorecard of a configuration as Kayenta writes it. What each metric measures is said by `metric`, by its name, since
    /// that stands elsewhere there.
    ///
    /// # Errors
    /// [`FiniteError`] for thresholds, weights and factors that are NaN or infinite.
    pub fn of_kayenta(
        method: ScoreMethod,
        config: &CanaryConfig,
        metric: impl Fn(&str) -> model::Metric,
    ) -> Result<Self, FiniteError> {
        let scored = |one: &Metric| scored(one, metric(&one.name));
        let weights = config.group_weights.iter();
        Ok(Self {
            method,
            metrics: config.metrics.iter().map(scored).collect::<Result<_, _>>()?,
            group_weights: weights
                .map(|(group, weight)| Ok((group.clone(), Finite::new(*weight)?)))
                .collect::<Result<_, FiniteError>>()?,
            pass: Finite::new(config.score_thresholds.pass)?,
            marginal: Finite::new(config.score_thresholds.marginal)?,
            every: None,
        })
    }
}

fn scored(one: &Metric, metric: model::Metric) -> Result<Scored, FiniteError> {
    let MetricConfig { direction, nan_strategy, critical, muted, must_have_data, .. } = one.canary;
    let MetricConfig { effect_size, outliers, .. } = one.canary;
    let number = |value: Option<f64>| value.map(Finite::new).transpose();
    Ok(Scored {
        name: one.name.clone(),
        metric,
        groups: one.groups.clone(),
        direction: match direction {
            Direction::Increase => Change::Increase,
            Direction::Decrease => Change::Decrease,
            Direction::Either => Change::Either,
        },
        nan: match nan_strategy {
            NanStrategy::Remove => NoValue::Remove,
            NanStrategy::Replace => NoValue::Replace,
        },
        critical,
        muted,
        must_have_data,
        effect: Effect {
            measure: match effect_size.measure {
                EffectMeasure::MeanRatio => model::EffectMeasure::MeanRatio,
                EffectMeasure::Cles => model::EffectMeasure::Cles,
            },
            allowed_increase: number(effect_size.allowed_increase)?,
            allowed_decrease: number(effect_size.allowed_decrease)?,
            critical_increase: number(effect_size.critical_increase)?,
            critical_decrease: number(effect_size.critical_decrease)?,
        },
        outlier_factor: match outliers.strategy {
            OutlierStrategy::Remove => Some(Finite::new(outliers.outlier_factor)?),
            OutlierStrategy::Keep => None,
        },
    })
}
