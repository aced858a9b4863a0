//! Reads TOML.

use toml::Spanned;
use toml::de::Error;

use super::header::{Said, Start};
use super::words::{Told, first_line};
use super::{FileError, Header, Position};
use crate::model::Definition;

const NOTATION: &str =
    "mend the notation (TOML) here or just before: text needs quotes, names need `=` and a value";

/// What the file says of its format, if it can be read that far.
pub(super) fn format(text: &str) -> Option<Header> {
    let Start { format } = toml::from_str(text).ok()?;
    let format: Option<Spanned<Said>> = format;
    Some(format.map(|format| {
        let place = Position::of(text, format.span().start);
        (format.into_inner(), Some(place))
    }))
}

pub(super) fn read(file: &str, text: &str) -> Result<Definition, FileError> {
    let place = |error: &Error| error.span().map(|span| Position::of(text, span.start));
    let de = toml::Deserializer::parse(text).map_err(|error| {
        if error.message() == "recursion limit" {
            let told = Told::syntax("a name of too many parts", "write a name of this format");
            return told.at(file, many_parts(text), None);
        }
        let key = error.span().and_then(|span| text.get(span));
        syntax(error.message(), key).at(file, place(&error), None)
    })?;
    serde_path_to_error::deserialize::<_, Definition>(de).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let name = path.rsplit('.').next().unwrap_or_default();
        told(error.message(), name).at(file, place(&error), Some(path))
    })
}

/// Where the reader met a name of too many parts, which it does not tell: the first line that may have one.
fn many_parts(text: &str) -> Option<Position> {
    /// The reader's own limit.
    const PARTS: usize = 80;
    let long = text.lines().position(|line| line.matches('.').count() + 1 >= PARTS)?;
    Some(Position { line: long + 1, column: 1 })
}

fn syntax(message: &str, at: Option<&str>) -> Told {
    if message.starts_with("duplicate key") {
        return Told::duplicate(at.filter(|key| !key.contains('\n')));
    }
    let message = first_line(message);
    let message = message.replace("literal string", "text in quotes");
    Told::syntax(message, NOTATION)
}

/// serde's messages; this reader has no kinds. `name` is the last part of the path.
fn told(message: &str, name: &str) -> Told {
    let found_and_wanted =
        |kind| message.strip_prefix(kind).and_then(|rest: &str| rest.rsplit_once(", expected "));
    if message.starts_with("unknown field ") {
        return Told::unknown_field(message);
    }
    if message.starts_with("unknown variant ") {
        return Told::unknown_value(message);
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return Told::missing_field(first_line(field).trim_matches('`'));
    }
    match found_and_wanted("invalid type: ") {
        Some(("unit variant", "newtype variant" | "struct variant")) => {
            return Told::needs_settings(name);
        }
        Some(("map", "a string")) if name == "not_before" => {
            return Told::wrong_type("a TOML date", "a string");
        }
        Some((found, wanted)) => return Told::wrong_type(found, wanted),
        None => {}
    }
    if let Some((found, wanted)) = found_and_wanted("invalid value: ") {
        let number = found.split('`').nth(1).unwrap_or(found);
        return Told::wrong_value(number, wanted);
    }
    if message.starts_with("wanted exactly 1 element") {
        return Told::no_choice();
    }
    Told::own(message)
}
