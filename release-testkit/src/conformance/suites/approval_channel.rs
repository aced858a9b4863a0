//! The suite of [`ApprovalChannel`].

use std::fmt;
use std::sync::Arc;

use release_core::model::{Digest, PrincipalId};
use release_core::time::Span;
use release_providers::ErrorKind;
use release_providers::spi::{ApprovalAnswers, ApprovalChannel, ApprovalVote, AskApproval, JobRef};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, Hook, HookError, broken, case, hook, stays, unanswered};
use crate::fixtures;

/// A channel, and people who answer on it.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ApprovalChannelSandbox = ProviderSandbox<dyn ApprovalChannel, People>;

/// People who answer.
#[derive(Clone, Default)]
#[must_use]
pub struct People {
    answer: Option<Hook<(String, PrincipalId, ApprovalVote), bool>>,
    any_role: bool,
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "People(answer: {})", self.answer.is_some())
    }
}

impl People {
    /// Nobody answers: what needs answers is skipped, and said to be.
    pub fn none() -> Self {
        Self::default()
    }

    /// Has an account answer a question, by its key; whether the answer was taken.
    pub fn who<F>(
        answer: impl Fn(String, PrincipalId, ApprovalVote) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<bool, HookError>> + Send + 'static,
    {
        let answer = hook(move |(key, by, vote)| answer(key, by, vote));
        Self { answer: Some(answer), any_role: false }
    }

    /// The channel knows any role, so that nobody is asked for in vain.
    pub const fn any_role(mut self) -> Self {
        self.any_role = true;
        self
    }
}

const NOBODY: fn(&ApprovalChannelSandbox) -> Option<&'static str> =
    |sandbox| sandbox.at.answer.is_none().then_some("people who answer");

suite!(
    ApprovalChannel,
    "approval_channel",
    ApprovalChannelSandbox,
    acting,
    [
        case!(
            answers_are_collected_in_their_order,
            "every answer names the account that gave it, in their order, and none goes away",
            NOBODY
        ),
        case!(
            a_question_is_asked_once,
            "what is asked again under its key, however late, changes nothing of what came after it",
            NOBODY
        ),
        case!(
            what_is_taken_back_takes_no_answers,
            "answers that come after the question was taken back are not taken",
            NOBODY
        ),
    ]
);

/// The channel, and people who answer on it.
pub fn sandbox(provider: Arc<dyn ApprovalChannel>, people: People) -> ApprovalChannelSandbox {
    let any_role = people.any_role;
    let sandbox =
        ProviderSandbox::of(provider, people)
            .deed(
                "ask",
                |provider, cx, _| async move {
                    let request = question(&cx);
                    text(provider.ask(&cx, request).await)
                },
                |provider, cx, _, key| async move {
                    text(provider.observe(&cx, JobRef::new(key)).await)
                },
            )
            .refusal("a look at no question", ErrorKind::NotFound, |provider, cx, _| async move {
                text(
                    provider.observe(&cx, JobRef::new("a question that nobody asked".into())).await,
                )
            })
            .refusal("the end of no question", ErrorKind::NotFound, |provider, cx, _| async move {
                text(
                    provider
                        .withdraw(&cx, JobRef::new("a question that nobody asked".into()))
                        .await,
                )
            });
    if any_role {
        return sandbox;
    }
    sandbox.refusal("a role that nobody has", ErrorKind::NotFound, |provider, cx, _| async move {
        let mut request = question(&cx);
        request.roles = vec![fixtures::literal("a-role-that-nobody-has")];
        text(provider.ask(&cx, request).await)
    })
}

fn question(cx: &release_providers::Context) -> AskApproval {
    let (run, gate) = (fixtures::literal("conformance"), fixtures::literal("conformance/go"));
    let plan = Digest::of(b"the plan of a conformance suite");
    let expires = cx.deadline.plus(Span::secs(3_600));
    AskApproval::new(run, gate, plan, "conformance: please ignore".into(), expires)
}

async fn answers_are_collected_in_their_order(sandbox: &ApprovalChannelSandbox) -> Check {
    let key = asked(sandbox).await?;
    let mut given = Vec::new();
    // Not in the order of names, and the last one thought better of it, if the channel lets him.
    let (yes, no) = (ApprovalVote::Approve, ApprovalVote::Reject);
    for (by, vote) in [("bob", no), ("ann", yes), ("bob", yes)] {
        let (by, again) = (fixtures::literal::<PrincipalId>(by), given.len() > 1);
        let taken = answer(sandbox, &key, &by, vote).await?;
        if !taken && !again {
            return Err(broken("an answer to be taken", "it was not"));
        }
        if taken {
            given.push((by, vote));
        }
        let seen = look_at(sandbox, &key).await?;
        let told: Vec<_> = seen.answers.iter().map(|one| (one.by.clone(), one.vote)).collect();
        if told != given || !seen.open || seen.operation != key {
            return Err(broken(format!("{given:?} of an open question"), format!("{seen:?}")));
        }
        stays(&seen, &look_at(sandbox, &key).await?)?;
    }
    Ok(())
}

async fn a_question_is_asked_once(sandbox: &ApprovalChannelSandbox) -> Check {
    let mut cx = sandbox.context();
    let asked = sandbox.provider.ask(&cx, question(&cx)).await;
    asked.map_err(|error| unanswered("a question", &error))?;
    answer(sandbox, &cx.key, &fixtures::literal("ann"), ApprovalVote::Approve).await?;
    for withdrawn in [false, true] {
        if withdrawn {
            let request = JobRef::new(cx.key.clone());
            let taken_back = sandbox.provider.withdraw(&sandbox.context(), request).await;
            taken_back.map_err(|error| unanswered("the end of a question", &error))?;
        }
        let before = look_at(sandbox, &cx.key).await?;
        cx.attempt += 1;
        let asked = sandbox.provider.ask(&cx, question(&cx)).await;
        asked.map_err(|error| unanswered("the same question again", &error))?;
        sandbox.linger().await;
        let after = look_at(sandbox, &cx.key).await?;
        if after != before || after.answers.len() != 1 {
            return Err(broken(
                format!("{before:?}, with one answer, still"),
                format!("{after:?}"),
            ));
        }
    }
    Ok(())
}

async fn what_is_taken_back_takes_no_answers(sandbox: &ApprovalChannelSandbox) -> Check {
    let key = asked(sandbox).await?;
    let (ann, bob) = (fixtures::literal("ann"), fixtures::literal("bob"));
    answer(sandbox, &key, &ann, ApprovalVote::Approve).await?;
    for _ in 0..2 {
        let request = JobRef::new(key.clone());
        let taken_back = sandbox.provider.withdraw(&sandbox.context(), request).await;
        taken_back.map_err(|error| unanswered("the end of a question", &error))?;
    }
    let late = answer(sandbox, &key, &bob, ApprovalVote::Approve).await?;
    let seen = look_at(sandbox, &key).await?;
    if late || seen.open || seen.answers.len() != 1 {
        let expected = "one answer, of before the question was taken back";
        return Err(broken(expected, format!("taken: {late}, {seen:?}")));
    }
    Ok(())
}

async fn asked(sandbox: &ApprovalChannelSandbox) -> Result<String, Broken> {
    let cx = sandbox.context();
    let request = question(&cx);
    let answer = sandbox.provider.ask(&cx, request).await;
    answer.map(|()| cx.key).map_err(|error| unanswered("a question", &error))
}

async fn answer(
    sandbox: &ApprovalChannelSandbox,
    key: &str,
    by: &PrincipalId,
    vote: ApprovalVote,
) -> Result<bool, Broken> {
    let Some(answer) = &sandbox.at.answer else { return Ok(false) };
    let taken = answer((key.to_owned(), by.clone(), vote)).await;
    taken.map_err(|error| broken("somebody who answers", error))
}

async fn look_at(sandbox: &ApprovalChannelSandbox, key: &str) -> Result<ApprovalAnswers, Broken> {
    let request = JobRef::new(key.to_owned());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a look at the question", &error))
}
