//! Providers of any capability, made from the list of all.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::table::Table;
use super::{ProviderSelector, RegistryError, json};
use crate::capability::Operation;
use crate::layer::{Layered, Layers, Provider};
use crate::{Abilities, Context, Description, ErrorKind, ProviderError, spi};

/// A capability as a trait object, for whoever asks a [`Registry`](super::Registry) for one: `dyn Deployer` and so on.
pub trait Capable: Provider + Tabled {
    /// Its name, for example `deployer`.
    const CAPABILITY: &'static str;
}

mod sealed {
    use super::{Table, Tables};

    /// What has a table of its own.
    pub trait Tabled {
        fn table(tables: &Tables) -> &Table<Self>;
    }
}
pub(super) use sealed::Tabled;

macro_rules! any {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        /// A provider of any capability.
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub enum AnyProvider {
            $(
                #[doc = concat!("A [`", stringify!($trait), "`](spi::", stringify!($trait), ").")]
                $trait(Arc<dyn spi::$trait>),
            )*
        }

        impl AnyProvider {
            /// The name of its capability, for example `deployer`.
            pub const fn capability(&self) -> &'static str {
                match self {
                    $( Self::$trait(_) => $capability, )*
                }
            }

            /// What the provider says of itself.
            pub fn describe(&self) -> Description {
                match self {
                    $( Self::$trait(provider) => provider.describe(), )*
                }
            }

            /// The same behind `layers`, under another name.
            #[cfg(feature = "config")]
            pub(crate) fn layered_as(self, layers: &Layers, name: &str) -> Self {
                let mut description = self.describe();
                name.clone_into(&mut description.name);
                match self {
                    $( Self::$trait(provider) => {
                        Self::$trait(Arc::new(layers.wrap_as(description, provider)))
                    } )*
                }
            }

            /// Calls an operation by its name, with request and answer as JSON: for tools, and for steps that name one.
            /// Secrets are in no answer.
            ///
            /// # Errors
            /// `Invalid`, with effect `NotApplied`, for a name that is none of the capability's operations and for a
            /// request that is none of it; else as the trait says.
            pub async fn call(
                &self,
                operation: &str,
                cx: &Context,
                request: &Value,
            ) -> Result<Value, ProviderError> {
                match self {
                    $( Self::$trait(provider) => match operation {
                        $( stringify!($operation) => {
                            let request = json::read::<$request>(request).map_err(|problem| {
                                let name = concat!($capability, ".", stringify!($operation));
                                ProviderError::new(ErrorKind::Invalid, name, problem)
                            })?;
                            json::write(&provider.$operation(cx, request).await?)
                        } )*
                        _ => Err(json::unknown($capability, operation)),
                    }, )*
                }
            }
        }

        /// What a request needs that is not declared; or what is wrong with it, in one line.
        pub(super) fn check_request(
            operation: Operation,
            request: &Value,
            abilities: &Abilities,
        ) -> Result<Option<String>, String> {
            match operation.capability {
                $( $capability => match operation.name {
                    $( stringify!($operation) => {
                        json::read::<$request>(request).map(|request| abilities.lacks(&request))
                    } )*
                    _ => Ok(None),
                }, )*
                _ => Ok(None),
            }
        }

        $(
            impl From<Arc<dyn spi::$trait>> for AnyProvider {
                fn from(provider: Arc<dyn spi::$trait>) -> Self {
                    Self::$trait(provider)
                }
            }

            impl Capable for dyn spi::$trait {
                const CAPABILITY: &'static str = $capability;
            }

            impl Tabled for dyn spi::$trait {
                fn table(tables: &Tables) -> &Table<Self> {
                    &tables.$trait
                }
            }
        )*

        /// All providers, by capability.
        #[derive(Debug, Default)]
        #[expect(non_snake_case, reason = "the list of capabilities names traits")]
        pub struct Tables {
            $( $trait: Table<dyn spi::$trait>, )*
        }

        impl Tables {
            pub(super) fn add(
                &mut self,
                selector: ProviderSelector,
                provider: AnyProvider,
            ) -> Result<(), RegistryError> {
                match provider {
                    $( AnyProvider::$trait(provider) => {
                        self.$trait.add($capability, selector, provider)
                    } )*
                }
            }

            pub(super) fn find(&self, capability: &str, at: &ProviderSelector) -> Option<AnyProvider> {
                match capability {
                    $( $capability => self.$trait.find(at).map(|(_, one)| AnyProvider::$trait(Arc::clone(one))), )*
                    _ => None,
                }
            }

            pub(super) fn unclear(&self) -> Vec<RegistryError> {
                let mut all = Vec::new();
                $( all.extend(self.$trait.unclear($capability)); )*
                all
            }

            pub(super) fn wrap(&mut self, layers: &Layers) {
                $( around(layers, self.$trait.values_mut(), |all| Arc::new(all)); )*
            }

            pub(super) fn describe(&self) -> Vec<Binding> {
                let mut all = Vec::new();
                $( all.extend(self.$trait.iter().map(|(selector, provider)| Binding {
                    capability: $capability,
                    selector: selector.clone(),
                    provider: provider.describe(),
                })); )*
                all
            }
        }
    };
}
crate::for_each_capability!(any);

/// Who serves what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// The capability, for example `deployer`.
    pub capability: &'static str,
    /// For what.
    pub selector: ProviderSelector,
    /// What the provider says of itself.
    pub provider: Description,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, selector, provider } = self;
        write!(f, "{capability}, {selector}: {} {}", provider.name, provider.version)
    }
}

/// Puts the layers around providers of one trait.
fn around<'a, T: ?Sized + Provider>(
    layers: &Layers,
    providers: impl Iterator<Item = &'a mut Arc<T>>,
    made: impl Fn(Layered<T>) -> Arc<T>,
) {
    providers.for_each(|provider| *provider = made(layers.wrap(Arc::clone(provider))));
}
