//! Our distribution functions beside those of `statrs`, over a grid: wherever that one gives a number at all, ours is the same one.

use release_core::stats::special::{
    ln_beta_cdf, ln_beta_sf, ln_gamma, ln_gamma_p, ln_gamma_q, normal_cdf, normal_quantile,
    student_t_cdf,
};
use statrs::distribution::{Beta, ContinuousCDF, Gamma, Normal, StudentsT};

/// What `statrs` promises of its own: about ten digits.
const DIGITS: f64 = 1e-9;

/// Compares logarithms with what they are of, where that is not lost in rounding.
#[track_caller]
fn same(ln: f64, theirs: f64, what: &str) -> u32 {
    if theirs < 1e-280 {
        return 0;
    }
    let ours = ln.exp();
    assert!((ours - theirs).abs() <= DIGITS * theirs + 1e-14, "{what}: {ours}, not {theirs}");
    1
}

#[test]
fn the_normal_distribution_is_that_of_statrs() {
    let theirs = Normal::standard();
    for step in -370..=370 {
        let x = f64::from(step) / 10.0;
        same(normal_cdf(x).ln(), theirs.cdf(x), &format!("normal at {x}"));
    }
    for step in 1..2_000 {
        let p = f64::from(step) / 2_000.0;
        let (ours, want) = (normal_quantile(p).unwrap(), theirs.inverse_cdf(p));
        assert!((ours - want).abs() < 1e-9, "quantile of {p}: {ours}, not {want}");
    }
}

#[test]
fn beta_is_that_of_statrs() {
    let mut compared = 0;
    let sizes = [0.1, 0.5, 1.0, 2.0, 3.5, 10.0, 40.0, 150.0, 600.0];
    for (a, b) in sizes.iter().flat_map(|a| sizes.map(|b| (*a, b))) {
        let theirs = Beta::new(a, b).unwrap();
        for step in 1..100 {
            let x = f64::from(step) / 100.0;
            let at = format!("beta {a}, {b} at {x}");
            compared += same(ln_beta_cdf(a, b, x).unwrap(), theirs.cdf(x), &at);
            compared += same(ln_beta_sf(a, b, x).unwrap(), theirs.sf(x), &at);
        }
    }
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn gamma_is_that_of_statrs() {
    let mut compared = 0;
    for a in [0.1, 0.5, 1.0, 2.0, 7.5, 30.0, 120.0, 500.0] {
        let theirs = Gamma::new(a, 1.0).unwrap();
        for step in 1..=200 {
            let x = a * f64::from(step) / 50.0;
            let at = format!("gamma {a} at {x}");
            compared += same(ln_gamma_p(a, x).unwrap(), theirs.cdf(x), &at);
            compared += same(ln_gamma_q(a, x).unwrap(), theirs.sf(x), &at);
        }
        let (ours, want) = (ln_gamma(a).unwrap(), statrs::function::gamma::ln_gamma(a));
        assert!((ours - want).abs() <= 1e-12 * want.abs().max(1.0), "{a}: {ours}, not {want}");
    }
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn student_is_that_of_statrs() {
    let mut compared = 0;
    for df in [1.0, 2.5, 4.0, 9.7, 30.0, 59.0, 400.0] {
        let theirs = StudentsT::new(0.0, 1.0, df).unwrap();
        for step in -120..=120 {
            let t = f64::from(step) / 10.0;
            let ours = student_t_cdf(t, df).unwrap();
            compared += same(ours.ln(), theirs.cdf(t), &format!("t {df} at {t}"));
        }
    }
    assert!(compared > 1_500, "{compared}");
}
