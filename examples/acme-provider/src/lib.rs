//! Flags in files: `DIRECTORY/ENVIRONMENT/FLAG` holds `[{"state":"off"},1]`, the state and the revision of a flag, and third
//! who killed it and why, while it is killed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use release_providers::model::EnvironmentId;
use release_providers::spi::{FlagRef, FlagState, FlagStatus, FlagStore, KillFlag, SetFlag};
use release_providers::{
    Clock, Context, Description, EffectCertainty, EffectClass, ErrorKind, ProviderError, Version,
    async_trait, serde_json,
};

/// A flag store whose flags are files. One process at a time has the directory; readers do no harm.
pub struct FileFlags {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    turn: Mutex<()>,
}

impl std::fmt::Debug for FileFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileFlags") // where they are is nobody's business
    }
}

impl FileFlags {
    /// The flags in `root`; deadlines are read on `clock`.
    pub fn open(root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { root: root.into(), clock, turn: Mutex::default() }
    }

    fn read(
        &self,
        operation: &'static str,
        flag: &str,
        environment: &EnvironmentId,
    ) -> Result<(PathBuf, FlagState, u64, Option<String>), ProviderError> {
        let error = |kind, text| ProviderError::new(kind, operation, text);
        let plain = flag.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let path = self.root.join(environment.as_str()).join(flag);
        if self.root.is_dir() && !(plain && path.is_file()) {
            let missing = error(ErrorKind::NotFound, "there is no such flag");
            return Err(missing.with_context("flag", flag));
        }
        let text = fs::read_to_string(&path)
            .map_err(|e| error(ErrorKind::Unavailable, "the flag cannot be read").with_source(e))?;
        let killed = serde_json::from_str(&text).map(|(s, r, killed)| (s, r, Some(killed)));
        let alive = || serde_json::from_str(&text).map(|(state, revision)| (state, revision, None));
        let (state, revision, killed) = killed.or_else(|_| alive()).map_err(|e| {
            error(ErrorKind::Corrupt, "the file of the flag is damaged").with_source(e)
        })?;
        Ok((path, state, revision, killed))
    }

    fn write(
        &self,
        operation: &'static str,
        path: &Path,
        text: &serde_json::Value,
    ) -> Result<(), ProviderError> {
        replace(path, &text.to_string()).map_err(|e| {
            let unsure =
                ProviderError::new(ErrorKind::Unavailable, operation, "it may be unwritten");
            unsure.with_source(e).with_effect(EffectCertainty::Unknown)
        })
    }
}

#[async_trait]
impl FlagStore for FileFlags {
    fn describe(&self) -> Description {
        Description::new("acme-flags", Version::new(1, 0, 0), EffectClass::Idempotent)
    }

    async fn set(&self, cx: &Context, request: SetFlag) -> Result<(), ProviderError> {
        const SET: &str = "acme-flags.set";
        cx.check(SET, self.clock.now())?;
        let error = |kind, text| ProviderError::new(kind, SET, text);
        if matches!(request.state, FlagState::Share { percent: 101.. }) {
            return Err(error(ErrorKind::Invalid, "a share is of a hundred"));
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, state, revision, killed) =
            self.read(SET, &request.flag, &request.environment)?;
        if state == request.state && !(request.revive && killed.is_some()) {
            return Ok(()); // also to who asks again for what is done, and expects the revision of before
        }
        if killed.is_some() && !request.revive {
            return Err(error(ErrorKind::Conflict, "it was killed; revive it on purpose"));
        }
        if request.expected.is_some_and(|expected| expected != revision) {
            let changed = error(ErrorKind::Conflict, "somebody else changed it; look again");
            return Err(changed.with_context("revision", revision));
        }
        self.write(SET, &path, &serde_json::json!([request.state, revision + 1]))
    }

    async fn kill(&self, cx: &Context, request: KillFlag) -> Result<(), ProviderError> {
        const KILL: &str = "acme-flags.kill";
        cx.check(KILL, self.clock.now())?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, _, revision, killed) = self.read(KILL, &request.flag, &request.environment)?;
        if killed.is_some() {
            return Ok(());
        }
        let text = serde_json::json!([FlagState::Off, revision + 1, request.reason]);
        self.write(KILL, &path, &text)
    }

    async fn observe(&self, cx: &Context, request: FlagRef) -> Result<FlagStatus, ProviderError> {
        const OBSERVE: &str = "acme-flags.observe";
        cx.check(OBSERVE, self.clock.now())?;
        let (_, state, revision, killed) =
            self.read(OBSERVE, &request.flag, &request.environment)?;
        let mut status = FlagStatus::new(request.flag, request.environment, state, revision);
        status.killed = killed;
        Ok(status)
    }
}

/// All or nothing, and for good once it returns: whoever reads sees the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new"); // no flag has a dot in its name
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
