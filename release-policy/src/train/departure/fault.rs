//! Why something is no train.

use std::fmt;

use release_core::model::{BlockerId, StopId, SyncPointId, TeamId, Timestamp};

use super::{BoardingError, JourneyError};

/// One reason for which something is no train.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainFault {
    /// It is too much; nothing else of it was looked at.
    #[error("there are {count} {what}, and at most {most} are gone by; divide the train")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// Its cars make no sense.
    #[error(transparent)]
    Cars(#[from] BoardingError),
    /// Its way makes no sense.
    #[error(transparent)]
    Way(#[from] JourneyError),
    /// A stop is nowhere: it would never begin, and so none behind it would.
    #[error("stop `{0}` has no regions; name at least one, or leave it out")]
    NoRegions(StopId),
    /// Boarding ends behind the departure.
    #[error("boarding ends at {cut}, after the departure at {departs}; end it before")]
    Cut {
        /// When boarding ends.
        cut: Timestamp,
        /// When the train departs.
        departs: Timestamp,
    },
    /// Who is waited for has nothing on the train.
    #[error(
        "sync point `{point}` waits for {team}, who have no car; leave them out, or name their car"
    )]
    NoCar {
        /// The point.
        point: SyncPointId,
        /// Who.
        team: TeamId,
    },
    /// Nobody would be called before the train is late.
    #[error(
        "the deadline of sync point `{point}`, {deadline}, is after `{stop}` is to begin, at {begins}; let it be before"
    )]
    Deadline {
        /// The point.
        point: SyncPointId,
        /// Its deadline.
        deadline: Timestamp,
        /// The stop behind it.
        stop: StopId,
        /// When that begins at the earliest, if every stop takes what it is to take.
        begins: Timestamp,
    },
    /// Two blockers have one name.
    #[error("there are two blockers `{0}`; rename one")]
    BlockerTwice(BlockerId),
}

/// All reasons for which something is no train: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainFaults(pub(super) Vec<TrainFault>);

impl TrainFaults {
    /// All of them, in the order of what they are about: cars, the way, and what cars and way have to do with each other.
    pub fn all(&self) -> &[TrainFault] {
        &self.0
    }
}

impl fmt::Display for TrainFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(nth, fault)| {
            write!(f, "{}{fault}", if nth == 0 { "" } else { "; also, " })
        })
    }
}

impl std::error::Error for TrainFaults {}
