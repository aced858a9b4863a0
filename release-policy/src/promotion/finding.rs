//! What an analysis of a pipeline finds.

use std::fmt;

use release_core::model::{AnalysisId, Bound, EnvironmentId, GateId, RoleId, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It works, and somebody will be sorry.
    Warning,
    /// It cannot work, or must not: do not start it.
    Error,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// The stage.
    pub stage: EnvironmentId,
    /// The criteria; empty when it is the stage as a whole.
    pub gates: Vec<GateId>,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage `{}`", self.stage)?;
        let names: Vec<_> = self.gates.iter().map(|gate| format!("`{gate}`")).collect();
        if names.is_empty() { Ok(()) } else { write!(f, ", {}", names.join(" and ")) }
    }
}

/// What was found, with the facts that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// Nothing can ever come into the stage: what it needs waits for itself, or can never be verified.
    Unreachable {
        /// The stages without which it is not reached.
        blocked_by: Vec<EnvironmentId>,
    },
    /// Windows never let anything into the stage while its criteria would.
    NeverOpen {
        /// From when on.
        from: Timestamp,
        /// Until when its criteria would let in, if they say so.
        until: Option<Timestamp>,
        /// Why it never opens.
        why: String,
    },
    /// The instants of two criteria leave no time between them.
    NoTimeLeft {
        /// Not before this.
        not_before: Timestamp,
        /// Only before this.
        not_after: Timestamp,
    },
    /// What must happen before an instant comes too late.
    TooLate {
        /// The instant.
        not_after: Timestamp,
        /// When the analysis looked.
        from: Timestamp,
    },
    /// No number keeps both limits.
    ContradictingBounds {
        /// What is measured.
        analysis: AnalysisId,
        /// One limit.
        one: Bound,
        /// The other.
        other: Bound,
    },
    /// More people are asked for than there are.
    QuorumTooLarge {
        /// How many different people the easiest way needs.
        needed: usize,
        /// How many of its places can be filled by the people there are.
        can_fill: usize,
        /// The roles that it asks for.
        roles: Vec<RoleId>,
    },
    /// A criterion is waited for until an instant that lies after its own deadline.
    DeadlineFirst {
        /// How long it is waited for.
        within: Span,
        /// How long it takes at least.
        takes: Span,
    },
    /// Nothing must hold before a set counts as verified there.
    NoExitCriteria,
    /// Somebody or something is waited for without end.
    NoDeadline,
    /// Nothing takes a release back from its users.
    NoRollbackCriteria,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a finding that nobody reads mends nothing"]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub at: At,
    /// What it is.
    pub fault: Fault,
}

impl Fault {
    /// A stable code, for suppressions and for links.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "promotion/unreachable",
            Self::NeverOpen { .. } => "promotion/never-open",
            Self::NoTimeLeft { .. } => "promotion/no-time-left",
            Self::TooLate { .. } => "promotion/too-late",
            Self::ContradictingBounds { .. } => "promotion/contradicting-bounds",
            Self::QuorumTooLarge { .. } => "promotion/quorum-too-large",
            Self::DeadlineFirst { .. } => "promotion/deadline-first",
            Self::NoExitCriteria => "promotion/no-exit-criteria",
            Self::NoDeadline => "promotion/no-deadline",
            Self::NoRollbackCriteria => "promotion/no-rollback-criteria",
        }
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::NoDeadline | Self::NoExitCriteria => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Why it is a fault.
    pub fn why(&self) -> String {
        match self {
            Self::Unreachable { blocked_by } => {
                let names: Vec<_> = blocked_by.iter().map(EnvironmentId::as_str).collect();
                format!("nothing can ever come into it, because of {}", names.join(", "))
            }
            Self::NeverOpen { from, until: Some(until), why } => {
                format!("from {from} until {until} no window lets anything in: {why}")
            }
            Self::NeverOpen { from, until: None, why } => {
                format!("from {from} on no window lets anything in: {why}")
            }
            Self::NoTimeLeft { not_before, not_after } => {
                format!("not before {not_before} and only before {not_after} leaves no time")
            }
            Self::TooLate { not_after, from } => {
                format!("only before {not_after} is over already at {from}")
            }
            Self::ContradictingBounds { analysis, one, other } => {
                format!("no value of `{analysis}` is {one} and {other}")
            }
            Self::QuorumTooLarge { needed, can_fill, roles } => {
                let names: Vec<_> = roles.iter().map(RoleId::as_str).collect();
                let of = if names.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", names.join(", "))
                };
                format!(
                    "it needs {needed} different people{of}, and {can_fill} of these places can be filled"
                )
            }
            Self::DeadlineFirst { within, takes } => {
                format!("it fails after {within}, and takes {takes} at least")
            }
            Self::NoExitCriteria => "whatever comes in counts as verified at once".into(),
            Self::NoDeadline => "if it is never met, the release waits for ever".into(),
            Self::NoRollbackCriteria => {
                "users are there, and nothing takes a bad release back".into()
            }
        }
    }

    /// How to mend it.
    pub const fn mend(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "make it `direct`, mend the stages named, or take them out of its sources"
            }
            Self::NeverOpen { .. } => {
                "move the deployment window out of the freeze, or the instants of the criteria into a window"
            }
            Self::NoTimeLeft { .. } => "move one of the two instants",
            Self::TooLate { .. } => "move the instant, or take the criterion out",
            Self::ContradictingBounds { .. } => "loosen one of the two limits",
            Self::QuorumTooLarge { .. } => "ask for fewer people, or grant the roles to more",
            Self::DeadlineFirst { .. } => "set `within` to more than it takes",
            Self::NoExitCriteria => {
                "add an exit criterion, or an analysis of the strategy or of the rollback criteria"
            }
            Self::NoDeadline => "set `within`",
            Self::NoRollbackCriteria => "add a trigger to the rollback criteria",
        }
    }
}

impl Finding {
    pub(super) fn new(stage: &EnvironmentId, gates: &[&GateId], fault: Fault) -> Self {
        let gates = gates.iter().copied().cloned().collect();
        Self { severity: fault.severity(), at: At { stage: stage.clone(), gates }, fault }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, at, fault } = self;
        let severity = match severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity} {}: {at}: {}; {}", fault.code(), fault.why(), fault.mend())
    }
}
