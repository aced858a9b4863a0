//! Reads the two events that most of any journal consists of, as `wire` writes them, several times as fast
//! as a general reader of JSON. Whatever else it meets, or whatever is written in another way, it leaves
//! to that one.

use crate::ids::{RunId, StepId};
use crate::port::Evidence;
use crate::run::{Event, Fact, Mode, StateDigest, StepRef};
use crate::time::Timestamp;

use super::wire::parse_digest;

/// The length of an instant up to its fraction, and of all of it.
const SECOND: usize = 20;
const INSTANT: usize = 27;
const MICROS: i64 = 1_000_000;

/// A reader of one run's records. Keeps the second of the last one: the next is mostly in the same.
#[derive(Debug)]
pub(super) struct Quick {
    prefix: String,
    second: [u8; SECOND],
    begins: i64,
}

/// A record that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) fact: Fact,
    pub(super) state: Option<StateDigest>,
}

impl Quick {
    pub(super) fn new(run: &RunId) -> Self {
        let prefix = super::wire::prefix(run);
        Self { prefix, second: [0; SECOND], begins: 0 }
    }

    /// The record, if it is one of those.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<Read> {
        let rest = bytes.strip_prefix(self.prefix.as_bytes())?;
        let (seq, rest) = decimal(rest)?;
        let (epoch, rest) = decimal(rest.strip_prefix(br#","epoch":"#)?)?;
        let rest = rest.strip_prefix(br#","at":""#)?;
        let (at, rest) = (self.instant(rest.get(..INSTANT)?)?, rest.get(INSTANT..)?);
        let rest = rest.strip_prefix(b"\"")?;
        let (state, rest) = match rest.strip_prefix(br#","state":""#) {
            Some(rest) => {
                let text = std::str::from_utf8(rest.get(..16)?).ok()?;
                (Some(parse_digest(text)?), rest.get(16..)?.strip_prefix(b"\"")?)
            }
            None => (None, rest),
        };
        let rest = rest.strip_prefix(br#","event":{"type":"step_"#)?;
        let (started, rest) = match rest.strip_prefix(b"started") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix(b"succeeded")?),
        };
        let (index, rest) = decimal(rest.strip_prefix(br#"","step":{"n":"#)?)?;
        let id = rest.strip_prefix(br#","id":""#)?.strip_suffix(br#""}}}"#)?;
        // What could be an escape or the end of the text is no id.
        let id = StepId::new(std::str::from_utf8(id).ok()?).ok()?;
        let step = StepRef { index: u32::try_from(index).ok()?, id };
        let event = if started {
            Event::StepStarted { step, attempt: 1, mode: Mode::Perform, basis: None }
        } else {
            Event::StepSucceeded {
                step,
                evidence: Evidence::Done,
                because: None,
                basis: None,
                finding: None,
            }
        };
        Some(Read { seq, epoch, fact: Fact { at, event }, state })
    }

    fn instant(&mut self, text: &[u8]) -> Option<Timestamp> {
        let (second, fraction) = text.split_at_checked(SECOND)?;
        let fraction = fraction.strip_suffix(b"Z")?;
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let micros = fraction.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        if second != self.second {
            let at: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
            // A leap second is written as no other one is.
            if at.to_string().as_bytes() != text || at.as_micros().rem_euclid(MICROS) != micros {
                return None;
            }
            self.second = *second.first_chunk()?;
            self.begins = at.as_micros() - micros;
        }
        Some(Timestamp::from_micros(self.begins + micros))
    }
}

/// A number as JSON has it, and what follows.
fn decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    let number = digits
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::{Envelope, Sealer};
    use super::*;

    /// What the general reader makes of it.
    fn general(bytes: &[u8]) -> Option<Read> {
        let Envelope { seq, epoch, at, state, event, .. } = serde_json::from_slice(bytes).ok()?;
        let event = serde_json::from_str(event.get()).ok()?;
        let state = match state {
            Some(text) => Some(parse_digest(text)?),
            None => None,
        };
        Some(Read { seq, epoch, fact: Fact { at, event }, state })
    }

    fn event(kind: u8, index: u32, id: &str) -> Event {
        let step = StepRef { index, id: id.parse().unwrap() };
        match kind {
            0 => Event::StepStarted { step, attempt: 1, mode: Mode::Perform, basis: None },
            1 => Event::StepSucceeded {
                step,
                evidence: Evidence::Done,
                because: None,
                basis: None,
                finding: None,
            },
            2 => Event::StepStarted { step, attempt: 2, mode: Mode::Look, basis: None },
            _ => Event::TakenOver { engine: id.into() },
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn it_reads_what_the_general_reader_does(
            events in prop::collection::vec(
                (0_u8..4, any::<u32>(), "[a-z0-9][a-z0-9._-]{0,9}(/[a-z0-9][a-z0-9._-]{0,9}){0,3}", any::<i32>(), any::<Option<u64>>()), 1..6,
            ),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..3),
        ) {
            let run: RunId = "run-1".parse().unwrap();
            let (mut sealer, mut quick) = (Sealer::new(&run), Quick::new(&run));
            for (kind, index, id, at, state) in events {
                let at = Timestamp::from_micros(1_795_000_000_000_000 + i64::from(at) / 3);
                let event = event(kind, index, &id);
                let sealed = sealer.seal_with(at, &event, state.map(StateDigest::from_bits));
                prop_assert_eq!(quick.read(&sealed.bytes).is_some(), kind < 2);
                let mut bytes = sealed.bytes.to_vec();
                for (place, bit) in &flips {
                    let place = place.index(bytes.len());
                    bytes[place] ^= 1 << bit;
                }
                for bytes in [&sealed.bytes[..], &bytes] {
                    if let Some(read) = quick.read(bytes) {
                        prop_assert_eq!(Some(read), general(bytes), "{}", String::from_utf8_lossy(bytes));
                    }
                }
            }
        }
    }
}
