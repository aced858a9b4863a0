//! Sets everything up on this machine: platform, registry, journal, engine.

use std::sync::Arc;

use release_core::engine::{Engine, EngineError, RunHandle, Settled, SystemClock};
use release_core::model::{Definition, Principal, Span, Target};
use release_core::plan::{Plan, Planner};
use release_core::port::Clock;
use release_core::report::RunReport;
use release_core::run::{Awaiting, Command, Directive};
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::{ArtifactStore as _, PutArtifact};
use release_providers::sqlite::{SqliteJournal, SqliteOptions};
use release_providers::{Context, ProviderSelector, Registry};

use crate::options::Options;
use crate::train::{GO_LIVE, REGIONS, SERVICES, Versions};
use crate::view::View;
use crate::{Failure, demo, say};

pub(crate) struct Stage {
    pub(crate) platform: LocalPlatform,
    pub(crate) versions: Versions,
    engine: Engine,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    plain: bool,
}

impl Stage {
    /// Builds the services, opens the platform (which adopts what still runs), and an engine over a
    /// journal in a file.
    pub(crate) async fn set(options: &Options) -> Result<Self, Failure> {
        let root = options.dir.join("platform");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        if !options.resume {
            // What an earlier play left behind: first its processes, then its files.
            LocalPlatform::open(LocalConfig::new(&root, Arc::clone(&clock)))
                .await?
                .destroy()
                .await?;
            std::fs::remove_dir_all(&root)?;
            for name in
                ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db-head", "report.html"]
            {
                match std::fs::remove_file(options.dir.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
        }
        let built = demo::build(&options.services).await?;
        let platform = LocalPlatform::open(LocalConfig::new(&root, Arc::clone(&clock))).await?;
        let mut versions = Versions::new();
        let cx = context(&clock, "set-up")?;
        for service in SERVICES {
            for (version, path) in &built {
                let request = PutArtifact::new(service.parse()?, std::fs::read(path)?);
                versions.insert((service, version), platform.put(&cx, request).await?);
            }
        }
        let shared = Arc::new(platform.clone());
        let registry = Registry::builder(Arc::clone(&clock))
            .platform(ProviderSelector::everywhere(), Arc::clone(&shared))
            .artifacts(Arc::<LocalPlatform>::clone(&shared))
            .notifier("ops".parse()?, shared)
            .build()
            .map_err(|errors| format!("{errors:?}"))?;
        let known = if options.resume && has_run(&root) {
            SqliteOptions::default().must_exist()
        } else {
            SqliteOptions::default()
        };
        let journal = SqliteJournal::open_with(options.dir.join("journal.db"), known)?;
        let registry = Arc::new(registry);
        let performer = Arc::<Registry>::clone(&registry);
        let engine = Engine::builder(Arc::new(journal), performer).name("quickstart").build();
        Ok(Self { platform, versions, engine, registry, clock, plain: options.plain })
    }

    /// Whether a run was begun, now or by a process before this one.
    pub(crate) async fn has_begun(&self, name: &str) -> Result<bool, Failure> {
        match self.engine.load(&name.parse()?).await {
            Ok(_) => Ok(true),
            Err(EngineError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a release to its end, or resumes it where it was left, and reports on it.
    pub(crate) async fn release(
        &self,
        name: &str,
        definition: &Definition,
    ) -> Result<RunReport, Failure> {
        let run = name.parse()?;
        let before = match self.engine.load(&run).await {
            Ok((history, _)) => history.facts().len() as u64,
            Err(_) => 0, // whatever is wrong with it, resuming says so
        };
        let handle = match self.engine.resume(&run).await {
            Ok(handle) => {
                say(&format!("run {name} goes on where it was"));
                handle
            }
            Err(EngineError::NotFound { .. }) => {
                let plan = Planner::new().plan(definition)?;
                say(&format!("run {name}: {} steps", plan.steps().len()));
                self.is_watched(&plan).await?;
                self.engine.start(run, plan, Principal::human("ada".parse()?)).await?
            }
            Err(error) => return Err(error.into()),
        };
        let view = View::follow(&handle, before, self.plain).await;
        self.see_through(&handle).await?;
        view.close().await;
        let (history, plan) = self.engine.load(handle.run()).await?;
        Ok(RunReport::new(&history, plan)?)
    }

    /// Sees before anything moves that whatever may stop the release can be judged by what is measured now. The load has only
    /// just begun, so this is asked again for a while.
    async fn is_watched(&self, plan: &Plan) -> Result<(), Failure> {
        let give_up = self.clock.now().plus(Span::secs(20));
        loop {
            match self.registry.observable(&self.context("before")?, plan).await {
                Ok(first) => {
                    let measured = plan.criteria().len();
                    say(&format!(
                        "its {measured} criteria can be judged; nothing serves yet in {} places",
                        first.len()
                    ));
                    return Ok(());
                }
                Err(problems) if self.clock.now() >= give_up => {
                    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
                    return Err(
                        format!("nobody would watch the release: {}", told.join("; ")).into()
                    );
                }
                Err(_) => self.clock.sleep_until(self.clock.now().plus(Span::millis(200))).await,
            }
        }
    }

    /// Waits for the end, and approves what waits for an approval, as a release manager would.
    async fn see_through(&self, handle: &RunHandle) -> Result<(), Failure> {
        loop {
            match handle.settled().await? {
                Settled::Finished(_) => return Ok(()),
                Settled::NeedsPerson(awaiting)
                    if awaiting == [Awaiting::Approval(GO_LIVE.parse()?)] =>
                {
                    let grace =
                        Principal::human("grace".parse()?).with_role("release-manager".parse()?);
                    let approve = Command::Approve { gate: GO_LIVE.parse()? };
                    handle.send(Directive::new(approve, grace, "staging looks good")).await?;
                }
                Settled::NeedsPerson(awaiting) => {
                    return Err(format!("the run waits for {awaiting:?}").into());
                }
            }
        }
    }

    /// Every production target and where it is served.
    pub(crate) fn production(&self) -> Result<Vec<(Target, std::net::SocketAddr)>, Failure> {
        let mut all = Vec::new();
        for region in REGIONS {
            for service in SERVICES {
                let target = Target::new("production".parse()?, region.parse()?, service.parse()?);
                let address =
                    self.platform.address(&target).ok_or("a target without an address")?;
                all.push((target, address));
            }
        }
        Ok(all)
    }

    pub(crate) fn context(&self, key: &str) -> Result<Context, Failure> {
        context(&self.clock, key)
    }

    /// Stops the engine and every process, and closes every port.
    pub(crate) async fn clear(self) -> Result<(), Failure> {
        self.engine.shutdown().await;
        Ok(self.platform.destroy().await?)
    }
}

/// Whether a run has ever called the platform, which keeps a fence for each: then there was a journal.
/// A play that was killed before that may not have made one yet.
fn has_run(root: &std::path::Path) -> bool {
    let fences = std::fs::read_dir(root.join("fences"));
    fences.is_ok_and(|mut entries| entries.next().is_some())
}

fn context(clock: &Arc<dyn Clock>, key: &str) -> Result<Context, Failure> {
    let deadline = clock.now().plus(Span::secs(30));
    Ok(Context::new(key, deadline, Principal::service("quickstart".parse()?)))
}
