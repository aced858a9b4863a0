//! One fake for any trait: a script and a record around a model that has no time.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::port::Clock;
use release_core::time::Timestamp;
use release_providers::{
    Abilities, Context, Description, EffectClass, ErrorKind, ProviderError, for_each_capability,
};

use super::script::Stage;
use super::weather::Weather;
use super::{Access, Behaviour, Call, Request, lock};

/// What a model is told of a call, besides its request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Asked<'a> {
    /// The call's context.
    pub cx: &'a Context,
    /// The time on the fake's clock; the epoch without one.
    pub now: Timestamp,
    /// Whether the script wants a lie: do it, and answer about something else.
    pub lie: bool,
    operation: &'static str,
}

impl<'a> Asked<'a> {
    /// A call of the simulator, which has its own time.
    pub(crate) fn at_once(cx: &'a Context, operation: &'static str) -> Self {
        Self { cx, now: Timestamp::default(), lie: false, operation }
    }
}

impl Asked<'_> {
    /// The key of the call.
    pub fn key(&self) -> &str {
        &self.cx.key
    }

    /// An error of the operation, with the effect that its kind has.
    pub fn error(&self, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(kind, self.operation, text)
    }

    /// What there is under a name, or `NotFound`.
    ///
    /// # Errors
    /// `NotFound`, which names it.
    pub fn found<T>(&self, what: &str, name: &str, found: Option<T>) -> Result<T, ProviderError> {
        let missing = || self.error(ErrorKind::NotFound, format!("no such {what}"));
        found.ok_or_else(|| missing().with_context("name", name))
    }
}

/// A fake of one trait: `C` are the calls of that trait, `M` does what is right.
///
/// Clones are the same provider.
pub struct Fake<C: Request, M> {
    stage: Arc<Stage<C>>,
    model: Arc<Mutex<M>>,
    description: Description,
}

impl<C: Request, M> Clone for Fake<C, M> {
    fn clone(&self) -> Self {
        let Self { stage, model, description } = self;
        let (stage, model) = (Arc::clone(stage), Arc::clone(model));
        Self { stage, model, description: description.clone() }
    }
}

impl<C: Request, M: fmt::Debug> fmt::Debug for Fake<C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fake").field(&self.description.name).field(&*lock(&self.model)).finish()
    }
}

impl<C: Request, M> Fake<C, M> {
    /// A fake of this name.
    pub fn of(name: &str, model: M) -> Self {
        let (description, model) = (super::describe(name), Arc::new(Mutex::new(model)));
        Self { stage: Arc::default(), model, description }
    }

    /// The same on a clock, for what takes time and for what bears a date. Set before it is shared.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.staged(|stage| stage.set_clock(clock))
    }

    /// The same, which takes time and fails by chance, if it has a clock. Set before it is shared.
    #[must_use]
    pub fn in_weather(self, weather: impl Into<Arc<Weather>>) -> Self {
        self.staged(|stage| stage.set_weather(weather.into()))
    }

    /// The same, reached on a way that it may share with others. Set before it is shared.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        self.staged(|stage| stage.set_access(access))
    }

    fn staged(mut self, set: impl FnOnce(&mut Stage<C>)) -> Self {
        let mut stage = self.stage.anew();
        set(&mut stage);
        self.stage = Arc::new(stage);
        self
    }

    /// Puts it out of reach (`true`), or back, and all that share its [`Access`].
    pub fn cut_off(&self, cut_off: bool) {
        self.stage.access().cut_off(cut_off);
    }

    /// The same, declaring other abilities.
    #[must_use]
    pub fn able(mut self, declare: impl FnOnce(&mut Abilities)) -> Self {
        declare(&mut self.description.abilities);
        self
    }

    /// The same, of whose effects this is declared. What it does stays idempotent.
    #[must_use]
    pub const fn declaring(mut self, effects: EffectClass) -> Self {
        self.description.effects = effects;
        self
    }

    /// Arranges, or looks at, what the fake knows.
    pub fn with<T>(&self, arrange: impl FnOnce(&mut M) -> T) -> T {
        arrange(&mut lock(&self.model))
    }

    /// Lets the next calls of `op` behave like this, one each; after that it is correct again.
    pub fn script(&self, op: C::Op, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.stage.script(op, behaviours);
    }

    /// The calls that it got so far, in order.
    pub fn calls(&self) -> Vec<Call<C>> {
        self.stage.calls()
    }

    /// How many calls of `op` it got so far.
    pub fn count(&self, op: C::Op) -> usize {
        self.stage.calls().iter().filter(|call| call.request.op() == op).count()
    }

    /// Takes back, once it is called, all that was done since it was made.
    pub(crate) fn rewind(&self) -> Rewind
    where
        M: Clone + Send + 'static,
    {
        rewinds(&self.model)
    }

    async fn play<T>(
        &self,
        cx: &Context,
        call: C,
        act: impl FnOnce(&mut M, &Asked<'_>) -> Result<T, ProviderError> + Send,
    ) -> Result<T, ProviderError>
    where
        M: Send,
    {
        let operation = call.operation();
        let act = |lie| {
            let asked = Asked { cx, now: self.stage.now(), lie, operation };
            act(&mut lock(&self.model), &asked)
        };
        self.stage.play(cx, call, act).await
    }
}

