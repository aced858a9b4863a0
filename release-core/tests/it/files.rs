//! Definition files: what is read, and what is said of files that are wrong.

use std::fmt::Write as _;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::model::{Definition, FileError, Service};

use super::support::random;
use super::support::samples::{artifact, id, shop};

const YAML: &str = include_str!("../golden/definition/v1/shop.yaml");
const TOML: &str = include_str!("../golden/definition/v1/shop.toml");

#[test]
fn golden_files_of_every_notation_mean_the_same() {
    assert_eq!(Definition::parse("shop.yaml", YAML).unwrap(), shop());
    assert_eq!(Definition::parse("shop.TOML", TOML).unwrap(), shop());
}

#[test]
fn the_json_schema_is_the_one_that_was_reviewed() {
    let schema = serde_json::to_string_pretty(&Definition::json_schema()).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/definition/v1/schema.json");
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema.json");
    if golden != schema {
        std::fs::write(&new, &schema).unwrap();
    }
    let (golden, new) = (path.display(), new.display());
    assert!(golden_is(&schema), "the schema changed; review it, then: cp {new} {golden}");
}

fn golden_is(schema: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/definition/v1/schema.json");
    std::fs::read_to_string(path).is_ok_and(|golden| golden == schema)
}

#[test]
fn the_json_schema_forbids_unknown_fields_everywhere() {
    let schema = Definition::json_schema();
    let mut objects = 0;
    let mut todo = vec![&schema];
    while let Some(value) = todo.pop() {
        if let Some(properties) = value.get("properties") {
            objects += 1;
            assert_eq!(value["additionalProperties"], false, "{value:#}");
            let known: Vec<_> = properties.as_object().unwrap().keys().collect();
            let required = value["required"].as_array().into_iter().flatten();
            required.for_each(|name| assert!(known.contains(&&name.as_str().unwrap().to_owned())));
        }
        match value {
            serde_json::Value::Object(map) => todo.extend(map.values()),
            serde_json::Value::Array(list) => todo.extend(list),
            _ => {}
        }
    }
    assert!(objects >= 15, "{objects}");
    let required = |name: &str| &schema["$defs"][name]["required"];
    assert_eq!(
        schema["required"],
        serde_json::json!(["format", "train", "services", "environments", "release", "stages"])
    );
    assert_eq!(*required("Service"), serde_json::json!(["id", "owner"]));
    assert_eq!(*required("Stage"), serde_json::json!(["environment", "strategy"]));
}

/// The schema accepts what the reader accepts: a small validator for the words that it uses.
#[test]
fn a_valid_definition_fits_the_schema() {
    let schema = Definition::json_schema();
    let json = serde_json::to_value(shop()).unwrap();
    assert_eq!(fits(&schema, &schema, &json), Ok(()));
    let mut wrong = json.clone();
    wrong["services"][0]["colour"] = "red".into();
    assert!(fits(&schema, &schema, &wrong).is_err());
    let mut wrong = json;
    wrong.as_object_mut().unwrap().remove("train");
    assert!(fits(&schema, &schema, &wrong).is_err());
}

type Json = serde_json::Value;

fn fits(root: &Json, schema: &Json, value: &Json) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/$defs/");
        return fits(root, &root["$defs"][name], value);
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(options) = schema[word].as_array() {
            let fitting = options.iter().filter(|option| fits(root, option, value).is_ok()).count();
            if fitting == 0 || (word == "oneOf" && fitting > 1) {
                return Err(format!("{value} fits {fitting} of {schema:#}"));
            }
        }
    }
    if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
        return Err(format!("{value} is not {constant}"));
    }
    if let Some(names) = schema["enum"].as_array().filter(|names| !names.contains(value)) {
        return Err(format!("{value} is none of {names:?}"));
    }
    let types: Vec<_> = match &schema["type"] {
        Json::Array(types) => types.iter().filter_map(Json::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    if !types.is_empty() && !types.iter().any(|name| is(name)) {
        return Err(format!("{value} is no {types:?}"));
    }
    if let (Some(list), Some(items)) = (value.as_array(), schema.get("items")) {
        list.iter().try_for_each(|item| fits(root, items, item))?;
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        object.get(name).ok_or(format!("`{name}` is missing in {value}"))?;
    }
    for (name, item) in object {
        // Ids as keys: the only pattern in use.
        let patterns = schema["patternProperties"].as_object();
        if let Some(by_pattern) = patterns.and_then(|patterns| patterns.values().next()) {
            fits(root, by_pattern, item)?;
            continue;
        }
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Json::Null, Json::Bool(false)) => return Err(format!("unknown field `{name}`")),
            (Json::Null, Json::Null | Json::Bool(true)) => {}
            (Json::Null, other) => fits(root, other, item)?,
            (known, _) => fits(root, known, item)?,
        }
    }
    Ok(())
}

