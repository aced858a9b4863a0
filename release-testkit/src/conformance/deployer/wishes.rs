//! The cases of what a wish may say beside how many: new in V2. A published list is never changed.

use release_core::model::{AntiAffinity, Metadata};
use release_providers::ErrorKind;
use release_providers::spi::ApplyRequest;

use super::DeployerSandbox;
use super::cases::{refuses, same};
use crate::conformance::{Case, Check, case, unanswered};

pub(super) const NEW_IN_V2: &[Case<DeployerSandbox>] = &[
    case!(
        undeclared_wishes_are_refused,
        "`Unsupported` for instances that are to stand apart, or to carry something, where that is not declared, with no effect",
        |sandbox| {
            let can = sandbox.abilities().deployer;
            (can.anti_affinity && can.metadata).then_some("wish that is not declared")
        }
    ),
    case!(
        apart_is_taken_where_declared,
        "where it is declared, instances that are to stand apart from others are started, as many as are wished",
        |sandbox| (!sandbox.abilities().deployer.anti_affinity).then_some("`anti_affinity`")
    ),
    case!(
        carried_is_changed_without_a_restart,
        "where it is declared, a wish that differs in what instances carry alone is taken, and starts and stops none",
        |sandbox| (!sandbox.abilities().deployer.metadata).then_some("`metadata`")
    ),
];

fn role(role: &str) -> Metadata {
    Metadata::new().label("release-suite", role).annotation("release-suite", role)
}

async fn undeclared_wishes_are_refused(sandbox: &DeployerSandbox) -> Check {
    let ([subject, _], can) = (&sandbox.subjects, sandbox.abilities().deployer);
    let wish = || sandbox.wish(subject, 1);
    let kinds = [
        (can.anti_affinity, "instances that have to stand apart", of(wish(), ALONE)),
        (can.anti_affinity, "instances that should stand apart", of(wish(), RATHER_ALONE)),
        (can.metadata, "instances that carry a role", wish().carrying(Some(role("canary")))),
        (can.metadata, "instances that carry nothing", wish().carrying(Some(Metadata::new()))),
    ];
    for (declared, what, wish) in kinds {
        if !declared {
            refuses(sandbox, what, wish, ErrorKind::Unsupported).await?;
        }
    }
    Ok(())
}

const ALONE: AntiAffinity = AntiAffinity::Required;
const RATHER_ALONE: AntiAffinity = AntiAffinity::Preferred(50);

const fn of(wish: ApplyRequest, apart: AntiAffinity) -> ApplyRequest {
    wish.keeping(Some(apart))
}

async fn takes(sandbox: &DeployerSandbox, what: &str, wish: ApplyRequest) -> Check {
    let answer = sandbox.provider.apply(&sandbox.context(), wish).await;
    answer.map_err(|error| unanswered(what, &error))
}

/// Only what a platform rather does: whether there is a machine without others nobody knows.
async fn apart_is_taken_where_declared(sandbox: &DeployerSandbox) -> Check {
    let [subject, other] = &sandbox.subjects;
    sandbox.apply(other, 1).await?;
    let before = sandbox.settled(other, 1).await?;
    for replicas in [1, 2, 0] {
        let wish = of(sandbox.wish(subject, replicas), RATHER_ALONE);
        takes(sandbox, "a wish for instances that should stand apart", wish).await?;
        sandbox.settled(subject, replicas).await?;
    }
    same(&before, &sandbox.settled(other, 1).await?)
}

async fn carried_is_changed_without_a_restart(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    sandbox.apply(subject, 2).await?;
    let before = sandbox.settled(subject, 2).await?;
    for carried in [Some(role("canary")), Some(role("stable")), Some(Metadata::new()), None] {
        let wish = sandbox.wish(subject, 2).carrying(carried);
        takes(sandbox, "a wish that differs in what is carried alone", wish).await?;
        sandbox.linger().await;
        same(&before, &sandbox.settled(subject, 2).await?)?;
    }
    Ok(())
}
