//! The loop: events of one Worker, signals of this process, and the reader of stdout.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    ActionId, Cursor, Event, EventType, ObserveOptions, ObserveStream, Observed, RunId, Runtime,
    Stream, Timestamp, WireEvent, WorkerId,
    cursor::From,
    error::{ReadError, Unavailable},
    run::{Outcome, OutcomeKind, StopReason},
    view::Phase,
};

mod print;

use super::{
    Ended, Followed, RunEnd, Seen, Signals,
    blocks::Blocks,
    outlet::Outlet,
    question::{Question, Questions},
    signals::Asked,
};
use crate::{
    args::Format,
    error::Failure,
    output::{Printer, write_words},
};

pub(super) struct Follow<'a> {
    runtime: &'a Runtime,
    followed: Followed,
    /// Whether other inputs wait behind this one, which a cancel must not set off.
    others_wait: bool,
    questions: Questions,
    printer: &'a Printer,
    stream: ObserveStream,
    cursor: Cursor,
    /// This opening of the store: what another one wrote happened before this call.
    incarnation_id: u32,
    run_id: Option<RunId>,
    started_at: Option<Timestamp>,
    blocks: Blocks,
    /// What waits for room on its way to stdout.
    piece: String,
    /// Whether what was sent there last ends a line.
    ends_line: bool,
    ended: Option<Ended>,
    cancelling: bool,
    closing: Option<JoinHandle<Result<(), Unavailable>>>,
}

impl<'a> Follow<'a> {
    pub(super) fn new(
        runtime: &'a Runtime,
        followed: Followed,
        others_wait: bool,
        printer: &'a Printer,
    ) -> Result<Self, Failure> {
        let options = ObserveOptions {
            deltas: true,
            ..ObserveOptions::default()
        };
        let stream = Stream::Worker(followed.worker_id);
        let observation = runtime.observation();
        let stream = observation.observe(stream, From::After(followed.after), options)?;
        Ok(Self {
            runtime,
            cursor: followed.after,
            followed,
            others_wait,
            questions: Questions::new(),
            printer,
            stream,
            // The newest event is of this opening, which begins with one.
            incarnation_id: observation.runtime().cursor.incarnation_id(),
            run_id: None,
            started_at: None,
            blocks: Blocks::default(),
            piece: String::new(),
            ends_line: true,
            ended: None,
            cancelling: false,
            closing: None,
        })
    }

    /// The closing that a signal began.
    pub(super) fn closing(&mut self) -> Option<JoinHandle<Result<(), Unavailable>>> {
        self.closing.take()
    }

    pub(super) const fn worker_id(&self) -> WorkerId {
        self.followed.worker_id
    }

    /// Whether the user wants no more of it.
    pub(super) const fn is_over(&self) -> bool {
        self.cancelling || self.closing.is_some()
    }

    pub(super) async fn run(&mut self, signals: &mut Signals) -> Result<Seen, Failure> {
        let outlet = Outlet::open().map_err(|error| Failure::of_output(&error))?;
        let mut pipe_closed = false;
        while self.ended.is_none() || !self.piece.is_empty() {
            tokio::select! {
                biased;
                asked = signals.next() => {
                    if self.asked(asked) {
                        return Ok(Seen { at_once: true, ..self.seen(pipe_closed) });
                    }
                }
                () = outlet.pieces.closed(), if !pipe_closed => {
                    pipe_closed = true;
                    self.piece.clear();
                    if self.ended.is_none() {
                        self.printer.words("nothing more can be printed; the run goes on, and Ctrl-C cancels it");
                    }
                }
                (action_id, option) = self.questions.answer(), if self.ended.is_none() => {
                    self.answer(action_id, option);
                }
                room = outlet.pieces.reserve(), if !self.piece.is_empty() && !pipe_closed => {
                    if let Ok(room) = room {
                        self.ends_line = self.piece.ends_with('\n');
                        room.send(std::mem::take(&mut self.piece));
                    }
                }
                observed = self.stream.next(), if self.piece.is_empty() && self.ended.is_none() => {
                    match observed {
                        // A store that is being closed is read no more; what is left is told below.
                        Some(Err(_)) | None if self.closing.is_some() => {
                            self.ended = Some(Ended::Left);
                        }
                        Some(observed) => self.observed(observed)?,
                        None => self.ended = Some(Ended::Left),
                    }
                    if pipe_closed {
                        self.piece.clear();
                    }
                }
            }
        }
        let mut output_error = None;
        tokio::select! {
            written = outlet.close() => if let Err(error) = written {
                pipe_closed = true;
                output_error = (error.kind() != std::io::ErrorKind::BrokenPipe).then(|| error.to_string());
            },
            () = signals.insisted() => {
                return Ok(Seen { at_once: true, ..self.seen(pipe_closed) });
            }
        }
        Ok(Seen {
            output_error,
            ..self.seen(pipe_closed)
        })
    }

