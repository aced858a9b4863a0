//! The suite of [`SecretStore`].

use std::sync::Arc;

use release_core::time::Span;
use release_providers::spi::{
    LeaseRef, LeaseSecret, ObserveSecret, RenewLease, RotateSecret, SecretLease, SecretRef,
    SecretStatus, SecretStore,
};
use release_providers::{Context, ErrorKind};

use crate::conformance::any::{ProviderSandbox, keyed, outcome, suite, text};
use crate::conformance::{
    Broken, Check, Provided as _, Said, Sandbox as _, broken, case, refused, unanswered,
};

/// A store of secrets, and a secret of it that the suite may lease and rotate.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type SecretStoreSandbox = ProviderSandbox<dyn SecretStore, SecretRef>;

suite!(
    SecretStore,
    "secret_store",
    SecretStoreSandbox,
    acting,
    [
        case!(
            leases_end_when_they_say,
            "a lease lasts as long as was asked for, or less; never longer"
        ),
        case!(renewal_counts_from_now, "a lease that is renewed lasts that long from then on"),
        case!(
            revoked_leases_are_over,
            "a lease that was revoked is not renewed, counts no more, and is not handed out again"
        ),
        case!(
            leases_are_over_at_their_end,
            "a lease that ended is not renewed, counts no more, and is not handed out again",
            |sandbox: &SecretStoreSandbox| sandbox.common().stands_still()
        ),
        case!(
            rotation_is_honest,
            "where `rotation` is declared another value has a greater version, and leases of the old one last; else \
             `Unsupported`"
        ),
        case!(leases_are_not_written, "what is written of a lease holds no secret"),
        case!(
            errors_tell_no_secret,
            "no error, description or debug text holds a secret that was handed out"
        ),
    ]
);

const TTL: Span = Span::secs(600);
/// As long as a lease lasts whose end is waited for.
const BRIEF: Span = Span::secs(2);

/// The store, and a secret that exists and that nobody else uses.
pub fn sandbox(provider: Arc<dyn SecretStore>, secret: SecretRef) -> SecretStoreSandbox {
    let rotates = provider.describe().abilities.secret_store.rotation;
    let sandbox = ProviderSandbox::of(provider, secret)
        .deed(
            "lease",
            |provider, cx, at| async move {
                let answer = provider.lease(&cx, LeaseSecret::new((*at).clone(), TTL)).await;
                text(answer.map(|lease| (lease.lease, lease.version, lease.expires)))
            },
            |provider, cx, at, key| async move {
                // The lease of that key again, which changes nothing.
                let cx = keyed(cx, key);
                let answer = provider.lease(&cx, LeaseSecret::new((*at).clone(), TTL)).await;
                outcome(answer.map(|lease| (lease.version, (lease.lease, lease.expires))))
            },
        )
        .seen_by_doing()
        // Nobody has to keep a secret for it.
        .forgotten_at_a_restart()
        .look("observe", true, |provider, cx, at| async move {
            text(provider.observe(&cx, ObserveSecret::new((*at).clone())).await)
        })
        .refusal("an unknown secret", ErrorKind::NotFound, |provider, cx, _| async move {
            let nobodys = SecretRef::new("a secret that nobody has");
            text(provider.lease(&cx, LeaseSecret::new(nobodys, TTL)).await.map(drop))
        })
        .refusal("a look at an unknown secret", ErrorKind::NotFound, |provider, cx, _| async move {
            let nobodys = SecretRef::new("a secret that nobody has");
            text(provider.observe(&cx, ObserveSecret::new(nobodys)).await)
        })
        .refusal("the renewal of no lease", ErrorKind::NotFound, |provider, cx, _| async move {
            let request = RenewLease::new("a lease that nobody has".into(), TTL);
            text(provider.renew(&cx, request).await)
        })
        .refusal("the end of no lease", ErrorKind::NotFound, |provider, cx, _| async move {
            text(provider.revoke(&cx, LeaseRef::new("a lease that nobody has".into())).await)
        })
        .refusal("a lease for no time", ErrorKind::Invalid, |provider, cx, at| async move {
            text(provider.lease(&cx, LeaseSecret::new((*at).clone(), Span::ZERO)).await.map(drop))
        });
    if !rotates {
        return sandbox;
    }
    sandbox
        .deed(
            "rotate",
            |provider, cx, at| async move {
                let answer = provider.rotate(&cx, RotateSecret::new((*at).clone())).await;
                text(answer.map(|status| (status.secret, status.version)))
            },
            |provider, cx, at, _| async move {
                let status = provider.observe(&cx, ObserveSecret::new((*at).clone())).await;
                outcome(status.map(|status| (status.secret, status.version)))
            },
        )
        .refusal(
            "another value of an unknown secret",
            ErrorKind::NotFound,
            |provider, cx, _| async move {
                let request = RotateSecret::new(SecretRef::new("a secret that nobody has"));
                text(provider.rotate(&cx, request).await)
            },
        )
}