/// Remembers how it is, each time it is called; what it returns takes back what was done since.
pub(crate) type Rewind = Arc<dyn Fn() -> Box<dyn FnOnce() + Send> + Send + Sync>;

/// Takes back what was done to something.
pub(crate) fn rewinds<M: Clone + Send + 'static>(what: &Arc<Mutex<M>>) -> Rewind {
    let what = Arc::clone(what);
    Arc::new(move || {
        let (was, what) = (lock(&what).clone(), Arc::clone(&what));
        Box::new(move || *lock(&what) = was)
    })
}

macro_rules! fakes {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        /// The operations of each trait, and calls of them: what scripts name and records hold.
        pub(super) mod ops {
            use super::Request;

            $(
                #[doc = concat!("The operations of [`", stringify!($trait), "`](release_providers::spi::", stringify!($trait), ").")]
                #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
                pub enum $op {
                    $(
                        #[doc = concat!("`", stringify!($operation), "`.")]
                        $variant,
                    )*
                }

                #[doc = concat!("What a [`", stringify!($trait), "`](release_providers::spi::", stringify!($trait), ") was asked.")]
                #[derive(Debug, Clone, PartialEq)]
                pub enum $call {
                    $(
                        #[doc = concat!("`", stringify!($operation), "`.")]
                        $variant($request),
                    )*
                }

                impl Request for $call {
                    type Op = $op;

                    fn op(&self) -> $op {
                        match self {
                            $( Self::$variant(_) => $op::$variant, )*
                        }
                    }

                    fn operation(&self) -> &'static str {
                        match self {
                            $( Self::$variant(_) => concat!($capability, ".", stringify!($operation)), )*
                        }
                    }
                }
            )*
        }

        /// What fakes do: each trait without time, cancellation and loss.
        pub mod model {
            use release_providers::ProviderError;

            use super::Asked;

            $(
                #[doc = concat!("What a fake [`", stringify!($trait), "`](release_providers::spi::", stringify!($trait), ") does.")]
                pub trait $trait: std::fmt::Debug + Send + 'static {
                    $(
                        #[doc = concat!("Does what `", stringify!($operation), "` asks for, at once.")]
                        ///
                        /// # Errors
                        /// As the trait says.
                        fn $operation(
                            &mut self,
                            asked: &Asked<'_>,
                            request: $request,
                        ) -> Result<$answer, ProviderError>;
                    )*
                }
            )*
        }

        $(
            #[async_trait]
            impl<M: model::$trait> release_providers::spi::$trait for Fake<ops::$call, M> {
                fn describe(&self) -> Description {
                    self.description.clone()
                }

                $(
                    async fn $operation(
                        &self,
                        cx: &Context,
                        request: $request,
                    ) -> Result<$answer, ProviderError> {
                        let call = ops::$call::$variant(request.clone());
                        self.play(cx, call, |model, asked| model.$operation(asked, request)).await
                    }
                )*
            }
        )*
    };
}
for_each_capability!(fakes);
