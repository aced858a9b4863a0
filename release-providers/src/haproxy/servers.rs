//! Gives the servers of a slot the addresses of a version's instances.

use std::net::SocketAddr;

use super::parse::{self, Server};
use super::runtime::Runtime;
use crate::{ErrorKind, ProviderError};

/// One change of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Move {
    /// It gets this address, and requests.
    Add(String, SocketAddr),
    /// It gets no more requests; those that have begun are finished.
    Remove(String),
}

/// Makes the servers of `backend` those at `wanted`: new ones are there before old ones go, where there is room.
pub(super) async fn sync(
    runtime: &Runtime,
    operation: &'static str,
    backend: &str,
    wanted: &[SocketAddr],
) -> Result<(), ProviderError> {
    let look = async || {
        let answer = runtime.ask(operation, &format!("show servers state {backend}")).await?;
        parse::servers(operation, &answer)
    };
    let moves = plan(operation, backend, &look().await?, wanted)?;
    if moves.is_empty() {
        return Ok(());
    }
    for one in moves {
        match one {
            Move::Remove(name) => {
                runtime.ask(operation, &format!("set server {backend}/{name} state maint")).await?;
            }
            Move::Add(name, address) => {
                let (ip, port) = (address.ip(), address.port());
                let set = format!("set server {backend}/{name}");
                runtime.ask(operation, &format!("{set} addr {ip} port {port}")).await?;
                runtime.ask(operation, &format!("{set} state ready")).await?;
            }
        }
    }
    // What it answers is for people: whether it was done is looked up.
    let left = plan(operation, backend, &look().await?, wanted)?;
    if left.is_empty() {
        return Ok(());
    }
    let text = "HAProxy did not take over the addresses of instances; its log says why";
    Err(ProviderError::new(ErrorKind::Unavailable, operation, text)
        .with_context("backend", backend)
        .with_context("missing", left.len()))
}

fn plan(
    operation: &'static str,
    backend: &str,
    servers: &[Server],
    wanted: &[SocketAddr],
) -> Result<Vec<Move>, ProviderError> {
    if wanted.len() > servers.len() {
        let text = "a version has more instances than its backend has servers; give the target more \
                    `instances`, render its configuration again, and reload HAProxy";
        return Err(ProviderError::new(ErrorKind::Invalid, operation, text)
            .with_context("backend", backend)
            .with_context("instances", wanted.len())
            .with_context("servers", servers.len()));
    }
    let there = |address: &SocketAddr| servers.iter().any(|s| s.usable && s.address == *address);
    let mut missing: Vec<SocketAddr> = wanted.iter().filter(|a| !there(a)).copied().collect();
    let mut seen: Vec<SocketAddr> = Vec::new();
    let (mut free, mut surplus) = (Vec::new(), Vec::new());
    for server in servers {
        if !server.usable {
            free.push(server);
        } else if wanted.contains(&server.address) && !seen.contains(&server.address) {
            seen.push(server.address);
        } else {
            surplus.push(server);
        }
    }
    let mut moves = Vec::new();
    // Most recently unused last: what may still have requests under way gets another address last.
    free.reverse();
    let mut add = |from: &mut Vec<&Server>, moves: &mut Vec<Move>| {
        while let (Some(address), Some(server)) = (missing.last().copied(), from.last()) {
            moves.push(Move::Add(server.name.clone(), address));
            missing.pop();
            from.pop();
        }
    };
    add(&mut free, &mut moves);
    moves.extend(surplus.iter().map(|server| Move::Remove(server.name.clone())));
    add(&mut surplus, &mut moves);
    Ok(moves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn servers(all: &[(u16, bool)]) -> Vec<Server> {
        let server = |(n, (port, usable)): (usize, &(u16, bool))| Server {
            name: format!("s{}", n + 1),
            address: at(*port),
            usable: *usable,
        };
        all.iter().enumerate().map(server).collect()
    }

    #[test]
    fn only_what_differs_is_changed() {
        let there = servers(&[(1, false), (80, true), (81, true), (1, false)]);
        assert_eq!(plan("x", "b", &there, &[at(80), at(81)]).unwrap(), []);
        let moves = plan("x", "b", &there, &[at(81), at(82)]).unwrap();
        assert_eq!(moves, [Move::Add("s1".into(), at(82)), Move::Remove("s2".into())]);
        let moves = plan("x", "b", &there, &[]).unwrap();
        assert_eq!(moves, [Move::Remove("s2".into()), Move::Remove("s3".into())]);
    }

    #[test]
    fn without_room_the_old_go_before_the_new_come() {
        let there = servers(&[(80, true), (81, true)]);
        let moves = plan("x", "b", &there, &[at(81), at(82)]).unwrap();
        assert_eq!(moves, [Move::Remove("s1".into()), Move::Add("s1".into(), at(82))]);
        let more = [at(1), at(2), at(3)];
        assert_eq!(plan("x", "b", &there, &more).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn one_address_is_served_once() {
        let there = servers(&[(80, true), (80, true)]);
        assert_eq!(plan("x", "b", &there, &[at(80)]).unwrap(), [Move::Remove("s2".into())]);
    }
}
