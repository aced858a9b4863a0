//! How a stream of numbers varies, and how much one tells of the next: in constant memory.

/// Sums over a stream, relative to its first number, so that nothing is lost to cancellation.
///
/// Only sums, products and quotients: the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Lagged {
    n: u32,
    anchor: f64,
    last: f64,
    sum: f64,
    squares: f64,
    products: f64,
}

/// What follows of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) n: f64,
    pub(crate) mean: f64,
    /// Of one number, unbiased if they are independent.
    pub(crate) variance: f64,
    /// How one number goes with the next, mended for being estimated from few; from -1 to 1.
    pub(crate) correlation: f64,
}

impl Lagged {
    pub(crate) fn push(&mut self, x: f64) {
        if self.n == 0 {
            self.anchor = x;
        }
        let x = x - self.anchor;
        if self.n > 0 {
            self.products += self.last * x;
        }
        self.n = self.n.saturating_add(1);
        self.sum += x;
        self.squares += x * x;
        self.last = x;
    }

    pub(crate) const fn len(&self) -> u32 {
        self.n
    }

    /// `None` for fewer than two numbers.
    pub(crate) fn spread(&self) -> Option<Spread> {
        if self.n < 2 {
            return None;
        }
        let n = f64::from(self.n);
        let m = self.sum / n;
        let squares = n.mul_add(-(m * m), self.squares).max(0.0);
        // The first number is 0 here, by its being the anchor.
        let products =
            self.products - m * self.sum - m * (self.sum - self.last) + (n - 1.0) * m * m;
        let raw = if squares > 0.0 { (products / squares).clamp(-1.0, 1.0) } else { 0.0 };
        // Kendall's correction of its bias towards less.
        let correlation = (raw + 3.0f64.mul_add(raw, 1.0) / n).clamp(-1.0, 1.0);
        let correlation = if squares > 0.0 { correlation } else { 0.0 };
        Some(Spread { n, mean: self.anchor + m, variance: squares / (n - 1.0), correlation })
    }

    /// All that it is made of, for digests.
    pub(crate) fn words(&self) -> [u64; 6] {
        let Self { n, anchor, last, sum, squares, products } = *self;
        [f64::from(n), anchor, last, sum, squares, products].map(f64::to_bits)
    }
}

impl Spread {
    /// The correlation of neighbours that is not exceeded, but for an error of about the size for which `z` is the
    /// quantile of the normal distribution.
    pub(crate) fn correlation_at_most(&self, z: f64) -> f64 {
        let noise = (1.0 - self.correlation * self.correlation).max(0.05) / self.n;
        z.mul_add(noise.sqrt(), self.correlation).clamp(0.0, 0.98)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_tells_what_its_numbers_do() {
        let numbers = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let mut stream = Lagged::default();
        for x in numbers {
            stream.push(x);
        }
        let spread = stream.spread().unwrap();
        let mean = numbers.iter().sum::<f64>() / 8.0;
        let centred: Vec<f64> = numbers.iter().map(|x| x - mean).collect();
        let squares: f64 = centred.iter().map(|x| x * x).sum();
        let products: f64 = centred.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let raw = products / squares;
        assert!((spread.mean - mean).abs() < 1e-12);
        assert!((spread.variance - squares / 7.0).abs() < 1e-12);
        assert!((spread.correlation - (raw + (1.0 + 3.0 * raw) / 8.0)).abs() < 1e-12);
    }

    #[test]
    fn large_numbers_that_vary_little_lose_nothing() {
        let mut stream = Lagged::default();
        (0..1_000).for_each(|n| stream.push(1e9 + f64::from(n % 2)));
        let spread = stream.spread().unwrap();
        assert!((spread.variance - 0.25 * 1000.0 / 999.0).abs() < 1e-9, "{spread:?}");
        assert!(spread.correlation < -0.9, "{spread:?}");
    }

    #[test]
    fn scaling_by_powers_of_two_changes_nothing_but_the_scale() {
        let (mut one, mut other) = (Lagged::default(), Lagged::default());
        for n in 0..50_u32 {
            let x = f64::from(n * 37 % 11) + 0.1;
            one.push(x);
            other.push(x * 1024.0);
        }
        let (one, other) = (one.spread().unwrap(), other.spread().unwrap());
        assert_eq!(one.correlation.to_bits(), other.correlation.to_bits());
        assert_eq!((one.mean * 1024.0).to_bits(), other.mean.to_bits());
    }
}
