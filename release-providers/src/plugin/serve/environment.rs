//! What the host says to a plugin before the first call.

use std::path::PathBuf;

use super::ServeError;
use crate::plugin::handshake::negotiate;
use crate::plugin::{
    COOKIE, PROTOCOL_VERSIONS, SOCKET_DIR_VARIABLE, TOKEN_VARIABLE, VERSIONS_VARIABLE,
};

/// What the host says to a plugin before the first call.
pub(super) struct Environment {
    /// The version to speak.
    pub(super) version: u32,
    /// Where to make the socket.
    pub(super) directory: PathBuf,
    /// What every call must carry.
    pub(super) token: String,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "go-plugin hosts speak by the environment")]
    pub(super) fn of_process() -> Result<Self, ServeError> {
        Self::read(|variable| std::env::var(variable).ok())
    }

    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, ServeError> {
        if variable(COOKIE.0).as_deref() != Some(COOKIE.1) {
            return Err(ServeError::NotStartedByHost);
        }
        let needed = |name| variable(name).ok_or(ServeError::Environment { variable: name });
        let version =
            negotiate(&variable(VERSIONS_VARIABLE).unwrap_or_default(), &PROTOCOL_VERSIONS);
        let directory = needed(SOCKET_DIR_VARIABLE)?.into();
        let token = needed(TOKEN_VARIABLE)?;
        if token.is_empty() {
            return Err(ServeError::Environment { variable: TOKEN_VARIABLE });
        }
        Ok(Self { version, directory, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_knows_whether_a_host_started_it() {
        let all = [
            COOKIE,
            (VERSIONS_VARIABLE, "1,7"),
            (SOCKET_DIR_VARIABLE, "/run/x"),
            (TOKEN_VARIABLE, "t"),
        ];
        let with = |set: &[(&str, &str)]| {
            let set = set.to_vec();
            Environment::read(move |name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let read = with(&all).map_err(|e| e.to_string()).map(|e| (e.version, e.directory, e.token));
        assert_eq!(read, Ok((1, "/run/x".into(), "t".into())));
        assert!(matches!(with(&all[1..]), Err(ServeError::NotStartedByHost)));
        assert!(matches!(with(&[(COOKIE.0, "other")]), Err(ServeError::NotStartedByHost)));
        assert!(matches!(with(&all[..2]), Err(ServeError::Environment { .. })));
        assert!(matches!(with(&all[..3]), Err(ServeError::Environment { .. })));
    }
}
