//! Flaky suites of tests: which are, shown by numbers, and for how long one does without them.
//!
//! A suite that both fails and passes on one and the same content is flaky; one that never passes on some content may well be right
//! about it. So only attempts at contents that the suite passed once are counted ([`Attempts`]), and a suite is flaky when it failed in
//! more of these than is [tolerated](QuarantineRules::tolerated), whenever one looks: the share of failures lies in an interval that
//! holds at all looks together ([`CountTest::share_interval`](release_core::stats::counts::CountTest::share_interval)). That only
//! contents count on which it passed makes it harder to be called flaky, never easier.
//!
//! Such a suite may be quarantined ([`Quarantines::begin`]): somebody owns it, and it ends. Until then its failure is told, and holds
//! nothing; from then on it is required again, and [`Duty::Overdue`] names the owner. It is not a way to switch tests off: only so
//! many suites at once, only with attempts since the last time, and what fails again and again on one content, more often than a flaky
//! suite would, holds that content as before ([`Duty::Broken`]).
//!
//! ```
//! use release_core::model::{Digest, Timestamp, Span};
//! use release_policy::quarantine::{Attempt, Attempts, Duty, QuarantineRules, Quarantines};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (rules, now) = (QuarantineRules::default(), Timestamp::default());
//! let (mut attempts, mut quarantines) = (Attempts::default(), Quarantines::default());
//! for nth in 0..60_u32 {
//!     let content = Digest::of(&(nth / 2).to_be_bytes());
//!     // Fails at first, and passes when it is run again.
//!     attempts.add(&Attempt::new("checkout".parse()?, content, now, nth % 2 == 1))?;
//! }
//! quarantines.begin(&rules, &attempts, "checkout".parse()?, "team-shop".parse()?, now, Span::secs(7 * 86_400))?;
//!
//! let new = Digest::of(b"new");
//! assert!(matches!(quarantines.duty(&rules, &attempts, &"checkout".parse()?, new, now)?, Duty::Excused { .. }));
//! let later = now.plus(Span::secs(8 * 86_400));
//! let duty = quarantines.duty(&rules, &attempts, &"checkout".parse()?, new, later)?;
//! assert_eq!(duty.to_string(), "required again since 1970-01-08T00:00:00.000000Z: `team-shop` owes that it be mended");
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `attempts` | what was seen of suites, and whether they are flaky |
//! | `hold` | who is in quarantine, until when, and what a failure means |

mod attempts;
mod hold;

pub use attempts::{Attempt, Attempts, Flakiness, MAX_CONTENTS, TooManyAttempts};
pub use hold::{Duty, NoQuarantine, Quarantine, QuarantineRules, Quarantines};
