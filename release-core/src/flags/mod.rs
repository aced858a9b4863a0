//! Feature flags: what they are called, how they stand, and who gets which variant. Pure.
//!
//! A flag decouples release from activation: the new version is deployed with the feature off, and is activated by
//! degrees, beside or after the traffic. A plan mixes both (see [`FlagChange`](crate::model::FlagChange)); a
//! [`FlagStep`](crate::plan::FlagStep) is what it does to a flag.
//!
//! Who gets which variant is decided as [flagd](https://flagd.dev) and the OpenFeature providers of its family decide it,
//! by the `fractional` operation over flag key and targeting key. So one can tell beforehand, and without a flag server,
//! who will be concerned:
//!
//! ```
//! use release_core::flags::{FlagKey, FlagState, Fractional, Variant};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let flag = FlagKey::new("new-checkout")?;
//! let (on, off) = (Variant::new("on")?, Variant::new("off")?);
//! let ten = FlagState::share(10)?.split(&on, &off);
//! let half = FlagState::share(50)?.split(&on, &off);
//! let users: Vec<String> = (0..1000).map(|n| format!("user-{n}")).collect();
//! let with = |split: &release_core::flags::Split| {
//!     let all = users.iter().filter(|user| split.assign(Fractional::V3, &flag, user) == &on);
//!     all.cloned().collect::<Vec<String>>()
//! };
//! let (few, many) = (with(&ten), with(&half));
//! assert!((70..130).contains(&few.len()) && (440..560).contains(&many.len()));
//! // Who has a feature keeps it while the share grows.
//! assert!(few.iter().all(|user| many.contains(user)));
//! # Ok(())
//! # }
//! ```

mod bucket;
mod key;
mod kill;
mod split;
mod state;

pub use bucket::{Fractional, murmur3_32};
pub use key::{FlagKey, FlagNameError, Variant};
pub use kill::{FlagKill, KillEvent};
pub use split::{MAX_WEIGHT_SUM, Split, SplitError};
pub use state::{FlagReading, FlagState, ShareError};
