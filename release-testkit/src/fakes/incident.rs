//! Incidents that tests make up.

use std::collections::BTreeMap;

use release_core::time::Timestamp;
use release_providers::spi::{Incident, Incidents, ListIncidents};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, Fake, IncidentSourceCall, model};

/// An [`IncidentSource`](release_providers::spi::IncidentSource) whose incidents tests make up.
pub type FakeIncidentSource = Fake<IncidentSourceCall, IncidentLog>;

/// What a [`FakeIncidentSource`] knows.
#[derive(Debug, Clone, Default)]
pub struct IncidentLog {
    all: BTreeMap<String, Incident>,
    /// Whether the source cannot be reached.
    pub down: bool,
}

impl Fake<IncidentSourceCall, IncidentLog> {
    /// A source without incidents.
    pub fn new() -> Self {
        Self::of("fake-incident-source", IncidentLog::default())
    }
}

impl Default for Fake<IncidentSourceCall, IncidentLog> {
    fn default() -> Self {
        Self::new()
    }
}

impl IncidentLog {
    /// Something happens.
    pub fn open(&mut self, incident: Incident) {
        self.all.insert(incident.id.clone(), incident);
    }

    /// It is over; whether there was such an incident.
    pub fn resolve(&mut self, id: &str, at: Timestamp) -> bool {
        self.all.get_mut(id).map(|incident| incident.resolved_at = Some(at)).is_some()
    }
}

impl model::IncidentSource for IncidentLog {
    fn list(
        &mut self,
        asked: &Asked<'_>,
        request: ListIncidents,
    ) -> Result<Incidents, ProviderError> {
        if self.down {
            return Err(asked.error(ErrorKind::Unavailable, "the source is out of reach"));
        }
        let ListIncidents { since, services, .. } = request;
        let wanted = |incident: &&Incident| {
            let lately = incident.resolved_at.is_none_or(|at| at >= since);
            let all = services.is_empty() || incident.services.is_empty();
            lately && (all || !incident.services.is_disjoint(&services))
        };
        let found = self.all.values().filter(wanted).filter(|_| !asked.lie).cloned().collect();
        Ok(Incidents::new(asked.now, found))
    }
}
