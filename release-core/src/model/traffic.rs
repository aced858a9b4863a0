//! How traffic is divided beyond shares: by what a request says, by copies, by who came before.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Digest;
use super::request::{HeaderMatch, RequestMatch, name_problem, only_problem};
use crate::time::Span;

/// Most rules of one kind at once.
pub(crate) const MAX_RULES: usize = 32;

/// Requests that say all of this go to the new version, whatever its share.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct HeaderRule {
    /// What a request has to say; all of it.
    #[serde(rename = "match")]
    pub matches: Vec<HeaderMatch>,
}

impl HeaderRule {
    /// Requests whose header `name` says exactly `value`.
    pub fn exact(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { matches: vec![HeaderMatch::exact(name, value)] }
    }
}

/// Which versions keep the clients that they answered.
///
/// What is not said means what it meant before there was a choice: plans of old definitions stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AffinityTo {
    /// To whichever it was, the old one as well as the new: shares divide those who come for the first time, and nobody changes
    /// sides. Then either version may get more than its share.
    #[default]
    AnsweringVersion,
    /// To the new one alone: all others are drawn anew with every request. So clients only ever move to the new version, which may
    /// get more than its share, and the old one never does. Who asks much moves soon: the smaller the share is to stay, the
    /// shorter it should be held.
    NewVersion,
}

/// Clients stay with the version that answered them, by a cookie, as a strategy says it. The planner makes the
/// [rule](Affinity) of it that routers keep.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionAffinity {
    /// The cookie's name.
    #[doc(alias = "cookieName")]
    pub cookie: String,
    /// For how long.
    #[serde(default = "day")]
    #[doc(alias = "maxAge")]
    pub max_age: Span,
    /// With which version they stay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub to: AffinityTo,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl SessionAffinity {
    /// By `cookie`, for a day, with whichever version answered.
    pub fn new(cookie: impl Into<String>) -> Self {
        Self { cookie: cookie.into(), max_age: day(), to: AffinityTo::default() }
    }

    /// The same with the new version alone.
    #[must_use]
    pub fn to_new_version(self) -> Self {
        Self { to: AffinityTo::NewVersion, ..self }
    }

    /// The rule for routers, where `new` is the new version's content.
    pub fn rule(&self, new: Digest) -> Affinity {
        let only = (self.to == AffinityTo::NewVersion).then_some(new);
        Affinity { cookie: self.cookie.clone(), max_age: self.max_age, only }
    }

    /// What is wrong with it, and how to mend it.
    pub fn problem(&self) -> Option<String> {
        self.rule(Digest::of(&[])).problem()
    }
}

/// Whoever was answered stays with that version, by a cookie: shares divide the others. So a version that keeps clients may get
/// more than its share, and no share says how much.
///
/// A cookie counts as long as its version has a share: nobody is kept with one that lost it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Affinity {
    /// The cookie's name.
    pub cookie: String,
    /// For how long.
    #[serde(default = "day")]
    pub max_age: Span,
    /// The one version that keeps clients, by its content: others set no cookie, and a cookie of another one counts for nothing.
    /// None: all keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Digest>,
}

const fn day() -> Span {
    Span::secs(24 * 60 * 60)
}

impl Affinity {
    /// By `cookie`, for a day, with whichever version answered.
    pub fn new(cookie: impl Into<String>) -> Self {
        Self { cookie: cookie.into(), max_age: day(), only: None }
    }

    /// The same with the version `only` alone.
    #[must_use]
    pub fn with_only(self, only: Digest) -> Self {
        Self { only: Some(only), ..self }
    }

    /// Whether that version keeps the clients that it answered.
    pub fn keeps(&self, version: Digest) -> bool {
        self.only.is_none_or(|only| only == version)
    }

    /// What is wrong with it, and how to mend it.
    pub fn problem(&self) -> Option<String> {
        let name = self.cookie.escape_debug();
        if let Some(problem) = name_problem(&self.cookie) {
            return Some(format!("cookie `{name}` {problem}"));
        }
        // Cookies last for whole seconds, and one of none is forgotten at once.
        (self.max_age < Span::secs(1)).then(|| {
            format!("cookie `{name}` lasts for less than a second, so that nobody stays; give it a longer `max_age`")
        })
    }
}

