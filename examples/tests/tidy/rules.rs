//! What the rules are: functions from the text of a file to what is wrong with it.

/// A file of the workspace.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Files and folders whose code is pure: data in, data out. What clippy.toml bans everywhere is
/// repeated here, because a reason in an `#[expect]` would not make it right in these.
pub(crate) const PURE: [&str; 14] = [
    "release-core/src/flags",
    "release-core/src/explain",
    "release-core/src/ids.rs",
    "release-core/src/import",
    "release-core/src/journal/wire.rs",
    "release-core/src/limits",
    "release-core/src/model",
    "release-core/src/plan",
    "release-core/src/report",
    "release-core/src/run",
    "release-core/src/analysis",
    "release-core/src/stats",
    "release-core/src/time.rs",
    "release-policy/src",
];

/// What pure code has no use for. Grouped imports of `std` would hide it.
const IMPURE: [&str; 16] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::{",
    "tokio",
    "async",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "RandomState",
    "rand::",
];

/// No file is longer than somebody keeps in mind.
pub(crate) const MOST_LINES: usize = 500;

// Put together, so that this file does not break its own rules.
pub(crate) const UNFINISHED: [&str; 6] = [
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("#[ign", "ore"),
];
pub(crate) const SLEEPS: [&str; 3] =
    [concat!("thread::sl", "eep"), concat!("time::sl", "eep"), concat!("time::{sl", "eep")];

/// Who may sleep, and why. Whoever waits for something waits for an event.
pub(crate) const SLEEPERS: [(&str, &str); 7] = [
    ("release-core/src/clock.rs", "it is the clock of the system"),
    ("release-core/tests/it/support/world.rs", "it is a clock, over tokio's, which stands still"),
    ("release-providers/tests/support/mod.rs", "it is a clock"),
    (
        "release-providers/tests/support/slow_service.rs",
        "it is slow because that is what it is for",
    ),
    ("release-testkit/src/clock.rs", "it moves tokio's standing clock, and takes no time"),
    ("release-testkit/src/conformance/sandbox.rs", "a vendor's platform tells of no events"),
    ("release-testkit/src/saboteur/mod.rs", "it acts too late, which is its fault"),
];

/// Pure code that does something impure.
pub(crate) fn impure(source: &Source) -> Vec<String> {
    let is_in = |place: &str| source.path.strip_prefix(place).is_some_and(starts_anew);
    if PURE.into_iter().any(is_in) { uses(source, &IMPURE, tests(source)) } else { Vec::new() }
}

/// The line at which the tests in a file begin. By the style of this house they are its end.
fn tests(source: &Source) -> usize {
    let mut lines = source.text.lines().zip(source.text.lines().skip(1));
    let begins = |(line, next): (&str, &str)| {
        line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{')
    };
    lines.position(begins).unwrap_or(usize::MAX)
}

fn starts_anew(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// What was left for later, also in comments.
pub(crate) fn unfinished(source: &Source) -> Vec<String> {
    let lines = source.text.lines().enumerate();
    lines.flat_map(|(index, line)| named(source, index, line, &UNFINISHED)).collect()
}

/// Waiting for a time instead of for what should happen by then.
pub(crate) fn sleeps(source: &Source) -> Vec<String> {
    uses(source, &SLEEPS, usize::MAX)
}

/// A file that should be several.
pub(crate) fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let problem =
        format!("{}: {lines} lines, at most {MOST_LINES}; split it by meaning", source.path);
    if lines > MOST_LINES { vec![problem] } else { Vec::new() }
}

/// What a text for people says of our code, `Type::item` in backticks, that no source declares.
pub(crate) fn unknown_items(text: &Source, sources: &[Source]) -> Vec<String> {
    let lines = text.text.lines().enumerate();
    let named = lines.flat_map(|(index, line)| {
        let spans = line.split('`').skip(1).step_by(2);
        spans.filter_map(type_and_item).map(move |(name, item)| (index, name, item))
    });
    let unknown = named.filter(|(_, name, item)| {
        !sources.iter().any(|source| is_about(source, name) && declares(source, item))
    });
    let problem = |(index, name, item)| {
        format!("{}:{}: `{name}::{item}` is not in the sources", text.path, index + 1)
    };
    unknown.map(problem).collect()
}

/// `Type::item(…)` gives both names. Types of others are named with their path: `std::io::Error`.
fn type_and_item(span: &str) -> Option<(&str, &str)> {
    let (name, rest) = span.split_once("::")?;
    let item = rest.split(|c| !in_word(c)).next()?;
    let is_type = name.starts_with(|c: char| c.is_uppercase()) && name.chars().all(in_word);
    (is_type && !item.is_empty()).then_some((name, item))
}

/// Whether a file declares a type or says more of it.
fn is_about(source: &Source, name: &str) -> bool {
    let declared =
        ["struct ", "enum ", "trait ", "type "].map(|keyword| format!("{keyword}{name}"));
    source.text.lines().any(|line| {
        let code = code(line);
        declared.iter().any(|words| has_whole(code, words))
            || (code.starts_with("impl") && has_whole(code, name))
    })
}

/// Whether a file declares a function, a constant, a field or a variant of that name.
fn declares(source: &Source, item: &str) -> bool {
    let declared = ["fn ", "const ", "type "].map(|keyword| format!("{keyword}{item}"));
    source.text.lines().any(|line| {
        let code = code(line).trim();
        let field = code.strip_prefix("pub ").unwrap_or(code).strip_prefix(item);
        // A field, or a variant and what it has.
        let member = match field.map(|rest| rest.trim_start().chars().next()) {
            None => false,
            Some(next) if item.starts_with(|c: char| c.is_uppercase()) => {
                matches!(next, None | Some(',' | '{' | '('))
            }
            Some(next) => next == Some(':'),
        };
        member || declared.iter().any(|words| has_whole(code, words))
    })
}

/// Where the code of a file, without its comments and up to line `end`, has one of `words`.
fn uses(source: &Source, words: &[&str], end: usize) -> Vec<String> {
    let lines = source.text.lines().enumerate().take(end);
    lines.flat_map(|(index, line)| named(source, index, code(line), words)).collect()
}

fn named(source: &Source, index: usize, line: &str, words: &[&str]) -> Vec<String> {
    let words = words.iter().filter(|word| has(line, word));
    words.map(|word| format!("{}:{}: `{word}`", source.path, index + 1)).collect()
}

/// A line without its comment. `//` after a colon is that of an address.
fn code(line: &str) -> &str {
    let comments = line.match_indices("//").map(|(at, _)| at);
    let mut begins = comments.filter(|at| !line[..*at].ends_with(':'));
    begins.next().map_or(line, |at| &line[..at])
}

/// Whether `line` has `word`, and not just as the end of a longer one.
fn has(line: &str, word: &str) -> bool {
    let whole = |at: usize| !line[..at].ends_with(in_word) || !word.starts_with(in_word);
    line.match_indices(word).any(|(at, _)| whole(at))
}

/// Whether `line` has `words`, and not just as a part of longer ones.
fn has_whole(line: &str, words: &str) -> bool {
    let whole = |at: usize| {
        !line[..at].ends_with(in_word) && !line[at + words.len()..].starts_with(in_word)
    };
    line.match_indices(words).any(|(at, _)| whole(at))
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
