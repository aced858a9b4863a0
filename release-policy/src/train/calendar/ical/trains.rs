//! Trains as `VEVENT`s with an `RRULE`.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use icalendar::parser::Component as Parsed;
use icalendar::{Component as _, Event};
use release_core::model::{DeliverableId, Span, TeamId, Timestamp, TrainId};
use serde::{Deserialize, Serialize};

use super::as_written::{as_written, keep};
use super::{bad, failing, json, only_once, parsed};
use crate::train::calendar::ReleaseTrain;
use crate::window::ical::inner::{
    self, Moment, at, date, event, moments, name_of, parse_start, recur, text,
};
use crate::window::ical::{EventProblem, IcalError};

pub(super) const TRAIN: &str = "X-RELEASE-TRAIN";
/// Before the names of trains: no activity is called so.
const OF_TRAIN: &str = "train/";

/// What iCalendar has no word for of trains.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTrain {
    owner: TeamId,
    cut_off: Span,
    validation: Span,
    hotfixes: Span,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    deadlines: BTreeMap<DeliverableId, Span>,
}

pub(super) fn written(train: &ReleaseTrain, stamp: Timestamp) -> Result<Event, IcalError> {
    let id = train.id.as_str();
    let fail = |problem| failing(id, problem);
    let civil = |text: &str| {
        parse_start(text).map_err(|error| fail(EventProblem::Unwritable(error.to_string())))
    };
    let mut event = event(&format!("{OF_TRAIN}{id}"), &format!("train {id}"), stamp)?;
    event.append_property(at("DTSTART", &train.zone, civil(&train.first)?));
    // For people who look at it: what counts stands below.
    let kept = train.validation.as_duration().saturating_add(train.hotfixes.as_duration());
    event.add_property("DURATION", format!("PT{}S", kept.as_secs()));
    event.add_property("RRULE", recur(&train.rule));
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
    keep(&mut event, train, id, said)?;
    Ok(event)
}

pub(super) fn read(component: &Parsed<'_>) -> Result<ReleaseTrain, IcalError> {
    as_written(component, said(component)?, &name_of(component))
}

/// What the properties say that any program knows.
fn said(component: &Parsed<'_>) -> Result<ReleaseTrain, IcalError> {
    let name = name_of(component);
    let fail = |problem| failing(&name, problem);
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
        Moment::Utc(at) | Moment::Local(at, _) => local(at),
    });
    only_once(component, &["RDATE"]).map_err(fail)?;
    let uid = text(component, "UID").ok_or_else(|| missing("UID"))?;
    let id = TrainId::new(uid.strip_prefix(OF_TRAIN).unwrap_or(&uid));
    let id = id.map_err(|error| fail(bad("UID", &error.value)))?;
    let rule = text(component, "RRULE").ok_or_else(|| missing("RRULE"))?;
    let ours = inner::value(component, TRAIN).unwrap_or_default();
    let ours: OfTrain = parsed(TRAIN, ours, &name)?;
    Ok(ReleaseTrain {
        id,
        owner: ours.owner,
        zone,
        first: local(start.civil()),
        rule,
        except: except.collect(),
        cut_off: ours.cut_off,
        validation: ours.validation,
        hotfixes: ours.hotfixes,
        deadlines: ours.deadlines,
    })
}

/// A local date and time as trains write it.
fn local(civil: NaiveDateTime) -> String {
    let seconds = civil.and_utc().timestamp() % 60 != 0;
    civil.format(if seconds { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M" }).to_string()
}