async fn leases_end_when_they_say(sandbox: &SecretStoreSandbox) -> Check {
    let asked = sandbox.now();
    let lease = leased(sandbox).await?;
    let (from, latest) = (asked, sandbox.now().plus(TTL));
    if lease.expires <= from || lease.expires > latest {
        let expected = format!("an end after {from} and not after {latest}");
        return Err(broken(expected, format!("it ends at {}", lease.expires)));
    }
    if lease.value.is_empty() {
        return Err(broken("the secret", "it is empty"));
    }
    Ok(())
}

async fn renewal_counts_from_now(sandbox: &SecretStoreSandbox) -> Check {
    let lease = leased(sandbox).await?;
    let request = RenewLease::new(lease.lease.clone(), TTL);
    let answer = sandbox.provider.renew(&sandbox.context(), request).await;
    let status = answer.map_err(|error| unanswered("a renewal", &error))?;
    let latest = sandbox.now().plus(TTL);
    if status.lease != lease.lease || status.expires > latest || status.expires < lease.expires {
        let expected = format!("{} until {latest} or earlier, not cut short", lease.lease);
        return Err(broken(expected, format!("{status:?}")));
    }
    Ok(())
}

async fn revoked_leases_are_over(sandbox: &SecretStoreSandbox) -> Check {
    let (cx, before) = (sandbox.context(), look_at(sandbox).await?.leases);
    let lease = leased_for(sandbox, &cx, TTL).await?;
    for _ in 0..2 {
        revoked(sandbox, &lease).await?;
    }
    over(sandbox, &cx, (&lease, before), "was revoked").await
}

async fn leases_are_over_at_their_end(sandbox: &SecretStoreSandbox) -> Check {
    let (cx, before) = (sandbox.context(), look_at(sandbox).await?.leases);
    let lease = leased_for(sandbox, &cx, BRIEF).await?;
    sandbox.common().pass(lease.expires.since(sandbox.now())).await?;
    over(sandbox, &cx, (&lease, before), "ended").await?;
    // Whoever ends it all the same has what was wanted.
    revoked(sandbox, &lease).await
}

async fn revoked(sandbox: &SecretStoreSandbox, lease: &SecretLease) -> Check {
    let request = LeaseRef::new(lease.lease.clone());
    let answer = sandbox.provider.revoke(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("the end of a lease", &error))
}

/// Demands that a lease is over, which was taken with `cx` when there were so many.
async fn over(
    sandbox: &SecretStoreSandbox,
    cx: &Context,
    (lease, before): (&SecretLease, u32),
    why: &str,
) -> Check {
    let request = RenewLease::new(lease.lease.clone(), TTL);
    let answer = sandbox.provider.renew(&sandbox.context(), request).await;
    refused(&format!("the renewal of a lease that {why}"), answer, ErrorKind::NotFound)?;
    let after = look_at(sandbox).await?.leases;
    if after > before {
        return Err(broken(format!("{before} leases as before"), format!("{after} last")));
    }
    let next = leased_for(sandbox, cx, TTL).await?;
    if next.lease == lease.lease || next.expires <= sandbox.now() {
        let wanted = format!("another lease under the key of one that {why}");
        return Err(broken(wanted, format!("{} until {}", next.lease, next.expires)));
    }
    Ok(())
}

