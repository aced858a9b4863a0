//! The one line by which a plugin says where it listens: `CORE|APP|NETWORK|ADDRESS|PROTOCOL`, with two
//! more fields for a certificate and for multiplexing that are empty here. Pure.

use std::path::PathBuf;

/// The version of the handshake itself.
const CORE: u32 = 1;

/// Where a plugin listens, and which version of the contract it speaks there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// The version of the contract.
    pub version: u32,
    /// Its Unix socket.
    pub socket: PathBuf,
}

/// A line that is no handshake, or one of a plugin that cannot be spoken to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It has too few fields, too many, or one that is no number.
    #[error(
        "`{line}` is no handshake; the first line must be `1|VERSION|unix|SOCKET|grpc`, with nothing \
         printed before it"
    )]
    Garbage {
        /// The line, cut to 200 characters.
        line: String,
    },
    /// It ended, or went on for more than 1 KiB, before there was a whole line.
    #[error("there is no handshake: standard output ended, or had no end of line within 1 KiB")]
    None,
    /// Another version of the handshake.
    #[error("the handshake has version {found}; this host knows version 1")]
    Core {
        /// What it says.
        found: u32,
    },
    /// A version of the contract that this host does not speak.
    #[error(
        "the plugin speaks version {found} of the contract, and this host {known:?}; use a plugin made for it"
    )]
    Version {
        /// What it says.
        found: u32,
        /// What this host speaks.
        known: Vec<u32>,
    },
    /// It listens on something else than a Unix socket, or speaks something else than gRPC.
    #[error("the plugin offers `{found}`; this host speaks plain gRPC on a Unix socket alone")]
    Transport {
        /// What it offers.
        found: String,
    },
    /// The socket is not in the directory that the plugin was given.
    #[error("the socket `{}` is not in the directory that the plugin was given", .found.display())]
    Socket {
        /// Where it says it is.
        found: PathBuf,
    },
}

impl Handshake {
    /// A handshake for a plugin that listens on `socket`.
    pub fn new(version: u32, socket: impl Into<PathBuf>) -> Self {
        Self { version, socket: socket.into() }
    }

    /// The line, without its end.
    pub fn line(&self) -> String {
        format!("{CORE}|{}|unix|{}|grpc", self.version, self.socket.display())
    }

    /// Reads the line of a plugin that was offered the versions `known`.
    ///
    /// # Errors
    /// [`HandshakeError`] for anything but a handshake that a host can go on with.
    pub fn parse(line: &str, known: &[u32]) -> Result<Self, HandshakeError> {
        let garbage = || HandshakeError::Garbage {
            line: line.chars().filter(|c| !c.is_control()).take(200).collect(),
        };
        let fields: Vec<&str> = line.trim_end_matches(['\r', '\n']).split('|').collect();
        let (core, version, network, address, protocol, rest) = match fields.as_slice() {
            [core, version, network, address, protocol, rest @ ..] if rest.len() <= 2 => {
                (core, version, network, address, protocol, rest)
            }
            _ => return Err(garbage()),
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| garbage());
        let found = number(core)?;
        if found != CORE {
            return Err(HandshakeError::Core { found });
        }
        let version = number(version)?;
        if !known.contains(&version) {
            return Err(HandshakeError::Version { found: version, known: known.to_vec() });
        }
        if address.is_empty() {
            return Err(garbage());
        }
        let plain = rest.first().is_none_or(|certificate| certificate.is_empty())
            && rest.get(1).is_none_or(|mux| matches!(*mux, "" | "false"));
        if *network != "unix" || *protocol != "grpc" || !plain {
            let more = if plain { "" } else { ", TLS or multiplexing" };
            let found = format!("{network}, {protocol}{more}");
            let found = found.chars().filter(|c| !c.is_control()).take(200).collect();
            return Err(HandshakeError::Transport { found });
        }
        Ok(Self::new(version, *address))
    }
}

/// The version that a plugin answers with: the highest that both speak, else its own newest, which the
/// host then refuses with a reason.
pub(super) fn negotiate(offered: &str, ours: &[u32]) -> u32 {
    let offered = offered.split(',').filter_map(|text| text.trim().parse().ok());
    let common = offered.filter(|version| ours.contains(version)).max();
    common.or_else(|| ours.iter().copied().max()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_read_as_it_is_written() {
        let handshake = Handshake::new(1, "/run/p/plugin.sock");
        assert_eq!(handshake.line(), "1|1|unix|/run/p/plugin.sock|grpc");
        for end in ["", "\n", "\r\n", "|", "||", "||false"] {
            let line = format!("{}{end}", handshake.line());
            assert_eq!(Handshake::parse(&line, &[1]), Ok(handshake.clone()), "{line:?}");
        }
    }

    #[test]
    fn f39_what_is_no_handshake_is_refused_with_the_reason() {
        type Refusal = fn(&HandshakeError) -> bool;
        let garbage: Refusal = |e| matches!(e, HandshakeError::Garbage { .. });
        let transport: Refusal = |e| matches!(e, HandshakeError::Transport { .. });
        let table: &[(&str, Refusal)] = &[
            ("", garbage),
            ("hello", garbage),
            ("1|1|unix|/s", garbage),
            ("1|1|unix||grpc", garbage),
            ("x|1|unix|/s|grpc", garbage),
            ("1|-1|unix|/s|grpc", garbage),
            ("1|1|unix|/s|grpc|||", garbage),
            ("2|1|unix|/s|grpc", |e| *e == HandshakeError::Core { found: 2 }),
            ("1|9|unix|/s|grpc", |e| *e == HandshakeError::Version { found: 9, known: vec![1] }),
            ("1|1|tcp|127.0.0.1:1|grpc", transport),
            ("1|1|unix|/s|netrpc", transport),
            ("1|1|unix|/s|grpc|Y2VydA", transport),
            ("1|1|unix|/s|grpc||true", transport),
        ];
        for (line, is) in table {
            let error = Handshake::parse(line, &[1]).unwrap_err();
            assert!(is(&error), "{line}: {error:?}");
        }
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        for (offered, ours, spoken) in [
            ("1", &[1][..], 1),
            ("1,2,3", &[1, 2], 2),
            ("3, 2", &[1, 2], 2),
            ("7", &[1, 2], 2),
            ("", &[1, 2], 2),
            ("x,1", &[1, 2], 1),
        ] {
            assert_eq!(negotiate(offered, ours), spoken, "{offered}");
        }
    }
}
