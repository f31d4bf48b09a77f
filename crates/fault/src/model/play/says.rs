//! What the backend of a run says: events, blocks, actions, usage, and its end. What is said of the
//! current run is heard, durable when it is answered, and told as it was said (I1, I4).

use std::collections::VecDeque;

use serde_json::json;
use worker_runtime_core::{
    ActionId, BlockId, Code, EventDraft, EventType, Position, WorkerId,
    error::SinkError,
    record::{ProcessLife, ProcessRecord},
    run::{StopReason, Usage},
    store::BlockKind,
};

use super::{Game, calls::Want, ends::error_stop};
use crate::model::{
    expect::Expect,
    plain::{Action, Block, Run},
    step::{Ending, Say},
    stop::{Played, broken, ensure},
    world::ACTIONS_MAX,
};
use crate::report::Doing;

/// New bytes of a block after which it is checkpointed at once.
const CHECKPOINT_BYTES: usize = 16 << 10;

impl Game {
    /// What the backend of a run says.
    pub(super) async fn say(&mut self, index: usize, say: Say) -> Played<()> {
        let found = self.sides.get(index).and_then(|side| side.sink.clone());
        let (Some(sink), true) = (found, self.is_talking(index)) else {
            return Ok(());
        };
        let position = self.plain.position().0;
        let id = self.id_of(index);
        let run_id = sink.run_id();
        let told = |kind, data| vec![Expect::of(id, kind, data).in_run(run_id)];
        let (answer, expected) = match say {
            Say::Event { bytes } => {
                let data = json!({ "n": position, "text": "e".repeat(bytes) });
                let kind = EventType::from_text("model.note");
                (
                    self.heard(sink.event(kind, &data)).await?,
                    told("model.note", data),
                )
            }
            Say::Events => {
                let kinds = ["model.first", "model.second", "model.third"];
                let data = |nth: usize| json!({ "n": position, "nth": nth });
                let drafts = kinds.iter().enumerate().map(|(nth, kind)| {
                    EventDraft::new(EventType::from_text(kind), None, &data(nth))
                });
                let drafts: Result<Vec<_>, _> = drafts.collect();
                let drafts = drafts.doing("write events")?;
                let told = kinds.iter().enumerate();
                let told = told.map(|(nth, kind)| Expect::of(id, kind, data(nth)).in_run(run_id));
                let told = told.collect();
                (self.heard(sink.events(drafts)).await?, told)
            }
            Say::ToolCall => {
                let data = json!({ "name": "look", "n": position });
                (
                    self.heard(sink.event(EventType::TOOL_CALL, &data)).await?,
                    told("tool.call", data),
                )
            }
            Say::ReservedEvent => {
                let nothing = json!({});
                let said = sink.event(EventType::RUN_FINISHED, &nothing);
                let answer = self.heard(said).await?.map_err(|error| error.code());
                return self.refused(&[Code::FieldInvalid], answer, "a reserved event");
            }
            Say::Usage => {
                let usage = Usage {
                    output_tokens: position,
                    ..Usage::default()
                };
                if let Some(run) = self.run_mut(index) {
                    run.usage = usage;
                }
                (
                    self.heard(sink.usage(usage)).await?,
                    told("usage", json!(usage)),
                )
            }
            Say::Status => {
                let value = json!({ "n": position });
                if let Some(worker) = self.plain.workers.get_mut(index) {
                    worker.status.insert("mode".into(), value.clone());
                }
                let data = json!({ "name": "mode", "value": value });
                // A fact about the Worker, which outlives the run.
                let told = vec![Expect::of(id, "worker.status", data)];
                (self.heard(sink.status("mode", &value)).await?, told)
            }
            Say::Process => {
                let process = ProcessRecord {
                    life: ProcessLife::Run,
                    label: format!("pid {position}"),
                    identity: position.to_be_bytes().to_vec(),
                };
                let answer = self.heard(sink.process_started(process)).await?;
                if let Some(run) = self.run_mut(index) {
                    run.has_process = true;
                }
                self.count("processes recorded");
                (answer.map(|_| Position(0)), Vec::new())
            }
            Say::OpenBlock | Say::Append { .. } | Say::Replace { .. } | Say::FinishBlock => {
                drop(sink);
                return self.say_block(index, say).await;
            }
            Say::AskAction { time_ms } => {
                drop(sink);
                return self.ask_action(index, time_ms, false).await;
            }
            Say::AskAgain => {
                drop(sink);
                return self.ask_action(index, None, true).await;
            }
            Say::Finish(ending) => {
                drop(sink);
                return self.finish(index, ending).await;
            }
            Say::LetGo => {
                drop(sink);
                return self.let_go(index).await;
            }
        };
        self.said(answer, expected).await
    }

