//! Work that is done where it is waited for, and goes on in a task of its own when nobody waits any more.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Work in its caller's own task: a task for each would cost a switch of threads there and back. Dropped before it is
/// done, it goes on in a task.
pub(super) struct Carried<F: Future<Output: Send> + Send + 'static> {
    /// `None` once it is done, or has panicked.
    work: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
    runtime: Handle,
}

impl<F: Future<Output: Send> + Send + 'static> fmt::Debug for Carried<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Carried(done: {})", self.work.is_none())
    }
}

impl<F: Future<Output: Send> + Send + 'static> Carried<F> {
    /// Work that goes on among `tasks` in `runtime`.
    pub(super) fn new(work: F, tasks: &TaskTracker, runtime: &Handle) -> Self {
        Self { work: Some(Box::pin(work)), tasks: tasks.clone(), runtime: runtime.clone() }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Carried<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that work that panics is not polled again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Carried<F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            drop(self.tasks.spawn_on(work, &self.runtime)); // whose handle nobody needs
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_goes_on() {
        let (go, begin) = oneshot::channel::<()>();
        let (done, seen) = oneshot::channel();
        let work = async move {
            begin.await.unwrap();
            done.send(7).unwrap();
        };
        let mut work = Carried::new(work, &TaskTracker::new(), &Handle::current());
        assert_eq!((&mut work).now_or_never(), None);
        drop(work);
        go.send(()).unwrap();
        assert_eq!(seen.await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_is_done_is_not_done_again() {
        let tasks = TaskTracker::new();
        assert_eq!(Carried::new(async { 7 }, &tasks, &Handle::current()).await, 7);
        assert!(tasks.is_empty());
    }
}
