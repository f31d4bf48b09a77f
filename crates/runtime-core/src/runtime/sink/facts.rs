//! What a run tells beside its output: what it asks, what it used, its processes.
//!
//! Called by backends. Everything is bounded before the writer sees it (I9).

use serde::Serialize;
use serde_json::json;

use super::{
    super::bounds::{RAW_MESSAGE_BYTES_MAX, check_len},
    RunSink,
};
use crate::{
    ActionId, EventType, Position,
    error::SinkError,
    record::ProcessRecord,
    run::Usage,
    state::{ActionRequest, SinkOp},
};

/// What an event of the Runtime's own holds at most beside what a backend gave.
const SPARE_BYTES: usize = 4 << 10;

impl RunSink {
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
        // As the event will hold them: JSON may be longer than the text that it stands for.
        let told = self.draft(EventType::RUN_REQUIRES_ACTION, &(&options, &detail))?;
        check_len(
            told.data.len().saturating_add(SPARE_BYTES),
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

    /// Says what the run has used so far; the last word counts, also when the Runtime dies before the
    /// run ends.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn usage(&self, usage: Usage) -> Result<Position, SinkError> {
        let mut draft = self.draft(EventType::USAGE, &usage)?;
        draft.run_id = Some(self.0.run_id);
        self.send(SinkOp::Usage(usage, draft)).await
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
        check_len(
            json.len().saturating_add(SPARE_BYTES),
            self.0.path.limits.event_bytes_max,
        )?;
        self.send(SinkOp::Status {
            name: name.to_owned(),
            json,
        })
        .await
    }

    /// Records a process before it executes anything, so that the next opening can prove it dead.
    ///
    /// # Errors
    /// As [`event`](Self::event), and [`SinkError::Limit`] when its label or identity is too long.
    /// The process must then not be let go.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn process_started(&self, process: ProcessRecord) -> Result<Position, SinkError> {
        let limits = &self.0.path.limits;
        let bounds = [
            (
                "a process's label",
                process.label.len(),
                limits.text_bytes_max,
            ),
            (
                "a process's identity",
                process.identity.len(),
                limits.resume_bytes_max,
            ),
        ];
        for (what, bytes, max) in bounds {
            if bytes > max {
                return Err(SinkError::Limit { what, max });
            }
        }
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
}
