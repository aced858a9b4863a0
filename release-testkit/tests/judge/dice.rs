//! Pseudo-random numbers, the same on every machine.

use release_core::stats::special::ln_gamma;

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
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Of the standard normal distribution.
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Of the Poisson distribution: small ones by waiting times, others by Hörmann's transformed rejection (PTRS, «The
    /// transformed rejection method for generating Poisson random variables», 1993).
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean < 10.0 {
            let (mut count, limit, mut product) = (0.0, (-mean).exp(), self.unit());
            while product > limit {
                count += 1.0;
                product *= self.unit();
            }
            return count;
        }
        let b = 2.53f64.mul_add(mean.sqrt(), 0.931);
        let a = 0.02483f64.mul_add(b, -0.059);
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let near = 0.5 - u.abs();
            let count = (2.0 * a / near + b).mul_add(u, mean + 0.43).floor();
            if near >= 0.07 && v <= 0.9277 - 3.6224 / (b - 2.0) {
                return count;
            }
            if count < 0.0 || near < 0.013 && v > near {
                continue;
            }
            let hat = (v * (1.1239 + 1.1328 / (b - 3.4)) / (a / (near * near) + b)).ln();
            if hat <= count.mul_add(mean.ln(), -mean) - ln_gamma(count + 1.0).unwrap() {
                return count;
            }
        }
    }

    /// How many of `all` fall to one with this share: of many by the normal distribution.
    pub(crate) fn split(&mut self, all: f64, share: f64) -> f64 {
        let (mean, variance) = (all * share, all * share * (1.0 - share));
        if variance > 100.0 {
            return variance.sqrt().mul_add(self.normal(), mean).round().clamp(0.0, all);
        }
        let (mut count, mut left) = (0.0, all);
        while left >= 1.0 {
            count += f64::from(u8::from(self.unit() <= share));
            left -= 1.0;
        }
        count
    }
}
