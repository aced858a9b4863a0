//! Everything that can be wrong with a definition or a plan.

use std::fmt;

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::ids::{AnalysisId, EnvironmentId, GateId, PrincipalId, RegionId, ServiceId, StepId};
use crate::model::SignalKind;
use crate::time::Span;

/// All faults of a definition or plan, in the order in which they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanErrors(pub Vec<PlanError>);

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "{} {many}:", self.0.len())?;
        self.0.iter().enumerate().try_for_each(|(n, error)| write!(f, "\n  {}. {error}", n + 1))
    }
}

impl std::error::Error for PlanErrors {}

/// One fault of a definition or plan, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// An acknowledgement without a reason.
    #[error(
        "`release.roll_forward_only` of {by} has no reason; say why nothing needs to be returned to"
    )]
    NoReason {
        /// Who acknowledged it.
        by: PrincipalId,
    },
    /// Things wait for each other in a circle.
    #[error("{what} depend on each other in a circle: {}; remove one of these dependencies", circle(.names))]
    Cycle {
        /// `services`, `changes of services` or `steps`.
        what: &'static str,
        /// The names on the way round; the first is not repeated.
        names: Vec<String>,
    },
    /// A change of traffic that no router could make.
    #[error("step `{step}` cannot be done by a router: {problem}")]
    BadTraffic {
        /// The step.
        step: StepId,
        /// What is wrong, and how to mend it.
        problem: String,
    },
    /// The same id stands twice.
    #[error("{what} `{id}` stands twice; rename or remove one")]
    Duplicate {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A service that is not defined.
    #[error(
        "{place} names the service `{service}`, which is not defined; add it to `services` or mend the name"
    )]
    UnknownService {
        /// Where the name stands.
        place: String,
        /// The name.
        service: ServiceId,
    },
    /// An environment that is not defined.
    #[error(
        "stage {stage} names the environment `{environment}`, which is not defined; add it to `environments` or mend the name"
    )]
    UnknownEnvironment {
        /// The stage, counted from 1.
        stage: usize,
        /// The name.
        environment: EnvironmentId,
    },
    /// A region that the environment does not have.
    #[error(
        "environment `{environment}` has no region `{region}`; add it to its `regions` or mend the name"
    )]
    UnknownRegion {
        /// The environment.
        environment: EnvironmentId,
        /// The name.
        region: RegionId,
    },
    /// Gates of waves that are not there.
    #[error(
        "`wave_gates` of `{environment}` are for {gates} waves, and there are {waves}; leave out those of no wave"
    )]
    GatesOfNoWave {
        /// The environment.
        environment: EnvironmentId,
        /// For how many waves there are gates.
        gates: usize,
        /// How many waves there are.
        waves: usize,
    },
    /// A region of the environment that no wave deploys to.
    #[error("no wave of `{environment}` contains its region `{region}`; add it to `waves`")]
    RegionWithoutWave {
        /// The environment.
        environment: EnvironmentId,
        /// The region.
        region: RegionId,
    },
    /// An analysis that is not defined.
    #[error(
        "{place} names the analysis `{analysis}`, which is not defined; add it to `analyses` or mend the name"
    )]
    UnknownAnalysis {
        /// Where the name stands.
        place: String,
        /// The name.
        analysis: AnalysisId,
    },
    /// A step made by hand that measures from the start of something else than a bake or a change of
    /// shares.
    #[error(
        "step `{step}` measures from the start of `{from}`, which is no bake and no change of shares before it in this plan; name one, or leave `from` out"
    )]
    NoSuchWindow {
        /// The step.
        step: StepId,
        /// What it names.
        from: StepId,
    },
    /// A flag that is restored to what no step read.
    #[error(
        "step `{step}` restores a flag to what {} read; let a step before it read that flag, and restore it as the undo of what sets it", reader(.from.as_ref())
    )]
    FlagNotRead {
        /// The step.
        step: StepId,
        /// The step that it names, which does not read that flag before it; none for one that restores by itself.
        from: Option<StepId>,
    },
    /// An analysis that stands twice in one list.
    #[error("{place} names the analysis `{analysis}` twice; once is enough, so remove one")]
    RepeatedAnalysis {
        /// Where the name stands.
        place: String,
        /// The name.
        analysis: AnalysisId,
    },
    /// An analysis called as a step of the strategy is, so that the two could not be told apart.
    #[error(
        "stage {stage} ({environment}): the analysis `{analysis}` is called as a step of its strategy is; give it another `id` in `analyses`, and where it is named"
    )]
    ReservedAnalysis {
        /// The stage, counted from 1.
        stage: usize,
        /// Its environment.
        environment: EnvironmentId,
        /// The name.
        analysis: AnalysisId,
    },
    /// A version set that does not fulfil a service's needs.
    #[error(
        "`{service}` needs `{dependency}` {wanted}, but the {set} version set has {found}; change one of the two"
    )]
    Incompatible {
        /// The service with the need.
        service: ServiceId,
        /// What it needs.
        dependency: ServiceId,
        /// In which versions.
        wanted: VersionReq,
        /// Which it would get.
        found: Version,
        /// `new` or `previous`.
        set: &'static str,
    },
    /// A need that the version set does not contain.
    #[error(
        "`{service}` needs `{dependency}`, which neither the new version set nor the previous one contains; add it to `release.versions`, or to `release.previous` if it stays as it is"
    )]
    MissingDependency {
        /// The service with the need.
        service: ServiceId,
        /// What it needs.
        dependency: ServiceId,
    },
    /// Two services of which neither can change before the other.
    #[error(
        "neither `{service}` nor `{dependency}` can change first: the version of `{service}` from before does not get along with the new `{dependency}`, and its new version needs {wanted}, but there is {} before; go over a version that gets along with both",
        .found.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
    )]
    Knot {
        /// The service with the need.
        service: ServiceId,
        /// What it needs.
        dependency: ServiceId,
        /// In which versions.
        wanted: VersionReq,
        /// The version from before, if there is one.
        found: Option<Version>,
    },
    /// A version set without members.
    #[error("`release.versions` is empty; name at least one service and its artifact")]
    EmptyVersionSet,
    /// No stages.
    #[error("there are no stages; name at least one environment in `stages`")]
    NoStages,
    /// An environment without regions.
    #[error("environment `{environment}` has no regions; give it at least one")]
    NoRegions {
        /// The environment.
        environment: EnvironmentId,
    },
    /// Production without a way to tell that it must be rolled back.
    #[error(
        "environment `{environment}` is production, but the release has no rollback criteria; add `release.rollback.triggers`"
    )]
    NoRollbackCriteria {
        /// The environment.
        environment: EnvironmentId,
    },
    /// A strategy whose numbers make no sense.
    #[error("stage {stage} ({environment}): {problem}")]
    BadStrategy {
        /// The stage, counted from 1.
        stage: usize,
        /// Its environment.
        environment: EnvironmentId,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// Two gates with one id.
    #[error("gate `{id}` stands twice; approvals could not be told apart, so rename one")]
    DuplicateGate {
        /// The gate.
        id: GateId,
    },
    /// A gate that nobody can pass.
    #[error("gate `{id}` asks for no approvals; set `quorum` to 1 or more")]
    EmptyQuorum {
        /// The gate.
        id: GateId,
    },
    /// A gate whose approvals never count.
    #[error(
        "approvals of gate `{id}` hold for no time; set `valid_for` to more than 0, or leave it out"
    )]
    NoValidity {
        /// The gate.
        id: GateId,
    },
    /// A service with no instances.
    #[error("service `{service}` has 0 replicas; set 1 or more")]
    NoReplicas {
        /// The service.
        service: ServiceId,
    },
    /// An analysis that can never pass.
    #[error(
        "analysis `{analysis}` takes 0 measurements and could never pass; set `count` to 1 or more"
    )]
    EmptyAnalysis {
        /// The analysis.
        analysis: AnalysisId,
    },
    /// Limits on numbers of which nobody knows what they are numbers of.
    #[error(
        "analysis `{analysis}`: nothing says what the numbers of {of} are numbers of; add `unit`, such as `seconds`, or `number` where they have none"
    )]
    NoUnit {
        /// The analysis.
        analysis: AnalysisId,
        /// Which of its metrics.
        of: String,
    },
    /// An analysis whose rule makes no sense.
    #[error("analysis `{analysis}`: {problem}")]
    BadRule {
        /// The analysis.
        analysis: AnalysisId,
        /// What is wrong with it, and how to mend it.
        problem: String,
    },
    /// A trigger for signals of a source without a name.
    #[error(
        "the trigger for a signal of kind `{kind}` has an empty `source`; name one, or leave it out for all"
    )]
    EmptySource {
        /// Of which kind.
        kind: SignalKind,
    },
    /// An analysis that compares versions where only one is served.
    #[error(
        "stage `{environment}`: analysis `{analysis}` compares versions, and {place} only one is served; judge by a limit (`success`) there"
    )]
    NothingBeside {
        /// The stage's environment.
        environment: EnvironmentId,
        /// The analysis.
        analysis: AnalysisId,
        /// Where in the rollout.
        place: String,
    },
    /// An analysis that could not find what it is to find.
    #[error("analysis `{analysis}` at {share} % of the traffic: {problem}")]
    Blind {
        /// The analysis.
        analysis: AnalysisId,
        /// The new version's share in percent.
        share: u8,
        /// What it could find instead, and how to mend it.
        problem: String,
    },
    /// A duration in which nothing can be done.
    #[error(
        "{place}: `{field}` is {span}, in which nothing can be done; set {shortest} or more, for example `30s`"
    )]
    TooShort {
        /// Whose duration it is.
        place: String,
        /// Which.
        field: &'static str,
        /// The duration.
        span: Span,
        /// The shortest that is accepted.
        shortest: Span,
    },
    /// A duration whose end nobody would see.
    #[error(
        "{place}: `{field}` is {span}, which is longer than ten years; set less, for example `1h`"
    )]
    TooLong {
        /// Whose duration it is.
        place: String,
        /// Which.
        field: &'static str,
        /// The duration.
        span: Span,
        /// The longest that is accepted.
        longest: Span,
    },
    /// A step that changes something and says neither how it is undone nor that it cannot be.
    #[error(
        "step `{step}` changes something, but says neither how it is undone nor that it is a point of no return; set `undo`"
    )]
    NoUndo {
        /// The step.
        step: StepId,
    },
    /// A step with compensations of which none puts back what it changes.
    #[error(
        "step `{step}` changes something, and nothing of its `undo` puts that back; add what does, or say that it is `nothing` or a point of no return"
    )]
    NotUndone {
        /// The step.
        step: StepId,
    },
    /// A point of no return that nobody accepts.
    #[error("step `{step}` is a point of no return, and nobody accepts that; set `approver`")]
    NoApprover {
        /// The step.
        step: StepId,
    },
    /// A point of no return for no reason.
    #[error("step `{step}` is a point of no return without a reason; set `justification`")]
    NoJustification {
        /// The step.
        step: StepId,
    },
    /// Input of a custom step that no plan can hold.
    #[error(
        "step `{step}`: its custom input {problem}; hand over less, for example a reference to the rest"
    )]
    BadInput {
        /// The step.
        step: StepId,
        /// What is wrong with the input.
        problem: String,
    },
    /// A step that is never tried.
    #[error("step `{step}` has 0 attempts; set `retry.max_attempts` to 1 or more")]
    NoAttempts {
        /// The step.
        step: StepId,
    },
    /// An edge or group that does not exist.
    #[error("step `{step}` refers to {what} {index}, but there are only {len}; mend the index")]
    BadIndex {
        /// The step, or the nearest thing to it that has a name.
        step: String,
        /// What kind of index.
        what: &'static str,
        /// The index.
        index: u32,
        /// How many there are.
        len: usize,
    },
    /// Steps in production that give users a version of which nothing was measured before, in stages that do not say why they may.
    #[error(
        "{}: users would get a version there of which no samples were judged before; name an analysis in `before_traffic` of the stage or, where the planner lets stages do without, say why in its `unmeasured: {{ reason: … }}`", listed(.steps, *.more)
    )]
    UnmeasuredBeforeTraffic {
        /// The first of the steps, in the plan's order.
        steps: Vec<StepId>,
        /// How many more there are.
        more: usize,
    },
    /// More steps than the limit.
    #[error(
        "the plan would have more than {limit} steps; split the train, or use fewer strategy steps, regions or services"
    )]
    TooManySteps {
        /// The limit.
        limit: usize,
    },
    /// A plan in a format that this version does not read.
    #[error(
        "the plan's format is `{found}`, expected `{expected}`; use the release of this library that wrote it"
    )]
    UnsupportedFormat {
        /// What was found.
        found: String,
        /// What this version reads.
        expected: &'static str,
    },
    /// A plan that holds what this version does not know, and so must not act on.
    #[error(
        "the plan holds what this release of the library does not know: {problem}; use the release that wrote it"
    )]
    UnknownContent {
        /// What the decoder said.
        problem: String,
    },
    /// Bytes that are no plan.
    #[error("the plan cannot be read: {problem}")]
    Unreadable {
        /// What the decoder said.
        problem: String,
    },
    /// An id made of names that are too long together.
    #[error(transparent)]
    Id(#[from] crate::ids::IdError),
}

