//! Short words for what the tests say often.

use release_core::model::{Principal, Timestamp};
use release_core::plan::Place;
use release_policy::window::{ActionClass, Kind, Query, When, WindowSpec, Windows};

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    let text = if text.len() == 16 { format!("{text}:00Z") } else { text.to_owned() };
    text.parse().unwrap()
}

pub(crate) fn spec(kind: Kind, id: &str, when: When) -> WindowSpec {
    let spec = WindowSpec::freeze(name(id), when, name("sre"), "quiet");
    WindowSpec { kind, ..spec }
}

pub(crate) fn freeze(id: &str, when: When) -> WindowSpec {
    spec(Kind::Freeze, id, when)
}

pub(crate) fn deployment(id: &str, when: When) -> WindowSpec {
    spec(Kind::Deployment, id, when)
}

pub(crate) fn between(from: &str, until: &str) -> When {
    When::Between { from: at(from), until: at(until) }
}

pub(crate) fn all(specs: impl IntoIterator<Item = WindowSpec>) -> Windows {
    Windows::new(specs.into_iter().map(|spec| spec.build().unwrap())).unwrap()
}

pub(crate) fn ann() -> Principal {
    Principal::human(name("ann"))
}

pub(crate) fn robot() -> Principal {
    Principal::service(name("robot"))
}

pub(crate) fn place(environment: &str, region: Option<&str>) -> Place {
    Place { region: region.map(name), ..Place::new(name(environment)) }
}

/// Whether `by` may deploy anywhere.
pub(crate) fn may_deploy(windows: &Windows, by: &Principal, when: &str) -> bool {
    windows.is_open(&Query::new(ActionClass::Deploy, by, at(when)))
}

/// A freeze of March 2026.
pub(crate) fn march(id: &str) -> WindowSpec {
    freeze(id, between("2026-03-01T00:00", "2026-04-01T00:00"))
}
