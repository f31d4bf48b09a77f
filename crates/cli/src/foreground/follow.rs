//! The loop: events of one Worker, signals of this process, and the reader of stdout.

use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use worker_runtime_core::{
    Cursor, Event, EventType, Observed, Position, RunId, Timestamp, WireEvent, WorkerId,
    error::Unavailable,
    run::{Outcome, OutcomeKind, StopReason},
    view::{Phase, WorkerView},
};

mod print;
mod signal;
mod stopped;

use super::{
    Contact, Ended, Followed, RunEnd, Seen, Signals,
    blocks::Blocks,
    events::{Events, Item, News},
    host::Host,
    outlet::Outlet,
    previews::{Picture, Previews},
    question::{Question, Questions},
};
use crate::{args::Format, error::Failure, output::Printer, target::is_passing};

pub(super) struct Follow<'a> {
    host: &'a Host,
    followed: Followed,
    questions: Questions,
    printer: &'a Printer,
    events: Events,
    cursor: Cursor,
    run_id: Option<RunId>,
    started_at: Option<Timestamp>,
    blocks: Blocks,
    /// Pictures of blocks that have not ended, where no deltas come.
    previews: Option<Previews>,
    /// Whether who runs it can be asked.
    contact: Contact,
    /// What waits for room on its way to stdout.
    piece: String,
    /// Whether what was sent there last ends a line.
    ends_line: bool,
    /// Once this is seen, the Worker's record is looked at again.
    settles_at: Option<Position>,
    ended: Option<Ended>,
    cancelling: bool,
    /// Whether who was asked to cancel the run said that it does.
    cancel_heard: Option<watch::Receiver<bool>>,
    closing: Option<JoinHandle<Result<(), Unavailable>>>,
}

