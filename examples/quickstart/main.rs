//! The main job, for real: a train of three services goes from staging to production in two regions
//! by canary, under load; a bad version is caught by its metrics and the whole set is rolled back.
//!
//! ```text
//! cargo run --all-features --example quickstart             # deploy, release, catch a bad version
//! cargo run --all-features --example quickstart -- --crash  # killed in the middle of a canary, resumed
//! ```
//!
//! Everything is real and on this machine: services are processes, traffic goes through a weighted
//! proxy, metrics are scraped, the journal is a SQLite file. It ends with an HTML report, and with a
//! non-zero exit code if anything did not hold.

mod crash;
mod demo;
mod interrupts;
mod load;
mod options;
mod stage;
mod train;
mod verify;
mod view;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use interrupts::Interrupts;
use options::{Options, Scenario};
use release_core::report::{RunReport, html};
use release_providers::{ErrorKind, ProviderError};
use stage::Stage;
use train::Pace;

/// Shows a line. A reader who went away is no fault of the play, which still has to clear its stage.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// What can go wrong here.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[expect(clippy::disallowed_methods, reason = "a program reads its command line")]
#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => return failed(&error, None),
    };
    let result = match options.scenario {
        Scenario::Crash => crash::run(&options).await,
        Scenario::Build => demo::build(&options.services).await.map(drop),
        Scenario::All | Scenario::Train => play(&options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, Some(&options.dir)),
    }
}

/// Says why, and what was left running in the folder of the play.
fn failed(error: &Failure, dir: Option<&Path>) -> ExitCode {
    if let Some(dir) = dir
        && is_in_use(error)
    {
        say(&format!(
            "\nquickstart failed: another quickstart plays in {}; wait for its end, or give another \
             folder with --dir",
            dir.display()
        ));
        return ExitCode::FAILURE;
    }
    say(&format!("\nquickstart failed: {error}"));
    if let Some(dir) = dir
        && let left = left_running(dir)
        && !left.is_empty()
    {
        say(&format!(
            "{} services still run (processes {}); to stop them and begin anew, run this again with \
             --dir {} and without --resume",
            left.len(),
            left.join(", "),
            dir.display()
        ));
    }
    ExitCode::FAILURE
}

/// Whether somebody else has the folder: what runs there is theirs.
fn is_in_use(error: &Failure) -> bool {
    error.downcast_ref::<ProviderError>().is_some_and(|error| {
        error.kind() == ErrorKind::Conflict && error.operation() == "local.open"
    })
}

/// The processes that a play in `dir` has started, by what the platform writes into their environment.
fn left_running(dir: &Path) -> Vec<String> {
    let marker = format!("RELEASE_INSTANCE={}|", dir.join("platform").display());
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ours = processes.filter_map(|process| {
        let process = process.ok()?;
        let environment = std::fs::read(process.path().join("environ")).ok()?; // it may have ended
        let mut variables = environment.split(|byte| *byte == 0);
        let is_ours = variables.any(|variable| variable.starts_with(marker.as_bytes()));
        is_ours.then(|| process.file_name().to_string_lossy().into_owned())
    });
    ours.collect()
}

/// Plays the scenario on a stage of its own, and clears the stage whatever happens.
async fn play(options: &Options) -> Result<(), Failure> {
    let stage = Stage::set(options).await?;
    if options.resume && options.report().exists() {
        // It was killed while it cleared the stage, after everything had held.
        say("the play had ended; its stage is cleared");
        return stage.clear().await;
    }
    let mut interrupts = Interrupts::listen()?;
    let played = tokio::select! {
        played = scenes(options, &stage) => played,
        error = interrupts.next() => Err(error),
    };
    let cleared = stage.clear().await;
    let notes = played?;
    cleared?;
    say("\nEverything held:");
    for note in &notes {
        say(&format!("  - {note}"));
    }
    Ok(())
}

/// What production serves after (a), and again after (b).
const GOOD: [(&str, &str); 3] =
    [("ledger", "2.0.0"), ("payments", "2.0.0"), ("storefront", "2.0.0")];

async fn scenes(options: &Options, stage: &Stage) -> Result<Vec<String>, Failure> {
    let versions = &stage.versions;
    let pace = if options.fast { Pace::FAST } else { Pace::SHOW };
    let mut notes = Vec::new();
    let mut reports: Vec<RunReport> = Vec::new();

    say("\n== Version 1 is deployed where nothing ran before");
    let first = stage.release("first-deploy", &train::first(versions, pace)?).await?;
    verify::succeeded(&first)?;
    reports.push(first);

    let load = load::Load::start(stage.production()?);
    load.has_begun().await;
    // What has to hold after (a) held before (b) was begun, and what (b) does to it is no fault of (a).
    let in_b = options.scenario == Scenario::All && stage.has_begun("release-3").await?;
    say("\n== (a) Version 2 of all three services goes out by canary, under load");
    let second = stage.release("release-2", &train::second(versions, pace)?).await?;
    verify::succeeded(&second)?;
    if in_b {
        notes.push("(a): held, or the process before this one would not have begun (b)".into());
    } else {
        verify::serves(stage, versions, &GOOD).await?;
        notes.push(verify::nothing_lost("(a)", &load.count())?);
        notes.push(verify::nothing_twice(&options.dir, versions, &second)?);
    }
    reports.push(second);

    if options.scenario == Scenario::All {
        say("\n== (b) A release in which payments 3.0.0 fails 20 % of its requests");
        let before = load.count();
        let third = stage.release("release-3", &train::third(versions, pace)?).await?;
        verify::rolled_back(&third)?;
        verify::serves(stage, versions, &GOOD).await?;
        notes.push(if in_b {
            "(b): the process that was killed took its count of the load with it".into()
        } else {
            verify::bad_version_seen_little(&before, &load.count())?
        });
        reports.push(third);
    }
    let total = load.stop().await;
    notes.push(verify::nothing_lost("in all", &total)?);

    let path = options.report();
    let unfinished = path.with_extension("part");
    let shown = html("A release train, from staging to production", &notes, &reports);
    verify::plotted(&shown, options.scenario == Scenario::All)?;
    std::fs::write(&unfinished, shown)?;
    std::fs::rename(&unfinished, &path)?;
    notes.push(format!(
        "hash chains of {} runs verified; the report is {}",
        reports.len(),
        path.display()
    ));
    Ok(notes)
}
