//! How a run ends: by its backend's word, which goes on by itself once it was said, or when its last
//! sink is dropped, by whoever keeps the run (I4, I6).

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    super::bounds::{bounded, cut},
    Inner, RunOf, RunSink,
};
use crate::{
    error::{SinkError, Unavailable},
    run::{StopReason, Usage},
    state::{RunEnd, SinkOp},
};

/// The waits between two attempts to record what must be recorded.
const AGAIN_WAIT_MIN: Duration = Duration::from_millis(20);
const AGAIN_WAIT_MAX: Duration = Duration::from_secs(2);

impl RunSink {
    /// Ends the run. Blocks that have not ended become events, marked unless the run completed.
    ///
    /// Waits until the end is durable, also over a full disk and a store that recovers: every input
    /// gets its outcome (I4).
    ///
    /// # Errors
    /// [`SinkError::Stale`] when the run is over already; [`Unavailable::Closed`] when the Runtime
    /// is gone: the next opening then ends the run.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    ///
    /// # Cancel safety
    /// Once it was polled, the end is recorded although nobody waits for it any more.
    pub async fn finish(&self, stop: StopReason, usage: Option<Usage>) -> Result<(), SinkError> {
        self.finish_with(stop, usage, None).await
    }

    /// As [`finish`](Self::finish), with a word for the operator.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn finish_with(
        &self,
        stop: StopReason,
        usage: Option<Usage>,
        detail: Option<String>,
    ) -> Result<(), SinkError> {
        let (stop, detail) = (bounded(stop), detail.map(cut));
        let sink = self.clone();
        // On a task of its own, which holds the sink: whoever stops waiting takes nothing back.
        let recorded = self.0.path.handle.spawn(async move {
            let recorded = sink
                .send_until_taken(|| SinkOp::Finish {
                    stop: stop.clone(),
                    end: RunEnd {
                        usage,
                        detail: detail.clone(),
                    },
                })
                .await;
            if matches!(recorded, Ok(()) | Err(SinkError::Stale { .. })) {
                sink.0.finished.store(true, Ordering::SeqCst);
            }
            recorded
        });
        // Its tokio runtime ends, and this Runtime with it.
        recorded.await.unwrap_or(Err(Unavailable::Closed.into()))
    }

    /// Says what must not be lost, again and again until it is durable or the run is over.
    async fn send_until_taken(&self, op: impl Fn() -> SinkOp) -> Result<(), SinkError> {
        let mut wait = AGAIN_WAIT_MIN;
        let mut is_in_doubt = false;
        loop {
            match self.send(op()).await {
                // The commit whose outcome was unknown was durable after all, and this came too late.
                Err(SinkError::Stale { .. }) if is_in_doubt => return Ok(()),
                Err(SinkError::Unavailable(
                    Unavailable::OutcomeUnknown
                    | Unavailable::StorageFull
                    | Unavailable::Store { .. }
                    | Unavailable::Bug { .. },
                )) => {
                    is_in_doubt = true;
                    tokio::time::sleep(wait).await;
                    // The commit whose outcome was unknown was durable after all.
                    if self.is_over() {
                        return Ok(());
                    }
                    wait = (wait * 2).min(AGAIN_WAIT_MAX);
                }
                other => return other.map(drop),
            }
        }
    }

    /// The run's processes can't be shown to be dead, and nobody is left who could end them.
    pub(crate) async fn unproven(&self, reason: String) -> Result<(), SinkError> {
        self.send_until_taken(|| SinkOp::Unproven(reason.clone()))
            .await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.finished.load(Ordering::SeqCst) || self.path.writer.is_closed() {
            return;
        }
        let Some(keeper) = self.keeper.take() else {
            return;
        };
        // The backend let go without a word: the run must still get its outcome.
        let run = RunOf {
            worker_id: self.worker_id,
            run_id: self.run_id,
            generation: self.generation,
            fence: self.fence,
        };
        let sink = RunSink::detached(self.path.clone(), run);
        let detail = Some("the backend let go of the run without ending it".to_owned());
        self.path.handle.spawn(async move {
            keeper
                .end_when_quiet(&sink, StopReason::NoTerminator, detail)
                .await;
        });
    }
}
