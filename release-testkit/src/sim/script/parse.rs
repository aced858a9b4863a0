//! Reads scripts, and says in which line and how they are wrong.

use std::str::FromStr;

use release_core::model::{EnvironmentId, RegionId, Span};
use release_core::run::Command;

use super::claim::{Claim, Happened};
use super::{Deed, How, Instant, Line, Script, When};
use crate::sim::FaultPlan;

/// Where a deed names no run.
pub(super) const NO_RUN: usize = usize::MAX;

/// Text that is no script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}; {help}")]
pub struct ScriptError {
    /// Which line, from 1.
    pub line: usize,
    /// What stands there.
    pub problem: String,
    /// What could stand there.
    pub help: String,
}

/// What is wrong, and what could stand there.
type Wrong = (String, String);

fn wrong<T>(found: &str, help: &str) -> Result<T, Wrong> {
    let problem = if found.is_empty() {
        "the line ends too early".to_owned()
    } else {
        format!("`{found}` cannot stand here")
    };
    Err((problem, help.to_owned()))
}

pub(super) fn script(text: &str) -> Result<Script, ScriptError> {
    let mut lines = Vec::new();
    for (at, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let parsed = line(text);
        let parsed = parsed.map_err(|(problem, help)| ScriptError { line: at + 1, problem, help });
        lines.push(parsed?);
    }
    Ok(Script { lines })
}

fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn line(text: &str) -> Result<Line, Wrong> {
    let (first, rest) = word(text);
    match first {
        "given" if rest == "nobody answers" => Ok(Line::NobodyAnswers),
        "given" => {
            let Some(plan) = rest.strip_prefix("faults:") else {
                return wrong(rest, "write `nobody answers` or `faults:` and what goes wrong");
            };
            let plan = FaultPlan::parse(plan.trim());
            plan.map(Line::Faults).map_err(|error| (error.problem, error.help))
        }
        "at" => {
            let (instant, did) = two(rest)?;
            Ok(Line::At(self::instant(instant)?, owned(deed(did)?)))
        }
        "when" => when(rest).map(Line::When),
        "then" => {
            let (by, claimed) = match rest.strip_prefix("by ") {
                Some(rest) => {
                    let (by, claimed) = two(rest)?;
                    (Some(instant(by)?), claimed)
                }
                None => (None, rest),
            };
            Ok(Line::Then { by, claim: claim(claimed)?, text: text.to_owned() })
        }
        other => wrong(other, "a line begins with `given`, `at`, `when` or `then`"),
    }
}

/// What stands before and behind `: `. A time of day has a colon, but no space behind it.
fn two(text: &str) -> Result<(&str, &str), Wrong> {
    match text.split_once(": ") {
        Some((one, other)) => Ok((one.trim(), other.trim())),
        None => wrong(text, "write `: ` and what happens then"),
    }
}

fn instant(text: &str) -> Result<Instant, Wrong> {
    const HELP: &str = "write an instant such as `day 3`, `day 3 10:00` or `90m`";
    let Some(rest) = text.strip_prefix("day ") else {
        return text.replace(' ', "").parse().map(Instant::After).or_else(|_| wrong(text, HELP));
    };
    let (day, time) = word(rest);
    let day = day.parse::<u64>().ok().filter(|day| (1..=100_000).contains(day));
    let secs = match time.split_once(':') {
        None if time.is_empty() => Some(0),
        None => None,
        Some((hours, minutes)) => {
            let number = |text: &str, below| text.parse::<u64>().ok().filter(|n| *n < below);
            number(hours, 24).zip(number(minutes, 60)).map(|(h, m)| (h * 60 + m) * 60)
        }
    };
    match day.zip(secs) {
        Some((day, secs)) => Ok(Instant::Day(day, secs)),
        None => wrong(text, HELP),
    }
}

fn when(text: &str) -> Result<When, Wrong> {
    let (condition, did) = two(text)?;
    let (step, how) = word(condition);
    let how = match how {
        "starts" => How::Starts,
        "succeeds" => How::Succeeds,
        "fails" => How::Fails,
        "blocks" => How::Blocks,
        "retries" => How::Retries,
        other => {
            return wrong(other, "a step `starts`, `succeeds`, `fails`, `blocks` or `retries`");
        }
    };
    Ok(When { step: step.to_owned(), how, deed: deed(did)? })
}

