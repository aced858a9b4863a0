//! The witness's side: a port on which drivers bring effects about, and ask for them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Child;

use crate::Problem;

/// At which moment of an effect its driver is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It is not brought about.
    Before,
    /// It is, and the driver does not hear of it.
    Unheard,
    /// It is, and the answer is on its way.
    After,
}

/// What was brought about, by key.
#[derive(Debug)]
pub(crate) struct Effects {
    port: TcpListener,
    pub(crate) done: BTreeMap<String, u32>,
    /// How often somebody asked for what was done already.
    pub(crate) asked_again: u64,
}

impl Effects {
    pub(crate) fn listen() -> Result<Self, Problem> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self { port, done: BTreeMap::new(), asked_again: 0 })
    }

    pub(crate) fn address(&self) -> Result<String, Problem> {
        Ok(self.port.local_addr()?.to_string())
    }

    /// Serves the driver until it says that it is at its end, or kills it at its `after`th effect; whether it
    /// did.
    pub(crate) fn serve(
        &mut self,
        child: &mut Child,
        after: u64,
        death: Death,
    ) -> Result<bool, Problem> {
        let mut effects = 0;
        loop {
            let (mut stream, _) = self.port.accept()?;
            let mut line = String::new();
            if BufReader::new(&stream).read_line(&mut line)? == 0 {
                continue; // of a driver that was killed while it connected
            }
            match line.trim_end().split_once(' ') {
                Some(("bye", _)) => return Ok(false),
                Some(("seen", key)) => self.tell(&mut stream, key),
                Some(("do", key)) => {
                    effects += 1;
                    let dies = effects == after;
                    if dies && death == Death::Before {
                        child.kill()?;
                        return Ok(true);
                    }
                    *self.done.entry(key.to_owned()).or_default() += 1;
                    if dies && death == Death::Unheard {
                        child.kill()?;
                        return Ok(true);
                    }
                    answer(&mut stream, "done");
                    if dies {
                        child.kill()?;
                        return Ok(true);
                    }
                }
                _ => return Err(format!("`{line}` is no request").into()),
            }
        }
    }

    fn tell(&mut self, stream: &mut TcpStream, key: &str) {
        let seen = self.done.contains_key(key);
        self.asked_again += u64::from(seen);
        answer(stream, if seen { "yes" } else { "no" });
    }
}

/// Whoever asked may be dead by now.
fn answer(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(format!("{text}\n").as_bytes());
}