fn reader(from: Option<&StepId>) -> String {
    from.map_or_else(|| "no step".to_owned(), |from| format!("`{from}`"))
}

fn listed(steps: &[StepId], more: usize) -> String {
    let names: Vec<String> = steps.iter().map(|step| format!("`{step}`")).collect();
    let what = if names.len() == 1 && more == 0 { "step" } else { "steps" };
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{what} {}{rest}", names.join(", "))
}

fn circle(names: &[String]) -> String {
    let mut text = names.join(" → ");
    if let Some(first) = names.first() {
        text.push_str(" → ");
        text.push_str(first);
    }
    text
}

/// What is wrong with bytes that are no plan: first of all, whether they are one of another format.
pub(super) fn undecodable(bytes: &[u8], error: &serde_json::Error) -> PlanError {
    #[derive(Deserialize)]
    struct Header {
        format: String,
    }
    match serde_json::from_slice(bytes) {
        Ok(Header { format }) if format != super::PLAN_FORMAT => {
            PlanError::UnsupportedFormat { found: format, expected: super::PLAN_FORMAT }
        }
        header => {
            let problem = error.to_string();
            // The only trace that serde leaves of them.
            let unknown =
                ["unknown field", "unknown variant"].iter().any(|sign| problem.starts_with(sign));
            if header.is_ok() && unknown {
                PlanError::UnknownContent { problem }
            } else {
                PlanError::Unreadable { problem }
            }
        }
    }
}
