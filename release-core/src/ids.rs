//! Validated names: one newtype for each kind of thing, so that an environment can never be passed
//! where a service is meant.
//!
//! All ids share one alphabet (lower-case ASCII letters, digits, `.`, `_`, `-`), which rules out
//! look-alike characters, path traversal and template injection at the door. Ids that are paths, such
//! as those of steps, are made of such names with `/` between them: `a/`, `a//b` and `a/../b` are none.

use std::borrow::Cow;
use std::sync::Arc;

/// Longest id accepted, in bytes.
pub const MAX_ID_LEN: usize = 64;
/// Longest step id accepted, in bytes; step ids are paths made of other ids.
pub const MAX_STEP_ID_LEN: usize = 320;

/// An id that breaks the rules, with what is wrong and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {kind}: {problem}")]
pub struct IdError {
    /// The kind of id that was expected, for example `service id`.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub value: String,
    /// What is wrong with it.
    pub problem: IdProblem,
}

/// What is wrong with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdProblem {
    /// It has no characters.
    #[error("it is empty; give it a name")]
    Empty,
    /// It is longer than the limit.
    #[error("it is longer than {0} characters; shorten it")]
    TooLong(usize),
    /// It begins with something other than a letter or digit.
    #[error("it must begin with a lower-case letter or a digit")]
    BadStart,
    /// It is a path, and one of its parts is empty or begins with something else.
    #[error("each part between `/` must begin with a lower-case letter or a digit")]
    BadPart,
    /// It holds a character outside the alphabet.
    #[error("`{0}` is not allowed; use lower-case ASCII letters, digits, `.`, `_` and `-`")]
    BadCharacter(char),
}

pub(crate) fn check_id(
    kind: &'static str,
    value: &str,
    max: usize,
    path: bool,
) -> Result<(), IdError> {
    if value.len() <= max && is_id(value, path) {
        return Ok(());
    }
    let problem = if value.is_empty() {
        Some(IdProblem::Empty)
    } else if value.len() > max {
        Some(IdProblem::TooLong(max))
    } else if !starts_well(value) {
        Some(IdProblem::BadStart)
    } else if let Some(bad) = value.chars().find(|c| !allowed(*c, path)) {
        Some(IdProblem::BadCharacter(bad))
    } else {
        value.split('/').any(|part| !starts_well(part)).then_some(IdProblem::BadPart)
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(IdError { kind, value: value.chars().take(80).collect(), problem }),
    }
}

/// Whether all is well with `value` but for its length, in one go: large plans make millions of ids.
fn is_id(value: &str, path: bool) -> bool {
    let mut begins = true;
    for byte in value.bytes() {
        let starts = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let within = matches!(byte, b'.' | b'_' | b'-') || (path && byte == b'/');
        if !starts && (begins || !within) {
            return false;
        }
        begins = byte == b'/';
    }
    !begins
}

fn starts_well(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
}

const fn allowed(c: char, path: bool) -> bool {
    c.is_ascii_lowercase()
        || c.is_ascii_digit()
        || matches!(c, '.' | '_' | '-')
        || (path && c == '/')
}

