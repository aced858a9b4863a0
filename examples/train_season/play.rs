//! Plays a season twice, and writes what came of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use release_core::model::{Span, TeamId};
use release_policy::train::calendar::{Calendar, Phase, Unsaid, gantt, write_calendar};

use crate::numbers::Numbers;
use crate::season::{HOUR, begins};
use crate::trains::{Played, play as play_season};
use crate::{picture, report, what_if};

/// What can go wrong here.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is written.
#[derive(Debug)]
pub(crate) struct Written {
    /// By name.
    pub(crate) files: BTreeMap<&'static str, String>,
    /// For the screen.
    pub(crate) summary: String,
}

/// Plays the season of a seed, as it is and with Fridays frozen.
pub(crate) fn play(seed: u64) -> Result<[Played; 2], Failure> {
    Ok([play_season(seed, false)?, play_season(seed, true)?])
}

/// Writes what came of both.
pub(crate) fn write(seed: u64, [as_it_is, fridays]: &[Played; 2]) -> Result<Written, Failure> {
    let (now, frozen) = (Numbers::of(as_it_is), Numbers::of(fridays));
    let answer = what_if::answer(&now, &frozen);
    let mut files = BTreeMap::new();
    let season = &as_it_is.season;
    files.insert("plan.svg", gantt(&season.calendar, &season.solution));
    files.insert("season.ics", calendar(as_it_is)?);
    files.insert("season.svg", picture::draw(as_it_is)?);
    files.insert("report.md", report::write(seed, as_it_is, &now, &answer)?);
    let mut summary = report::summary(seed, as_it_is, &now)?;
    write!(summary, "\n{} ({} in all)\n{answer}", what_if::QUESTION, delay(&now, &frozen))?;
    Ok(Written { files, summary })
}

fn delay(now: &Numbers, frozen: &Numbers) -> String {
    let more = what_if::late(frozen).as_duration().saturating_sub(what_if::late(now).as_duration());
    format!("departures {} later", crate::numbers::hours(more.into()))
}

/// The calendar for other programs. What is written is read again, and has to be the same.
fn calendar(played: &Played) -> Result<String, Failure> {
    let calendar = &played.season.calendar;
    let text = write_calendar(calendar, begins()?)?;
    let owner: TeamId = "release".parse()?;
    let (from, until) = (calendar.spec().from, calendar.spec().until);
    let unsaid = Unsaid { from, until, owner, phase: Phase::Qa, work: Span::secs(HOUR) };
    let read = Calendar::from_ical(&text, &unsaid)?;
    if read != *calendar {
        return Err("the calendar that was read is not the one that was written".into());
    }
    Ok(text)
}
