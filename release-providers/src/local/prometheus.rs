//! Reads the Prometheus text exposition format 0.0.4. Strict: what is not the format is an error.

use std::collections::BTreeMap;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// A line that is not in the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not in the Prometheus text format: {problem}")]
pub(super) struct ParseError {
    /// Counted from 1.
    line: usize,
    problem: &'static str,
}

/// Reads all samples. Their timestamps are checked and forgotten.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Sample>, ParseError> {
    let mut samples = Vec::new();
    if bytes.is_empty() {
        return Ok(samples);
    }
    let Some(whole) = bytes.strip_suffix(b"\n") else {
        let line = bytes.split(|b| *b == b'\n').count();
        return Err(ParseError { line, problem: "it has no line end, so the rest may be missing" });
    };
    for (n, line) in whole.split(|b| *b == b'\n').enumerate() {
        let sample = std::str::from_utf8(line).map_err(|_| "it is not UTF-8").and_then(read_line);
        let sample = sample.map_err(|problem| ParseError { line: n + 1, problem })?;
        samples.extend(sample);
    }
    Ok(samples)
}

fn read_line(line: &str) -> Result<Option<Sample>, &'static str> {
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() {
        return Ok(None);
    }
    if let Some(comment) = line.strip_prefix('#') {
        return read_comment(comment).map(|()| None);
    }
    let (name, rest) = split_name(line, true).ok_or("a metric name is expected")?;
    let rest = skip(rest);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = read_number(words.next().ok_or("a value is expected")?)?;
    if let Some(timestamp) = words.next() {
        timestamp.parse::<i64>().map_err(|_| "the timestamp is not a whole number")?;
    }
    match words.next() {
        Some(_) => Err("there is more after the timestamp"),
        None => Ok(Some(Sample { name: name.to_owned(), labels, value })),
    }
}

fn read_comment(comment: &str) -> Result<(), &'static str> {
    let mut words = comment.split([' ', '\t']).filter(|word| !word.is_empty());
    let keyword = words.next();
    if !matches!(keyword, Some("HELP" | "TYPE")) {
        return Ok(());
    }
    let named =
        words.next().and_then(|name| split_name(name, true)).is_some_and(|n| n.1.is_empty());
    if !named {
        return Err("a metric name is expected after HELP or TYPE");
    }
    let known = ["counter", "gauge", "histogram", "summary", "untyped"];
    match (keyword, words.next(), words.next()) {
        (Some("TYPE"), Some(kind), None) if known.contains(&kind) => Ok(()),
        (Some("TYPE"), ..) => Err("one of counter, gauge, histogram, summary, untyped is expected"),
        _ => Ok(()),
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
        assert_eq!(samples, [Sample { name: "a".into(), labels, value: 3.0 }]);
        assert_eq!(parse(b""), Ok(vec![]));
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
