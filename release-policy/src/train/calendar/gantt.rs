//! A picture of a season: trains, freezes, and the work of each team, as SVG.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike as _, NaiveTime, TimeDelta, Utc};
use maud::{Markup, html};
use release_core::model::{TeamId, Timestamp};

use super::{Activity, Calendar, Solution, Timing};
use crate::window::{Kind, Window};

const LEFT: f64 = 210.0;
const WIDTH: f64 = 1_000.0;
const TOP: f64 = 58.0;
const ROW: f64 = 18.0;
const BAR: f64 = 11.0;
/// The most marks of days below the picture.
const MARKS: i64 = 12;

const STYLE: &str = "text{font:11px sans-serif;fill:#222}.dim{fill:#777}.freeze{fill:#9cf;opacity:.35}.buffer{fill:#fc6;opacity:.3}\
.cut{stroke:#666;stroke-dasharray:3 3}.departs{stroke:#222}.work{fill:#58a}.critical{fill:#c33}.slack{stroke:#58a;stroke-width:2}.team{stroke:#ddd}";

/// A place between the ends of the season.
struct Scale {
    from: i64,
    until: i64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "a picture has a thousand points")]
    fn x(&self, at: Timestamp) -> f64 {
        let at = at.as_micros().clamp(self.from, self.until);
        let part = (at - self.from) as f64 / (self.until - self.from).max(1) as f64;
        ((LEFT + part * (WIDTH - LEFT)) * 10.0).round() / 10.0
    }

    fn width(&self, from: Timestamp, until: Timestamp) -> f64 {
        ((self.x(until) - self.x(from)).max(1.0) * 10.0).round() / 10.0
    }
}

/// Rows in the order in which they are drawn, each with its place below the top.
type Row<'a> = (f64, &'a Activity, &'a Timing);

/// Draws a calendar as it was solved: work as soon as it can be, with a line to when it has to be done at the latest; red what is
/// critical. The same calendar gives the same text, which is well-formed XML whatever titles hold: characters that XML 1.0 does not allow
/// are drawn as U+FFFD.
pub fn gantt(calendar: &Calendar, solution: &Solution) -> String {
    let spec = calendar.spec();
    let scale = Scale { from: spec.from.as_micros(), until: spec.until.as_micros() };
    let mut teams: BTreeMap<&TeamId, Vec<(&Activity, &Timing)>> = BTreeMap::new();
    for activity in &spec.activities {
        if let Some(timing) = solution.activities.get(&activity.id) {
            teams.entry(&activity.owner).or_default().push((activity, timing));
        }
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut heads: Vec<(f64, &TeamId)> = Vec::new();
    let mut y = TOP;
    for (team, mut all) in teams {
        all.sort_by_key(|(activity, timing)| (timing.earliest_start, &activity.id));
        heads.push((y, team));
        for (activity, timing) in all {
            y += ROW;
            rows.push((y, activity, timing));
        }
        y += ROW;
    }
    let height = y + 26.0;
    let critical: BTreeSet<_> = solution.critical_path.iter().collect();
    let drawn = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(WIDTH + 20.0) height=(height) role="img" aria-label="the season: trains, freezes and work" {
            style { (STYLE) }
            (freezes(calendar, &scale, y))
            (trains(calendar, &scale, y))
            @for (y, team) in heads {
                line class="team" x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                text x="4" y=(y + 13.0) font-weight="bold" { (team) }
            }
            @for (y, activity, timing) in rows {
                (work(y, activity, timing, critical.contains(&activity.id), &scale))
            }
            (marks(calendar, &scale, height))
        }
    };
    well_formed(drawn.into_string())
}

/// Characters that XML 1.0 has no way to say, not even escaped, are drawn as the one for what cannot be shown.
fn well_formed(drawn: String) -> String {
    let none = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if drawn.contains(none) { drawn.replace(none, "\u{fffd}") } else { drawn }
}

fn freezes(calendar: &Calendar, scale: &Scale, bottom: f64) -> Markup {
    let spec = calendar.spec();
    let freeze = |window: &Window| window.spec().kind == Kind::Freeze;
    let freezes = spec.windows.stretches_of(freeze, spec.from, spec.until);
    let stretches = freezes
        .flat_map(|(window, found)| found.into_iter().map(move |stretch| (window.id(), stretch)));
    html! {
        @for (id, (from, until)) in stretches {
            rect class="freeze" x=(scale.x(from)) y=(TOP) width=(scale.width(from, until)) height=(bottom - TOP) {
                title { "freeze " (id) ": " (from) " to " (until) }
            }
        }
    }
}

fn trains(calendar: &Calendar, scale: &Scale, bottom: f64) -> Markup {
    html! {
        @for (nth, train) in calendar.departures().iter().enumerate() {
            @let (cut, departs) = (scale.x(train.boards_until), scale.x(train.departs));
            @if train.departs < train.closes {
                rect class="buffer" x=(departs) y=(TOP - 8.0) width=(scale.width(train.departs, train.closes)) height="6" {
                    title { "validation until " (train.validated) ", hotfixes until " (train.closes) }
                }
            }
            line class="cut" x1=(cut) x2=(cut) y1=(TOP) y2=(bottom) {
                title { (train.id) ": boarding ends at " (train.boards_until) }
            }
            line class="departs" x1=(departs) x2=(departs) y1=(TOP - 10.0) y2=(bottom) {
                title { (train.id) " departs at " (train.departs) }
            }
            // Names of neighbours stand one above the other.
            text x=(departs - 3.0) y=(if nth % 2 == 0 { TOP - 24.0 } else { TOP - 38.0 }) text-anchor="middle" { (train.id) }
        }
    }
}

fn work(y: f64, activity: &Activity, timing: &Timing, critical: bool, scale: &Scale) -> Markup {
    let (start, finish) = (timing.earliest_start, timing.earliest_finish);
    let middle = y + 3.0 + BAR / 2.0;
    html! {
        text class="dim" x="16" y=(y + 13.0) { (activity.title) }
        @if timing.latest_finish > finish {
            line class="slack" x1=(scale.x(finish)) x2=(scale.x(timing.latest_finish)) y1=(middle) y2=(middle) {}
        }
        rect class=(if critical { "critical" } else { "work" }) x=(scale.x(start)) y=(y + 3.0) width=(scale.width(start, finish)) height=(BAR) {
            title { (activity.id) ", " (activity.phase.name()) ": " (start) " to " (finish) ", slack " (timing.slack) }
        }
    }
}

/// The days below, some days apart.
fn marks(calendar: &Calendar, scale: &Scale, height: f64) -> Markup {
    let day = |at: Timestamp| DateTime::<Utc>::from_timestamp_micros(at.as_micros());
    let (from, until) = (day(calendar.spec().from), day(calendar.spec().until));
    let (Some(from), Some(until)) = (from, until) else { return html! {} };
    let apart = ((until - from).num_days() / MARKS).max(1);
    let first = from.date_naive() + TimeDelta::days(i64::from(from.time() != NaiveTime::MIN));
    let days = (0..=MARKS + 1).map(|nth| first + TimeDelta::days(nth * apart));
    let days = days.take_while(|day| *day <= until.date_naive());
    html! {
        @for day in days {
            @let at = day.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
            text class="dim" x=(scale.x(Timestamp::from_micros(at))) y=(height - 8.0) text-anchor="middle" {
                (day.format("%b %e")) @if day.year() != from.year() { " " (day.year()) }
            }
        }
    }
}
