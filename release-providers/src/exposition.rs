//! Reads the Prometheus text exposition format 0.0.4, and the text format of `OpenMetrics` 1.0 where that is asked for.
//! Strict: what is not the format is an error.

use std::collections::BTreeMap;

use release_core::time::Timestamp;

/// Which of the two formats a text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 0.0.4: timestamps are whole milliseconds.
    Prometheus,
    /// `OpenMetrics`: timestamps are seconds, samples may have exemplars, and `# EOF` ends it.
    #[cfg(feature = "samples")]
    OpenMetrics,
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    /// Of when it is, if it says so.
    pub(crate) at: Option<Timestamp>,
}

/// A line that is not in the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not in the Prometheus text format: {problem}")]
pub(crate) struct ParseError {
    /// Counted from 1.
    line: usize,
    problem: &'static str,
}

/// Seconds since 1970 as an instant, to the millisecond.
#[cfg(feature = "samples")]
pub(crate) fn instant(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1_000.0).round();
    // Up to here each whole number is one of this type too.
    if !(-9.0e15..=9.0e15).contains(&millis) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within what was just checked")]
    (millis as i64).checked_mul(1_000).map(Timestamp::from_micros)
}

/// Reads all samples of a text that is whole: its last line has an end.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Sample>, ParseError> {
    if bytes.is_empty() || bytes.ends_with(b"\n") {
        return parse_lines(bytes, Dialect::Prometheus);
    }
    let line = bytes.split(|b| *b == b'\n').count();
    Err(ParseError { line, problem: "it has no line end, so the rest may be missing" })
}

/// Reads the samples of all lines that have an end; what comes after the last end is not looked at.
pub(crate) fn parse_lines(bytes: &[u8], dialect: Dialect) -> Result<Vec<Sample>, ParseError> {
    let mut samples = Vec::new();
    let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    lines.pop();
    let mut over = false;
    for (n, line) in lines.into_iter().enumerate() {
        let sample = match std::str::from_utf8(line) {
            Err(_) => Err("it is not UTF-8"),
            Ok(_) if over => Err("there is more after `# EOF`"),
            Ok(line) => read_line(line, dialect),
        };
        let line = sample.map_err(|problem| ParseError { line: n + 1, problem })?;
        over = line == Line::Eof;
        if let Line::Sample(sample) = line {
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// What a line is.
#[derive(Debug, PartialEq)]
enum Line {
    Sample(Sample),
    Comment,
    /// Nothing may come after it.
    Eof,
}

fn read_line(line: &str, dialect: Dialect) -> Result<Line, &'static str> {
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() {
        return Ok(Line::Comment);
    }
    if let Some(comment) = line.strip_prefix('#') {
        return read_comment(comment, dialect);
    }
    let (name, rest) = split_name(line, true).ok_or("a metric name is expected")?;
    let rest = skip(rest);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let rest = without_exemplar(rest, dialect)?;
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = read_number(words.next().ok_or("a value is expected")?)?;
    let at = words.next().map(|word| read_instant(word, dialect)).transpose()?;
    match words.next() {
        Some(_) => Err("there is more after the timestamp"),
        None => Ok(Line::Sample(Sample { name: name.to_owned(), labels, value, at })),
    }
}

fn without_exemplar(rest: &str, dialect: Dialect) -> Result<&str, &'static str> {
    let Some((own, exemplar)) = rest.split_once('#').filter(|_| dialect != Dialect::Prometheus)
    else {
        return Ok(rest);
    };
    let labels = skip(exemplar).strip_prefix('{').ok_or("an exemplar has labels")?;
    read_labels(labels).map(|_| own)
}

fn read_instant(word: &str, dialect: Dialect) -> Result<Timestamp, &'static str> {
    match dialect {
        Dialect::Prometheus => {
            let millis: i64 = word.parse().map_err(|_| "the timestamp is not a whole number")?;
            let micros = millis.checked_mul(1_000).ok_or("the timestamp is no instant")?;
            Ok(Timestamp::from_micros(micros))
        }
        #[cfg(feature = "samples")]
        Dialect::OpenMetrics => {
            let seconds = read_number(word).map_err(|_| "the timestamp is not a number")?;
            instant(seconds).ok_or("the timestamp is no instant")
        }
    }
}

fn read_comment(comment: &str, dialect: Dialect) -> Result<Line, &'static str> {
    let mut words = comment.split([' ', '\t']).filter(|word| !word.is_empty());
    let keyword = words.next();
    if dialect != Dialect::Prometheus && comment == " EOF" {
        return Ok(Line::Eof);
    }
    if !matches!(keyword, Some("HELP" | "TYPE")) {
        return Ok(Line::Comment);
    }
    let named =
        words.next().and_then(|name| split_name(name, true)).is_some_and(|n| n.1.is_empty());
    if !named {
        return Err("a metric name is expected after HELP or TYPE");
    }
    let known: &[&str] = match dialect {
        Dialect::Prometheus => &["counter", "gauge", "histogram", "summary", "untyped"],
        #[cfg(feature = "samples")]
        Dialect::OpenMetrics => &[
            "counter",
            "gauge",
            "histogram",
            "gaugehistogram",
            "stateset",
            "info",
            "summary",
            "unknown",
        ],
    };
    match (keyword, words.next(), words.next()) {
        (Some("TYPE"), Some(kind), None) if known.contains(&kind) => Ok(Line::Comment),
        (Some("TYPE"), ..) if dialect == Dialect::Prometheus => {
            Err("one of counter, gauge, histogram, summary, untyped is expected")
        }
        (Some("TYPE"), ..) => Err("a type of OpenMetrics is expected"),
        _ => Ok(Line::Comment),
    }
}

