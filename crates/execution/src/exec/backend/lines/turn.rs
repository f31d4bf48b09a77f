//! One run of a command in lines mode: what the command says of it becomes events and blocks.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tracing::debug;
use worker_runtime_core::{
    EventType, RunId, RunSink,
    error::{SinkError, Unavailable},
    run::{StopReason, Usage},
};

use super::super::{
    slot::Claim,
    text::{TextBlocks, persistently},
};
use super::{
    message::{CommandEnd, FromCommand, ToCommand},
    outgoing::Outgoing,
};

/// The longest name that a command may give a block, in bytes.
const BLOCK_NAME_BYTES_MAX: usize = 128;

/// A run that was given to the command.
pub(super) struct Turn {
    pub(super) run_id: RunId,
    pub(super) sink: RunSink,
    pub(super) claim: Claim,
    /// What the command is told.
    pub(super) input_line: String,
    /// Why it fails, whatever the command says: told when the command has ended it.
    pub(super) failing: Option<StopReason>,
    block_bytes_max: usize,
    blocks: HashMap<String, TextBlocks>,
}

/// What is kept of a line that could not be taken, in bytes.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What follows from a message.
pub(super) enum Next {
    GoOn,
    /// The command ended the run.
    End(CommandEnd),
}

/// Why a message was not taken as it is.
pub(super) enum Fault {
    /// It is kept with this remark, and fails nothing.
    Remark(String),
    /// It is kept, and fails nothing.
    Unknown,
    /// Nobody is left who could take anything.
    Gone,
}

impl From<SinkError> for Fault {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Stale { .. } | SinkError::Unavailable(Unavailable::Closed) => Self::Gone,
            other => Self::Remark(other.to_string()),
        }
    }
}

fn remark<T>(text: String) -> Result<T, Fault> {
    Err(Fault::Remark(text))
}

impl Turn {
    pub(super) fn new(
        sink: RunSink,
        claim: Claim,
        input_line: String,
        block_bytes_max: usize,
    ) -> Self {
        Self {
            run_id: sink.run_id(),
            sink,
            claim,
            input_line,
            failing: None,
            block_bytes_max,
            blocks: HashMap::new(),
        }
    }

    /// Takes a message that names this run. It returns when the Runtime has taken it, so that a
    /// command which says much feels a slow store.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn take(
        &mut self,
        message: FromCommand,
        out: &Outgoing,
        memory: &super::Memory,
    ) -> Result<Next, Fault> {
        let sink = self.sink.clone();
        match message {
            FromCommand::BlockStart {
                block,
                kind,
                parent,
            } => self.start_block(block, kind, parent)?,
            FromCommand::Delta { block, text } => {
                self.block(&block)?.append(&sink, &text).await?;
            }
            FromCommand::Replace { block, text } => {
                self.block(&block)?.replace(&sink, &text).await?;
            }
            FromCommand::BlockEnd { block } => {
                self.block(&block)?.finish(&sink).await?;
                self.blocks.remove(&block);
            }
            FromCommand::ToolCall(fields) => {
                let call_id = fields.get("call_id").cloned();
                self.tool_event(EventType::TOOL_CALL, fields).await?;
                if let Some(call_id) = &call_id {
                    let run_id = self.run_id;
                    out.send(&ToCommand::Recorded { run_id, call_id });
                }
            }
            FromCommand::ToolUpdate(fields) => {
                self.tool_event(EventType::TOOL_UPDATE, fields).await?;
            }
            FromCommand::ToolResult(fields) => {
                self.tool_event(EventType::TOOL_RESULT, fields).await?;
            }
            FromCommand::Action {
                action_id,
                options,
                time_ms,
                detail,
            } => {
                let ask = || {
                    sink.request_action(action_id.clone(), options.clone(), time_ms, detail.clone())
                };
                persistently(ask).await?;
            }
            FromCommand::Usage(usage) => {
                persistently(|| sink.usage(usage)).await?;
            }
            FromCommand::Status { name, value } => {
                persistently(|| sink.status(&name, &value)).await?;
            }
            FromCommand::Resume { reference } => {
                let bytes = reference.clone().into_bytes();
                persistently(|| sink.resume_reference(bytes.clone())).await?;
                memory.set_reference(reference);
            }
            FromCommand::End(end) => return Ok(Next::End(end)),
            FromCommand::Hello(_) | FromCommand::Restored { .. } => {
                return remark("it is not expected within a run".to_owned());
            }
            FromCommand::Unknown => return Err(Fault::Unknown),
        }
        Ok(Next::GoOn)
    }

    fn start_block(
        &mut self,
        block: String,
        kind: worker_runtime_core::store::BlockKind,
        parent: Option<String>,
    ) -> Result<(), Fault> {
        if block.is_empty() || block.len() > BLOCK_NAME_BYTES_MAX {
            return remark(format!(
                "a block's name has 1 to {BLOCK_NAME_BYTES_MAX} bytes"
            ));
        }
        if self.blocks.contains_key(&block) {
            return remark(format!("block {block:?} is open already"));
        }
        let sink = self.sink.clone();
        let parent = match parent {
            Some(parent) => Some(self.block(&parent)?.open(&sink)?),
            None => None,
        };
        let mut begun = TextBlocks::new(kind, parent, self.block_bytes_max);
        begun.open(&sink)?;
        self.blocks.insert(block, begun);
        Ok(())
    }

    fn block(&mut self, block: &str) -> Result<&mut TextBlocks, Fault> {
        match self.blocks.get_mut(block) {
            Some(found) => Ok(found),
            None => {
                let name: String = block.chars().take(BLOCK_NAME_BYTES_MAX).collect();
                remark(format!("block {name:?} is not open"))
            }
        }
    }

    async fn tool_event(
        &self,
        kind: EventType,
        mut fields: Map<String, Value>,
    ) -> Result<(), Fault> {
        fields.remove("run_id");
        persistently(|| self.sink.event(kind.clone(), &fields)).await?;
        Ok(())
    }

    /// Keeps a line that could not be taken as it is, with why, if there is more to say than that its
    /// type is not known.
    pub(super) async fn keep(&self, line: &str, remark: Option<&str>) {
        let kept = match remark {
            None => persistently(|| self.sink.raw_message(line)).await,
            Some(remark) => {
                let end = line.floor_char_boundary(KEPT_BYTES_MAX);
                let text = line.get(..end).unwrap_or_default();
                let data = json!({ "text": text, "bytes": line.len(), "remark": remark });
                persistently(|| self.sink.event(EventType::BACKEND_MESSAGE, &data)).await
            }
        };
        if let Err(error) = kept {
            debug!(run_id = %self.run_id, %error, "a command's line was not kept");
        }
    }

    /// Ends it. What is still open is closed by the Runtime.
    pub(super) async fn finish(
        self,
        stop: StopReason,
        usage: Option<Usage>,
        detail: Option<String>,
    ) {
        self.claim.ends();
        if let Err(error) = self.sink.finish_with(stop, usage, detail).await {
            debug!(run_id = %self.run_id, %error, "the run had ended already");
        }
    }

    /// Tells how many lines were dropped since that was last told.
    pub(super) async fn tell_dropped(&self, lines: u64) {
        let data = json!({ "stream": "stdout", "dropped_lines": lines });
        let told = persistently(|| self.sink.event(EventType::BACKEND_MESSAGE, &data)).await;
        if let Err(error) = told {
            debug!(%error, "dropped lines were not told");
        }
    }
}
