//! A quarter of weekly trains of forty services from eight teams in five regions, on a virtual clock.
//!
//! ```text
//! cargo run --all-features --example train_season                  # to target/train_season
//! cargo run --all-features --example train_season -- --seed 7 DIR
//! ```
//!
//! In it two hotfixes land, of which one takes the place of a wave that is under way; nobody departs in the holidays; a team is
//! late, at boarding and at a sync point, and with its service another team's stays behind that shares the version; and a version
//! fails in one region. The season is played twice, the second time with Fridays frozen; what that would cost is told with
//! numbers. Everything follows from the seed: the same one writes the same files and lines, byte for byte.
//!
//! What is run by the engine, over fakes of a platform, with its freezes as a policy of the engine: the first deploy, the
//! verification of every set in staging, every wave of every train in its regions, every hotfix, and the way back from the
//! regional failure, which is found by the metric of one region. A second policy lets no version go where it does not get along
//! with what users have there: what each needs is published when it is built, while runs are decided by it. Users get no set but
//! one that such a run in staging verified, by its own records; a third policy lets nothing begin that could not go back to one. The
//! ways back of the wave that fails and of the one that is replaced are the engine's own. Calls go over a fake pager. What is decided
//! by pure parts: the dates, who boards, the waves and when they begin, what hotfixes move and what they replace, sign-offs, and to
//! which set the regions before return. Time for watching a wave after its rollout passes on the clock, and nothing is measured in it.
//!
//! | file | holds |
//! |---|---|
//! | `services` | teams, services, what they need, and regions |
//! | `season` | the calendar, the late team, freezes, and the dice |
//! | `backlog` | what teams have done and users have not yet; cars and what versions need |
//! | `people` | scope, sign-offs, and why a train departs when it does |
//! | `platform` | the fakes, the engine, and what is deployed |
//! | `route` | waves, and when a train can go so that no freeze finds it half done |
//! | `calls` | when teams are where they should be, and who is called where one is not |
//! | `trains` | the season, one train after the other |
//! | `travel` | one train from wave to wave, and back |
//! | `hotfixes` | the two hotfixes |
//! | `numbers`, `what_if` | what a season came to, and two of them compared |
//! | `report`, `picture`, `play` | what is written |

mod backlog;
mod calls;
mod hotfixes;
mod numbers;
mod people;
mod picture;
mod platform;
mod play;
mod report;
mod route;
mod season;
mod services;
mod trains;
mod travel;
mod what_if;

use std::io::Write as _;
use std::path::PathBuf;

use play::Failure;

const USAGE: &str = "usage: train_season [--seed N] [FOLDER]";

#[expect(clippy::disallowed_methods, reason = "a program reads its command line")]
fn main() -> Result<(), Failure> {
    let (seed, folder) = options(std::env::args().skip(1))?;
    let written = play::write(seed, &play::play(seed)?)?;
    std::fs::create_dir_all(&folder)?;
    for (name, text) in &written.files {
        std::fs::write(folder.join(name), text)?;
    }
    let mut out = std::io::stdout().lock();
    out.write_all(written.summary.as_bytes())?;
    let names: Vec<_> = written.files.keys().copied().collect();
    writeln!(out, "\nWritten to {}: {}", folder.display(), names.join(", "))?;
    Ok(())
}

/// The seed and the folder.
fn options(mut arguments: impl Iterator<Item = String>) -> Result<(u64, PathBuf), Failure> {
    let (mut seed, mut folder) = (1, None);
    while let Some(argument) = arguments.next() {
        if argument == "--seed" {
            let number = arguments.next().ok_or(USAGE)?;
            seed = number.parse().map_err(|_| format!("`{number}` is no seed; {USAGE}"))?;
        } else if argument.starts_with('-') || folder.is_some() {
            return Err(format!("`{argument}` is not understood; {USAGE}").into());
        } else {
            folder = Some(PathBuf::from(argument));
        }
    }
    Ok((seed, folder.unwrap_or_else(|| PathBuf::from("target/train_season"))))
}
