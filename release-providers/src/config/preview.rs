//! A registry of what providers would be able to do.

use std::sync::Arc;

use async_trait::async_trait;
use release_core::port::Clock;

use super::{Catalog, ConfigError, ProvidersFile};
use crate::kind::Secrets;
use crate::{AnyProvider, Context, Description, ErrorKind, ProviderError, Registry, spi};

/// A provider that only says what it would be able to do.
#[derive(Debug, Clone)]
struct Promise(Description);

macro_rules! promises {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        $(
            #[async_trait]
            impl spi::$trait for Promise {
                fn describe(&self) -> Description {
                    self.0.clone()
                }
                $(
                    async fn $operation(&self, _: &Context, _: $request) -> Result<$answer, ProviderError> {
                        Err(nobody(concat!($capability, ".", stringify!($operation))))
                    }
                )*
            }
        )*

        /// One of a capability.
        fn promise(capability: &str, description: Description) -> Option<AnyProvider> {
            match capability {
                $( $capability => Some(AnyProvider::$trait(Arc::new(Promise(description)))), )*
                _ => None,
            }
        }
    };
}
crate::for_each_capability!(promises);

fn nobody(operation: &'static str) -> ProviderError {
    ProviderError::new(
        ErrorKind::Unavailable,
        operation,
        "this registry is a preview; open the file to call providers",
    )
}

impl ProvidersFile {
    /// A registry that checks plans and calls nobody: for whoever writes plans and must not have the credentials.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong with the file, but for a missing store of secrets.
    pub fn preview(
        &self,
        catalog: &Catalog,
        clock: Arc<dyn Clock>,
    ) -> Result<Registry, ConfigError> {
        self.check(catalog, &Secrets::given([]))?;
        let mut builder = Registry::builder(clock);
        for entry in &self.providers {
            let Some(kind) = catalog.get(&entry.kind) else { continue }; // never: it was checked
            let manifest = kind.manifest();
            for (capability, selector) in entry.bindings(&manifest, &mut |_, _| {}) {
                let description = manifest.capabilities.get(capability).cloned();
                if let Some(provider) = description.and_then(|one| promise(capability, one)) {
                    builder = builder.provider(selector, provider);
                }
            }
        }
        Ok(builder.build()?)
    }
}
