//! A custom action that only remembers.

use std::collections::BTreeMap;

use release_providers::ProviderError;
use release_providers::spi::{CustomOutput, CustomRequest, CustomStatus};
use serde_json::Value;

use super::{Asked, CustomActionCall, Fake, model};

/// A [`CustomAction`](release_providers::spi::CustomAction) that only remembers: its output is its input.
pub type FakeCustomAction = Fake<CustomActionCall, Deeds>;

/// What a [`FakeCustomAction`] knows.
#[derive(Debug, Default)]
pub struct Deeds(BTreeMap<String, Value>);

impl Fake<CustomActionCall, Deeds> {
    /// One that has done nothing.
    pub fn new() -> Self {
        Self::of("fake-custom-action", Deeds::default())
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
        self.0.iter().map(|(key, input)| (key.as_str(), input))
    }
}

impl model::CustomAction for Deeds {
    fn perform(
        &mut self,
        asked: &Asked<'_>,
        request: CustomRequest,
    ) -> Result<CustomOutput, ProviderError> {
        let done = self.0.entry(asked.key().to_owned()).or_insert(request.input);
        Ok(CustomOutput::new(if asked.lie { Value::Null } else { done.clone() }))
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        _: CustomRequest,
    ) -> Result<CustomStatus, ProviderError> {
        let done = self.0.get(asked.key()).filter(|_| !asked.lie);
        Ok(CustomStatus::new(done.cloned().map(CustomOutput::new)))
    }
}
