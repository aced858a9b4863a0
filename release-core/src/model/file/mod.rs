//! Reads definitions from YAML and TOML, and says where and how a wrong file is to be mended.
//!
//! Pure: the bytes are handed in, and the file's name is only used in errors. `yaml` and `toml` read
//! one notation each, the format (`header`) first; `words` says in words for people what their parsers complain
//! of.

mod header;
mod toml;
mod words;
mod yaml;

use std::fmt;

use self::header::Said;
use self::words::Told;
pub(crate) use self::yaml::{any as any_yaml, stream as yaml_stream};
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
    /// How a file in this notation says its format.
    const fn header(self) -> &'static str {
        match self {
            Self::Yaml => "format: release/v1",
            Self::Toml => "format = \"release/v1\"",
        }
    }

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

impl Position {
    const START: Self = Self { line: 1, column: 1 };

    /// The place of the byte at `offset`.
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

/// What kind of fault a definition file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// It is larger than any definition should be.
    TooLarge,
    /// It is not text in UTF-8.
    NotUtf8 {
        /// How many bytes stand before the first that is wrong.
        offset: usize,
    },
    /// It says no format, or one that this version does not read.
    Format,
    /// It is not what its notation (YAML or TOML) allows.
    Syntax,
    /// It can be read, but what stands in it is no definition.
    Content,
}

/// A definition file that cannot be read: which file, where, what was expected, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// What kind of fault it is.
    pub kind: FileErrorKind,
    /// The file, as the caller named it.
    pub file: Box<str>,
    /// Where in it, when known.
    pub position: Option<Position>,
    /// The path to the field, for example `services[1].depends_on[0].version`.
    pub path: Option<Box<str>>,
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
    /// Reads a definition from the bytes of `file`, which should be UTF-8; the name's ending decides
    /// the notation: `.toml` is TOML, all else YAML.
    ///
    /// # Errors
    /// [`FileError`] names file, line, path to the field, what was expected and how to mend it.
    ///
    /// ```
    /// use release_core::model::{Definition, FileErrorKind};
    /// let error = Definition::from_bytes("train.yaml", b"format: release/v1\ntrain: \xff").unwrap_err();
    /// assert_eq!(error.kind, FileErrorKind::NotUtf8 { offset: 26 });
    /// assert_eq!(error.position.map(|p| (p.line, p.column)), Some((2, 8)));
    /// ```
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Self, FileError> {
        check_size(file, bytes.len())?;
        let error = match std::str::from_utf8(bytes) {
            Ok(text) => return Self::parse(file, text),
            Err(error) => error,
        };
        let offset = error.valid_up_to();
        let (good, bad) = bytes.split_at_checked(offset).unwrap_or((bytes, &[]));
        let position = Position::of(std::str::from_utf8(good).unwrap_or_default(), offset);
        let byte = bad.first().copied().unwrap_or_default();
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let help = if utf16 {
            "it looks like UTF-16; save it as UTF-8"
        } else {
            "save it as UTF-8, or give the right file"
        };
        let problem =
            format!("the byte 0x{byte:02x} at offset {offset} is not UTF-8, expected text");
        let told = Told::new(FileErrorKind::NotUtf8 { offset }, problem, help);
        Err(told.at(file, Some(position), None))
    }

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
        check_size(file, text.len())?;
        let notation = FileFormat::of_name(file);
        let found = match notation {
            FileFormat::Yaml => yaml::format(text),
            FileFormat::Toml => toml::format(text),
        };
        // Without an answer the file cannot be read at all, and reading it says why.
        if let Some(found) = found {
            check_format(file, notation, &found)?;
        }
        match notation {
            FileFormat::Yaml => yaml::read(file, text),
            FileFormat::Toml => toml::read(file, text),
        }
    }

    /// Writes the definition as YAML; [`Definition::parse`] reads it back.
    ///
    /// # Errors
    /// The text of the serialiser's error; none is known to occur for these types.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|e| e.to_string())
    }
}

fn check_size(file: &str, bytes: usize) -> Result<(), FileError> {
    if bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    let problem = format!("the file has {bytes} bytes, more than {MAX_FILE_BYTES}");
    let help = "split it into several trains";
    Err(Told::new(FileErrorKind::TooLarge, problem, help).at(file, None, None))
}

/// What a file says of its format: the value and where it stands, or nothing.
type Header = Option<(Said, Option<Position>)>;

/// Before all else: a file of another format follows other rules.
fn check_format(file: &str, notation: FileFormat, found: &Header) -> Result<(), FileError> {
    let header = notation.header();
    let Some((said, position)) = found else {
        let help = format!("begin the file with `{header}`");
        let told = Told::new(FileErrorKind::Format, "missing field `format`", help);
        return Err(told.at(file, Some(Position::START), None));
    };
    let said = match said {
        Said::Scalar(text) if text == FORMAT => return Ok(()),
        Said::Scalar(text) => {
            format!("`{}`", text.chars().take(80).collect::<String>().escape_debug())
        }
        Said::List => "a list".into(),
        Said::Table => "a table".into(),
    };
    let problem = format!("format is {said}, expected `{FORMAT}`");
    let help =
        format!("write `{header}`, or use a release of this library that knows the other format");
    let told = Told::new(FileErrorKind::Format, problem, help);
    Err(told.at(file, *position, Some("format".into())))
}
