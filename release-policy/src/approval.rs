//! Approvals that are bound to what was approved, by as many different people as a quorum asks for.
//!
//! Nothing here remembers anything or asks anybody: [`evaluate`] folds the facts that the host journaled,
//! the directory of now and the instant to an [`ApprovalOutcome`], with all that leads to it.
//!
//! ```
//! use release_core::model::{ChangeScope, Digest, Identity, RoleGrant, Timestamp};
//! use release_policy::approval::{
//!     Answer, ApprovalFacts, ApprovalPolicy, Parties, Quorum, Question, Subject, evaluate,
//! };
//! use release_policy::directory::{Directory, DirectoryState};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now: Timestamp = "2026-11-23T14:00:00Z".parse()?;
//! let grant = RoleGrant::new("sre".parse()?, Timestamp::default(), "hr".parse()?, "on call");
//! let people = [Identity::human("ann".parse()?), Identity::human("bob".parse()?).with(grant)];
//! let directory = Directory::new(7, now, people, [])?;
//!
//! let digest = Digest::of(b"what it is");
//! let question = Question {
//!     subject: Subject {
//!         plan: digest,
//!         artifacts: digest,
//!         environment: digest,
//!         policy: digest,
//!         evidence: digest,
//!     },
//!     parties: Parties::new("ann".parse()?, now),
//!     scope: ChangeScope::new("production".parse()?),
//! };
//! let policy = ApprovalPolicy::new(Quorum::of_role(1, "sre".parse()?)?);
//! let snapshot = DirectoryState::Snapshot(&directory);
//! let outcome = evaluate(&policy, &question, &ApprovalFacts::default(), snapshot, now);
//! assert_eq!(outcome.answer, Answer::Open);
//! assert_eq!(outcome.missing[0].could_fill, ["bob".parse()?]);
//! # Ok(())
//! # }
//! ```
// How it is fed: the engine journals each `ApprovalFact` (a command of its own for each, after `authorize`),
// with the roles and links that the directory had for who said it. At admission it folds the facts of the
// gate, takes the directory's snapshot, calls `evaluate`, and journals the outcome together with the event
// that starts the step, whose effects need `Answer::Met`. `decision` makes a policy's decision of it, for
// `AllOf`. `next_change` is when to ask again.

mod eligible;
mod evaluate;
mod facts;
mod matching;
mod outcome;
mod parse;
mod policy;
mod quorum;
mod subject;

pub(crate) use self::eligible::{Eligibility, Standing, Voices};
pub use self::evaluate::{MOST_CANDIDATES, evaluate};
pub use self::facts::{Approval, ApprovalFact, ApprovalFacts, FactError, Statement, Verdict};
pub(crate) use self::matching::Fits;
pub use self::outcome::{
    Answer, ApprovalOutcome, Counted, Denial, Dropped, Invalid, Missing, Objection, Unfit,
};
pub use self::policy::{ApprovalPolicy, Doer, Parties, Party, Question, VetoRule};
pub use self::quorum::{
    Anyone, Expression, MAX_DEPTH, MAX_PARTS, MAX_SLOTS, MAX_WAYS, OfRole, Quorum, QuorumError,
    Slot,
};
pub use self::subject::{Part, Subject, artifact_set};
