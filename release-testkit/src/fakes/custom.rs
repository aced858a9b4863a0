//! A custom action that only remembers.

use std::collections::{BTreeMap, BTreeSet};

use release_providers::spi::{CustomOutput, CustomRequest, CustomStatus};
use release_providers::{ErrorKind, ProviderError};
use serde_json::Value;

use super::{Asked, CustomActionCall, Fake, model};

/// A [`CustomAction`](release_providers::spi::CustomAction) that only remembers: its output is its input.
pub type FakeCustomAction = Fake<CustomActionCall, Deeds>;

/// What a [`FakeCustomAction`] knows.
#[derive(Debug, Clone, Default)]
pub struct Deeds {
    done: BTreeMap<String, Value>,
    /// What it performs; `None`: anything.
    performs: Option<BTreeSet<String>>,
}

impl Fake<CustomActionCall, Deeds> {
    /// One that has done nothing.
    pub fn new() -> Self {
        Self::of("fake-custom-action", Deeds::default())
    }

    /// The same, which performs these capabilities alone.
    #[must_use]
    pub fn performing(self, capabilities: &[&str]) -> Self {
        let performs = capabilities.iter().map(|name| (*name).to_owned()).collect();
        self.with(|deeds| deeds.performs = Some(performs));
        self
    }
}

impl Default for Fake<CustomActionCall, Deeds> {
    fn default() -> Self {
        Self::new()
    }
}

impl Deeds {
    /// What was really done, once for each key.
    pub fn done(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.done.iter().map(|(key, input)| (key.as_str(), input))
    }
}

impl model::CustomAction for Deeds {
    fn perform(
        &mut self,
        asked: &Asked<'_>,
        request: CustomRequest,
    ) -> Result<CustomOutput, ProviderError> {
        if self.performs.as_ref().is_some_and(|known| !known.contains(&request.capability)) {
            let text = "this is not performed here";
            return Err(asked.error(ErrorKind::Unsupported, text));
        }
        let done = self.done.entry(asked.key().to_owned()).or_insert(request.input);
        Ok(CustomOutput::new(if asked.lie { Value::Null } else { done.clone() }))
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        _: CustomRequest,
    ) -> Result<CustomStatus, ProviderError> {
        let done = self.done.get(asked.key()).filter(|_| !asked.lie);
        Ok(CustomStatus::new(done.cloned().map(CustomOutput::new)))
    }
}
