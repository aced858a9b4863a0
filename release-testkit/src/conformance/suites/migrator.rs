//! The suite of [`Migrator`].

use std::sync::Arc;

use release_providers::ErrorKind;
use release_providers::spi::{MigrationPhase, MigrationRef, MigrationStatus, Migrator};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, refused, unanswered};

/// A migrator, and a migration of it that nobody has begun.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type MigratorSandbox = ProviderSandbox<dyn Migrator, MigrationRef>;

suite!(
    Migrator,
    "migrator",
    MigratorSandbox,
    acting,
    [
        case!(
            nothing_is_contracted_before_it_is_expanded,
            "what is not expanded is not contracted"
        ),
        case!(
            expanded_then_contracted,
            "first both versions can work, then the new one alone, however often it is asked for; it never goes back"
        ),
    ]
);

/// The migrator, and a migration that exists and that nobody has begun.
pub fn sandbox(provider: Arc<dyn Migrator>, migration: MigrationRef) -> MigratorSandbox {
    let sandbox = ProviderSandbox::of(provider, migration)
        .deed(
            "expand",
            |provider, cx, at| async move { text(provider.expand(&cx, (*at).clone()).await) },
            |provider, cx, at, _| async move {
                // How far it is changes by itself; that it has begun does not.
                let answer = provider.observe(&cx, (*at).clone()).await;
                text(answer.map(|status| status.phase != MigrationPhase::Pending))
            },
        )
        .look("observe", false, |provider, cx, at| async move {
            text(provider.observe(&cx, (*at).clone()).await)
        });
    let sandbox = unknown(
        sandbox,
        [
            "an unknown migration",
            "the second step of an unknown migration",
            "a look at an unknown migration",
        ],
        nobodys,
    );
    let targets = [
        "an unknown target",
        "the second step in an unknown target",
        "a look at an unknown target",
    ];
    unknown(sandbox, targets, elsewhere)
}

/// Both steps and the look of something that is not there have to be refused.
fn unknown(
    sandbox: MigratorSandbox,
    [first, second, look]: [&'static str; 3],
    it: fn(&MigrationRef) -> MigrationRef,
) -> MigratorSandbox {
    sandbox
        .refusal(first, ErrorKind::NotFound, move |provider, cx, at| async move {
            text(provider.expand(&cx, it(&at)).await)
        })
        .refusal(second, ErrorKind::NotFound, move |provider, cx, at| async move {
            text(provider.contract(&cx, it(&at)).await)
        })
        .refusal(look, ErrorKind::NotFound, move |provider, cx, at| async move {
            text(provider.observe(&cx, it(&at)).await)
        })
}

/// The migration of somebody who is not there.
fn elsewhere(at: &MigrationRef) -> MigrationRef {
    let mut request = at.clone();
    request.target.service = crate::fixtures::literal("a-service-that-nobody-has");
    request
}

fn nobodys(at: &MigrationRef) -> MigrationRef {
    MigrationRef::new(at.target.clone(), "a migration that nobody has".into())
}

async fn nothing_is_contracted_before_it_is_expanded(sandbox: &MigratorSandbox) -> Check {
    let answer = sandbox.provider.contract(&sandbox.context(), (*sandbox.at).clone()).await;
    refused("the second step before the first", answer, ErrorKind::Conflict)?;
    match look_at(sandbox).await?.phase {
        MigrationPhase::Pending => Ok(()),
        other => Err(broken("that nothing was done", format!("it is {other:?}"))),
    }
}

async fn expanded_then_contracted(sandbox: &MigratorSandbox) -> Check {
    for round in 0..2 {
        let answer = sandbox.provider.expand(&sandbox.context(), (*sandbox.at).clone()).await;
        answer.map_err(|error| unanswered("the first step", &error))?;
        reached(sandbox, round, &MigrationPhase::Expanding, &MigrationPhase::Expanded).await?;
    }
    for round in 0..2 {
        // Also while it may be on its way.
        for _ in 0..2 {
            let answer = sandbox.provider.contract(&sandbox.context(), (*sandbox.at).clone()).await;
            answer.map_err(|error| unanswered("the second step", &error))?;
        }
        reached(sandbox, round, &MigrationPhase::Contracting, &MigrationPhase::Contracted).await?;
    }
    let answer = sandbox.provider.expand(&sandbox.context(), (*sandbox.at).clone()).await;
    answer.map_err(|error| unanswered("the first step once more", &error))?;
    reached(sandbox, 1, &MigrationPhase::Contracted, &MigrationPhase::Contracted).await
}

/// Waits until a phase is reached; on the way there, and when it was reached before, nothing else is seen.
async fn reached(
    sandbox: &MigratorSandbox,
    round: u32,
    on_the_way: &MigrationPhase,
    wanted: &MigrationPhase,
) -> Check {
    let end = sandbox.until(async || {
        let MigrationStatus { phase, .. } = look_at(sandbox).await?;
        let allowed = phase == *wanted || (round == 0 && phase == *on_the_way);
        if !allowed {
            return Err(broken(format!("{wanted:?}, or on the way there"), format!("{phase:?}")));
        }
        Ok(if phase == *wanted { Ok(()) } else { Err(phase) })
    });
    end.await?.map_err(|phase| broken(format!("{wanted:?}"), format!("it stays {phase:?}")))
}

async fn look_at(sandbox: &MigratorSandbox) -> Result<MigrationStatus, Broken> {
    let answer = sandbox.provider.observe(&sandbox.context(), (*sandbox.at).clone()).await;
    answer.map_err(|error| unanswered("a look at the migration", &error))
}
