//! What the cases of every suite may use.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use release_core::time::Timestamp;
use release_providers::layer::Provider;
use release_providers::{Context, Description, ErrorKind, ProviderError};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::conformance::{
    Broken, Common, Hook, HookError, Provided, Sandbox, broken, hook, refused, shared, title,
    unanswered,
};

/// What an operation answers, as text.
pub(crate) type Answer = Result<String, ProviderError>;

/// A call of a provider.
pub(crate) type Call<T, D> =
    Arc<dyn Fn(Arc<T>, Context, Arc<D>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// What came of an operation that was done under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What is the same for every key.
    pub(crate) what: String,
    /// What this key alone has, for example a number.
    pub(crate) own: String,
}

impl From<String> for Outcome {
    fn from(what: String) -> Self {
        Self { what, own: String::new() }
    }
}

/// A look at what was done under a key.
type Seen<T, D> = Arc<
    dyn Fn(Arc<T>, Context, Arc<D>, String) -> BoxFuture<'static, Result<Outcome, ProviderError>>
        + Send
        + Sync,
>;

/// An operation that acts.
pub(crate) struct Deed<T: ?Sized, D> {
    /// The operation.
    pub(crate) name: &'static str,
    /// Does it. The answer is the same for the same key.
    pub(crate) call: Call<T, D>,
    /// Tells what came of it when it was done under a key: the same after once and after many times.
    pub(crate) seen: Seen<T, D>,
    /// Whether looking at it that way would do it, if it was not done.
    pub(crate) seen_by_doing: bool,
    /// Whether it need not be known to another instance.
    pub(crate) forgotten: bool,
    /// Makes that it can be done, and seen to be done, once more.
    pub(crate) undo: Option<Call<T, D>>,
}

/// An operation that only looks.
pub(crate) struct Look<T: ?Sized, D> {
    pub(crate) name: &'static str,
    pub(crate) call: Call<T, D>,
    /// Whether two answers in a row are equal while nobody does anything.
    pub(crate) steady: bool,
}

/// A request that must be refused.
pub(crate) struct Refusal<T: ?Sized, D> {
    /// What is wrong with it.
    pub(crate) what: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) call: Call<T, D>,
    /// Whether it is known to be wrong without asking anybody.
    pub(crate) plain: bool,
}

/// A provider of one trait, and what its suite may do with it.
#[must_use]
pub struct ProviderSandbox<T: ?Sized, D> {
    pub(crate) provider: Arc<T>,
    /// What of the provider the suite may use.
    pub(crate) at: Arc<D>,
    pub(crate) deeds: Vec<Deed<T, D>>,
    pub(crate) looks: Vec<Look<T, D>>,
    pub(crate) refusals: Vec<Refusal<T, D>>,
    /// What is missing to see what was done.
    pub(crate) blind: Option<&'static str>,
    /// What the service has, seen past the provider.
    pub(crate) outside: Option<Hook<(), String>>,
    reopen: Option<Hook<(), Arc<T>>>,
    common: Common,
}

shared!([T: ?Sized + Provider, D] ProviderSandbox<T, D>, T, "a call may take");

