//! Makes a registry of a file.

use std::sync::Arc;

use release_core::port::Clock;

use super::{Catalog, ConfigError, ConfigProblem, ProviderEntry, ProvidersFile};
use crate::kind::{Manifest, Opening, Secrets, settings_of};
use crate::layer::Layers;
use crate::{AnyProvider, ProviderSelector, Registry, RegistryBuilder, Shielding};

impl ProvidersFile {
    /// Checks the file, opens its providers one after the other, and binds them. Each is called by its name in the file, in
    /// errors and limits too, and has limits and a circuit breaker of its own. No secret that they asked for leaves a
    /// provider in an error or an answer.
    ///
    /// # Errors
    /// [`ConfigError`]: everything that is wrong with the file, or else all providers that could not be opened.
    pub async fn open(
        &self,
        catalog: &Catalog,
        clock: Arc<dyn Clock>,
        secrets: Secrets,
    ) -> Result<Registry, ConfigError> {
        let layers = Layers::new(Arc::clone(&clock)).shielding(Shielding::default());
        self.open_with(catalog, clock, secrets, layers).await
    }

    /// The same with layers of one's own. What these redact is redacted besides.
    ///
    /// # Errors
    /// As [`ProvidersFile::open`].
    pub async fn open_with(
        &self,
        catalog: &Catalog,
        clock: Arc<dyn Clock>,
        secrets: Secrets,
        layers: Layers,
    ) -> Result<Registry, ConfigError> {
        self.check(catalog, &secrets)?;
        let secrets = secrets.known_to(layers.redactor().clone());
        let mut builder = Registry::builder(Arc::clone(&clock)).behind(&layers);
        let mut problems = Vec::new();
        for (index, entry) in self.providers.iter().enumerate() {
            let Some(kind) = catalog.get(&entry.kind) else { continue }; // never: it was checked
            let opening = Opening::new(
                &*entry.name,
                settings_of(&entry.config),
                Arc::clone(&clock),
                secrets.clone(),
            );
            let opened = match kind.open(opening).await {
                Ok(opened) => entry.bound(&kind.manifest(), &opened),
                Err(error) => {
                    // The same secrets may be in what goes wrong.
                    let text = error.to_string(); // not its causes, which may name what stands in the file
                    Err(secrets.redactor().redact(&text).unwrap_or(text))
                }
            };
            match opened {
                Ok(all) => {
                    let bind = |builder: RegistryBuilder, (selector, one): (_, AnyProvider)| {
                        builder.provider(selector, one.layered_as(&layers, &entry.name))
                    };
                    builder = all.into_iter().fold(builder, bind);
                }
                Err(problem) => {
                    let problem = format!("`{}` cannot be opened: {problem}", entry.name);
                    problems.push(ConfigProblem::new(format!("providers[{index}]"), problem));
                }
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Ok(builder.build()?)
    }
}

impl ProviderEntry {
    /// What was opened, with what it serves; or what is missing.
    fn bound(
        &self,
        manifest: &Manifest,
        opened: &[AnyProvider],
    ) -> Result<Vec<(ProviderSelector, AnyProvider)>, String> {
        let bindings = self.bindings(manifest, &mut |_, _| {}).into_iter();
        let made = bindings.map(|(capability, selector)| {
            let provider = opened.iter().find(|one| one.capability() == capability);
            provider.map(|one| (selector, one.clone())).ok_or_else(|| {
                format!("its kind promises `{capability}` and did not make one; tell who made it")
            })
        });
        made.collect()
    }
}
