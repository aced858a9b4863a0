//! What became of a custom step whose answer was lost, where that is not followed: who acted is asked.

use release_core::model::{ArtifactRef, Digest};
use serde::Serialize;
use serde_json::Value;

use super::AnyProvider;
use super::json::write;
use super::typed::{Progress, Typed};
use crate::spi::{
    FindEvents, FlagRef, JobRef, KillFlag, ObserveSignature, PagePhase, PublishEvents, PutArtifact,
    UpdateChange,
};
use crate::{Context, ErrorKind, ProviderError};

impl Typed {
    /// Looks for what the operation would have done; `None` where nobody can be asked.
    pub(crate) async fn trace(
        &self,
        cx: &Context,
        key_of: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Progress>, ProviderError> {
        let input = self.request(key_of)?;
        let found = match (&self.provider, self.operation.name) {
            (AnyProvider::ArtifactSigner(signer), "sign") => {
                let status = signer.observe(cx, ObserveSignature::new(cx.key.clone())).await?;
                done_with(status.signature.as_ref())?
            }
            (AnyProvider::ArtifactStore(store), "put") => {
                let PutArtifact { name, bytes } = self.read(&input)?;
                let wanted = ArtifactRef::new(name, Digest::of(&bytes));
                match store.verify(cx, wanted.clone()).await {
                    Ok(status) if status.digest == wanted.digest() => done_with(Some(&wanted))?,
                    Ok(_) => Progress::Nothing,
                    Err(error) if error.kind() == ErrorKind::NotFound => Progress::Nothing,
                    Err(error) => return Err(error),
                }
            }
            (AnyProvider::Pager(pager), "page") => {
                let status = pager.observe(cx, JobRef::new(cx.key.clone())).await?;
                done_if(status.phase != PagePhase::Unknown)
            }
            (AnyProvider::Pager(pager), "resolve") => {
                let status = pager.observe(cx, self.read(&input)?).await?;
                done_if(status.phase == PagePhase::Resolved)
            }
            (AnyProvider::FlagStore(store), "kill") => {
                let KillFlag { flag, environment, .. } = self.read(&input)?;
                let status = store.observe(cx, FlagRef::new(flag, environment)).await?;
                done_if(status.killed.is_some())
            }
            (AnyProvider::EventSink(sink), "publish") => {
                let events = self.read::<PublishEvents>(&input)?.events;
                let ids: Vec<_> = events.into_iter().map(|event| event.id).collect();
                let found = sink.observe(cx, FindEvents::new(ids.clone())).await?.ids;
                done_if(ids.iter().all(|id| found.contains(id)))
            }
            (AnyProvider::BuildRunner(runner), "cancel") => {
                done_if(runner.observe(cx, self.read(&input)?).await?.phase.is_over())
            }
            (AnyProvider::TestRunner(runner), "cancel") => {
                done_if(runner.observe(cx, self.read(&input)?).await?.phase.is_over())
            }
            (AnyProvider::ChangeDesk(desk), "update") => {
                let update: UpdateChange = self.read(&input)?;
                let status = desk.observe(cx, JobRef::new(update.operation)).await?;
                done_if(status.state == Some(update.state))
            }
            (AnyProvider::ApprovalChannel(channel), "withdraw") => {
                done_if(!channel.observe(cx, self.read(&input)?).await?.open)
            }
            _ => return Ok(None),
        };
        Ok(Some(found))
    }
}

fn done_if(so: bool) -> Progress {
    if so { Progress::Done(Value::Null) } else { Progress::Nothing }
}

/// Done, with the answer that was lost.
fn done_with(answer: Option<&impl Serialize>) -> Result<Progress, ProviderError> {
    answer.map_or(Ok(Progress::Nothing), |answer| write(answer).map(Progress::Done))
}
