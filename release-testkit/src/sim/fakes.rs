//! The fakes of the SDK in the simulated world: what custom steps act on that name an operation of a capability.
//!
//! Time, loss and crashes are the simulator's. Here is only what is right: the models of the fakes, which have no
//! time, and the way in which the SDK's registry follows what it asked for.

use release_core::model::{StepId, Target};
use release_core::plan::Action;
use release_core::port::EffectError;
use release_core::run::RunState;
use release_providers::ProviderError;
use release_providers::spi::{
    FlagRef, FlagState, JobPhase, JobRef, MigrationPhase, MigrationRef, OpenChange, SetFlag,
    StartBuild, StartTests, UpdateChange,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fakes::model::{BuildRunner, ChangeDesk, FlagStore, Migrator, TestRunner};
use crate::fakes::{Asked, Builds, Changes, FakeFleet, Flags, Migrations, Suites};
use crate::fixtures;

/// How often whoever asked for something looks before it gives up.
const MOST_LOOKS: u32 = 16;

/// The fakes of a simulated world.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fakes {
    /// Flags: `flag_store.set`.
    pub flags: Flags,
    /// Migrations: `migrator.expand` and `migrator.contract`.
    pub migrations: Migrations,
    /// Builds: `build_runner.start` and `build_runner.cancel`.
    pub builds: Builds,
    /// Suites of tests: `test_runner.start` and `test_runner.cancel`.
    pub suites: Suites,
    /// Changes: `change_desk.open` and `change_desk.update`.
    pub changes: Changes,
    /// What reached them, in order.
    pub landed: Vec<Landed>,
}

/// An operation that reached a fake.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Landed {
    /// The call, as an index into the course's.
    pub call: usize,
    /// When, in ticks.
    pub tick: u64,
    /// Its idempotency key.
    pub key: String,
    /// What it changes, in words: two operations on the same have the same.
    pub subject: String,
    /// Whether anything changed.
    pub changed: bool,
    /// Why it came to nothing, if it did.
    pub error: Option<EffectError>,
}

/// What a custom step asks of a fake.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asking {
    Set(SetFlag),
    Expand(MigrationRef),
    Contract(MigrationRef),
    Build(StartBuild),
    CancelBuild(JobRef),
    Test(StartTests),
    CancelTest(JobRef),
    Open(OpenChange),
    Update(UpdateChange),
    /// It names an operation, and its input is not one of it.
    Wrong(String),
}

/// How far what was asked for is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Progress {
    Nothing,
    Underway,
    Done(Value),
    Failed(String),
    /// The answer to the call is all there is to know.
    Untold,
}

impl Asking {
    /// What an action asks of a fake, if it names an operation of one that acts. A reference to another step is
    /// replaced by that step's key.
    pub(super) fn read(action: &Action, key_of: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let Action::Custom { capability, input } = action else { return None };
        let read: fn(&Value) -> Self = match &**capability {
            "flag_store.set" => |input| of(input, Self::Set),
            "migrator.expand" => |input| of(input, Self::Expand),
            "migrator.contract" => |input| of(input, Self::Contract),
            "build_runner.start" => |input| of(input, Self::Build),
            "build_runner.cancel" => |input| of(input, Self::CancelBuild),
            "test_runner.start" => |input| of(input, Self::Test),
            "test_runner.cancel" => |input| of(input, Self::CancelTest),
            "change_desk.open" => |input| of(input, Self::Open),
            "change_desk.update" => |input| of(input, Self::Update),
            _ => return None,
        };
        let step = input.get("step").and_then(Value::as_str);
        let Some(step) = step.filter(|_| input.get("operation").is_none()) else {
            return Some(read(input));
        };
        let Some(key) = key_of(step) else {
            return Some(Self::Wrong(format!("the plan has no step `{step}`")));
        };
        let mut input = input.clone();
        if let Value::Object(fields) = &mut input {
            fields.remove("step");
            fields.insert("operation".into(), key.into());
        }
        Some(read(&input))
    }

    /// The same, where a run stands like this.
    pub(super) fn of(action: &Action, state: &RunState) -> Option<Self> {
        Self::read(action, |step| {
            let step: StepId = step.parse().ok()?;
            let index = state.plan().find(&step)?;
            Some(format!("{}/{step}/{}", state.run(), state.generation(index)))
        })
    }

