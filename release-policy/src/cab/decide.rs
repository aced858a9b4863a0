//! From votes to a decision.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, Gate, PrincipalId, RoleId, Span, Timestamp};
use release_core::port::{Decision, Reason};
use serde::{Deserialize, Serialize};

use crate::approval::{
    Denial, Doer, Eligibility, Fits, Question, Standing, Statement, Unfit, Voices,
};
use crate::directory::{Directory, DirectoryStamp, DirectoryState};

/// A board: who leads it, which roles have a seat, and how many of them must agree besides the chair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Board(Written);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    chair: RoleId,
    seats: BTreeSet<RoleId>,
    n: u32,
    directory_max_age: Span,
}

/// A board that can decide nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// It needs no seat, or more than it has.
    #[error("board/quorum: {n} of {m} seats is no quorum; ask for at least 1 and at most all")]
    Quorum {
        /// How many must agree.
        n: u32,
        /// How many seats there are.
        m: usize,
    },
    /// It has too many seats.
    #[error("board/seats: {0} seats are more than 32")]
    TooManySeats(usize),
    /// The chair has a seat, too, and would agree with themselves.
    #[error("board/chair: `{0}` leads the board and has a seat; remove the seat")]
    ChairHasSeat(RoleId),
}

impl Board {
    /// The chair, and `n` of these seats; by a directory that is at most five minutes old.
    ///
    /// # Errors
    /// [`BoardError`] names the rule that is broken.
    pub fn new(
        chair: RoleId,
        seats: impl IntoIterator<Item = RoleId>,
        n: u32,
    ) -> Result<Self, BoardError> {
        let (seats, directory_max_age) = (seats.into_iter().collect(), Span::secs(5 * 60));
        Written { chair, seats, n, directory_max_age }.try_into()
    }
}

impl TryFrom<Written> for Board {
    type Error = BoardError;
    fn try_from(written: Written) -> Result<Self, BoardError> {
        let Written { chair, seats, n, .. } = &written;
        let m = seats.len();
        if m > 32 {
            return Err(BoardError::TooManySeats(m));
        }
        if *n == 0 || usize::try_from(*n).is_ok_and(|n| n > m) {
            return Err(BoardError::Quorum { n: *n, m });
        }
        if seats.contains(chair) {
            return Err(BoardError::ChairHasSeat(chair.clone()));
        }
        Ok(Self(written))
    }
}

impl From<Board> for Written {
    fn from(board: Board) -> Self {
        board.0
    }
}

/// A place on the board.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seat {
    /// Who leads.
    Chair,
    /// Somebody of this role.
    Of(RoleId),
}

/// What must be met besides: it becomes a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What and why, for people.
    pub text: String,
    /// The gate that it becomes.
    pub gate: Gate,
}

/// What a member votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ballot {
    /// It may be done.
    Approve,
    /// It may be done once these are met.
    ApproveWithConditions(Vec<Condition>),
    /// Not now.
    Defer,
    /// It must not be done.
    Reject,
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Who, when, about what.
    pub statement: Statement,
    /// What they vote.
    pub ballot: Ballot,
}

/// A member says that they, or somebody else, has an interest in the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interest {
    /// The number of the record.
    pub seq: u64,
    /// Who has it.
    pub who: PrincipalId,
    /// Which.
    pub reason: String,
}

/// All that a board knows of one change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardFacts {
    /// Votes, in the order of their records. Of several of one person the last counts.
    pub votes: Vec<Vote>,
    /// Interests.
    pub interests: Vec<Interest>,
    /// From when on no vote counts, and what is not decided is deferred.
    pub deadline: Timestamp,
}

/// What a board decides. Exhaustive on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BoardAnswer {
    /// Votes are missing: of the chair, and of so many seats.
    Open {
        /// Whether the chair has yet to agree.
        chair: bool,
        /// How many seats have yet to agree.
        seats: u32,
    },
    /// It may be done once these are met.
    Approved {
        /// What must be met besides, of all who agree, each once.
        conditions: Vec<Condition>,
    },
    /// Not now: the chair says so, or the deadline passed.
    Deferred,
    /// It must not be done.
    Rejected,
    /// It cannot be told who may vote, so nobody may.
    Denied {
        /// Why not.
        because: Denial,
    },
}

