//! F44: definitions that somebody wrote to do harm. All are refused with a typed error before anything moves.
//!
//! There is nothing to inject into and nothing to match with: no field of a definition is a template, a path, a
//! command or a regular expression. So what is left are names, numbers, sizes and circles.

use proptest::prelude::*;
use release_core::model::{Definition, EnvironmentId, ServiceId, StepId};
use release_core::plan::plan;

use super::support::samples::shop;

const YAML: &str = include_str!("../golden/definition/v1/shop.yaml");

/// The golden file with one text replaced by another, wherever it stands.
#[track_caller]
fn refused(from: &str, to: &str) -> String {
    assert!(YAML.contains(from), "no `{from}`");
    Definition::parse("shop.yaml", &YAML.replace(from, to)).expect_err(to).to_string()
}

#[test]
fn f44_names_that_look_alike_escape_or_expand_are_refused() {
    let names = [
        "\u{455}taging",            // a Cyrillic letter that looks like an s
        "st\u{430}ging",            // and one like an a
        "staging\u{200b}",          // a space without width
        "\"\\u202Egnigats\"",       // right to left
        "\"staging\\0\"",           // an end of text
        "../../etc",                // out of the directory
        "..",                       //
        "a/b",                      // into another
        "\"${{ secrets.TOKEN }}\"", // templates of several tools
        "\"{{ .Values.image }}\"",
        "\"$(id)\"",
        "\"`id`\"",
        "\"%2e%2e%2f\"",
        "\"a b\"",
        "\"-rf\"",
        "STAGING",
        "\"\"",
        "\"1\\n2\"",
    ];
    for name in names {
        let error = refused("id: staging", &format!("id: {name}"));
        assert!(error.contains("environments[0].id"), "{name}: {error}");
        assert!(!error.contains('\n') && error.len() < 600, "{name}: {error}");
    }
}

proptest! {
    /// Whatever a name is accepted as, it is made of letters, digits and three signs, and is no path.
    #[test]
    fn f44_no_name_holds_anything_but_its_alphabet(text in "\\PC{0,80}|[a-z0-9./_-]{0,12}") {
        let fits = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
                && part.len() <= 320
        };
        if let Ok(id) = text.parse::<EnvironmentId>() {
            prop_assert!(fits(id.as_str()) && id.as_str() == text);
        }
        if let Ok(id) = text.parse::<ServiceId>() {
            prop_assert!(fits(id.as_str()) && id.as_str() == text);
        }
        if let Ok(id) = text.parse::<StepId>() {
            prop_assert!(id.as_str().split('/').all(fits), "{}", id);
        }
    }
}

#[test]
fn f44_durations_and_counts_beyond_all_bounds_are_refused() {
    for span in ["18446744073709551616s", "99999999999999999999999999h", "-1h", "1e99h"] {
        let error = refused("soak: 1h", &format!("soak: {span}"));
        assert!(error.contains("stages[1].gates[1].soak"), "{span}: {error}");
    }
    for count in ["18446744073709551616", "4294967296", "-1", "1e99", "0x7fffffffffffffff"] {
        let error = refused("replicas: 3", &format!("replicas: {count}"));
        assert!(error.contains("services[1].replicas"), "{count}: {error}");
    }
    // The longest that can be said can be read, and no plan is made of it.
    let longest = YAML.replace("soak: 1h", "soak: 18446744073709551615s");
    let definition = Definition::parse("shop.yaml", &longest).unwrap();
    let error = plan(&definition).unwrap_err().to_string();
    assert!(error.contains("production") && error.contains("soak"), "{error}");
}

#[test]
fn f44_circles_are_refused_before_there_is_a_plan() {
    let circle = YAML.replacen(
        "- id: db\n  owner: team-a\n",
        "- id: db\n  owner: team-a\n  depends_on:\n  - service: web\n    version: \">=1\"\n",
        1,
    );
    assert_ne!(circle, YAML);
    let definition = Definition::parse("shop.yaml", &circle).unwrap();
    let errors = plan(&definition).unwrap_err().to_string();
    assert!(errors.contains("db") && errors.contains("web") && errors.contains("api"), "{errors}");
    assert!(plan(&shop()).is_ok());
}
