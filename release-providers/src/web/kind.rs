//! Web services as a kind of provider, for hosts that read providers from a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::settings::{WebSecrets, WebSettings};
use super::source::{WebSource, description};
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ProviderError};

/// Opens a [`WebSource`] with [`WebSettings`]: the kind `web`.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebKind;

#[async_trait]
impl ProviderKind for WebKind {
    fn manifest(&self) -> Manifest {
        let described = description(true);
        Manifest::new("web", described.version.clone()).with("metrics_source", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings: WebSettings = opening.settings()?;
        let mut secrets = BTreeMap::new();
        for (name, metric) in &settings.metrics {
            let mut own = WebSecrets::new();
            if let Some(token) = &metric.token {
                own = own.token(opening.secrets.value(token).await?);
            }
            for (header, secret) in &metric.secret_headers {
                own = own.header(header, opening.secrets.value(secret).await?);
            }
            secrets.insert(name.clone(), own);
        }
        let source = WebSource::new(&settings, &secrets, opening.clock)?;
        Ok(vec![AnyProvider::MetricsSource(Arc::new(source))])
    }
}

#[cfg(test)]
mod tests {
    use release_core::clock::SystemClock;
    use serde_json::{Value, json};

    use super::*;
    use crate::kind::Secrets;
    use crate::spi::SecretRef;
    use crate::{ErrorKind, Secret};

    fn config() -> Value {
        json!({
            "metrics": {
                "depth": {
                    "url": "https://ops.example/depth/{{service}}?version={{version}}",
                    "token": { "secret": "kv/web" },
                    "secret_headers": { "X-Key": { "secret": "kv/web" } },
                    "headers": { "X-Region": "{{region}}" },
                    "read": { "pointer": "/depth" },
                },
                "gate": {
                    "url": "http://127.0.0.1:9/gate",
                    "method": "post",
                    "body": { "name": "{{service}}", "phase": "Progressing" },
                    "read": { "status": { "no": [403] } },
                    "about": "rollout",
                },
            },
            "targets": [{ "environment": "prod", "region": "eu", "service": "api" }],
        })
    }

    async fn open(config: Value) -> Result<Vec<AnyProvider>, ProviderError> {
        let secrets = Secrets::given([(SecretRef::new("kv/web"), Secret::new("hunter2"))]);
        let clock = Arc::new(SystemClock::new());
        WebKind.open(Opening::new("metrics", config, clock, secrets)).await
    }

    #[tokio::test]
    async fn settings_are_read_whole_or_refused() {
        // Where nobody is asked over TLS, no certificates of the system are needed.
        let mut good = config();
        good["metrics"]["depth"]["url"] = json!("http://ops.example/depth?version={{version}}");
        let opened = open(good.clone()).await.unwrap();
        let [AnyProvider::MetricsSource(source)] = &opened[..] else { panic!("{opened:?}") };
        assert!(source.describe().abilities.metrics_source.queries);
        assert!(!format!("{opened:?}").contains("hunter2"));
        let twice = json!({ "x-key": "1" });
        let changes = [
            ("/metrics", json!({})),
            ("/longest_answer", json!(0)),
            ("/longest_answer", json!(2_000_000)),
            (
                "/targets",
                json!([{ "environment": "p", "region": "e", "service": "a", "track": "t" }]),
            ),
            ("/colour", json!("red")),
            ("/metrics/depth/url", json!("nowhere/{{version}}")),
            ("/metrics/depth/url", json!("ftp://ops.example/{{version}}")),
            ("/metrics/depth/url", json!("http://ada:hunter2@ops.example/{{version}}")),
            ("/metrics/depth/url", json!("http://{{version}}.example/")),
            ("/metrics/depth/url", json!("http://ops.example/{{versoin}}")),
            ("/metrics/depth/url", json!("http://ops.example/../{{version}}")),
            ("/metrics/depth/url", json!("http://ops.example/depth")),
            ("/metrics/depth/method", json!("delete")),
            ("/metrics/depth/body", json!({ "a": 1 })),
            ("/metrics/depth/token", json!("hunter2")),
            ("/metrics/depth/headers", twice),
            ("/metrics/depth/headers", json!({ "Authorization": "Bearer hunter2" })),
            ("/metrics/depth/headers", json!({ "Host": "elsewhere" })),
            ("/metrics/depth/headers", json!({ "a b": "c" })),
            ("/metrics/depth/headers", json!({ "a": "line\nbreak" })),
            ("/metrics/depth/timeout_ms", json!(0)),
            ("/metrics/depth/read", json!({ "pointer": "depth" })),
            ("/metrics/depth/read", json!({ "pointer": "/a~2" })),
            ("/metrics/depth/read", json!({ "status": { "no": [204] } })),
            ("/metrics/depth/read", json!({})),
            ("/metrics/gate/body", json!({ "name": ["{{nobody}}"] })),
            ("/metrics/gate/about", json!("version")),
        ];
        for (at, value) in changes {
            let mut bad = good.clone();
            let (parent, key) = at.rsplit_once('/').unwrap();
            bad.pointer_mut(parent).unwrap()[key] = value.clone();
            let error = open(bad).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{at} {value}");
            let told = at.ends_with("token") || !error.to_string().contains("hunter2");
            assert!(told, "{at} {value}: {error}");
        }
        let mut unknown = good;
        unknown["metrics"]["depth"]["token"] = json!({ "secret": "kv/other" });
        assert_eq!(open(unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn the_schema_fits_what_is_read() {
        let settings: WebSettings = serde_json::from_value(config()).unwrap();
        let again = serde_json::to_value(&settings).unwrap();
        assert_eq!(serde_json::from_value::<WebSettings>(again).unwrap(), settings);
        let schema = WebKind.manifest().capabilities["metrics_source"].config_schema.clone();
        let known = |at: &str| schema.pointer(at).is_some();
        assert!(known("/properties/metrics") && known("/$defs/WebMetric/properties/read"));
    }
}
