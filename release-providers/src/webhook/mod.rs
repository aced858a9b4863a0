//! Hooks as web services: a step calls a URL, and goes on or not by its answer.
//!
//! It performs the custom capability `webhook`, which the [hooks](release_core::model::Hook) of stages use unless they name another.
//! A step's input is a [`WebhookCall`]:
//!
//! ```yaml
//! hooks:
//!   - { id: may-it, at: before_promotion, input: { url: "https://ops.example/gate", body: { service: api } } }
//! ```
//!
//! What is sent is one JSON object: `data` (the `body` of the input), `key`, `attempt`, `rollback` and, of steps in runs, `run`. The
//! header `Idempotency-Key` has the key too: a service that remembers it does nothing twice, which is what it is asked to
//! do (draft-ietf-httpapi-idempotency-key-header).
//!
//! | answer | what follows |
//! |---|---|
//! | 2xx but 202 | done; the answer is kept with the step |
//! | 202, 408, 425, 503, or what [`not_yet`](WebhookCall::not_yet) says instead; 429 | not yet: tried again, not before what `Retry-After` says in seconds |
//! | 401, 403 | refused: the step fails |
//! | 3xx | refused: where a hook is sent on to, nobody allowed |
//! | other 4xx | the service says no: the step fails |
//! | other 5xx, a connection that breaks off | nobody knows whether it was done: asked again with the same key |
//!
//! A gate that somebody has to open is given time by [`Hook::wait`](release_core::model::Hook::wait).
//!
//! Only places that the settings [allow](WebhookSettings::places) are called, so that a definition sends nothing, and no
//! token, anywhere else. TLS is spoken to `https` places, by the certificates that the system trusts and those of
//! [`WebhookSettings::authorities`].

mod action;
mod answer;
pub(crate) mod caller;
mod kind;
mod settings;

pub use action::{WEBHOOK, Webhook};
pub use kind::WebhookKind;
pub use settings::{WebhookCall, WebhookPlace, WebhookSettings};
