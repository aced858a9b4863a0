//! The command of a build: begun at most once, whoever lives to see it, and ended with all that it started.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::process::Stdio;

use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::config::{GitBuildsConfig, MARKER, PARAMETER_PREFIX};
use super::layout::{Accepted, Paths, Place};
use crate::procfs::{self, ProcessId};

/// What begins the command, with the build's folder and the most bytes of output before it.
///
/// Whoever makes `begun` first is the one that begins. It writes down who it is, before anything of the command runs, and
/// the command's exit code, after it; both appear as a whole. It outlives the end of the command that SIGTERM brings, since
/// a trap is not handed on, and so does whoever keeps the output, which is at its end when nobody has it open any more. The
/// command is run by a shell below, so that it cannot be a word of this one.
const SCRIPT: &str = r#"
folder=$1; most=$2; shift 2
mkdir "$folder/begun" 2>/dev/null || exit 75
trap : TERM INT HUP
{ cat /proc/sys/kernel/random/boot_id; cat "/proc/$$/stat"; } >"$folder/begun/.process" &&
mv "$folder/begun/.process" "$folder/begun/process" &&
mkfifo "$folder/begun/output" &&
cd "$folder/tree" || exit 74
( trap '' TERM INT HUP; head -c "$most"; cat >/dev/null ) <"$folder/begun/output" >>"$folder/log" 2>/dev/null &
( exec "$@" ) </dev/null >"$folder/begun/output" 2>&1
echo "$?" >"$folder/begun/.status" && mv "$folder/begun/.status" "$folder/begun/status"
"#;

/// Starts the script of a build. It outlives this program.
pub(super) fn start(
    config: &GitBuildsConfig,
    paths: &Paths,
    (place, build): (&Place, &Accepted),
) -> io::Result<Child> {
    for directory in [place.home(), place.tmp()] {
        fs::create_dir_all(&directory)?;
    }
    // For what the script itself has to say.
    let log = OpenOptions::new().create(true).append(true).open(place.log())?;
    let request = &build.request;
    let parameters = request.parameters.iter();
    let parameters = parameters.map(|(name, value)| (format!("{PARAMETER_PREFIX}{name}"), value));
    Command::new("sh")
        .args(["-c", SCRIPT, "release-build"].map(OsStr::new))
        .arg(&place.folder)
        .arg(config.most_output.to_string())
        .args(&build.recipe.command)
        .env_clear()
        .env("PATH", &config.path)
        .env("LANG", "C.UTF-8")
        .envs(&build.recipe.env)
        .envs(parameters)
        .env("HOME", place.home())
        .env("TMPDIR", place.tmp())
        .env("BUILD_REPOSITORY", &request.repository)
        .env("BUILD_REVISION", &request.revision)
        .env("BUILD_RECIPE", &request.recipe)
        .env(MARKER, procfs::mark(&paths.root, &place.id))
        .current_dir(&place.folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
}

/// Whether whoever began still lives, and will say how the command ended. Blocks.
pub(super) fn lives(paths: &Paths, place: &Place) -> bool {
    match place.process() {
        Some(process) => process.boot == procfs::boot() && procfs::alive(&process),
        // It has not written that down yet, or never could.
        None => !marked(paths, place).is_empty(),
    }
}

/// All processes of a build: those of its group, and those that left the group and kept the build's mark. Blocks.
///
/// Of the group only if this runner has `seen` its leader alive: else its number may be another group's by now.
pub(super) fn processes(paths: &Paths, place: &Place, seen: bool) -> Vec<(i32, u64)> {
    let mut all = marked(paths, place);
    if let Some(leader) = place.process().filter(|process| process.boot == procfs::boot()) {
        if seen {
            all.extend(procfs::group_of(&leader));
        }
        if procfs::alive(&leader) {
            let ProcessId { pid, started, .. } = leader;
            all.push((pid, started));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn marked(paths: &Paths, place: &Place) -> Vec<(i32, u64)> {
    let all = procfs::marked(MARKER, &paths.root).into_iter();
    let ours = all.filter(|one| one.instance == place.id);
    ours.map(|one| (one.pid, one.stat.started)).collect()
}

/// Sends a signal to processes.
pub(super) fn signal(all: &[(i32, u64)], signal: Signal) {
    for (pid, started) in all {
        procfs::send(*pid, *started, signal);
    }
}
