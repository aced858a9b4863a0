//! What a build made, taken out of its work tree and put into the store.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use release_core::model::{ArtifactName, ArtifactRef, Digest};
use release_core::time::Span;
use rustix::fs::{Mode, OFlags, open, openat};

use super::layout::Place;
use super::runner::{Build, Inner};
use crate::disk::blocking;
use crate::spi::PutArtifact;
use crate::{Context, RetryAdvice};

const COLLECT: &str = "builds.collect";

/// Why there is no artifact.
#[derive(Debug)]
pub(super) enum NoArtifact {
    /// The build did not make it, or the store will never take it.
    Never(String),
    /// Nobody waits for it any more.
    Stopped,
}

/// Stores all that a build made, each as often as it takes. The same again gives the same.
pub(super) async fn collect(inner: &Inner, build: &Build) -> Result<Vec<ArtifactRef>, NoArtifact> {
    let mut all = Vec::new();
    for (name, path) in &build.accepted.recipe.artifacts {
        let bytes = taken(inner, &build.place, name, path).await?;
        all.push(stored(inner, build, name, bytes).await?);
    }
    Ok(all)
}

async fn taken(
    inner: &Inner,
    place: &Place,
    name: &ArtifactName,
    path: &str,
) -> Result<Vec<u8>, NoArtifact> {
    let (tree, path, most) = (place.tree(), path.to_owned(), inner.config.most_artifact);
    let told = format!("artifact `{name}` (`{path}`)");
    let read = blocking(COLLECT, move || Ok(read(&tree, &path, most))).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(fault)) => Err(NoArtifact::Never(format!("{told} {fault}"))),
        Err(error) => Err(NoArtifact::Never(format!("{told} could not be read: {error}"))),
    }
}

async fn stored(
    inner: &Inner,
    build: &Build,
    name: &ArtifactName,
    bytes: Vec<u8>,
) -> Result<ArtifactRef, NoArtifact> {
    const LONGEST: Span = Span::secs(30);
    let (clock, digest) = (&inner.config.clock, Digest::of(&bytes));
    let (mut pause, mut attempt) = (Span::millis(100), 1);
    loop {
        let key = format!("{}/{name}", build.accepted.key);
        let by = build.accepted.by.clone();
        let mut cx = Context::new(key, clock.now().plus(Span::secs(600)), by);
        cx.attempt = attempt;
        let request = PutArtifact::new(name.clone(), bytes.clone());
        let put = tokio::select! {
            put = inner.config.store.put(&cx, request) => put,
            () = inner.stop.cancelled() => return Err(NoArtifact::Stopped),
            () = build.cancel.cancelled() => return Err(NoArtifact::Stopped),
        };
        let error = match put {
            Ok(kept) if kept.digest() == digest => return Ok(kept),
            Ok(kept) => {
                let kept = kept.digest();
                return Err(NoArtifact::Never(format!(
                    "the store took artifact `{name}` of {digest} for {kept}; do not trust it"
                )));
            }
            Err(error) => error,
        };
        let wait = match error.retry() {
            RetryAdvice::Never => {
                return Err(NoArtifact::Never(format!("artifact `{name}` is not stored: {error}")));
            }
            RetryAdvice::After(wait) => wait.into(),
            RetryAdvice::Backoff | RetryAdvice::Exhausted => pause,
        };
        tracing::warn!(build = build.accepted.key, artifact = %name, %error, "not stored; trying again");
        tokio::select! {
            () = clock.sleep_until(clock.now().plus(wait)) => {}
            () = inner.stop.cancelled() => return Err(NoArtifact::Stopped),
            () = build.cancel.cancelled() => return Err(NoArtifact::Stopped),
        }
        pause = Span::from(pause.as_duration().saturating_mul(2)).min(LONGEST);
        attempt = attempt.saturating_add(1);
    }
}

/// Reads a file below `tree` without following a link anywhere on the way. What is wrong is told to follow the name of what it
/// is wrong with.
fn read(tree: &Path, path: &str, most: u64) -> Result<Vec<u8>, String> {
    let mut file = find(tree, path).map_err(|e| fault(&e))?;
    let data = file.metadata().map_err(|e| fault(&e))?;
    if !data.is_file() {
        return Err("is no file; let the recipe pack what it makes into one".into());
    }
    if data.len() > most {
        return Err(format!(
            "has {} bytes, and may have {most}; raise `most_artifact`",
            data.len()
        ));
    }
    let mut bytes = Vec::new();
    (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| fault(&e))?;
    Ok(bytes)
}

fn fault(error: &io::Error) -> String {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT) => {
            "is not there after the command; mend the path, or the build".into()
        }
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            "lies behind a link, which may lead out of the work tree; copy what it means".into()
        }
        _ => format!("cannot be read: {error}"),
    }
}

/// Opens each part of the path from the one before, so that none is followed if it is a link, whoever changes it meanwhile.
fn find(tree: &Path, path: &str) -> io::Result<File> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Neither waits for whoever writes into a pipe.
    let file = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: OwnedFd = open(tree, folder, Mode::empty())?;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let how = if parts.peek().is_some() { folder } else { file };
        at = openat(&at, part, how, Mode::empty())?;
    }
    Ok(at.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_read_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        fs::create_dir_all(tree.join("out")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(tree.join("out/good"), "good").unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        symlink(outside.join("secret"), tree.join("out/link")).unwrap();
        symlink(&outside, tree.join("door")).unwrap();
        symlink("out", tree.join("inner")).unwrap();
        assert_eq!(read(&tree, "out/good", 4).unwrap(), b"good");
        for (path, told) in [
            ("out/link", "behind a link"),
            ("door/secret", "behind a link"),
            ("inner/good", "behind a link"),
            ("out", "no file"),
            ("out/none", "not there"),
            ("out/good/x", "behind a link"),
        ] {
            let fault = read(&tree, path, 100).unwrap_err();
            assert!(fault.contains(told), "{path}: {fault}");
        }
        assert!(read(&tree, "out/good", 3).unwrap_err().contains("most_artifact"));
        symlink(folder.path().join("tree"), folder.path().join("other")).unwrap();
        assert!(read(&folder.path().join("other"), "out/good", 4).is_err());
    }

    #[test]
    fn a_pipe_is_no_artifact_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        assert!(read(folder.path(), "pipe", 4).unwrap_err().contains("no file"));
    }
}
