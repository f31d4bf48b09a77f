//! How a backend talks back about one run. Everything it tells becomes durable through the writer,
//! and is taken only while the run is the current one (I4). How a run ends is in `finish`, what it
//! tells beside its output in `facts`, what it asks before it writes in `verify`, and what is told between
//! runs in `processes`.
//!
//! Called by backends, and by the Worker's own task (`super::supervisor`).

mod facts;
mod finish;
mod processes;
mod verify;

pub use processes::ProcessSink;

use std::sync::{Arc, atomic::AtomicBool};

use serde::Serialize;
use serde_json::json;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    LiveRuns,
    alarm::Alarm,
    bounds::check_len,
    command::{Command, SinkMessage},
    shared::Shared,
    supervisor::Keeper,
};
use crate::{
    BlockId, Clock, EventDraft, EventType, Fence, Generation, Mounts, Position, RunId, WorkerId,
    error::{SinkError, Unavailable},
    event::EVENT_TYPE_LEN_MAX_BYTES,
    limits::Limits,
    state::{FinishedBlock, SinkOp},
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
    pub(crate) shared: Arc<Shared>,
    pub(crate) mounts: Arc<Mounts>,
}

/// A run's way back into the Runtime. Clones are of the same run; when the last one is dropped
/// without [`finish`](Self::finish), the run is cancelled in its backend and, once that says that
/// all is quiet, ends as `interrupted(no_terminator)`.
///
/// # Cancel safety
/// A method whose future is dropped before it returns (a timeout, a `select!`, an abort) has happened
/// whole or not at all, and nobody is told which: it is as a call that answered
/// [`OutcomeUnknown`](Unavailable::OutcomeUnknown). [`finish`](Self::finish) alone goes on by itself
/// once it was polled, so that the reason given is what is recorded.
#[derive(Clone)]
pub struct RunSink(Arc<Inner>);

/// Which run a sink is of.
#[derive(Clone, Copy)]
pub(crate) struct RunOf {
    pub(crate) worker_id: WorkerId,
    pub(crate) run_id: RunId,
    pub(crate) generation: Generation,
    pub(crate) fence: Option<Fence>,
}

struct Inner {
    path: SinkPath,
    worker_id: WorkerId,
    run_id: RunId,
    generation: Generation,
    fence: Option<Fence>,
    /// The backend's own end of the run was recorded, or somebody's was before.
    finished: AtomicBool,
    /// Ends the run when it is let go of without an end; a sink without one may just be dropped.
    keeper: Option<Keeper>,
}

impl std::fmt::Debug for RunSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunSink({} of {})", self.0.run_id, self.0.worker_id)
    }
}

impl RunSink {
    /// The sink that the backend gets: dropped without a word, its keeper ends the run.
    pub(crate) fn kept(path: SinkPath, run: RunOf, keeper: Keeper) -> Self {
        Self::of(path, run, Some(keeper))
    }

    /// A sink that may be dropped without ending the run.
    pub(crate) fn detached(path: SinkPath, run: RunOf) -> Self {
        Self::of(path, run, None)
    }

    fn of(path: SinkPath, run: RunOf, keeper: Option<Keeper>) -> Self {
        Self(Arc::new(Inner {
            path,
            worker_id: run.worker_id,
            run_id: run.run_id,
            generation: run.generation,
            fence: run.fence,
            finished: AtomicBool::new(false),
            keeper,
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
    /// As [`event`](Self::event), and [`SinkError::Limit`] when there are more than one commit takes,
    /// or all of them together have more bytes than one event may; then none is added.
    pub async fn events(&self, mut drafts: Vec<EventDraft>) -> Result<Position, SinkError> {
        let limits = &self.0.path.limits;
        let max = limits.batch_events_max;
        if drafts.len() > max {
            let what = "events of one call";
            return Err(SinkError::Limit { what, max });
        }
        let max = limits.event_bytes_max;
        let bytes = drafts.iter().map(|draft| draft.data.len());
        check_len(bytes.fold(0, usize::saturating_add), max)?;
        for draft in &mut drafts {
            draft.run_id = Some(self.0.run_id);
            let kind = &draft.kind;
            if kind.is_reserved() || kind.as_str().len() > EVENT_TYPE_LEN_MAX_BYTES {
                let reason = format!("a backend tells no event of type {kind}");
                return Err(SinkError::Invalid { reason });
            }
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
