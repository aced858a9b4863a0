//! A service desk that is kept in memory.

use std::collections::{BTreeMap, BTreeSet};

use release_providers::spi::{
    ChangeKind, ChangeState, ChangeStatus, JobRef, OpenChange, UpdateChange,
};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, ChangeDeskCall, Fake, model};

/// A [`ChangeDesk`](release_providers::spi::ChangeDesk) that is kept in memory. Standard changes are approved at once.
pub type FakeChangeDesk = Fake<ChangeDeskCall, Changes>;

/// What a [`FakeChangeDesk`] knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    all: BTreeMap<String, Change>,
    seen: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    ticket: String,
    state: ChangeState,
    notes: Vec<String>,
}

impl Fake<ChangeDeskCall, Changes> {
    /// A desk without changes.
    pub fn new() -> Self {
        Self::of("fake-change-desk", Changes::default())
    }
}

impl Default for Fake<ChangeDeskCall, Changes> {
    fn default() -> Self {
        Self::new()
    }
}

impl Changes {
    /// Decides at the desk; whether there is such a change.
    pub fn decide(&mut self, operation: &str, state: ChangeState) -> bool {
        self.all.get_mut(operation).map(|change| change.state = state).is_some()
    }

    /// The keys that changes were opened under.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// What was noted of a change, in order.
    pub fn notes(&self, operation: &str) -> &[String] {
        self.all.get(operation).map_or(&[], |change| &change.notes)
    }
}

impl model::ChangeDesk for Changes {
    fn open(&mut self, asked: &Asked<'_>, request: OpenChange) -> Result<(), ProviderError> {
        if request.summary.is_empty() {
            return Err(asked.error(ErrorKind::Invalid, "a change has a summary"));
        }
        let standard = request.kind == ChangeKind::Standard;
        let state = if standard { ChangeState::Approved } else { ChangeState::Requested };
        let ticket = format!("CHG-{}", self.all.len() + 1);
        let change = || Change { ticket, state, notes: Vec::new() };
        self.all.entry(asked.key().to_owned()).or_insert_with(change);
        Ok(())
    }

    fn update(&mut self, asked: &Asked<'_>, request: UpdateChange) -> Result<(), ProviderError> {
        let UpdateChange { operation, state, note, .. } = request;
        let change = asked.found("change", &operation, self.all.get_mut(&operation))?;
        if self.seen.contains(asked.key()) {
            return Ok(());
        }
        if change.state.is_closed() {
            return Err(asked.error(ErrorKind::Conflict, "the change is closed"));
        }
        change.state = state;
        change.notes.extend(Some(note).filter(|note| !note.is_empty()));
        self.seen.insert(asked.key().to_owned());
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: JobRef,
    ) -> Result<ChangeStatus, ProviderError> {
        let known = self.all.get(&request.operation);
        let mut status = ChangeStatus::new(request.operation);
        if let Some(change) = known {
            let state = if asked.lie { ChangeState::Approved } else { change.state };
            (status.ticket, status.state) = (Some(change.ticket.clone()), Some(state));
        }
        Ok(status)
    }
}