    /// What it changes, if it is asked under this key.
    pub(super) fn subject(&self, key: &str) -> String {
        let migration = |target: &Target, name: &str| format!("migration {name} of {target}");
        match self {
            Self::Set(set) => format!("flag {} in {}", set.flag, set.environment),
            Self::Expand(at) | Self::Contract(at) => migration(&at.target, &at.migration),
            Self::Build(_) => format!("build {key}"),
            Self::CancelBuild(job) => format!("build {}", job.operation),
            Self::Test(_) => format!("tests {key}"),
            Self::CancelTest(job) => format!("tests {}", job.operation),
            Self::Open(_) => format!("change {key}"),
            Self::Update(update) => format!("change {}", update.operation),
            Self::Wrong(_) => key.to_owned(),
        }
    }
}

fn of<T: DeserializeOwned>(input: &Value, asking: fn(T) -> Asking) -> Asking {
    T::deserialize(input).map_or_else(|error| Asking::Wrong(error.to_string()), asking)
}

/// Does it, and tells whether that changed anything.
fn changes<M: Clone + PartialEq>(
    model: &mut M,
    act: impl FnOnce(&mut M) -> Result<(), ProviderError>,
) -> (bool, Option<ProviderError>) {
    let before = model.clone();
    let error = act(model).err();
    (*model != before, error)
}

impl Fakes {
    /// As a fleet's are now.
    pub(super) fn of(fleet: &FakeFleet) -> Self {
        Self {
            flags: fleet.flags.with(|flags| flags.clone()),
            migrations: fleet.migrator.with(|migrations| migrations.clone()),
            builds: fleet.builds.with(|builds| builds.clone()),
            suites: fleet.tests.with(|suites| suites.clone()),
            changes: fleet.changes.with(|changes| changes.clone()),
            landed: Vec::new(),
        }
    }

    /// An operation reaches its fake, which forgets, or not, what it did under which key.
    pub(super) fn land(
        &mut self,
        (call, tick): (usize, u64),
        (key, asking): (&str, &Asking),
        forgets: bool,
    ) {
        let known = self.landed.iter().filter(|landed| landed.key == key).count();
        let cx = match known {
            1.. if forgets => fixtures::context(&format!("{key}~{known}")),
            _ => fixtures::context(key),
        };
        let asked = Asked::at_once(&cx, "simulated");
        let (changed, error) = self.act(&asked, asking.clone());
        let (key, subject) = (key.to_owned(), asking.subject(key));
        let error = error.map(ProviderError::into_effect_error);
        self.landed.push(Landed { call, tick, key, subject, changed, error });
    }

    fn act(&mut self, asked: &Asked<'_>, asking: Asking) -> (bool, Option<ProviderError>) {
        use Asking as A;
        match asking {
            A::Set(set) => changes(&mut self.flags, |flags| flags.set(asked, set)),
            A::Expand(at) => changes(&mut self.migrations, |all| all.expand(asked, at)),
            A::Contract(at) => changes(&mut self.migrations, |all| all.contract(asked, at)),
            A::Build(start) => changes(&mut self.builds, |builds| builds.start(asked, start)),
            A::CancelBuild(job) => changes(&mut self.builds, |builds| builds.cancel(asked, job)),
            A::Test(start) => changes(&mut self.suites, |suites| suites.start(asked, start)),
            A::CancelTest(job) => changes(&mut self.suites, |suites| suites.cancel(asked, job)),
            A::Open(open) => changes(&mut self.changes, |desk| desk.open(asked, open)),
            A::Update(update) => changes(&mut self.changes, |desk| desk.update(asked, update)),
            A::Wrong(problem) => {
                let kind = release_providers::ErrorKind::Invalid;
                (false, Some(asked.error(kind, problem)))
            }
        }
    }

