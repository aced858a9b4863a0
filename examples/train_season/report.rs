//! The report of a season, and its summary.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use release_core::model::{RegionId, RunId, ServiceId};
use release_core::run::Outcome;
use release_policy::train::departure::Behind;
use release_policy::train::{Because, Departure, Readiness};

use crate::calls::Call;
use crate::hotfixes::{Emergency, Landed};
use crate::numbers::{Numbers, hours, when};
use crate::platform::Ran;
use crate::play::Failure;
use crate::season::LATE_WEEK;
use crate::trains::{Fate, Played, Told, Trip};
use crate::travel::{Regional, Stopped};
use crate::what_if;

/// What is told on the screen.
pub(crate) fn summary(seed: u64, played: &Played, now: &Numbers) -> Result<String, Failure> {
    let mut told = String::new();
    let (runs, steps) = played.count;
    writeln!(
        told,
        "Season of seed {seed}: {} trains planned, {} departed; {runs} runs of the engine, {steps} steps",
        played.trains.len(),
        now.departed.len()
    )?;
    for train in &played.trains {
        writeln!(told, "  {}", line(train))?;
    }
    writeln!(told, "Hotfixes:")?;
    for hotfix in &played.hotfixes {
        writeln!(told, "  {}", of_hotfix(hotfix, played))?;
    }
    writeln!(told, "Calls of the pager: {}", played.paged.join(", "))?;
    writeln!(
        told,
        "Features: {} of {} are live; from done to live {} in the median, {} at most for 95 of 100",
        now.features.0,
        now.features.0 + now.features.1,
        hours(now.lead.0),
        hours(now.lead.1)
    )?;
    Ok(told)
}

/// A train in a line.
fn line(train: &Told) -> String {
    let id = &train.dates.id;
    match &train.fate {
        Fate::Away(why) => format!("{id} did not depart: {why}"),
        Fate::Departed(trip) => {
            let behind = trip.boarded.behind.len();
            let how = match &trip.travelled.failure {
                None => format!("through {}", when(trip.travelled.ended)),
                Some(failed) => format!(
                    "{} {} failed in {}: back {}",
                    failed.service,
                    failed.version,
                    failed.region,
                    when(trip.travelled.ended)
                ),
            };
            let aboard = trip.boarded.aboard.len();
            format!(
                "{id} departed {}, {aboard} cars, {behind} behind, {how}",
                when(trip.kept.departs)
            )
        }
    }
}

/// The whole report.
pub(crate) fn write(
    seed: u64,
    played: &Played,
    now: &Numbers,
    answer: &str,
) -> Result<String, Failure> {
    let mut told = format!(
        "# A season of trains\n\nAll times are UTC.\n\n```text\n{}```\n",
        summary(seed, played, now)?
    );
    writeln!(told, "\n## {}\n\n{answer}", what_if::QUESTION)?;
    writeln!(
        told,
        "## The late team\n\n{} could not be in time for the train of week {LATE_WEEK}, as the calendar said before the \
         season began; its work was moved to the next train:\n\n> {}\n",
        played.season.late, played.season.conflict
    )?;
    writeln!(told, "## Hotfixes\n")?;
    for hotfix in &played.hotfixes {
        writeln!(told, "- {}", of_hotfix(hotfix, played))?;
    }
    for train in &played.trains {
        writeln!(told, "\n## {}\n", train.dates.id)?;
        match &train.fate {
            Fate::Away(why) => writeln!(
                told,
                "Planned for {}. It did not depart: {why}. What would have gone along waits for the next.",
                when(train.dates.departs)
            )?,
            Fate::Departed(trip) => of_trip(&mut told, train, (trip, &played.season.shared))?,
        }
    }
    Ok(told)
}

/// What became of a hotfix: whether it fitted, or which train departs later for it.
fn of_hotfix(hotfix: &Emergency, played: &Played) -> String {
    let Emergency { id, arrives, work, service, landed } = hotfix;
    let mut told =
        vec![format!("{id} of {service}, asked for {}, takes {}", when(*arrives), hours(*work))];
    let slips = played.trains.iter().filter_map(|train| train.trip()?.slip.as_ref());
    let moved = slips.flat_map(|slip| slip.because.iter().map(move |(by, span)| (slip, by, span)));
    let moved: Vec<_> = moved.filter(|(_, by, _)| *by == id).collect();
    if moved.is_empty() {
        told.push("it fits the time kept for hotfixes, no train departs later".into());
    }
    for (slip, _, span) in moved {
        let (by, at) = (hours(*span), when(slip.departs));
        told.push(format!("{} departs {by} later for it, {at}", slip.train));
    }
    if let Some(Landed { at, version, staging, runs, superseded }) = landed {
        let (at, staging, runs) = (when(*at), names(staging), names(runs));
        told.push(format!("verified with all that is deployed (runs {staging})"));
        told.push(format!("live as {version} wherever it is to be mended {at} (runs {runs})"));
        told.push(match superseded {
            Some(superseded) => superseded.to_string(),
            None => "nothing that it could replace was under way".into(),
        });
    }
    told.join("; ")
}

