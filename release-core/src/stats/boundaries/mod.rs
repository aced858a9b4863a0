//! Boundaries that a random walk ever crosses with probability `alpha` at most: uniform in time.
//!
//! From Howard, Ramdas, McAuliffe and Sekhon, «Time-uniform, nonparametric, nonasymptotic confidence
//! sequences», Annals of Statistics 49 (2021), and, for whole distributions and quantiles, Howard and
//! Ramdas, «Sequential estimation of quantiles», Bernoulli 28 (2022). A walk `s` at intrinsic time `v` is
//! what the observations have summed up to and what variance they have had. A mixture is tightest about the
//! time `v_opt` for which it is made, and holds at all times.

mod mixture;
mod stitching;

pub use mixture::{Family, Mixture, bernoulli_interval, rho_one_sided, rho_two_sided};
pub use stitching::{DoubleStitching, EmpiricalProcess, PolyStitching};