    /// One look at how far it is, which what is under way may take for its end.
    pub(super) fn look(&mut self, key: &str, asking: &Asking) -> Progress {
        let cx = fixtures::context(key);
        let asked = Asked::at_once(&cx, "simulated");
        let job = || JobRef::new(key.to_owned());
        let found = match asking {
            Asking::Set(set) => self.flag(&asked, set),
            Asking::Expand(at) | Asking::Contract(at) => {
                let contract = matches!(asking, Asking::Contract(_));
                let status = self.migrations.observe(&asked, at.clone());
                status.map(|status| migrated(status.phase, contract))
            }
            Asking::Build(_) => {
                let status = self.builds.observe(&asked, job());
                status.map(|status| of_job(status.phase, json!(status.artifacts)))
            }
            Asking::Test(_) => {
                let status = self.suites.observe(&asked, job());
                status.map(|status| of_job(status.phase, json!(status.cases.len())))
            }
            Asking::Open(_) => self.changes.observe(&asked, job()).map(|status| {
                status.ticket.map_or(Progress::Nothing, |ticket| Progress::Done(json!(ticket)))
            }),
            Asking::CancelBuild(_)
            | Asking::CancelTest(_)
            | Asking::Update(_)
            | Asking::Wrong(_) => Ok(Progress::Untold),
        };
        // Whatever cannot be looked at was not done.
        found.unwrap_or(Progress::Nothing)
    }

    fn flag(&mut self, asked: &Asked<'_>, set: &SetFlag) -> Result<Progress, ProviderError> {
        let wanted: FlagState = set.state;
        let flag = FlagRef::new(set.flag.clone(), set.environment.clone());
        let status = self.flags.observe(asked, flag)?;
        let is = status.state == wanted;
        Ok(if is { Progress::Done(json!(status.revision)) } else { Progress::Nothing })
    }

    /// What whoever asked hears: of this call, or of any under the key. It follows what is under way to its end.
    pub(super) fn follow(
        &mut self,
        call: Option<usize>,
        (key, asking): (&str, &Asking),
    ) -> Result<Value, EffectError> {
        let of_it =
            |landed: &&Landed| landed.key == key && call.is_none_or(|number| landed.call == number);
        let landed = self.landed.iter().rfind(of_it).cloned();
        let nobody_knows = || EffectError::unknown("no_sign", "there is no sign of it");
        if let Some(Landed { error: Some(error), .. }) = landed {
            return Err(error);
        }
        for _ in 0..MOST_LOOKS {
            match self.look(key, asking) {
                Progress::Done(output) => return Ok(output),
                Progress::Failed(reason) => return Err(EffectError::permanent("failed", reason)),
                Progress::Untold if landed.is_some() => return Ok(Value::Null),
                Progress::Untold => break,
                Progress::Nothing | Progress::Underway => {}
            }
        }
        Err(nobody_knows())
    }

    /// Whether it is as this asks for, now that all is over.
    pub(super) fn is_so(&self, key: &str, asking: &Asking) -> bool {
        let mut seen = self.clone();
        let (cx, over) = (fixtures::context(key), JobPhase::is_over);
        let asked = Asked::at_once(&cx, "simulated");
        match asking {
            Asking::CancelBuild(job) => {
                seen.builds.observe(&asked, job.clone()).is_ok_and(|status| over(&status.phase))
            }
            Asking::CancelTest(job) => {
                seen.suites.observe(&asked, job.clone()).is_ok_and(|status| over(&status.phase))
            }
            Asking::Update(update) => {
                let status = seen.changes.observe(&asked, JobRef::new(update.operation.clone()));
                status.is_ok_and(|status| status.state == Some(update.state))
            }
            asking => matches!(seen.look(key, asking), Progress::Done(_)),
        }
    }

    /// The keys under which there is something: builds, suites and changes.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let builds = self.builds.jobs.started().map(|(key, _)| key);
        let suites = self.suites.jobs.started().map(|(key, _)| key);
        builds.chain(suites).chain(self.changes.operations())
    }
}

fn migrated(phase: MigrationPhase, contract: bool) -> Progress {
    use MigrationPhase as P;
    match (phase, contract) {
        (P::Expanded, false) => Progress::Done(json!("expanded")),
        (P::Contracted, true) => Progress::Done(json!("contracted")),
        (P::Expanding, _) | (P::Contracting, true) => Progress::Underway,
        (P::Contracting | P::Contracted, false) => Progress::Failed("it is contracted".into()),
        (P::Failed { reason }, _) => Progress::Failed(reason),
        _ => Progress::Nothing,
    }
}

fn of_job(phase: JobPhase, made: Value) -> Progress {
    match phase {
        JobPhase::Unknown => Progress::Nothing,
        JobPhase::Running => Progress::Underway,
        JobPhase::Succeeded => Progress::Done(made),
        JobPhase::Failed { reason } => Progress::Failed(reason),
        _ => Progress::Failed("somebody cancelled it".into()),
    }
}
