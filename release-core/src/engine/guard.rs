//! A policy that cannot hurt the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::effect::panic_text;
use crate::model::Digest;
use crate::port::{Admission, CommandRequest, Decision, Policy, Reason, ReasonKind};

/// The host's policy, guarded. A policy that panics has not permitted anything: steps wait and are asked
/// about again, commands are denied.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) policy: Arc<dyn Policy>,
}

impl Policy for Guarded {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        guarded(|| self.policy.admit(request), |why| Decision::wait(None, why))
    }

    fn opens(&self, request: &Admission<'_>) -> Decision {
        guarded(|| self.policy.opens(request), |why| Decision::wait(None, why))
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        guarded(|| self.policy.authorize(request), Decision::deny)
    }

    /// A run that begins while this panics pins nothing, and is asked about as one that pins nothing.
    fn digest(&self) -> Option<Digest> {
        catch_unwind(AssertUnwindSafe(|| self.policy.digest())).ok().flatten()
    }
}

fn guarded(
    ask: impl FnOnce() -> Decision,
    instead: impl FnOnce(Vec<Reason>) -> Decision,
) -> Decision {
    catch_unwind(AssertUnwindSafe(ask))
        .unwrap_or_else(|panic| instead(vec![panicked(&panic_text(&*panic))]))
}

fn panicked(message: &str) -> Reason {
    let text = format!("the policy panicked: {message}");
    Reason::new("policy/panic", text, "whoever mends the policy").kind(ReasonKind::Error)
}
