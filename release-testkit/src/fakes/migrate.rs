//! A migrator of no data.

use std::collections::BTreeMap;

use release_core::model::Target;
use release_providers::spi::{MigrationPhase, MigrationRef, MigrationStatus};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, Fake, MigratorCall, model};

/// A [`Migrator`](release_providers::spi::Migrator) of no data: each step is done at the second look.
pub type FakeMigrator = Fake<MigratorCall, Migrations>;

/// What a [`FakeMigrator`] knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migrations(BTreeMap<(Target, String), MigrationPhase>);

impl Fake<MigratorCall, Migrations> {
    /// A migrator that knows no migration.
    pub fn new() -> Self {
        Self::of("fake-migrator", Migrations::default())
    }

    /// The same, which knows a migration.
    #[must_use]
    pub fn migration(self, target: &Target, migration: &str) -> Self {
        self.with(|all| {
            all.0.insert((target.clone(), migration.to_owned()), MigrationPhase::Pending)
        });
        self
    }
}

impl Default for Fake<MigratorCall, Migrations> {
    fn default() -> Self {
        Self::new()
    }
}

impl Migrations {
    /// Puts a migration into a phase.
    pub fn put(&mut self, target: &Target, migration: &str, phase: MigrationPhase) {
        self.0.insert((target.clone(), migration.to_owned()), phase);
    }

    fn get(
        &mut self,
        asked: &Asked<'_>,
        request: &MigrationRef,
    ) -> Result<&mut MigrationPhase, ProviderError> {
        let key = (request.target.clone(), request.migration.clone());
        asked.found("migration", &request.migration, self.0.get_mut(&key))
    }
}

impl model::Migrator for Migrations {
    fn expand(&mut self, asked: &Asked<'_>, request: MigrationRef) -> Result<(), ProviderError> {
        let phase = self.get(asked, &request)?;
        if matches!(phase, MigrationPhase::Pending | MigrationPhase::Failed { .. }) {
            *phase = MigrationPhase::Expanding;
        }
        Ok(())
    }

    fn contract(&mut self, asked: &Asked<'_>, request: MigrationRef) -> Result<(), ProviderError> {
        let phase = self.get(asked, &request)?;
        match phase {
            MigrationPhase::Expanded => *phase = MigrationPhase::Contracting,
            MigrationPhase::Contracting | MigrationPhase::Contracted => {}
            _ => {
                let text = "it is not expanded; wait until it is";
                return Err(asked.error(ErrorKind::Conflict, text));
            }
        }
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: MigrationRef,
    ) -> Result<MigrationStatus, ProviderError> {
        let phase = self.get(asked, &request)?;
        let seen = if asked.lie { MigrationPhase::Contracted } else { phase.clone() };
        match phase {
            MigrationPhase::Expanding => *phase = MigrationPhase::Expanded,
            MigrationPhase::Contracting => *phase = MigrationPhase::Contracted,
            _ => {}
        }
        Ok(MigrationStatus::new(request.migration, seen))
    }
}