    fn seen(&self, pipe_closed: bool) -> Seen {
        Seen {
            ended: self.ended.clone().unwrap_or(Ended::Left),
            pipe_closed,
            output_error: None,
            ends_line: self.ends_line,
            at_once: false,
            cursor: self.cursor,
        }
    }

    /// Does what a signal asks; `true` when the program is to end at once.
    fn asked(&mut self, asked: Asked) -> bool {
        match asked {
            Asked::Interrupt if self.cancelling || self.closing.is_some() => {
                self.printer
                    .words("ending at once; the next command tells how the run ended");
                true
            }
            Asked::Interrupt => {
                self.printer
                    .words("cancelling the run; Ctrl-C again ends at once");
                self.cancel();
                false
            }
            Asked::Terminate => {
                if self.closing.is_none() {
                    self.printer.words("closing: what runs is interrupted");
                    let runtime = self.runtime.clone();
                    self.closing = Some(tokio::spawn(async move { runtime.close().await }));
                }
                false
            }
        }
    }

    /// Asks for the end of the run. Its outcome comes as an event when all is quiet.
    fn cancel(&mut self) {
        self.cancelling = true;
        let worker_id = self.followed.worker_id;
        let running = || {
            let activity = self.runtime.catalog().get(worker_id).ok()?.activity;
            let is_ours = activity.input_id.as_ref() == Some(&self.followed.input_id);
            activity.run_id.filter(|_| is_ours)
        };
        match self.run_id.or_else(running) {
            Some(run_id) => {
                let interaction = self.runtime.interaction();
                let catalog = self.others_wait.then(|| self.runtime.catalog());
                tokio::spawn(async move {
                    if let Some(catalog) = catalog {
                        // Refused only when the Worker ends, and then nothing of it begins either.
                        let _ = catalog.pause(worker_id).await;
                    }
                    // Refused when the run has ended meanwhile; then its outcome is on its way.
                    let _ = interaction.cancel_run(worker_id, run_id).await;
                });
            }
            // It waits behind another one: it stays where it is.
            None => self.ended = Some(Ended::Waits { paused: false }),
        }
    }

    /// Sends a user's answer; what became of it comes as an event.
    fn answer(&self, action_id: ActionId, option: String) {
        let Some(run_id) = self.run_id else { return };
        let interaction = self.runtime.interaction();
        let worker_id = self.followed.worker_id;
        tokio::spawn(async move {
            let answered = interaction.answer(worker_id, run_id, action_id, option);
            if let Err(error) = answered.await {
                write_words(&format!("the answer was not taken: {error}\n"));
            }
        });
    }

    fn observed(&mut self, observed: Result<Observed, ReadError>) -> Result<(), Failure> {
        match observed? {
            Observed::Started(cursor) => self.cursor = cursor,
            Observed::Event(cursor, event) => {
                self.cursor = cursor;
                self.event(&event)?;
            }
            Observed::Gap(cursor, gap) => {
                self.cursor = cursor;
                if self.printer.format() == Format::Jsonl {
                    self.object(&json!({ "type": "gap", "cursor": cursor, "gap": gap }))?;
                } else {
                    self.printer.warn_gap(&gap);
                }
            }
            Observed::UpToDate(_) => self.up_to_date(),
            Observed::Delta(delta) => self.delta(&delta),
        }
        Ok(())
    }

