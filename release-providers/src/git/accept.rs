//! Requests: understood, accepted for good, cancelled, forgotten.

use std::fs::{self, File};
use std::sync::Arc;

use release_core::model::Principal;
use release_core::time::Timestamp;

use super::config::{GitBuildsConfig, PARAMETER_PREFIX, Recipe, is_variable};
use super::layout::{Accepted, End, Outcome, io_error, remove, write_record};
use super::mirror::Revision;
use super::runner::{Build, Inner};
use crate::disk::write_whole;
use crate::spi::StartBuild;
use crate::sync::lock;
use crate::{ErrorKind, ProviderError, RetryAdvice};

/// How much all parameters together may have, in bytes: what a program can be given has bounds.
const MOST_PARAMETERS: usize = 64 * 1024;

/// A request that makes sense, of things that the runner knows.
#[derive(Debug)]
pub(super) struct Asked {
    request: StartBuild,
    pub(super) place: String,
    pub(super) revision: Revision,
    recipe: Recipe,
}

/// Finds out what a request means.
///
/// # Errors
/// `NotFound` for a repository or a recipe that the runner does not know, `Invalid` for what makes no sense.
pub(super) fn understood(
    operation: &'static str,
    config: &GitBuildsConfig,
    request: StartBuild,
) -> Result<Asked, ProviderError> {
    let unknown = |what: &'static str, name: &str| {
        let text =
            format!("the runner has no such {what}; add it to its configuration, or mend the name");
        ProviderError::new(ErrorKind::NotFound, operation, text).with_context(what, short(name))
    };
    let invalid = |text: String| ProviderError::new(ErrorKind::Invalid, operation, text);
    let place = config.repositories.get(&request.repository);
    let place = place.ok_or_else(|| unknown("repository", &request.repository))?.clone();
    let recipe = config.recipes.get(&request.recipe);
    let recipe = recipe.ok_or_else(|| unknown("recipe", &request.recipe))?.clone();
    let revision = Revision::new(&request.revision).ok_or_else(|| {
        let text = "a revision is the whole id of a commit, 40 or 64 hexadecimal digits in lower case, and never a branch or a tag, which move; `git rev-parse` tells it";
        invalid(text.into()).with_context("revision", short(&request.revision))
    })?;
    for (name, value) in &request.parameters {
        if !is_variable(name) || value.contains('\0') {
            let text = format!(
                "parameters become variables, `{PARAMETER_PREFIX}` and their names, which have letters, digits and `_`, and no NUL in their values; mend it"
            );
            return Err(invalid(text).with_context("parameter", short(name)));
        }
    }
    let all = request.parameters.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    if all.fold(0, usize::saturating_add) > MOST_PARAMETERS {
        let text = format!(
            "parameters have {MOST_PARAMETERS} bytes at most; name a reference instead of the content"
        );
        return Err(invalid(text));
    }
    Ok(Asked { request, place, revision, recipe })
}

fn short(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Whether a key that was used was used for just this.
///
/// # Errors
/// `Conflict`, and it helps nobody to ask again.
pub(super) fn is_same(
    operation: &'static str,
    build: &Build,
    request: &StartBuild,
) -> Result<(), ProviderError> {
    if build.accepted.request == *request {
        return Ok(());
    }
    let text = "another build was started under this key; take another key";
    Err(ProviderError::new(ErrorKind::Conflict, operation, text)
        .with_retry(RetryAdvice::Never)
        .with_context("key", short(&build.accepted.key)))
}

/// Accepts a build for good. Blocks.
pub(super) fn accept(
    operation: &'static str,
    inner: &Inner,
    (key, by): (String, Principal),
    asked: Asked,
    now: Timestamp,
) -> Result<(), ProviderError> {
    let _accepting = lock(&inner.accepting);
    if let Some(build) = inner.get(&key) {
        return is_same(operation, &build, &asked.request);
    }
    let Asked { request, place: of, recipe, .. } = asked;
    let place = inner.paths.place(&key);
    let number = lock(&inner.queue).next;
    let accepted = Accepted::new((key, by), request, (of, recipe), (now, number));
    let fail = |e| io_error(operation, &place.folder, e);
    fs::create_dir_all(&place.folder).map_err(fail)?;
    write_record(operation, &place.request(), &accepted)?;
    File::open(inner.paths.builds()).and_then(|builds| builds.sync_all()).map_err(fail)?;
    let build = Arc::new(Build::new(place.clone(), accepted, None));
    let mut queue = lock(&inner.queue);
    queue.next = queue.next.saturating_add(1);
    queue.waiting.insert((number, place.id.clone()));
    queue.all.insert(place.id, build);
    Ok(())
}

/// Cancels a build for good, unless it is over. Blocks.
pub(super) fn cancel(
    operation: &'static str,
    inner: &Inner,
    build: &Build,
    now: Timestamp,
) -> Result<(), ProviderError> {
    if build.is_over() {
        return Ok(());
    }
    let path = build.place.cancelled();
    if !path.exists() {
        write_whole(&path, b"", 0o600).map_err(|e| io_error(operation, &path, e))?;
    }
    build.cancel.cancel();
    let waits = (build.accepted.number, build.place.id.clone());
    // One that an earlier runner may have started has processes to be ended when it has its turn.
    if !build.place.launch().exists() && lock(&inner.queue).waiting.remove(&waits) {
        let outcome = Outcome::new(End::Cancelled, now);
        let written = write_record(operation, &build.place.outcome(), &outcome);
        if let Err(error) = written {
            lock(&inner.queue).waiting.insert(waits); // its turn will find it cancelled
            return Err(error);
        }
        *lock(&build.outcome) = Some(outcome);
    }
    Ok(())
}

/// Forgets builds that were over before `instant`. Blocks.
pub(super) fn forget(inner: &Inner, instant: Timestamp) -> Result<usize, ProviderError> {
    const FORGET: &str = "builds.forget";
    let _accepting = lock(&inner.accepting);
    let all: Vec<Arc<Build>> = lock(&inner.queue).all.values().cloned().collect();
    let before = |build: &&Arc<Build>| {
        lock(&build.outcome).as_ref().is_some_and(|outcome| outcome.at < instant)
    };
    let mut count: usize = 0;
    for build in all.iter().filter(before) {
        let folder = &build.place.folder;
        // The request goes first: what is left of a folder without one is removed at the next open.
        let request = build.place.request();
        fs::remove_file(&request).map_err(|e| io_error(FORGET, &request, e))?;
        lock(&inner.queue).all.remove(&build.place.id);
        remove(folder).map_err(|e| io_error(FORGET, folder, e))?;
        count = count.saturating_add(1);
    }
    Ok(count)
}
