//! Which provider serves what, and whether a plan finds one for every step.
//!
//! A provider is bound to a [`ProviderSelector`]: everywhere, or only in an environment, a region, for a service, a channel, a
//! custom action, or, of sources of metrics, for the analyses that name it. Of several that apply to a step the narrowest serves it. Two of which neither is narrower are refused
//! when the registry is built, so that no order decides. A plan is checked whole before its run begins;
//! [`Registry::observable`] asks the sources beforehand whether what is to judge it was measured at all.
//!
//! Steps of kind `custom` reach every capability: one that names an operation, for example `migrator.expand`, goes to
//! the migrator that serves its place, with the step's input as the request. What only starts something is followed
//! until it is over. A step that asks whether something is as it should be fails when it is not: an artifact that is not
//! verified, drift, a scan with errors, a change that was rejected. A [`CustomAction`](crate::spi::CustomAction) that is bound to just that name is preferred.

mod any;
mod bind;
mod build;
mod drains;
mod json;
mod observable;
mod selector;
mod table;
mod trace;
mod typed;

use std::sync::Arc;

use release_core::port::Clock;

use self::any::Tables;
pub use self::any::{AnyProvider, Binding, Capable};
pub(crate) use self::bind::{Bound, missing};
pub use self::build::RegistryBuilder;
pub use self::observable::NotObservable;
pub use self::selector::ProviderSelector;
#[cfg(feature = "config")]
pub(crate) use self::table::Table;
pub(crate) use self::typed::{Progress, Typed};
use crate::layer::Redactor;
use crate::spi::IdentitySource;

/// A registration that contradicts another, or itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two providers of one capability for the same.
    #[error(
        "two providers are registered as {capability} for `{selector}`; register one only, or narrow one of the two"
    )]
    Twice {
        /// The capability.
        capability: &'static str,
        /// For what.
        selector: Box<ProviderSelector>,
    },
    /// Two providers of one capability, of which neither is for less than the other, and some steps for both.
    #[error(
        "the providers that are registered as {capability} for `{first}` and for `{second}` both serve `{both}`; say who \
         does by registering one for that"
    )]
    Unclear {
        /// The capability.
        capability: &'static str,
        /// For what the one is.
        first: Box<ProviderSelector>,
        /// For what the other is.
        second: Box<ProviderSelector>,
        /// What both serve.
        both: Box<ProviderSelector>,
    },
    /// A selector by what means nothing for the capability.
    #[error(
        "`{field}` selects nothing of a provider that is registered as {capability} for `{selector}`; leave it out"
    )]
    Meaningless {
        /// The capability.
        capability: &'static str,
        /// For what.
        selector: Box<ProviderSelector>,
        /// What means nothing there.
        field: &'static str,
    },
}

/// Routes the engine's commands to providers: the [`Performer`](release_core::port::Performer) of a
/// process.
#[derive(Debug)]
pub struct Registry {
    pub(crate) clock: Arc<dyn Clock>,
    tables: Tables,
    /// Knows what must not stand in plans.
    redactor: Redactor,
    /// Whether plans are refused that stop what may have requests under way.
    drained: bool,
    judged: bool,
}

impl Registry {
    /// Begins a registry that waits on `clock` between looks at what it asked for.
    pub fn builder(clock: Arc<dyn Clock>) -> RegistryBuilder {
        RegistryBuilder::new(clock)
    }

    /// Who serves what, by capability.
    pub fn bindings(&self) -> Vec<Binding> {
        self.tables.describe()
    }

    /// The provider that serves `at`, where each field that is set is a fact: for a host that calls one itself.
    ///
    /// ```
    /// # use release_providers::{Registry, ProviderSelector, spi::ChangeDesk};
    /// # fn f(registry: &Registry) -> Result<(), release_core::model::IdError> {
    /// let desk = registry.find::<dyn ChangeDesk>(&ProviderSelector::environment("prod".parse()?));
    /// # Ok(()) }
    /// ```
    pub fn find<T: ?Sized + Capable>(&self, at: &ProviderSelector) -> Option<Arc<T>> {
        let (_, provider) = T::table(&self.tables).find(at)?;
        Some(Arc::clone(provider))
    }

    /// The same for a capability by its name, for example `change_desk`.
    pub fn find_any(&self, capability: &str, at: &ProviderSelector) -> Option<AnyProvider> {
        self.tables.find(capability, at)
    }

    /// Where identities come from, for the host that keeps its policies up to date. No step asks it.
    pub fn identities(&self) -> Option<Arc<dyn IdentitySource>> {
        self.find(&ProviderSelector::everywhere())
    }
}

#[cfg(test)]
mod tests;
