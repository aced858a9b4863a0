//! Faults that only providers of one trait can have.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use release_providers::{
    Context, Description, ErrorKind, OPERATIONS, Operation, ProviderError, for_each_capability, spi,
};

use super::{AnyFault, Fault};
use crate::conformance::{Level, Suite, Suited};
use crate::saboteur::dawdle;

/// A fault that only providers of one trait can have: what it does to requests, to answers or to refusals.
#[derive(Clone)]
#[must_use]
pub struct OwnFault {
    name: &'static str,
    caught_by: &'static [&'static str],
    twists: Vec<Twist>,
    says_done: Option<Operation>,
}

type Changes = dyn Fn(&Context, &mut dyn Any) + Send + Sync;
type Tells = dyn Fn(&dyn Any, &mut dyn Any) + Send + Sync;
type Forgives = dyn Fn(&dyn Any, ErrorKind) -> Option<Box<dyn Any + Send>> + Send + Sync;
type Errs = dyn Fn(&ProviderError) -> ProviderError + Send + Sync;
type Refuses = dyn Fn(&dyn Any) -> Option<ErrorKind> + Send + Sync;

#[derive(Clone)]
enum Twist {
    /// Asks the right provider for something else.
    Request(Arc<Changes>),
    /// Says something else than the right provider, which was asked for this.
    Answer(Arc<Tells>),
    /// Says something where the right provider refuses.
    Refusal(Arc<Forgives>),
    /// Refuses what the right provider takes.
    Refuse(Arc<Refuses>),
    /// Says something else where the right provider has an error.
    Error(Arc<Errs>),
    /// Takes its time before it does anything.
    Dawdle,
    /// Says something else of itself.
    Describe(fn(&mut Description)),
}

impl fmt::Debug for OwnFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl OwnFault {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The cases that are meant to find it; others may find it too.
    pub const fn caught_by(&self) -> &'static [&'static str] {
        self.caught_by
    }

    fn new(name: &'static str, caught_by: &'static [&'static str], twist: Twist) -> Self {
        Self { name, caught_by, twists: vec![twist], says_done: None }
    }

    /// Says that one operation of a capability was done, and does nothing.
    pub fn says_done(
        name: &'static str,
        caught_by: &'static [&'static str],
        (capability, operation): (&str, &str),
    ) -> Self {
        let is = |one: &&Operation| one.capability == capability && one.name == operation;
        let says_done = OPERATIONS.iter().find(is).copied();
        Self { name, caught_by, twists: Vec::new(), says_done }
    }

    /// Does what another fault does besides.
    pub fn and(mut self, other: Self) -> Self {
        self.twists.extend(other.twists);
        self
    }

    pub(super) const fn operation(&self) -> Option<Operation> {
        self.says_done
    }

    /// Takes its time besides, between what it hears and what it does, so that a caller can give up.
    pub fn and_dawdles(mut self) -> Self {
        self.twists.push(Twist::Dawdle);
        self
    }

    /// Says something else of itself than the right provider.
    pub fn describes(
        name: &'static str,
        caught_by: &'static [&'static str],
        change: fn(&mut Description),
    ) -> Self {
        Self::new(name, caught_by, Twist::Describe(change))
    }

    pub(super) fn describe(&self, description: &mut Description) {
        for twist in &self.twists {
            if let Twist::Describe(change) = twist {
                change(description);
            }
        }
    }

    /// Changes requests of one type before they are carried out.
    pub fn requests<R: 'static>(
        name: &'static str,
        caught_by: &'static [&'static str],
        change: impl Fn(&Context, &mut R) + Send + Sync + 'static,
    ) -> Self {
        let twist = Twist::Request(Arc::new(move |cx, request| {
            if let Some(request) = request.downcast_mut() {
                change(cx, request);
            }
        }));
        Self::new(name, caught_by, twist)
    }

    /// Changes answers of one type to requests of one type.
    pub fn answers<R: 'static, A: 'static>(
        name: &'static str,
        caught_by: &'static [&'static str],
        change: impl Fn(&R, &mut A) + Send + Sync + 'static,
    ) -> Self {
        let twist = Twist::Answer(Arc::new(move |request, answer| {
            if let (Some(request), Some(answer)) = (request.downcast_ref(), answer.downcast_mut()) {
                change(request, answer);
            }
        }));
        Self::new(name, caught_by, twist)
    }

    /// Answers where the right provider refuses requests of one type.
    pub fn forgives<R: 'static, A: Send + 'static>(
        name: &'static str,
        caught_by: &'static [&'static str],
        answer: impl Fn(&R, ErrorKind) -> Option<A> + Send + Sync + 'static,
    ) -> Self {
        let twist = Twist::Refusal(Arc::new(move |request, kind| {
            Some(Box::new(answer(request.downcast_ref()?, kind)?))
        }));
        Self::new(name, caught_by, twist)
    }

    /// Has other errors than the right provider.
    pub fn errors(
        name: &'static str,
        caught_by: &'static [&'static str],
        change: impl Fn(&ProviderError) -> ProviderError + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, caught_by, Twist::Error(Arc::new(change)))
    }

    /// Refuses requests of one type that the right provider would not refuse.
    pub fn refuses<R: 'static>(
        name: &'static str,
        caught_by: &'static [&'static str],
        refuses: impl Fn(&R) -> Option<ErrorKind> + Send + Sync + 'static,
    ) -> Self {
        let twist = Twist::Refuse(Arc::new(move |request| refuses(request.downcast_ref()?)));
        Self::new(name, caught_by, twist)
    }

    pub(super) async fn call<R, A, F>(
        &self,
        cx: &Context,
        mut request: R,
        ask: impl Fn(Context, R) -> F + Sync,
    ) -> Result<A, ProviderError>
    where
        R: Clone + Send + Sync + 'static,
        A: Send + 'static,
        F: Future<Output = Result<A, ProviderError>> + Send,
    {
        for twist in &self.twists {
            match twist {
                Twist::Request(change) => change(cx, &mut request),
                Twist::Refuse(refuses) => {
                    if let Some(kind) = refuses(&request) {
                        return Err(ProviderError::new(kind, "sabotaged", "sabotaged"));
                    }
                }
                Twist::Dawdle => dawdle().await,
                Twist::Answer(_) | Twist::Refusal(_) | Twist::Error(_) | Twist::Describe(_) => {}
            }
        }
        let mut answer = ask(cx.clone(), request.clone()).await;
        for twist in &self.twists {
            match (twist, &mut answer) {
                (Twist::Answer(change), Ok(answer)) => change(&request, answer),
                (Twist::Refusal(forgive), Err(error)) => {
                    if let Some(instead) = forgive(&request, error.kind()).and_then(taken) {
                        answer = Ok(instead);
                    }
                }
                (Twist::Error(change), Err(error)) => *error = change(error),
                _ => {}
            }
        }
        answer
    }
}

