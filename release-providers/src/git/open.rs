//! Finds out, when a root is opened, what was accepted, and what of it is over.

use std::path::Path;
use std::sync::Arc;

use super::layout::{
    Accepted, OPEN, Outcome, Paths, Place, io_error, make, read_record, remove, take,
};
use super::mirror::tidy;
use super::runner::{Build, Inner};
use crate::ProviderError;
use crate::disk::{Lock, list};
use crate::sync::lock;

/// What an earlier runner left under a root.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) paths: Paths,
    /// Held for as long as the runner is open.
    pub(super) lock: Lock,
    pub(super) builds: Vec<Build>,
}

/// Locks a root and reads its records. Blocks.
pub(super) fn find(root: &Path) -> Result<Found, ProviderError> {
    make(root)?;
    let root = root.canonicalize().map_err(|e| io_error(OPEN, root, e))?;
    let lock = take(&root)?;
    let paths = Paths { root };
    tidy(&paths)?;
    let (mut builds, folder) = (Vec::new(), paths.builds());
    for folder in list(&folder).map_err(|e| io_error(OPEN, &folder, e))? {
        builds.extend(build(&folder)?);
    }
    Ok(Found { paths, lock, builds })
}

/// The build in a folder; `None`, and no folder any more, for one that was never accepted, or is forgotten.
fn build(folder: &Path) -> Result<Option<Build>, ProviderError> {
    let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let place = Place { id, folder: folder.to_owned() };
    let Some(accepted) = read_record::<Accepted>(&place.request())? else {
        remove(folder).map_err(|e| io_error(OPEN, folder, e))?;
        return Ok(None);
    };
    let outcome: Option<Outcome> = read_record(&place.outcome())?;
    if outcome.is_some() {
        place.clear().map_err(|e| io_error(OPEN, folder, e))?;
    }
    let build = Build::new(place, accepted, outcome);
    if build.place.cancelled().exists() {
        build.cancel.cancel();
    }
    Ok(Some(build))
}

impl Inner {
    /// Takes builds over that an earlier runner accepted: those that began are looked after at once, the others wait.
    pub(super) fn take_over(self: &Arc<Self>, builds: Vec<Build>) {
        let mut begun = Vec::new();
        {
            let mut queue = lock(&self.queue);
            for build in builds {
                let (number, id) = (build.accepted.number, build.place.id.clone());
                let build = Arc::new(build);
                queue.next = queue.next.max(number.saturating_add(1));
                queue.all.insert(id.clone(), Arc::clone(&build));
                if build.is_over() {
                } else if build.place.has_begun() {
                    queue.running = queue.running.saturating_add(1);
                    begun.push(build);
                } else {
                    queue.waiting.insert((number, id));
                }
            }
        }
        for build in begun {
            self.look_after(build);
        }
        self.pump();
    }
}
