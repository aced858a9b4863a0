//! Rules in Cedar: they decide as all policies here do, and what Cedar would leave out denies.

#![cfg(feature = "cedar")]

#[cfg(test)]
mod places;
#[cfg(test)]
mod rules;
