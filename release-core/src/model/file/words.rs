//! What parsers complain of, in words for people who never heard of Rust.

use super::{FileError, FileErrorKind, Position};

/// Help where there is no better.
const SCHEMA: &str = "compare with the JSON Schema (`Definition::json_schema`)";

/// What is wrong, and how to mend it.
#[derive(Debug)]
pub(super) struct Told {
    kind: FileErrorKind,
    problem: String,
    help: String,
}

impl Told {
    pub(super) fn new(
        kind: FileErrorKind,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { kind, problem: problem.into(), help: help.into() }
    }

    pub(super) fn content(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(FileErrorKind::Content, problem, help)
    }

    pub(super) fn syntax(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(FileErrorKind::Syntax, problem, help)
    }

    /// What one of our own types says of a value: `problem; remedy`.
    pub(super) fn own(message: &str) -> Self {
        let line = first_line(message);
        match line.rsplit_once("; ") {
            Some((problem, help)) => Self::content(problem, help),
            None if line.contains("is not a valid") => Self::content(line, "rename it"),
            None => Self::content(line, SCHEMA),
        }
    }

    /// A value of the wrong type.
    pub(super) fn wrong_type(found: &str, wanted: &str) -> Self {
        let help = match wanted {
            "a string" => "write it as text in quotes",
            _ => "write a value of the expected type",
        };
        let found = found.trim_end_matches(" as i128").trim_end_matches(" as u128");
        let problem = format!("invalid type: {}, expected {}", people(found), people(wanted));
        Self::content(problem, help)
    }

    /// A number beyond what its field can hold, or text where a number belongs.
    pub(super) fn wrong_value(found: &str, wanted: &str) -> Self {
        let help = match wanted {
            "boolean" | "bool" => "write one of the two",
            "floating point" | "f64" => "write digits without a unit, for example `0.05`",
            "a string" => "write one",
            _ => "write digits without quotes or a unit",
        };
        let wanted = people(wanted);
        // Behind a name without a value there is nothing, or the colon itself.
        if matches!(found, "" | "~" | "null" | ":") {
            return Self::content(format!("there is no value, expected {wanted}"), help);
        }
        Self::content(format!("`{found}` is not {wanted}"), help)
    }

    /// One kind of YAML node where another belongs.
    pub(super) fn wrong_node(wanted: &str) -> Self {
        let (wanted, help) = match wanted {
            "sequence start" => ("a list", "write `[a, b]`, or lines that begin with `- `"),
            "mapping start" => {
                ("settings (names and their values)", "write lines of the form `name: value`")
            }
            "string scalar" => ("a single value", "write one without brackets or `- `"),
            other => (other, SCHEMA),
        };
        Self::content(format!("another kind of value, expected {wanted}"), help)
    }

    pub(super) fn unknown_field(message: &str) -> Self {
        Self::content(first_line(message), "remove it, or use one of the names listed")
    }

    /// `message` says which, and which are known, after `unknown variant `.
    pub(super) fn unknown_value(message: &str) -> Self {
        let rest = message.strip_prefix("unknown variant ").unwrap_or(message);
        let problem = format!("unknown value {}", first_line(rest));
        Self::content(problem, "use one of the names listed")
    }

    pub(super) fn missing_field(name: &str) -> Self {
        let help = "add it; the JSON Schema (`Definition::json_schema`) lists all fields";
        Self::content(format!("missing field `{name}`"), help)
    }

    pub(super) fn duplicate(key: Option<&str>) -> Self {
        let problem =
            key.map_or_else(|| "duplicate key".into(), |key| format!("duplicate key `{key}`"));
        Self::syntax(problem, "keep one of the two")
    }

    /// Neither a name alone, nor one name and what belongs to it.
    pub(super) fn no_choice() -> Self {
        Self::content(
            "expected a name, or one name and its settings",
            "write one of the names that the JSON Schema (`Definition::json_schema`) lists",
        )
    }

    pub(super) fn needs_settings(name: &str) -> Self {
        let help =
            "write them below the name; the JSON Schema (`Definition::json_schema`) lists them";
        Self::content(format!("`{name}` needs settings"), help)
    }

    pub(super) fn at(
        self,
        file: &str,
        position: Option<Position>,
        path: Option<String>,
    ) -> FileError {
        let Self { kind, problem, help } = self;
        // `?` and `.` are what is left of a path where there is no name.
        let path = path.map(|path| path.trim_end_matches(['.', '?']).to_owned());
        let path = path.filter(|path| !path.is_empty());
        let path = path.map(String::into_boxed_str);
        FileError { kind, file: file.into(), position, path, problem, help }
    }
}

/// What serde and the parsers call types, in words for people.
fn people(name: &str) -> &str {
    match name {
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number of 0 or more",
        "i64" => "a whole number",
        "f32" | "f64" | "floating point" => "a number",
        "boolean" | "bool" | "a boolean" => "`true` or `false`",
        "a string" => "text",
        "a sequence" | "sequence" => "a list",
        "a map" | "map" => "settings (names and their values)",
        "unit variant" => "a name alone",
        "newtype variant" | "struct variant" => "a name and its settings",
        "unit value" | "null" => "nothing",
        _ if name.starts_with("struct ") => "settings (names and their values)",
        _ => name,
    }
}

/// One line, without what parsers put behind it.
pub(super) fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.trim_end_matches(['.', ':']).chars().take(400).filter(|c| !c.is_control()).collect()
}

/// The value that begins at `position`, as far as it can be told without parsing.
pub(super) fn value_at(text: &str, position: Option<Position>) -> String {
    let Some(Position { line, column }) = position else { return String::new() };
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let value = line.chars().skip(column.saturating_sub(1));
    let value: String =
        value.take_while(|c| !matches!(c, ',' | ']' | '}' | '#')).take(60).collect();
    value.trim().to_owned()
}
