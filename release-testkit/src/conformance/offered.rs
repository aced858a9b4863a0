//! What every sandbox lets its vendor offer: methods that are the same for all, made by macros.

/// What every sandbox lets its vendor set.
macro_rules! closed {
    ([$($generics:tt)*] $sandbox:ty) => {
        impl<$($generics)*> $sandbox {
            /// Cleans up after a case, however it ended.
            pub fn on_close<F>(mut self, close: impl Fn() -> F + Send + Sync + 'static) -> Self
            where
                F: Future<Output = Result<(), $crate::conformance::HookError>> + Send + 'static,
            {
                self.common.set_close($crate::conformance::hook(move |()| close()));
                self
            }
        }
    };
}
pub(crate) use closed;

/// What every sandbox of a provider lets its vendor set, and what cases use of it.
macro_rules! shared {
    ([$($generics:tt)*] $sandbox:ty, $provider:ty, $patience:literal) => {
        $crate::conformance::closed!([$($generics)*] $sandbox);

        impl<$($generics)*> $sandbox {
            /// Sets the clock that deadlines are read on; by default the system's. How time passes on it says
            /// [`passing`](Self::passing); for a clock of this crate [`virtual_clock`](Self::virtual_clock) says both.
            pub fn clock(mut self, clock: std::sync::Arc<dyn release_core::port::Clock>) -> Self {
                self.common.set_clock(clock);
                self
            }

            /// Lets so much time pass on the sandbox's clock, for what ends by itself. On the system's clock the suite waits;
            /// on another one such cases are skipped without this, and said to be.
            pub fn passing<F>(
                mut self,
                pass: impl Fn(release_core::time::Span) -> F + Send + Sync + 'static,
            ) -> Self
            where
                F: Future<Output = Result<(), $crate::conformance::HookError>> + Send + 'static,
            {
                self.common.set_passing($crate::conformance::hook(pass));
                self
            }

            /// Sets a clock of this crate, and lets the suite move it on.
            pub fn virtual_clock(self, clock: std::sync::Arc<$crate::VirtualClock>) -> Self {
                let moved = std::sync::Arc::clone(&clock);
                self.clock(clock).passing(move |span| {
                    moved.advance(span);
                    std::future::ready(Ok(()))
                })
            }

            /// Opens another instance over the same service, as after a restart of whoever uses the provider: with the same
            /// settings, and with nothing that the first one has in memory. The first is not asked any more: where only one
            /// can be open, end it first. Without it the case about that is skipped, and said to be.
            pub fn reopen<F>(mut self, reopen: impl Fn() -> F + Send + Sync + 'static) -> Self
            where
                F: Future<Output = Result<std::sync::Arc<$provider>, $crate::conformance::HookError>>
                    + Send
                    + 'static,
            {
                self.reopen = Some($crate::conformance::hook(move |()| reopen()));
                self
            }

            /// What is missing to see what outlasts a restart.
            pub(crate) fn no_reopen(&self) -> Option<&'static str> {
                self.reopen.is_none().then_some("other instance over the same service")
            }

            /// Another instance, if the sandbox can.
            pub(crate) async fn reopened(
                &self,
            ) -> Result<std::sync::Arc<$provider>, $crate::conformance::Broken> {
                let Some(reopen) = &self.reopen else {
                    return Ok(std::sync::Arc::clone(&self.provider));
                };
                let opened = reopen(()).await;
                opened.map_err(|error| $crate::conformance::broken("another instance", error))
            }

            #[doc = concat!("Sets how long ", $patience, "; by default 30 seconds.")]
            pub const fn patience(mut self, patience: release_core::time::Span) -> Self {
                self.common.patience = patience;
                self
            }

            /// Names a secret that the provider was configured with: it must turn up in nothing that the provider says.
            /// Without one, `secrets_stay_secret` is skipped, and said to be.
            pub fn canary(mut self, secret: release_providers::Secret) -> Self {
                self.common.canary = Some(secret);
                self
            }

            /// Puts what the provider talks to out of reach (`false`), or back: [`Trouble::OutOfReach`] the other way round.
            ///
            /// [`Trouble::OutOfReach`]: crate::conformance::Trouble::OutOfReach
            pub fn reach<F>(self, set: impl Fn(bool) -> F + Send + Sync + 'static) -> Self
            where
                F: Future<Output = Result<(), $crate::conformance::HookError>> + Send + 'static,
            {
                self.trouble($crate::conformance::Trouble::OutOfReach, move |comes| set(!comes))
            }

            /// Lets a trouble come between the provider and what it talks to (`true`), or go. Without it, the case about
            /// this trouble is skipped, and said to be.
            pub fn trouble<F>(
                mut self,
                trouble: $crate::conformance::Trouble,
                set: impl Fn(bool) -> F + Send + Sync + 'static,
            ) -> Self
            where
                F: Future<Output = Result<(), $crate::conformance::HookError>> + Send + 'static,
            {
                self.common.troubles.insert(trouble, $crate::conformance::hook(set));
                self
            }

            /// Lets these troubles come between a fake and its world.
            pub(crate) fn behind(
                self,
                access: &$crate::fakes::Access,
                troubles: &[$crate::conformance::Trouble],
            ) -> Self {
                troubles.iter().fold(self, |sandbox, trouble| {
                    let (access, trouble) = (access.clone(), *trouble);
                    sandbox.trouble(trouble, move |comes| {
                        access.trouble(trouble, comes);
                        std::future::ready(Ok(()))
                    })
                })
            }

            /// Says within which time, by the machine's clock, what was asked for shows, or has come to nothing; by default
            /// 20 milliseconds. What a provider does later than that, without being asked, is not seen.
            pub const fn settles_within(mut self, time: release_core::time::Span) -> Self {
                self.common.settle = time;
                self
            }

            pub(crate) fn context(&self) -> release_providers::Context {
                self.common.context()
            }

            pub(crate) fn late_context(&self) -> release_providers::Context {
                self.common.late_context()
            }

            pub(crate) fn far_context(&self) -> release_providers::Context {
                self.common.far_context()
            }

            pub(crate) async fn ends<A>(
                &self,
                what: &str,
                call: impl Future<Output = A>,
            ) -> Result<A, $crate::conformance::Broken> {
                self.common.ends(what, call).await
            }
        }
    };
}
pub(crate) use shared;

/// What cases use of the sandbox of a provider that changes something.
macro_rules! acting {
    ($sandbox:ident) => {
        impl $sandbox {
            pub(crate) async fn linger(&self) {
                self.common.linger().await;
            }

            pub(crate) fn abilities(&self) -> release_providers::Abilities {
                self.provider.describe().abilities
            }

            /// Two writers of one run, of which the second has taken over, and one of another run,
            /// which is in its first epoch.
            pub(crate) fn writers(&self) -> [release_providers::Context; 3] {
                self.common.writers()
            }
        }
    };
}
pub(crate) use acting;
