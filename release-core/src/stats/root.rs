//! Roots of functions of one number.

/// A root of `f` between `low` and `high`, where it has different signs, by Brent's method («Algorithms for
/// minimization without derivatives», 1973, chapter 4), with the stopping rule of `zeroin` in Forsythe,
/// Malcolm and Moler (1977), which is that of R's `uniroot` too: the step left is at most half of
/// `tolerance` and twice the precision of the root. A tolerance of 0 is as exact as floats are.
///
/// `None` when the signs do not differ, or after `steps` evaluations.
pub(crate) fn zeroin(
    mut f: impl FnMut(f64) -> f64,
    low: f64,
    high: f64,
    tolerance: f64,
    steps: u32,
) -> Option<f64> {
    let (mut a, mut best) = (low, high);
    let (mut f_a, mut f_best) = (f(a), f(best));
    if f_a == 0.0 {
        return Some(a);
    }
    let differ = f_best == 0.0 || (f_a < 0.0) != (f_best < 0.0);
    if !differ || f_a.is_nan() || f_best.is_nan() {
        return None;
    }
    let (mut other, mut f_other) = (a, f_a);
    for _ in 0..=steps {
        let previous = best - a;
        if f_other.abs() < f_best.abs() {
            (a, best, other) = (best, other, best);
            (f_a, f_best, f_other) = (f_best, f_other, f_best);
        }
        let enough = 2.0 * f64::EPSILON * best.abs() + 0.5 * tolerance;
        let half = 0.5 * (other - best);
        if half.abs() <= enough || f_best == 0.0 {
            return Some(best);
        }
        let mut step = half;
        if previous.abs() >= enough && f_a.abs() > f_best.abs() {
            let points = [(a, f_a), (best, f_best), (other, f_other)];
            step = interpolated(points, half, previous, enough).unwrap_or(half);
        }
        if step.abs() < enough {
            step = enough.copysign(step);
        }
        (a, f_a) = (best, f_best);
        best += step;
        f_best = f(best);
        if (f_best > 0.0) == (f_other > 0.0) {
            (other, f_other) = (a, f_a);
        }
    }
    None
}

/// The step of inverse quadratic interpolation, or of the secant where two points are one, if it stays
/// within three quarters of the bracket and is less than half of the step before.
fn interpolated(
    [(a, f_a), (best, f_best), (other, f_other)]: [(f64, f64); 3],
    half: f64,
    previous: f64,
    enough: f64,
) -> Option<f64> {
    let width = 2.0 * half;
    let ratio = f_best / f_a;
    #[expect(clippy::float_cmp, reason = "they are one point, or two")]
    let secant = a == other;
    let (p, q) = if secant {
        (width * ratio, 1.0 - ratio)
    } else {
        let (s, t) = (f_a / f_other, f_best / f_other);
        (
            ratio * (width * s * (s - t) - (best - a) * (t - 1.0)),
            (s - 1.0) * (t - 1.0) * (ratio - 1.0),
        )
    };
    let (p, q) = if p > 0.0 { (p, -q) } else { (-p, q) };
    let within = p < 0.75 * width * q - 0.5 * (enough * q).abs();
    (within && p < (0.5 * previous * q).abs()).then(|| p / q)
}

/// A root between `low` and wherever a doubled `high` has the other sign; `None` when none has.
pub(crate) fn expanding(mut f: impl FnMut(f64) -> f64, low: f64, high: f64) -> Option<f64> {
    let negative = f(low) < 0.0;
    let (mut from, mut until) = (low, high);
    for _ in 0..200 {
        if (f(until) < 0.0) != negative {
            return zeroin(f, from, until, 0.0, 200);
        }
        (from, until) = (until, 2.0 * until);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_to_the_last_digit() {
        let near = |got: Option<f64>, want: f64| (got.unwrap() - want).abs() <= 4e-16 * want.abs();
        assert!(near(zeroin(|x| x * x - 2.0, 0.0, 2.0, 0.0, 100), 2_f64.sqrt()));
        assert!(near(zeroin(|x| x.cos() - x, 0.0, 1.0, 0.0, 100), 0.739_085_133_215_160_6));
        assert!(near(zeroin(|x| (x - 1e-9).powi(3), -1.0, 2.0, 0.0, 1000), 1e-9));
        assert!(near(expanding(|x| x - 1234.5, 0.0, 1.0), 1234.5));
        assert_eq!(zeroin(|x| x * x + 1.0, -1.0, 1.0, 0.0, 100), None);
        assert_eq!(zeroin(|_| f64::NAN, -1.0, 1.0, 0.0, 100), None);
    }

    /// Evaluations of R 4's `uniroot(function(x) x^2 - 2, c(0, 2), tol = 1e-4)`: the root is off by as much
    /// as the tolerance lets it be.
    #[test]
    fn a_tolerance_stops_early() {
        let mut calls = 0;
        let root = zeroin(
            |x| {
                calls += 1;
                x * x - 2.0
            },
            0.0,
            2.0,
            1e-4,
            1000,
        );
        let off = (root.unwrap() - 2_f64.sqrt()).abs();
        assert!(off > 1e-12 && off < 1e-4 && calls < 15, "{root:?} after {calls}");
    }
}
