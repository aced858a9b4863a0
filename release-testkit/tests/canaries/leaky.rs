//! Providers of any trait that say every secret they know, wherever they can.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use release_providers::{
    AnyProvider, Context, Description, EffectCertainty, ErrorKind, ProviderError, RetryAdvice, spi,
};
use release_testkit::fakes::FakeFleet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::chance::Chance;

/// How often what was leaked.
#[derive(Debug, Default)]
pub(crate) struct Leaks {
    pub(crate) errors: AtomicUsize,
    pub(crate) panics: AtomicUsize,
    pub(crate) answers: AtomicUsize,
    pub(crate) descriptions: AtomicUsize,
}

/// What all providers of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) chance: Chance,
    pub(crate) canaries: Vec<String>,
    pub(crate) leaks: Arc<Leaks>,
    /// Whether they have secrets in what they say of themselves.
    pub(crate) describes: bool,
}

/// A right provider with a big mouth.
pub(crate) struct Leaky<T: ?Sized> {
    inner: Arc<T>,
    shared: Arc<Shared>,
}

impl<T: ?Sized> fmt::Debug for Leaky<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaky({:?})", self.shared.canaries)
    }
}

#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection string {}", self.0)
    }
}

impl std::error::Error for Cause {}

impl Shared {
    fn canary(&self) -> &str {
        &self.canaries[self.chance.below(self.canaries.len())]
    }

    /// The same each time, as it has to be.
    fn description(&self, mut description: Description) -> Description {
        if self.describes {
            self.leaks.descriptions.fetch_add(1, Ordering::Relaxed);
            description.name = format!("{} of {}", description.name, self.canaries[0]);
            let canary = self.canaries.last();
            description = description.with_config_schema(json!({ "description": canary }));
        }
        description
    }

    fn error(&self, operation: &'static str) -> ProviderError {
        self.leaks.errors.fetch_add(1, Ordering::Relaxed);
        let kinds =
            [ErrorKind::Unavailable, ErrorKind::Denied, ErrorKind::Internal, ErrorKind::Failed];
        let effects = [EffectCertainty::NotApplied, EffectCertainty::Unknown];
        let kind = kinds[self.chance.below(kinds.len())];
        let operation = if self.chance.one_in(4) {
            format!("{operation} {}", self.canary())
        } else {
            operation.into()
        };
        let mut error =
            ProviderError::new(kind, operation, format!("refused with {}", self.canary()))
                .with_effect(effects[self.chance.below(2)]);
        if self.chance.one_in(2) {
            error = error
                .with_context(format!("of {}", self.canary()), format!("token={}", self.canary()));
        }
        if self.chance.one_in(2) {
            error = error.with_source(Cause(self.canary().to_owned()));
        }
        if self.chance.one_in(3) { error.with_retry(RetryAdvice::Never) } else { error }
    }

    /// The same with secrets in some of its texts, as far as it stays an answer.
    fn answer<A: Serialize + DeserializeOwned>(&self, answer: A) -> A {
        let Ok(mut value) = serde_json::to_value(&answer) else { return answer };
        if !self.spoil(&mut value) {
            return answer;
        }
        match serde_json::from_value(value) {
            Ok(spoiled) => {
                self.leaks.answers.fetch_add(1, Ordering::Relaxed);
                spoiled
            }
            Err(_) => answer,
        }
    }

    fn spoil_all<'a>(&self, all: impl Iterator<Item = &'a mut Value>) -> bool {
        all.filter_map(|one| self.spoil(one).then_some(())).count() > 0
    }

    fn spoil(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) if self.chance.one_in(2) => {
                text.push_str(self.canary());
                true
            }
            Value::Null if self.chance.one_in(8) => {
                *value = Value::from(self.canary());
                true
            }
            Value::Array(all) => self.spoil_all(all.iter_mut()),
            Value::Object(all) => self.spoil_all(all.values_mut()),
            _ => false,
        }
    }
}

macro_rules! leaky {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        $(
            #[async_trait]
            impl spi::$trait for Leaky<dyn spi::$trait> {
                fn describe(&self) -> Description {
                    self.shared.description(self.inner.describe())
                }
                $(
                    async fn $operation(&self, cx: &Context, request: $request) -> Result<$answer, ProviderError> {
                        let shared = &self.shared;
                        match shared.chance.below(16) {
                            0..3 => Err(shared.error(concat!($capability, ".", stringify!($operation)))),
                            3 => {
                                shared.leaks.panics.fetch_add(1, Ordering::Relaxed);
                                panic!("cannot go on with {}", shared.canary())
                            }
                            4..8 => self.inner.$operation(cx, request).await.map(|answer| shared.answer(answer)),
                            _ => self.inner.$operation(cx, request).await,
                        }
                    }
                )*
            }
        )*

        /// A fleet of them.
        pub(crate) fn leaky(fleet: &FakeFleet, shared: &Arc<Shared>) -> Vec<AnyProvider> {
            vec![$( {
                let inner = fleet.provider::<dyn spi::$trait>();
                AnyProvider::$trait(Arc::new(Leaky { inner, shared: Arc::clone(shared) }))
            } ),*]
        }
    };
}
release_providers::for_each_capability!(leaky);