macro_rules! id_type {
    ($($(#[$doc:meta])* $name:ident($kind:literal, $max:expr, $path:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `value` and makes an id of it.
            ///
            /// # Errors
            /// [`IdError`] names the first rule that `value` breaks.
            pub fn new(value: impl AsRef<str>) -> Result<Self, IdError> {
                let value = value.as_ref();
                check_id($kind, value, $max, $path)?;
                Ok(Self(Arc::from(value)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;
            fn try_from(value: &str) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = String::deserialize(deserializer)?;
                Self::new(value).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern = if $path {
                    "^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$"
                } else {
                    "^[a-z0-9][a-z0-9._-]*$"
                };
                schemars::json_schema!({ "type": "string", "maxLength": $max, "pattern": pattern })
            }
        }
    )*};
}

id_type! {
    /// Names an activity of a release calendar: work of one team.
    ActivityId("activity id", MAX_ID_LEN, false);
    /// Names an analysis: a judgement over metrics.
    AnalysisId("analysis id", MAX_ID_LEN, false);
    /// Names an artifact, without tag or digest.
    ArtifactName("artifact name", 160, true);
    /// Names something that holds a train until it is mended.
    BlockerId("blocker id", MAX_ID_LEN, false);
    /// Names a build: what one recipe makes of one repository.
    BuildId("build id", MAX_ID_LEN, false);
    /// Names a calendar of holidays.
    CalendarId("calendar id", MAX_ID_LEN, false);
    /// Names a channel that a notifier can reach.
    ChannelId("channel id", MAX_ID_LEN, false);
    /// Names a kind of deliverable, for example `library`.
    DeliverableId("deliverable id", MAX_ID_LEN, false);
    /// Names an environment, for example `production`.
    EnvironmentId("environment id", MAX_ID_LEN, false);
    /// Names a gate; unique in a plan. Gates of stages are paths such as `production/cab`.
    GateId("gate id", MAX_STEP_ID_LEN, true);
    /// Names a hook: something outside that a rollout calls at one of its points.
    HookId("hook id", MAX_ID_LEN, false);
    /// Names a hotfix: an urgent change between two departures of a train.
    HotfixId("hotfix id", MAX_ID_LEN, false);
    /// Names a feature or a fix that a release is to contain.
    ItemId("item id", MAX_ID_LEN, false);
    /// Names a limit of concurrency or a quota.
    LimitId("limit id", MAX_ID_LEN, false);
    /// Names what the business wants of a release.
    ObjectiveId("objective id", MAX_ID_LEN, false);
    /// Names a person or a machine that acts.
    PrincipalId("principal id", MAX_ID_LEN, false);
    /// Names a region of an environment.
    RegionId("region id", MAX_ID_LEN, false);
    /// Names a release: one intent to make a version set live.
    ReleaseId("release id", MAX_ID_LEN, false);
    /// Names a role that a principal can have.
    RoleId("role id", MAX_ID_LEN, false);
    /// Names one execution of a plan.
    RunId("run id", MAX_ID_LEN, false);
    /// Names a semaphore: something that services share and not all may use at once.
    SemaphoreId("semaphore id", MAX_ID_LEN, false);
    /// Names a deployable service.
    ServiceId("service id", MAX_ID_LEN, false);
    /// Names a sign-off that a release needs.
    SignOffId("sign-off id", MAX_ID_LEN, false);
    /// Names a source of metrics, where there are several.
    SourceId("source id", MAX_ID_LEN, false);
    /// Names a step; unique in a plan. It is a path such as `production/eu/api/weight-10`.
    StepId("step id", MAX_STEP_ID_LEN, true);
    /// Names a stop of a train: a group of regions that get it together.
    StopId("stop id", MAX_ID_LEN, false);
    /// Names a suite of tests.
    SuiteId("suite id", MAX_ID_LEN, false);
    /// Names a point at which several teams wait for each other.
    SyncPointId("sync point id", MAX_ID_LEN, false);
    /// Names a team.
    TeamId("team id", MAX_ID_LEN, false);
    /// Names what a note is about. It can be a path such as `approval/go-live`.
    TopicId("topic id", MAX_STEP_ID_LEN, true);
    /// Names a track: instances of a version that are kept apart from its others in the same place.
    TrackId("track id", MAX_ID_LEN, false);
    /// Names a release train: what departs together.
    TrainId("train id", MAX_ID_LEN, false);
    /// Names a waiver: leave, for a time, from a rule.
    WaiverId("waiver id", MAX_ID_LEN, false);
    /// Names a time window: a freeze or a deployment window.
    WindowId("window id", MAX_ID_LEN, false);
}

/// The parts as one text in `room`, if they fit.
fn joined<'a>(room: &'a mut [u8], parts: [&str; 3]) -> Option<&'a str> {
    let mut end = 0;
    for part in parts {
        let begin = end;
        end += part.len();
        room.get_mut(begin..end)?.copy_from_slice(part.as_bytes());
    }
    str::from_utf8(room.get(..end)?).ok()
}

impl StepId {
    /// The step that is called `name` below `path`.
    pub(crate) fn below(path: &str, name: &str) -> Result<Self, IdError> {
        let mut room = [0; MAX_STEP_ID_LEN];
        Self::new(joined(&mut room, [path, "/", name]).map_or_else(
            || Cow::Owned(format!("{path}/{name}")), // too long, which is told with the name
            Cow::Borrowed,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: Option<IdProblem>) {
        assert_eq!(ServiceId::new(value).err().map(|e| e.problem), want, "{value:?}");
    }

    #[test]
    fn ids_keep_to_a_safe_alphabet() {
        check("checkout-api.v2", None);
        check("", Some(IdProblem::Empty));
        check("-x", Some(IdProblem::BadStart));
        check("../etc", Some(IdProblem::BadStart));
        check("a/b", Some(IdProblem::BadCharacter('/')));
        check("раypal", Some(IdProblem::BadStart)); // Cyrillic look-alikes
        check("pаypal", Some(IdProblem::BadCharacter('а')));
        check(&"a".repeat(65), Some(IdProblem::TooLong(64)));
    }

    #[test]
    fn paths_are_made_of_names() {
        for path in ["a", "a/b", "production/eu/api/weight-10", "a.b/0_c"] {
            assert_eq!(StepId::new(path).unwrap().as_str(), path);
        }
        for path in ["a/", "a//b", "a/../b", "a/./b", "a/-b", "a/.b", "a/b/"] {
            assert_eq!(StepId::new(path).unwrap_err().problem, IdProblem::BadPart, "{path}");
        }
        assert_eq!(StepId::new("/a").unwrap_err().problem, IdProblem::BadStart);
    }

    #[test]
    fn a_name_below_a_path_is_a_path() {
        assert_eq!(StepId::below("a/b", "c").unwrap().as_str(), "a/b/c");
        assert_eq!(StepId::below("a", "").unwrap_err().problem, IdProblem::BadPart);
        for length in [MAX_STEP_ID_LEN - 2, MAX_STEP_ID_LEN - 1, 1000] {
            let long = "a".repeat(length);
            let problem =
                (length > MAX_STEP_ID_LEN - 2).then_some(IdProblem::TooLong(MAX_STEP_ID_LEN));
            assert_eq!(StepId::below("x", &long).err().map(|error| error.problem), problem);
        }
    }

    #[test]
    fn an_error_says_what_where_and_how() {
        let error = EnvironmentId::new("Prod").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Prod` is not a valid environment id: it must begin with a lower-case letter or a digit"
        );
    }
}