impl<T: ?Sized + fmt::Debug, D> fmt::Debug for ProviderSandbox<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSandbox").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl<T: ?Sized + Provider, D: Send + Sync + 'static> ProviderSandbox<T, D> {
    pub(crate) fn of(provider: Arc<T>, at: D) -> Self {
        let (deeds, looks, refusals, at) = (Vec::new(), Vec::new(), Vec::new(), Arc::new(at));
        let (blind, outside, reopen, common) = (None, None, None, Common::default());
        Self { provider, at, deeds, looks, refusals, blind, outside, reopen, common }
    }

    /// Shows all that the service has, as text, seen past the provider; without what a look changes, such as when it was
    /// read last. Without it, `nothing_else_happens_again` is skipped, and said to be.
    pub fn seen_from_outside<F>(mut self, look: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, HookError>> + Send + 'static,
    {
        self.outside = Some(hook(move |()| look()));
        self
    }

    pub(crate) fn deed<F, G, O>(
        mut self,
        name: &'static str,
        call: impl Fn(Arc<T>, Context, Arc<D>) -> F + Send + Sync + 'static,
        seen: impl Fn(Arc<T>, Context, Arc<D>, String) -> G + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
        G: Future<Output = Result<O, ProviderError>> + Send + 'static,
        O: Into<Outcome> + 'static,
    {
        let call: Call<T, D> = Arc::new(move |provider, cx, at| Box::pin(call(provider, cx, at)));
        let seen: Seen<T, D> = Arc::new(move |provider, cx, at, key| {
            let seen = seen(provider, cx, at, key);
            Box::pin(async move { seen.await.map(Into::into) })
        });
        self.deeds.push(Deed {
            name,
            call,
            seen,
            seen_by_doing: false,
            forgotten: false,
            undo: None,
        });
        self
    }

    /// The deed before is seen by doing it once more.
    pub(crate) fn seen_by_doing(mut self) -> Self {
        if let Some(deed) = self.deeds.last_mut() {
            deed.seen_by_doing = true;
        }
        self
    }

    /// Another instance need not know of the deed before.
    pub(crate) fn forgotten_at_a_restart(mut self) -> Self {
        if let Some(deed) = self.deeds.last_mut() {
            deed.forgotten = true;
        }
        self
    }

    /// Says how the deed before can be done, and seen to be done, once more.
    pub(crate) fn undone_by<F>(
        mut self,
        undo: impl Fn(Arc<T>, Context, Arc<D>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        if let Some(deed) = self.deeds.last_mut() {
            deed.undo = Some(Arc::new(move |provider, cx, at| Box::pin(undo(provider, cx, at))));
        }
        self
    }

    /// What was done cannot be seen without something that the sandbox lacks.
    pub(crate) fn blind_without(mut self, missing: Option<&'static str>) -> Self {
        self.blind = missing;
        self
    }

    pub(crate) fn look<F>(
        mut self,
        name: &'static str,
        steady: bool,
        call: impl Fn(Arc<T>, Context, Arc<D>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let call: Call<T, D> = Arc::new(move |provider, cx, at| Box::pin(call(provider, cx, at)));
        self.looks.push(Look { name, call, steady });
        self
    }

    pub(crate) fn refusal<F>(
        mut self,
        what: &'static str,
        kind: ErrorKind,
        call: impl Fn(Arc<T>, Context, Arc<D>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let call: Call<T, D> = Arc::new(move |provider, cx, at| Box::pin(call(provider, cx, at)));
        let plain = kind != ErrorKind::NotFound;
        self.refusals.push(Refusal { what, kind, call, plain });
        self
    }

    /// The refusal before is known to be wrong without asking anybody, if `plain`.
    pub(crate) fn known_beforehand(mut self, plain: bool) -> Self {
        if let Some(refusal) = self.refusals.last_mut() {
            refusal.plain |= plain;
        }
        self
    }

    /// Does a deed that has to succeed.
    pub(crate) async fn done(&self, deed: &Deed<T, D>, cx: &Context) -> Result<String, Broken> {
        let answer = self.start(&deed.call, cx.clone()).await;
        answer.map_err(|error| unanswered(&format!("`{}`", deed.name), &error))
    }

    /// What came of a deed under a key.
    pub(crate) async fn seen(&self, deed: &Deed<T, D>, key: &str) -> Result<Outcome, Broken> {
        self.sees(deed, key)
            .await
            .map_err(|error| unanswered(&format!("a look at what `{}` did", deed.name), &error))
    }

    /// The same, where there may be nothing to see.
    pub(crate) fn sees(
        &self,
        deed: &Deed<T, D>,
        key: &str,
    ) -> BoxFuture<'static, Result<Outcome, ProviderError>> {
        self.sees_as(&self.provider, deed, key)
    }

    /// What another instance tells of a deed.
    pub(crate) fn sees_as(
        &self,
        provider: &Arc<T>,
        deed: &Deed<T, D>,
        key: &str,
    ) -> BoxFuture<'static, Result<Outcome, ProviderError>> {
        (deed.seen)(Arc::clone(provider), self.context(), Arc::clone(&self.at), key.to_owned())
    }

    /// All that can be seen of a deed without doing anything: what the steady looks answer, and what came of it under
    /// a key.
    pub(crate) async fn picture(&self, deed: &Deed<T, D>, key: &str) -> Vec<String> {
        self.picture_as(&self.provider, deed, key).await
    }

    /// The same, told by another instance.
    pub(crate) async fn picture_as(
        &self,
        provider: &Arc<T>,
        deed: &Deed<T, D>,
        key: &str,
    ) -> Vec<String> {
        let mut picture = Vec::new();
        for look in self.looks.iter().filter(|look| look.steady) {
            let answer = self.start_as(provider, &look.call, self.context()).await;
            picture.push(answer.unwrap_or_else(|error| error.kind().as_str().to_owned()));
        }
        if !deed.seen_by_doing {
            let seen = self.sees_as(provider, deed, key).await;
            picture.push(seen.map_or_else(
                |error| error.kind().as_str().to_owned(),
                |Outcome { what, own }| format!("{what} {own}"),
            ));
        }
        picture
    }

    /// Makes that a deed can be done, and seen to be done.
    pub(crate) async fn undone(&self, deed: &Deed<T, D>) -> Result<(), Broken> {
        let Some(undo) = &deed.undo else { return Ok(()) };
        let answer = self.start(undo, self.context()).await;
        let what = format!("what takes `{}` back", deed.name);
        answer.map(drop).map_err(|error| unanswered(&what, &error))
    }

    /// All that the service has, seen past the provider.
    pub(crate) async fn outside(&self) -> Result<String, Broken> {
        let Some(look) = &self.outside else { return Ok(String::new()) };
        look(()).await.map_err(|error| broken("a look from outside", error))
    }

    pub(crate) async fn looked(&self, look: &Look<T, D>) -> Result<String, Broken> {
        let answer = self.start(&look.call, self.context()).await;
        answer.map_err(|error| unanswered(&format!("`{}`", look.name), &error))
    }

    /// Makes a call of the provider's as another instance of it.
    pub(crate) fn start_as(
        &self,
        provider: &Arc<T>,
        call: &Call<T, D>,
        cx: Context,
    ) -> BoxFuture<'static, Answer> {
        call(Arc::clone(provider), cx, Arc::clone(&self.at))
    }

    /// Another call with the same arguments.
    pub(crate) fn start(&self, call: &Call<T, D>, cx: Context) -> BoxFuture<'static, Answer> {
        self.start_as(&self.provider, call, cx)
    }
}

