//! Runs the cases of a suite over a real server side by side: each waits most of the time, for a server of its own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use release_testkit::conformance::Verdict;

/// So many at once: what waits for a reply within 100 ms must get the processor by then.
const AT_ONCE: usize = 5;

/// Runs the cases of these names by `run`, which blocks its thread; returns those that were skipped, in order.
///
/// # Panics
/// When one of them is violated, or is no case.
pub(crate) fn conform(
    names: &[&'static str],
    run: impl Fn(&'static str) -> Option<Verdict> + Sync,
) -> Vec<&'static str> {
    let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = run(name);
                    ended.lock().unwrap().push((*name, verdict));
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    let verdict = |name: &str| ended.iter().find(|(of, _)| *of == name).map(|(_, verdict)| verdict);
    let mut skipped = Vec::new();
    let mut violated = Vec::new();
    for name in names {
        match verdict(name) {
            Some(Some(Verdict::Passed)) => {}
            Some(Some(Verdict::Skipped { .. })) => skipped.push(*name),
            other => violated.push(format!("{name}: {other:?}")),
        }
    }
    assert!(violated.is_empty(), "{}", violated.join("\n"));
    skipped
}

/// Blocks on a future in a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(work)
}