    pub(super) async fn heard<T>(&self, said: impl Future<Output = T>) -> Played<T> {
        self.world
            .watchdog
            .within("the answer to a backend", said)
            .await
    }

    /// What a backend said is durable at the position that it was answered.
    async fn said(
        &mut self,
        answer: Result<Position, SinkError>,
        expected: Vec<Expect>,
    ) -> Played<()> {
        let is_event = !expected.is_empty();
        let Ok(position) = answer else {
            return broken("I4 the current run is heard", format!("{answer:?}"));
        };
        let events = self.events(expected).await?;
        let last = events.last().map(|event| event.position);
        ensure(
            !is_event || last == Some(position),
            "I1 an answer names its event",
            || format!("a backend was answered {position}, its event is at {last:?}"),
        )
    }

    pub(super) fn run_mut(&mut self, index: usize) -> Option<&mut Run> {
        self.plain.workers.get_mut(index)?.run.as_mut()
    }

    async fn ask_action(&mut self, index: usize, time_ms: Option<u64>, again: bool) -> Played<()> {
        let at = self.world.now();
        let id = self.id_of(index);
        let Some(sink) = self.sides.get(index).and_then(|side| side.sink.clone()) else {
            return Ok(());
        };
        let Some(run) = self.run_mut(index) else {
            return Ok(());
        };
        let run_id = run.run_id;
        let open = run
            .actions
            .first()
            .map(|action| action.id.clone())
            .filter(|_| again);
        let is_again = open.is_some();
        let is_full = run.actions.len() >= ACTIONS_MAX;
        run.actions_asked += 1;
        let name = format!("action {}", run.actions_asked);
        let action_id = match open {
            Some(open) => open,
            None => ActionId::new(name).doing("name an action")?,
        };
        let options = vec!["yes".to_owned(), "no".to_owned()];
        let detail = json!({ "tool": "rm" });
        let asked =
            sink.request_action(action_id.clone(), options.clone(), time_ms, detail.clone());
        let answer = self.heard(asked).await?;
        if is_again || is_full {
            let answer = answer.map_err(|error| error.code());
            return self.refused(&[Code::FieldInvalid], answer, "an action");
        }
        let deadline = time_ms.map(|ms| at.plus(std::time::Duration::from_millis(ms)));
        let data = json!({ "action_id": action_id, "options": options, "deadline": deadline, "detail": detail });
        if let Some(run) = self.run_mut(index) {
            run.actions.push(Action {
                id: action_id,
                options,
                at,
                deadline,
            });
        }
        self.count("actions asked for");
        self.said(
            answer,
            vec![Expect::of(id, "run.requires_action", data).in_run(run_id)],
        )
        .await
    }

    async fn finish(&mut self, index: usize, ending: Ending) -> Played<()> {
        let stop = match ending {
            Ending::EndTurn => StopReason::EndTurn,
            Ending::MaxTokens => StopReason::MaxTokens,
            Ending::Exit(code) => StopReason::Exit {
                code: Some(code),
                signal: None,
            },
            Ending::Error => error_stop("model", "it broke"),
            Ending::NoTerminator => StopReason::NoTerminator,
            Ending::Cancelled => StopReason::Cancelled,
        };
        let Some(sink) = self.sides.get(index).and_then(|side| side.sink.clone()) else {
            return Ok(());
        };
        let answer = self.heard(sink.finish(stop.clone(), None)).await?;
        if let Err(error) = answer {
            return broken(
                "I4 the current run is heard",
                format!("its end was answered {error}"),
            );
        }
        self.run_ends(index, stop).await
    }

