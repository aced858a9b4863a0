//! The text of a flag definition file: one flag of it read, and replaced with nothing else touched. Pure.

use std::collections::BTreeSet;
use std::fmt;

use release_core::flags::{FlagState, Variant};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The entry of a flag's metadata that says by whom and why it was killed.
const KILLED: &str = "release.killed";
/// The entry that keeps the targeting that a killed flag had, as text.
const TARGETING: &str = "release.killed.targeting";

/// The members of an object in their order, each as it is written.
#[derive(Debug, Default)]
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut all, mut names) = (Members::default(), BTreeSet::new());
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` stands there twice")));
                    }
                    all.0.push((name, value));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(Reads)
    }
}

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// The part of a file that matters here.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    flags: Members<'a>,
}

/// One flag of a file.
#[derive(Debug)]
pub(super) struct Flag<'a> {
    file: &'a str,
    text: &'a str,
    members: Members<'a>,
}

/// How a flag stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// For whom it is on, or why that cannot be said.
    pub(super) state: Result<FlagState, String>,
    /// Who killed it and why.
    pub(super) killed: Option<String>,
    /// Another one after each change of what matters.
    pub(super) mark: String,
}

/// What is to become of a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Set(FlagState),
    Kill(&'a str),
}

impl<'a> Flag<'a> {
    /// A flag of the file with this text; nothing if it has no such flag.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub(super) fn find(file: &'a str, key: &str) -> Result<Option<Self>, String> {
        let read = serde_json::from_str::<File<'a>>(file);
        let File { flags } = read.map_err(|e| format!("it is no flag definition file: {e}"))?;
        let Some(text) = flags.get(key).map(RawValue::get) else { return Ok(None) };
        let members = serde_json::from_str(text).map_err(|e| format!("flag `{key}`: {e}"))?;
        Ok(Some(Self { file, text, members }))
    }

    fn value(&self, name: &str) -> Value {
        let value = self.members.get(name).map(RawValue::get);
        // INVARIANT: it was read as JSON.
        value.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// How it stands, where these variants mean on and off.
    pub(super) fn standing(&self, on: &Variant, off: &Variant) -> Standing {
        let (enabled, default, targeting) =
            (self.value("state"), self.value("defaultVariant"), self.value("targeting"));
        let killed = self.value("metadata").get(KILLED).and_then(Value::as_str).map(str::to_owned);
        let mark = json!([enabled, default, targeting, killed]).to_string();
        let state = self.state((&enabled, &default, &targeting), on, off);
        Standing { state, killed, mark }
    }

    fn state(
        &self,
        (enabled, default, targeting): (&Value, &Value, &Value),
        on: &Variant,
        off: &Variant,
    ) -> Result<FlagState, String> {
        if enabled == "ENABLED" && is_none(targeting) && default == off.as_str() {
            // Whatever else it has: everybody has this.
            return self.has_variants(&[off]).map(|()| FlagState::Off);
        }
        self.has_variants(&[on, off])?;
        if enabled != "ENABLED" {
            return Err("it is not enabled, and everybody has what the code says".into());
        }
        if is_none(targeting) {
            return match default.as_str() {
                Some(variant) if variant == on.as_str() => Ok(FlagState::On),
                Some(variant) if variant == off.as_str() => Ok(FlagState::Off),
                _ => Err(format!("its default is {default}, neither `{on}` nor `{off}`")),
            };
        }
        share(targeting, on, off)
            .ok_or_else(|| "it has targeting of its own; set it by hand".to_owned())
    }

    fn has_variants(&self, wanted: &[&Variant]) -> Result<(), String> {
        let variants = self.value("variants");
        let missing = wanted.iter().find(|name| variants.get(name.as_str()).is_none());
        missing.map_or(Ok(()), |name| {
            Err(format!("it has no variant `{name}`; name it, or set which means on and off"))
        })
    }

    /// The whole file with this flag changed.
    ///
    /// # Errors
    /// Why it cannot be changed so.
    pub(super) fn changed(
        &self,
        change: &Change<'_>,
        on: &Variant,
        off: &Variant,
    ) -> Result<String, String> {
        let state = match change {
            Change::Set(state) => {
                self.has_variants(&[on, off])?;
                *state
            }
            // Nothing else of it is needed.
            Change::Kill(_) => {
                self.has_variants(&[off])?;
                FlagState::Off
            }
        };
        let default = if state == FlagState::On { on } else { off };
        let shares = matches!(state, FlagState::Share { .. });
        let targeting = shares.then(|| fractional(state, on, off).to_string());
        let mut all = self.members.0.iter().map(|(name, v)| (name.clone(), v.get().to_owned()));
        let mut members: Vec<(String, String)> = all.by_ref().collect();
        put(&mut members, "state", Some(r#""ENABLED""#.into()));
        put(&mut members, "defaultVariant", Some(Value::from(default.as_str()).to_string()));
        put(&mut members, "targeting", targeting);
        self.change_metadata(change, (on, off), &mut members);
        Ok(self.spliced(&written(&members, self.line_start(), self.text.contains('\n'))))
    }

    /// Sets its metadata to what they are after a change, unless they stay; takes them out where none is left.
    ///
    /// Targeting that somebody wrote and a kill puts out of effect is kept there for good: nothing else has it.
    fn change_metadata(
        &self,
        change: &Change<'_>,
        (on, off): (&Variant, &Variant),
        flag: &mut Vec<(String, String)>,
    ) {
        let text = self.members.get("metadata").map_or("{}", RawValue::get);
        let read: Members<'_> = serde_json::from_str(text).unwrap_or_default();
        let known = read.0.iter().map(|(name, value)| (name.clone(), value.get().to_owned()));
        let mut members: Vec<(String, String)> = known.collect();
        let before = members.clone();
        match change {
            Change::Set(_) => put(&mut members, KILLED, None),
            Change::Kill(reason) => {
                put(&mut members, KILLED, Some(Value::from(*reason).to_string()));
                let targeting = self.value("targeting");
                if !is_none(&targeting) && share(&targeting, on, off).is_none() {
                    let kept = Value::from(targeting.to_string());
                    put(&mut members, TARGETING, Some(kept.to_string()));
                }
            }
        }
        if members != before {
            put(flag, "metadata", (!members.is_empty()).then(|| written(&members, "", false)));
        }
    }

    /// The white space before the flag, on its line.
    fn line_start(&self) -> &'a str {
        let before = self.file.get(..self.at()).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
    }

    /// Where its value begins in the file: it was borrowed from there.
    fn at(&self) -> usize {
        (self.text.as_ptr() as usize).saturating_sub(self.file.as_ptr() as usize)
    }

    fn spliced(&self, text: &str) -> String {
        let (at, len) = (self.at(), self.text.len());
        let before = self.file.get(..at).unwrap_or_default();
        let after = self.file.get(at + len..).unwrap_or_default();
        [before, text, after].concat()
    }
}

/// Whether targeting says nothing.
fn is_none(targeting: &Value) -> bool {
    targeting.is_null() || targeting.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The share whose targeting this is.
fn share(targeting: &Value, on: &Variant, off: &Variant) -> Option<FlagState> {
    let mut shares = (1..100).map(|percent| FlagState::Share { percent });
    shares.find(|state| *targeting == fractional(*state, on, off))
}

/// The targeting of a share.
fn fractional(state: FlagState, on: &Variant, off: &Variant) -> Value {
    let split = state.split(on, off);
    let weights = split.weights().iter().map(|(variant, weight)| json!([variant, weight]));
    json!({ "fractional": weights.collect::<Vec<_>>() })
}

/// Sets a member where it stands, else behind the others; without a value, takes it out.
fn put(members: &mut Vec<(String, String)>, name: &str, value: Option<String>) {
    let at = members.iter().position(|(known, _)| known == name);
    match (at.and_then(|at| members.get_mut(at)), value) {
        (Some(member), Some(value)) => member.1 = value,
        (Some(_), None) => members.retain(|(known, _)| known != name),
        (None, Some(value)) => members.push((name.to_owned(), value)),
        (None, None) => {}
    }
}

/// An object with these members, over several lines that begin as `indent` says, or on one.
fn written(members: &[(String, String)], indent: &str, lines: bool) -> String {
    let all = members.iter().map(|(name, value)| format!("{}: {value}", Value::from(&**name)));
    let all: Vec<String> = all.collect();
    if lines {
        let inner = format!("\n{indent}  ");
        return format!("{{{inner}{}\n{indent}}}", all.join(&format!(",{inner}")));
    }
    format!("{{ {} }}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "other": {"state":"ENABLED",   "variants":{"x":1.50,"y":2}, "defaultVariant":"x"},
    "dark-mode": {
      "state": "ENABLED",
      "variants": { "on": true, "off": false },
      "owner": { "unknown": [1,  2] },
      "defaultVariant": "off"
    },
    "theirs": { "state": "ENABLED", "variants": { "on": 1, "off": 0 }, "defaultVariant": "off",
      "targeting": { "if": [ { "==": [ { "var": "tier" }, "beta" ] }, "on", "off" ] } }
  },
  "$evaluators": { "a": { "in": [1] } }
}
"#;

    fn names() -> (Variant, Variant) {
        ("on".parse().unwrap(), "off".parse().unwrap())
    }

    fn standing(file: &str, key: &str) -> Standing {
        let (on, off) = names();
        Flag::find(file, key).unwrap().unwrap().standing(&on, &off)
    }

    fn change(file: &str, key: &str, change: &Change<'_>) -> String {
        let (on, off) = names();
        Flag::find(file, key).unwrap().unwrap().changed(change, &on, &off).unwrap()
    }

    #[test]
    fn one_flag_changes_and_no_other_byte() {
        let share = Change::Set(FlagState::Share { percent: 10 });
        let shared = change(FILE, "dark-mode", &share);
        let wanted = FILE.replace(
            "\"defaultVariant\": \"off\"\n    },",
            "\"defaultVariant\": \"off\",\n      \"targeting\": {\"fractional\":[[\"on\",10],[\"off\",90]]}\n    },",
        );
        assert_eq!(shared, wanted);
        assert_eq!(standing(&shared, "dark-mode").state, Ok(FlagState::Share { percent: 10 }));
        let on = change(&shared, "dark-mode", &Change::Set(FlagState::On));
        assert_eq!(standing(&on, "dark-mode").state, Ok(FlagState::On));
        assert_eq!(change(&on, "dark-mode", &Change::Set(FlagState::Off)), FILE);
    }

    #[test]
    fn what_people_target_is_theirs_and_can_be_killed() {
        let theirs = standing(FILE, "theirs");
        assert!(theirs.state.unwrap_err().contains("targeting of its own"));
        let killed = change(FILE, "theirs", &Change::Kill("ann: it burns"));
        let now = standing(&killed, "theirs");
        assert_eq!((now.state, now.killed), (Ok(FlagState::Off), Some("ann: it burns".into())));
        let kept: Value = serde_json::from_str(&killed).unwrap();
        let kept = kept.pointer("/flags/theirs/metadata/release.killed.targeting").unwrap();
        let kept: Value = serde_json::from_str(kept.as_str().unwrap()).unwrap();
        let before: Value = serde_json::from_str(FILE).unwrap();
        assert_eq!(Some(&kept), before.pointer("/flags/theirs/targeting"));
        let alive = change(&killed, "theirs", &Change::Set(FlagState::On));
        assert_eq!(standing(&alive, "theirs").killed, None);
        // Nobody else has it, whatever comes after.
        let again = change(&alive, "theirs", &Change::Kill("bob: again"));
        for file in [&alive, &again] {
            let read: Value = serde_json::from_str(file).unwrap();
            let kept = read.pointer("/flags/theirs/metadata/release.killed.targeting").unwrap();
            let kept: Value = serde_json::from_str(kept.as_str().unwrap()).unwrap();
            assert_eq!(Some(&kept), before.pointer("/flags/theirs/targeting"));
        }
    }

    #[test]
    fn a_kill_needs_the_variant_that_is_off_alone() {
        let file = r#"{ "flags": { "a": { "state": "ENABLED", "defaultVariant": "blue",
            "variants": { "off": 0, "blue": 1, "green": 2 } } } }"#;
        let killed = change(file, "a", &Change::Kill("ann: it burns"));
        let now = standing(&killed, "a");
        assert_eq!((now.state, now.killed), (Ok(FlagState::Off), Some("ann: it burns".into())));
        let (on, off) = names();
        let flag = Flag::find(file, "a").unwrap().unwrap();
        assert!(flag.changed(&Change::Set(FlagState::On), &on, &off).unwrap_err().contains("`on`"));
    }

    #[test]
    fn files_that_are_none_are_refused_with_the_place() {
        for (file, told) in [
            ("", "line 1"),
            ("[]", "no flag definition file"),
            (r#"{ "flags": [] }"#, "an object"),
            (r#"{ "flags": { "a": {}, "a": {} } }"#, "`a` stands there twice"),
            (r#"{ "flags": {}, "flags": {} }"#, "duplicate field"),
            ("{ \"flags\": {\n  \"a\": { } ", "line 2"),
        ] {
            let problem = Flag::find(file, "a").unwrap_err();
            assert!(problem.contains(told), "{file}: {problem}");
        }
        assert!(Flag::find(r#"{ "flags": {} }"#, "a").unwrap().is_none());
        let (on, off) = names();
        let bare = Flag::find(r#"{ "flags": { "a": { "state": "ENABLED" } } }"#, "a");
        let bare = bare.unwrap().unwrap();
        assert!(bare.standing(&on, &off).state.unwrap_err().contains("no variant `on`"));
        assert!(bare.changed(&Change::Kill("x"), &on, &off).is_err());
        let disabled = FILE.replace(
            "\"state\": \"ENABLED\",\n      \"var",
            "\"state\": \"DISABLED\",\n      \"var",
        );
        assert!(standing(&disabled, "dark-mode").state.unwrap_err().contains("not enabled"));
    }
}