impl<'a> Follow<'a> {
    pub(super) async fn new(
        host: &'a Host,
        followed: Followed,
        printer: &'a Printer,
    ) -> Result<Self, Failure> {
        let events = host.events(followed.worker_id, followed.after).await?;
        Ok(Self {
            host,
            cursor: followed.after,
            run_id: followed.run_id,
            followed,
            questions: Questions::new(),
            printer,
            events,
            started_at: None,
            blocks: Blocks::default(),
            previews: None,
            contact: Contact::Kept,
            piece: String::new(),
            ends_line: true,
            settles_at: None,
            ended: None,
            cancelling: false,
            cancel_heard: None,
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

    pub(super) const fn printer(&self) -> &Printer {
        self.printer
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
                    if self.asked(asked).await {
                        return Ok(Seen { at_once: true, ..self.seen(pipe_closed) });
                    }
                }
                () = outlet.pieces.closed(), if !pipe_closed => {
                    pipe_closed = true;
                    self.piece.clear();
                    if self.ended.is_none() {
                        self.printer.words(self.nothing_more_printed());
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
                item = self.events.next(), if self.piece.is_empty() && self.ended.is_none() => {
                    match item {
                        // A store that is being closed is read no more; what is left is told below.
                        Some(Err(_)) | None if self.closing.is_some() => {
                            self.ended = Some(Ended::Left);
                        }
                        Some(item) => self.came(item?).await?,
                        None => self.ended = Some(Ended::Left),
                    }
                    if pipe_closed {
                        self.piece.clear();
                    }
                }
                picture = next_picture(&mut self.previews), if self.piece.is_empty() && self.ended.is_none() && !pipe_closed => {
                    self.picture(picture);
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
            contact: self.contact,
            cancel: self.cancel_is(),
        }
    }

    async fn came(&mut self, item: Item) -> Result<(), Failure> {
        let observed = match item {
            Item::Observed(observed) => observed,
            Item::News(news) => {
                self.news(&news).await;
                return Ok(());
            }
            Item::Stopped => return self.stopped().await,
        };
        match observed {
            Observed::Started(cursor) => self.cursor = cursor,
            Observed::Event(cursor, event) => {
                self.cursor = cursor;
                self.event(&event)?;
                if self.settles_at.is_some_and(|at| event.position >= at) && self.ended.is_none() {
                    self.up_to_date().await?;
                }
            }
            Observed::Gap(cursor, gap) => {
                self.cursor = cursor;
                if self.printer.format() == Format::Jsonl {
                    self.object(&json!({ "type": "gap", "cursor": cursor, "gap": gap }))?;
                } else {
                    self.printer.warn_gap(&gap);
                }
            }
            Observed::UpToDate(_) => self.up_to_date().await?,
            Observed::Reached(cursor) => self.cursor = cursor,
            Observed::Delta(delta) => self.delta(&delta),
        }
        self.follow_previews();
        Ok(())
    }

    /// While the run is under way, what its blocks have so far is asked for where nobody tells it.
    fn follow_previews(&mut self) {
        match &self.previews {
            _ if self.ended.is_some() || self.run_id.is_none() => self.previews = None,
            Some(previews) => previews.seen(self.cursor),
            None if self.prints_text() => {
                self.previews = self.host.previews(self.followed.worker_id, self.cursor);
            }
            None => {}
        }
    }

    /// What is known of the server now.
    async fn news(&mut self, news: &News) {
        news.tell(self.printer);
        self.contact = match news.is_good() {
            true => Contact::Kept,
            false => Contact::Lost,
        };
        if news.is_good() && self.cancelling && self.ended.is_none() {
            // Nobody knows whether it was heard the first time; a run that has ended is not cancelled.
            self.cancel().await;
        }
    }

    /// The outcome as the Worker's record has it, where its event was not seen: it was trimmed, or
    /// the store was closed first.
    pub(super) async fn recorded(&self, before: bool) -> Option<Ended> {
        let worker = self.host.worker(self.followed.worker_id).await.ok()?;
        self.last_run(worker, before)
    }

    fn last_run(&self, worker: WorkerView, before: bool) -> Option<Ended> {
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
    async fn up_to_date(&mut self) -> Result<(), Failure> {
        let worker = match (self.host.worker(self.followed.worker_id).await, self.host) {
            (Ok(worker), _) => worker,
            // It was deleted meanwhile, and its stream ends.
            (Err(_), Host::Here(_)) => return Ok(()),
            // Lost between: it is asked again, and tells again that it is up to date.
            (Err(error), Host::Server(_)) if is_passing(&error) => {
                return self.ask_again().await;
            }
            (Err(error), Host::Server(_)) => return Err(error.into()),
        };
        // The record may be newer than what was seen: what ended meanwhile is told by its events, and
        // what was said before that comes with them.
        let newest = self.host.newest_after(worker.worker_id, self.cursor).await;
        self.settles_at = match (newest, self.host) {
            (Ok(newest), _) => newest,
            (Err(error), Host::Server(_)) if is_passing(&error) => {
                return self.ask_again().await;
            }
            // What can't be read is told by the stream.
            (Err(_), _) => None,
        };
        if self.settles_at.is_some() {
            return Ok(());
        }
        let activity = &worker.activity;
        let is_ours = activity.input_id.as_ref() == Some(&self.followed.input_id);
        if self.ended.is_none() && activity.input_id.is_none() {
            self.ended = self.last_run(worker, true);
        } else if worker.paused && !(is_ours && activity.run_id.is_some()) {
            self.ended = Some(Ended::Waits { paused: true });
        } else if activity.phase == Some(Phase::Unproven) {
            // Nothing is dispatched until somebody says that its processes are dead.
            self.ended = Some(Ended::Waits { paused: false });
        }
        Ok(())
    }

    async fn ask_again(&mut self) -> Result<(), Failure> {
        let worker_id = self.followed.worker_id;
        self.events = self.host.events(worker_id, self.cursor).await?;
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        if self.printer.format() == Format::Jsonl {
            self.object(&WireEvent {
                event,
                runtime_id: self.host.runtime_id(),
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
                    before: self.host.happened_before(self.cursor),
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

/// The next picture. Never ready without previews.
async fn next_picture(previews: &mut Option<Previews>) -> Option<Picture> {
    match previews {
        Some(previews) => previews.next().await,
        None => std::future::pending().await,
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