    /// The backend lets go of its run without a word: it is cancelled, and ends when all is quiet.
    async fn let_go(&mut self, index: usize) -> Played<()> {
        if let Some(side) = self.sides.get_mut(index) {
            side.sink = None;
        }
        self.count("runs let go of");
        self.called(vec![Want::Cancel(index, StopReason::NoTerminator)])
            .await
    }

    async fn say_block(&mut self, index: usize, say: Say) -> Played<()> {
        let Some(sink) = self.sides.get(index).and_then(|side| side.sink.clone()) else {
            return Ok(());
        };
        let monotonic_ms = self.world.monotonic_ms;
        let id: WorkerId = self.id_of(index);
        let position = self.plain.position().0;
        let Some(run) = self.run_mut(index) else {
            return Ok(());
        };
        let (generation, run_id) = (run.generation, run.run_id);
        if say == Say::OpenBlock {
            let parent = run.blocks.keys().next().map(|first| BlockId {
                generation,
                index: *first,
            });
            let kind = if position.is_multiple_of(2) {
                BlockKind::Text
            } else {
                BlockKind::Thinking
            };
            let wanted = BlockId {
                generation,
                index: run.blocks_opened,
            };
            run.blocks_opened += 1;
            run.blocks.insert(
                wanted.index,
                Block {
                    kind,
                    parent,
                    text: String::new(),
                    texts: vec![String::new()],
                    kept: 0,
                    waiting: VecDeque::new(),
                    replaced: 0,
                },
            );
            let opened = sink.open_block(kind, parent);
            return ensure(opened == Ok(wanted), "I4 the current run is heard", || {
                format!("a block was opened as {opened:?}, not {wanted}")
            });
        }
        let newest = run.blocks.iter_mut().next_back();
        let Some((number, block)) = newest else {
            let none = BlockId {
                generation,
                index: 999,
            };
            let answer = self.heard(sink.finish_block(none)).await?;
            let answer = answer.map_err(|error| error.code());
            return self.refused(
                &[Code::FieldInvalid],
                answer,
                "the end of a block that is not there",
            );
        };
        let block_id = BlockId {
            generation,
            index: *number,
        };
        let answer = match say {
            Say::Append { bytes } => {
                let more = format!("{position} ").repeat(bytes / 4 + 1);
                block.text.push_str(&more);
                block.wrote(monotonic_ms);
                self.heard(sink.append(block_id, &more)).await?
            }
            Say::Replace { bytes } => {
                block.text = format!("{position}!").repeat(bytes / 4 + 1);
                block.replaced = block.texts.len();
                block.wrote(monotonic_ms);
                let text = block.text.clone();
                self.heard(sink.replace(block_id, &text)).await?
            }
            _ => {
                let data = json!({
                    "block": block_id,
                    "kind": block.kind,
                    "parent": block.parent,
                    "text": block.text,
                    "marks": [],
                });
                run.blocks.remove(&block_id.index);
                let answer = self.heard(sink.finish_block(block_id)).await?;
                let told = Expect::of(id, "block.finished", data).in_run(run_id);
                return self.said(answer, vec![told]).await;
            }
        };
        ensure(answer.is_ok(), "I4 the current run is heard", || {
            format!("{answer:?}")
        })
    }
}

impl Block {
    /// A backend that has written so many bytes without a checkpoint is answered after the next one: a
    /// text that lacks that many is not what is kept any more.
    fn wrote(&mut self, monotonic_ms: u64) {
        self.waiting.push_back((self.texts.len(), monotonic_ms));
        self.texts.push(self.text.clone());
        let (len, replaced) = (self.text.len(), self.replaced);
        let lacks = |(nth, text): (usize, &String)| match nth < replaced {
            true => len,
            false => len.saturating_sub(text.len()),
        };
        let texts = self.texts.iter().enumerate();
        let stale = texts.filter(|text| lacks(*text) >= CHECKPOINT_BYTES);
        self.kept = self.kept.max(stale.count());
    }
}
