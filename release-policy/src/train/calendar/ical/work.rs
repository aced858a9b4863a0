//! Work as `VTODO`s, with what it comes after as `RELATED-TO;RELTYPE=DEPENDS-ON`.

use icalendar::parser::{Component as Parsed, ParseString};
use icalendar::{Component as _, Property, Todo};
use release_core::model::{ActivityId, DeliverableId, Span, TeamId, Timestamp, TrainId};
use release_core::plan::Place;
use serde::{Deserialize, Serialize};

use super::as_written::{as_written, keep};
use super::{Unsaid, bad, failing, instant, json, only_once, parsed};
use crate::train::calendar::{Activity, Phase};
use crate::window::ical::inner::{self, name_of, text, utc};
use crate::window::ical::{EventProblem, IcalError};

pub(super) const ACTIVITY: &str = "X-RELEASE-ACTIVITY";

/// What iCalendar has no word for of work.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfActivity {
    phase: Phase,
    owner: TeamId,
    work: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    train: Option<TrainId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deliverable: Option<DeliverableId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

pub(super) fn written(activity: &Activity, stamp: Timestamp) -> Result<Todo, IcalError> {
    let id = activity.id.as_str();
    let fail = |problem| failing(id, problem);
    let mut todo = Todo::with_uid(id);
    todo.add_property("DTSTAMP", utc(inner::whole(stamp)).map_err(fail)?);
    todo.add_property("SUMMARY", &activity.title);
    for (key, when) in [("DTSTART", activity.not_before), ("DUE", activity.due)] {
        if let Some(when) = when {
            todo.add_property(key, utc(when).map_err(fail)?);
        }
    }
    for after in &activity.after {
        let mut property = Property::new("RELATED-TO", after.as_str());
        property.add_parameter("RELTYPE", "DEPENDS-ON");
        todo.append_multi_property(property);
    }
    todo.add_property("CATEGORIES", activity.phase.name().to_ascii_uppercase());
    let Activity { phase, owner, work, train, deliverable, place, .. } = activity.clone();
    let ours = OfActivity { phase, owner, work, train, deliverable, place };
    todo.append_property(json(ACTIVITY, &ours, id)?);
    // All that is not said is: what stands in for it counts for nothing.
    let (owner, phase, work) = (activity.owner.clone(), activity.phase, activity.work);
    let unsaid = Unsaid { from: stamp, until: stamp, owner, phase, work };
    keep(&mut todo, activity, id, |component| said(component, &unsaid))?;
    Ok(todo)
}

pub(super) fn read(component: &Parsed<'_>, unsaid: &Unsaid) -> Result<Activity, IcalError> {
    as_written(component, said(component, unsaid)?, &name_of(component))
}

fn said(component: &Parsed<'_>, unsaid: &Unsaid) -> Result<Activity, IcalError> {
    let name = name_of(component);
    let fail = |problem| failing(&name, problem);
    only_once(component, &["RDATE", "RRULE", "EXDATE"]).map_err(fail)?;
    // Names of other programs are made ours.
    let of = |uid: &str| ActivityId::new(uid).or_else(|_| ActivityId::new(inner::plain(uid))).ok();
    let uid = text(component, "UID").or_else(|| text(component, "SUMMARY"));
    let id = uid.as_deref().and_then(of).ok_or_else(|| fail(EventProblem::Missing("UID")))?;
    let mut activity = if let Some(ours) = inner::value(component, ACTIVITY) {
        let OfActivity { phase, owner, work, train, deliverable, place } =
            parsed(ACTIVITY, ours, &name)?;
        Activity { train, deliverable, place, ..Activity::new(id, phase, owner, work) }
    } else {
        let work = inner::span(component).map_err(fail)?.unwrap_or(unsaid.work);
        Activity::new(id, unsaid.phase, unsaid.owner.clone(), work)
    };
    if let Some(title) = text(component, "SUMMARY") {
        activity.title = title;
    }
    activity.not_before = instant(component, "DTSTART").map_err(fail)?;
    activity.due = instant(component, "DUE").map_err(fail)?;
    activity.after = after(component, of).map_err(fail)?.into_iter().collect();
    Ok(activity)
}

/// What an activity comes after, by the relations of RFC 9253 and RFC 5545. Families and the like say nothing of time.
fn after(
    component: &Parsed<'_>,
    of: impl Fn(&str) -> Option<ActivityId>,
) -> Result<Vec<ActivityId>, EventProblem> {
    let mut all = Vec::new();
    for related in component.properties.iter().filter(|property| property.name == "RELATED-TO") {
        let kind = related.params.iter().find(|parameter| parameter.key == "RELTYPE");
        let kind = kind.and_then(|parameter| parameter.val.as_ref()).map(ParseString::as_str);
        let kind = kind.unwrap_or("PARENT").to_ascii_uppercase();
        if kind == "DEPENDS-ON" {
            let value = related.val.as_str();
            all.push(of(value).ok_or_else(|| bad("RELATED-TO", value))?);
        } else if kind.starts_with("FINISHTO") || kind.starts_with("STARTTO") {
            return Err(EventProblem::Unsupported(format!("RELATED-TO;RELTYPE={kind}")));
        }
    }
    Ok(all)
}
