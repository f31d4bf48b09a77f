//! A run, as its backend plays it: blocks, tools, actions, usage, processes, and an end.

use serde_json::{Value, json};
use worker_runtime_core::{
    ActionId, BlockId, Event, EventType, InputId, Position, RunId, RunSink, WorkerId,
    record::{ProcessLife, ProcessRecord},
    run::{StopReason, Usage},
    store::BlockKind,
};

use super::{
    asked::{Asked, SinkCall},
    client::Client,
    journal::Block,
};
use crate::backend::Taken;

/// So many sinks of runs that are over are kept.
const LATE_MAX: usize = 3;

/// After so many words a run comes to its end.
const MOVES_MAX: u32 = 14;

/// A run that has not ended.
pub(super) struct Turn {
    pub(super) worker_id: WorkerId,
    pub(super) run_id: RunId,
    pub(super) input_id: InputId,
    pub(super) sink: RunSink,
    /// Actions that wait for an answer, and what they offer.
    pub(super) actions: Vec<(ActionId, Vec<String>)>,
    open: Vec<BlockId>,
    processes: Vec<Vec<u8>>,
    used: Usage,
    moves: u32,
}

impl Turn {
    pub(super) fn new(taken: Taken) -> Self {
        Self {
            worker_id: taken.sink.worker_id(),
            run_id: taken.request.run_id,
            input_id: taken.request.input.input_id.clone(),
            sink: taken.sink,
            actions: Vec::new(),
            open: Vec::new(),
            processes: Vec::new(),
            used: Usage::default(),
            moves: 0,
        }
    }

    /// Remembers what was taken.
    pub(super) fn told(&mut self, call: &SinkCall, is_done: bool) {
        match call {
            // One whose end is not known is left alone: the end of the run folds it.
            SinkCall::FinishBlock(block) => self.open.retain(|open| open != block),
            SinkCall::RequestAction(action_id, options, _) if is_done => {
                self.actions.push((action_id.clone(), options.clone()));
            }
            SinkCall::ProcessStarted(process) if is_done => {
                self.processes.push(process.identity.clone());
            }
            SinkCall::ProcessEnded(identity) if is_done => {
                self.processes.retain(|known| known != identity);
            }
            SinkCall::Usage(usage) => self.used = *usage,
            _ => {}
        }
    }
}

impl Client {
    /// The next word of a run.
    pub(super) fn choose_word(&mut self, run_id: RunId) -> Option<Asked> {
        let moves = {
            let turn = self.runs.get_mut(&run_id)?;
            turn.moves += 1;
            turn.moves
        };
        let call = match self.rng.u8(0..100) {
            _ if moves > MOVES_MAX => self.choose_end(run_id),
            0..46 => self.choose_text(run_id)?,
            46..66 => self.choose_events(),
            66..74 => {
                let options = match self.rng.u8(0..3) {
                    0 => Vec::new(),
                    _ => vec!["yes".to_owned(), "no".to_owned()],
                };
                let time_ms = self.rng.bool().then(|| self.rng.u64(3..20));
                let action_id = ActionId::new(format!("action-{}", self.number())).ok()?;
                SinkCall::RequestAction(action_id, options, time_ms)
            }
            74..79 => SinkCall::Usage(self.choose_usage(run_id)?),
            79..83 => {
                let name = self.rng.choice(["mode", "session", "commands"])?.to_owned();
                SinkCall::Status(name, json!({ "n": self.number() }))
            }
            83..88 => self.choose_process(run_id)?,
            88..90 => SinkCall::ResumeReference(self.number().to_le_bytes().to_vec()),
            // A fact that is the Runtime's alone to tell: refused.
            90..92 => SinkCall::Events(vec![(EventType::RUN_FINISHED, json!({ "fake": true }))]),
            _ => self.choose_end(run_id),
        };
        let turn = self.runs.get(&run_id)?;
        Some(Asked::Sink(turn.worker_id, run_id, call))
    }

    fn choose_text(&mut self, run_id: RunId) -> Option<SinkCall> {
        let open = self.runs.get(&run_id)?.open.clone();
        let chosen = self.rng.choice(&open).copied();
        if let Some(block) = chosen {
            let bytes = self.block_bytes(run_id, block);
            let more = match self.rng.u8(0..10) {
                0..5 => self.rng.usize(1..40),
                5..9 => self.rng.usize(40..200),
                _ => self.rng.usize(200..1500),
            };
            match self.rng.u8(0..100) {
                0..24 => return Some(SinkCall::FinishBlock(block)),
                24..32 => return Some(SinkCall::Replace(block, self.words(more))),
                _ if bytes < 3_000 => return Some(SinkCall::Append(block, self.words(more))),
                _ => return Some(SinkCall::FinishBlock(block)),
            }
        }
        let kind = match self.rng.bool() {
            true => BlockKind::Text,
            false => BlockKind::Thinking,
        };
        let turn = self.runs.get_mut(&run_id)?;
        // Refused when the run is over: there is nothing to tell then.
        let block = turn.sink.open_block(kind, None).ok()?;
        turn.open.push(block);
        let texts = Block {
            kind,
            texts: Vec::new(),
            kept: Vec::new(),
            dirty_bytes: 0,
            is_exact: true,
        };
        self.journal.blocks.insert((run_id, block), texts);
        let more = self.rng.usize(1..120);
        Some(SinkCall::Append(block, self.words(more)))
    }

