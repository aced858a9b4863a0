//! Steps about feature flags.

use release_core::flags::{FlagReading, FlagState};
use release_core::plan::{FlagDeed, FlagStep};
use release_core::port::{Evidence, KillOrder, Observed};

use super::accepted;
use crate::spi::{FlagRef, FlagStore, KillFlag, SetFlag};
use crate::{Context, ErrorKind, ProviderError};

/// Reads or sets, and tells how the flag stands then. What is killed is told and not turned on: whether that is well is
/// not for providers to say.
pub(super) async fn perform(
    store: &dyn FlagStore,
    cx: &Context,
    step: &FlagStep,
) -> Result<Evidence, ProviderError> {
    let state = match (&step.deed, step.wanted()) {
        (FlagDeed::Read, _) => return read(store, cx, step).await.map(Evidence::Flag),
        (_, Some(state)) => state,
        (_, None) => {
            let text = format!("nobody recorded how flag {} stood; set it by hand", step.flag);
            return Err(ProviderError::new(ErrorKind::Invalid, "flag_store.set", text));
        }
    };
    let wish = SetFlag::new(step.flag.to_string(), step.environment.clone(), state);
    match store.set(cx, wish).await {
        Ok(()) => read(store, cx, step).await.map_err(accepted).map(Evidence::Flag),
        Err(error) if error.kind() == ErrorKind::Conflict => match read(store, cx, step).await {
            Ok(found) if stays_off(&found) => Ok(Evidence::Flag(found)),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Looks whether the flag stands as the step wants it, or has been killed.
pub(super) async fn observe(
    store: &dyn FlagStore,
    cx: &Context,
    step: &FlagStep,
) -> Result<Observed, ProviderError> {
    let Some(wanted) = step.wanted() else { return Ok(Observed::NotApplied) };
    let found = read(store, cx, step).await?;
    let settled = found.state == wanted || stays_off(&found);
    Ok(if settled { Observed::Applied(Evidence::Flag(found)) } else { Observed::NotApplied })
}

/// Kills a flag, and looks whether it is dead.
pub(super) async fn kill(
    store: &dyn FlagStore,
    cx: &Context,
    order: &KillOrder,
) -> Result<FlagReading, ProviderError> {
    let (flag, environment) = (order.flag().to_string(), order.environment().clone());
    let reason = format!("{}: {}", order.by(), order.reason());
    store.kill(cx, KillFlag::new(flag, environment, reason)).await?;
    let step = FlagStep::read(order.environment().clone(), order.flag().clone());
    read(store, cx, &step).await.map_err(accepted)
}

fn stays_off(found: &FlagReading) -> bool {
    found.killed.is_some() && found.state == FlagState::Off
}

async fn read(
    store: &dyn FlagStore,
    cx: &Context,
    step: &FlagStep,
) -> Result<FlagReading, ProviderError> {
    let request = FlagRef::new(step.flag.to_string(), step.environment.clone());
    let status = store.observe(cx, request).await?;
    let flag = status.flag.parse().map_err(|problem| {
        let text = format!("the store answers for a flag with a name that none has: {problem}");
        ProviderError::new(ErrorKind::Internal, "flag_store.observe", text)
    })?;
    let (state, revision, killed) = (status.state, status.revision, status.killed);
    Ok(FlagReading { environment: status.environment, flag, state, revision, killed })
}
