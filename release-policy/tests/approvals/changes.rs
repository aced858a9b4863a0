//! Types, states, risk, standing and calibration of changes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use release_core::model::Digest;
use release_policy::change::{
    Band, ChangeState, ChangeType, Factor, Forecast, IllegalStep, Outcome, RiskError, RiskInputs,
    RiskModel, Route, Standing, StandingRule, StandingRuleError, Step, calibrate, standing, step,
};

use crate::support::{at, id};

fn go(kind: ChangeType, from: ChangeState, to: ChangeState) -> Result<bool, IllegalStep> {
    let basis = Some(Digest::of(b"approved"));
    let taken = step(kind, from, &Step { to, by: id("ann"), at: at(1), basis })?;
    assert_eq!(taken.state, to);
    Ok(taken.cancels_approvals)
}

#[test]
fn changes_take_the_steps_of_their_type_and_no_others() {
    use ChangeState::{Assess, Authorize, Canceled, Closed, Implement, New, Review, Scheduled};
    use ChangeType::{Emergency, Normal, Standard};
    let common = [(Scheduled, Implement), (Implement, Review), (Review, Closed)];
    let cancel = [New, Assess, Authorize, Scheduled, Implement].map(|from| (from, Canceled));
    let revert = [Assess, Authorize, Scheduled].map(|from| (from, New));
    let table = [
        (Standard, vec![(New, Scheduled)]),
        (Normal, vec![(New, Assess), (Assess, Authorize), (Authorize, Scheduled)]),
        (Emergency, vec![(New, Authorize), (Authorize, Scheduled)]),
    ];
    let mut legal = 0;
    for (kind, own) in table {
        for from in ChangeState::ALL {
            for to in ChangeState::ALL {
                let pair = (from, to);
                let want = if cancel.contains(&pair) || revert.contains(&pair) {
                    Ok(true)
                } else if own.contains(&pair) || common.contains(&pair) {
                    Ok(false)
                } else if to == Canceled && matches!(from, Review | Closed) {
                    Err(IllegalStep::TooLateToCancel { from })
                } else {
                    Err(IllegalStep::NoWay { kind, from, to })
                };
                assert_eq!(go(kind, from, to), want, "{kind}: {from} to {to}");
                legal += usize::from(want.is_ok());
            }
        }
    }
    assert_eq!(legal, 3 * (3 + 5 + 3) + 1 + 3 + 2);
}

#[test]
fn nothing_is_scheduled_without_what_authorizes_it() {
    for (kind, from) in [
        (ChangeType::Standard, ChangeState::New),
        (ChangeType::Normal, ChangeState::Authorize),
        (ChangeType::Emergency, ChangeState::Authorize),
    ] {
        let bare = Step { to: ChangeState::Scheduled, by: id("ann"), at: at(1), basis: None };
        assert_eq!(step(kind, from, &bare), Err(IllegalStep::NoBasis));
    }
}

fn bands(all: &[(u32, u32)]) -> Vec<Band> {
    all.iter().map(|(from, points)| Band { from: *from, points: *points }).collect()
}

fn factors() -> BTreeMap<Factor, Vec<Band>> {
    let mut all: BTreeMap<_, _> =
        Factor::ALL.into_iter().map(|factor| (factor, bands(&[(0, 0), (10, 5)]))).collect();
    all.insert(Factor::DataMigration, bands(&[(0, 0), (1, 10), (2, 40)]));
    all.insert(Factor::CanaryCoverage, bands(&[(0, 20), (5_000, 0)]));
    all
}

pub(crate) fn model(cab_from: u32) -> RiskModel {
    RiskModel::new(3, factors(), 10, cab_from).unwrap()
}

fn known() -> RiskInputs {
    let mut all: RiskInputs = Factor::ALL.into_iter().map(|factor| (factor, 0)).collect();
    all.insert(Factor::CanaryCoverage, 9_000);
    all
}