fn taken<A: 'static>(answer: Box<dyn Any + Send>) -> Option<A> {
    answer.downcast().ok().map(|answer| *answer)
}

/// A trait whose suite is tried with saboteurs.
pub trait Sabotage: Suited {
    /// The faults that only its providers can have: one at least for each case that only its suite has.
    fn own() -> Vec<OwnFault>;

    /// The faults of any trait that make no difference to this one, each with the reason. `None`: the suite is not one of
    /// those that share cases, and has saboteurs of its own kind.
    fn harmless() -> Option<&'static [(AnyFault, &'static str)]>;
}

macro_rules! trials {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        impl Suite {
            /// All saboteurs that this suite has to find; none, if the suite has saboteurs of its own kind. A trait that
            /// has not said which does not compile.
            pub fn saboteurs(self) -> Vec<Fault> {
                match self {
                    $( Self::$trait => all::<dyn spi::$trait>(self), )*
                }
            }
        }
    };
}
for_each_capability!(trials);

fn all<T: ?Sized + Sabotage>(suite: Suite) -> Vec<Fault> {
    let Some(harmless) = T::harmless() else { return Vec::new() };
    let cases = suite.promises(Level::V1);
    let has = |name: &str| cases.iter().any(|(case, _)| *case == name);
    let matters = |fault: &AnyFault| {
        let by_key = matches!(
            fault,
            AnyFault::ActsBesides
                | AnyFault::LearnsKeysFromAnswers
                | AnyFault::ForgetsKeysWhenReopened
        )
        .then_some(AnyFault::ForgetsKeys);
        harmless.iter().all(|(harmless, _)| harmless != fault && Some(*harmless) != by_key)
            && (has("done_again_is_done_once") || !fault.needs_deeds())
            && (has("wrong_requests_are_refused") || !fault.needs_refusals())
            && (fault.caught_by().is_empty() || fault.caught_by().iter().any(|case| has(case)))
    };
    let mut faults = Vec::new();
    for fault in AnyFault::ALL.iter().copied().filter(matters) {
        faults.push(Fault::Any(fault));
        if fault.is_of_an_operation() {
            let operations = OPERATIONS.iter();
            let ours = operations.filter(|operation| operation.capability == suite.capability());
            faults.extend(ours.map(|operation| Fault::Operation(fault, *operation)));
        }
    }
    faults.extend(T::own().into_iter().map(Fault::Own));
    faults
}
