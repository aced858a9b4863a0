//! What is told to a balancer and how it takes it, how many requests come, and what became of them.

use release_core::model::{Digest, TrackId, TrafficRules};
use release_core::plan::Weight;
use release_core::time::{Span, Timestamp};

/// Instances of a version on a track, or its others.
pub(super) type Place = (Digest, Option<TrackId>);

/// Shares, and what holds beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) weights: Vec<Weight>,
    pub(super) rules: Option<TrafficRules>,
}

/// How a balancer follows what it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// How late its table follows, each time something between the two.
    pub(super) lag: (Span, Span),
    /// Of how many settings in a hundred something is lost: the call or its answer, or that it is to be followed.
    pub(super) loses: usize,
    /// Whether it also says that it took a setting which it forgets. While an earlier one has yet to take effect, no router may.
    pub(super) forgets: bool,
    /// Whether the first call is lost that gives all of the traffic back to the version from before.
    pub(super) loses_way_back: bool,
    /// Since when its table follows nothing any more.
    pub(super) stuck: Option<Timestamp>,
    /// Whether it puts each setting into effect, also one that another has replaced meanwhile. No router may.
    pub(super) each: bool,
    /// What the new version gets instead, wherever it is to get something.
    pub(super) bent: Option<u8>,
    pub(super) says: Says,
}

/// What a balancer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// What is so.
    Truth,
    /// The shares that were set, and how many requests are under way.
    SharesThatWereSet,
    /// The shares that were set, and that nothing is under way at a version without any.
    AllIsWell,
}

impl Manner {
    /// Follows at once.
    pub(super) const EXACT: Self = Self {
        lag: (Span::ZERO, Span::ZERO),
        loses: 0,
        forgets: false,
        loses_way_back: false,
        stuck: None,
        each: false,
        bent: None,
        says: Says::Truth,
    };
}

/// How many requests come, and how long they take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// How long it is from one to the next, on average.
    pub(super) gap: Span,
    pub(super) mean: Span,
    /// Of how many in a hundred it is `long` instead.
    pub(super) slow: usize,
    pub(super) long: Span,
    /// Of how many in a hundred the header says `x-canary: yes`.
    pub(super) marked: usize,
}

/// What became of requests and their copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    /// They came while the balancer's table was not what it was last told.
    pub(super) behind: u64,
    pub(super) finished: u64,
    /// They came to an instance that was gone.
    pub(super) terminated: u64,
    /// They came to a version none of whose instances was ready, or to one that was not.
    pub(super) unready: u64,
    /// They were under way at an instance when it was stopped.
    pub(super) cut: u64,
}

impl Counts {
    pub(super) const fn lost(&self) -> u64 {
        self.terminated + self.unready + self.cut
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            behind: self.behind + other.behind,
            finished: self.finished + other.finished,
            terminated: self.terminated + other.terminated,
            unready: self.unready + other.unready,
            cut: self.cut + other.cut,
        }
    }
}

/// What is lost of a call that sets shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It never arrives, and its caller does not know.
    Call,
    /// It takes effect, and its caller does not know.
    Answer,
    /// It is taken, and takes effect only when something else changes.
    Following,
    /// It is said to be taken, and is not.
    Setting,
}

/// Instances of a place were stopped as a whole.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) place: Place,
    pub(super) at: Timestamp,
    /// When the last of its requests was finished.
    pub(super) last: Option<Timestamp>,
}
