//! Release trains: what they are to contain, who has to agree, and when they depart.
//!
//! ```
//! use std::collections::BTreeSet;
//!
//! use release_core::model::{Identity, Principal, RoleGrant, Timestamp};
//! use release_policy::directory::Directory;
//! use release_policy::train::{
//!     ItemKind, Lack, ReleaseScope, Requirement, ScopeItem, SignOffs, Signing,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let at = |text: &str| text.parse::<Timestamp>();
//! let (now, due) = (at("2026-11-23T09:00:00Z")?, at("2026-11-27T17:00:00Z")?);
//! let item = ScopeItem::new("pay-41".parse()?, ItemKind::Feature, "invoices", "billing".parse()?);
//! let mut scope = ReleaseScope::new([item.due(due)], [])?;
//! let legal = Requirement::new("legal".parse()?, "legal".parse()?, "counsel".parse()?, due);
//! let sign_offs = SignOffs::new([legal])?;
//!
//! // One signs what one has seen; whatever changes of it afterwards voids that.
//! let eve = Principal::human("eve".parse()?);
//! let role = RoleGrant::new("counsel".parse()?, now, "root".parse()?, "since ever");
//! let directory = Directory::new(1, now, [Identity::human(eve.id.clone()).with(role)], [])?;
//! let seen = scope.digest();
//! let asked = Signing { scope: &scope, said: &[], by: &eve, directory: &directory, at: now };
//! let said = [sign_offs.sign(&"legal".parse()?, seen, &asked)?];
//! let done = BTreeSet::from(["pay-41".parse()?]);
//! assert!(sign_offs.readiness(&scope, &said, &done, now).is_ready());
//!
//! scope.add(ScopeItem::new("pay-42".parse()?, ItemKind::Fix, "rounding", "billing".parse()?))?;
//! let readiness = sign_offs.readiness(&scope, &said, &done, now);
//! assert!(matches!(readiness.missing[0].what, Lack::Voided { .. }));
//! println!("{}", readiness.missing[0]); // … is void: item `pay-42` was added (legal, 4days 8h left)
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `scope` | items and objectives, and the parts of them that sign-offs cover |
//! | `sign_off` | which are required, and who may sign what |
//! | `readiness` | what is missing, whose it is, and how much time there is |
//! | `model` | time-based, feature-based and hybrid departures |
//! | `migration` | changes from one of these to another, with what they mean |
//! | [`calendar`] | the trains of a season, the work for them, and whether that can be |
//! | [`departure`] | one departure as a value: who boards, where it stops, what holds it; a policy by which the engine obeys it; and what hotfixes do to the next |
//! | `waves` | which regions go together, and when |
//! | `wave_stage` | the same for the stage of a definition, and freezes for when nobody is on call |

pub mod calendar;
pub mod departure;

mod migration;
mod model;
mod readiness;
mod scope;
mod sign_off;
mod wave_stage;
mod waves;

pub use migration::{Migration, TrainModel};
pub use model::{
    Became, Because, Departure, Entry, MAX_ENTRIES, ModelError, ReleaseModel, TrainHistory,
};
pub use readiness::{Lack, Missing, Readiness, Slack};
pub use scope::{
    Changed, Coverage, Covered, How, ItemKind, MAX_ITEMS, Objective, ReleaseScope, ScopeError,
    ScopeItem,
};
pub use sign_off::{
    MAX_SIGN_OFFS, Requirement, SignOff, SignOffError, SignOffs, Signing, Statement,
};
pub use waves::{
    EXACT, MAX_HOURS, MAX_REGIONS, Wave, WaveError, WavePlan, WaveRegion, WaveRules, waves,
};
