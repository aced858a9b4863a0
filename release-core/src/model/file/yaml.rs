//! Reads YAML.

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Location, Options, Spanned};

use super::header::{Said, Start};
use super::words::{Told, first_line, value_at};
use super::{FileError, FileErrorKind, Header, MAX_FILE_BYTES, Position};
use crate::model::Definition;

const NOTATION: &str =
    "mend the notation (YAML) here or just before: quotes, brackets, `name: value`, indentation";

/// Most values of a file; what it can hold is bounded by its size. A value takes two bytes at least, but
/// for what aliases repeat, which has a bound of its own.
const MAX_NODES: usize = MAX_FILE_BYTES / 2;

/// The reader's limits: those that stand for size follow from the size of a file.
fn options(max_depth: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: max_depth,
            max_nodes: MAX_NODES,
            // A list or mapping is two of them.
            max_events: 2 * MAX_NODES,
        },
    }
}

/// What the file says of its format, if it can be read that far.
pub(super) fn format(text: &str) -> Option<Header> {
    // What is passed over costs stack; definitions are nine deep.
    let Start { format } = serde_saphyr::from_str_with_options(text, options(12)).ok()?;
    let format: Option<Spanned<Said>> = format;
    Some(format.map(|format| (format.value, position(format.referenced))))
}

/// Any document, within the same limits.
///
/// # Errors
/// What is wrong with its notation, in one line.
pub(crate) fn any(text: &str) -> Result<serde_json::Value, String> {
    let read = serde_saphyr::from_str_with_options(text, options(64));
    read.map_err(|error| first_line(&error.without_snippet().to_string()))
}

/// All documents of a stream, those that say nothing left out, within the same limits.
///
/// # Errors
/// What is wrong with its notation, in one line.
pub(crate) fn stream(text: &str) -> Result<Vec<serde_json::Value>, String> {
    let read = serde_saphyr::from_multiple_with_options(text, options(64));
    read.map_err(|error| first_line(&error.without_snippet().to_string()))
}

pub(super) fn read(file: &str, text: &str) -> Result<Definition, FileError> {
    let mut path = None;
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(64), |de| {
        serde_path_to_error::deserialize::<_, Definition>(de).map_err(|e| {
            path = Some(e.path().to_string());
            e.into_inner()
        })
    });
    read.map_err(|error| {
        let place = error.location().and_then(position);
        let name = path.as_deref().and_then(|path| path.rsplit('.').next()).unwrap_or_default();
        told(&error, text, place, name).at(file, place, path.take())
    })
}

fn position(at: Location) -> Option<Position> {
    let line = usize::try_from(at.line()).ok().filter(|line| *line > 0)?;
    Some(Position { line, column: usize::try_from(at.column()).ok()? })
}

/// `place` is where the error was found, `name` the last part of the path to it.
fn told(error: &Error, text: &str, place: Option<Position>, name: &str) -> Told {
    match error.without_snippet() {
        Error::AliasError { error, .. } => told(error, text, place, name),
        Error::Message { msg, .. } => message(msg),
        Error::ExternalMessage { msg, .. } if msg.contains("found a tab") => {
            Told::syntax(first_line(msg), "indent with spaces, not with tabs")
        }
        Error::ExternalMessage { msg, .. } => Told::syntax(first_line(msg), NOTATION),
        Error::Eof { .. } => Told::syntax("the file ends too early", NOTATION),
        Error::MultipleDocuments { .. } => Told::syntax(
            "the file holds more than one document, expected one definition",
            "remove the `---` and what belongs to the other, or write it to a file of its own",
        ),
        Error::Unexpected { expected: "mapping start", .. } if is_choice(name) => {
            Told::needs_settings(name)
        }
        Error::Unexpected { expected, .. } => Told::wrong_node(expected),
        Error::NullIntoString { .. } => Told::wrong_value("", "a string"),
        Error::InvalidScalar { ty, .. } => Told::wrong_value(&value_at(text, place), ty),
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            Told::wrong_type(unexpected, expected)
        }
        Error::SerdeInvalidValue { unexpected, expected, .. } => {
            Told::wrong_value(unexpected, expected)
        }
        Error::SerdeUnknownField { field, expected, .. } => Told::unknown_field(&format!(
            "unknown field `{field}`, expected one of {}",
            expected.join(", ")
        )),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            Told::unknown_value(&format!("`{variant}`, expected one of {}", expected.join(", ")))
        }
        Error::SerdeMissingField { field, .. } => Told::missing_field(field),
        Error::DuplicateMappingKey { key, .. } => Told::duplicate(key.as_deref()),
        other => rarer(other, name),
    }
}

fn rarer(error: &Error, name: &str) -> Told {
    match error {
        Error::UnexpectedValueForUnitEnumVariant { .. } => {
            Told::content(format!("`{name}` has no settings"), "write the name alone")
        }
        Error::ExpectedStringKeyForExternallyTaggedEnum { .. }
        | Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => Told::no_choice(),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => Told::content(
            "expected one name and its settings, found a second name",
            "keep one of the two",
        ),
        Error::UnknownAnchor { .. } => Told::syntax(
            "the alias stands for an anchor that is not there",
            "define it before with `&name`, or write the value itself; text that begins with `*` needs quotes",
        ),
        Error::Budget {
            breach:
                BudgetBreach::Events { .. }
                | BudgetBreach::Nodes { .. }
                | BudgetBreach::ScalarBytes { .. },
            ..
        } => Told::new(
            FileErrorKind::TooLarge,
            format!("the file holds more values than the {MAX_NODES} that are read"),
            "split it into several trains",
        ),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Told::syntax(
            "aliases multiply to more than a definition can hold",
            "write the values themselves",
        ),
        other => Told::new(
            FileErrorKind::Syntax,
            without_place(&first_line(&other.to_string())),
            NOTATION,
        ),
    }
}

/// Messages without a kind of their own: of our types, or of the reader.
fn message(text: &str) -> Told {
    if let Some(missing) = text.strip_prefix("missing field ") {
        return Told::missing_field(missing.trim_matches('`'));
    }
    Told::own(text)
}

/// Whether `name` is one that stands alone or with settings, and not a field.
fn is_choice(name: &str) -> bool {
    ["rolling", "blue_green", "canary", "ratio", "approval"].contains(&name)
}

/// The reader's message without its own `error: line 2 column 8: `: the place is told once.
fn without_place(text: &str) -> &str {
    let placed = text.strip_prefix("error: line ").and_then(|rest| rest.split_once(": "));
    placed.map_or(text, |(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_values_than_are_read_are_too_many_and_no_fault_of_the_notation() {
        let few = |max_nodes, max_events| {
            let options = serde_saphyr::options! {
                budget: serde_saphyr::budget! { max_nodes: max_nodes, max_events: max_events },
            };
            let text = "[1, 2, 3]";
            let error = serde_saphyr::from_str_with_options::<Vec<u8>>(text, options).unwrap_err();
            told(&error, text, None, "").at("many.yaml", None, None)
        };
        for error in [few(2, 100), few(100, 3)] {
            assert_eq!(error.kind, FileErrorKind::TooLarge, "{error}");
            assert!(error.to_string().contains("split it into several trains"), "{error}");
        }
    }
}