    /// The outcome as the Worker's record has it, where its event was not seen: it was trimmed, or
    /// the store was closed first.
    pub(super) fn recorded(&self, before: bool) -> Option<Ended> {
        let worker = self.runtime.catalog().get(self.followed.worker_id).ok()?;
        let last = worker.last_run?;
        let ended = Ended::Outcome(RunEnd {
            outcome: last.outcome,
            run_id: Some(last.run_id),
            started_at: self.started_at,
            at: last.at,
            before,
            detail: None,
        });
        (last.input_id == self.followed.input_id).then_some(ended)
    }

    /// Everything that was there is seen: an input that had its outcome before must have shown it.
    fn up_to_date(&mut self) {
        let Ok(worker) = self.runtime.catalog().get(self.followed.worker_id) else {
            return;
        };
        let activity = &worker.activity;
        let is_ours = activity.input_id.as_ref() == Some(&self.followed.input_id);
        if self.ended.is_none() && activity.input_id.is_none() {
            self.ended = self.recorded(true);
        } else if worker.paused && !(is_ours && activity.run_id.is_some()) {
            self.ended = Some(Ended::Waits { paused: true });
        } else if activity.phase == Some(Phase::Unproven) {
            // Nothing is dispatched until somebody says that its processes are dead.
            self.ended = Some(Ended::Waits { paused: false });
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        if self.printer.format() == Format::Jsonl {
            self.object(&WireEvent {
                event,
                runtime_id: self.runtime.observation().runtime_id(),
                cursor: self.cursor,
            })?;
        }
        let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let is_ours =
            data.get("input_id").and_then(Value::as_str) == Some(self.followed.input_id.as_str());
        match &event.kind {
            kind if *kind == EventType::RUN_STARTED && is_ours => {
                self.run_id = event.run_id;
                self.started_at = Some(event.at);
            }
            kind if *kind == EventType::BLOCK_FINISHED && self.is_our_run(event.run_id) => {
                self.block(&data);
            }
            kind if *kind == EventType::BACKEND_MESSAGE && self.is_our_run(event.run_id) => {
                self.stderr_of_command(&data);
            }
            kind if *kind == EventType::DIAGNOSTIC && self.is_our_run(event.run_id) => {
                let message = data.get("message").and_then(Value::as_str);
                self.printer.warn(message.unwrap_or_default());
            }
            kind if *kind == EventType::RUN_REQUIRES_ACTION && self.is_our_run(event.run_id) => {
                if let Some(question) = Question::of(&data) {
                    self.questions.asked(question, self.printer);
                }
            }
            kind if *kind == EventType::RUN_ACTION_ANSWERED && self.is_our_run(event.run_id) => {
                self.questions.over(&data);
            }
            kind if is_ours
                && (*kind == EventType::RUN_FINISHED || *kind == EventType::INPUT_FINISHED) =>
            {
                self.ended = Some(Ended::Outcome(RunEnd {
                    outcome: outcome_of(&data),
                    run_id: event.run_id,
                    started_at: self.started_at,
                    at: event.at,
                    before: self.cursor.incarnation_id() != self.incarnation_id,
                    detail: data
                        .get("detail")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                }));
            }
            _ => {}
        }
        Ok(())
    }

    fn is_our_run(&self, run_id: Option<RunId>) -> bool {
        run_id.is_some() && run_id == self.run_id
    }
}

/// The outcome in an event's data; a stop reason of a later version keeps its word.
fn outcome_of(data: &Value) -> Outcome {
    let outcome = data.get("outcome").cloned().unwrap_or_default();
    if let Ok(outcome) = serde_json::from_value(outcome.clone()) {
        return outcome;
    }
    let kind = outcome.get("kind").cloned().unwrap_or_default();
    let word = outcome.pointer("/stop/type").and_then(Value::as_str);
    Outcome {
        kind: serde_json::from_value(kind).unwrap_or(OutcomeKind::Failed),
        stop: worker_runtime_core::AsJson(StopReason::Other {
            reason: word.unwrap_or("unknown").to_owned(),
        }),
    }
}
