//! Text endpoints as a kind of provider, for hosts that read providers from a file.

use std::sync::Arc;

use async_trait::async_trait;

use super::scraped::{ScrapedSource, description};
use super::settings::ScrapeSettings;
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ProviderError};

/// Opens a [`ScrapedSource`] with [`ScrapeSettings`]: the kind `text_endpoint`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextEndpointKind;

#[async_trait]
impl ProviderKind for TextEndpointKind {
    fn manifest(&self) -> Manifest {
        let described = description();
        Manifest::new("text_endpoint", described.version.clone()).with("metrics_source", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings: ScrapeSettings = opening.settings()?;
        let source = ScrapedSource::new(settings, opening.clock)?;
        Ok(vec![AnyProvider::MetricsSource(Arc::new(source))])
    }
}

#[cfg(test)]
mod tests {
    use release_core::clock::SystemClock;
    use serde_json::{Value, json};

    use super::*;
    use crate::ErrorKind;
    use crate::kind::Secrets;

    async fn open(config: Value) -> Result<Vec<AnyProvider>, ProviderError> {
        let clock = Arc::new(SystemClock::new());
        let opening = Opening::new("metrics", config, clock, Secrets::none());
        TextEndpointKind.open(opening).await
    }

    #[tokio::test]
    async fn settings_are_read_whole_or_refused() {
        let target = json!({ "environment": "prod", "region": "eu", "service": "api" });
        let listed = json!({ "target": target, "endpoints": ["http://127.0.0.1:1/metrics"] });
        let good = json!({ "targets": [listed], "interval_ms": 1_000 });
        assert!(matches!(open(good.clone()).await.unwrap()[..], [AnyProvider::MetricsSource(_)]));
        let changes = [
            ("/targets/0/endpoints", json!([])),
            ("/targets/0/endpoints", json!(["https://127.0.0.1:1/metrics"])),
            ("/targets/0/endpoints", json!(["http://ada:hunter2@127.0.0.1:1/metrics"])),
            ("/targets/0/endpoints", json!(["nowhere"])),
            ("/targets", json!([listed, listed])),
            ("/interval_ms", json!(0)),
            ("/timeout_ms", json!(0)),
            ("/most_samples", json!(0)),
            ("/colour", json!("red")),
        ];
        for (at, value) in changes {
            let mut bad = good.clone();
            let (parent, key) = at.rsplit_once('/').unwrap();
            let parent = bad.pointer_mut(parent).unwrap();
            match parent.as_object_mut() {
                Some(object) => drop(object.insert(key.to_owned(), value.clone())),
                None => parent[key.parse::<usize>().unwrap()] = value.clone(),
            }
            let error = open(bad).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{at} {value}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn it_is_opened_within_a_runtime_or_refused() {
        let refused = ScrapedSource::new(ScrapeSettings::new(), Arc::new(SystemClock::new()));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
}
