//! Holds steps back while their environment is frozen.
//!
//! Windows and the instant are inputs. Freezes only ever hold; nothing here can allow a step that
//! another rule forbids.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{EnvironmentId, RegionId, TeamId, Timestamp};
use release_core::plan::StepScope;
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use serde::{Deserialize, Serialize};

/// Longest freeze id, in bytes.
const MAX_LEN: usize = 64;

/// Names a freeze window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FreezeId(String);

/// Text that does not name a freeze window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{value}` is not a freeze id; use up to {MAX_LEN} lower-case ASCII letters, digits, `.`, `_` \
     and `-`, and begin with a letter or digit"
)]
pub struct FreezeIdError {
    /// What was given, cut to 80 characters.
    pub value: String,
}

impl FreezeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FreezeId {
    type Error = FreezeIdError;
    fn try_from(value: String) -> Result<Self, FreezeIdError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = value.len() <= MAX_LEN
            && value.starts_with(plain)
            && value.chars().all(|c| plain(c) || matches!(c, '.' | '_' | '-'));
        if fits {
            Ok(Self(value))
        } else {
            Err(FreezeIdError { value: value.chars().take(80).collect() })
        }
    }
}

impl std::str::FromStr for FreezeId {
    type Err = FreezeIdError;
    fn from_str(value: &str) -> Result<Self, FreezeIdError> {
        Self::try_from(value.to_owned())
    }
}

impl From<FreezeId> for String {
    fn from(id: FreezeId) -> Self {
        id.0
    }
}

impl fmt::Display for FreezeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Freeze windows that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FreezeError {
    /// The window ends before it begins.
    #[error("freeze `{id}` ends at {until}, not after its begin {from}; mend the instants")]
    Empty {
        /// The window.
        id: FreezeId,
        /// Its begin.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// Two windows have one name.
    #[error("there are two freezes `{id}`; rename one")]
    Duplicate {
        /// The name.
        id: FreezeId,
    },
}

/// A time in which nothing is changed: from its begin until just before its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct FreezeWindow(Written);

/// The window as it is written down, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: FreezeId,
    from: Timestamp,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<EnvironmentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<RegionId>,
    owner: TeamId,
    reason: String,
}

impl TryFrom<Written> for FreezeWindow {
    type Error = FreezeError;
    fn try_from(written: Written) -> Result<Self, FreezeError> {
        let Written { id, from, until, .. } = &written;
        if until <= from {
            return Err(FreezeError::Empty { id: id.clone(), from: *from, until: *until });
        }
        Ok(Self(written))
    }
}

impl From<FreezeWindow> for Written {
    fn from(window: FreezeWindow) -> Self {
        window.0
    }
}

impl FreezeWindow {
    /// A freeze of everything in `[from, until)`: at `until` it no longer holds.
    ///
    /// # Errors
    /// [`FreezeError::Empty`] when `until` is not after `from`.
    pub fn new(
        id: FreezeId,
        from: Timestamp,
        until: Timestamp,
        owner: TeamId,
        reason: impl Into<String>,
    ) -> Result<Self, FreezeError> {
        let (environment, region, reason) = (None, None, reason.into());
        Written { id, from, until, environment, region, owner, reason }.try_into()
    }

    /// Narrows the freeze to one environment.
    #[must_use]
    pub fn in_environment(mut self, environment: EnvironmentId) -> Self {
        self.0.environment = Some(environment);
        self
    }

    /// Narrows the freeze to one region.
    #[must_use]
    pub fn in_region(mut self, region: RegionId) -> Self {
        self.0.region = Some(region);
        self
    }

    /// Its name.
    pub const fn id(&self) -> &FreezeId {
        &self.0.id
    }

    /// The first instant at which it holds.
    pub const fn from(&self) -> Timestamp {
        self.0.from
    }

    /// The first instant at which it no longer holds.
    pub const fn until(&self) -> Timestamp {
        self.0.until
    }

    /// Whether it concerns steps of `scope`. A step without an environment is never frozen; one that
    /// concerns all regions is frozen with any of them.
    pub fn concerns(&self, scope: &StepScope) -> bool {
        let Some(place) = scope.place() else { return false };
        let same = self.0.environment.as_ref().is_none_or(|frozen| *frozen == place.environment);
        let region = match (&self.0.region, &place.region) {
            (Some(frozen), Some(region)) => frozen == region,
            (None, _) | (_, None) => true,
        };
        same && region
    }

    /// Whether it holds at `at`.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.0.from <= at && at < self.0.until
    }

    fn reason(&self) -> Reason {
        let Written { id, from, until, owner, reason, .. } = &self.0;
        let text = format!("frozen from {from} until {until}: {reason}");
        Reason::new(format!("freeze/{id}"), text, format!("time, or team {owner}"))
    }
}

/// Freeze windows as a policy: while one holds, no step in its scope starts, except to roll back.
///
/// It never stops a rollback, nor a step that belongs to no environment. Commands are none of its
/// business.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<FreezeWindow>", into = "Vec<FreezeWindow>")]
pub struct FreezeWindows {
    windows: BTreeMap<FreezeId, FreezeWindow>,
}

impl FreezeWindows {
    /// These windows.
    ///
    /// # Errors
    /// [`FreezeError::Duplicate`] when two windows have one name.
    pub fn new(windows: impl IntoIterator<Item = FreezeWindow>) -> Result<Self, FreezeError> {
        let mut named = BTreeMap::new();
        for window in windows {
            let id = window.id().clone();
            if named.insert(id.clone(), window).is_some() {
                return Err(FreezeError::Duplicate { id });
            }
        }
        Ok(Self { windows: named })
    }

    /// The windows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &FreezeWindow> {
        self.windows.values()
    }

    /// The cover of `now`: the first instant after it at which no window holds, and the windows
    /// that hold now or take over before then, by begin and name. `None` when none holds now.
    fn cover(&self, scope: &StepScope, now: Timestamp) -> Option<(Timestamp, Vec<&FreezeWindow>)> {
        let mut ahead: Vec<_> =
            self.iter().filter(|window| window.concerns(scope) && now < window.until()).collect();
        ahead.sort_by_key(|window| (window.from(), window.id()));
        let mut end = now;
        // In the order of their begins, each either joins what is covered so far or ends it.
        let joins = |window: &&FreezeWindow| {
            let joins = window.from() <= end;
            if joins {
                end = end.max(window.until());
            }
            joins
        };
        let chain: Vec<_> = ahead.into_iter().take_while(joins).collect();
        (end > now).then_some((end, chain))
    }
}

impl TryFrom<Vec<FreezeWindow>> for FreezeWindows {
    type Error = FreezeError;
    fn try_from(windows: Vec<FreezeWindow>) -> Result<Self, FreezeError> {
        Self::new(windows)
    }
}

impl From<FreezeWindows> for Vec<FreezeWindow> {
    fn from(freezes: FreezeWindows) -> Self {
        freezes.windows.into_values().collect()
    }
}

impl Policy for FreezeWindows {
    /// Waits while a window holds: until the first instant at which none does, with one reason for
    /// each window on the way there.
    fn admit(&self, request: &Admission<'_>) -> Decision {
        if request.rollback {
            return Decision::Permit;
        }
        match self.cover(&request.step.scope, request.now) {
            None => Decision::Permit,
            Some((end, windows)) => Decision::Wait {
                until: Some(end),
                reasons: windows.into_iter().map(FreezeWindow::reason).collect(),
            },
        }
    }

    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::Permit
    }
}

#[cfg(test)]
mod tests;
