//! Reads answers of the runtime API, strictly: what is not as it should be is an error, never a guess.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::{ErrorKind, ProviderError};

/// Bits of `srv_admin_state` that do not keep a server from its work: it began in maintenance.
const FROM_CONFIGURATION: u32 = 0x04;
/// The column of `show stat` with the sessions of now.
const SESSIONS: &str = "scur";
const MAX_QUOTE: usize = 200;

/// One row of the table of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) generation: u64,
    pub(super) slot: u16,
    pub(super) served: u64,
    pub(super) current: u64,
}

/// One server of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// Whether requests may be sent to it.
    pub(super) usable: bool,
}

/// An answer that is none of what was expected: a refusal in HAProxy's words, or garbage.
pub(super) fn refusal(operation: &'static str, answer: &str) -> ProviderError {
    let says = |word: &str| answer.contains(word);
    let (kind, text) = if says("regex '") && says("is invalid") {
        (ErrorKind::Invalid, "HAProxy cannot read the regular expression of a header route")
    } else if says("Permission denied") {
        let text = "HAProxy's socket does not let this be done; give it `level admin`";
        (ErrorKind::Denied, text)
    } else if says("Unknown command") {
        (ErrorKind::Unsupported, "this HAProxy does not know a command; 2.4 or newer does")
    } else if says("No such") || says("Unknown map identifier") {
        let text =
            "HAProxy's configuration lacks a part of this target; render it again, and reload";
        (ErrorKind::NotFound, text)
    } else {
        (ErrorKind::Unavailable, "HAProxy's runtime API answered something else than expected")
    };
    let quote: String = answer.trim().chars().take(MAX_QUOTE).collect();
    ProviderError::new(kind, operation, text).with_context("answer", quote)
}

/// The number of a new version of a map.
pub(super) fn map_version(operation: &'static str, answer: &str) -> Result<u64, ProviderError> {
    let number = answer.trim().strip_prefix("New version created: ");
    number.and_then(|n| n.parse().ok()).ok_or_else(|| refusal(operation, answer))
}

/// That there was nothing to say.
pub(super) fn nothing(operation: &'static str, answer: &str) -> Result<(), ProviderError> {
    if answer.trim().is_empty() { Ok(()) } else { Err(refusal(operation, answer)) }
}

/// The entries of a map: keys and values.
pub(super) fn map_entries(
    operation: &'static str,
    answer: &str,
) -> Result<BTreeMap<String, String>, ProviderError> {
    let mut entries = BTreeMap::new();
    for line in lines(answer) {
        let entry = (|| {
            let (pointer, rest) = line.split_once(' ')?;
            let (key, value) = rest.split_once(' ')?;
            pointer.strip_prefix("0x")?;
            Some((key.to_owned(), value.to_owned()))
        })();
        let (key, value) = entry.ok_or_else(|| refusal(operation, answer))?;
        if entries.insert(key, value).is_some() {
            return Err(refusal(operation, answer));
        }
    }
    Ok(entries)
}

/// The rows of a table of counts.
pub(super) fn counts(operation: &'static str, answer: &str) -> Result<Vec<Count>, ProviderError> {
    let bad = || refusal(operation, answer);
    let mut lines = lines(answer);
    lines.next().filter(|head| head.starts_with("# table: ")).ok_or_else(bad)?;
    let count = |line: &str| {
        let fields: BTreeMap<_, _> =
            line.split(' ').filter_map(|field| field.split_once('=')).collect();
        let (generation, slot) = fields.get("key")?.split_once('/')?;
        Some(Count {
            generation: generation.parse().ok()?,
            slot: slot.parse().ok()?,
            served: fields.get("gpc0")?.parse().ok()?,
            current: fields.get("conn_cur")?.parse().ok()?,
        })
    };
    lines.map(|line| count(line).ok_or_else(bad)).collect()
}

/// The sessions of now, of the one row that was asked for.
pub(super) fn sessions(operation: &'static str, answer: &str) -> Result<u64, ProviderError> {
    let bad = || refusal(operation, answer);
    let mut lines = lines(answer);
    let head = lines.next().and_then(|head| head.strip_prefix("# ")).ok_or_else(bad)?;
    let column = head.split(',').position(|name| name == SESSIONS).ok_or_else(bad)?;
    let row = lines.next().ok_or_else(bad)?;
    let number = row.split(',').nth(column).and_then(|value| value.parse().ok());
    number.filter(|_| lines.next().is_none()).ok_or_else(bad)
}

