//! Distribution functions and their logarithms, right far out in the tails.
//!
//! What `statrs` and `libm` compute to the accuracy that is needed is taken from them (`ln_gamma` and a start for
//! the normal quantile; `erfc`). Beta and gamma are computed here, as logarithms: there an
//! e-value of 10^-400 or a tail beyond all floats is still a number.
//!
//! Each function says how far its result is from the truth; the tests hold them against `mpmath`.

mod beta;
mod gamma;
mod normal;

pub use beta::{ln_beta, ln_beta_cdf, ln_beta_kernel, ln_beta_sf, student_t_cdf};
pub use gamma::{ln_gamma, ln_gamma_p, ln_gamma_q, zeta};
pub use normal::{ln_normal_cdf, normal_cdf, normal_density, normal_quantile, normal_sf};

pub(crate) use gamma::log_gap;
pub(crate) use normal::scaled_erfc;

/// The logarithm of one minus a number whose logarithm is given; `-inf` for logarithms of one or more.
pub(crate) fn ln_complement(ln: f64) -> f64 {
    if ln >= 0.0 {
        f64::NEG_INFINITY
    } else if ln > -core::f64::consts::LN_2 {
        (-ln.exp_m1()).ln()
    } else {
        (-ln.exp()).ln_1p()
    }
}
