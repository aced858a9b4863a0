//! Integrals and systems of linear equations.

use core::f64::consts::PI;

use super::real;

/// The nodes and weights of Gauss and Legendre on an interval, ascending: exact for polynomials of twice
/// the degree of `count`. Nodes by Newton's method from Tricomi's start, Abramowitz and Stegun 25.4.29.
pub(crate) fn nodes(count: usize, low: f64, high: f64) -> Vec<(f64, f64)> {
    let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
    let n = real(count);
    let node = |index: usize| {
        let mut x = -(PI * (real(index) + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..8 {
            let (mut previous, mut current) = (1.0, x);
            for degree in 2..=count {
                let k = real(degree);
                let next = ((2.0 * k - 1.0) * x * current - (k - 1.0) * previous) / k;
                (previous, current) = (current, next);
            }
            slope = n * (x * current - previous) / (x * x - 1.0);
            let step = current / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        (middle + half * x, 2.0 * half / ((1.0 - x * x) * slope * slope))
    };
    (0..count).map(node).collect()
}

/// Solves a system of linear equations, each row with its right side last; `None` when it has no single
/// solution.
pub(crate) fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = rows.len();
    for column in 0..size {
        let at = |row: &Vec<f64>| row.get(column).map_or(0.0, |value| value.abs());
        let (pivot, greatest) = rows
            .iter()
            .enumerate()
            .skip(column)
            .map(|(index, row)| (index, at(row)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        if greatest <= 0.0 || greatest.is_nan() {
            return None;
        }
        rows.swap(column, pivot);
        let (above, below) = rows.split_at_mut(column + 1);
        let head = above.last()?;
        for row in below {
            let factor = row.get(column)? / head.get(column)?;
            for (value, from) in row.iter_mut().zip(head).skip(column) {
                *value -= factor * from;
            }
        }
    }
    let mut solution = vec![0.0; size];
    for (index, row) in rows.iter().enumerate().rev() {
        let known: f64 = row.iter().zip(&solution).skip(index + 1).map(|(a, x)| a * x).sum();
        *solution.get_mut(index)? = (row.last()? - known) / row.get(index)?;
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrals_are_exact_for_polynomials() {
        for count in [1, 2, 5, 24, 301] {
            let weight: f64 = nodes(count, -1.0, 3.0).iter().map(|(_, w)| w).sum();
            assert!((weight - 4.0).abs() < 1e-12, "{count}: {weight}");
        }
        let ninth: f64 = nodes(5, 0.0, 2.0).iter().map(|(x, w)| w * x.powi(9)).sum();
        assert!((ninth - 102.4).abs() < 1e-11, "{ninth}");
    }

    #[test]
    fn systems_are_solved() {
        let rows =
            vec![vec![0.0, 2.0, 1.0, 7.0], vec![1.0, 1.0, 1.0, 6.0], vec![3.0, -1.0, 2.0, 7.0]];
        let got = solve(rows).unwrap();
        assert!(got.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
        assert_eq!(solve(vec![vec![1.0, 1.0, 1.0], vec![2.0, 2.0, 1.0]]), None);
    }
}
