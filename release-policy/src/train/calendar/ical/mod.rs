//! Calendars to iCalendar (RFC 5545), and back: all of a calendar is one text, and what is read of it is what was written.
//!
//! Trains are `VEVENT`s with an `RRULE`, work is `VTODO`s with what they come after as `RELATED-TO;RELTYPE=DEPENDS-ON`
//! (RFC 9253), absences, freezes and holidays are `VEVENT`s. What these say counts, also when another program changed it; what iCalendar
//! has no word for stands as JSON in properties of ours (`X-RELEASE-…`). What people wrote in other words than iCalendar has, such as a
//! freeze by cron, whose begins are listed, is kept beside it for as long as nobody changes that.
//!
//! | file | holds |
//! |---|---|
//! | `trains`, `work`, `crews` | each of these out and in |
//! | `windows` | freezes, calendars of holidays, and what else belongs to windows |
//! | `as_written` | what people wrote in other words |
//! | `read`, `places` | all of it in, and on which line what stands |

mod as_written;
mod crews;
mod places;
mod read;
mod trains;
mod windows;
mod work;

use icalendar::Property;
use icalendar::parser::Component as Parsed;
use release_core::model::{Span, TeamId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::crews::CREW;
use self::read::{SEASON, Season};
use super::{Calendar, Crew, Phase};
use crate::window::ical::inner::{self, Moment, empty};
use crate::window::ical::{EventProblem, IcalError};

pub use self::read::{ImportError, read_calendar};

/// What a calendar says that was not written here: iCalendar does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsaid {
    /// When the season begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Who does what it lists.
    pub owner: TeamId,
    /// Which part of the way that is.
    pub phase: Phase,
    /// How long something takes that says no `DURATION`.
    pub work: Span,
}

/// Writes a calendar with all that belongs to it, stamped with an instant that the caller says.
///
/// Freezes by cron and on holidays are shown by the dates on which they begin in the season; of one that does not begin in it, or too often
/// to be listed, only [`read_calendar`] knows.
///
/// # Errors
/// [`IcalError::Event`] names what cannot be written: instants that are no whole seconds.
pub fn write_calendar(calendar: &Calendar, stamp: Timestamp) -> Result<String, IcalError> {
    let spec = calendar.spec();
    let mut written = empty();
    let season = Season { from: spec.from, until: spec.until };
    written.append_property(json(SEASON, &season, "season")?);
    for crew in &spec.crews {
        let alone = Crew { absences: Vec::new(), ..crew.clone() };
        written.append_property(json(CREW, &alone, crew.team.as_str())?);
    }
    windows::write(spec, stamp, &mut written)?;
    for train in &spec.trains {
        written.push(trains::written(train, stamp)?);
    }
    for crew in &spec.crews {
        written.extend(crews::absences(crew, stamp)?);
    }
    for activity in &spec.activities {
        written.push(work::written(activity, stamp)?);
    }
    Ok(written.to_string())
}

fn failing(of: &str, problem: EventProblem) -> IcalError {
    IcalError::Event { line: None, event: of.to_owned(), problem }
}

fn unwritable(of: &str, why: &str) -> IcalError {
    failing(of, EventProblem::Unwritable(why.to_owned()))
}

fn bad(property: &str, value: &str) -> EventProblem {
    let value = value.chars().take(80).collect();
    EventProblem::BadValue { property: property.to_owned(), value }
}

fn json(key: &str, value: &impl Serialize, of: &str) -> Result<Property, IcalError> {
    let written = serde_json::to_string(value);
    Ok(Property::new(key, written.map_err(|error| unwritable(of, &error.to_string()))?))
}

fn parsed<T: DeserializeOwned>(property: &str, value: &str, of: &str) -> Result<T, IcalError> {
    serde_json::from_str(value).map_err(|error| failing(of, bad(property, &error.to_string())))
}

/// Refuses what would be lost: rules and dates that have no place here.
fn only_once(component: &Parsed<'_>, others: &[&str]) -> Result<(), EventProblem> {
    let has = |name: &&&str| component.find_prop(**name).is_some();
    if let Some(name) = ["EXRULE", "RECURRENCE-ID"].iter().chain(others).find(has) {
        return Err(EventProblem::Unsupported((*name).to_owned()));
    }
    let rules = component.properties.iter().filter(|property| property.name == "RRULE").count();
    if rules > 1 {
        return Err(EventProblem::Unsupported("a second RRULE".to_owned()));
    }
    Ok(())
}

/// When a property says; a time without a zone, or a date, is that of UTC.
fn instant(component: &Parsed<'_>, name: &str) -> Result<Option<Timestamp>, EventProblem> {
    let Some(property) = component.find_prop(name) else { return Ok(None) };
    let moment = inner::one(property)?;
    let zone = match moment {
        Moment::Local(_, Some(zone)) => zone,
        _ => chrono_tz::Tz::UTC,
    };
    let micros = inner::earliest(zone, moment.civil());
    let micros = micros.ok_or_else(|| bad(name, &moment.civil().to_string()))?;
    Ok(Some(Timestamp::from_micros(micros)))
}
