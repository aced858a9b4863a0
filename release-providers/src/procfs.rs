//! Looks at processes through `/proc`, and signals those that it found there.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process beyond doubt: pids are reused, but not with the same start time in the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks between boot and the start of the process.
    pub(crate) started: u64,
    /// The kernel's id of the boot.
    pub(crate) boot: String,
}

/// The parts of `/proc/<pid>/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    state: char,
    /// Its process group.
    pub(crate) group: i32,
    /// Clock ticks between boot and its start.
    pub(crate) started: u64,
}

impl Stat {
    /// A zombie has ended; only its parent has not asked yet.
    pub(crate) const fn alive(self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// What `/proc` says of a pid; `None` when there is no such process.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same of a line that somebody kept.
pub(crate) fn parse_stat(line: &str) -> Option<Stat> {
    // The name stands in brackets and may itself hold blanks and brackets.
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some(Stat { state, group, started })
}

/// Whether this very process lives.
pub(crate) fn alive(process: &ProcessId) -> bool {
    stat(process.pid).is_some_and(|stat| stat.alive() && stat.started == process.started)
}

/// The other live processes of the group that `leader` leads, with their starts. None if its number is
/// another's by now.
pub(crate) fn group_of(leader: &ProcessId) -> Vec<(i32, u64)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let members = pids.filter_map(|pid| Some((pid, stat(pid)?)));
    let all: Vec<(i32, Stat)> = members.filter(|(_, stat)| stat.group == leader.pid).collect();
    if all.iter().any(|(pid, stat)| *pid == leader.pid && stat.started != leader.started) {
        return Vec::new();
    }
    let others = all.into_iter().filter(|(pid, stat)| *pid != leader.pid && stat.alive());
    others.map(|(pid, stat)| (pid, stat.started)).collect()
}

/// How many connections are established with whoever listens on this port: those that wait to be accepted, too.
#[cfg(feature = "local")]
pub(crate) fn connections(port: u16) -> usize {
    // Without version 6 of the protocol there is no such table.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
    tables.filter_map(|table| fs::read_to_string(table).ok()).map(|table| to(&table, port)).sum()
}

#[cfg(feature = "local")]
fn to(table: &str, port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let end = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&end))
            && fields.nth(1) == Some(ESTABLISHED)
    };
    table.lines().filter(is_one).count()
}

/// Sends a signal to the process that `started` then, and to no other that has its number by now.
pub(crate) fn send(raw: i32, started: u64, signal: Signal) {
    let Some(pid) = Pid::from_raw(raw) else { return };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    // Looked at after the pidfd was opened, so that the pidfd means this very process.
    if stat(raw).is_some_and(|stat| stat.started == started) {
        let _ = pidfd_send_signal(&pidfd, signal); // it may have ended
    }
}

/// The kernel's id of this boot; empty where there is none.
pub(crate) fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// A live process that carries a root's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) pid: i32,
    pub(crate) stat: Stat,
    /// What under the root it was started for.
    pub(crate) instance: String,
}

/// What a process is marked with, as the value of an environment variable: the root, and what under it it is for.
pub(crate) fn mark(root: &Path, instance: &str) -> OsString {
    let mut mark = root.as_os_str().to_owned();
    mark.push("|");
    mark.push(instance);
    mark
}

/// All live processes that carry a mark of `root` in the variable `marker`, by whomever they were started.
pub(crate) fn marked(marker: &str, root: &Path) -> Vec<Marked> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Unreadable: it has just ended, or it is another user's and so none of ours.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let Some(instance) = instance_of(&environment, marker, root) else { continue };
        if let Some(stat) = stat(pid).filter(|stat| stat.alive()) {
            found.push(Marked { pid, stat, instance });
        }
    }
    found
}

fn instance_of(environment: &[u8], marker: &str, root: &Path) -> Option<String> {
    let prefix = [marker.as_bytes(), b"=", root.as_os_str().as_bytes(), b"|"].concat();
    let value = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(prefix.as_slice()))?;
    String::from_utf8(value.to_vec()).ok().filter(|id| !id.contains('|'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "RELEASE_INSTANCE";

    /// As of a kernel 6.12: one that listens, one established there, one on its way out, and one from that port to another.
    #[cfg(feature = "local")]
    #[test]
    fn only_what_is_established_at_a_port_is_a_connection_there() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000\n   \
             1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000\n   \
             2: 0100007F:1F90 0100007F:D432 06 00000000:00000000 00:00000000 00000000  1000\n   \
             3: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000\n";
        assert_eq!((to(table, 8080), to(table, 8081), to("", 8080)), (1, 0, 0));
        let six = "   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D431 01 0";
        assert_eq!(to(six, 8080), 1);
    }

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_confuse_it() {
        let line = "42 (a) b (c) S 1 42 43 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2 3";
        let want = Stat { state: 'S', group: 42, started: 9876 };
        assert_eq!(parse_stat(line), Some(want));
        assert!(want.alive() && !Stat { state: 'Z', ..want }.alive());
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }

    #[test]
    fn it_finds_this_very_process() {
        let me = i32::try_from(std::process::id()).unwrap();
        let stat = stat(me).unwrap();
        let id = |started| ProcessId { pid: me, started, boot: boot() };
        assert!(alive(&id(stat.started)) && !alive(&id(stat.started + 1)));
        assert!(!boot().is_empty());
    }

    #[test]
    fn the_others_of_a_group_are_found_and_only_of_the_leader_s_own() {
        use std::os::unix::process::CommandExt as _;
        use std::process::{Command, Stdio};
        let mut sh = Command::new("sh");
        sh.args(["-c", "sleep 100 & echo; wait"]).process_group(0).stdout(Stdio::piped());
        let mut leader = sh.spawn().unwrap();
        let mut line = [0];
        std::io::Read::read_exact(leader.stdout.as_mut().unwrap(), &mut line).unwrap();
        let pid = i32::try_from(leader.id()).unwrap();
        let started = stat(pid).unwrap().started;
        let group = |started| group_of(&ProcessId { pid, started, boot: boot() });
        let others = group(started);
        assert_eq!((others.len(), group(started + 1)), (1, Vec::new()));
        assert_eq!(stat(others[0].0).map(|stat| stat.group), Some(pid));
        let group = Pid::from_raw(pid).unwrap();
        rustix::process::kill_process_group(group, Signal::KILL).unwrap();
        leader.wait().unwrap();
    }

    #[test]
    fn the_mark_of_another_root_is_not_ours() {
        let environment = b"PATH=/bin\0RELEASE_INSTANCE=/a/b|api-1\0X=1\0";
        assert_eq!(instance_of(environment, MARKER, Path::new("/a/b")).as_deref(), Some("api-1"));
        assert_eq!(instance_of(environment, MARKER, Path::new("/a")), None);
        assert_eq!(instance_of(b"RELEASE_INSTANCE=/a|b|api-1\0", MARKER, Path::new("/a")), None);
    }
}
