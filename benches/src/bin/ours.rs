//! Our side of `benches/peers/run.sh`: one JSON object a line, for each measurement.
//!
//! ```text
//! ours engine --shape linear --n 1000 --samples 5
//! ours durable --runs 1 --steps 100 --samples 5
//! ours plan --n 1000000 --samples 5
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this program is for"
)]

use std::time::Duration;

use benches::{
    Durable, Failure, Shape, definition, engine_run, join_set, plan, sqlite_inserts, timed_blocking,
};
use release_core::plan::Plan;
use serde_json::json;

#[expect(clippy::disallowed_methods, reason = "a program reads its command line")]
fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)
    };
    let number = |name: &str, default: u64| option(name).map_or(Ok(default), |text| text.parse());
    let samples = number("--samples", 5)?;
    match args.first().map(String::as_str) {
        Some("engine") => {
            let name = option("--shape").map_or("linear", String::as_str);
            let shape = Shape::parse(name).ok_or_else(|| format!("no shape is called `{name}`"))?;
            engine(shape, usize::try_from(number("--n", 1000)?)?, samples)
        }
        Some("durable") => durable(number("--runs", 1)?, number("--steps", 100)?, samples),
        Some("plan") => plans(usize::try_from(number("--n", 1000)?)?, samples),
        _ => Err("usage: ours engine --shape S --n N | ours durable --runs R --steps S | ours plan --n N, with --samples K".into()),
    }
}

fn engine(shape: Shape, n: usize, samples: u64) -> Result<(), Failure> {
    let (build, plan) = timed_blocking(|| plan(shape, n));
    let plan = plan?;
    let ours = median(samples, || engine_run(&plan))?;
    let bare = median(samples, || join_set(n))?;
    let build = per(build, n as u64);
    for (engine, took, build) in [("release", ours, build), ("joinset", bare, 0)] {
        let line = json!({
            "bench": "engine_overhead", "engine": engine, "shape": shape.name(), "n": n,
            "median_ns_per_step": per(took, n as u64), "median_build_ns_per_step": build, "samples": samples,
        });
        println!("{line}");
    }
    Ok(())
}

/// What a definition becomes: planned, frozen, and read again from its bytes.
fn plans(n: usize, samples: u64) -> Result<(), Failure> {
    let definition = definition(n)?;
    let (mut planned, mut frozen, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    let (mut steps, mut bytes) = (0, 0);
    for _ in 0..samples.max(1) {
        let (took, plan) = timed_blocking(|| release_core::plan::plan(&definition));
        planned.push(took);
        let (took, plan) = timed_blocking(|| plan.map(Plan::freeze));
        frozen.push(took);
        let plan = plan?;
        let (took, again) = timed_blocking(|| Plan::decode(plan.bytes()));
        decoded.push(took);
        steps = again?.len() as u64;
        bytes = plan.bytes().len() as u64;
    }
    let middle = |mut times: Vec<Duration>| {
        times.sort();
        per(times.get(times.len() / 2).copied().unwrap_or_default(), steps)
    };
    let line = json!({
        "bench": "plan", "steps": steps, "bytes_per_step": bytes / steps.max(1), "samples": samples,
        "plan_ns_per_step": middle(planned), "freeze_ns_per_step": middle(frozen),
        "decode_ns_per_step": middle(decoded),
    });
    println!("{line}");
    Ok(())
}

fn durable(runs: u64, steps: u64, samples: u64) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let plan = plan(Shape::Linear, usize::try_from(steps)?)?;
    let mut engine = Durable::open(folder.path())?;
    let mut commits = 0;
    let ours = median(samples, || {
        let (took, count) = engine.run(&plan, runs)?;
        commits = count;
        Ok(took)
    })?;
    let all = runs * steps;
    let one = median(samples, || sqlite_inserts(folder.path(), steps, 1, 512))?;
    let many = median(samples, || sqlite_inserts(folder.path(), 64 * 200, 64, 512))?;
    let line = json!({
        "bench": "durable_steps", "engine": "release", "runs": runs, "steps": steps,
        "median_ns_per_step": per(ours, all), "samples": samples,
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

/// The median of `samples` times, after one that warms up.
fn median(
    samples: u64,
    mut run: impl FnMut() -> Result<Duration, Failure>,
) -> Result<Duration, Failure> {
    run()?;
    let mut times = Vec::new();
    for _ in 0..samples.max(1) {
        times.push(run()?);
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().ok_or_else(|| "no samples".into())
}

fn per(took: Duration, count: u64) -> u64 {
    u64::try_from(took.as_nanos() / u128::from(count.max(1))).unwrap_or(u64::MAX)
}
