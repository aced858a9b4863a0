//! Every capability crosses the boundary: both sides are made from the list of all of them.
//!
//! A trait is a service, an operation a method by the name of its variant, and a type the message of its name.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use prost::bytes::Bytes;

use super::host::{Operation, Plugin, PluginError, Remote};
use super::serve::{Provider, Server};
use super::wire::Crosses;
use crate::{AnyProvider, Context, Description, ErrorKind, ProviderError, spi};

/// A provider as a server sees it: a call by its name and bytes.
#[async_trait]
pub(super) trait Served: Send + Sync {
    fn describe(&self) -> Description;

    /// `None` when there is no such method.
    async fn call(
        &self,
        method: &str,
        cx: &Context,
        request: Bytes,
    ) -> Option<Result<Vec<u8>, ProviderError>>;
}

/// A provider in the plugin's own process.
struct Local<T: ?Sized>(Arc<T>);

macro_rules! boundary {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        $(
            #[async_trait]
            impl spi::$trait for Remote {
                fn describe(&self) -> Description {
                    self.description()
                }
                $(async fn $operation(
                    &self,
                    cx: &Context,
                    request: $request,
                ) -> Result<$answer, ProviderError> {
                    const OPERATION: Operation = Operation {
                        path: concat!(
                            "/release.plugin.v1.", stringify!($trait), "/", stringify!($variant)
                        ),
                        service: stringify!($trait),
                        name: concat!($capability, ".", stringify!($operation)),
                    };
                    self.call(&OPERATION, cx, &request).await
                })*
            }

            #[async_trait]
            impl Served for Local<dyn spi::$trait> {
                fn describe(&self) -> Description {
                    self.0.describe()
                }
                async fn call(
                    &self,
                    method: &str,
                    cx: &Context,
                    request: Bytes,
                ) -> Option<Result<Vec<u8>, ProviderError>> {
                    $(if method == stringify!($variant) {
                        let operation = concat!($capability, ".", stringify!($operation));
                        let request = match read::<$request>(operation, request) {
                            Ok(request) => request,
                            Err(error) => return Some(Err(error)),
                        };
                        let answer = self.0.$operation(cx, request).await;
                        return Some(answer.map(|answer| answer.encoded()));
                    })*
                    None
                }
            }

            impl From<Arc<dyn spi::$trait>> for Provider {
                fn from(provider: Arc<dyn spi::$trait>) -> Self {
                    Self::new(
                        $capability,
                        concat!("release.plugin.v1.", stringify!($trait)),
                        Local(provider),
                    )
                }
            }
        )*

        impl From<AnyProvider> for Provider {
            fn from(provider: AnyProvider) -> Self {
                match provider {
                    $( AnyProvider::$trait(provider) => provider.into(), )*
                }
            }
        }

        impl Plugin {
            /// A provider for every capability of the manifest that this host knows.
            ///
            /// # Errors
            /// [`PluginProblem::Stopped`](super::host::PluginProblem::Stopped), never for a plugin that was started.
            pub fn providers(&self) -> Result<Vec<AnyProvider>, PluginError> {
                let known = &self.manifest()?.capabilities;
                let mut all = Vec::new();
                $( if known.contains_key($capability) {
                    all.push(AnyProvider::$trait(Arc::new(self.remote($capability)?)));
                } )*
                Ok(all)
            }
        }

        #[cfg(test)]
        const CAPABILITIES: &[(&str, &str)] = &[$(($capability, stringify!($trait))),*];
    };
}
crate::for_each_capability!(boundary);

/// The request of a host, or the error that it breaks the contract: nothing was done.
fn read<T: Crosses>(operation: &'static str, bytes: Bytes) -> Result<T, ProviderError> {
    let invalid = |error: &dyn std::fmt::Display| {
        let text = format!("the request breaks the contract: {error}");
        ProviderError::new(ErrorKind::Invalid, operation, text)
    };
    let message = T::Message::decode(bytes).map_err(|error| invalid(&error))?;
    T::from_wire(message).map_err(|error| invalid(&error))
}

/// The methods that are called as the capabilities are: the list has their names as text only.
macro_rules! by_name {
    ($($capability:ident $trait:ident),* $(,)?) => {
        impl Server {
            $(
                #[doc = concat!("Serves a [`", stringify!($trait), "`](spi::", stringify!($trait), ").")]
                pub fn $capability(self, provider: Arc<dyn spi::$trait>) -> Self {
                    self.with(provider)
                }
            )*
        }

        impl Plugin {
            $(
                #[doc = concat!("The plugin's [`", stringify!($trait), "`](spi::", stringify!($trait), ").")]
                ///
                /// # Errors
                /// [`PluginProblem::Lacks`](super::host::PluginProblem::Lacks) when its manifest does not have it.
                pub fn $capability(&self) -> Result<Arc<dyn spi::$trait>, PluginError> {
                    Ok(Arc::new(self.remote(stringify!($capability))?))
                }
            )*
        }

        #[cfg(test)]
        const BY_NAME: &[(&str, &str)] = &[$((stringify!($capability), stringify!($trait))),*];
    };
}

by_name!(
    deployer Deployer,
    traffic_router TrafficRouter,
    health_probe HealthProbe,
    metrics_source MetricsSource,
    artifact_store ArtifactStore,
    artifact_verifier ArtifactVerifier,
    artifact_signer ArtifactSigner,
    build_runner BuildRunner,
    test_runner TestRunner,
    scanner Scanner,
    provisioner Provisioner,
    config_source ConfigSource,
    secret_store SecretStore,
    data_set_store DataSetStore,
    migrator Migrator,
    flag_store FlagStore,
    change_desk ChangeDesk,
    identity_source IdentitySource,
    approval_channel ApprovalChannel,
    notifier Notifier,
    pager Pager,
    incident_source IncidentSource,
    event_sink EventSink,
    clock_source ClockSource,
    custom_action CustomAction,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_is_served_and_called_by_its_name() {
        assert_eq!(BY_NAME, CAPABILITIES);
    }
}
