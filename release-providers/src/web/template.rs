//! Texts with words in double braces, of which requests are made. Pure.

use std::fmt::Write as _;

use release_core::model::TrackId;
use release_core::time::Timestamp;
use serde_json::Value;

use crate::spi::MeasureRequest;

/// What a word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Version,
    Digest,
    Environment,
    Region,
    Service,
    Track,
    Window,
}

impl Word {
    fn read(word: &str) -> Result<Self, String> {
        Ok(match word.trim() {
            "version" => Self::Version,
            "digest" => Self::Digest,
            "environment" => Self::Environment,
            "region" => Self::Region,
            "service" => Self::Service,
            "track" => Self::Track,
            "window" => Self::Window,
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(format!(
                    "`{{{{{other}}}}}` stands for nothing; known are version, digest, environment, region, service, \
                     track and window"
                ));
            }
        })
    }

    /// What it stands for in a measurement at `now`.
    pub(super) fn of(self, request: &MeasureRequest, now: Timestamp) -> String {
        let target = &request.target;
        match self {
            Self::Version => request.version.to_string(),
            Self::Digest => request.digest.to_string(),
            Self::Environment => target.environment.as_str().to_owned(),
            Self::Region => target.region.as_str().to_owned(),
            Self::Service => target.service.as_str().to_owned(),
            Self::Track => target.track.as_ref().map_or("", TrackId::as_str).to_owned(),
            Self::Window => now.since(request.since).as_duration().as_secs().max(1).to_string(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Word(Word),
}

/// A text, in which words may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// Which word nobody knows.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (word, after) = after
                .split_once("}}")
                .ok_or_else(|| "`{{` has no `}}` after it; close it".to_owned())?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Word(Word::read(word)?));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Whether a word stands in it.
    pub(super) fn says(&self, word: Word) -> bool {
        self.0.contains(&Part::Word(word))
    }

    /// The text with each word as `write` writes it.
    pub(super) fn fill(&self, write: impl Fn(Word) -> String) -> String {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Word(word) => write(*word),
        });
        filled.collect()
    }
}

/// A JSON value, in whose texts words may stand; not in the names of its fields.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Text(Template),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    Plain(Value),
}

impl Body {
    /// Reads a value.
    ///
    /// # Errors
    /// Which word nobody knows.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::read(text)?),
            Value::Array(all) => Self::List(all.iter().map(Self::read).collect::<Result<_, _>>()?),
            Value::Object(all) => {
                let fields = all.iter().map(|(name, one)| Ok((name.clone(), Self::read(one)?)));
                Self::Object(fields.collect::<Result<_, String>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain(value.clone()),
        })
    }

    /// Whether a word stands in it.
    pub(super) fn says(&self, word: Word) -> bool {
        match self {
            Self::Text(text) => text.says(word),
            Self::List(all) => all.iter().any(|one| one.says(word)),
            Self::Object(all) => all.iter().any(|(_, one)| one.says(word)),
            Self::Plain(_) => false,
        }
    }

    /// The value with each word as `write` writes it.
    pub(super) fn fill(&self, write: &impl Fn(Word) -> String) -> Value {
        match self {
            Self::Text(text) => Value::String(text.fill(write)),
            Self::List(all) => Value::Array(all.iter().map(|one| one.fill(write)).collect()),
            Self::Object(all) => {
                let fields = all.iter().map(|(name, one)| (name.clone(), one.fill(write)));
                Value::Object(fields.collect())
            }
            Self::Plain(value) => value.clone(),
        }
    }
}

/// As it stands in a URL, where it can end no part of it: all but letters, digits and `-_.~` is escaped (RFC 3986, section
/// 2.1).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use release_core::model::{Digest, Metric, Target};
    use serde_json::json;

    use super::*;

    fn request() -> MeasureRequest {
        let service = "api".parse().unwrap();
        let target = Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), service);
        let metric = Metric::Query { query: "depth".into() };
        let version = "1.4.0-a+b-7".parse().unwrap();
        MeasureRequest::new(target, Digest::of(b"x"), version, metric, Timestamp::default())
    }

    #[test]
    fn words_are_replaced_and_unknown_ones_refused() {
        let now = Timestamp::from_micros(90_500_000);
        let filled = |text: &str, request: &MeasureRequest| {
            Template::read(text).unwrap().fill(|word| escaped(&word.of(request, now)))
        };
        let all =
            "/{{service}}/{{ version }}?e={{environment}}&r={{region}}&t={{track}}&w={{window}}";
        assert_eq!(filled(all, &request()), "/api/1.4.0-a%2Bb-7?e=prod&r=eu&t=&w=90");
        let mut apart = request();
        apart.target = apart.target.on("baseline".parse().unwrap());
        assert_eq!(filled("{{track}}", &apart), "baseline");
        assert_eq!(filled("no {words} }}", &apart), "no {words} }}");
        assert!(filled("{{digest}}", &apart).starts_with("sha256%3A"));
        assert!(Template::read("{{versoin}}").unwrap_err().contains("`{{versoin}}`"));
        assert!(Template::read("a {{version").unwrap_err().contains("close it"));
        let template = Template::read("{{track}}").unwrap();
        assert!(template.says(Word::Track) && !template.says(Word::Version));
    }

    #[test]
    fn words_stand_in_all_texts_of_a_body() {
        let value = json!({ "a": ["{{service}}", 1, { "b": "of {{version}}" }], "c": null });
        let body = Body::read(&value).unwrap();
        let filled = body.fill(&|word| word.of(&request(), Timestamp::default()));
        assert_eq!(filled, json!({ "a": ["api", 1, { "b": "of 1.4.0-a+b-7" }], "c": null }));
        assert!(body.says(Word::Version) && !body.says(Word::Track));
        assert!(Body::read(&json!([{ "a": "{{x}}" }])).is_err());
    }

    #[test]
    fn nothing_that_is_put_in_ends_a_part_of_a_url() {
        assert_eq!(escaped("a/b?c#d&e=f %é"), "a%2Fb%3Fc%23d%26e%3Df%20%25%C3%A9");
        assert_eq!(escaped("1.4.0-a_b~c"), "1.4.0-a_b~c");
    }
}