impl<T: ?Sized, D> ProviderSandbox<T, D> {
    pub(crate) async fn linger(&self) {
        self.common.linger().await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.common.clock.now()
    }

    /// Looks again and again until `look` gives a result or patience is at an end.
    pub(crate) async fn until<A, E>(
        &self,
        look: impl AsyncFnMut() -> Result<Result<A, E>, Broken>,
    ) -> Result<Result<A, E>, Broken> {
        self.common.until(look).await
    }
}

impl<T: ?Sized + Provider, D: Send + Sync + 'static> Provided for ProviderSandbox<T, D> {
    fn describe(&self) -> Description {
        self.provider.description()
    }
}

#[async_trait(?Send)]
impl<T: ?Sized + Provider, D: Send + Sync + 'static> Sandbox for ProviderSandbox<T, D> {
    fn common(&self) -> &Common {
        &self.common
    }

    fn title(&self) -> String {
        title(&self.provider.description())
    }

    async fn prepare(&self) -> Result<(), Broken> {
        Ok(())
    }
}

/// Makes calls at once, and waits for all answers.
pub(crate) async fn at_once<A: Send + 'static>(
    calls: impl IntoIterator<Item = impl Future<Output = A> + Send + 'static>,
) -> Result<Vec<A>, Broken> {
    let (mut under_way, mut answers) = (JoinSet::new(), Vec::new());
    for call in calls {
        under_way.spawn(call);
    }
    while let Some(answer) = under_way.join_next().await {
        answers.push(answer.map_err(|error| broken("an answer to every call", error))?);
    }
    Ok(answers)
}

/// Demands that one of many calls was carried out and the others were told of a conflict; returns what the one got.
pub(crate) fn one_wins<A>(what: &str, answers: Vec<Result<A, ProviderError>>) -> Result<A, Broken> {
    let (mut won, many) = (Vec::new(), answers.len());
    for answer in answers {
        match answer {
            Ok(answer) => won.push(answer),
            Err(error) => refused(what, Err::<(), _>(error), ErrorKind::Conflict)?,
        }
    }
    let count = won.len();
    match (won.pop(), count) {
        (Some(only), 1) => Ok(only),
        _ => Err(broken(format!("{what} for one of {many}"), format!("{count} of them have it"))),
    }
}

/// The same call under another key.
pub(crate) fn keyed(mut cx: Context, key: String) -> Context {
    cx.key = key;
    cx
}

/// An answer as text.
pub(crate) fn text<A: Serialize>(answer: Result<A, ProviderError>) -> Answer {
    // What cannot be written is told as what it is: it is compared with itself alone.
    answer.map(|answer| serde_json::to_string(&answer).unwrap_or_else(|error| error.to_string()))
}

/// What came of something, and what of it this key alone has.
pub(crate) fn outcome<A: Serialize, B: Serialize>(
    answer: Result<(A, B), ProviderError>,
) -> Result<Outcome, ProviderError> {
    let (what, own) = answer?;
    Ok(Outcome { what: text(Ok(what))?, own: text(Ok(own))? })
}
