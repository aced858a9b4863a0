//! Prometheus as a kind of provider, for hosts that read providers from a file.

use std::sync::Arc;

use async_trait::async_trait;

use super::settings::{PrometheusLogin, PrometheusLoginSetting, PrometheusSettings};
use super::source::{PrometheusSource, description};
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ProviderError};

/// Opens a [`PrometheusSource`] with [`PrometheusSettings`]: the kind `prometheus`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrometheusKind;

#[async_trait]
impl ProviderKind for PrometheusKind {
    fn manifest(&self) -> Manifest {
        let described = description(true);
        Manifest::new("prometheus", described.version.clone()).with("metrics_source", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings: PrometheusSettings = opening.settings()?;
        let login = match &settings.login {
            None => None,
            Some(PrometheusLoginSetting::Token(token)) => {
                Some(PrometheusLogin::Token(opening.secrets.value(token).await?))
            }
            Some(PrometheusLoginSetting::Password { user, password }) => {
                let password = opening.secrets.value(password).await?;
                Some(PrometheusLogin::Password { user: user.clone(), password })
            }
        };
        let source = PrometheusSource::new(settings, login, opening.clock)?;
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
        let target = |service| json!({ "environment": "prod", "region": "eu", "service": service });
        let listed = |service| json!({ "target": target(service), "labels": { "job": service } });
        json!({
            "url": "http://127.0.0.1:9090/prometheus/",
            "login": { "password": { "user": "ada", "password": { "secret": "kv/prom" } } },
            "targets": [listed("api"), listed("web")],
        })
    }

    async fn open(config: Value) -> Result<Vec<AnyProvider>, ProviderError> {
        let secrets = Secrets::given([(SecretRef::new("kv/prom"), Secret::new("hunter2"))]);
        let clock = Arc::new(SystemClock::new());
        PrometheusKind.open(Opening::new("metrics", config, clock, secrets)).await
    }

    #[tokio::test]
    async fn settings_are_read_whole_or_refused() {
        let opened = open(config()).await.unwrap();
        assert!(matches!(opened[..], [AnyProvider::MetricsSource(_)]));
        assert!(!format!("{opened:?}").contains("hunter2"));
        let labels = json!({ "environment": "e", "region": "r", "service": "s" });
        let changes = [
            ("/url", json!("nowhere")),
            ("/url", json!("https://127.0.0.1:9090")),
            ("/url", json!("http://ada:hunter2@127.0.0.1:9090")),
            ("/url", json!("http://127.0.0.1:9090/?a=b")),
            (
                "/login",
                json!({ "password": { "user": "a:b", "password": { "secret": "kv/prom" } } }),
            ),
            ("/login", json!({ "token": "hunter2" })),
            ("/labels", json!({ "version": "a\"b" })),
            ("/labels", json!({ "instance": [] })),
            ("/labels", json!({ "colour": "c" })),
            ("/targets", json!([])),
            ("/targets/0/labels", json!({})),
            ("/targets/0/labels", json!({ "job": "web" })),
            ("/targets/0/labels", json!({ "job\"": "web" })),
            ("/staleness_ms", json!(0)),
            ("/most_samples", json!(1_000_000_000)),
        ];
        for (at, value) in changes {
            let mut bad = config();
            let (parent, key) = at.rsplit_once('/').unwrap();
            bad.pointer_mut(parent).unwrap()[key] = value.clone();
            let error = open(bad).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{at} {value}");
            assert!(!error.to_string().contains("hunter2") || at == "/login", "{error}");
        }
        let mut good = config();
        good["labels"] = labels;
        good["targets"] = json!([]);
        open(good).await.unwrap();
        let mut unknown = config();
        unknown["login"] = json!({ "token": { "secret": "kv/other" } });
        assert_eq!(open(unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
