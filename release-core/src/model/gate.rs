//! Conditions that a step must meet before it starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{GateId, RoleId};
use crate::time::{Span, Timestamp};

/// A condition on starting. It is evaluated again at admission, just before the effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Gate {
    /// People must agree.
    Approval(Approval),
    /// What came before must have been in place for this long.
    Soak(Span),
    /// Not before this instant.
    NotBefore(Timestamp),
}

impl Gate {
    /// Who must agree, if it is people.
    pub const fn approval(&self) -> Option<&Approval> {
        match self {
            Self::Approval(approval) => Some(approval),
            Self::Soak(_) | Self::NotBefore(_) => None,
        }
    }
}

/// People who must agree before a step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What approvers refer to; unique in the plan.
    pub id: GateId,
    /// How many different principals must approve.
    #[serde(default = "one")]
    pub quorum: u32,
    /// Roles of which an approver needs one; empty: anybody may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleId>,
    /// Whether whoever requested the run may approve it too (separation of duties says no).
    #[serde(default)]
    pub requester_may_approve: bool,
    /// How long an approval counts after it was given; not said: until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Span>,
}

impl Approval {
    /// One approval of anybody but the requester.
    pub const fn new(id: GateId) -> Self {
        let roles = Vec::new();
        Self { id, quorum: 1, roles, requester_may_approve: false, valid_for: None }
    }
}

const fn one() -> u32 {
    1
}
