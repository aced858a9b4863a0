//! How long a call may take: until its deadline, and until nobody wants it any more.

use release_core::port::{Clock, EffectCertainty};

use crate::{Context, ErrorKind, ProviderError};

/// Does `work` within the caller's deadline, unless the caller cancels. `effect` is what may have happened if
/// it does not come to its end.
pub(super) async fn bounded<T>(
    clock: &dyn Clock,
    operation: &'static str,
    cx: &Context,
    effect: EffectCertainty,
    work: impl Future<Output = Result<T, ProviderError>> + Send,
) -> Result<T, ProviderError> {
    let over =
        |kind, text: &str, effect| ProviderError::new(kind, operation, text).with_effect(effect);
    if cx.cancellation.is_cancelled() {
        let effect = EffectCertainty::NotApplied;
        return Err(over(ErrorKind::Cancelled, "cancelled before it began", effect));
    }
    if clock.now() >= cx.deadline {
        let effect = EffectCertainty::NotApplied;
        return Err(over(ErrorKind::Timeout, "its deadline passed before it began", effect));
    }
    tokio::select! {
        biased;
        done = work => done,
        () = cx.cancellation.cancelled() => {
            Err(over(ErrorKind::Cancelled, "cancelled; look what happened", effect))
        }
        () = clock.sleep_until(cx.deadline) => {
            Err(over(ErrorKind::Timeout, "not done by its deadline; look again", effect))
        }
    }
}
