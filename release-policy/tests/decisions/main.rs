//! Rules as data: what they promise together, and what other rules would have cost.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod compared;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod versions;

#[cfg(test)]
mod support;
