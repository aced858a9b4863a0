//! Builds: commands in work trees of git repositories, on this machine.
//!
//! [`GitBuilds`] is a [`BuildRunner`](crate::spi::BuildRunner) that lives in a directory. Whoever sets it up names the
//! repositories and the recipes; a request names one of each, and a commit.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use release_core::model::{Principal, Span};
//! # use release_core::port::Clock;
//! # use release_providers::{Context, ProviderError, git::*, spi::*};
//! # async fn example(clock: Arc<dyn Clock>, store: Arc<dyn ArtifactStore>, who: Principal)
//! # -> Result<(), ProviderError> {
//! let release = Recipe::new(["make", "release"])
//!     .making("api".parse().expect("a literal that is a name"), "target/api")
//!     .within(Span::secs(1_200));
//! let config = GitBuildsConfig::new("/var/lib/builds", store, clock.clone())
//!     .repository("shop/api", "ssh://git@host/shop/api")
//!     .recipe("release", release);
//! let runner = GitBuilds::open(config).await?;
//! let cx = |key: &str| Context::new(key, clock.now().plus(Span::secs(600)), who.clone());
//!
//! let revision = "8f14e45fceea167a5a36dedd4bea2543ffffffff".into();
//! let request = StartBuild::new("shop/api".into(), revision, "release".into());
//! runner.start(&cx("train-7/api"), request).await?;
//! let status = runner.observe(&cx("look"), JobRef::new("train-7/api".into())).await?;
//! println!("{:?}, {:?}", status.phase, status.log);
//! # Ok(())
//! # }
//! ```
//!
//! # Where things lie
//!
//! | under the root | what |
//! |---|---|
//! | `mirrors/` | a bare copy of every repository, by the hash of its place; fetched only when it lacks a revision, and never thinned |
//! | `builds/<hash of the key>/request.json` | what was asked, the recipe as it was then, by whom; written before anything begins |
//! | `…/tree` | the work tree: a repository of its own with just that commit, made as a whole or not at all |
//! | `…/home`, `…/tmp` | the build's own `HOME` and `TMPDIR` |
//! | `…/launch.json`, `…/begun/` | when it was started; who began, and the exit code of the command |
//! | `…/log` | what the command printed, up to [`most_output`](GitBuildsConfig::most_output) |
//! | `…/cancelled`, `…/outcome.json` | that somebody cancelled it; how it ended, for good |
//!
//! Once a build is over, `tree`, `home` and `tmp` are removed. The record and the log stay until somebody
//! [forgets](GitBuilds::forget_before) them, and as long as they do, the key means that build.
//!
//! # One key is one build
//!
//! The command is begun by a small script that makes the directory `begun`, which only one can, and writes the exit code of
//! the command there. The script is no child that dies with the runner: when that crashes, the next one on the root *adopts*
//! what runs, by pid, start time and boot; finishes what ended meanwhile; begins what was accepted and never began. What
//! began, and is gone without an exit code, has failed: nobody knows what it did, and it is not run again. Another request
//! under a key that was used is `Conflict`.
//!
//! Artifacts are put into the store before success is told. A store that cannot be reached is asked again until it can; a crash
//! meanwhile puts the same bytes once more.
//!
//! # What a command gets
//!
//! The work tree as its directory; no input; and an environment of `PATH`, `LANG`, what its recipe sets, `HOME`, `TMPDIR`,
//! `BUILD_REPOSITORY`, `BUILD_REVISION`, `BUILD_RECIPE`, the parameters of the request as `PARAM_` and their names (letters,
//! digits and `_`), and `RELEASE_BUILD`, by which its processes are found. Nothing of the environment of this program, so no
//! secret of it. A revision is the whole id of a commit: a branch is `Invalid`, since it moves.
//!
//! # How it ends
//!
//! With its command, whatever else still runs: that has [`grace`](GitBuildsConfig::grace) to end by itself, then gets SIGTERM, and
//! SIGKILL after as long again; only then artifacts are read, and the end is told. The same from SIGTERM on for a build that is
//! cancelled, or takes longer than its recipe allows. Signals reach the command's process group, and whoever left it with the
//! mark in the environment.
//!
//! # What git does
//!
//! It asks nobody (`GIT_TERMINAL_PROMPT=0`, ssh in batch mode), reads no settings of users and the system, runs no hooks, takes
//! no submodules, and speaks `file`, `git`, `http`, `https` and `ssh` alone. What it needs besides, such as keys, is
//! [`git_env`](GitBuildsConfig::git_env), which builds do not get.
//!
//! # What remains
//!
//! Builds run as the user of this program: what they run can read and change what that user can, other builds and these records
//! included. Give the runner a user, or a container, of its own where repositories are not trusted. A process that leaves the
//! group *and* clears its environment is not found; neither is one that left the group of a build whose script died while no
//! runner looked. What a build prints is kept as it is: let it print no secret. Artifacts are read into memory. Linux only
//! (`/proc`), with `sh`, `mkfifo`, `head` and `cat`, and git 2.29 or later.

mod accept;
mod artifacts;
mod command;
mod config;
mod drive;
mod launch;
mod layout;
mod mirror;
mod open;
mod runner;

pub use config::{GitBuildsConfig, History, PARAMETER_PREFIX, Recipe};
pub use runner::GitBuilds;
