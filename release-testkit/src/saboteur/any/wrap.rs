//! The wrapper.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use release_providers::layer::Provider;
use release_providers::{Context, Description, Operation, ProviderError, for_each_capability};

use super::hands::{Asked, Hands};
use super::{AnyFault, OwnFault, Sabotage};
use crate::fakes::{Around, FakeFleet, InFleet};
use crate::saboteur::restless;

/// One planted fault.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Fault {
    /// One that a provider of any trait can have.
    Any(AnyFault),
    /// The same, but one operation has it alone.
    Operation(AnyFault, Operation),
    /// One that only a provider of that trait can have.
    Own(OwnFault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(fault) => write!(f, "{fault:?}"),
            Self::Operation(fault, operation) => write!(f, "{fault:?} in {}", operation.name),
            Self::Own(fault) => f.write_str(fault.name()),
        }
    }
}

impl Fault {
    /// The same, which remembers nothing of the providers that had it before.
    fn afresh<T: ?Sized + Sabotage>(self) -> Self {
        let Self::Own(own) = self else { return self };
        let same = T::own().into_iter().find(|fresh| fresh.name() == own.name());
        Self::Own(same.unwrap_or(own))
    }

    /// The fault, if it is one in what is asked and said.
    fn twists(&self) -> Option<&OwnFault> {
        match self {
            Self::Own(own) if own.operation().is_none() => Some(own),
            _ => None,
        }
    }
}

/// A provider of any trait that is right but for one planted fault.
///
/// It is put around the fake of a fleet by [`FleetSandboxes`](crate::fakes::FleetSandboxes):
///
/// ```
/// use release_testkit::conformance::{Level, Suite};
/// use release_testkit::fakes::FleetSandboxes;
/// use release_testkit::saboteur::{AnyFault, Fault};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let forgetful = FleetSandboxes(Fault::Any(AnyFault::RefusesRepeats));
/// let report = Suite::Pager.run(Level::V1, &forgetful).await;
/// let found: Vec<_> = report.violations().map(|violation| violation.case.as_str()).collect();
/// assert!(found.contains(&"done_again_is_done_once"), "{report}");
/// # }
/// ```
pub struct Sabotaged<T: ?Sized> {
    inner: Arc<T>,
    fault: Fault,
    hands: Hands,
    described: AtomicU32,
}

impl<T: ?Sized + Provider> fmt::Debug for Sabotaged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Sabotaged");
        out.field("inner", &self.inner);
        if self.is(AnyFault::TellsSecretInDebug) {
            out.field("credential", &self.hands.secret.expose());
        }
        out.finish_non_exhaustive()
    }
}

impl<T: ?Sized + InFleet + Sabotage> Sabotaged<T> {
    /// The provider of a fleet, with a fault.
    pub fn new(fault: Fault, inner: Arc<T>, fleet: &FakeFleet) -> Self {
        let fault = fault.afresh::<T>();
        let secret = fleet.access().credential().clone();
        let mut hands = match &fault {
            Fault::Any(any) => Hands::new(*any, None, secret),
            Fault::Operation(any, operation) => Hands::new(*any, Some(*operation), secret),
            Fault::Own(own) => Hands::new(AnyFault::SaysDone, own.operation(), secret),
        };
        hands.rewind = T::rewind(fleet);
        Self { inner, fault, hands, described: AtomicU32::new(0) }
    }
}

impl<T: ?Sized + Provider> Sabotaged<T> {
    /// The same as another instance, as after a restart.
    #[must_use]
    pub fn reopened(mut self) -> Self {
        self.hands = self.hands.reopened();
        self
    }

    fn is(&self, fault: AnyFault) -> bool {
        matches!(self.fault, Fault::Any(any) if any == fault)
    }

    fn described(&self) -> Description {
        let mut description = self.inner.description();
        if let Some(own) = self.fault.twists() {
            own.describe(&mut description);
        }
        if self.is(AnyFault::RenamesItself) {
            return restless(description, self.described.fetch_add(1, Ordering::Relaxed));
        }
        if self.is(AnyFault::TellsSecretInDescription) {
            description.name = format!("{}-{}", description.name, self.hands.secret.expose());
        }
        description
    }
}

macro_rules! sabotaged {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => { $(
        #[async_trait]
        impl release_providers::spi::$trait for Sabotaged<dyn release_providers::spi::$trait> {
            fn describe(&self) -> Description {
                self.described()
            }

            $(
                async fn $operation(
                    &self,
                    cx: &Context,
                    request: $request,
                ) -> Result<$answer, ProviderError> {
                    let ask = |cx: Context, request: $request| {
                        let inner = Arc::clone(&self.inner);
                        async move { inner.$operation(&cx, request).await }
                    };
                    let acts = sabotaged!(@ $kind);
                    let operation = Operation::__new($capability, stringify!($operation), acts);
                    if let Some(own) = self.fault.twists() {
                        return own.call(cx, request, ask).await;
                    }
                    self.hands.call(Asked { operation, cx, request, ask }).await
                }
            )*
        }

        impl Around<dyn release_providers::spi::$trait> for Fault {
            fn around(
                &self,
                provider: Arc<dyn release_providers::spi::$trait>,
                fleet: &FakeFleet,
            ) -> LocalBoxFuture<'_, Arc<dyn release_providers::spi::$trait>> {
                let saboteur: Arc<dyn release_providers::spi::$trait> =
                    Arc::new(Sabotaged::new(self.clone(), provider, fleet));
                std::future::ready(saboteur).boxed_local()
            }

            fn again(
                &self,
                provider: Arc<dyn release_providers::spi::$trait>,
                fleet: &FakeFleet,
            ) -> LocalBoxFuture<'_, Arc<dyn release_providers::spi::$trait>> {
                let saboteur: Arc<dyn release_providers::spi::$trait> =
                    Arc::new(Sabotaged::new(self.clone(), provider, fleet).reopened());
                std::future::ready(saboteur).boxed_local()
            }
        }
    )* };
    (@ acts) => { true };
    (@ looks) => { false };
}
for_each_capability!(sabotaged);
