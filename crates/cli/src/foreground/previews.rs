//! What a block at a server has so far: a long-poll brings it when it has ended, and a user wants to see
//! it grow. So the transcript's unfinished part is asked for while a run is followed.
//!
//! A picture is newer than the events that were seen: its block may be one of a later run, or stand behind
//! another one whose end is on its way. So it counts only when nothing had happened between the last
//! event that was seen and the picture, and its reader has not seen another one since.

use tokio::{
    sync::{mpsc, watch},
    time::Duration,
};
use worker_runtime_core::{
    Cursor, Stream, TranscriptFrom, WorkerId, cursor::From, view::UnfinishedBlock,
};

use crate::target::Current;

/// How often it is asked for. A picture has the whole of what has not ended, so this is not free.
const EVERY: Duration = Duration::from_millis(500);

/// Pictures of what a Worker's run has not ended.
pub(super) struct Previews {
    seen: watch::Sender<Cursor>,
    pictures: mpsc::Receiver<Picture>,
}

/// Blocks that have not ended.
pub(super) struct Picture {
    /// The last event that had been seen.
    pub(super) after: Cursor,
    pub(super) blocks: Vec<UnfinishedBlock>,
}

impl Previews {
    /// Asks for as long as this is kept.
    pub(super) fn start(current: Current, worker_id: WorkerId, after: Cursor) -> Self {
        let (seen, latest) = watch::channel(after);
        let (sender, pictures) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    () = tokio::time::sleep(EVERY) => {}
                }
                let after = *latest.borrow();
                if let Some(picture) = take(&current, worker_id, after).await
                    && sender.send(picture).await.is_err()
                {
                    return;
                }
            }
        });
        Self { seen, pictures }
    }

    /// Events up to this cursor were seen.
    pub(super) fn seen(&self, cursor: Cursor) {
        self.seen.send_replace(cursor);
    }

    /// The next picture.
    pub(super) async fn next(&mut self) -> Option<Picture> {
        self.pictures.recv().await
    }
}

/// A picture, if there is something in it and nothing happened before it. What goes wrong is told by the
/// stream of events.
async fn take(current: &Current, worker_id: WorkerId, after: Cursor) -> Option<Picture> {
    let client = current.remote().client;
    // No item is as late as this one: only what has not ended comes.
    let nothing = TranscriptFrom::Item(u64::MAX);
    let page = client.transcript(worker_id, nothing, 1).await.ok()?;
    if page.unfinished.is_empty() {
        return None;
    }
    let (stream, start) = (Stream::Worker(worker_id), From::After(after));
    let since = client.events(stream, start, 1, Duration::ZERO).await.ok()?;
    let is_seen = since.events.is_empty() && since.gap.is_none();
    is_seen.then_some(Picture {
        after,
        blocks: page.unfinished,
    })
}

#[cfg(test)]
mod tests;
