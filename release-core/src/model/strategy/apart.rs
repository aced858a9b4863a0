//! Which machines instances of a new version keep away from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether instances of the new version are started on other machines than those on which other versions of the service run:
/// a platform that empties machines once the old version is gone then moves none that serves.
///
/// The platform is asked for it; one that does not declare that it can do it is refused before the run begins. Nobody looks
/// afterwards where the instances are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AntiAffinity {
    /// They are; where no other machine has room, an instance is not started.
    #[doc(alias = "requiredDuringSchedulingIgnoredDuringExecution")]
    Required,
    /// They are if another machine has room; so much that counts beside what else the platform goes by, 1 to 100.
    #[doc(alias = "preferredDuringSchedulingIgnoredDuringExecution")]
    Preferred(#[schemars(range(min = 1, max = 100))] u8),
}

impl AntiAffinity {
    /// What is wrong with it, and how to mend it.
    pub fn problem(self) -> Option<String> {
        match self {
            Self::Preferred(weight) if !(1..=100).contains(&weight) => Some(format!(
                "`anti_affinity.preferred` is {weight}; write a whole number from 1 to 100"
            )),
            Self::Required | Self::Preferred(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_word_or_a_weight() {
        for (text, want) in [
            (r#""required""#, AntiAffinity::Required),
            (r#"{"preferred":50}"#, AntiAffinity::Preferred(50)),
        ] {
            assert_eq!(serde_json::from_str::<AntiAffinity>(text).unwrap(), want);
            assert_eq!(serde_json::to_string(&want).unwrap(), text);
        }
        assert!(serde_json::from_str::<AntiAffinity>(r#""preferred""#).is_err());
    }

    #[test]
    fn a_weight_lies_from_1_to_100() {
        for (weight, fine) in [(0, false), (1, true), (100, true), (101, false)] {
            let problem = AntiAffinity::Preferred(weight).problem();
            assert_eq!(problem.is_none(), fine, "{problem:?}");
        }
        assert_eq!(AntiAffinity::Required.problem(), None);
    }
}
