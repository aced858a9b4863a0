//! Flags in a flag definition file of [flagd](https://flagd.dev): the file that flagd watches as a source, and that
//! OpenFeature providers of its family read by themselves. A change is in effect once they have seen it, which
//! takes them from moments to seconds; what the store tells is what the file says.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use release_providers::flagd::{FlagdSettings, FlagdStore};
//! use release_providers::spi::FlagStore;
//! use release_providers::{Registry, SystemClock};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(SystemClock::new());
//! let settings = FlagdSettings::new().file("production".parse()?, "/etc/flagd/production.json");
//! let store: Arc<dyn FlagStore> = Arc::new(FlagdStore::open(settings, clock)?);
//! # Ok(()) }
//! ```
//!
//! # What is kept how
//!
//! | state | `defaultVariant` | `targeting` |
//! |---|---|---|
//! | off | `off` | none |
//! | on | `on` | none |
//! | a share | `off`, for whoever has no targeting key | `{"fractional": [["on", 10], ["off", 90]]}` |
//! | killed | `off` | none; `metadata` has `release.killed` with who and why |
//!
//! Which variants mean on and off is a setting. Flags are not made here, since only people know their variants; a flag
//! with targeting of another form is people's too, and is neither read nor set. It can be killed, and its targeting is
//! then kept in its metadata as text. Who gets which variant of a share is as
//! [`Fractional::V3`](release_core::flags::Fractional::V3) says, with evaluators of that revision.
//!
//! Everything else in the file stays as it is, byte for byte: other flags, unknown fields, the order, the white space. The file is
//! replaced as a whole, so that no reader sees half of it. Beside it stand `.NAME.release.lock`, which lets one
//! change it at a time, and `.NAME.release.json`, which has the count of changes of each flag. Whoever writes the file without that lock, such as
//! an editor, is noticed: a change of the flag is a new revision, and one that comes while a set is under way makes it a
//! `Conflict`, but for the moment between its last look and the replacement. YAML is not read.

mod document;
mod file;
mod kind;
mod settings;
mod store;

pub use kind::FlagdKind;
pub use settings::FlagdSettings;
pub use store::FlagdStore;
