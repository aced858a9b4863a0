//! Promotion: what a version set must have behind it to come into a stage, and to count as verified there.
//!
//! A [`Pipeline`] says from where sets come ([`Sources`]) and by which criteria they enter and leave. [`may_enter`]
//! and [`may_leave`] fold what happened ([`History`]) and what is known ([`Evidence`]) to a [`Verdict`], whose passes
//! are leases: they end, and hold for one subject only. [`Owners`] says who may promote, fenced by epochs.
//!
//! ```
//! use release_core::model::{Digest, EnvironmentId, Span, Tier, Timestamp};
//! use release_policy::approval::Subject;
//! use release_policy::promotion::{
//!     Evidence, Found, History, Pipeline, PromotionEvent, PromotionFact, Sources, StageSpec,
//!     Verdict, may_enter,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (dev, prod): (EnvironmentId, EnvironmentId) = ("dev".parse()?, "prod".parse()?);
//! let pipeline = Pipeline::new([
//!     StageSpec::new(dev.clone(), Tier::Development, Sources::direct()),
//!     StageSpec::new(
//!         prod.clone(),
//!         Tier::Production,
//!         Sources::one_of([dev.clone()]).soak(Span::secs(3600)),
//!     ),
//! ])?;
//! let set = Digest::of(b"api 1.2.0");
//! let subject =
//!     Subject { plan: set, artifacts: set, environment: set, policy: set, evidence: set };
//!
//! let noon: Timestamp = "2026-11-23T12:00:00Z".parse()?;
//! let fact = |event| PromotionFact { at: noon, event };
//! let mut history = History::fold([
//!     fact(PromotionEvent::Entered { stage: dev.clone(), set }),
//!     fact(PromotionEvent::Verified { stage: dev.clone(), set, found: Found::Good }),
//! ])?;
//! let evidence = Evidence::new(subject, noon);
//! let asked = |history: &History, at| {
//!     may_enter(&pipeline, history, &prod, &evidence, at).map(|answer| answer.verdict)
//! };
//!
//! let one = noon.plus(Span::secs(3600));
//! assert_eq!(asked(&history, noon), Some(Verdict::Pending { recheck_at: Some(one) }));
//! assert!(asked(&history, one).is_some_and(|verdict| verdict.is_pass()));
//!
//! // It is verified again, and fails: what comes after is closed to it.
//! let event = PromotionEvent::Verified { stage: dev, set, found: Found::Bad };
//! history.apply(PromotionFact { at: one, event })?;
//! assert_eq!(asked(&history, one), Some(Verdict::Fail));
//! # Ok(())
//! # }
//! ```
// How it is fed: the host journals each `PromotionFact` and each `Taken` and folds them; samples and readings come from
// checks and analyses. At admission it evaluates the gate again, checks the lease against the subject of now, and
// checks the owner's claim, all together, just before the effect.

mod analyse;
mod controls;
mod decision;
mod definition;
mod eligible;
mod error;
mod finding;
mod gate;
mod history;
mod owner;
mod pipeline;
mod sampling;
mod verdict;

pub use analyse::{Surroundings, analyse};
pub use controls::{
    Change, Control, ControlPolicy, ControlPolicyError, Controls, ReviewRule, required_controls,
};
pub use eligible::{Eligibility, SourceState, Standing, eligibility, standings};
pub use error::{HistoryError, PipelineError, PipelineErrors, PipelineProblem};
pub use finding::{At, Fault, Finding, Severity};
pub use gate::{Evidence, GateAnswer, Reading, may_enter, may_leave};
pub use history::{History, Override, PromotionEvent, PromotionFact, Waivable};
pub use owner::{Claim, Owners, Refused, Taken};
pub use pipeline::{
    Availability, Condition, Criterion, MAX_CRITERIA, MAX_STAGES, Pipeline, Sources, StageSpec,
    Value,
};
pub use sampling::{Found, LONGEST, Sample, Sampling, SamplingError, SamplingSpec};
pub use verdict::{Lease, LeaseOver, Verdict};
