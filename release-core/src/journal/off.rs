//! No journal at all: for what needs no record.

use std::sync::Arc;

use async_trait::async_trait;

use super::{AppendError, Batch, Head, Journal, ReadError, Record};
use crate::ids::RunId;
use crate::model::Digest;

/// Keeps nothing: for dry runs, load tests and benchmarks of what calls the engine.
///
/// An engine over it decides and acts as ever, and tells whoever watches. But nothing is written: runs
/// cannot be resumed, looked up or explained once they are not driven any more, two runs of one name are
/// not noticed, and a watcher that falls behind misses events. Nothing real should be released so.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn append(&self, _: Batch) -> Result<(), AppendError> {
        let detail = "this journal keeps nothing; use one that does".to_owned();
        Err(AppendError::Unavailable { detail })
    }

    fn records(&self) -> bool {
        false
    }

    async fn read(&self, _: &RunId) -> Result<Vec<Record>, ReadError> {
        Ok(Vec::new())
    }

    async fn blob(&self, _: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        Ok(None)
    }

    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        Ok(Vec::new())
    }
}