#[test]
fn a_score_is_the_sum_of_what_is_told() {
    let mut inputs = known();
    assert_eq!(model(50).assess(&inputs).score, 0);
    inputs.insert(Factor::DataMigration, 1);
    inputs.insert(Factor::SecurityPaths, 12);
    let assessment = model(50).assess(&inputs);
    assert_eq!((assessment.model, assessment.score, assessment.worst), (3, 15, 100));
    let told = |factor| {
        let given = assessment.contributions.iter().find(|given| given.factor == factor);
        given.unwrap().to_string()
    };
    assert_eq!(told(Factor::DataMigration), "data migration is 1: 10 of 40");
    inputs.remove(&Factor::CanaryCoverage);
    let assessment = model(50).assess(&inputs);
    assert_eq!(assessment.score, 35);
    let given = assessment.contributions.iter().find(|given| given.value.is_none()).unwrap();
    assert_eq!(given.to_string(), "canary coverage is not known: 20 of 20");
    // Nothing known is as bad as it gets.
    assert_eq!(model(50).assess(&RiskInputs::new()).score, 100);
}

#[test]
fn a_score_routes_and_an_earned_template_is_not_enough() {
    let earned = || Standing::Earned { in_a_row: 9, failed: 0 };
    let not_yet = || Standing::NotYet { in_a_row: 0, of: 5, lost: None };
    let route = |migration, asked, template: Standing| {
        let mut inputs = known();
        inputs.insert(Factor::DataMigration, migration);
        if migration == 2 {
            inputs.insert(Factor::SecurityPaths, 10);
            inputs.insert(Factor::DependencyFanOut, 10);
        }
        model(50).route(&inputs, asked, &template).route
    };
    assert_eq!(route(0, ChangeType::Standard, earned()), Route::Standard);
    assert_eq!(route(0, ChangeType::Standard, not_yet()), Route::Normal);
    assert_eq!(route(1, ChangeType::Standard, earned()), Route::Normal);
    assert_eq!(route(2, ChangeType::Standard, earned()), Route::Cab);
    assert_eq!(route(0, ChangeType::Normal, earned()), Route::Normal);
    assert_eq!(route(2, ChangeType::Normal, earned()), Route::Cab);
    assert_eq!(route(2, ChangeType::Emergency, earned()), Route::Emergency);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn what_is_not_known_never_lowers_the_score_nor_eases_the_route(
        values in prop::array::uniform10(0..15_u32),
        unknown in 0..1_024_usize,
        standard in any::<bool>(),
    ) {
        let all: RiskInputs = Factor::ALL.into_iter().zip(values).collect();
        let known = Factor::ALL.into_iter().enumerate().filter(|(at, _)| unknown >> at & 1 == 0);
        let some: RiskInputs = known.map(|(_, factor)| (factor, all[&factor])).collect();
        let asked = if standard { ChangeType::Standard } else { ChangeType::Normal };
        let template = Standing::Earned { in_a_row: 9, failed: 0 };
        let model = model(50);
        let (full, less) =
            (model.route(&all, asked, &template), model.route(&some, asked, &template));
        prop_assert!(less.assessment.score >= full.assessment.score);
        prop_assert!(less.route >= full.route);
        let sum: u32 = less.assessment.contributions.iter().map(|given| given.points).sum();
        prop_assert_eq!(sum, less.assessment.score);
    }
}

#[test]
fn a_model_that_cannot_be_used_is_refused_by_name() {
    let with = |factor, all: &[(u32, u32)]| {
        let mut factors = factors();
        factors.insert(factor, bands(all));
        RiskModel::new(1, factors, 10, 50).unwrap_err()
    };
    let factor = Factor::TestDelta;
    assert_eq!(with(factor, &[]), RiskError::NotWeighed { factor });
    assert_eq!(with(factor, &[(1, 0)]), RiskError::NoBegin { factor, from: 1 });
    assert_eq!(with(factor, &[(0, 0), (5, 1), (5, 2)]), RiskError::NotRising { factor, from: 5 });
    assert_eq!(with(factor, &[(0, 1_001)]), RiskError::TooManyPoints { factor, points: 1_001 });
    let crossed = RiskError::Crossed { standard_below: 51, cab_from: 50 };
    assert_eq!(RiskModel::new(1, factors(), 51, 50), Err(crossed));
    let text = serde_json::to_string(&model(50)).unwrap();
    assert_eq!(serde_json::from_str::<RiskModel>(&text).unwrap(), model(50));
    let error =
        serde_json::from_str::<RiskModel>(&text.replace("\"cab_from\":50", "\"cab_from\":1"));
    assert!(error.unwrap_err().to_string().starts_with("risk/routes"));
}