    fn block_bytes(&self, run_id: RunId, block: BlockId) -> usize {
        let block = self.journal.blocks.get(&(run_id, block));
        block
            .and_then(|block| Some(block.texts.last()?.text.len()))
            .unwrap_or(0)
    }

    fn choose_events(&mut self) -> SinkCall {
        let count = match self.rng.u8(0..3) {
            0 => 1,
            _ => self.rng.usize(2..5),
        };
        let kinds = [
            EventType::TOOL_CALL,
            EventType::TOOL_RESULT,
            EventType::TOOL_UPDATE,
        ];
        let events = (0..count).map(|index| {
            let bytes = match self.rng.u8(0..10) {
                0..5 => self.rng.usize(1..80),
                5..8 => self.rng.usize(80..1900),
                // Kept beside its event, in pieces.
                _ => self.rng.usize(2_100..5_200),
            };
            let kind = kinds.get(index % kinds.len()).cloned();
            let data = json!({ "n": self.number(), "text": self.words(bytes) });
            (kind.unwrap_or(EventType::TOOL_CALL), data)
        });
        SinkCall::Events(events.collect())
    }

    fn choose_usage(&mut self, run_id: RunId) -> Option<Usage> {
        let used = self.runs.get(&run_id)?.used;
        Some(Usage {
            input_tokens: used.input_tokens + self.rng.u64(1..50),
            output_tokens: used.output_tokens + self.rng.u64(1..50),
            tool_calls: used.tool_calls + self.rng.u64(0..2),
            ..used
        })
    }

    fn choose_process(&mut self, run_id: RunId) -> Option<SinkCall> {
        let known = self.runs.get(&run_id)?.processes.first().cloned();
        Some(match known {
            Some(identity) if self.rng.u8(0..4) > 0 => SinkCall::ProcessEnded(identity),
            _ => {
                let number = self.number();
                SinkCall::ProcessStarted(ProcessRecord {
                    life: match self.rng.bool() {
                        true => ProcessLife::Run,
                        false => ProcessLife::Backend,
                    },
                    label: format!("process {number}"),
                    identity: number.to_le_bytes().to_vec(),
                })
            }
        })
    }

    fn choose_end(&mut self, run_id: RunId) -> SinkCall {
        let stop = match self.rng.u8(0..10) {
            0..5 => StopReason::EndTurn,
            5 => StopReason::MaxTokens,
            6 => StopReason::Refusal,
            7 => StopReason::Exit {
                code: Some(i32::from(self.rng.u8(0..3))),
                signal: None,
            },
            8 => StopReason::NoTerminator,
            _ => StopReason::Error {
                code: None,
                message: format!("it broke at {}", self.number()),
            },
        };
        let usage = match self.rng.bool() {
            true => self.choose_usage(run_id),
            false => None,
        };
        SinkCall::Finish(stop, usage)
    }

    /// A run is over; its sink is kept a while, as a backend may that is late.
    pub(super) fn end_run(&mut self, run_id: RunId) {
        if let Some(turn) = self.runs.remove(&run_id) {
            self.over.push_back((turn.worker_id, run_id, turn.sink));
            if self.over.len() > LATE_MAX {
                self.over.pop_front();
            }
        }
    }

    /// The way back of a run, also of one that is over.
    pub(super) fn sink_of(&self, run_id: RunId) -> Option<RunSink> {
        let live = self.runs.get(&run_id).map(|turn| &turn.sink);
        let over = self.over.iter().find(|(_, known, _)| *known == run_id);
        live.or(over.map(|(_, _, sink)| sink)).cloned()
    }

    /// A word of a run that is over: it must not be taken.
    pub(super) fn choose_late_word(&mut self) -> Option<Asked> {
        let (worker_id, run_id, _) = self.over.back()?;
        let (worker_id, run_id) = (*worker_id, *run_id);
        Some(Asked::Sink(worker_id, run_id, self.choose_events()))
    }

    /// A backend that lets go of a run without a word.
    pub(super) fn let_go_of_a_run(&mut self) {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        if let Some(run_id) = self.rng.choice(runs) {
            self.runs.remove(&run_id);
        }
    }

    /// A number that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// So many bytes of text, unlike any other.
    pub(super) fn words(&mut self, bytes: usize) -> String {
        let number = self.number();
        let mut text = format!("{number}:");
        while text.len() < bytes {
            text.push(self.rng.lowercase());
        }
        text
    }
}

/// From where, and of whom, a redaction tells.
pub(super) fn redacted_of(event: &Event) -> (Position, WorkerId) {
    let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
    let from = data.get("from").and_then(Value::as_u64);
    let worker_id = data.get("worker_id").and_then(Value::as_str);
    let worker_id = worker_id.and_then(|text| text.parse().ok());
    (
        from.map_or(event.position, Position),
        worker_id.unwrap_or(WorkerId::from_bytes([0; 16])),
    )
}
