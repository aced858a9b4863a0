//! What is said of a dozen wrong files, word for word, and of bytes that are no text at all.

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::model::{Definition, FileErrorKind, Position};

const YAML: &str = include_str!("../golden/definition/v1/shop.yaml");
const TOML: &str = include_str!("../golden/definition/v1/shop.toml");

/// The golden file with `from` replaced by `to` gives exactly this, after the file's name.
#[track_caller]
fn check(file: &str, from: &str, to: &str, kind: FileErrorKind, want: &str) {
    let text = if file.ends_with("toml") { TOML } else { YAML };
    assert!(text.contains(from), "{file} has no `{from}`");
    let error = Definition::parse(file, &text.replacen(from, to, 1)).unwrap_err();
    assert_eq!(error.to_string(), format!("{file}:{want}"));
    assert_eq!(error.kind, kind, "{error}");
}

#[test]
fn a_toml_name_of_too_many_parts_has_a_line() {
    let name = vec!["a"; 100].join(".");
    let text = format!("format = \"release/v1\"\n{name} = 1\n");
    let error = Definition::parse("deep.toml", &text).unwrap_err();
    let want = "deep.toml:2:1: a name of too many parts; write a name of this format";
    assert_eq!((error.to_string().as_str(), error.kind), (want, FileErrorKind::Syntax));
}

#[test]
fn values_that_do_not_fit_are_told_without_the_parsers_words() {
    let yaml = |from: &str, to: &str, want: &str| {
        check("shop.yaml", from, to, FileErrorKind::Content, want);
    };
    let weight = "at `stages[1].strategy.canary.steps[0].weight`";
    for number in ["300", "-1", "101"] {
        let problem = "is no share of the traffic; write a whole number from 0 to 100";
        yaml(
            "weight: 10",
            &format!("weight: {number}"),
            &format!("95:17: {weight}: `{number}` {problem}"),
        );
        check(
            "shop.toml",
            "weight = 10",
            &format!("weight = {number}"),
            FileErrorKind::Content,
            &format!("120:10: {weight}: `{number}` {problem}"),
        );
    }
    yaml(
        "weight: 10",
        "weight: ten",
        &format!(
            "95:17: {weight}: `ten` is not a whole number; write digits without quotes or a unit"
        ),
    );
    let replicas = "at `services[1].replicas`";
    yaml(
        "replicas: 3",
        "replicas: many",
        &format!(
            "12:13: {replicas}: `many` is not a whole number from 0 to 4294967295; write digits without quotes or a unit"
        ),
    );
    yaml(
        "replicas: 3",
        "replicas:",
        &format!(
            "12:11: {replicas}: there is no value, expected a whole number from 0 to 4294967295; write digits without quotes or a unit"
        ),
    );
}

#[test]
fn values_of_another_kind_are_told_without_the_parsers_words() {
    let yaml = |from, to, want| check("shop.yaml", from, to, FileErrorKind::Content, want);
    yaml(
        "at_most: 0.05",
        "at_most: 5%",
        "41:14: at `analyses[0].success.at_most`: `5%` is not a number; write digits without a unit, for example `0.05`",
    );
    yaml(
        "regions:\n  - eu\n- id: production",
        "regions: eu\n- id: production",
        "23:12: at `environments[0].regions`: another kind of value, expected a list; write `[a, b]`, or lines that begin with `- `",
    );
    yaml(
        "strategy: recreate",
        "strategy: canary",
        "80:3: at `stages[0].strategy.canary`: `canary` needs settings; write them below the name; the JSON Schema (`Definition::json_schema`) lists them",
    );
    yaml(
        "strategy: recreate",
        "strategy: {recreate: {}}",
        "79:24: at `stages[0].strategy.recreate`: `recreate` has no settings; write the name alone",
    );
    yaml(
        "tier: staging",
        "tier: qa",
        "21:9: at `environments[0].tier`: unknown value `qa`, expected one of development, test, staging, production; use one of the names listed",
    );
    yaml(
        "step_timeout: 1m",
        "step_timeout: 60",
        "80:17: at `stages[0].step_timeout`: `60` is not a duration: it has no unit; write a number and a unit, for example `300ms`, `30s`, `5m`, `2h`",
    );
}

#[test]
fn values_that_do_not_fit_are_told_in_toml_too() {
    let toml = |from: &str, to: &str, want: &str| {
        check("shop.toml", from, to, FileErrorKind::Content, want);
    };
    toml(
        "replicas = 3",
        "replicas = 4294967296",
        "13:12: at `services[1].replicas`: `4294967296` is not a whole number from 0 to 4294967295; write digits without quotes or a unit",
    );
    toml(
        "at_most = 0.05",
        "at_most = \"5%\"",
        "55:11: at `analyses[0].success.at_most`: invalid type: string \"5%\", expected a number; write a value of the expected type",
    );
    toml(
        "\"2026-11-23T14:00:00.000000Z\"",
        "2026-11-23T14:00:00Z",
        "114:14: at `stages[1].gates[2].not_before`: invalid type: a TOML date, expected text; write it as text in quotes",
    );
    toml(
        "strategy = \"recreate\"",
        "strategy = {}",
        "92:12: at `stages[0].strategy`: expected a name, or one name and its settings; write one of the names that the JSON Schema (`Definition::json_schema`) lists",
    );
    let path = "at `release.versions.api.version`";
    toml(
        "\"2.1.0\"",
        "2.1",
        &format!(
            "63:11: {path}: invalid type: floating point `2.1`, expected text; write it as text in quotes"
        ),
    );
}

