//! What goes to a disk.

use benches::{
    Durable, Replay, Shape, percentile, plan, raw_appends, resume, sqlite_inserts, store_alone,
};
use serde_json::json;

use super::{Failure, Options, median, medians, per, ratio};

pub(super) fn durable(options: &Options) -> Result<(), Failure> {
    let (runs, steps) = (options.number("--runs", 1)?, options.number("--steps", 100)?);
    let samples = options.samples()?;
    let folder = tempfile::tempdir()?;
    let plan = plan(Shape::Linear, usize::try_from(steps)?)?;
    let mut engine = Durable::open(folder.path())?;
    let all = runs * steps;
    let mut commits = 0;
    let (ours, raw) = medians(
        samples,
        || {
            let (took, count) = engine.run(&plan, runs)?;
            commits = count;
            Ok(took)
        },
        || raw_appends(folder.path(), steps, 512),
    )?;
    let one = median(if options.text("--bare").is_some() { 1 } else { samples }, || {
        sqlite_inserts(folder.path(), steps, 1, 512)
    })?;
    let many = median(if options.text("--bare").is_some() { 1 } else { samples }, || {
        sqlite_inserts(folder.path(), 64 * 200, 64, 512)
    })?;
    let line = json!({
        "bench": "durable_steps", "engine": "release", "runs": runs, "steps": steps,
        "median_ns_per_step": per(ours, all), "samples": samples, "commits": commits,
    });
    println!("{line}");
    let line = json!({
        "bench": "durable_steps", "engine": "raw_append", "runs": runs, "steps": steps,
        "rows_a_transaction": 1, "median_ns_per_step": per(raw, steps), "samples": samples,
    });
    println!("{line}");
    let alone = median(samples, || store_alone(folder.path(), runs, steps))?;
    let line = json!({
        "bench": "durable_steps", "engine": "our_store_alone", "runs": runs, "steps": steps,
        "median_ns_per_step": per(alone, all), "samples": samples,
    });
    println!("{line}");
    eprintln!("release: {commits} commits for {runs} runs of {steps} steps");
    for (batch, took, rows) in [(1, one, steps), (64, many, 64 * 200)] {
        let line = json!({
            "bench": "durable_steps", "engine": "sqlite_insert", "runs": runs, "steps": steps,
            "rows_a_transaction": batch, "median_ns_per_step": per(took, rows), "samples": samples,
        });
        println!("{line}");
    }
    Ok(())
}

pub(super) fn recovery(options: &Options) -> Result<(), Failure> {
    let (most, samples) = (options.size("--runs", 10_000)?, options.samples()?);
    for runs in [most / 10, most] {
        let mut times = Vec::new();
        for _ in 0..samples.max(1) {
            let folder = tempfile::tempdir()?;
            times.push(resume(folder.path(), runs)?);
        }
        let took = percentile(&mut times, 0.5);
        let line = json!({
            "bench": "recovery", "open_runs": runs, "samples": samples,
            "us_a_run": per(took, runs as u64) / 1000, "all_ms": per(took, 1_000_000),
        });
        println!("{line}");
    }
    Ok(())
}

pub(super) fn replay(options: &Options) -> Result<(), Failure> {
    let (events, samples) = (options.size("--events", 1_000_000)?, options.samples()?);
    let replay = Replay::make(events)?;
    let (ours, bare) = medians(samples, || replay.ours(), || replay.bare())?;
    let line = json!({
        "bench": "replay", "events": replay.events, "samples": samples,
        "ns_an_event": per(ours, replay.events), "bare_scan_and_sha256_ns": per(bare, replay.events),
        "ratio": ratio(ours, bare),
    });
    println!("{line}");
    Ok(())
}
