//! Our side of `benches/peers/run.sh`, and what has no peer: one JSON object a line, for each
//! measurement.
//!
//! ```text
//! ours engine --shape linear --n 1000 --samples 5 [--journal off] [--effects polled | none]
//! ours durable --runs 1 --steps 100 --samples 5
//! ours plan --n 1000000 --samples 5
//! ours memory --n 1000000
//! ours recovery --runs 10000
//! ours replay --events 1000000 --samples 3
//! ours seal --samples 5
//! ours latency --shape staged --n 10000
//! ours plugin --samples 15 [--python flags.pyz]
//! ours policy --rules 1000 --windows 200 --grants 50
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this program is for"
)]

mod boundary;
mod in_memory;
mod stored;

use std::time::Duration;

use benches::{Failure, Shape};

/// What was asked for.
struct Options(Vec<String>);

impl Options {
    fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str, default: u64) -> Result<u64, Failure> {
        Ok(self.text(name).map_or(Ok(default), str::parse)?)
    }

    fn size(&self, name: &str, default: u64) -> Result<usize, Failure> {
        Ok(usize::try_from(self.number(name, default)?)?)
    }

    fn samples(&self) -> Result<u64, Failure> {
        self.number("--samples", 5)
    }

    fn shape(&self) -> Result<Shape, Failure> {
        let name = self.text("--shape").unwrap_or("linear");
        Shape::parse(name).ok_or_else(|| format!("no shape is called `{name}`").into())
    }
}

#[expect(clippy::disallowed_methods, reason = "a program reads its command line")]
fn main() -> Result<(), Failure> {
    let options = Options(std::env::args().skip(1).collect());
    match options.0.first().map(String::as_str) {
        Some("engine") => in_memory::engine(&options),
        Some("plan") => in_memory::plans(&options),
        Some("memory") => in_memory::memory(&options),
        Some("seal") => in_memory::seal(&options),
        Some("latency") => in_memory::latency(&options),
        Some("plugin") => boundary::plugin(&options),
        Some("policy") => in_memory::policy(&options),
        Some("durable") => stored::durable(&options),
        Some("recovery") => stored::recovery(&options),
        Some("replay") => stored::replay(&options),
        _ => Err(
            "usage: ours engine | plan | memory | seal | latency | plugin | policy | durable | recovery | replay, \
                  with the options that the head of its source tells"
                .into(),
        ),
    }
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

/// The medians of two things that are done in turns, so that both meet the same neighbours.
fn medians(
    samples: u64,
    mut one: impl FnMut() -> Result<Duration, Failure>,
    mut other: impl FnMut() -> Result<Duration, Failure>,
) -> Result<(Duration, Duration), Failure> {
    one()?;
    other()?;
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..samples.max(1) {
        ones.push(one()?);
        others.push(other()?);
    }
    ones.sort_unstable();
    others.sort_unstable();
    let middle = |times: &[Duration]| times.get(times.len() / 2).copied().unwrap_or_default();
    Ok((middle(&ones), middle(&others)))
}

/// Nanoseconds for each of `count`.
fn per(took: Duration, count: u64) -> u64 {
    u64::try_from(took.as_nanos() / u128::from(count.max(1))).unwrap_or(u64::MAX)
}

/// One time as a multiple of another, in hundredths.
fn ratio(ours: Duration, theirs: Duration) -> f64 {
    (ours.as_secs_f64() / theirs.as_secs_f64() * 100.0).round() / 100.0
}
