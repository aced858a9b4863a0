//! What iCalendar cannot say as people wrote it: kept beside what it says, for as long as it says the same.

use icalendar::parser::Component as Parsed;
use icalendar::{CalendarComponent, Component};
use release_core::model::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{json, parsed, unwritable};
use crate::window::ical::IcalError;
use crate::window::ical::inner::{empty, value, with_calendar};

pub(super) const AS_WRITTEN: &str = "X-RELEASE-AS-WRITTEN";

/// What was written, and what a component is read as without it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AsWritten<T> {
    /// A digest of that: where another program changed the component, it is another one, and counts.
    says: Digest,
    value: T,
}

/// Reads a component again that was written, and adds to it what was written where that is not what is read.
pub(super) fn keep<C, T>(
    component: &mut C,
    written: &T,
    of: &str,
    read: impl Fn(&Parsed<'_>) -> Result<T, IcalError>,
) -> Result<(), IcalError>
where
    C: Component + Clone + Into<CalendarComponent>,
    T: Serialize + Clone + PartialEq,
{
    let mut alone = empty();
    alone.push(component.clone());
    let again = with_calendar(&alone.to_string(), |calendar, _| {
        calendar.components.first().map(&read).transpose()
    })?;
    let Some(again) = again else { return Err(unwritable(of, "nothing is read of it")) };
    if again != *written {
        let kept = AsWritten { says: says(&again, of)?, value: written.clone() };
        component.append_property(json(AS_WRITTEN, &kept, of)?);
    }
    Ok(())
}

/// What was written, where the component still says what it said then; or else what it says.
pub(super) fn as_written<T: Serialize + DeserializeOwned>(
    component: &Parsed<'_>,
    read: T,
    of: &str,
) -> Result<T, IcalError> {
    let Some(text) = value(component, AS_WRITTEN) else { return Ok(read) };
    let kept: AsWritten<T> = parsed(AS_WRITTEN, text, of)?;
    Ok(if kept.says == says(&read, of)? { kept.value } else { read })
}

fn says(read: &impl Serialize, of: &str) -> Result<Digest, IcalError> {
    let bytes = serde_json::to_vec(read).map_err(|error| unwritable(of, &error.to_string()))?;
    Ok(Digest::of(&bytes))
}
