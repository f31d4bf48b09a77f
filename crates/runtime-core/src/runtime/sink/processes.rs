//! What a long-lived backend tells between its runs: that a process is dead, whose death no run ends with.
//!
//! Called by backends. A Worker whose process died while it was idle holds its scope for nobody else's
//! sake, so it can be taken at once (I6).

use tokio::sync::{mpsc, oneshot};

use super::RunSink;
use crate::{
    WorkerId,
    error::{SinkError, Unavailable},
    runtime::command::Command,
};

/// A backend's way to say that a process is dead, which outlives the run that started it. It keeps
/// neither the run nor the Runtime from ending.
#[derive(Debug, Clone)]
pub struct ProcessSink {
    writer: mpsc::WeakSender<Command>,
    worker_id: WorkerId,
}

impl RunSink {
    /// For a backend whose processes live longer than this run.
    pub fn process_sink(&self) -> ProcessSink {
        ProcessSink {
            writer: self.0.path.writer.downgrade(),
            worker_id: self.0.worker_id,
        }
    }
}

impl ProcessSink {
    /// Takes a process off the record that is dead, whether a run goes on or not. One that is not
    /// recorded (any more) changes nothing. Of a Worker whose processes can't be shown to be dead none
    /// is taken off: an opening, or an operator, decides about all of them.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`]; what it means for the process is nothing: the next opening finds it
    /// dead.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn ended(&self, identity: Vec<u8>) -> Result<(), SinkError> {
        let writer = self.writer.upgrade().ok_or(Unavailable::Closed)?;
        let (reply, answer) = oneshot::channel();
        writer
            .send(Command::ProcessEnded(self.worker_id, identity, reply))
            .await
            .map_err(|_| Unavailable::Closed)?;
        drop(writer);
        answer.await.map_err(|_| Unavailable::OutcomeUnknown)?
    }
}
