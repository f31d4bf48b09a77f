//! One step of a history: what is done, small enough to be printed and read.
//!
//! Which step comes next is chosen in `choose`.

mod choose;

pub(super) use choose::choose;

use super::world::EndsBy;

/// What a creation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    Plain,
    NoBackend,
    Hold(Asks),
    WithInput,
    Child(usize),
    Below(usize, Asks),
    BadParent,
    BadProfile,
    BadBackend,
    BadBundle,
    BadScope,
    EmptyObjective,
    InputWithoutBackend,
}

/// What is asked to be held: numbers of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asks {
    pub(super) scope: Option<u8>,
    pub(super) delegation: Option<u8>,
    /// What is left out of the scope.
    pub(super) deny: Option<u8>,
}

/// What is done with what a Worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HoldStep {
    Change(Asks),
    Release { by_force: bool },
    Reclaim { by_force: bool },
}

/// What is done with what is held by somebody who is no Worker. A lease is named by the order in which
/// those that are held were granted; a number beyond them is that of one that nobody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseStep {
    Acquire {
        /// Its id, of a few; minted when absent.
        id: Option<u8>,
        rule: u8,
        deny: Option<u8>,
        ttl_ms: u64,
    },
    AcquireAgain {
        nth: usize,
        differs: bool,
    },
    Renew {
        nth: usize,
        shows: Shows,
        ttl_ms: Option<u64>,
    },
    Release {
        nth: usize,
        shows: Shows,
    },
    Take {
        nth: usize,
    },
    /// Time passes, look by look, until it is over.
    Outlast {
        nth: usize,
    },
}

/// Which fence is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// The last one.
    Last,
    /// The one that gave the last one.
    Before,
    /// The next one that there will be.
    Next,
    /// Any other one.
    Other,
}

/// What is done to a Worker's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LifeStep {
    Pause,
    Resume,
    Stop { assume_dead: bool },
    Cancel { assume_dead: bool },
    Archive,
    Restore,
    Delete { purge: bool },
    Rename,
}

/// How an input is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadInput {
    Empty,
    NoType,
}

/// Which answer an action is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerStep {
    Right,
    WrongOption,
    NoSuchAction,
    NoSuchRun,
}

/// How a run ends by its backend's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    EndTurn,
    MaxTokens,
    Exit(i32),
    Error,
    NoTerminator,
    Cancelled,
}

/// What a backend says of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    Event {
        bytes: usize,
    },
    /// Several events in one call.
    Events,
    ToolCall,
    ReservedEvent,
    Usage,
    Status,
    OpenBlock,
    Append {
        bytes: usize,
    },
    Replace {
        bytes: usize,
    },
    FinishBlock,
    AskAction {
        time_ms: Option<u64>,
    },
    AskAgain,
    Process,
    Finish(Ending),
    LetGo,
}

/// How a call of the Runtime is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyStep {
    Good,
    Bad,
    Worse,
}

/// Where an observer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    Beginning,
    Now,
    Cursor(usize),
}

/// One step. A Worker is named by the order of its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Create {
        serial: u32,
        minted: bool,
        ask: Ask,
    },
    CreateAgain {
        worker: usize,
        differs: bool,
    },
    Send {
        worker: usize,
        input: u32,
        queue: bool,
        time_ms: Option<u64>,
        bytes: usize,
    },
    SendAgain {
        worker: usize,
        nth: usize,
        differs: bool,
    },
    SendBad {
        worker: usize,
        bad: BadInput,
    },
    SendToNobody,
    Life {
        worker: usize,
        op: LifeStep,
    },
    Hold {
        worker: usize,
        op: HoldStep,
    },
    Lease {
        op: LeaseStep,
    },
    CancelRun {
        worker: usize,
        other: bool,
    },
    Answer {
        worker: usize,
        how: AnswerStep,
    },
    StopRuntime {
        drain: bool,
    },
    StartRuntime,
    Backend {
        worker: usize,
        say: Say,
    },
    Reply {
        worker: usize,
        how: ReplyStep,
    },
    Late {
        nth: usize,
        finish: bool,
    },
    Advance {
        ms: u64,
    },
    Jump {
        forward: bool,
    },
    Observe {
        worker: Option<usize>,
        begin: Begin,
        deltas: bool,
    },
    Drain {
        nth: usize,
    },
    LetGo {
        nth: usize,
    },
    Restart {
        by: EndsBy,
        unproven: bool,
    },
    CheckAll,
}

impl Step {
    /// The kind of step, for the figures.
    pub(super) fn name(self) -> String {
        let text = format!("{self:?}");
        let end = text.find([' ', '{', '(']).unwrap_or(text.len());
        let kind = text.get(..end).unwrap_or_default();
        let part = match self {
            Self::Life { op, .. } => format!("{op:?}"),
            Self::Hold { op, .. } => format!("{op:?}"),
            Self::Lease { op } => format!("{op:?}"),
            Self::Backend { say, .. } => format!("{say:?}"),
            Self::Restart { by, .. } => format!("{by:?}"),
            _ => return kind.to_owned(),
        };
        let end = part.find([' ', '{', '(']).unwrap_or(part.len());
        format!("{kind} {}", part.get(..end).unwrap_or_default())
    }
}