async fn rotation_is_honest(sandbox: &SecretStoreSandbox) -> Check {
    let before = leased(sandbox).await?;
    let cx = sandbox.context();
    let request = RotateSecret::new((*sandbox.at).clone());
    let answer = sandbox.provider.rotate(&cx, request.clone()).await;
    if !sandbox.provider.describe().abilities.secret_store.rotation {
        return refused("a rotation that is not declared", answer, ErrorKind::Unsupported);
    }
    let first = answer.map_err(|error| unanswered("a rotation", &error))?;
    let again = sandbox.provider.rotate(&cx, request).await;
    let again = again.map_err(|error| unanswered("the same rotation again", &error))?;
    let (after, seen) = (leased(sandbox).await?, look_at(sandbox).await?);
    let versions = [first.version, again.version, after.version, seen.version];
    if first.version <= before.version || versions.iter().any(|one| *one != first.version) {
        let expected = format!("one version after {}, whoever tells it", before.version);
        let [first, again, leased, seen] = versions;
        let found = format!(
            "the rotation tells {first}, asked again {again}, a lease {leased}, `observe` {seen}"
        );
        return Err(broken(expected, found));
    }
    if after.value == before.value {
        return Err(broken("another value", "it is the old one"));
    }
    let renewal = RenewLease::new(before.lease, TTL);
    let answer = sandbox.provider.renew(&sandbox.context(), renewal).await;
    answer.map(drop).map_err(|error| unanswered("the renewal of a lease of the old value", &error))
}

async fn leases_are_not_written(sandbox: &SecretStoreSandbox) -> Check {
    let lease = leased(sandbox).await?;
    let written = serde_json::to_string(&lease).map_err(|error| broken("text", error))?;
    let shown = format!("{written} {lease:?} {:?}", look_at(sandbox).await?);
    if lease.value.expose().len() > 3 && shown.contains(lease.value.expose()) {
        return Err(broken("no secret", "it is in what is written of the lease"));
    }
    Ok(())
}

async fn errors_tell_no_secret(sandbox: &SecretStoreSandbox) -> Check {
    let lease = leased(sandbox).await?;
    revoked(sandbox, &lease).await?;
    // A shorter one may stand in any text by chance.
    let long = lease.value.expose().len() > 3;
    let said = sandbox.said_of(long.then(|| lease.value.clone())).await?;
    said.keeps_the_secret()?;
    let request = RenewLease::new(lease.lease, TTL);
    let answer = sandbox.provider.renew(&sandbox.context(), request).await;
    let mut said = Said::of(Some(lease.value), &sandbox.provider, &sandbox.describe());
    said.answered("the renewal of what was revoked", text(answer));
    said.keeps_the_secret()
}

async fn leased(sandbox: &SecretStoreSandbox) -> Result<SecretLease, Broken> {
    leased_for(sandbox, &sandbox.context(), TTL).await
}

async fn leased_for(
    sandbox: &SecretStoreSandbox,
    cx: &Context,
    ttl: Span,
) -> Result<SecretLease, Broken> {
    let request = LeaseSecret::new((*sandbox.at).clone(), ttl);
    let answer = sandbox.provider.lease(cx, request).await;
    answer.map_err(|error| unanswered("a lease", &error))
}

async fn look_at(sandbox: &SecretStoreSandbox) -> Result<SecretStatus, Broken> {
    let request = ObserveSecret::new((*sandbox.at).clone());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a look at the secret", &error))
}