/// What a router does beside dividing by shares. Without any, requests go by shares alone.
///
/// They are part of what is asked for and of what is observed: a step that sets them is done only when the router shows
/// the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficRules {
    /// Requests that go to one version whatever the shares; the first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderRoute>,
    /// Who gets copies of requests. What it answers is thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// How clients stay with the version that answered them before, and with which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
}

impl TrafficRules {
    /// Routes by header, to a version that is not known yet: to see whether they make sense.
    pub(crate) fn of_headers(headers: &[HeaderRule]) -> Self {
        let to = Digest::of(&[]);
        let route = |rule: &HeaderRule| HeaderRoute { rule: rule.clone(), to };
        Self { headers: headers.iter().map(route).collect(), ..Self::default() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The versions that get requests, or copies of them, by headers and mirrors, whatever their shares. Affinity is not among
    /// them: it keeps clients only with who has a share.
    pub fn targets(&self) -> impl Iterator<Item = Digest> + '_ {
        let headers = self.headers.iter().map(|route| route.to);
        headers.chain(self.mirror.iter().map(|mirror| mirror.to))
    }

    /// What is wrong with them, and how to mend it.
    pub fn problem(&self) -> Option<String> {
        if self.headers.len() > MAX_RULES {
            return Some(format!(
                "there are {} header routes; {MAX_RULES} are the most",
                self.headers.len()
            ));
        }
        let matches = || self.headers.iter().flat_map(|route| &route.rule.matches);
        if self.headers.iter().any(|route| route.rule.matches.is_empty()) {
            return Some(
                "a header route with nothing to match would take all requests; name a header"
                    .into(),
            );
        }
        matches()
            .find_map(HeaderMatch::problem)
            .or_else(|| self.mirror.as_ref().and_then(Mirror::problem))
            .or_else(|| self.affinity.as_ref().and_then(Affinity::problem))
    }
}

impl fmt::Display for TrafficRules {
    /// As it stands behind the shares of a step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for route in &self.headers {
            f.write_str(", by")?;
            route.rule.matches.iter().try_for_each(|header| write!(f, " `{}`", header.name))?;
        }
        if let Some(mirror) = &self.mirror {
            write!(f, ", {}% mirrored", mirror.percent)?;
            for (n, request) in mirror.only.iter().enumerate() {
                write!(f, " {} {request}", if n == 0 { "of" } else { "or" })?;
            }
        }
        self.affinity.iter().try_for_each(|affinity| {
            write!(f, ", staying by `{}`", affinity.cookie)?;
            affinity.only.iter().try_for_each(|only| write!(f, " with {} alone", only.short()))
        })
    }
}

/// Requests that go to one version whatever the shares.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct HeaderRoute {
    /// Which.
    pub rule: HeaderRule,
    /// The version's content.
    pub to: Digest,
}

/// Copies of requests for a version that does not answer them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The version's content.
    pub to: Digest,
    /// Of how many requests in a hundred, of those that are meant.
    pub percent: u8,
    /// The requests that are meant: those that one of these fits. Empty: all of them. Which version answers a request does not
    /// depend on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<RequestMatch>,
}

impl Mirror {
    /// Copies of `percent` of all requests, for the version `to`.
    pub const fn new(to: Digest, percent: u8) -> Self {
        Self { to, percent, only: Vec::new() }
    }

    /// The same of those requests alone that one of these fits.
    #[must_use]
    pub fn with_only(self, only: impl IntoIterator<Item = RequestMatch>) -> Self {
        Self { only: only.into_iter().collect(), ..self }
    }