/// A deed at an instant that names no run is of the first.
fn owned(mut deed: Deed) -> Deed {
    deed.concerns(0);
    deed
}

fn id<T: FromStr>(text: &str, what: &str) -> Result<T, Wrong> {
    text.parse().or_else(|_| wrong(text, &format!("write the id of {what}")))
}

fn deed(text: &str) -> Result<Deed, Wrong> {
    const HELP: &str = "write `freeze … for 2h`, `approve`, `reject`, `retry`, `pause`, `resume`, \
                        `cancel`, `abandon` or `crash engine`";
    if text == "crash engine" {
        return Ok(Deed::CrashEngine);
    }
    let (text, run) = match text.rsplit_once(" of run ") {
        Some((text, number)) => (text.trim(), run(number)?),
        None => (text, NO_RUN),
    };
    let (verb, object) = word(text);
    let give = |command| match object {
        "" => Ok(Deed::Give { run, command }),
        other => wrong(other, "write `of run 2`, or nothing"),
    };
    match verb {
        "freeze" => freeze(object),
        "approve" => Ok(Deed::Approve { run, gate: id(object, "a gate")? }),
        "reject" => Ok(Deed::Reject { run, gate: id(object, "a gate")? }),
        "retry" => Ok(Deed::Retry { run, step: id(object, "a step")? }),
        "pause" => give(Command::Pause),
        "resume" => give(Command::Resume),
        "cancel" => give(Command::Cancel),
        "abandon" => give(Command::ForceAbandon),
        other => wrong(other, HELP),
    }
}

fn freeze(text: &str) -> Result<Deed, Wrong> {
    const HELP: &str = "write `freeze production for 2h`, or `everything` instead of a place";
    let Some((place, span)) = text.split_once(" for ") else { return wrong(text, HELP) };
    let span: Option<Span> = span.replace(' ', "").parse().ok().filter(|span| *span > Span::ZERO);
    let Some(span) = span else { return wrong(text, HELP) };
    let place = place.trim();
    if place == "everything" {
        return Ok(Deed::Freeze { place: None, span });
    }
    let (environment, region) = place.split_once('/').unwrap_or((place, ""));
    id::<EnvironmentId>(environment, "an environment")?;
    if !region.is_empty() {
        id::<RegionId>(region, "a region")?;
    }
    Ok(Deed::Freeze { place: Some(place.to_owned()), span })
}

fn run(number: &str) -> Result<usize, Wrong> {
    match number.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1)) {
        Some(run) => Ok(run),
        None => wrong(number, "write the number of a run, from 1"),
    }
}

fn claim(text: &str) -> Result<Claim, Wrong> {
    let (subject, said) = word(text);
    if subject == "run" {
        let (number, rest) = word(said);
        let (of, said) = if number.starts_with(|c: char| c.is_ascii_digit()) {
            (run(number)?, rest)
        } else {
            (0, said)
        };
        let outcome = match said {
            "is over" => return Ok(Claim::Over { run: of, over: true }),
            "is not over" => return Ok(Claim::Over { run: of, over: false }),
            "succeeded" => "succeeded",
            "failed" => "failed",
            "rolled back" => "rolled_back",
            "cancelled" => "cancelled",
            "abandoned" => "abandoned",
            other => {
                return wrong(
                    other,
                    "a run `succeeded`, `failed`, `rolled back`, is `cancelled`, `abandoned`, `is over` or `is not over`",
                );
            }
        };
        return Ok(Claim::Ended { run: of, outcome });
    }
    let (what, ever) = match said {
        "started" => (Happened::Started, true),
        "never started" => (Happened::Started, false),
        "succeeded" => (Happened::Succeeded, true),
        "never succeeded" => (Happened::Succeeded, false),
        "failed" => (Happened::Failed, true),
        "never failed" => (Happened::Failed, false),
        "blocked" => (Happened::Blocked, true),
        "never blocked" => (Happened::Blocked, false),
        other => {
            return wrong(
                other,
                "a step `started`, `succeeded`, `failed` or `blocked`, or `never` did",
            );
        }
    };
    Ok(Claim::Step { step: subject.to_owned(), what, ever })
}