/// Splits off a name: letters, digits and `_`, in metric names also `:`, with no digit in front.
fn split_name(text: &str, colons: bool) -> Option<(&str, &str)> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let good = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
    good.then_some((name, rest))
}

fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

type Labels = BTreeMap<String, String>;

fn read_labels(text: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = BTreeMap::new();
    let mut rest = skip(text);
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = split_name(rest, false).ok_or("a label name is expected")?;
        let after = skip(after).strip_prefix('=').ok_or("`=` is expected after a label name")?;
        let after = skip(after).strip_prefix('"').ok_or("a label value begins with `\"`")?;
        let (value, after) = read_value(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err("a label is named twice");
        }
        rest = skip(after);
        match rest.strip_prefix(',') {
            Some(after) => rest = skip(after),
            None if rest.starts_with('}') => {}
            None => return Err("`,` or `}` is expected after a label"),
        }
    }
}

fn read_value(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.push(match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                _ => return Err("`\\` goes before `\\`, `\"` or `n` only"),
            }),
            c => value.push(c),
        }
    }
    Err("a label value does not end")
}

fn read_number(word: &str) -> Result<f64, &'static str> {
    match word {
        "NaN" => Ok(f64::NAN),
        "+Inf" | "Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        // Rust also reads `inf`, `infinity` and `nan` in any case, which are not in the format.
        _ if !word.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => {
            Err("the value is not a number")
        }
        _ => word.parse().map_err(|_| "the value is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn value(line: &str) -> f64 {
        let samples = parse(format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(samples.len(), 1, "{line}");
        samples[0].value
    }

    #[track_caller]
    fn bad(text: &[u8], line: usize) {
        assert_eq!(parse(text).unwrap_err().line, line, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn numbers_are_read_as_written() {
        let exact = |line, want: f64| assert_eq!(value(line).to_bits(), want.to_bits(), "{line}");
        exact("a 1", 1.0);
        exact("a\t-1.5 ", -1.5);
        exact("a 1.25e+3 1395066363000", 1250.0);
        exact("a{} 2E-2 -5", 0.02);
        exact("a:b_c +Inf", f64::INFINITY);
        exact("a Inf", f64::INFINITY);
        exact("a -Inf", f64::NEG_INFINITY);
        assert!(value("a NaN").is_nan());
    }

    #[test]
    fn labels_are_read_with_their_escapes() {
        let text = b"# HELP a some \\n help\n# TYPE a counter\n\n# a comment\n\
                     a { x = \"1\" , path=\"C:\\\\D\\n\\\"E\\\"\", } 3\n";
        let samples = parse(text).unwrap();
        let labels = [("x", "1"), ("path", "C:\\D\n\"E\"")];
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(samples, [Sample { name: "a".into(), labels, value: 3.0, at: None }]);
        assert_eq!(parse(b""), Ok(vec![]));
    }

    #[test]
    fn instants_are_read_as_either_format_has_them() {
        let at = |text: &str, dialect| {
            let samples = parse_lines(text.as_bytes(), dialect).unwrap();
            samples.iter().map(|sample| sample.at.map(Timestamp::as_micros)).collect::<Vec<_>>()
        };
        assert_eq!(
            at("a 1\na 2 1500\na 3 -1\n", Dialect::Prometheus),
            [None, Some(1_500_000), Some(-1_000)]
        );
        let text =
            "# TYPE a unknown\n# UNIT a seconds\na 1 1500.25\na 2 7 # {trace=\"#\"} 0.5 7\n# EOF\n";
        assert_eq!(at(text, Dialect::OpenMetrics), [Some(1_500_250_000), Some(7_000_000)]);
        let problem = |text: &str| parse_lines(text.as_bytes(), Dialect::OpenMetrics).unwrap_err();
        assert_eq!(problem("a 1 1\n# EOF\na 2 2\n").line, 3);
        assert_eq!(problem("# TYPE a untyped\n").line, 1);
        assert_eq!(problem("a 1 later\n").line, 1);
        assert_eq!(problem("a 1 # 0.5\n").line, 1);
    }

    #[test]
    fn a_line_without_an_end_is_not_looked_at() {
        let whole = |text: &str| parse_lines(text.as_bytes(), Dialect::Prometheus).unwrap().len();
        assert_eq!([whole("a 1\nb 12"), whole("a 1\n{"), whole("a 1"), whole("")], [1, 1, 0, 0]);
    }

    #[test]
    fn what_is_not_the_format_is_refused_with_its_line() {
        bad(b"a 1\nb 2", 2); // cut off
        bad(b"a 1\n\xff\xfe 2\n", 2);
        for line in [
            "1a 1",
            "a",
            "a x",
            "a nan",
            "a inf",
            "a 1 2 3",
            "a 1 1.5",
            "a{x} 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{x=\"1\"",
            "a{x=\"\\t\"} 1",
            "a{x=\"1\" y=\"2\"} 1",
            "a{,} 1",
            "a{x=\"1\",x=\"2\"} 1",
            "a{x:y=\"1\"} 1",
            "# TYPE a number",
            "# TYPE a",
            "# HELP",
            "a 0x10",
            "a 1_000",
            "<html>",
        ] {
            bad(format!("ok 1\n{line}\n").as_bytes(), 2);
        }
    }
}
