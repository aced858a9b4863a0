//! What instances carry while their version has a role.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name, in bytes: what Kubernetes takes, with the prefix.
const LONGEST_NAME: usize = 317;
/// The longest value of a label, in bytes.
const LONGEST_LABEL: usize = 63;
/// So much all annotations of one place may have together, in bytes.
const MOST_ANNOTATED: usize = 64 << 10;

/// Labels and annotations that instances carry as long as their version has a role: as long as it is the new one beside that which
/// serves, or as long as it is that which serves.
///
/// The platform is asked for them; one that does not declare that it can do it is refused before the run begins. Instances get
/// others when the role changes, and are not started anew for that. What they carry besides stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// By which instances are found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What else is said of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// None of either.
    pub const fn new() -> Self {
        Self { labels: BTreeMap::new(), annotations: BTreeMap::new() }
    }

    /// Adds a label, or sets it anew.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Adds an annotation, or sets it anew.
    #[must_use]
    pub fn annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Whether nothing is carried.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }

    /// What is wrong with what stands in `field`, and how to mend it.
    pub fn problem(&self, field: &str) -> Option<String> {
        let names = self.labels.keys().map(|name| ("labels", name));
        let mut names = names.chain(self.annotations.keys().map(|name| ("annotations", name)));
        let odd = names.find_map(|(kind, name)| {
            let visible = name.bytes().all(|byte| byte.is_ascii_graphic());
            let fits = visible && (1..=LONGEST_NAME).contains(&name.len());
            (!fits).then(|| {
                let name: String = name.chars().take(80).collect();
                format!(
                    "`{field}.{kind}`: `{name}` is no name; write 1 to {LONGEST_NAME} visible ASCII characters"
                )
            })
        });
        let label = || {
            let plain = |value: &str| {
                let byte = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                value.len() <= LONGEST_LABEL && value.bytes().all(byte)
            };
            let (name, _) = self.labels.iter().find(|(_, value)| !plain(value))?;
            Some(format!(
                "`{field}.labels`: the value of `{name}` is none; write at most {LONGEST_LABEL} letters, digits, `-`, `_` and `.`, or make it an annotation"
            ))
        };
        let large = || {
            let bytes: usize =
                self.annotations.iter().map(|(n, value)| n.len() + value.len()).sum();
            (bytes > MOST_ANNOTATED).then(|| {
                format!(
                    "`{field}.annotations` have {bytes} bytes, and {MOST_ANNOTATED} are the most; hand over less, for example a reference to the rest"
                )
            })
        };
        odd.or_else(label).or_else(large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_platform_takes_is_refused() {
        let long = "x".repeat(64);
        let large = "x".repeat(MOST_ANNOTATED);
        for (metadata, why) in [
            (Metadata::new().label("", "x"), "`m.labels`: `` is no name"),
            (Metadata::new().annotation("a b", "x"), "`m.annotations`: `a b` is no name"),
            (Metadata::new().label("rôle", "x"), "is no name"),
            (Metadata::new().label("x".repeat(318), "x"), "is no name"),
            (Metadata::new().label("role", "a b"), "the value of `role` is none"),
            (Metadata::new().label("role", long), "the value of `role` is none"),
            (Metadata::new().annotation("role", large), "are the most"),
        ] {
            let problem = metadata.problem("m").unwrap();
            assert!(problem.contains(why), "{why}: {problem}");
        }
        let sound = Metadata::new()
            .label("example.com/role", "canary")
            .label("x".repeat(317), "")
            .annotation("note", "ask the team – any text\n");
        assert_eq!(sound.problem("m"), None);
        assert!(!sound.is_empty() && Metadata::new().is_empty());
    }

    #[test]
    fn nothing_is_written_where_nothing_is_carried() {
        assert_eq!(serde_json::to_string(&Metadata::new()).unwrap(), "{}");
        let text = r#"{"labels":{"role":"canary"}}"#;
        let metadata = Metadata::new().label("role", "canary");
        assert_eq!(serde_json::from_str::<Metadata>(text).unwrap(), metadata);
        assert_eq!(serde_json::to_string(&metadata).unwrap(), text);
        assert!(serde_json::from_str::<Metadata>(r#"{"label":{}}"#).is_err());
    }
}
