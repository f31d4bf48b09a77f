//! What host and command say to each other: `docs/exec-protocol.md`, version 1.
//!
//! Both sides ignore fields that they don't know. A type that this version doesn't know is kept with
//! its run and fails nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_runtime_core::{
    ActionId, Fence, Generation, RunId, WorkerId,
    backend::ActionAnswer,
    input::Input,
    profile::ResolvedProfile,
    run::{StopReason, Usage},
    store::BlockKind,
    worker::WorkerSpecFields,
};

use super::super::environment::ScopeText;

/// Grows when a message changes so that an older side would misread it.
pub(super) const PROTOCOL: u32 = 1;

/// The longest text of an `end` that is kept, in bytes.
const END_TEXT_BYTES_MAX: usize = 4 << 10;

/// From the command.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromCommand {
    /// The first line.
    Hello(CommandHello),
    /// The answer to a reference in the host's hello.
    Restored {
        outcome: RestoreOutcome,
    },
    BlockStart {
        block: String,
        kind: BlockKind,
        #[serde(default)]
        parent: Option<String>,
    },
    Delta {
        block: String,
        text: String,
    },
    Replace {
        block: String,
        text: String,
    },
    BlockEnd {
        block: String,
    },
    ToolCall(Map<String, Value>),
    ToolUpdate(Map<String, Value>),
    ToolResult(Map<String, Value>),
    Action {
        action_id: ActionId,
        #[serde(default)]
        options: Vec<String>,
        #[serde(default)]
        time_ms: Option<u64>,
        #[serde(default)]
        detail: Value,
    },
    Usage(Usage),
    Status {
        name: String,
        value: Value,
    },
    Resume {
        reference: String,
    },
    End(CommandEnd),
    #[serde(other)]
    Unknown,
}

/// The command's first line.
#[derive(Debug, Deserialize)]
pub(super) struct CommandHello {
    pub(super) protocol: u32,
    /// It can take a conversation up again.
    #[serde(default)]
    pub(super) resume: bool,
}

/// What became of a conversation that was to be taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RestoreOutcome {
    Restored,
    Lost,
    Unsupported,
}

/// The end of a run.
#[derive(Debug, Deserialize)]
pub(super) struct CommandEnd {
    reason: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    pub(super) usage: Option<Usage>,
    /// The command takes no further input and ends by itself.
    #[serde(default)]
    pub(super) last: bool,
}

impl CommandEnd {
    pub(super) fn stop_reason(&self) -> StopReason {
        let cut = |text: &String| {
            let end = text.floor_char_boundary(END_TEXT_BYTES_MAX);
            text.get(..end).unwrap_or_default().to_owned()
        };
        match self.reason.as_str() {
            "end_turn" => StopReason::EndTurn,
            "max_tokens" => StopReason::MaxTokens,
            "max_turns" => StopReason::MaxTurns,
            "refusal" => StopReason::Refusal,
            "cancelled" => StopReason::Cancelled,
            "error" => StopReason::Error {
                code: self.code.as_ref().map(cut),
                message: self.message.as_ref().map(cut).unwrap_or_default(),
            },
            _ => StopReason::Other {
                reason: cut(&self.reason),
            },
        }
    }
}

/// A line of the command, as far as it can be read.
#[derive(Debug)]
pub(super) enum Parsed {
    Message {
        run_id: Option<String>,
        message: FromCommand,
    },
    /// It names its run, and can't be taken as it is.
    Malformed {
        run_id: Option<String>,
        fault: String,
    },
    /// No JSON object with a type.
    Garbage,
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Parsed {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(rename = "type")]
        _kind: String,
        #[serde(default)]
        run_id: Option<String>,
    }
    let Ok(Envelope { run_id, .. }) = serde_json::from_str(line) else {
        return Parsed::Garbage;
    };
    match serde_json::from_str(line) {
        Ok(message) => Parsed::Message { run_id, message },
        Err(error) => Parsed::Malformed {
            run_id,
            fault: error.to_string(),
        },
    }
}

/// To the command.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToCommand<'a> {
    Hello {
        protocol: u32,
        worker_id: WorkerId,
        profile: &'a ResolvedProfile,
        spec: &'a WorkerSpecFields,
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<&'a str>,
    },
    Input {
        run_id: RunId,
        generation: Generation,
        #[serde(skip_serializing_if = "Option::is_none")]
        fence: Option<Fence>,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<ScopeText<'a>>,
        input: &'a Input,
        #[serde(skip_serializing_if = "Option::is_none")]
        time_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        transcript_len: Option<u64>,
    },
    Cancel {
        run_id: RunId,
    },
    Answer {
        run_id: RunId,
        action_id: &'a ActionId,
        #[serde(flatten)]
        answer: Answer<'a>,
    },
    /// The call is durable: the tool may run.
    Recorded {
        run_id: RunId,
        call_id: &'a Value,
    },
    Shutdown,
}

/// How an action ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer<'a> {
    Option(&'a str),
    Lapsed(bool),
}

impl<'a> From<&'a ActionAnswer> for Answer<'a> {
    fn from(answer: &'a ActionAnswer) -> Self {
        match answer {
            ActionAnswer::Chosen(option) => Self::Option(option),
            ActionAnswer::Lapsed => Self::Lapsed(true),
        }
    }
}

#[cfg(test)]
mod tests;
