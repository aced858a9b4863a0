//! What a provider said in a case, searched for a secret.

use std::fmt;

use release_providers::{Description, ProviderError, Secret};

use super::{Check, broken};

/// What a provider said, and of what.
pub(crate) struct Said {
    canary: Option<Secret>,
    texts: Vec<(String, String)>,
}

impl Said {
    /// What a provider tells of itself, to be searched for `canary`.
    pub(crate) fn of(
        canary: Option<Secret>,
        provider: &dyn fmt::Debug,
        description: &Description,
    ) -> Self {
        let description = serde_json::to_string(description).unwrap_or_default();
        let debug = format!("{provider:?}");
        Self {
            canary,
            texts: vec![("its debug text".into(), debug), ("its description".into(), description)],
        }
    }

    /// Adds what it answered to `what`.
    pub(crate) fn answered(
        &mut self,
        what: impl Into<String>,
        answer: Result<String, ProviderError>,
    ) {
        let told = answer.unwrap_or_else(|error| format!("{error} {error:?} {:?}", error.report()));
        self.texts.push((what.into(), told));
    }

    /// Demands that the canary is nowhere in it, neither as it is nor as it is shown in quotes.
    pub(crate) fn keeps_the_secret(&self) -> Check {
        let Some(canary) = &self.canary else { return Ok(()) };
        let forms = forms(canary);
        match self.texts.iter().find(|(_, text)| forms.iter().any(|form| text.contains(form))) {
            Some((what, _)) => {
                let found = format!("what it said of `{what}` holds one");
                Err(broken("no secret in what it says", found))
            }
            None => Ok(()),
        }
    }
}

/// How a secret looks in texts: as it is, and as it is shown in quotes.
fn forms(secret: &Secret) -> [String; 2] {
    let quoted = format!("{:?}", secret.expose());
    [secret.expose().to_owned(), quoted.trim_matches('"').to_owned()]
}

/// A text with `***` in the place of the canary.
pub(crate) fn without(canary: Option<&Secret>, text: String) -> String {
    let forms = canary.map(forms).into_iter().flatten().filter(|form| !form.is_empty());
    forms.fold(text, |text, form| text.replace(&form, "***"))
}
