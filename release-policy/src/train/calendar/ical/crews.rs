//! Teams with their hours as JSON, and their absences as `VEVENT`s.

use icalendar::parser::Component as Parsed;
use icalendar::{Component as _, Event};
use release_core::model::{TeamId, Timestamp};

use super::as_written::{as_written, keep};
use super::{bad, failing, instant, only_once};
use crate::train::calendar::{Absence, Crew};
use crate::window::ical::inner::{event, name_of, text, utc};
use crate::window::ical::{EventProblem, IcalError};

/// A team with all but its absences.
pub(super) const CREW: &str = "X-RELEASE-CREW";
/// Whose absence it is.
pub(super) const TEAM: &str = "X-RELEASE-TEAM";

/// All absences of a team.
pub(super) fn absences(crew: &Crew, stamp: Timestamp) -> Result<Vec<Event>, IcalError> {
    let one = |(nth, absence): (usize, &Absence)| {
        let uid = format!("absence/{}/{nth}", crew.team);
        let fail = |problem| failing(&uid, problem);
        let mut event = event(&uid, &absence.reason, stamp)?;
        event.add_property("DTSTART", utc(absence.from).map_err(fail)?);
        event.add_property("DTEND", utc(absence.until).map_err(fail)?);
        event.add_property("CATEGORIES", "ABSENCE");
        event.add_property(TEAM, crew.team.as_str());
        keep(&mut event, &(crew.team.clone(), absence.clone()), &uid, said)?;
        Ok(event)
    };
    crew.absences.iter().enumerate().map(one).collect()
}

pub(super) fn read(component: &Parsed<'_>) -> Result<(TeamId, Absence), IcalError> {
    as_written(component, said(component)?, &name_of(component))
}

fn said(component: &Parsed<'_>) -> Result<(TeamId, Absence), IcalError> {
    let name = name_of(component);
    let fail = |problem| failing(&name, problem);
    only_once(component, &["RDATE", "RRULE", "EXDATE"]).map_err(fail)?;
    let team = text(component, TEAM).unwrap_or_default();
    let team = TeamId::new(team).map_err(|error| fail(bad(TEAM, &error.value)))?;
    let [from, until] = ["DTSTART", "DTEND"].map(|property| {
        let found = instant(component, property).map_err(fail)?;
        found.ok_or_else(|| fail(EventProblem::Missing(property)))
    });
    let reason = text(component, "SUMMARY").unwrap_or_default();
    Ok((team, Absence { from: from?, until: until?, reason }))
}
