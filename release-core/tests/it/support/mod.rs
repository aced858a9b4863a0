//! What the tests share.

pub(crate) mod bounds;
pub(crate) mod counterfactual;
pub(crate) mod desk;
pub(crate) mod drive;
pub(crate) mod engines;
pub(crate) mod flags;
pub(crate) mod looks;
pub(crate) mod random;
pub(crate) mod samples;
pub(crate) mod words;
pub(crate) mod world;
