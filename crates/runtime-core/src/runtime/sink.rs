//! How a backend talks back about one run. Everything it tells becomes durable through the writer,
//! and is taken only while the run is the current one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::json;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    LiveRuns,
    alarm::Alarm,
    bounds::{RAW_MESSAGE_BYTES_MAX, bounded, check_len, cut},
    command::{Command, SinkMessage},
};
use crate::{
    ActionId, BlockId, Clock, EventDraft, EventType, Generation, Position, RunId, WorkerId,
    error::{SinkError, Unavailable},
    event::EVENT_TYPE_LEN_MAX_BYTES,
    limits::Limits,
    record::ProcessRecord,
    run::{StopReason, Usage},
    state::{ActionRequest, FinishedBlock, RunEnd, SinkOp},
    store::BlockKind,
};

/// What every sink of a Runtime shares.
#[derive(Clone)]
pub(crate) struct SinkPath {
    pub(crate) writer: mpsc::Sender<Command>,
    pub(crate) live: Arc<LiveRuns>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) handle: Handle,
}

/// A run's way back into the Runtime. Clones are of the same run; when the last one is dropped
/// without [`finish`](Self::finish), the run ends as `interrupted(no_terminator)`.
#[derive(Clone)]
pub struct RunSink(Arc<Inner>);

struct Inner {
    path: SinkPath,
    worker_id: WorkerId,
    run_id: RunId,
    generation: Generation,
    finished: AtomicBool,
}

impl std::fmt::Debug for RunSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunSink({} of {})", self.0.run_id, self.0.worker_id)
    }
}

impl RunSink {
    pub(crate) fn new(
        path: SinkPath,
        worker_id: WorkerId,
        run_id: RunId,
        generation: Generation,
    ) -> Self {
        Self(Arc::new(Inner {
            path,
            worker_id,
            run_id,
            generation,
            finished: AtomicBool::new(false),
        }))
    }

    /// A sink that may be dropped without ending the run.
    pub(crate) fn detached(
        path: SinkPath,
        worker_id: WorkerId,
        run_id: RunId,
        generation: Generation,
    ) -> Self {
        Self(Arc::new(Inner {
            path,
            worker_id,
            run_id,
            generation,
            finished: AtomicBool::new(true),
        }))
    }

    /// The Worker that it tells about.
    pub fn worker_id(&self) -> WorkerId {
        self.0.worker_id
    }

    /// The run that it tells about.
    pub fn run_id(&self) -> RunId {
        self.0.run_id
    }

    /// The run's generation.
    pub fn generation(&self) -> Generation {
        self.0.generation
    }