/// The servers of a backend.
pub(super) fn servers(operation: &'static str, answer: &str) -> Result<Vec<Server>, ProviderError> {
    let bad = || refusal(operation, answer);
    let mut lines = lines(answer);
    lines.next().filter(|format| *format == "1").ok_or_else(bad)?;
    let head = lines.next().and_then(|head| head.strip_prefix("# ")).ok_or_else(bad)?;
    let at = |name: &str| head.split(' ').position(|column| column == name).ok_or_else(bad);
    let columns = (at("srv_name")?, at("srv_addr")?, at("srv_port")?, at("srv_admin_state")?);
    let server = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let field = |n: usize| fields.get(n).copied();
        let ip: IpAddr = field(columns.1)?.parse().ok()?;
        let admin: u32 = field(columns.3)?.parse().ok()?;
        Some(Server {
            name: field(columns.0)?.to_owned(),
            address: SocketAddr::new(ip, field(columns.2)?.parse().ok()?),
            usable: admin & !FROM_CONFIGURATION == 0,
        })
    };
    lines.map(|line| server(line).ok_or_else(bad)).collect()
}

fn lines(answer: &str) -> impl Iterator<Item = &str> {
    answer.lines().filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "x";

    #[test]
    fn what_haproxy_says_is_read() {
        assert_eq!(map_version(X, "New version created: 7\n").unwrap(), 7);
        nothing(X, "\n").unwrap();
        let map = map_entries(X, "0x55 generation 3\n0x56 slot/0 sha256:ab 1.0.0 100\n").unwrap();
        assert_eq!(map["slot/0"], "sha256:ab 1.0.0 100");
        let table = "# table: a.counts, type: string, size:1024, used:1\n\
                     0x55: key=3/1 use=0 exp=0 gpc0=19 conn_cur=2\n\n";
        let count = Count { generation: 3, slot: 1, served: 19, current: 2 };
        assert_eq!(counts(X, table).unwrap(), [count]);
        assert_eq!(sessions(X, "# pxname,svname,qcur,qmax,scur,\na,BACKEND,0,0,5,\n").unwrap(), 5);
        let state = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_port\n\
                     4 a.0 1 s1 127.0.0.1 2 4 8080\n4 a.0 2 s2 ::1 0 5 1\n";
        let all = servers(X, state).unwrap();
        assert_eq!(all[0].address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((all[0].usable, all[1].usable), (true, false));
    }

    #[test]
    fn refusals_are_told_apart() {
        let kind = |answer| refusal(X, answer).kind();
        assert_eq!(kind("Permission denied\n"), ErrorKind::Denied);
        assert_eq!(kind("Unknown command: `prepare`"), ErrorKind::Unsupported);
        assert_eq!(kind("No such backend.\n"), ErrorKind::NotFound);
        assert_eq!(
            kind("Unknown map identifier. Please use #<id> or <file>."),
            ErrorKind::NotFound
        );
        assert_eq!(kind("Version number out of range."), ErrorKind::Unavailable);
        let long = refusal(X, &"x".repeat(10_000)).to_string();
        assert!(long.len() < 400, "{long}");
    }

    #[test]
    fn garbage_is_an_error() {
        let garbage = [
            "garbage",
            "1",
            "1\n# srv_name\ns1",
            "1\n# srv_name srv_addr srv_port srv_admin_state\ns1 nowhere 80 0",
            "1\n# srv_name srv_addr srv_port srv_admin_state\ns1 127.0.0.1 99999 0",
            "# table",
            "# table: a\n0x1: key=1 gpc0=1 conn_cur=0",
            "# table: a\n0x1: key=1/1 gpc0=-1 conn_cur=0",
            "# table: a\n0x1: key=1/99999 gpc0=1 conn_cur=0",
            "# pxname,scur,\na,\n",
            "# pxname,qcur,\na,1\n",
            "# pxname,scur,\na,1\nb,2\n",
            "New version created: many",
            "0x1 key",
            "key value",
            "0x1 a b\n0x2 a c",
            "\u{0}\u{1}\u{2}",
        ];
        for text in garbage {
            assert!(map_version(X, text).is_err(), "{text}");
            assert!(nothing(X, text).is_err(), "{text}");
            assert!(counts(X, text).is_err(), "{text}");
            assert!(sessions(X, text).is_err(), "{text}");
            assert!(servers(X, text).is_err(), "{text}");
        }
        for text in ["garbage", "0x1 key", "key value x", "0x1 a b\n0x2 a c", "# table: a"] {
            assert!(map_entries(X, text).is_err(), "{text}");
        }
    }
}
