//! What is called outside at points of a rollout.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bounds::in_order;
use crate::ids::HookId;
use crate::time::Span;

/// When in a rollout a hook is called. The names in Flagger stand behind each.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HookPoint {
    /// Before anything is changed (`confirm-rollout`).
    BeforeRollout,
    /// Once the new version is ready for the first time, before it gets any traffic and before anything judges it
    /// (`pre-rollout`, to test it; of a preview also `rollout`, to begin a load test).
    WhenReady,
    /// Before more requests get to the new version: a larger share, the last one included, or the first headers or
    /// copies (`confirm-traffic-increase`).
    BeforeIncrease,
    /// After more requests get to the new version, before it bakes and is judged (`rollout`: to begin a load test).
    AfterIncrease,
    /// Before the new version gets all of the traffic (`confirm-promotion`).
    BeforePromotion,
    /// After the rollout is through and judged, before the old version goes (`post-rollout`).
    AfterRollout,
    /// After the rollout was taken back, whatever was begun of it. It holds up nothing, and its failure is noted and changes
    /// nothing (`event` and `post-rollout`, of a rollback).
    AfterRollback,
}

/// Something outside that a rollout calls at one of its points, and by whose answer it goes on or not: a step whose
/// [custom capability](crate::plan::Action::Custom) the host provides. `release-providers` has `webhook`, which calls a URL.
///
/// It fails for good once it was tried as often as `attempts` says, or for as long as `wait` says; what follows is what the
/// release's criteria say of a step that failed, unless it is `optional`. Nobody undoes what a hook did: one that has something to undo names it with
/// [`AfterRollback`](HookPoint::AfterRollback).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Its name; unique in its stage.
    pub id: HookId,
    /// When it is called.
    pub at: HookPoint,
    /// The capability that calls it.
    #[serde(default = "webhook")]
    pub capability: String,
    /// What the capability is told, in its own terms; for `webhook` the `url` and what to send.
    #[serde(default, skip_serializing_if = "Value::is_null", serialize_with = "in_order")]
    pub input: Value,
    /// How often it is tried; as often as other steps of the stage, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// For how long it is asked again, about, while it says that it does not know yet: for gates that people or other
    /// systems open. It is asked a hundred times or more in that time, but not oftener than every second or so, and not
    /// more seldom than every five minutes. In place of `attempts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
    /// Whether the rollout goes on when it fails for good; the failure is noted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What one step of a canary calls by itself, at its place among the steps, and by whose answer the rollout goes on or not: a
/// [hook](Hook) for this step alone. Nobody is called in a first deployment, nor where a version of a short while ago comes back:
/// neither goes step by step.
///
/// It fails for good as a hook does, and what follows is the same: what the release's criteria say of a step that failed, unless
/// it is `optional`. Whenever the rollout is taken back, by a failure, a cancel or a person, whatever was begun of these
/// is called again with its `undo`, the last one first, once all of the traffic is with the old version; a call that failed, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepCall {
    /// Its name; unique in its step.
    pub id: HookId,
    /// The capability that is called.
    #[serde(default = "webhook")]
    pub capability: String,
    /// What the capability is told, in its own terms; for `webhook` the `url` and what to send.
    #[serde(default, skip_serializing_if = "Value::is_null", serialize_with = "in_order")]
    pub input: Value,
    /// What the same capability is told when the rollout is taken back; not said: it is not called then.
    #[serde(default, skip_serializing_if = "Value::is_null", serialize_with = "in_order")]
    #[doc(alias = "abort")]
    pub undo: Value,
    /// As of a [hook](Hook::attempts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// As of a [hook](Hook::wait).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
    /// Whether the rollout goes on when it fails for good; the failure is noted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl StepCall {
    /// Calls `capability` with `input`, and nobody when it is taken back.
    pub fn new(id: HookId, capability: impl Into<String>, input: Value) -> Self {
        Self {
            id,
            capability: capability.into(),
            input,
            undo: Value::Null,
            attempts: None,
            wait: None,
            optional: false,
        }
    }
}

fn webhook() -> String {
    "webhook".into()
}

impl Hook {
    /// Calls `capability` with `input` at a point of the rollout.
    pub fn new(id: HookId, at: HookPoint, capability: impl Into<String>, input: Value) -> Self {
        Self {
            id,
            at,
            capability: capability.into(),
            input,
            attempts: None,
            wait: None,
            optional: false,
        }
    }
}
