//! Runs other engines with no-op steps and prints one JSON object a line.
//!
//! ```text
//! peers engine  --engine joinset|dag_exec|async_dag|steno --shape linear|wide|random|staged --n 1000 --samples 5
//! peers durable --engine duroxide [--poll-ms 1] --runs 1 --steps 100 --samples 5
//! ```
//!
//! Only the run is timed; what an engine needs to build its graph is in a field of its own. Every
//! sample checks that each step really ran. See README.md for what the numbers do not say.

mod durable;
mod engines;
mod graph;

use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};

use graph::{Graph, Shape};

/// Whatever went wrong: a benchmark that cannot be trusted prints no line and exits with an error.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let flags = Flags(words.collect());
    let line = match command.as_str() {
        "engine" => std::thread::scope(|scope| {
            std::thread::Builder::new()
                .stack_size(engines::STACK_BYTES)
                .spawn_scoped(scope, || engine(&flags))?
                .join()
                .map_err(|_| Failure::from("the engine panicked"))?
        })?,
        "durable" => durable(&flags)?,
        _ => return Err("usage: peers engine|durable --engine NAME ... (see README.md)".into()),
    };
    println!("{line}");
    Ok(())
}

fn engine(flags: &Flags) -> Result<Value, Failure> {
    let engine = flags.text("--engine")?;
    let shape = Shape::parse(flags.text("--shape")?)?;
    let asked = flags.number("--n")?;
    let samples = flags.number("--samples")?;
    let n = asked.min(engines::most_nodes(engine, shape));
    let graph = Graph::new(shape, n);
    engines::sample(engine, &graph)?; // warm-up
    let mut builds = Vec::new();
    let mut runs = Vec::new();
    for _ in 0..samples {
        let sample = engines::sample(engine, &graph)?;
        builds.push(sample.build);
        runs.push(sample.run);
    }
    let mut line = json!({
        "bench": "engine_overhead",
        "engine": engine,
        "shape": shape.name(),
        "n": n,
        "samples": samples,
        "median_ns_per_step": per_step(&mut runs, n)?,
        "median_build_ns_per_step": per_step(&mut builds, n)?,
    });
    if n < asked {
        line["note"] = json!("capped");
        line["asked_n"] = json!(asked);
    }
    Ok(line)
}

fn durable(flags: &Flags) -> Result<Value, Failure> {
    let engine = flags.text("--engine")?;
    if engine != "duroxide" {
        return Err(format!("no durable engine is called `{engine}`").into());
    }
    let poll_ms = flags.optional("--poll-ms").map(str::parse::<u64>).transpose()?;
    let (runs, steps) = (flags.number("--runs")?, flags.number("--steps")?);
    let samples = flags.number("--samples")?;
    let poll = poll_ms.map(Duration::from_millis);
    let mut times = durable::duroxide(poll, runs, steps, samples)?;
    let ns = per_step(&mut times, runs * steps)?;
    Ok(json!({
        "bench": "durable_steps",
        "engine": engine,
        "poll_ms": poll_ms, // null is its default of 100 ms
        "runs": runs,
        "steps": steps,
        "samples": samples,
        "median_ns_per_step": ns,
        "steps_per_second": 1_000_000_000_u128.checked_div(ns),
    }))
}

/// Returns the median of `times`, spread over `steps`, in whole nanoseconds.
fn per_step(times: &mut [Duration], steps: usize) -> Result<u128, Failure> {
    times.sort_unstable();
    let median = times.get(times.len() / 2).ok_or("--samples must be at least 1")?;
    let steps = u128::try_from(steps)?;
    median.as_nanos().checked_div(steps).ok_or_else(|| "there must be at least one step".into())
}

/// The `--name value` pairs of the command line.
struct Flags(Vec<String>);

impl Flags {
    fn optional(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|word| word == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn text(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name).ok_or_else(|| format!("{name} is missing").into())
    }

    fn number(&self, name: &str) -> Result<usize, Failure> {
        Ok(self.text(name)?.parse()?)
    }
}
