//! The season as a picture: a row for each train, from left to right the weeks.

use std::fmt::Write as _;

use release_core::model::{RegionId, Span, Timestamp};

use crate::numbers::{hours, when};
use crate::play::Failure;
use crate::season::WEEK;
use crate::trains::{Played, Told, Trip};

const LEFT: i64 = 130;
const WIDE: i64 = 1_300;
const RIGHT: i64 = 320;
const TOP: i64 = 40;
const ROW: i64 = 34;

const STYLE: &str = "text{font:11px sans-serif;fill:#222}.dim{fill:#777}.grid{stroke:#ddd}.freeze{fill:#9cf;opacity:.35}\
.cut{stroke:#666;stroke-dasharray:3 3}.departs{stroke:#222;stroke-width:2}.planned{stroke:#b60;stroke-width:2}\
.wave{fill:#58a}.failed{fill:#c33}.back{fill:#c9a}.valid{fill:#fe9}.buffer{fill:#fc6}.late{fill:#b60}.hotfix{fill:#707}\
.cross{stroke:#c33;stroke-width:3}";

/// The season, drawn. The same season gives the same text.
pub(crate) fn draw(played: &Played) -> Result<String, Failure> {
    let spec = played.season.calendar.spec();
    let canvas = Canvas { from: spec.from, until: spec.until };
    let rows = i64::try_from(played.trains.len())?;
    let bottom = TOP + rows * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"a season of trains\">\n\
         <style>{STYLE}</style>\n",
        LEFT + WIDE + RIGHT,
        bottom + 40
    );
    canvas.weeks(&mut svg, bottom)?;
    for (from, until) in &played.season.closed {
        if *from < spec.until {
            let title = format!("freeze from {} until {}", when(*from), when(*until));
            canvas.bar(&mut svg, "freeze", (*from, *until), (TOP - 6, bottom - TOP + 6), &title)?;
        }
    }
    for (train, y) in played.trains.iter().zip((0_i64..).map(|row| TOP + row * ROW)) {
        canvas.train(&mut svg, train, y)?;
        if let Some(trip) = train.trip() {
            canvas.trip(&mut svg, trip, y)?;
        }
    }
    canvas.hotfixes(&mut svg, played)?;
    legend(&mut svg, bottom)?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

struct Canvas {
    from: Timestamp,
    until: Timestamp,
}

impl Canvas {
    /// Tenths of a point from the left.
    fn tenths(&self, at: Timestamp) -> i64 {
        let at = at.max(self.from).min(self.until);
        let (part, all) = (micros(at.since(self.from)), micros(self.until.since(self.from)));
        LEFT * 10 + part / 1_000_000 * WIDE * 10 / (all / 1_000_000).max(1)
    }

    fn x(&self, at: Timestamp) -> String {
        point(self.tenths(at))
    }

