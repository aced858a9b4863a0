//! What the tests share.

pub(crate) mod drive;
pub(crate) mod random;
pub(crate) mod samples;
pub(crate) mod world;
