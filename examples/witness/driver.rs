//! The process that is killed: an engine over SQLite, whose effects are brought about by the witness.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::engine::{Engine, SystemClock};
use release_core::model::{Principal, RunId, Span};
use release_core::plan::{Action, EdgeKind, Plan, RetryPolicy, Step, Undo};
use release_core::run::Outcome;
use release_providers::spi::{CustomAction, CustomOutput, CustomRequest, CustomStatus};
use release_providers::sqlite::SqliteJournal;
use release_providers::{Context, Description, EffectClass, ErrorKind, ProviderError, Registry};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::{Problem, RUNS, STEPS};

/// Asks the witness for effects.
#[derive(Debug)]
struct Witnessed {
    address: String,
}

impl Witnessed {
    async fn ask(&self, request: &str, key: &str) -> Result<String, ProviderError> {
        let lost = |error: std::io::Error| {
            ProviderError::new(ErrorKind::Timeout, "witness", error.to_string())
        };
        let mut stream = TcpStream::connect(&self.address).await.map_err(lost)?;
        stream.write_all(format!("{request} {key}\n").as_bytes()).await.map_err(lost)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.map_err(lost)?;
        Ok(line.trim_end().to_owned())
    }
}

#[async_trait]
impl CustomAction for Witnessed {
    fn describe(&self) -> Description {
        Description::new("witness", semver::Version::new(1, 0, 0), EffectClass::Queryable)
    }

    async fn perform(&self, cx: &Context, _: CustomRequest) -> Result<CustomOutput, ProviderError> {
        match self.ask("do", &cx.key).await?.as_str() {
            "done" => Ok(CustomOutput::new(Value::Null)),
            other => {
                let text = format!("the witness said `{other}`");
                Err(ProviderError::new(ErrorKind::Timeout, "witness", text))
            }
        }
    }

    async fn observe(&self, cx: &Context, _: CustomRequest) -> Result<CustomStatus, ProviderError> {
        let seen = self.ask("seen", &cx.key).await? == "yes";
        Ok(CustomStatus::new(seen.then(|| CustomOutput::new(Value::Null))))
    }
}

/// Resumes whatever is open, starts what was never started, and says goodbye once all is done.
pub(crate) fn drive(address: &str, journal: &Path) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let witness = Arc::new(Witnessed { address: address.to_owned() });
        let registry = Registry::builder(Arc::new(SystemClock::new()))
            .custom("witnessed", Arc::clone(&witness) as Arc<dyn CustomAction>)
            .build()
            .map_err(|errors| format!("{errors:?}"))?;
        let journal = Arc::new(SqliteJournal::open(journal)?);
        let engine = Engine::builder(journal, Arc::new(registry)).build();
        let mut handles = Vec::new();
        for number in 0..RUNS {
            let run: RunId = format!("run-{number}").parse()?;
            let handle = match engine.resume(&run).await {
                Err(release_core::engine::EngineError::NotFound { .. }) => {
                    engine.start(run, plan(number)?, Principal::service("witness".parse()?)).await?
                }
                resumed => resumed?,
            };
            handles.push(handle);
        }
        for handle in handles {
            let outcome = handle.wait().await?;
            if outcome != Outcome::Succeeded {
                return Err(format!("{} ended otherwise: {outcome}", handle.run()).into());
            }
        }
        engine.shutdown().await;
        witness.ask("bye", "all").await?;
        Ok(())
    })
}

/// Half of the runs are linear, the others do three steps at once.
fn plan(number: usize) -> Result<Plan, Problem> {
    let mut plan = Plan::builder("witness".parse()?, format!("r-{number}").parse()?);
    let width = if number.is_multiple_of(2) { 1 } else { 3 };
    let mut indices = Vec::new();
    for step in 0..STEPS {
        let action = Action::Custom { capability: "witnessed".into(), input: Value::Null };
        let undo = Undo::point_of_no_return("the witness forgets nothing", "lead".parse()?);
        let mut step = Step::new(format!("step-{step}").parse()?, action).undo(undo);
        (step.retry, step.timeout) = (RetryPolicy::attempts(5), Span::secs(30));
        indices.push(plan.step(step));
    }
    for (before, after) in indices.iter().zip(indices.iter().skip(width)) {
        plan.edge(*before, *after, EdgeKind::Order);
    }
    Ok(plan.build()?)
}
