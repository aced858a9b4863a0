//! A channel on which tests answer.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{PrincipalId, RoleId};
use release_core::time::Timestamp;
use release_providers::ProviderError;
use release_providers::spi::{ApprovalAnswer, ApprovalAnswers, ApprovalVote, AskApproval, JobRef};

use super::{ApprovalChannelCall, Asked, Fake, model};

/// An [`ApprovalChannel`](release_providers::spi::ApprovalChannel) on which tests answer.
pub type FakeApprovalChannel = Fake<ApprovalChannelCall, Questions>;

/// What a [`FakeApprovalChannel`] knows.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    all: BTreeMap<String, Question>,
    /// Who can be asked; `None`: whoever it is.
    roles: Option<BTreeSet<RoleId>>,
}

#[derive(Debug, Clone)]
struct Question {
    asked: AskApproval,
    withdrawn: bool,
    answers: Vec<ApprovalAnswer>,
}

impl Fake<ApprovalChannelCall, Questions> {
    /// A channel on which nothing was asked.
    pub fn new() -> Self {
        Self::of("fake-approval-channel", Questions::default())
    }

    /// The same with these roles alone that can be asked for.
    #[must_use]
    pub fn only_roles(self, roles: impl IntoIterator<Item = RoleId>) -> Self {
        self.with(|questions| questions.roles = Some(roles.into_iter().collect()));
        self
    }
}

impl Default for Fake<ApprovalChannelCall, Questions> {
    fn default() -> Self {
        Self::new()
    }
}

impl Questions {
    /// The questions that were asked, by the key of each.
    pub fn asked(&self) -> impl Iterator<Item = (&str, &AskApproval)> {
        self.all.iter().map(|(key, question)| (key.as_str(), &question.asked))
    }

    /// Somebody answers at `at`; whether the answer is taken.
    pub fn answer(
        &mut self,
        key: &str,
        by: PrincipalId,
        vote: ApprovalVote,
        at: Timestamp,
    ) -> bool {
        let open = |question: &&mut Question| !question.withdrawn && at < question.asked.expires;
        let Some(question) = self.all.get_mut(key).filter(open) else { return false };
        question.answers.push(ApprovalAnswer::new(by, vote, at));
        true
    }
}

impl model::ApprovalChannel for Questions {
    fn ask(&mut self, asked: &Asked<'_>, request: AskApproval) -> Result<(), ProviderError> {
        let known = |role: &&RoleId| self.roles.as_ref().is_none_or(|known| known.contains(*role));
        if let Some(nobodys) = request.roles.iter().find(|role| !known(role)) {
            return asked.found("role", nobodys.as_str(), None);
        }
        let question = || Question { asked: request, withdrawn: false, answers: Vec::new() };
        self.all.entry(asked.key().to_owned()).or_insert_with(question);
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: JobRef,
    ) -> Result<ApprovalAnswers, ProviderError> {
        let question =
            asked.found("question", &request.operation, self.all.get(&request.operation))?;
        let open = !question.withdrawn && asked.now < question.asked.expires;
        let mut answers = question.answers.clone();
        if asked.lie {
            answers.clear();
        }
        Ok(ApprovalAnswers::new(request.operation, open, answers))
    }

    fn withdraw(&mut self, asked: &Asked<'_>, request: JobRef) -> Result<(), ProviderError> {
        let question = self.all.get_mut(&request.operation);
        asked.found("question", &request.operation, question)?.withdrawn = true;
        Ok(())
    }
}
