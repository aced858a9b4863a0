//! Fresh instances that run beside the others for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Metadata, is_default};
use crate::ids::{AnalysisId, TrackId};
use crate::time::Span;

/// Runs fresh instances beside the others for a while, and judges them. There are two kinds.
///
/// With `share` and `replicas`, the new version is compared with as many fresh instances of the old one, each with the same share of the
/// traffic: what differs is then the version, not the age of its caches. The rest of the traffic stays with the old
/// version's other instances. The fresh instances are a [track](crate::model::Target::track) of their own, called `baseline`.
///
/// With `templates`, any number of fresh sets run side by side, each on a track of its own: of either version, with as many instances as
/// it says, with a share of the traffic or without any. The analyses then judge each set of the new version; such as compare versions
/// compare it with the first set of the old one, and the release's criteria judge those that have a share.
///
/// All of these instances are gone when the experiment is over, however it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Experiment {
    /// Percent of the traffic that each of the two gets, 1 to 49; at least the step's share. Not said with `templates`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(range(min = 0, max = 49))]
    pub share: u8,
    /// How many fresh instances of the old version are started: as many as the share needs, and just as many of the new
    /// version run then, unless the step's `scale` says otherwise, which is refused. Not said with `templates`.
    #[serde(skip_serializing_if = "is_default")]
    pub replicas: u32,
    /// How long they are left alone before they are judged.
    #[doc(alias = "duration")]
    pub bake: Span,
    /// What judges them, besides the analyses of the release's rollback criteria.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub analyses: Vec<AnalysisId>,
    /// The sets of fresh instances, in place of `share` and `replicas`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<ExperimentTemplate>,
}

impl Experiment {
    /// Compares the new version with `replicas` fresh instances of the old one, at `share` percent of the traffic each.
    pub fn new(share: u8, replicas: u32, bake: Span) -> Self {
        Self { share, replicas, bake, ..Self::default() }
    }

    /// Runs these sets side by side.
    pub fn of(templates: impl IntoIterator<Item = ExperimentTemplate>, bake: Span) -> Self {
        Self { templates: templates.into_iter().collect(), bake, ..Self::default() }
    }
}

/// One set of fresh instances of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentTemplate {
    /// Its name, and that of the track that its instances run on; unique in the experiment.
    pub name: TrackId,
    /// Of which version its instances are.
    #[serde(deserialize_with = "version")]
    #[doc(alias = "specRef")]
    pub of: TemplateVersion,
    /// How many there are: as many as its share needs, and 1 unless said.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub replicas: u32,
    /// Percent of the traffic that it gets, taken from the old version's others; not said: none.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(range(min = 0, max = 99))]
    #[doc(alias = "weight")]
    pub share: u8,
    /// What its instances carry.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metadata: Metadata,
}

impl ExperimentTemplate {
    /// `replicas` instances without traffic.
    pub const fn new(name: TrackId, of: TemplateVersion, replicas: u32) -> Self {
        Self { name, of, replicas, share: 0, metadata: Metadata::new() }
    }

    /// The same, with a share of the traffic in percent.
    #[must_use]
    pub const fn share(mut self, percent: u8) -> Self {
        self.share = percent;
        self
    }
}

/// Of which version the instances of a template are. A release has two, of which each was verified and can be undone.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TemplateVersion {
    /// The one that is rolled out.
    #[doc(alias = "canary")]
    New,
    /// The one that serves.
    #[doc(alias = "stable")]
    Old,
}

/// A template of a version that the release does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a template is of the `new` version or of the `old` one, and `{0}` is neither; release a third version on its own, as a service beside this one or in a run before this one"
)]
pub struct NoSuchVersion(String);

impl std::str::FromStr for TemplateVersion {
    type Err = NoSuchVersion;

    /// As it stands in files.
    fn from_str(text: &str) -> Result<Self, NoSuchVersion> {
        match text {
            "new" => Ok(Self::New),
            "old" => Ok(Self::Old),
            other => Err(NoSuchVersion(other.chars().take(80).collect())),
        }
    }
}

fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<TemplateVersion, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_one(replicas: &u32) -> bool {
    *replicas == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<ExperimentTemplate, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_is_of_one_of_the_two_versions() {
        let name: TrackId = "warm".parse().unwrap();
        for (word, of) in [("new", TemplateVersion::New), ("old", TemplateVersion::Old)] {
            let text = format!(r#"{{"name":"warm","of":"{word}"}}"#);
            let plain = ExperimentTemplate::new(name.clone(), of, 1);
            assert_eq!(template(&text).unwrap(), plain);
            assert_eq!(serde_json::to_string(&plain).unwrap(), text);
        }
        let full = ExperimentTemplate {
            metadata: Metadata::new().label("a", "b"),
            ..ExperimentTemplate::new(name, TemplateVersion::New, 3).share(5)
        };
        let text =
            r#"{"name":"warm","of":"new","replicas":3,"share":5,"metadata":{"labels":{"a":"b"}}}"#;
        assert_eq!(serde_json::to_string(&full).unwrap(), text);
        assert_eq!(template(text).unwrap(), full);
        let third = template(r#"{"name":"warm","of":"2.3.4"}"#).unwrap_err();
        assert!(
            third.starts_with("a template is of the `new` version or of the `old` one"),
            "{third}"
        );
        assert!(third.contains("release a third version on its own"), "{third}");
    }

    #[test]
    fn an_experiment_reads_as_before_and_writes_no_more_than_it_says() {
        let text = r#"{"share":20,"replicas":2,"bake":"1m"}"#;
        let experiment = Experiment::new(20, 2, Span::secs(60));
        assert_eq!(serde_json::from_str::<Experiment>(text).unwrap(), experiment);
        assert_eq!(serde_json::to_string(&experiment).unwrap(), text);
        let text = r#"{"bake":"1m","templates":[{"name":"warm","of":"new"}]}"#;
        let warm = ExperimentTemplate::new("warm".parse().unwrap(), TemplateVersion::New, 1);
        let experiment = Experiment::of([warm], Span::secs(60));
        assert_eq!(serde_json::from_str::<Experiment>(text).unwrap(), experiment);
        assert_eq!(serde_json::to_string(&experiment).unwrap(), text);
    }
}
