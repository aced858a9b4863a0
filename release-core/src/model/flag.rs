//! Feature flags that a stage changes beside what it deploys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Gate;
use crate::flags::FlagKey;
use crate::ids::ServiceId;
use crate::time::Span;

/// A feature flag that a stage changes: so code is deployed first, and its feature activated by degrees, or prepared
/// before.
///
/// The flag is read before anything sets it, and a rollback restores what was read. Flags of one stage are changed in
/// the order in which they are written, and restored in the reverse order: those after the rollout before the old
/// versions come back, those before it once they are back. A flag belongs to the environment. Where a region or a member goes back
/// alone, a flag that is being changed is restored with it, and one that has arrived stays.
///
/// ```yaml
/// stages:
///   - environment: production
///     strategy: { type: canary, steps: [{ weight: 10, bake: 10m }] }
///     flags:
///       - flag: new-checkout
///         shares: [5, 25, 100]
///         bake: 30m
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagChange {
    /// Which flag.
    pub flag: FlagKey,
    /// When it is changed.
    #[serde(default, skip_serializing_if = "FlagMoment::is_after")]
    pub when: FlagMoment,
    /// The service whose rollout it comes before or after, in all regions; left out, those of all services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// For how many of a hundred users it is on, one share after the other: 0 is off, 100 is on.
    pub shares: Vec<u8>,
    /// How long each share is watched before the next, and the last before the stage goes on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bake: Span,
    /// What must hold before the flag is read and set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
}

/// When a flag is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagMoment {
    /// Before the rollout begins.
    Before,
    /// Once the rollout is done and verified, and before old versions are removed.
    #[default]
    After,
}

impl FlagMoment {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_after(&self) -> bool {
        *self == Self::After
    }
}

fn is_zero(span: &Span) -> bool {
    *span == Span::ZERO
}

impl FlagChange {
    /// Turns a flag on by these shares of a hundred, after the rollout.
    pub fn new(flag: FlagKey, shares: Vec<u8>) -> Self {
        let (when, service, bake, gates) = (FlagMoment::After, None, Span::ZERO, Vec::new());
        Self { flag, when, service, shares, bake, gates }
    }

    /// The same before the rollout.
    #[must_use]
    pub const fn before(mut self) -> Self {
        self.when = FlagMoment::Before;
        self
    }

    /// The same for the rollout of one service.
    #[must_use]
    pub fn of(mut self, service: ServiceId) -> Self {
        self.service = Some(service);
        self
    }

    /// The same, with each share watched for so long.
    #[must_use]
    pub const fn bake(mut self, bake: Span) -> Self {
        self.bake = bake;
        self
    }

    /// Adds a gate.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gates.push(gate);
        self
    }
}