    /// Whether the Runtime is closed.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.0.path.writer.is_closed()
    }

    /// Whether the run has its outcome.
    pub(crate) fn is_over(&self) -> bool {
        !self.0.path.live.has(self.0.worker_id, self.0.run_id)
    }

    /// Adds an event and gives back its position once it is durable: a tool may run only after its
    /// call is.
    ///
    /// # Errors
    /// [`SinkError::Stale`] when the run is over; [`SinkError::Limit`] when `data` is too large;
    /// [`SinkError::Invalid`] when it is no JSON object.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn event(
        &self,
        kind: EventType,
        data: &impl Serialize,
    ) -> Result<Position, SinkError> {
        let draft = self.draft(kind, data)?;
        self.events(vec![draft]).await
    }

    /// Adds several events in one commit; as [`event`](Self::event), for the last of them.
    ///
    /// # Errors
    /// As [`event`](Self::event); then none is added.
    pub async fn events(&self, mut drafts: Vec<EventDraft>) -> Result<Position, SinkError> {
        let max = self.0.path.limits.event_bytes_max;
        for draft in &mut drafts {
            draft.run_id = Some(self.0.run_id);
            let kind = &draft.kind;
            if kind.is_reserved() || kind.as_str().len() > EVENT_TYPE_LEN_MAX_BYTES {
                let reason = format!("a backend tells no event of type {kind}");
                return Err(SinkError::Invalid { reason });
            }
            check_len(draft.data.len(), max)?;
            if draft.data.first() != Some(&b'{') {
                return Err(SinkError::Invalid {
                    reason: "an event's data is a JSON object".into(),
                });
            }
        }
        self.send(SinkOp::Append(drafts)).await
    }

    /// Begins a block of output.
    ///
    /// # Errors
    /// [`SinkError::Limit`] when too many are open; [`SinkError::Stale`] when the run is over.
    pub fn open_block(
        &self,
        kind: BlockKind,
        parent: Option<BlockId>,
    ) -> Result<BlockId, SinkError> {
        self.live(|live| live.open_block(self.0.worker_id, self.0.run_id, kind, parent))
    }

    /// Adds text to a block. Observers see it at once; it is checkpointed within about a second or
    /// 16 KiB, and then this waits for the writer, so that a fast backend feels a slow disk.
    ///
    /// # Errors
    /// [`SinkError::Limit`] when the block would grow too large: finish it and begin another one.
    pub async fn append(&self, block: BlockId, text: &str) -> Result<(), SinkError> {
        self.write(block, false, text).await
    }

    /// Sets a block's text, whatever it was.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn replace(&self, block: BlockId, text: &str) -> Result<(), SinkError> {
        self.write(block, true, text).await
    }

    async fn write(&self, block: BlockId, replace: bool, text: &str) -> Result<(), SinkError> {
        let Inner {
            path,
            worker_id,
            run_id,
            ..
        } = &*self.0;
        let dirty_bytes =
            self.live(|live| live.write(*worker_id, *run_id, block, replace, text))?;
        if dirty_bytes >= path.limits.checkpoint_bytes {
            self.send(SinkOp::Checkpoint(block)).await?;
        } else if dirty_bytes > 0 {
            path.alarm.wake_at(
                path.clock
                    .monotonic()
                    .saturating_add(path.limits.checkpoint_every),
            );
        }
        Ok(())
    }

    /// Ends a block: its whole text becomes one `block.finished` event, which replaces the deltas.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn finish_block(&self, block: BlockId) -> Result<Position, SinkError> {
        let Inner {
            path,
            worker_id,
            run_id,
            ..
        } = &*self.0;
        let (kind, parent, text) = self.live(|live| live.read_block(*worker_id, *run_id, block))?;
        let data =
            json!({ "block": block, "kind": kind, "parent": parent, "text": text, "marks": [] });
        let draft = self.draft(EventType::BLOCK_FINISHED, &data)?;
        let position = self
            .send(SinkOp::FinishBlock(FinishedBlock { block, draft }))
            .await?;
        path.live.drop_block(*worker_id, *run_id, block);
        Ok(position)
    }

    /// Asks for a decision. It is answered through the Runtime, and reaches the backend as
    /// [`ExecutionBackend::respond`](crate::backend::ExecutionBackend::respond).
    ///
    /// # Errors
    /// As [`event`](Self::event); [`SinkError::Limit`] when too many are open, or options and
    /// detail are too large.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn request_action(
        &self,
        action_id: ActionId,
        options: Vec<String>,
        time_ms: Option<u64>,
        detail: serde_json::Value,
    ) -> Result<Position, SinkError> {
        let bytes = options.iter().map(String::len).sum::<usize>();
        let detail_bytes = detail.to_string().len();
        check_len(
            bytes.saturating_add(detail_bytes),
            self.0.path.limits.event_bytes_max,
        )?;
        self.send(SinkOp::RequestAction(ActionRequest {
            action_id,
            options,
            time_ms,
            detail,
        }))
        .await
    }

    /// Says what the run has used so far; the last word counts.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub async fn usage(&self, usage: Usage) -> Result<Position, SinkError> {
        self.live(|live| live.set_usage(self.0.worker_id, self.0.run_id, usage))?;
        self.event(EventType::USAGE, &usage).await
    }

    /// Sets a latest-wins fact about the Worker: its modes, its commands, ...
    ///
    /// # Errors
    /// As [`event`](Self::event); [`SinkError::Limit`] when there are too many names or the value
    /// is too large.
    pub async fn status(&self, name: &str, value: &impl Serialize) -> Result<Position, SinkError> {
        let max = self.0.path.limits.text_bytes_max;
        if name.is_empty() || name.len() > max {
            return Err(SinkError::Limit {
                what: "bytes of a status field's name",
                max,
            });
        }
        let json = serde_json::to_string(value).map_err(|error| SinkError::Invalid {
            reason: error.to_string(),
        })?;
        check_len(json.len(), self.0.path.limits.event_bytes_max)?;
        self.send(SinkOp::Status {
            name: name.to_owned(),
            json,
        })
        .await
    }

    /// Records a process before it executes anything, so that the next opening can prove it dead.
    ///
    /// # Errors
    /// As [`event`](Self::event). The process must then not be let go.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn process_started(&self, process: ProcessRecord) -> Result<Position, SinkError> {
        self.send(SinkOp::Process(process)).await
    }

    /// Takes a process off the record that is dead, so that a long-lived backend can start the next
    /// one. Processes that live as long as their run need no such word.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn process_ended(&self, identity: Vec<u8>) -> Result<Position, SinkError> {
        self.send(SinkOp::ProcessEnded(identity)).await
    }

    /// Keeps the backend's own reference to its conversation, for a restore.
    ///
    /// # Errors
    /// As [`event`](Self::event); [`SinkError::Limit`] when it is too long.
    pub async fn resume_reference(&self, reference: Vec<u8>) -> Result<Position, SinkError> {
        let max = self.0.path.limits.resume_bytes_max;
        if reference.len() > max {
            return Err(SinkError::Limit {
                what: "bytes of a resume reference",
                max,
            });
        }
        self.send(SinkOp::Resume(reference)).await
    }

    /// Keeps a message that the backend's protocol does not know, cut to 64 KiB; it fails nothing.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub async fn raw_message(&self, message: &str) -> Result<Position, SinkError> {
        let end = message.floor_char_boundary(RAW_MESSAGE_BYTES_MAX);
        let kept = message.get(..end).unwrap_or_default();
        let data = match serde_json::from_str::<&serde_json::value::RawValue>(kept) {
            Ok(raw) => json!({ "raw": raw }),
            Err(_) => json!({ "text": kept, "bytes": message.len() }),
        };
        self.event(EventType::BACKEND_MESSAGE, &data).await
    }

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
        self.0.finished.store(true, Ordering::SeqCst);
        let (stop, detail) = (bounded(stop), detail.map(cut));
        let mut wait = Duration::from_millis(20);
        loop {
            let end = RunEnd {
                usage,
                detail: detail.clone(),
            };
            match self
                .send(SinkOp::Finish {
                    stop: stop.clone(),
                    end,
                })
                .await
            {
                Err(SinkError::Unavailable(
                    Unavailable::OutcomeUnknown
                    | Unavailable::StorageFull
                    | Unavailable::Store { .. }
                    | Unavailable::Bug { .. },
                )) => {
                    tokio::time::sleep(wait).await;
                    // The commit whose outcome was unknown was durable after all.
                    if self.is_over() {
                        return Ok(());
                    }
                    wait = (wait * 2).min(Duration::from_secs(2));
                }
                other => return other.map(drop),
            }
        }
    }

    fn draft(&self, kind: EventType, data: &impl Serialize) -> Result<EventDraft, SinkError> {
        EventDraft::new(kind, Some(self.0.run_id), data).map_err(|error| SinkError::Invalid {
            reason: error.to_string(),
        })
    }

    /// The live part of the run, with its generation in the error when it is over.
    fn live<T>(&self, act: impl FnOnce(&LiveRuns) -> Result<T, SinkError>) -> Result<T, SinkError> {
        let live = &self.0.path.live;
        act(live).map_err(|error| match error {
            SinkError::Stale { run_id, .. } => {
                live.count_late();
                SinkError::Stale {
                    run_id,
                    generation: self.0.generation,
                }
            }
            other => other,
        })
    }

    async fn send(&self, op: SinkOp) -> Result<Position, SinkError> {
        let Inner {
            path,
            worker_id,
            run_id,
            generation,
            ..
        } = &*self.0;
        let (reply, answer) = oneshot::channel();
        let message = SinkMessage {
            worker_id: *worker_id,
            run_id: *run_id,
            generation: *generation,
            op,
            reply,
        };
        path.writer
            .send(Command::Sink(message))
            .await
            .map_err(|_| Unavailable::Closed)?;
        let position = answer.await.map_err(|_| Unavailable::OutcomeUnknown)??;
        path.live.advance(*worker_id, *run_id, position);
        Ok(position)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.finished.load(Ordering::SeqCst) || self.path.writer.is_closed() {
            return;
        }
        // The backend let go without a word: the run must still get its outcome.
        let sink = RunSink::new(
            self.path.clone(),
            self.worker_id,
            self.run_id,
            self.generation,
        );
        let detail = Some("the backend let go of the run without ending it".to_owned());
        self.path.handle.spawn(async move {
            sink.finish_with(StopReason::NoTerminator, None, detail)
                .await
        });
    }
}
