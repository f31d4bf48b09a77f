//! Output of any length as blocks of bounded length.
//!
//! A store that can't take it now is waited for: the command then waits at its pipe, and nothing that
//! it wrote is lost (I1, I9).

use std::time::Duration;

use worker_runtime_core::{
    BlockId, RunSink,
    error::{SinkError, Unavailable},
    store::BlockKind,
};

const WAIT_FIRST: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Whether the store can't take it now, and may later.
fn may_pass(error: &SinkError) -> bool {
    matches!(
        error,
        SinkError::Unavailable(
            Unavailable::OutcomeUnknown | Unavailable::StorageFull | Unavailable::Store { .. }
        )
    )
}

/// Does it until the store takes it.
///
/// # Errors
/// What won't pass by waiting.
pub(super) async fn persistently<T, F, Fut>(mut act: F) -> Result<T, SinkError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, SinkError>>,
{
    let mut wait = WAIT_FIRST;
    loop {
        match act().await {
            Err(error) if may_pass(&error) => {}
            other => return other,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Text of one kind, in as many blocks as it takes.
#[derive(Debug)]
pub(super) struct TextBlocks {
    kind: BlockKind,
    parent: Option<BlockId>,
    bytes_max: usize,
    block: Option<BlockId>,
    /// What the open block holds.
    bytes: usize,
}

impl TextBlocks {
    pub(super) fn new(kind: BlockKind, parent: Option<BlockId>, bytes_max: usize) -> Self {
        Self {
            kind,
            parent,
            // Whatever is configured, the longest character has to fit.
            bytes_max: bytes_max.max(4),
            block: None,
            bytes: 0,
        }
    }

    /// Begins the next block, unless one is open.
    ///
    /// # Errors
    /// [`SinkError::Limit`] when too many are.
    pub(super) fn open(&mut self, sink: &RunSink) -> Result<BlockId, SinkError> {
        match self.block {
            Some(block) => Ok(block),
            None => {
                let block = sink.open_block(self.kind, self.parent)?;
                self.bytes = 0;
                Ok(*self.block.insert(block))
            }
        }
    }

    /// Adds text; a full block is finished, and the next one begun.
    ///
    /// # Errors
    /// [`SinkError`], after which the output is not whole.
    pub(super) async fn append(&mut self, sink: &RunSink, text: &str) -> Result<(), SinkError> {
        let mut rest = text;
        while !rest.is_empty() {
            let block = self.open(sink)?;
            let room = self.bytes_max.saturating_sub(self.bytes);
            let (piece, later) = rest.split_at(rest.floor_char_boundary(room));
            if piece.is_empty() {
                self.finish(sink).await?;
                continue;
            }
            match sink.append(block, piece).await {
                Ok(()) => {}
                // It was taken, and can't be checkpointed now.
                Err(error) if may_pass(&error) => tokio::time::sleep(WAIT_FIRST * 10).await,
                // The Runtime's own limit is lower.
                Err(SinkError::Limit { .. }) if self.bytes > 0 => {
                    self.finish(sink).await?;
                    continue;
                }
                Err(SinkError::Limit { .. }) if self.bytes_max > 4 => {
                    self.bytes_max = (self.bytes_max.min(piece.len()) / 2).max(4);
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.bytes = self.bytes.saturating_add(piece.len());
            rest = later;
        }
        Ok(())
    }

    /// Sets the text of the open block.
    ///
    /// # Errors
    /// [`SinkError::Limit`] when it is too long for one block; else as [`append`](Self::append).
    pub(super) async fn replace(&mut self, sink: &RunSink, text: &str) -> Result<(), SinkError> {
        let block = self.open(sink)?;
        match sink.replace(block, text).await {
            Err(error) if may_pass(&error) => {}
            other => other?,
        }
        self.bytes = text.len();
        Ok(())
    }

    /// Ends the open block, if there is one.
    ///
    /// # Errors
    /// [`SinkError`].
    pub(super) async fn finish(&mut self, sink: &RunSink) -> Result<(), SinkError> {
        let Some(block) = self.block.take() else {
            return Ok(());
        };
        match persistently(|| sink.finish_block(block)).await {
            // An attempt whose outcome was unknown was durable after all.
            Ok(_) | Err(SinkError::BlockUnknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
