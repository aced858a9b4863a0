//! Kills a process that drives runs over SQLite, again and again, and counts its effects where no crash
//! reaches: in this process, the witness.
//!
//! ```text
//! cargo run --all-features --example witness                # 20 rounds
//! cargo run --all-features --example witness -- 1000 7      # 1,000 rounds, with the seed 7
//! ```
//!
//! In each round a driver (this program again) drives eight runs. It is killed (SIGKILL) when it asks for
//! an effect: before that is brought about, before it hears of it, or right after. Another one goes on over
//! the same journal, and so on until one comes to the end. Then every effect of every run has been brought
//! about exactly once, or the round has failed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its terminal")]

mod driver;
mod effects;

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use effects::{Death, Effects};

/// Runs of a round.
const RUNS: usize = 8;
/// Steps of a run.
const STEPS: usize = 12;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is the host, and its command line")]
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["drive", address, journal] => driver::drive(address, Path::new(journal)),
        [] => witness(20, 1),
        [rounds] => number(rounds).and_then(|rounds| witness(rounds, 1)),
        [rounds, seed] => number(rounds).and_then(|rounds| witness(rounds, number(seed)?)),
        _ => Err("usage: witness [rounds [seed]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("witness: {problem}");
            ExitCode::FAILURE
        }
    }
}

type Problem = Box<dyn std::error::Error>;

fn number(text: &str) -> Result<u64, Problem> {
    text.parse()
        .map_err(|_| format!("`{text}` is no number; usage: witness [rounds [seed]]").into())
}

fn witness(rounds: u64, seed: u64) -> Result<(), Problem> {
    let mut chance = Chance(seed);
    let (mut kills, mut twice) = (0, 0);
    for round in 1..=rounds {
        let folder = tempfile::tempdir()?;
        let mut effects = Effects::listen()?;
        let lives = play(&folder.path().join("journal.db"), &mut effects, &mut chance)
            .map_err(|problem| format!("round {round} of seed {seed}: {problem}"))?;
        check(&effects).map_err(|problem| format!("round {round} of seed {seed}: {problem}"))?;
        (kills, twice) = (kills + lives - 1, twice + effects.asked_again);
        println!("round {round}: {} effects, each once, in {lives} lives", RUNS * STEPS);
    }
    println!("{rounds} rounds, {kills} kills, {twice} looks at what was done already; all well");
    Ok(())
}

/// Lets drivers live and die until one comes to the end; how many there were.
fn play(journal: &Path, effects: &mut Effects, chance: &mut Chance) -> Result<u64, Problem> {
    for life in 1..=10_000 {
        let mut child = start(journal, effects)?;
        // Each life gets a little further than its death, so that there is an end.
        let after = 1 + chance.below(10);
        let death = match chance.below(3) {
            0 => Death::Before,
            1 => Death::Unheard,
            _ => Death::After,
        };
        let killed = effects.serve(&mut child, after, death)?;
        let status = child.wait()?;
        if !killed {
            let good = status.success();
            return if good {
                Ok(life)
            } else {
                Err(format!("the driver failed: {status}").into())
            };
        }
    }
    Err("10,000 lives were not enough".into())
}

fn start(journal: &Path, effects: &Effects) -> Result<Child, Problem> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("drive").arg(effects.address()?).arg(journal).stdin(Stdio::null());
    Ok(command.spawn()?)
}

/// Every effect of every run, once, and nothing else.
fn check(effects: &Effects) -> Result<(), Problem> {
    for run in 0..RUNS {
        for step in 0..STEPS {
            let key = format!("run-{run}/step-{step}/0");
            match effects.done.get(&key) {
                Some(1) => {}
                None => return Err(format!("{key} was never brought about").into()),
                Some(count) => return Err(format!("{key} was brought about {count} times").into()),
            }
        }
    }
    if effects.done.len() != RUNS * STEPS {
        return Err(format!("{} effects, {} were planned", effects.done.len(), RUNS * STEPS).into());
    }
    Ok(())
}

/// A source of chance that a seed repeats (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