/// Why a vote does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WhyNot {
    /// As it is with approvals.
    Unfit {
        /// Why.
        why: Unfit,
    },
    /// They have an interest.
    Interested {
        /// Which.
        reason: String,
    },
    /// It came at or after the deadline.
    Late,
    /// The same person voted again.
    Changed {
        /// The number of the later vote.
        by: u64,
    },
}

/// A vote that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteDropped {
    /// The number of its record.
    pub seq: u64,
    /// The account.
    pub by: PrincipalId,
    /// Why.
    pub why: WhyNot,
}

/// A decision, with all that leads to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a decision that nobody reads decides nothing"]
pub struct BoardOutcome {
    /// What is decided.
    pub answer: BoardAnswer,
    /// When this was asked.
    pub at: Timestamp,
    /// The digest of the subject.
    pub subject: Digest,
    /// The directory it was made from.
    pub directory: Option<DirectoryStamp>,
    /// Who agrees, in which seat.
    pub agree: Vec<(Seat, PrincipalId)>,
    /// People whose votes count, and what they vote.
    pub votes: Vec<(PrincipalId, Ballot)>,
    /// Votes that do not count.
    pub dropped: Vec<VoteDropped>,
    /// The first instant after `at` at which the answer may change by time alone: the deadline, the begin or
    /// end of a role, a vote that expires, a directory that gets too old. It must not be used from then on.
    pub next_change: Option<Timestamp>,
}

impl BoardOutcome {
    /// What must be met besides.
    pub fn conditions(&self) -> &[Condition] {
        match &self.answer {
            BoardAnswer::Approved { conditions } => conditions,
            _ => &[],
        }
    }

    /// The gates that its conditions become.
    pub fn gates(&self) -> impl Iterator<Item = &Gate> {
        self.conditions().iter().map(|condition| &condition.gate)
    }

    /// The answer as a decision of a policy. Conditions are not part of it: see [`gates`](Self::gates).
    pub fn decision(&self) -> Decision {
        let held = |rule: &str, text: &str| vec![Reason::new(rule, text, "the board, asked anew")];
        match &self.answer {
            BoardAnswer::Approved { .. } => Decision::permit(),
            BoardAnswer::Open { chair, seats } => {
                let text = match (*chair, *seats) {
                    (true, 0) => "the vote of the chair is missing".to_owned(),
                    (true, seats) => format!("votes of the chair and {seats} seats are missing"),
                    (false, seats) => format!("votes of {seats} seats are missing"),
                };
                let reason =
                    Reason::new("board/open", text, "members of the board, by their votes");
                Decision::wait(None, vec![reason])
            }
            BoardAnswer::Deferred => {
                Decision::deny(held("board/deferred", "the board deferred it"))
            }
            BoardAnswer::Rejected => {
                Decision::deny(held("board/rejected", "the board rejected it"))
            }
            BoardAnswer::Denied { because } => {
                let lifted_by = "whoever runs the directory, or provenance that names the authors";
                let reason = Reason::new("board/denied", because.to_string(), lifted_by);
                Decision::deny(vec![reason])
            }
        }
    }
}

/// Decides about a change by the votes so far.
///
/// The chair and `n` seats must agree, all of them different people. It is rejected when the chair rejects, or
/// so many seats that `n` can no longer agree; deferred when the chair defers, or the deadline passes.
pub fn decide(
    board: &Board,
    question: &Question,
    facts: &BoardFacts,
    directory: DirectoryState<'_>,
    now: Timestamp,
) -> BoardOutcome {
    let mut outcome = BoardOutcome {
        answer: BoardAnswer::Deferred,
        at: now,
        subject: question.subject.digest(),
        directory: None,
        agree: Vec::new(),
        votes: Vec::new(),
        dropped: Vec::new(),
        next_change: None,
    };
    let directory = match directory.fresh(now, board.0.directory_max_age) {
        Ok(directory) => directory,
        Err(fault) => {
            outcome.answer = BoardAnswer::Denied { because: Denial::Directory { fault } };
            return outcome;
        }
    };
    outcome.directory = Some(directory.stamp());
    outcome.next_change = next_change(board, question, facts, directory, now);
    if question.parties.authors.is_none() {
        outcome.answer = BoardAnswer::Denied { because: Denial::AuthorsUnknown };
        return outcome;
    }
    let statements = facts.votes.iter().map(|vote| &vote.statement);
    let exclude = BTreeSet::from([Doer::Executor, Doer::Builder]);
    let (parties, scope) = (&question.parties, &question.scope);
    let eligible = Eligibility::new(directory, parties, &exclude, scope, statements, now);
    let counting = Counting { board: &board.0, question, facts, eligible, now };
    let valid = counting.valid(&mut outcome.dropped);
    outcome.votes =
        valid.values().map(|(vote, _)| (vote.statement.by.clone(), vote.ballot.clone())).collect();
    counting.answer(valid, now, &mut outcome);
    outcome
}

