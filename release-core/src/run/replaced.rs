//! The runs in whose place another one was started.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// The runs in whose place another one was started: one at least.
///
/// In JSON one run is its name, and several are a list of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OneOrMore", into = "OneOrMore")]
pub struct Replaced(Vec<RunId>);

impl Replaced {
    /// These runs, each once and in the order of their names; `None` of none.
    pub fn of(runs: impl IntoIterator<Item = RunId>) -> Option<Self> {
        let runs: BTreeSet<RunId> = runs.into_iter().collect();
        (!runs.is_empty()).then(|| Self(runs.into_iter().collect()))
    }

    /// The runs, in the order of their names.
    pub fn runs(&self) -> &[RunId] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(RunId),
    More(Vec<RunId>),
}

impl From<Replaced> for OneOrMore {
    fn from(Replaced(runs): Replaced) -> Self {
        match <[RunId; 1]>::try_from(runs) {
            Ok([one]) => Self::One(one),
            Err(more) => Self::More(more),
        }
    }
}

impl TryFrom<OneOrMore> for Replaced {
    type Error = &'static str;

    fn try_from(runs: OneOrMore) -> Result<Self, &'static str> {
        match runs {
            OneOrMore::One(one) => Ok(Self(vec![one])),
            OneOrMore::More(more) if more.len() < 2 => {
                Err("a list of replaced runs has two or more; name one run alone")
            }
            OneOrMore::More(more) if !more.is_sorted_by(|one, next| one < next) => {
                Err("a list of replaced runs names each once, in the order of their names")
            }
            OneOrMore::More(more) => Ok(Self(more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(runs: &[&str]) -> Option<Replaced> {
        Replaced::of(runs.iter().map(|run| run.parse().unwrap()))
    }

    #[test]
    fn one_run_is_its_name_and_several_are_a_list() {
        assert_eq!(of(&[]), None);
        for (runs, written) in
            [(&["r-1"][..], json!("r-1")), (&["r-2", "r-1", "r-2"], json!(["r-1", "r-2"]))]
        {
            let replaced = of(runs).unwrap();
            assert_eq!(serde_json::to_value(&replaced).unwrap(), written);
            assert_eq!(serde_json::from_value::<Replaced>(written).unwrap(), replaced);
        }
    }

    #[test]
    fn what_has_another_form_is_refused() {
        for bad in
            [json!([]), json!(["r-1"]), json!(["r-2", "r-1"]), json!(["r-1", "r-1"]), json!(1)]
        {
            assert!(serde_json::from_value::<Replaced>(bad.clone()).is_err(), "{bad}");
        }
    }
}