    fn bar(
        &self,
        svg: &mut String,
        class: &str,
        (from, until): (Timestamp, Timestamp),
        (y, height): (i64, i64),
        title: &str,
    ) -> Result<(), Failure> {
        let width = point((self.tenths(until) - self.tenths(from)).max(10));
        writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{title}</title></rect>",
            self.x(from)
        )?;
        Ok(())
    }

    fn line(
        &self,
        svg: &mut String,
        class: &str,
        at: Timestamp,
        (top, bottom): (i64, i64),
        title: &str,
    ) -> Result<(), Failure> {
        let x = self.x(at);
        writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{top}\" y2=\"{bottom}\"><title>{title}</title></line>"
        )?;
        Ok(())
    }

    fn weeks(&self, svg: &mut String, bottom: i64) -> Result<(), Failure> {
        let mut monday = self.from;
        while monday < self.until {
            let (x, text) = (self.x(monday), when(monday));
            let day: String = text.chars().skip(4).take(10).collect();
            writeln!(
                svg,
                "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            )?;
            writeln!(svg, "<text class=\"dim\" x=\"{x}\" y=\"{}\">{day}</text>", TOP - 14)?;
            monday = monday.plus(Span::secs(WEEK));
        }
        Ok(())
    }

    /// A train's row: what was planned, and what is told of it at the right.
    fn train(&self, svg: &mut String, train: &Told, y: i64) -> Result<(), Failure> {
        let dates = &train.dates;
        writeln!(svg, "<text x=\"4\" y=\"{}\">{}</text>", y + 18, dates.id)?;
        let planned = format!("{} was planned for {}", dates.id, when(dates.departs));
        self.line(svg, "planned", dates.departs, (y + 4, y + 12), &planned)?;
        let cut = format!("{}: boarding ends {}", dates.id, when(dates.boards_until));
        self.line(svg, "cut", dates.boards_until, (y + 2, y + ROW - 4), &cut)?;
        let text = match train.trip() {
            None => "does not depart".to_owned(),
            Some(trip) => {
                let behind = match trip.boarded.behind.len() {
                    0 => String::new(),
                    some => format!(", {some} behind"),
                };
                let moved = trip.kept.departs.since(dates.departs);
                let moved = if moved == Span::ZERO {
                    String::new()
                } else {
                    format!(", {} later", hours(moved))
                };
                let failed = trip.travelled.failure.as_ref();
                let failed = failed.map(|failed| format!(", failed in {}", failed.region));
                format!(
                    "{} cars{behind}{moved}{}",
                    trip.boarded.aboard.len(),
                    failed.unwrap_or_default()
                )
            }
        };
        writeln!(
            svg,
            "<text class=\"dim\" x=\"{}\" y=\"{}\">{text}</text>",
            LEFT + WIDE + 8,
            y + 18
        )?;
        Ok(())
    }

    fn trip(&self, svg: &mut String, trip: &Trip, y: i64) -> Result<(), Failure> {
        let kept = &trip.kept;
        let title = format!("{}: validated until {}", kept.id, when(kept.validated));
        self.bar(svg, "valid", (kept.departs, kept.validated), (y + 24, 5), &title)?;
        if kept.validated < kept.closes {
            let title = format!("{}: time for hotfixes until {}", kept.id, when(kept.closes));
            self.bar(svg, "buffer", (kept.validated, kept.closes), (y + 24, 5), &title)?;
        }
        for stopped in &trip.travelled.stops {
            let regions: Vec<_> = stopped.stop.regions.iter().map(RegionId::as_str).collect();
            let failed = trip.travelled.failure.as_ref();
            let failed = failed.is_some_and(|failed| stopped.stop.regions.contains(&failed.region));
            let class = if failed { "failed" } else { "wave" };
            let until = stopped.began.plus(stopped.stop.takes);
            let title = format!("{}: {} {}", kept.id, stopped.stop.id, regions.join(", "));
            self.bar(svg, class, (stopped.began, until), (y + 13, 9), &title)?;
        }
        self.line(
            svg,
            "departs",
            kept.departs,
            (y + 4, y + ROW - 4),
            &format!("{} departs {}", kept.id, when(kept.departs)),
        )?;
        if let Some(failed) = &trip.travelled.failure {
            let (x, end) = (self.x(failed.at), trip.travelled.ended);
            let title = format!("{} {} fails in {}", failed.service, failed.version, failed.region);
            writeln!(
                svg,
                "<g class=\"cross\" transform=\"translate({x} {})\"><title>{title}</title><path d=\"M-6-6L6 6M-6 6L6-6\"/></g>",
                y + 17
            )?;
            self.bar(
                svg,
                "back",
                (failed.at, end),
                (y + 13, 9),
                &format!("back until {}", when(end)),
            )?;
        }
        for (nth, (service, why)) in (0..).zip(&trip.boarded.behind) {
            let x = point(self.tenths(kept.boards_until) - 60 * (nth % 8) - 60);
            let title = format!("{service} {why}");
            writeln!(
                svg,
                "<circle class=\"late\" cx=\"{x}\" cy=\"{}\" r=\"2.5\"><title>{title}</title></circle>",
                y + 10 + 6 * (nth / 8)
            )?;
        }
        Ok(())
    }

    /// Each in the row of the last train before it.
    fn hotfixes(&self, svg: &mut String, played: &Played) -> Result<(), Failure> {
        for hotfix in &played.hotfixes {
            let before = played.trains.iter().filter(|one| one.dates.departs <= hotfix.arrives);
            let row = i64::try_from(before.count())?.max(1) - 1;
            let (x, y) = (self.x(hotfix.arrives), TOP + row * ROW);
            let landed = hotfix.landed.as_ref().map(|landed| when(landed.at)).unwrap_or_default();
            let title = format!("{} of {}: live {landed}", hotfix.id, hotfix.service);
            writeln!(
                svg,
                "<path class=\"hotfix\" d=\"M{x} {}l5 5-5 5-5-5z\"><title>{title}</title></path>",
                y + 2
            )?;
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\">{}</text>",
                point(self.tenths(hotfix.arrives) + 80),
                y + 11,
                hotfix.id
            )?;
        }
        Ok(())
    }
}

fn legend(svg: &mut String, bottom: i64) -> Result<(), Failure> {
    let marks = [
        ("freeze", "frozen"),
        ("planned", "planned"),
        ("wave", "waves"),
        ("valid", "validation"),
        ("buffer", "time for hotfixes"),
        ("late", "stays behind"),
        ("hotfix", "hotfix"),
        ("failed", "the wave that failed"),
        ("back", "the way back"),
    ];
    for ((class, text), x) in marks.into_iter().zip((0..).map(|nth| LEFT + 140 * nth)) {
        // A planned departure is a line elsewhere.
        let style = if class == "planned" { " style=\"fill:#b60\"" } else { "" };
        writeln!(
            svg,
            "<rect class=\"{class}\"{style} x=\"{x}\" y=\"{}\" width=\"14\" height=\"9\"/>",
            bottom + 14
        )?;
        writeln!(svg, "<text x=\"{}\" y=\"{}\">{text}</text>", x + 19, bottom + 23)?;
    }
    Ok(())
}

fn micros(span: Span) -> i64 {
    i64::try_from(span.as_duration().as_micros()).unwrap_or(i64::MAX)
}

/// Tenths of a point as points.
fn point(tenths: i64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}