#[test]
fn versions_are_shown_a_good_one() {
    let version = "`2.1` is not a version: unexpected end of input while parsing minor version number; write three numbers, for example `2.1.0`";
    let range = "`two` is not a range of versions: unexpected character 't' while parsing major version number; write one as Cargo does, for example `^2.1` or `>=2.0, <3`";
    let (path, needs) = ("release.versions.api.version", "services[1].depends_on[0].version");
    for (file, from, to, want) in [
        ("shop.yaml", "\"2.1.0\"", "2.1", format!("53:16: at `{path}`: {version}")),
        ("shop.toml", "\"2.1.0\"", "\"2.1\"", format!("63:11: at `{path}`: {version}")),
        ("shop.yaml", "^1", "two", format!("11:14: at `{needs}`: {range}")),
        ("shop.toml", "^1", "two", format!("17:11: at `{needs}`: {range}")),
    ] {
        check(file, from, to, FileErrorKind::Content, &want);
    }
}

#[test]
fn faults_of_the_notation_are_told_as_such() {
    let yaml = |from, to, want| check("shop.yaml", from, to, FileErrorKind::Syntax, want);
    yaml(
        "train: shop",
        "train: shop\ntrain: shop",
        "3:1: duplicate key `train`; keep one of the two",
    );
    yaml(
        "notify:\n- ops",
        "notify:\n- ops\n---\nformat: release/v1",
        "112:1: the file holds more than one document, expected one definition; remove the `---` and what belongs to the other, or write it to a file of its own",
    );
    yaml(
        "train: shop",
        "train: *shop",
        "2:8: the alias stands for an anchor that is not there; define it before with `&name`, or write the value itself; text that begins with `*` needs quotes",
    );
    yaml(
        "  replicas: 3",
        "\treplicas: 3",
        "11:14: at `services[1].depends_on[0]`: while scanning a plain scalar, found a tab; indent with spaces, not with tabs",
    );
    let toml = |from, to, want| check("shop.toml", from, to, FileErrorKind::Syntax, want);
    let train = "train = \"shop\"";
    toml(
        train,
        "train = \"shop\"\ntrain = \"shop\"",
        "3:1: duplicate key `train`; keep one of the two",
    );
    toml(
        train,
        "train = shop",
        "2:9: string values must be quoted, expected text in quotes; mend the notation (TOML) here or just before: text needs quotes, names need `=` and a value",
    );
}

/// Found in review: a file of another format was first told that its fields are unknown.
#[test]
fn the_format_is_looked_at_first() {
    let other = |found: &str, header: &str| {
        format!(
            "at `format`: format is {found}, expected `release/v1`; write `{header}`, or use a release of this library that knows the other format"
        )
    };
    let (yaml, toml) = ("format: release/v1", "format = \"release/v1\"");
    for (file, text, want) in [
        (
            "a.yaml",
            "colour: red\nformat: release/v2\n",
            format!("2:9: {}", other("`release/v2`", yaml)),
        ),
        (
            "a.toml",
            "colour = 1\nformat = \"release/v2\"\n",
            format!("2:10: {}", other("`release/v2`", toml)),
        ),
        ("a.yaml", "train: [shop]\nformat: 1", format!("2:9: {}", other("`1`", yaml))),
        ("a.yaml", "format: [release/v1]", format!("1:9: {}", other("a list", yaml))),
        ("a.yaml", "\u{feff}format: release/v2", format!("1:9: {}", other("`release/v2`", yaml))),
        (
            "a.yaml",
            "train: Shop",
            format!("1:1: missing field `format`; begin the file with `{yaml}`"),
        ),
        ("a.toml", "[[x]]", format!("1:1: missing field `format`; begin the file with `{toml}`")),
        (
            "a.yaml",
            "# nothing yet",
            format!("1:1: missing field `format`; begin the file with `{yaml}`"),
        ),
    ] {
        let error = Definition::parse(file, text).unwrap_err();
        assert_eq!(error.to_string(), format!("{file}:{want}"));
        assert_eq!(error.kind, FileErrorKind::Format);
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let error = Definition::from_bytes("a.yaml", b"train: x\n# \xc3\xa9 \xe9\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.yaml:2:5: the byte 0xe9 at offset 14 is not UTF-8, expected text; save it as UTF-8, or give the right file"
    );
    assert_eq!(error.kind, FileErrorKind::NotUtf8 { offset: 14 });
    let wide: Vec<u8> = "\u{feff}train".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = Definition::from_bytes("a.toml", &wide).unwrap_err();
    assert_eq!(error.position, Some(Position { line: 1, column: 1 }));
    assert_eq!(error.help, "it looks like UTF-16; save it as UTF-8");
    assert_eq!(
        Definition::from_bytes("a.yaml", YAML.as_bytes()),
        Definition::parse("a.yaml", YAML)
    );
    let huge = Definition::from_bytes("a.yaml", &vec![0xff; (64 << 20) + 1]).unwrap_err();
    assert_eq!(huge.kind, FileErrorKind::TooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_give_an_error_that_people_can_read(bytes in vec(proptest::num::u8::ANY, 0..200)) {
        for file in ["a.yaml", "a.toml"] {
            let error = Definition::from_bytes(file, &bytes).unwrap_err();
            let text = error.to_string();
            prop_assert!(text.starts_with(&format!("{file}:")), "{text}");
            prop_assert!(!text.contains(char::is_control), "{text:?}");
            prop_assert!(!error.problem.is_empty() && !error.help.is_empty(), "{text}");
        }
    }
}
