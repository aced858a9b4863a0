//! No known secret leaves a provider.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::spi::{ArtifactContent, SecretLease};
use crate::{Description, ProviderError, Secret};

/// Secrets shorter than this are not looked for: they would be found everywhere.
const SHORTEST: usize = 4;

/// Knows secrets, and puts `***` in their place wherever they turn up: as they are, and as they stand inside of JSON
/// text. Clones know the same.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<Secret>>>);

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "Redactor({known} secrets)")
    }
}

impl Redactor {
    /// One that knows these secrets. Of fewer than four bytes none is looked for.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let all = Self::default();
        secrets.into_iter().for_each(|secret| all.learn(&secret));
        all
    }

    /// Knows one more from now on, and each of its lines: what is printed is printed by lines.
    pub fn learn(&self, secret: &Secret) {
        let text = secret.expose();
        if text.trim_end().contains('\n') {
            text.lines().for_each(|line| self.learn_one(&Secret::new(line)));
        }
        self.learn_one(secret);
    }

    fn learn_one(&self, secret: &Secret) {
        if secret.expose().len() < SHORTEST {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(secret) {
            known.push(secret.clone());
            // The longest first: a secret that holds another one goes as a whole.
            known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        }
    }

    /// Knows from now on what the other one knows now.
    pub(crate) fn learn_from(&self, other: &Self) {
        let known = other.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        for secret in &known {
            self.learn(secret);
        }
    }

    /// The text without secrets; `None` if there are none in it.
    pub fn redact(&self, text: &str) -> Option<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut clean: Option<String> = None;
        for secret in known.iter().map(Secret::expose) {
            let now = clean.as_deref().unwrap_or(text);
            if now.contains(secret) {
                clean = Some(now.replace(secret, "***"));
            }
            let escaped = escaped(secret);
            let now = clean.as_deref().unwrap_or(text);
            if escaped != secret && now.contains(&escaped) {
                clean = Some(now.replace(&escaped, "***"));
            }
        }
        clean
    }

    /// A hook for [`std::panic::set_hook`], which tells of a panic in a line of `tracing`, without secrets. The usual hook
    /// prints what a provider panics with as it is.
    pub fn panic_hook(&self) -> Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> {
        let redactor = self.clone();
        Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or("no message");
            let text = redactor.redact(text).map_or(Cow::Borrowed(text), Cow::Owned);
            tracing::error!(place, "panicked: {text}");
        })
    }

    /// The most bytes that a known secret has in a text.
    #[cfg(feature = "plugin")]
    pub(crate) fn longest(&self) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|secret| escaped(secret.expose()).len()).max().unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The error, with all of its causes as text, without secrets.
    pub(super) fn error(&self, error: ProviderError) -> ProviderError {
        if self.is_empty() {
            return error;
        }
        let mut report = error.report();
        let texts = [&mut report.operation, &mut report.message];
        let facts = report.context.iter_mut().flat_map(|(name, value)| [name, value]);
        for text in texts.into_iter().chain(facts) {
            if let Some(clean) = self.redact(text) {
                *text = clean;
            }
        }
        // Without its causes: nobody knows what they print.
        report.into()
    }

    /// What a provider says of itself, without secrets.
    pub(super) fn description(&self, mut description: Description) -> Description {
        if let Some(name) = self.redact(&description.name) {
            description.name = name;
        }
        self.clean(&mut description.config_schema);
        description
    }

    /// The answer, without secrets. What does not make sense without them is an error. The one answer that holds a secret
    /// on purpose keeps it, and nothing besides; it is known from then on.
    pub(crate) fn answer<A>(
        &self,
        answer: A,
        failed: impl Fn(String) -> ProviderError,
    ) -> Result<A, ProviderError>
    where
        A: Serialize + DeserializeOwned + 'static,
    {
        let lease = (&answer as &dyn Any).downcast_ref::<SecretLease>();
        let secret = lease.map(|lease| lease.value.clone());
        if let Some(secret) = &secret {
            self.learn(secret);
        }
        let mut answer = self.without(answer, failed)?;
        let lease = (&mut answer as &mut dyn Any).downcast_mut::<SecretLease>();
        if let (Some(lease), Some(secret)) = (lease, secret) {
            lease.value = secret;
        }
        Ok(answer)
    }

    fn without<A>(
        &self,
        answer: A,
        failed: impl Fn(String) -> ProviderError,
    ) -> Result<A, ProviderError>
    where
        A: Serialize + DeserializeOwned + 'static,
    {
        // What an artifact is made of is no text, and may be large.
        let is_content = TypeId::of::<A>() == TypeId::of::<ArtifactContent>();
        if self.is_empty() || is_content {
            return Ok(answer);
        }
        let senseless = |error: serde_json::Error| {
            let text = format!("its answer holds a secret and makes no sense without: {error}");
            self.error(failed(text))
        };
        let mut value = serde_json::to_value(&answer).map_err(senseless)?;
        if !self.clean(&mut value) {
            return Ok(answer);
        }
        serde_json::from_value(value).map_err(senseless)
    }

    /// Takes secrets out of all of them; whether there were any.
    fn clean_all<'a>(&self, all: impl Iterator<Item = &'a mut Value>) -> bool {
        all.filter_map(|one| self.clean(one).then_some(())).count() > 0
    }

    /// Takes secrets out of all texts; whether there were any.
    pub(crate) fn clean(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.redact(text) {
                Some(clean) => {
                    *text = clean;
                    true
                }
                None => false,
            },
            Value::Array(all) => self.clean_all(all.iter_mut()),
            Value::Object(all) => {
                let named: Vec<_> =
                    all.keys().filter(|name| self.redact(name).is_some()).cloned().collect();
                for name in &named {
                    if let (Some(clean), Some(value)) = (self.redact(name), all.remove(name)) {
                        all.insert(clean, value);
                    }
                }
                let within = self.clean_all(all.values_mut());
                within || !named.is_empty()
            }
            // A secret of digits may come as a number.
            Value::Number(number) => match self.redact(&number.to_string()) {
                Some(clean) => {
                    *value = Value::from(clean);
                    true
                }
                None => false,
            },
            Value::Null | Value::Bool(_) => false,
        }
    }
}

/// As it stands inside of JSON text.
fn escaped(secret: &str) -> String {
    let text = Value::from(secret).to_string();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&text).to_owned()
}
