//! Two versions that do not differ: how often is one taken back over a whole run?

use release_core::analysis::Conclusion;

use super::traffic::{Traffic, share_of};

const ALPHA: f64 = 0.05;

/// As many paths as the documented command asks for, or so many that the test is quick.
fn paths(looks: u32) -> u32 {
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    let asked = std::env::var("JUDGE_PATHS").ok().and_then(|paths| paths.parse().ok());
    asked.unwrap_or(60_000 / looks.max(100))
}

#[track_caller]
fn check(name: &str, traffic: Traffic) {
    for looks in [24, 100, 1_000] {
        for metrics in [1, 4] {
            let paths = paths(looks);
            let found = share_of(Conclusion::Regressed, paths, (traffic, looks), (ALPHA, metrics));
            let error = (ALPHA * (1.0 - ALPHA) / f64::from(paths)).sqrt();
            println!("{name}, {looks} looks, {metrics} metrics: {found:.4} of {paths} paths");
            assert!(
                found <= ALPHA + 3.0 * error,
                "{name}, {looks} looks, {metrics} metrics: {found} of {paths} paths were false alarms"
            );
        }
    }
}

#[test]
fn errors_that_come_as_they_come_are_no_harm() {
    check("rare errors", Traffic::errors(0.2, 50));
    check("some errors", Traffic::errors(5.0, 50));
    check("some errors, a tenth of the traffic", Traffic::errors(5.0, 10));
}

#[test]
fn errors_in_waves_are_no_harm() {
    for waves in [0.2, 0.5] {
        check("errors in waves", Traffic::errors(5.0, 50).in_waves(0.8, waves));
        check("many errors in waves", Traffic::errors(50.0, 50).in_waves(0.8, waves));
        check("a tenth of the traffic", Traffic::errors(50.0, 10).in_waves(0.8, waves));
        check("short waves", Traffic::errors(50.0, 50).in_waves(0.4, waves));
    }
}

#[test]
fn means_that_vary_are_no_harm() {
    for correlation in [0.0, 0.3, 0.5, 0.8] {
        check(&format!("means, {correlation}"), Traffic::mean().in_waves(correlation, 0.0));
    }
}
