//! The provider `web` of Argo Rollouts: a metric of `WebSource` in `release-providers`, which is asked for by its name.

use serde_json::Value;

use super::Findings;

/// Tells what the metric `name` of a source of web services has to say, where a template says `settings`.
pub(super) fn told(found: &mut Findings, at: &str, name: &str, settings: &Value) {
    let text = format!(
        "register `WebSource` of `release-providers` with this url for the metric `{name}`; its words are `{{{{version}}}}`, `{{{{service}}}}` and the like, and one that names no version is `about: rollout`"
    );
    found.note(&format!("{at}.url"), text);
    let path = settings.get("jsonPath").map_or(Some(""), Value::as_str);
    let read = match path.and_then(pointer) {
        Some(pointer) => format!("let its `read` be `{{ pointer: \"{pointer}\" }}`"),
        None => "let its `read` be the JSON pointer of a single number; this path may find more"
            .to_owned(),
    };
    found.note(&format!("{at}.jsonPath"), read);
    let fields = settings.as_object().into_iter().flatten().map(|(field, _)| field.as_str());
    for field in fields.filter(|field| !["url", "jsonPath"].contains(field)) {
        let text = match field {
            "method" => "say it in its `method`: `get` or `post`",
            "headers" => "say them in its `headers`, and secrets in `secret_headers` or `token`",
            "jsonBody" => "say it in its `body`",
            "timeoutSeconds" => "say it in its `timeout_ms`, in milliseconds",
            "insecure" => "name the authority of the certificate in `authorities` of the source",
            _ => "is not read here: set it at the source of metrics",
        };
        found.note(&format!("{at}.{field}"), text);
    }
}

/// The pointer (RFC 6901) for a path of plain names and numbers, such as `{$.data.ok[0]}`; of nothing, for the whole.
fn pointer(path: &str) -> Option<String> {
    let path = path.trim();
    let path = path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(path);
    let path = path.strip_prefix('$').unwrap_or(path);
    if !path.is_empty() && !path.starts_with(['.', '[']) {
        return None;
    }
    let mut pointer = String::new();
    for name in path.replace('[', ".").replace(']', "").split('.').skip(1) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
            return None;
        }
        pointer.push('/');
        pointer.push_str(name);
    }
    Some(pointer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::import::analysis_template;
    use crate::model::Metric;

    #[test]
    fn a_plain_path_is_a_pointer_and_no_other() {
        for (path, want) in [
            ("", Some("")),
            ("{$}", Some("")),
            ("{$.data.ok}", Some("/data/ok")),
            ("$.a[0].b-c_d", Some("/a/0/b-c_d")),
            ("{.data}", Some("/data")),
            ("{$[2]}", Some("/2")),
            ("data.ok", None),
            ("{$..ok}", None),
            ("{$.a[*]}", None),
            ("{$.a[-1]}", None),
            ("{$['a']}", None),
            ("{$.a[?(@.b==1)]}", None),
        ] {
            assert_eq!(pointer(path).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn the_provider_web_is_asked_by_the_name_of_the_metric() {
        let template = r#"
kind: AnalysisTemplate
spec:
  args: [{ name: service, value: api }]
  metrics:
  - name: webmetric
    successCondition: result >= 0.95
    provider:
      web:
        url: "http://my-server/api/v1/measurement?service={{ args.service }}"
        method: POST
        timeoutSeconds: 20
        headers: [{ key: X-Key, value: x }]
        jsonBody: { a: b }
        jsonPath: "{$.data.rate}"
        authentication: {}
"#;
        let imported = analysis_template(template, &BTreeMap::new()).unwrap();
        let [analysis] = &imported.analyses[..] else { panic!("{imported:?}") };
        assert_eq!(analysis.metric, Metric::Query { query: "webmetric".into() });
        for (field, told) in [
            ("url", "the metric `webmetric`"),
            ("jsonPath", "pointer: \"/data/rate\""),
            ("method", "`post`"),
            ("timeoutSeconds", "`timeout_ms`"),
            ("headers", "`secret_headers`"),
            ("jsonBody", "`body`"),
            ("authentication", "set it at the source"),
        ] {
            let at = format!("`spec.metrics[0].provider.web.{field}`: ");
            let found = |note: &String| note.starts_with(&at) && note.contains(told);
            assert!(imported.notes.iter().any(found), "{field}: {:#?}", imported.notes);
        }
    }
}
