//! The way behind the providers' backs: a custom action whose capabilities `door/…` do to the fakes what other hands
//! do to real platforms. All others go to the fake.

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::model::{Digest, Identity, PrincipalId, Target};
use release_core::port::Clock;
use release_providers::spi::{
    ApprovalVote, CustomAction, CustomOutput, CustomRequest, CustomStatus,
};
use release_providers::{Context, Description, ErrorKind, ProviderError, async_trait};
use release_testkit::fakes::{
    FakeApprovalChannel, FakeCustomAction, FakeIdentities, FakeProvisioner, World,
};
use release_testkit::fixtures;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What tests reach behind.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) custom: FakeCustomAction,
    pub(crate) world: World,
    pub(crate) identities: Arc<FakeIdentities>,
    pub(crate) workspaces: FakeProvisioner,
    pub(crate) questions: FakeApprovalChannel,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Door {
    fn done(&self, what: &str, input: Value) -> Result<Value, ProviderError> {
        Ok(match what {
            "instances" => {
                let (target, digest): (Target, Digest) = read(input)?;
                let names: BTreeSet<String> = self.world.instances(&target, digest);
                json!(names)
            }
            "traffic" => {
                let (target, requests): (Target, u64) = read(input)?;
                json!(self.world.send(&target, requests))
            }
            "newcomer" => {
                let number: u32 = read(input)?;
                let id = fixtures::literal(&format!("newcomer-{number}"));
                self.identities.put(Identity::human(id));
                Value::Null
            }
            "close" => {
                self.identities.close(&read::<PrincipalId>(input)?);
                Value::Null
            }
            "directory" => {
                self.identities.set_within_reach(read(input)?);
                Value::Null
            }
            // Every call changes another field.
            "meddle" => json!(self.workspaces.with(|all| {
                let first = all.meddle_field("network", "db", "/a~1b", json!(9));
                first.or_else(|| all.meddle_field("network", "db", "/size", json!(9)))
            })),
            "answer" => {
                let (key, by, vote): (String, PrincipalId, ApprovalVote) = read(input)?;
                let at = self.clock.now();
                json!(self.questions.with(|all| all.answer(&key, by, vote, at)))
            }
            other => return Err(wrong(format!("there is no door/{other}"))),
        })
    }
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T, ProviderError> {
    serde_json::from_value(input).map_err(|error| wrong(error.to_string()))
}

fn wrong(text: String) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, "door", text)
}

#[async_trait]
impl CustomAction for Door {
    fn describe(&self) -> Description {
        self.custom.describe()
    }

    async fn perform(
        &self,
        cx: &Context,
        request: CustomRequest,
    ) -> Result<CustomOutput, ProviderError> {
        match request.capability.strip_prefix("door/") {
            Some(what) => self.done(what, request.input).map(CustomOutput::new),
            None => self.custom.perform(cx, request).await,
        }
    }

    async fn observe(
        &self,
        cx: &Context,
        request: CustomRequest,
    ) -> Result<CustomStatus, ProviderError> {
        self.custom.observe(cx, request).await
    }
}
