//! Reads definitions from YAML and TOML, and says where and how a wrong file is to be mended.
//!
//! Pure: the text is handed in, and the file's name is only used in errors.

use std::fmt;

use super::{Definition, FORMAT};

/// Largest definition file accepted, in bytes.
const MAX_FILE_BYTES: usize = 64 << 20;

/// The notations that a definition can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// YAML 1.2, one document.
    Yaml,
    /// TOML 1.0.
    Toml,
}

impl FileFormat {
    /// Guesses from a file name's ending: `.toml` is TOML, all else YAML.
    pub fn of_name(name: &str) -> Self {
        let toml = name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("toml"));
        if toml { Self::Toml } else { Self::Yaml }
    }
}

/// A place in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A definition file that cannot be read: which file, where, what was expected, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// The file, as the caller named it.
    pub file: String,
    /// Where in it, when known.
    pub position: Option<Position>,
    /// The path to the field, for example `services[1].depends_on[0].version`.
    pub path: Option<String>,
    /// What is wrong and what was expected.
    pub problem: String,
    /// How to mend it.
    pub help: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(path) = &self.path {
            write!(f, ": at `{path}`")?;
        }
        write!(f, ": {}; {}", self.problem, self.help)
    }
}

impl Definition {
    /// Reads a definition from the text of `file`; the name's ending decides the notation.
    ///
    /// # Errors
    /// [`FileError`] names file, line, path to the field, what was expected and how to mend it.
    ///
    /// ```
    /// use release_core::model::Definition;
    /// let error = Definition::parse("train.yaml", "format: release/v1\ntrain: Shop\n").unwrap_err();
    /// assert_eq!(error.position.map(|p| p.line), Some(2));
    /// assert_eq!(error.path.as_deref(), Some("train"));
    /// ```
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        if text.len() > MAX_FILE_BYTES {
            let problem = format!("the file has {} bytes, more than {MAX_FILE_BYTES}", text.len());
            return Err(error(file, None, None, problem));
        }
        let definition = match FileFormat::of_name(file) {
            FileFormat::Yaml => from_yaml(file, text),
            FileFormat::Toml => from_toml(file, text),
        }?;
        if definition.format == FORMAT {
            return Ok(definition);
        }
        let problem = format!("format is `{}`, expected `{FORMAT}`", definition.format);
        let help =
            "write `format: release/v1`, or use a release of this library that knows the other"
                .into();
        Err(FileError {
            file: file.into(),
            position: None,
            path: Some("format".into()),
            problem,
            help,
        })
    }

    /// Writes the definition as YAML; [`Definition::parse`] reads it back.
    ///
    /// # Errors
    /// The text of the serialiser's error; none is known to occur for these types.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|e| e.to_string())
    }
}

fn from_yaml(file: &str, text: &str) -> Result<Definition, FileError> {
    let mut path = None;
    let read = serde_saphyr::with_deserializer_from_str(text, |de| {
        serde_path_to_error::deserialize::<_, Definition>(de).map_err(|e| {
            path = Some(e.path().to_string());
            e.into_inner()
        })
    });
    read.map_err(|e| {
        let position = e.location().and_then(|at| {
            let line = usize::try_from(at.line()).ok().filter(|line| *line > 0)?;
            Some(Position { line, column: usize::try_from(at.column()).ok()? })
        });
        error(file, position, path.take(), first_line(without_place(&e.to_string())))
    })
}

fn from_toml(file: &str, text: &str) -> Result<Definition, FileError> {
    let located = |e: &toml::de::Error, path| {
        let position = e.span().map(|span| position_of(text, span.start));
        error(file, position, path, first_line(e.message()))
    };
    let de = toml::Deserializer::parse(text).map_err(|e| located(&e, None))?;
    serde_path_to_error::deserialize::<_, Definition>(de).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.into_inner();
        located(&inner, Some(path))
    })
}

fn error(
    file: &str,
    position: Option<Position>,
    path: Option<String>,
    problem: String,
) -> FileError {
    let path = path.filter(|p| !p.is_empty() && p != ".");
    let help = help_for(&problem).to_owned();
    FileError { file: file.into(), position, path, problem, help }
}

fn help_for(problem: &str) -> &'static str {
    const HELP: [(&str, &str); 6] = [
        ("unknown field", "remove it, or use one of the names listed"),
        ("unknown variant", "use one of the names listed"),
        ("missing field", "add it; the JSON Schema (`Definition::json_schema`) lists all fields"),
        ("duplicate", "keep one of the two"),
        ("invalid type", "write a value of the expected type"),
        ("more than", "split it into several trains"),
    ];
    HELP.iter()
        .find(|(sign, _)| problem.contains(sign))
        .map_or("compare with the JSON Schema (`Definition::json_schema`)", |(_, help)| help)
}

/// The reader's message without its own `error: line 2 column 8: `: the place is told once.
fn without_place(text: &str) -> &str {
    let placed = text.strip_prefix("error: line ").and_then(|rest| rest.split_once(": "));
    placed.map_or(text, |(_, message)| message)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches(['.', ':']).chars().take(400).collect()
}

fn position_of(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Position { line, column }
}