    fn problem(&self) -> Option<String> {
        let percent = self.percent;
        if !(1..=100).contains(&percent) {
            return Some(format!("{percent} % of requests cannot be copied; write 1 to 100"));
        }
        only_problem(&self.only).map(|problem| format!("copies of some requests: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TextMatch;

    fn headers(name: &str, value: &str) -> TrafficRules {
        let route = HeaderRoute { rule: HeaderRule::exact(name, value), to: Digest::of(b"new") };
        TrafficRules { headers: vec![route], ..TrafficRules::default() }
    }

    #[test]
    fn rules_that_no_router_could_keep_are_named() {
        assert_eq!(headers("x-canary", "yes").problem(), None);
        for (name, value) in [
            ("", "yes"),
            ("X-Canary", "yes"),
            ("x canary", "yes"),
            ("x-canary:", "yes"),
            ("x-canary", ""),
            ("x-canary", "a\r\nset-cookie: b"),
        ] {
            let problem = headers(name, value).problem().unwrap();
            assert!(problem.contains("; write 1 to 256"), "{problem}");
        }
        let mut all = headers("x-canary", "yes");
        all.headers[0].rule.matches.clear();
        assert!(all.problem().unwrap().contains("would take all"));
        let mut many = headers("x-canary", "yes");
        many.headers = vec![many.headers[0].clone(); MAX_RULES + 1];
        assert!(many.problem().unwrap().contains("32 are the most"));
        let copies = |mirror| TrafficRules { mirror: Some(mirror), ..TrafficRules::default() };
        let none = copies(Mirror::new(Digest::of(b"new"), 0));
        assert!(none.problem().unwrap().contains("1 to 100"));
        let any = Mirror::new(Digest::of(b"new"), 1).with_only([RequestMatch::default()]);
        assert!(copies(any).problem().unwrap().contains("copies of some requests: a match that"));
        let affinity = Some(Affinity::new("a;b"));
        assert!(TrafficRules { affinity, ..TrafficRules::default() }.problem().is_some());
    }

    #[test]
    fn rules_are_written_as_people_write_them() {
        let rule: HeaderRule =
            serde_json::from_str(r#"{"match":[{"name":"x-canary","value":{"prefix":"y"}}]}"#)
                .unwrap();
        assert_eq!(rule.matches[0].value, TextMatch::Prefix("y".into()));
        let affinity: Affinity = serde_json::from_str(r#"{"cookie":"stay"}"#).unwrap();
        assert_eq!(affinity, Affinity::new("stay"));
        let fleeting = Affinity { max_age: Span::millis(999), ..affinity.clone() };
        assert!(fleeting.problem().unwrap().contains("less than a second"));
        assert_eq!(Affinity { max_age: Span::secs(1), ..affinity }.problem(), None);
        assert_eq!(serde_json::to_string(&TrafficRules::default()).unwrap(), "{}");
    }

    #[test]
    fn copies_of_all_requests_are_written_as_before_there_was_a_choice() {
        let to = Digest::of(b"new");
        let all = Mirror::new(to, 10);
        let text = format!(r#"{{"to":"{to}","percent":10}}"#);
        assert_eq!(serde_json::to_string(&all).unwrap(), text);
        assert_eq!(serde_json::from_str::<Mirror>(&text).unwrap(), all);
        let get = RequestMatch::default().with_method("GET");
        let some = all.clone().with_only([get, RequestMatch::header("x-kind", "a")]);
        let again = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Mirror>(&again).unwrap(), some);
        let shown = |mirror| {
            let rules = TrafficRules { mirror: Some(mirror), ..TrafficRules::default() };
            assert_eq!((rules.problem(), rules.targets().count()), (None, 1));
            rules.to_string()
        };
        assert_eq!(shown(all), ", 10% mirrored");
        assert_eq!(shown(some), ", 10% mirrored of `GET` or `x-kind`");
    }

    #[test]
    fn clients_stay_with_both_versions_unless_it_is_said() {
        let text = r#"{"cookie":"stay","max_age":"1day"}"#;
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let both: SessionAffinity = serde_json::from_str(text).unwrap();
        assert_eq!(both, SessionAffinity::new("stay"));
        assert_eq!(both.rule(new), Affinity::new("stay"));
        assert!(both.rule(new).keeps(old) && both.rule(new).keeps(new));
        // What says nothing new is written as it was, in definitions as in journals.
        let written = [serde_json::to_string(&both), serde_json::to_string(&both.rule(new))];
        assert_eq!(written.map(Result::unwrap), [text, text]);

        let text = r#"{"cookie":"stay","to":"new_version"}"#;
        let one: SessionAffinity = serde_json::from_str(text).unwrap();
        assert_eq!(one, both.to_new_version());
        let rule = one.rule(new);
        assert_eq!(rule, Affinity::new("stay").with_only(new));
        assert!(!rule.keeps(old) && rule.keeps(new));
        let again = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<Affinity>(&again).unwrap(), rule);
        let rules = TrafficRules { affinity: Some(rule), ..TrafficRules::default() };
        assert_eq!(rules.to_string(), format!(", staying by `stay` with {} alone", new.short()));
        assert_eq!(rules.targets().count(), 0);
        assert!(SessionAffinity::new("a;b").problem().unwrap().contains("lower-case"));
    }
}
