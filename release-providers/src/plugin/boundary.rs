//! The capabilities that cross the boundary: one table, from which both sides are made.
//!
//! A trait's line says how its methods are called on the wire. Everything else is written once.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use prost::bytes::Bytes;

use super::host::{Operation, Plugin, PluginError, Remote};
use super::pb;
use super::serve::{Provider, Server};
use super::wire::Wire;
use crate::spi::{
    ApplyRequest, CheckHealth, Deployer, DeploymentStatus, HealthProbe, HealthReport, Notification,
    Notifier, ObserveDeployment, ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus,
};
use crate::{Context, Description, ErrorKind, ProviderError};

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

macro_rules! boundary {
    ($($capability:ident: dyn $Trait:ident, $Remote:ident, $Local:ident {$(
        $method:ident as $rpc:literal:
            ($request:ty as $RequestMessage:ident) -> $answer:ty as $AnswerMessage:ident;
    )*})*) => {$(
        #[derive(Debug)]
        struct $Remote(Remote);

        #[async_trait]
        impl $Trait for $Remote {
            fn describe(&self) -> Description {
                self.0.describe()
            }
            $(async fn $method(
                &self,
                cx: &Context,
                request: $request,
            ) -> Result<$answer, ProviderError> {
                const OPERATION: Operation = Operation {
                    path: concat!("/release.plugin.v1.", stringify!($Trait), "/", $rpc),
                    name: concat!(stringify!($capability), ".", stringify!($method)),
                };
                self.0.call::<$request, pb::$RequestMessage, $answer, pb::$AnswerMessage>(
                    &OPERATION, cx, &request,
                ).await
            })*
        }

        #[derive(Debug)]
        struct $Local(Arc<dyn $Trait>);

        #[async_trait]
        impl Served for $Local {
            fn describe(&self) -> Description {
                self.0.describe()
            }
            async fn call(
                &self,
                method: &str,
                cx: &Context,
                request: Bytes,
            ) -> Option<Result<Vec<u8>, ProviderError>> {
                match method {
                    $($rpc => {
                        let operation = concat!(stringify!($capability), ".", stringify!($method));
                        let request = match read::<pb::$RequestMessage, $request>(operation, request) {
                            Ok(request) => request,
                            Err(error) => return Some(Err(error)),
                        };
                        let answer = self.0.$method(cx, request).await;
                        Some(answer.map(|answer| {
                            Wire::<pb::$AnswerMessage>::to_wire(&answer).encode_to_vec()
                        }))
                    })*
                    _ => None,
                }
            }
        }

        impl From<Arc<dyn $Trait>> for Provider {
            fn from(provider: Arc<dyn $Trait>) -> Self {
                Self::new(
                    stringify!($capability),
                    concat!("release.plugin.v1.", stringify!($Trait)),
                    $Local(provider),
                )
            }
        }

        impl Server {
            #[doc = concat!("Serves a [`", stringify!($Trait), "`].")]
            pub fn $capability(self, provider: Arc<dyn $Trait>) -> Self {
                self.with(provider)
            }
        }

        impl Plugin {
            #[doc = concat!("The plugin's [`", stringify!($Trait), "`].")]
            ///
            /// # Errors
            /// [`PluginError::Lacks`] when its manifest does not have it.
            pub fn $capability(&self) -> Result<Arc<dyn $Trait>, PluginError> {
                Ok(Arc::new($Remote(self.remote(stringify!($capability))?)))
            }
        }
    )*};
}

boundary! {
    deployer: dyn Deployer, RemoteDeployer, LocalDeployer {
        apply as "Apply": (ApplyRequest as ApplyRequest) -> () as Done;
        observe as "Observe":
            (ObserveDeployment as ObserveDeployment) -> DeploymentStatus as DeploymentStatus;
    }
    traffic_router: dyn TrafficRouter, RemoteTrafficRouter, LocalTrafficRouter {
        set_weights as "SetWeights": (SetWeights as SetWeights) -> () as Done;
        observe as "Observe": (ObserveTraffic as ObserveTraffic) -> TrafficStatus as TrafficStatus;
    }
    health_probe: dyn HealthProbe, RemoteHealthProbe, LocalHealthProbe {
        check as "Check": (CheckHealth as CheckHealth) -> HealthReport as HealthReport;
    }
    notifier: dyn Notifier, RemoteNotifier, LocalNotifier {
        notify as "Notify": (Notification as Notification) -> () as Done;
    }
}

/// The request of a host, or the error that it breaks the contract: nothing was done.
fn read<P: Message + Default, T: Wire<P>>(
    operation: &'static str,
    bytes: Bytes,
) -> Result<T, ProviderError> {
    let invalid = |error: &dyn std::fmt::Display| {
        let text = format!("the request breaks the contract: {error}");
        ProviderError::new(ErrorKind::Invalid, operation, text)
    };
    let message = P::decode(bytes).map_err(|error| invalid(&error))?;
    T::from_wire(message).map_err(|error| invalid(&error))
}
