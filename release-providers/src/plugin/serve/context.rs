//! What a provider is told of a call, from the envelope of a host.

use release_core::model::{Principal, RunId};
use release_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::plugin::pb;
use crate::plugin::wire::{Wire as _, WireError};
use crate::{Context, ErrorKind, ProviderError};

/// The context of a call, or the error that the host breaks the contract: nothing was done.
pub(super) fn context(
    wire: pb::CallContext,
    cancellation: CancellationToken,
) -> Result<Context, ProviderError> {
    read(wire, cancellation).map_err(|error| {
        let text = format!("the context of the call breaks the contract: {error}");
        ProviderError::new(ErrorKind::Invalid, "plugin.call", text)
    })
}

fn read(wire: pb::CallContext, cancellation: CancellationToken) -> Result<Context, WireError> {
    let principal: Principal =
        Principal::from_wire(wire.principal).map_err(|error| error.within("principal"))?;
    let run = wire.run.map(RunId::from_wire).transpose().map_err(|error| error.within("run"))?;
    let deadline = Timestamp::from_micros(wire.deadline_unix_micros);
    let mut cx = Context::new(wire.key, deadline, principal);
    (cx.cancellation, cx.attempt, cx.run, cx.epoch) = (cancellation, wire.attempt, run, wire.epoch);
    Ok(cx)
}
