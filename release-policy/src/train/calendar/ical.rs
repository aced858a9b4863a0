//! Calendars to iCalendar (RFC 5545), and back.
//!
//! Trains are `VEVENT`s with an `RRULE`, work is `VTODO`s with what they come after as `RELATED-TO;RELTYPE=DEPENDS-ON`
//! (RFC 9253), absences are `VEVENT`s. What these say counts, also when another program changed it; what iCalendar has no word for
//! stands as JSON in properties of ours (`X-RELEASE-…`). Freezes and holidays are written by
//! [`window::ical`](crate::window::ical).

use chrono::NaiveDateTime;
use icalendar::parser::{Component as Parsed, ParseString};
use icalendar::{Component as _, Property, Todo};
use release_core::model::{ActivityId, DeliverableId, Span, TeamId, Timestamp, TrainId};
use release_core::plan::Place;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Absence, Activity, Calendar, CalendarSpec, Crew, Phase, ReleaseTrain};
use crate::window::Windows;
use crate::window::ical::inner::{
    self, Moment, at, date, empty, event, moments, name_of, parse_start, text, utc,
};
use crate::window::ical::{EventProblem, IcalError};

const SEASON: &str = "X-RELEASE-SEASON";
const CREW: &str = "X-RELEASE-CREW";
const TRAIN: &str = "X-RELEASE-TRAIN";
const TEAM: &str = "X-RELEASE-TEAM";
const ACTIVITY: &str = "X-RELEASE-ACTIVITY";
/// Before the names of trains: no activity is called so.
const OF_TRAIN: &str = "train/";

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

#[derive(Serialize, Deserialize)]
struct Season {
    from: Timestamp,
    until: Timestamp,
}

/// What iCalendar has no word for of trains.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTrain {
    owner: TeamId,
    cut_off: Span,
    validation: Span,
    hotfixes: Span,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    deadlines: std::collections::BTreeMap<DeliverableId, Span>,
}

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

/// Writes a calendar, stamped with an instant that the caller says.
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
    for train in &spec.trains {
        written.push(event_of(train, stamp)?);
    }
    for crew in &spec.crews {
        for (nth, absence) in crew.absences.iter().enumerate() {
            let uid = format!("absence/{}/{nth}", crew.team);
            let fail = |problem| IcalError::Event { event: uid.clone(), problem };
            let mut event = event(&uid, &absence.reason, stamp)?;
            event.add_property("DTSTART", utc(absence.from).map_err(fail)?);
            event.add_property("DTEND", utc(absence.until).map_err(fail)?);
            event.add_property("CATEGORIES", "ABSENCE");
            event.add_property(TEAM, crew.team.as_str());
            written.push(event);
        }
    }
    for activity in &spec.activities {
        written.push(todo(activity, stamp)?);
    }
    Ok(written.to_string())
}

fn json(key: &str, value: &impl Serialize, of: &str) -> Result<Property, IcalError> {
    let written = serde_json::to_string(value).map_err(|error| IcalError::Event {
        event: of.to_owned(),
        problem: EventProblem::Unwritable(error.to_string()),
    })?;
    Ok(Property::new(key, written))
}

fn event_of(train: &ReleaseTrain, stamp: Timestamp) -> Result<icalendar::Event, IcalError> {
    let id = train.id.as_str();
    let fail = |problem| IcalError::Event { event: id.to_owned(), problem };
    let civil = |text: &str| {
        parse_start(text).map_err(|error| fail(EventProblem::Unwritable(error.to_string())))
    };
    let mut event = event(&format!("{OF_TRAIN}{id}"), &format!("train {id}"), stamp)?;
    event.append_property(at("DTSTART", &train.zone, civil(&train.first)?));
    // For people who look at it: what counts stands below.
    let kept = train.validation.as_duration().saturating_add(train.hotfixes.as_duration());
    event.add_property("DURATION", format!("PT{}S", kept.as_secs()));
    event.add_property("RRULE", train.rule.trim_start_matches("RRULE:"));
    for other in &train.except {
        event.append_multi_property(match other.parse::<chrono::NaiveDate>() {
            Ok(day) => date("EXDATE", &day.format("%Y%m%d").to_string()),
            Err(_) => at("EXDATE", &train.zone, civil(other)?),
        });
    }
    event.add_property("CATEGORIES", "TRAIN");
    let ReleaseTrain { owner, cut_off, validation, hotfixes, deadlines, .. } = train.clone();
    let ours = OfTrain { owner, cut_off, validation, hotfixes, deadlines };
    event.append_property(json(TRAIN, &ours, id)?);
    Ok(event)
}

fn todo(activity: &Activity, stamp: Timestamp) -> Result<Todo, IcalError> {
    let id = activity.id.as_str();
    let fail = |problem| IcalError::Event { event: id.to_owned(), problem };
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
    Ok(todo)
}