/// A golden file with `from` replaced by `to`, and the error that it gives.
#[track_caller]
fn broken(file: &str, from: &str, to: &str) -> FileError {
    let text = if file.ends_with("toml") { TOML } else { YAML };
    assert!(text.contains(from), "{file} has no `{from}`");
    let error = Definition::parse(file, &text.replacen(from, to, 1)).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{file}:")), "{error}");
    assert!(!error.help.is_empty() && !error.problem.is_empty(), "{error}");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

/// Both notations name the path, the expectation and the line where the replaced text stands.
#[track_caller]
fn check(from: [&str; 2], to: &str, path: &str, expected: &str) {
    for (file, text, from) in [("shop.yaml", YAML, from[0]), ("shop.toml", TOML, from[1])] {
        let error = broken(file, from, to);
        assert_eq!(error.path.as_deref(), Some(path), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let at = text.find(from).unwrap();
        let line = text[..at].matches('\n').count() + 1;
        let position = error.position.unwrap_or_else(|| panic!("no position: {error}"));
        assert!(position.line.abs_diff(line) <= 1, "line {line}, but {error}");
        assert!(position.column >= 1);
    }
}

#[test]
fn errors_name_place_expectation_and_help() {
    let same = |text| [text, text];
    check(same("2.1.0"), "2.1", "release.versions.api.version", "unexpected end of input");
    check(same(">=2.0, <3"), "two", "services[2].depends_on[0].version", "unexpected character");
    check(same("platform"), "Platform", "environments[0].owner", "must begin with a lower-case");
    check(same("1h"), "soon", "stages[1].gates[1].soak", "is not a duration");
    check(same("2026-11-23T14:00:00.000000Z"), "noon", "stages[1].gates[2].not_before", "RFC 3339");
    check(same("staging"), "Staging", "environments[0].id", "must begin with a lower-case");
    let digest = "@sha256:f491f5bd49ebe9d9a4ebb6d7d8a7f12dcd1d95a778ef492b2d185911d586d237";
    check(same(digest), ":v2", "release.versions.api.artifact", "a tag alone can move");
    check(
        same(digest),
        "@sha256:F491",
        "release.versions.api.artifact",
        "64 lower-case hexadecimal",
    );
    let type_error = broken("shop.yaml", "replicas: 3", "replicas: many");
    assert_eq!(type_error.path.as_deref(), Some("services[1].replicas"));
    let type_error = broken("shop.toml", "replicas = 3", "replicas = \"many\"");
    assert_eq!(type_error.path.as_deref(), Some("services[1].replicas"));
    assert!(type_error.problem.contains("invalid type: string"), "{type_error}");
    assert_eq!(type_error.help, "write a value of the expected type");
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let error = broken("shop.yaml", "replicas: 3", "replica: 3");
    assert_eq!(
        error.to_string(),
        "shop.yaml:12:3: at `services[1].replica`: unknown field `replica`, expected one of id, \
         owner, depends_on, replicas, semaphores, runbook; remove it, or use one of the names listed"
    );
    assert_eq!(error.help, "remove it, or use one of the names listed");
    let error = broken("shop.toml", "replicas = 3", "replica = 3");
    assert!(
        error.problem.contains("expected one of") && error.problem.contains("`replicas`"),
        "{error}"
    );
    let error = broken("shop.yaml", "strategy: recreate", "strategy: replace");
    assert!(error.problem.contains("blue_green") && error.problem.contains("canary"), "{error}");
    assert_eq!(error.path.as_deref(), Some("stages[0].strategy"));
    let error = broken("shop.toml", "strategy = \"recreate\"", "strategy = \"replace\"");
    assert!(error.problem.contains("blue_green"), "{error}");
}

#[test]
fn missing_and_doubled_fields_are_named() {
    for (file, from, to) in [
        ("shop.yaml", "- id: db\n  owner: team-a", "- id: db"),
        ("shop.toml", "id = \"db\"\nowner = \"team-a\"", "id = \"db\""),
    ] {
        let error = broken(file, from, to);
        assert!(error.problem.contains("missing field `owner`"), "{error}");
        assert_eq!(error.path.as_deref(), Some("services[0]"));
        assert!(error.position.is_some() && error.help.starts_with("add it"), "{error}");
    }
    let error = broken("shop.yaml", "train: shop", "train: shop\ntrain: shop");
    assert!(error.problem.contains("duplicate"), "{error}");
    assert_eq!((error.position.unwrap().line, error.help.as_str()), (3, "keep one of the two"));
    let error = broken("shop.toml", "train = \"shop\"", "train = \"shop\"\ntrain = \"shop\"");
    assert!(error.problem.contains("duplicate"), "{error}");
    assert_eq!((error.position.unwrap().line, error.help.as_str()), (3, "keep one of the two"));
    let error = broken(
        "shop.yaml",
        "    web:\n      version: \"3.0.0\"",
        "    api:\n      version: \"3.0.0\"",
    );
    assert!(error.problem.contains("duplicate"), "a service twice in a set: {error}");
}

#[test]
fn other_formats_and_types_are_refused() {
    let error = broken("shop.yaml", "release/v1", "release/v2");
    assert_eq!(error.path.as_deref(), Some("format"));
    assert!(error.help.contains("release/v1"), "{error}");
    let error = broken("shop.yaml", "replicas: 3", "replicas: -3");
    assert_eq!(error.path.as_deref(), Some("services[1].replicas"), "{error}");
    let error = broken("shop.yaml", "replicas: 3", "replicas: 4294967296");
    assert_eq!(error.path.as_deref(), Some("services[1].replicas"), "{error}");
    let error = broken("shop.yaml", "weight: 10", "weight: 300");
    assert!(error.path.as_deref().is_some_and(|path| path.ends_with("steps[0].weight")), "{error}");
}

#[test]
fn bounds_are_finite_numbers() {
    for bad in [".nan", ".NaN", ".inf", "-.inf"] {
        let error = broken("shop.yaml", "at_most: 0.05", &format!("at_most: {bad}"));
        assert!(error.problem.contains("NaN and infinities"), "{error}");
    }
    for bad in ["nan", "inf", "-inf"] {
        let error = broken("shop.toml", "at_most = 0.05", &format!("at_most = {bad}"));
        assert!(error.problem.contains("NaN and infinities"), "{error}");
    }
}

#[test]
fn f44_an_alias_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let fields = format!("{bomb}format: release/v1\nnotify: *a11\n");
    Definition::parse("bomb.yaml", &fields).unwrap_err();
    // Where a field takes the value that was multiplied: 10^12 channels.
    let inside = "format: release/v1\ntrain: t\nnotify:\n".to_owned();
    let mut level = String::from("  - &b0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let aliases = vec![format!("*b{}", n - 1); 10].join(", ");
        writeln!(level, "  - &b{n} [{aliases}]").unwrap();
    }
    Definition::parse("bomb.yaml", &(inside + &level)).unwrap_err();
}

#[test]
fn f44_deep_nesting_needs_no_stack() {
    let deep = 5_000;
    let texts = [
        ("deep.yaml", format!("format: {}{}", "[".repeat(deep), "]".repeat(deep))),
        ("deep.yaml", format!("train: {}x{}", "{a: ".repeat(deep), "}".repeat(deep))),
        ("deep.yaml", (0..deep).flat_map(|n| [" ".repeat(n), "a:\n".into()]).collect()),
        ("deep.yaml", format!("notify: {}x", "- ".repeat(deep))),
        ("deep.toml", format!("format = {}{}", "[".repeat(deep), "]".repeat(deep))),
        ("deep.toml", format!("train = {}1{}", "{a = ".repeat(deep), "}".repeat(deep))),
        ("deep.toml", format!("{}a = 1", "a.".repeat(deep))),
        ("deep.toml", format!("[{}a]", "a.".repeat(deep))),
    ];
    for (file, text) in texts {
        let read = move || Definition::parse(file, &text).map(drop);
        let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(read).unwrap();
        thread.join().expect("no overflow, no panic").unwrap_err();
    }
}

#[test]
fn f44_a_huge_file_is_refused_before_it_is_read() {
    let error = Definition::parse("big.yaml", &"#".repeat((64 << 20) + 1)).unwrap_err();
    assert!(error.problem.contains("more than"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn definitions_survive_both_notations(definition in random::definition()) {
        let yaml = definition.to_yaml().unwrap();
        prop_assert_eq!(&Definition::parse("a.yaml", &yaml).unwrap(), &definition);
        let toml = toml::to_string(&definition).unwrap();
        let parsed = Definition::parse("a.toml", &toml).unwrap();
        prop_assert_eq!(parsed.digest(), definition.digest());
        prop_assert_eq!(parsed, definition);
    }
}

/// Numbers, words and signs that mean something somewhere.
const TOKENS: [&str; 24] = [
    "-1",
    "18446744073709551616",
    "1e999",
    ".nan",
    "null",
    "~",
    "[]",
    "{}",
    "&a",
    "*a",
    "<<: *a",
    "!!binary",
    "---",
    "...",
    "\t",
    "\u{feff}",
    "\u{0}",
    "9999999999999999999years",
    "0xff",
    "|",
    "\"",
    "%YAML 9.9",
    "9999-99-99T99:99:99Z",
    "+262144-01-01T00:00:00Z",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn f44_random_bytes_never_panic(bytes in vec(proptest::num::u8::ANY, 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(Definition::parse("a.yaml", &text).is_err());
        prop_assert!(Definition::parse("a.toml", &text).is_err());
    }

    #[test]
    fn f44_random_mutations_never_panic(
        at in proptest::num::usize::ANY, cut in 0_usize..40, token in 0..TOKENS.len(),
    ) {
        for (file, text) in [("a.yaml", YAML), ("a.toml", TOML)] {
            let from = at % text.len(); // the golden files are ASCII
            let to = (from + cut).min(text.len());
            let mutated = [&text[..from], TOKENS[token], &text[to..]].concat();
            if let Err(error) = Definition::parse(file, &mutated) {
                let lines = mutated.lines().count() + 1;
                prop_assert!(error.position.is_none_or(|at| (1..=lines).contains(&at.line)), "{}", error);
            }
        }
    }
}

/// A definition of a hundred thousand lines is large, and one.
#[test]
fn a_definition_of_many_services_is_read_back() {
    const SERVICES: usize = 30_000;
    let names = || (0..SERVICES).map(|number| format!("s{number}"));
    let mut definition = shop();
    definition.services.clear();
    for name in names() {
        definition.services.push(Service::new(id(&name), id("team")));
        let versions = std::mem::take(&mut definition.release.versions);
        definition.release.versions =
            versions.with(id(&name), id("1.0.0"), artifact(&name, "1.0.0"));
    }
    let yaml = definition.to_yaml().unwrap();
    // Every line has at least a name and a value: more than the 250,000 that the reader takes by itself.
    assert!(yaml.lines().count() > 4 * SERVICES, "{}", yaml.lines().count());
    assert!(Definition::parse("many.yaml", &yaml).unwrap() == definition);
}