fn names(runs: &[Ran]) -> String {
    let each = runs.iter().map(|Ran { run, instead_of, .. }| match instead_of.as_slice() {
        [] => run.to_string(),
        older => {
            let older: Vec<_> = older.iter().map(RunId::as_str).collect();
            format!("{run} in place of {}", older.join(", "))
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

fn of_trip(
    told: &mut String,
    train: &Told,
    (trip, shared): (&Trip, &BTreeSet<ServiceId>),
) -> Result<(), Failure> {
    let dates = &train.dates;
    writeln!(
        told,
        "- Planned for {}, departed {}: {}.",
        when(dates.departs),
        when(trip.kept.departs),
        because(&trip.consent.departure)
    )?;
    for change in trip.consent.model.changes() {
        writeln!(told, "- Changed: {}", change.to_string().replace('\n', "; "))?;
    }
    if let Some(slip) = &trip.slip {
        writeln!(told, "- Moved by hotfixes: {slip}")?;
    }
    writeln!(
        told,
        "- Validated until {}, then {} kept for hotfixes, until {}; what takes longer moves the next train, even if nothing goes on until it departs.",
        when(trip.kept.validated),
        hours(trip.kept.closes.since(trip.kept.validated)),
        when(trip.kept.closes)
    )?;
    of_boarding(told, train, trip)?;
    of_shared(told, shared, trip)?;
    let missing = [
        ("when boarding ended", &trip.consent.at_cut_off),
        ("without what stayed behind", &trip.consent.without),
        ("at its departure", &trip.consent.at_departure),
    ];
    for (at, readiness) in missing {
        writeln!(told, "- Readiness {at}: {}", lacks(readiness))?;
    }
    for planned in trip.route.plan.to_string().lines() {
        writeln!(told, "- Planned {planned}.")?;
    }
    for stopped in &trip.travelled.stops {
        of_stop(told, stopped)?;
    }
    for Call { missed, at, ended, .. } in &trip.travelled.calls {
        let ended = ended.map_or_else(|| "it was never ended".to_owned(), when);
        writeln!(
            told,
            "- Missed {missed}. Called {}; all were there, and it was over, {ended}.",
            when(*at)
        )?;
    }
    if let Some(failed) = &trip.travelled.failure {
        of_failure(told, failed)?;
    }
    Ok(())
}

fn of_stop(told: &mut String, stopped: &Stopped) -> Result<(), Failure> {
    let regions: Vec<_> = stopped.stop.regions.iter().map(RegionId::as_str).collect();
    let last = (stopped.began, &stopped.ran);
    let all = stopped.replaced.iter().map(|(began, ran)| (*began, ran)).chain([last]);
    for (began, Ran { run, steps, outcome, ended, .. }) in all {
        let how = if *outcome == Outcome::Succeeded {
            outcome.name().to_owned()
        } else {
            outcome.to_string()
        };
        let (stop, regions) = (&stopped.stop.id, regions.join(", "));
        let (began, ended) = (when(began), when(*ended));
        writeln!(
            told,
            "- {stop} ({regions}) began {began}: run `{run}` of {steps} steps {how}, {ended}"
        )?;
    }
    Ok(())
}

/// Two teams' services that have one version in common.
fn of_shared(told: &mut String, shared: &BTreeSet<ServiceId>, trip: &Trip) -> Result<(), Failure> {
    let pair: Vec<_> = shared.iter().map(ServiceId::as_str).collect();
    let mut versions = shared.iter().map(|service| trip.boarded.aboard.get(service));
    let how = match versions.next().flatten() {
        Some(version) => format!("go along as {version}"),
        None if trip.cars.iter().any(|car| shared.contains(&car.service)) => "stay behind".into(),
        None => "do not change".into(),
    };
    writeln!(told, "- {} share one version, and {how} together.", pair.join(" and "))?;
    Ok(())
}

fn because(departure: &Departure) -> String {
    match departure {
        Departure::Departs { because: Because::OnTime, aboard, late, .. } => {
            format!("on time, with {} features and without {} late ones", aboard.len(), late.len())
        }
        Departure::Departs { because, .. } => format!("{because:?}"),
        Departure::Waits { .. } => "it waits".into(),
    }
}

fn of_boarding(told: &mut String, train: &Told, trip: &Trip) -> Result<(), Failure> {
    let boarded = &trip.boarded;
    writeln!(
        told,
        "- Boarding ended {}: {} of {} cars are aboard; {} builds are concerned. Run `{}` verified them in staging with all \
         that is deployed.",
        when(train.dates.boards_until),
        boarded.aboard.len(),
        trip.cars.len(),
        trip.affected,
        trip.staging.run
    )?;
    for (service, why) in &boarded.behind {
        let mark = if matches!(why, Behind::Late { .. }) { "late" } else { "with it" };
        writeln!(told, "  - {service} stays behind ({mark}): {why}")?;
    }
    Ok(())
}

fn lacks(readiness: &Readiness) -> String {
    if readiness.is_ready() {
        return "nothing is missing".into();
    }
    let all: Vec<_> = readiness.missing.iter().map(ToString::to_string).collect();
    all.join("; ")
}

fn of_failure(told: &mut String, failed: &Regional) -> Result<(), Failure> {
    let Regional { region, service, version, cause, at, not_begun, verified_by, back } = failed;
    let waves: Vec<_> = not_begun
        .iter()
        .map(|stop| {
            let regions: Vec<_> = stop.regions.iter().map(RegionId::as_str).collect();
            format!("{} ({})", stop.id, regions.join(", "))
        })
        .collect();
    writeln!(told, "\n**{service} {version} failed in {region}**, {}: {cause}.\n", when(*at))?;
    writeln!(
        told,
        "- The engine took the wave back to the set that run `{verified_by}` verified."
    )?;
    let waves = if waves.is_empty() { "none was left".to_owned() } else { waves.join(", ") };
    writeln!(told, "- Did not begin: {waves}.")?;
    match back {
        Some((ran, changes)) => writeln!(
            told,
            "- The waves before went back to the same set in {changes} changes: run `{}` {}, {}.",
            ran.run,
            ran.outcome.name(),
            when(ran.ended)
        )?,
        None => writeln!(told, "- No wave had come before.")?,
    }
    writeln!(told, "- Its features go with the next train, with {service} mended.")?;
    Ok(())
}
