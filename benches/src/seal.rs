//! What writing a record costs: encoded and chained, beside SHA-256 of the same bytes alone.

use std::hint::black_box;
use std::time::Duration;

use release_core::journal::Sealer;
use release_core::model::{Principal, Timestamp};
use release_core::port::{Evidence, Reason};
use release_core::run::{Event, StepRef};
use sha2::{Digest as _, Sha256};

use crate::{Failure, timed_blocking};

/// What one kind of event costs.
#[derive(Debug)]
pub struct Sealing {
    /// The event.
    pub event: &'static str,
    /// The length of its record.
    pub bytes: usize,
    /// To encode and chain `count` of them.
    pub sealed: Duration,
    /// To hash `count` records, each with the hash before.
    pub hashed: Duration,
    /// How many.
    pub count: u32,
}

/// Seals `count` events of two kinds: the most frequent, and one with people and reasons in it.
///
/// # Errors
/// None that is known.
pub fn sealings(count: u32) -> Result<Vec<Sealing>, Failure> {
    let step = StepRef { index: 41, id: "production/eu/payments/weight-20".parse()? };
    let done = Event::StepSucceeded {
        step,
        evidence: Evidence::Done,
        because: None,
        basis: None,
        finding: None,
    };
    let denied = Event::CommandDenied {
        command: "approve".into(),
        by: Principal::human("ann".parse()?).with_role("release-manager".parse()?),
        reasons: vec![Reason::new(
            "gate/go-live",
            "ann requested this run (separation of duties)",
            "an approval by somebody else",
        )],
        inputs: None,
    };
    let at: Timestamp = "2026-11-26T12:00:00Z".parse()?;
    let run = "production-2026-48".parse()?;
    let mut all = Vec::new();
    for (name, event) in [("step_succeeded", done), ("command_denied", denied)] {
        let mut sealer = Sealer::new(&run);
        let bytes = sealer.seal(at, &event).bytes;
        let (took, ()) = timed_blocking(|| {
            for _ in 0..count {
                black_box(sealer.seal(at, &event));
            }
        });
        let mut before = [0_u8; 32];
        let (hashed, ()) = timed_blocking(|| {
            for _ in 0..count {
                let mut hasher = Sha256::new();
                hasher.update(before);
                hasher.update(&bytes);
                before = hasher.finalize().into();
            }
        });
        black_box(before);
        all.push(Sealing { event: name, bytes: bytes.len(), sealed: took, hashed, count });
    }
    Ok(all)
}
