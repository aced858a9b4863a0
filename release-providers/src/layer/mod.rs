//! What stands around a provider: written once, for every trait, in one order.
//!
//! [`Layers`] says what is wanted; [`Layers::wrap`] puts it around a provider of any trait, and what comes out is a
//! provider of that trait. The order is fixed, since another one would mean something else. From the outside in:
//!
//! 1. **trace and metrics**: one span and one [`CallRecord`] a call, with all attempts.
//! 2. **tape**: a call is [recorded](Tape), or answered from a recording.
//! 3. **check**: what nobody waits for any more is refused before anything is done.
//! 4. **retry**: again with the same key, as far as that is safe ([`Retrying`]).
//! 5. **limit and circuit breaker**: so many calls at once, and a rest for who fails them all ([`Shielding`]).
//! 6. **timeout** of one attempt.
//! 7. **panics** are caught, and **redaction**: no known secret leaves the provider in an error or an answer.
//!
//! The [`Registry`](crate::Registry) puts them around every provider that is registered with it. Retries are off
//! there: those of steps are the plan's, and journaled.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use release_core::port::Clock;
//! use release_providers::layer::{Layers, Retrying};
//! use release_providers::spi::Deployer;
//!
//! fn careful(provider: Arc<dyn Deployer>, clock: Arc<dyn Clock>) -> Arc<dyn Deployer> {
//!     let layers = Layers::new(clock)
//!         .retrying(Retrying::attempts(3))
//!         .attempt_timeout(Duration::from_secs(5));
//!     Arc::new(layers.wrap(provider))
//! }
//! ```

mod bucket;
mod call;
mod redact;
mod retry;
mod shield;
mod tape;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use release_core::port::Clock;

pub use self::redact::Redactor;
pub use self::retry::Retrying;
pub use self::shield::Shielding;
use self::shield::{Shield, Shields};
pub use self::tape::{Tape, TapeError, Taped};
pub use self::watch::{CallObserver, CallRecord};
use crate::capability::Operation;
use crate::{Context, Description, ProviderError};

/// What is to stand around providers. Clones share what they count.
#[derive(Debug, Clone)]
#[must_use]
pub struct Layers {
    clock: Arc<dyn Clock>,
    shields: Option<Arc<Shields>>,
    retrying: Retrying,
    attempt_timeout: Option<Duration>,
    redactor: Redactor,
    tape: Option<Tape>,
    observer: Option<Arc<dyn CallObserver>>,
}

impl Layers {
    /// Checks, traces, catches panics and redacts; no retries, no limits, no timeout but the call's own deadline.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            shields: None,
            retrying: Retrying::never(),
            attempt_timeout: None,
            redactor: Redactor::default(),
            tape: None,
            observer: None,
        }
    }

    /// Says how hard each provider may be worked. Providers that describe themselves by one name share that.
    pub fn shielding(mut self, shielding: Shielding) -> Self {
        self.shields = Some(Arc::new(Shields::new(shielding)));
        self
    }

    /// Says what is tried again.
    pub const fn retrying(mut self, retrying: Retrying) -> Self {
        self.retrying = retrying;
        self
    }

    /// Says how long one attempt may take; the call's own deadline ends it in any case.
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Names what must not leave a provider. All that a [`SecretStore`](crate::spi::SecretStore) hands out through
    /// these layers is known besides.
    pub fn redacting(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// Records calls, or answers them from a recording.
    pub fn tape(mut self, tape: Tape) -> Self {
        self.tape = Some(tape);
        self
    }

    /// Tells somebody of every call, for metrics.
    pub fn observer(mut self, observer: Arc<dyn CallObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// What must not leave a provider.
    pub const fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

/// A provider with its layers around it: a provider of the same trait.
pub struct Layered<T: ?Sized> {
    inner: Arc<T>,
    description: Description,
    shield: Option<Arc<Shield>>,
    layers: Layers,
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Layered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layered").field(&self.inner).finish()
    }
}

/// A trait of providers, as what wraps all of them sees it.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// What the provider says of itself.
    fn description(&self) -> Description;
}

impl Layers {
    /// Puts the layers around a provider, which is asked once to describe itself.
    pub fn wrap<T: ?Sized + Provider>(&self, provider: Arc<T>) -> Layered<T> {
        self.wrap_as(provider.description(), provider)
    }

    /// The same for a provider that is called otherwise than it describes itself.
    pub(crate) fn wrap_as<T: ?Sized + Provider>(
        &self,
        description: Description,
        provider: Arc<T>,
    ) -> Layered<T> {
        let description = self.redactor.description(description);
        let shield = self.shields.as_ref().map(|all| all.of(description.name.clone()));
        Layered { inner: provider, description, shield, layers: self.clone() }
    }
}

macro_rules! layered {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => { $(
        impl Provider for dyn crate::spi::$trait {
            fn description(&self) -> Description {
                self.describe()
            }
        }

        #[async_trait]
        impl crate::spi::$trait for Layered<dyn crate::spi::$trait> {
            fn describe(&self) -> Description {
                self.description.clone()
            }

            $(
                async fn $operation(
                    &self,
                    cx: &Context,
                    request: $request,
                ) -> Result<$answer, ProviderError> {
                    const OPERATION: Operation =
                        Operation::__new($capability, stringify!($operation), layered!(@ $kind));
                    self.call(cx, OPERATION, request, |inner, cx, request| inner.$operation(cx, request))
                        .await
                }
            )*
        }
    )* };
    (@ acts) => { true };
    (@ looks) => { false };
}
crate::for_each_capability!(layered);