/// The first instant after `now` at which time alone may change the answer.
fn next_change(
    board: &Board,
    question: &Question,
    facts: &BoardFacts,
    directory: &Directory,
    now: Timestamp,
) -> Option<Timestamp> {
    let too_old = directory.stamp().taken_at.plus(board.0.directory_max_age);
    let said = facts.votes.iter().flat_map(|vote| {
        let Statement { by, at, expires, .. } = &vote.statement;
        [*at, *expires].into_iter().chain(directory.boundaries(by))
    });
    let requester = directory.boundaries(&question.parties.requester);
    let all = [too_old, facts.deadline].into_iter().chain(said).chain(requester);
    all.filter(|at| *at > now).min()
}

type Valid<'a> = BTreeMap<&'a PrincipalId, (&'a Vote, Standing<'a>)>;

struct Counting<'a> {
    board: &'a Written,
    question: &'a Question,
    facts: &'a BoardFacts,
    eligible: Eligibility<'a>,
    now: Timestamp,
}

impl<'a> Counting<'a> {
    /// The last vote of everybody who may vote.
    fn valid(&self, dropped: &mut Vec<VoteDropped>) -> Valid<'a> {
        let mut valid: Valid<'a> = BTreeMap::new();
        let mut drop = |vote: &Vote, why| {
            let (seq, by) = (vote.statement.seq, vote.statement.by.clone());
            dropped.push(VoteDropped { seq, by, why });
        };
        for vote in &self.facts.votes {
            let human = self.eligible.people.human(&vote.statement.by);
            let standing = self.standing(vote);
            // A word that was taken back does not come back when the one in its place no longer counts.
            let replaces = standing.is_ok() || self.replaces(vote);
            if replaces && let Some((earlier, _)) = valid.remove(human) {
                drop(earlier, WhyNot::Changed { by: vote.statement.seq });
            }
            match standing {
                Err(why) => drop(vote, why),
                Ok(standing) => {
                    valid.insert(human, (vote, standing));
                }
            }
        }
        valid
    }

    /// Whether a vote was given in time and about what is asked, whatever became of it since.
    fn replaces(&self, vote: &Vote) -> bool {
        let said = &vote.statement;
        said.at < self.facts.deadline
            && said.at <= self.now
            && said.bound_to.changed(&self.question.subject).next().is_none()
    }

    fn standing(&self, vote: &'a Vote) -> Result<Standing<'a>, WhyNot> {
        let said = &vote.statement;
        let human = self.eligible.people.human(&said.by);
        if let Some(Interest { reason, .. }) = self.interest(human) {
            return Err(WhyNot::Interested { reason: reason.clone() });
        }
        if said.at >= self.facts.deadline {
            return Err(WhyNot::Late);
        }
        let unfit = |why| WhyNot::Unfit { why };
        let forever = Span::from(std::time::Duration::MAX);
        let mut standing =
            self.eligible.standing(said, &self.question.subject, forever).map_err(unfit)?;
        standing.lent.retain(|(_, from)| self.interest(from).is_none());
        let asked = |role: &RoleId| *role == self.board.chair || self.board.seats.contains(role);
        if standing.own.iter().chain(standing.lent.iter().map(|(role, _)| role)).any(asked) {
            Ok(standing)
        } else {
            Err(unfit(self.eligible.without_role(said, asked)))
        }
    }

    fn interest(&self, human: &PrincipalId) -> Option<&'a Interest> {
        let theirs = |interest: &&'a Interest| self.eligible.people.human(&interest.who) == human;
        self.facts.interests.iter().find(theirs)
    }

    fn answer(&self, valid: Valid<'a>, now: Timestamp, outcome: &mut BoardOutcome) {
        let ballots: BTreeMap<_, _> =
            valid.iter().map(|(human, (vote, _))| (*human, &vote.ballot)).collect();
        let standing = valid
            .into_iter()
            .map(|(human, (vote, standing))| (human, vote.statement.seq, standing));
        let voices = Voices::new(standing.collect());
        let (seats, n) = (self.seats(), usize::try_from(self.board.n).unwrap_or(usize::MAX));
        // The chair comes first; of each seat, who votes so.
        let filled = |wanted: &dyn Fn(&Ballot) -> bool| {
            let some: Vec<_> = voices
                .all
                .iter()
                .filter(|voice| ballots.get(voice.human).is_some_and(|ballot| wanted(ballot)))
                .collect();
            let holds = |seat: usize, voice: usize| {
                let role = match seats.get(seat) {
                    Some(Seat::Of(role)) => role,
                    Some(Seat::Chair) | None => &self.board.chair,
                };
                some.get(voice).is_some_and(|voice| voice.roles.contains_key(role))
            };
            let chair = (0..some.len()).find(|voice| holds(0, *voice));
            let count = some.len();
            let assigned = Fits::new(seats.len(), count, holds).assign(count);
            let who = |voice: &Option<usize>| {
                voice.and_then(|voice| some.get(voice)).map(|voice| voice.human)
            };
            let mut by_seat = assigned.by_slot().to_vec();
            // Somebody who could lead and fills a seat leads, if nobody does.
            if let (Some(None), Some(_)) = (by_seat.first(), chair) {
                for seat in by_seat.iter_mut().filter(|seat| **seat == chair) {
                    *seat = None;
                }
                by_seat.splice(..1, [chair]);
            }
            let who: Vec<_> = by_seat.iter().map(who).collect();
            (chair.is_some(), assigned.filled(), who)
        };
        let agrees =
            |ballot: &Ballot| matches!(ballot, Ballot::Approve | Ballot::ApproveWithConditions(_));
        let (chair_rejects, rejecting, _) = filled(&|ballot| matches!(ballot, Ballot::Reject));
        let (chair_defers, ..) = filled(&|ballot| matches!(ballot, Ballot::Defer));
        let (chair, agreeing, who) = filled(&agrees);
        let agree =
            seats.iter().zip(who).filter_map(|(seat, who)| Some((seat.clone(), who?.clone())));
        outcome.agree = agree.collect();
        // As many as possible are placed, one of them in the chair if anybody can be.
        let beside = agreeing.saturating_sub(usize::from(chair));
        let rejecting = rejecting.saturating_sub(usize::from(chair_rejects));
        outcome.answer = if chair_rejects || rejecting > self.board.seats.len() - n {
            BoardAnswer::Rejected
        } else if chair_defers {
            BoardAnswer::Deferred
        } else if chair && beside >= n {
            let all = outcome.votes.iter().filter_map(|(_, ballot)| match ballot {
                Ballot::ApproveWithConditions(conditions) => Some(conditions),
                Ballot::Approve | Ballot::Defer | Ballot::Reject => None,
            });
            let mut conditions: Vec<Condition> = Vec::new();
            for condition in all.flatten() {
                if !conditions.contains(condition) {
                    conditions.push(condition.clone());
                }
            }
            BoardAnswer::Approved { conditions }
        } else if now >= self.facts.deadline {
            BoardAnswer::Deferred
        } else {
            let seats = u32::try_from(n.saturating_sub(beside)).unwrap_or(u32::MAX);
            BoardAnswer::Open { chair: !chair, seats }
        };
    }

    fn seats(&self) -> Vec<Seat> {
        let seats = self.board.seats.iter().cloned().map(Seat::Of);
        std::iter::once(Seat::Chair).chain(seats).collect()
    }
}