/// Reads a calendar, without freezes and holidays.
///
/// Of a calendar that was not written here, its `VTODO`s are read as work, and `unsaid` says what they do not.
///
/// # Errors
/// [`IcalError`] names what cannot be understood.
pub fn read_calendar(text: &str, unsaid: &Unsaid) -> Result<CalendarSpec, IcalError> {
    inner::with_calendar(text, |calendar| {
        let mut spec = CalendarSpec::new(unsaid.from, unsaid.until);
        for property in &calendar.properties {
            let value = property.val.as_str();
            match property.name.as_str() {
                SEASON => {
                    Season { from: spec.from, until: spec.until } =
                        parsed(SEASON, value, "season")?;
                }
                CREW => spec.crews.push(parsed(CREW, value, "team")?),
                _ => {}
            }
        }
        for component in &calendar.components {
            if inner::value(component, "STATUS") == Some("CANCELLED") {
                continue;
            }
            match component.name.as_str() {
                "VTODO" => spec.activities.push(activity(component, unsaid)?),
                "VEVENT" if component.find_prop(TRAIN).is_some() => {
                    spec.trains.push(train(component)?);
                }
                "VEVENT" if component.find_prop(TEAM).is_some() => {
                    let (team, absence) = absence(component)?;
                    match spec.crews.iter_mut().find(|crew| crew.team == team) {
                        Some(crew) => crew.absences.push(absence),
                        None => spec
                            .crews
                            .push(Crew { absences: vec![absence], ..Crew::new(team, "UTC") }),
                    }
                }
                _ => {}
            }
        }
        spec.windows = Windows::default();
        Ok(spec)
    })
}

fn parsed<T: DeserializeOwned>(property: &str, value: &str, of: &str) -> Result<T, IcalError> {
    serde_json::from_str(value).map_err(|error| IcalError::Event {
        event: of.to_owned(),
        problem: EventProblem::BadValue {
            property: property.to_owned(),
            value: error.to_string().chars().take(80).collect(),
        },
    })
}

/// A local date and time as trains write it.
fn written(civil: NaiveDateTime) -> String {
    let seconds = civil.and_utc().timestamp() % 60 != 0;
    civil.format(if seconds { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M" }).to_string()
}

fn train(component: &Parsed<'_>) -> Result<ReleaseTrain, IcalError> {
    let name = name_of(component);
    let fail = |problem| IcalError::Event { event: name.clone(), problem };
    let missing = |property| fail(EventProblem::Missing(property));
    let start = component.find_prop("DTSTART").ok_or_else(|| missing("DTSTART"))?;
    let start = inner::one(start).map_err(fail)?;
    let zone = match start {
        Moment::Local(_, Some(zone)) => zone.name().to_owned(),
        _ => "UTC".to_owned(),
    };
    let except = moments(component, "EXDATE", start).map_err(fail)?.into_iter();
    let except = except.map(|moment| match moment {
        Moment::Date(day) => day.to_string(),
        Moment::Utc(at) | Moment::Local(at, _) => written(at),
    });
    only_once(component, &["RDATE"]).map_err(fail)?;
    let uid = text(component, "UID").ok_or_else(|| missing("UID"))?;
    let id = TrainId::new(uid.strip_prefix(OF_TRAIN).unwrap_or(&uid));
    let bad = |value: String| EventProblem::BadValue { property: "UID".to_owned(), value };
    let id = id.map_err(|error| fail(bad(error.value)))?;
    let rule = text(component, "RRULE").ok_or_else(|| missing("RRULE"))?;
    let ours = inner::value(component, TRAIN).unwrap_or_default();
    let ours: OfTrain = parsed(TRAIN, ours, &name)?;
    Ok(ReleaseTrain {
        id,
        owner: ours.owner,
        zone,
        first: written(start.civil()),
        rule,
        except: except.collect(),
        cut_off: ours.cut_off,
        validation: ours.validation,
        hotfixes: ours.hotfixes,
        deadlines: ours.deadlines,
    })
}

fn absence(component: &Parsed<'_>) -> Result<(TeamId, Absence), IcalError> {
    let name = name_of(component);
    let fail = |problem| IcalError::Event { event: name.clone(), problem };
    only_once(component, &["RDATE", "RRULE", "EXDATE"]).map_err(fail)?;
    let team = text(component, TEAM).unwrap_or_default();
    let bad = |value: String| EventProblem::BadValue { property: TEAM.to_owned(), value };
    let team = TeamId::new(team).map_err(|error| fail(bad(error.value)))?;
    let [from, until] = ["DTSTART", "DTEND"].map(|property| {
        let found = instant(component, property).map_err(fail)?;
        found.ok_or_else(|| fail(EventProblem::Missing(property)))
    });
    let reason = text(component, "SUMMARY").unwrap_or_default();
    Ok((team, Absence { from: from?, until: until?, reason }))
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
            all.push(of(value).ok_or_else(|| EventProblem::BadValue {
                property: "RELATED-TO".to_owned(),
                value: value.chars().take(80).collect(),
            })?);
        } else if kind.starts_with("FINISHTO") || kind.starts_with("STARTTO") {
            return Err(EventProblem::Unsupported(format!("RELATED-TO;RELTYPE={kind}")));
        }
    }
    Ok(all)
}

/// When a property says; a time without a zone, or a date, is that of UTC.
fn instant(component: &Parsed<'_>, name: &str) -> Result<Option<Timestamp>, EventProblem> {
    let Some(property) = component.find_prop(name) else { return Ok(None) };
    let moment = inner::one(property)?;
    let zone = match moment {
        Moment::Local(_, Some(zone)) => zone,
        _ => chrono_tz::Tz::UTC,
    };
    let bad =
        || EventProblem::BadValue { property: name.to_owned(), value: moment.civil().to_string() };
    let micros = inner::earliest(zone, moment.civil()).ok_or_else(bad)?;
    Ok(Some(Timestamp::from_micros(micros)))
}

fn activity(component: &Parsed<'_>, unsaid: &Unsaid) -> Result<Activity, IcalError> {
    let name = name_of(component);
    let fail = |problem| IcalError::Event { event: name.clone(), problem };
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