#[test]
fn standard_status_is_earned_by_outcomes_and_lost_by_one() {
    let (ours, other) = (Digest::of(b"ours"), Digest::of(b"other"));
    // Three in a row; of the last ten, fewer than one in five failed.
    let rule = StandingRule::new(3, 10, 2_000).unwrap();
    let past = |text: &str| -> Vec<Outcome> {
        (1_i64..)
            .zip(text.chars())
            .map(|(second, c)| Outcome {
                template: if c == 'o' { other } else { ours },
                at: at(second),
                failed: c != '+',
            })
            .collect()
    };
    let of = |text: &str| standing(&rule, ours, &past(text));
    let not_yet =
        |in_a_row, lost: Option<i64>| Standing::NotYet { in_a_row, of: 3, lost: lost.map(at) };
    assert_eq!(of(""), not_yet(0, None));
    assert_eq!(of("++"), not_yet(2, None));
    assert_eq!(of("+o+o+"), Standing::Earned { in_a_row: 3, failed: 0 });
    assert_eq!(of("++++++++-"), not_yet(0, Some(9)));
    assert_eq!(of("++++++++-++"), not_yet(2, Some(9)));
    assert_eq!(of("++++++++-+++"), Standing::Earned { in_a_row: 3, failed: 1_000 });
    assert_eq!(of("--+++"), Standing::TooOften { failed: 4_000, below: 2_000 });
    assert_eq!(of("-+++"), Standing::TooOften { failed: 2_500, below: 2_000 });
    // Another text of the template has no past.
    assert_eq!(standing(&rule, Digest::of(b"new"), &past("+++++")), not_yet(0, None));
    assert_eq!(StandingRule::new(0, 10, 1), Err(StandingRuleError::NoSuccesses));
    let window = StandingRuleError::Window { window: 2, successes: 3 };
    assert_eq!(StandingRule::new(3, 2, 1), Err(window));
    assert_eq!(StandingRule::new(3, 3, 0), Err(StandingRuleError::Rate(0)));
    assert_eq!(StandingRule::new(3, 3, 10_001), Err(StandingRuleError::Rate(10_001)));
}

#[track_caller]
fn near(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-12, "{got} is not {want}");
}

#[test]
fn the_brier_score_is_that_of_a_hand() {
    let forecasts: Vec<_> = [(1_000, false), (1_000, false), (9_000, true), (9_000, false)]
        .into_iter()
        .map(|(failure, failed)| Forecast { failure, failed })
        .collect();
    let report = calibrate(&forecasts).unwrap();
    // (0.01 + 0.01 + 0.01 + 0.81) / 4; one in four failed; bins 0.1 → 0/2 and 0.9 → 1/2.
    near(report.brier, 0.21);
    near(report.base_rate, 0.25);
    near(report.uncertainty, 0.1875);
    near(report.reliability, (2.0 * 0.01 + 2.0 * 0.16) / 4.0);
    near(report.resolution, (2.0 * 0.0625 + 2.0 * 0.0625) / 4.0);
    near(report.skill.unwrap(), 1.0 - 0.21 / 0.1875);
    assert_eq!((report.bins[1].forecasts, report.bins[1].failed), (2, 1));
    assert_eq!(calibrate(&[]), None);
    assert_eq!(calibrate(&[Forecast { failure: 0, failed: false }]).unwrap().skill, None);
}

proptest! {
    #[test]
    fn the_brier_score_is_its_parts(
        all in prop::collection::vec((0..=20_u32, any::<bool>()), 1..60),
    ) {
        let forecasts: Vec<_> = all
            .into_iter()
            .map(|(failure, failed)| Forecast { failure: failure * 500, failed })
            .collect();
        let report = calibrate(&forecasts).unwrap();
        let distance = |forecast: &Forecast| {
            let outcome = f64::from(u8::from(forecast.failed));
            (f64::from(forecast.failure) / 10_000.0 - outcome).powi(2)
        };
        let mean = forecasts.iter().map(distance).sum::<f64>() / f64::from(report.forecasts);
        prop_assert!((report.brier - mean).abs() < 1e-9);
        let parts = report.reliability - report.resolution + report.uncertainty;
        prop_assert!((report.brier - parts).abs() < 1e-9);
    }
}
