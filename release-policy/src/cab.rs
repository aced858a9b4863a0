//! The change advisory board: seats, votes, a deadline, and a decision with its minutes.
//!
//! A board decides like any quorum: by different people, about exactly what they were shown, judged by the
//! directory of now. Whoever has an interest in a change neither votes nor counts.
// How it is fed: the host journals `BoardFacts` as votes and interests come in, calls `decide` when asked and
// once more at the deadline, stores the sealed minutes, and adds `Decision::gates` to the steps of the plan
// that was decided about. Admission calls `decide` again: a member who left since no longer counts.

mod agenda;
mod decide;
mod minutes;

pub use self::agenda::{Agenda, AgendaItem, RenderError};
pub use self::decide::{
    Ballot, Board, BoardAnswer, BoardError, BoardFacts, BoardOutcome, Condition, Interest, Seat,
    Vote, VoteDropped, WhyNot, decide,
};
pub use self::minutes::{Minutes, SealError, Sealed};
