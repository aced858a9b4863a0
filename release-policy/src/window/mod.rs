//! Time windows: freezes, which deny, and deployment windows, which permit.
//!
//! A [`Window`] says when (a rule of RFC 5545, cron, once, or on holidays; in a zone of the IANA
//! database), where ([`Scope`]), for which [classes of action](ActionClass) and for [whom](Invokers) it
//! holds. [`Windows`] has all of them compiled to sorted stretches of time, and is a
//! [`Policy`](release_core::port::Policy).
//!
//! ```
//! use release_core::model::{Principal, Timestamp};
//! use release_policy::window::{ActionClass, Query, When, WindowSpec, Windows};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let friday = When::rrule("2024-01-05T22:00", "FREQ=WEEKLY;BYDAY=FR", "56h");
//! let weekend = WindowSpec::freeze("weekend".parse()?, friday, "sre".parse()?, "nobody is there")
//!     .zone("Europe/Berlin")
//!     .build()?;
//! let windows = Windows::new([weekend])?;
//!
//! let ann = Principal::human("ann".parse()?);
//! let saturday: Timestamp = "2026-03-28T12:00:00Z".parse()?;
//! let deploy = Query::new(ActionClass::Deploy, &ann, saturday);
//! // Until Monday 06:00 there: the clock is put forward on Sunday.
//! assert_eq!(windows.next_open(&deploy)?, "2026-03-30T04:00:00Z".parse()?);
//! // A freeze that does not name rollbacks never holds one.
//! assert!(windows.is_open(&Query::new(ActionClass::Rollback, &ann, saturday)));
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `rule` | a window as it is written, and checked |
//! | `recurrence` | when it begins, on the civil clock |
//! | `civil` | what the civil clock means in a zone: gaps and folds |
//! | `spans` | its stretches of time, computed once |
//! | `scope` | places, classes of action, invokers |
//! | `set`, `answer`, `policy` | all windows together, what they answer, and the engine's question |
//! | `concerned` | the windows that concern a question, and the search for an opening |
//! | `waiver` | leave from a window |
//! | `midflight` | what becomes of a rollout that is under way |
//! | `holidays`, `ical` | calendars of holidays, and iCalendar |

mod answer;
mod civil;
mod concerned;
mod error;
mod holidays;
pub mod ical;
mod midflight;
mod policy;
mod recurrence;
mod rule;
mod scope;
mod set;
mod spans;
mod waiver;

pub use answer::{NeverOpens, Query, SamePerson, Straddle};
pub(crate) use civil::local;
pub use error::{WaiverError, WaiverProblem, WindowError, WindowProblem};
pub use holidays::{Holiday, HolidayCalendar, HolidayError, HolidaySpec};
pub use midflight::{MidFlight, OnStart, Point, Standing, mid_flight};
pub(crate) use policy::{is_to_come, places_of};
pub(crate) use recurrence::instant_within_reach;
pub use rule::{Kind, When, Window, WindowSpec};
pub use scope::{ActionClass, Classes, Invokers, Overlap, Scope};
pub use set::{MAX_WINDOWS, WindowRules, Windows, WindowsError};
pub use waiver::{Waiver, WaiverSpec};
