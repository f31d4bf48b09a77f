//! What the client keeps: what it asked, what it was answered, and when, in calls of the store's
//! disk. The audits read nothing else beside what any reader can read (I1, I5).

use std::{collections::BTreeMap, sync::Arc};

use worker_runtime_core::{
    BlockId, Cursor, Event, InputId, Position, RunId, RuntimeId, WorkerId, store::BlockKind,
};

use super::asked::{Answer, Asked};
use crate::report::{Outcome, Violation};

/// How many calls of the disk were issued so far: the time that a crash is told in.
pub type Meter = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One command, and its answer.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What was asked.
    pub asked: Asked,
    /// When.
    pub asked_at: u64,
    /// When it was answered.
    pub answered_at: Option<u64>,
    /// How.
    pub answer: Answer,
}

/// An event, as an observer was told it.
#[derive(Debug, Clone)]
pub struct Told {
    /// When.
    pub told_at: u64,
    /// The cursor after it, in the Runtime's stream.
    pub cursor: Cursor,
    /// It.
    pub event: Event,
}

/// The text of a block, as it was after one write.
#[derive(Debug, Clone)]
pub struct BlockText {
    /// When the write was asked for.
    pub asked_at: u64,
    /// All of the text.
    pub text: String,
    /// Whether the write set it, whatever it was.
    pub replaced: bool,
}

/// That the text of a block is kept.
#[derive(Debug, Clone, Copy)]
pub struct KeptText {
    /// Since when.
    pub since: u64,
    /// Which of the block's texts.
    pub text: usize,
    /// How many bytes of it at least.
    pub bytes_min: usize,
}

/// A block of output.
#[derive(Debug, Clone)]
pub struct Block {
    /// Of what it holds.
    pub kind: BlockKind,
    /// Its texts, in order.
    pub texts: Vec<BlockText>,
    /// What was promised of them, in order.
    pub kept: Vec<KeptText>,
    /// Bytes that no checkpoint may hold yet.
    pub dirty_bytes: usize,
    /// Whether it is exactly so many: no time has passed in which a checkpoint may have come.
    pub is_exact: bool,
}

/// That a run was given to its backend: its start was durable before.
#[derive(Debug, Clone)]
pub struct Given {
    /// Which run.
    pub run_id: RunId,
    /// Of which Worker.
    pub worker_id: WorkerId,
    /// Of which input.
    pub input_id: InputId,
    /// When.
    pub at: u64,
}

/// What the client saw of the beginning of the Runtime's stream.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// When.
    pub seen_at: u64,
    /// The newest position then.
    pub position: Position,
    /// The position before the earliest event that was left.
    pub trimmed_to: Position,
}

/// What the client keeps.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// Which Runtime.
    pub runtime_id: Option<RuntimeId>,
    /// Every command, in the order in which they were asked.
    pub entries: Vec<Entry>,
    /// The log, as an observer of the Runtime's stream was told it.
    pub told: BTreeMap<Position, Told>,
    /// Stretches of it that were told as redacted: first and last position, and whose.
    pub redacted: Vec<(Position, Position, WorkerId)>,
    /// Stretches that were told as gone when the observer came to them.
    pub gaps: Vec<(Position, Position)>,
    /// Every block of output that was opened.
    pub blocks: BTreeMap<(RunId, BlockId), Block>,
    /// Every run that its backend was given.
    pub given: Vec<Given>,
    /// Positions that the Runtime showed as its newest, and when that was seen.
    pub shown: Vec<(u64, Position)>,
    /// Looks at the beginning of the stream.
    pub beginnings: Vec<Beginning>,
    /// How often the Runtime was opened.
    pub openings: u64,
    /// What the client itself saw broken.
    pub violations: Vec<Violation>,
}

impl Journal {
    /// Counts how often somebody was granted a lease, held one on or ended one.
    pub fn count_leases(&self, outcome: &mut Outcome) {
        let entries = self.entries.iter();
        let done = entries
            .filter(|entry| entry.asked.lease_id().is_some() && entry.answer.done().is_some());
        outcome.count("leases granted, held on or ended", done.count() as u64);
    }

    /// The newest position that was told at all.
    pub fn told_to(&self) -> Position {
        let event = self.told.keys().next_back().copied().unwrap_or_default();
        let redacted = self.redacted.iter().map(|(_, to, _)| *to);
        let gone = self.gaps.iter().map(|(_, to)| *to);
        redacted.chain(gone).fold(event, Position::max)
    }
}
