//! Stores, signers and verifiers of artifacts, and scanners.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use release_core::model::{ArtifactName, ArtifactRef, Digest};
use release_providers::ErrorKind;
use release_providers::spi::{
    ArtifactContent, Attested, JobPhase, JobRef, ObserveSignature, PutArtifact, ScanStatus,
    SignArtifact, Signature, SignatureStatus, StartScan, Verdict, Verification, VerifyArtifact,
};

use super::jobs::begins_anew;
use super::{BY_STATE, HOUR, OwnFault, other, sabotage};
use crate::fakes::lock;
use crate::fixtures;

sabotage!(
    ArtifactStore,
    [BY_STATE],
    [
        OwnFault::answers::<PutArtifact, ArtifactRef>(
            "names it otherwise",
            &["what_was_put_is_got"],
            |_, artifact| {
                let name: ArtifactName = fixtures::literal("another-name");
                *artifact = ArtifactRef::new(name, artifact.digest());
            },
        ),
        OwnFault::answers::<ArtifactRef, ArtifactContent>(
            "hands out the first byte alone",
            &["what_was_put_is_got", "same_content_has_one_digest"],
            |_, content| content.bytes.truncate(1),
        ),
        OwnFault::requests::<PutArtifact>(
            "stores the name too",
            &["same_content_has_one_digest"],
            |_, put| {
                if put.name.as_str() == "conformance-too" {
                    put.bytes.extend(put.name.as_str().bytes());
                }
            },
        ),
        leaves_halves(),
        OwnFault::forgives::<ArtifactRef, ArtifactContent>(
            "hands out what was changed",
            &["what_does_not_match_is_corrupt"],
            |artifact, kind| {
                let content =
                    || ArtifactContent::new(artifact.digest(), b"not what it was".to_vec());
                (kind == ErrorKind::Corrupt).then(content)
            },
        ),
    ]
);

/// A store that has a part of what it was not told to the end.
fn leaves_halves() -> OwnFault {
    let (name, caught_by) = ("leaves halves", &["what_was_broken_off_is_whole_or_not_there"]);
    let begun = Arc::new(Mutex::new(BTreeSet::new()));
    let ended = Arc::clone(&begun);
    let left = Arc::clone(&begun);
    OwnFault::requests::<PutArtifact>(name, caught_by, move |_, put| {
        lock(&begun).insert(Digest::of(&put.bytes));
    })
    .and(OwnFault::answers::<PutArtifact, ArtifactRef>(name, caught_by, move |_, artifact| {
        lock(&ended).remove(&artifact.digest());
    }))
    .and(OwnFault::forgives::<ArtifactRef, ArtifactContent>(
        name,
        caught_by,
        move |artifact, kind| {
            let half = kind == ErrorKind::NotFound && lock(&left).contains(&artifact.digest());
            half.then(|| ArtifactContent::new(artifact.digest(), b"a half".to_vec()))
        },
    ))
    .and_dawdles()
}

sabotage!(
    ArtifactVerifier,
    [],
    [
        OwnFault::answers::<VerifyArtifact, Verification>(
            "tells nobody who attested",
            &["what_is_attested_is_verified"],
            |_, found| found.attestations.clear(),
        ),
        OwnFault::requests::<VerifyArtifact>(
            "asks for no predicate",
            &["what_was_asked_for_must_be_there"],
            |_, request| request.predicates.clear(),
        ),
        OwnFault::answers::<VerifyArtifact, Verification>(
            "takes no signature for a good one",
            &["the_unknown_is_never_verified"],
            |request, found| {
                if request.predicates.is_empty() {
                    found.verdict = Verdict::Verified;
                }
            },
        ),
        OwnFault::answers::<VerifyArtifact, Verification>(
            "trusts strangers",
            &["strangers_count_for_nothing"],
            |_, found| {
                if found.digest == fixtures::digest("api", "1.1.0") {
                    let stranger = "a stranger".to_owned();
                    found.attestations.push(Attested::new(String::new(), stranger, found.digest));
                    found.verdict = Verdict::Verified;
                }
            },
        ),
        OwnFault::answers::<VerifyArtifact, Verification>(
            "takes any attestation for a signature",
            &["a_predicate_is_no_signature"],
            |request, found| {
                if request.predicates.is_empty() && !found.attestations.is_empty() {
                    found.verdict = Verdict::Verified;
                }
            },
        ),
        OwnFault::answers::<VerifyArtifact, Verification>(
            "trusts whoever stands beside somebody trusted",
            &["trust_is_not_shared"],
            |request, found| {
                if request.predicates.len() == 1 && !found.attestations.is_empty() {
                    found.verdict = Verdict::Verified;
                }
            },
        ),
        OwnFault::answers::<VerifyArtifact, Verification>(
            "answers about another digest",
            &["what_is_attested_is_verified", "the_unknown_is_never_verified"],
            |_, found| found.digest = other(found.digest),
        ),
    ]
);

sabotage!(
    ArtifactSigner,
    [],
    [
        OwnFault::answers::<SignArtifact, Signature>(
            "names another key",
            &["what_is_signed_names_the_artifact"],
            |_, signature| "another-key".clone_into(&mut signature.signing_key),
        ),
        OwnFault::answers::<ObserveSignature, SignatureStatus>(
            "finds another envelope",
            &["what_was_signed_is_observed"],
            |_, status| {
                if let Some(signature) = &mut status.signature {
                    signature.envelope = other(signature.envelope);
                }
            },
        ),
        OwnFault::answers::<SignArtifact, Signature>(
            "leaves the statement out",
            &["statements_differ"],
            |_, signature| signature.envelope = other(signature.artifact),
        )
        .and(OwnFault::answers::<ObserveSignature, SignatureStatus>(
            "",
            &[],
            |_, status| {
                if let Some(signature) = &mut status.signature {
                    signature.envelope = other(signature.artifact);
                }
            }
        )),
        OwnFault::requests::<SignArtifact>(
            "signs the predicate's name alone",
            &["statements_differ"],
            |_, request| {
                if request.statement.is_object() {
                    request.statement = serde_json::json!({});
                }
            },
        ),
        OwnFault::answers::<ObserveSignature, SignatureStatus>(
            "has always signed",
            &["an_unused_key_signed_nothing"],
            |_, status| {
                let any = || Signature::new(Digest::of(b"a"), "any".into(), Digest::of(b"any"));
                status.signature.get_or_insert_with(any);
            },
        ),
    ]
);

sabotage!(
    Scanner,
    [],
    [
        OwnFault::answers::<JobRef, ScanStatus>(
            "reports other content",
            &["a_scan_ends_with_its_report"],
            |_, status| {
                if let Some(report) = &mut status.report {
                    report.digest = other(report.digest);
                }
            },
        ),
        OwnFault::answers::<JobRef, ScanStatus>(
            "leaves warnings out",
            &["counts_are_those_of_the_report"],
            |_, status| {
                if let Some(report) = &mut status.report {
                    report.warnings = 0;
                }
            },
        ),
        OwnFault::answers::<JobRef, ScanStatus>(
            "knows the future",
            &["knowledge_is_dated"],
            |_, status| {
                if let Some(report) = &mut status.report {
                    report.known_until = report.known_until.plus(HOUR);
                }
            },
        ),
        begins_anew::<StartScan, ScanStatus>(|status| &mut status.phase),
        OwnFault::answers::<JobRef, ScanStatus>(
            "has scanned everything",
            &["an_unused_key_is_unknown"],
            |_, status| {
                if status.phase == JobPhase::Unknown {
                    status.phase = JobPhase::Running;
                }
            },
        ),
    ]
);
