//! A call of a provider: in process, through the layers, across the plugin boundary, and beside it a bare tonic call
//! over the same kind of socket, with messages of as many bytes.

mod bare;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use release_core::model::{Digest, EnvironmentId};
use release_providers::layer::{CallObserver, CallRecord, Layers, Redactor, Retrying, Shielding};
use release_providers::plugin::host::{Host, Plugin, PluginSpec};
use release_providers::spi::{FlagRef, FlagState, FlagStatus, FlagStore, KillFlag, SetFlag};
use release_providers::{
    Clock as _, Context, Description, EffectClass, ProviderError, Secret, Span, SystemClock,
    Version, async_trait,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

pub use self::bare::{Bare, serve_bare};
use crate::{Failure, requester, timed};

/// A flag store that only answers.
#[derive(Debug)]
pub struct Answers;

#[async_trait]
impl FlagStore for Answers {
    fn describe(&self) -> Description {
        Description::new("answers", Version::new(1, 0, 0), EffectClass::Idempotent)
    }

    async fn set(&self, _: &Context, _: SetFlag) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn kill(&self, _: &Context, _: KillFlag) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn observe(&self, _: &Context, request: FlagRef) -> Result<FlagStatus, ProviderError> {
        Ok(FlagStatus::new(request.flag, request.environment, FlagState::On, 7))
    }
}

/// Somebody who is told of every call, and forgets it.
#[derive(Debug)]
struct Forgets;

impl CallObserver for Forgets {
    fn observed(&self, _: &CallRecord<'_>) {}
}

/// The provider, with layers that do as little as they can.
pub fn with_default_layers() -> Arc<dyn FlagStore> {
    Arc::new(
        Layers::new(Arc::new(SystemClock::new())).wrap(Arc::new(Answers) as Arc<dyn FlagStore>),
    )
}

/// The provider, with all layers but the tape, which would grow.
pub fn with_all_layers() -> Arc<dyn FlagStore> {
    let redactor = Redactor::default();
    redactor.learn(&Secret::new("a secret of the benchmark"));
    let layers = Layers::new(Arc::new(SystemClock::new()))
        .shielding(Shielding::default())
        .retrying(Retrying::attempts(3))
        .attempt_timeout(Duration::from_secs(5))
        .redacting(redactor)
        .observer(Arc::new(Forgets));
    Arc::new(layers.wrap(Arc::new(Answers) as Arc<dyn FlagStore>))
}

/// What calls are made with.
#[derive(Debug, Clone)]
pub struct Question {
    cx: Context,
    request: FlagRef,
}

impl Question {
    /// One with an hour of time.
    ///
    /// # Errors
    /// None that is known.
    pub fn new() -> Result<Self, Failure> {
        let deadline = SystemClock::new().now().plus(Span::secs(3_600));
        let production: EnvironmentId = "production".parse()?;
        let cx = Context::new("run-1/shop/flag-on/1", deadline, requester()?);
        Ok(Self { cx, request: FlagRef::new("dark-mode".to_owned(), production) })
    }

    /// Asks once.
    ///
    /// # Errors
    /// The provider's.
    pub async fn ask(&self, provider: &dyn FlagStore) -> Result<FlagStatus, Failure> {
        Ok(provider.observe(&self.cx, self.request.clone()).await?)
    }
}

/// Something that answers calls.
pub trait Answering: Clone + Send + Sync + 'static {
    /// Makes one call.
    fn call(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A provider and what it is asked.
#[derive(Debug, Clone)]
pub struct Asked(pub Arc<dyn FlagStore>, pub Question);

impl Answering for Asked {
    async fn call(&self) -> Result<(), Failure> {
        let Self(provider, question) = self;
        question.ask(&**provider).await.map(drop)
    }
}

/// How long `calls` calls take, one after the other.
///
/// # Errors
/// The first of a call.
pub async fn in_turn(to: &impl Answering, calls: u64) -> Result<Duration, Failure> {
    let (took, result) = timed(async {
        for _ in 0..calls {
            to.call().await?;
        }
        Ok(())
    })
    .await;
    result.map(|()| took)
}

/// How long `calls` calls take, by 32 callers at once.
///
/// # Errors
/// The first of a call.
pub async fn at_once(to: &impl Answering, calls: u64) -> Result<Duration, Failure> {
    const CALLERS: u64 = 32;
    let (took, result) = timed(async {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (to, share) = (to.clone(), calls / CALLERS + u64::from(caller < calls % CALLERS));
            callers.spawn(async move {
                for _ in 0..share {
                    to.call().await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(done) = callers.join_next().await {
            done??;
        }
        Ok(())
    })
    .await;
    result.map(|()| took)
}

/// Plugins and bare servers of one directory.
#[derive(Debug)]
pub struct Bench {
    folder: TempDir,
    host: Host,
}

impl Bench {
    /// An empty one.
    ///
    /// # Errors
    /// When there is no place for temporary files.
    pub fn new() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let host = Host::new(Arc::new(SystemClock::new()), folder.path());
        Ok(Self { folder, host })
    }

    /// Where files may be made.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a plugin is started by: its digest is that of what is there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn spec(&self, binary: &Path, args: &[&str]) -> Result<PluginSpec, Failure> {
        let digest = Digest::of(&std::fs::read(binary)?);
        let mut spec = PluginSpec::new("bench", binary.to_owned(), digest);
        spec.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        Ok(spec)
    }

    /// Starts a plugin.
    ///
    /// # Errors
    /// When it cannot be started, or is no flag store.
    pub async fn plugin(&self, spec: PluginSpec) -> Result<(Plugin, Asked), Failure> {
        let plugin = Plugin::start(&self.host, spec).await?;
        let flags = plugin.flag_store()?;
        Ok((plugin, Asked(flags, Question::new()?)))
    }

    /// Starts a bare server.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn bare(&self, binary: &Path) -> Result<Bare, Failure> {
        Bare::start(binary, self.socket()).await
    }

    /// How long it takes from nothing to a plugin's first answer.
    ///
    /// # Errors
    /// Those of the start and of the call.
    pub async fn cold_plugin(&self, spec: &PluginSpec) -> Result<Duration, Failure> {
        let (took, started) = timed(async {
            let (plugin, asked) = self.plugin(spec.clone()).await?;
            asked.call().await.map(|()| plugin)
        })
        .await;
        started?.shutdown().await;
        Ok(took)
    }

    /// How long it takes from nothing to a bare server's first answer.
    ///
    /// # Errors
    /// Those of the start and of the call.
    pub async fn cold_bare(&self, binary: &Path) -> Result<Duration, Failure> {
        let (took, started) = timed(async {
            let bare = self.bare(binary).await?;
            bare.call().await.map(|()| bare)
        })
        .await;
        drop(started?);
        Ok(took)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("bare.sock")
    }
}
