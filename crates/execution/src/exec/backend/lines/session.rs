//! One life of a long-lived command: greets it, reads its lines, and ends with it.
//!
//! One task reads. It waits for the Runtime to take what the command says before it reads on, so a
//! command that says much waits at its pipe (I9). Cancels do not pass through it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};
use worker_runtime_core::{
    ProcessSink,
    patience::within,
    run::{StopReason, Usage},
};

use super::super::super::Exit;
use super::super::{
    ExecOptions,
    confinement::{Confinement, Plan},
    launch::{Launched, identity_bytes},
    life::{OwnedTask, Watched},
    output::Output,
    stderr::StderrTail,
    text::persistently,
};
use super::{
    Memory,
    greeting::failed,
    line::{Line, Lines},
    message::{Parsed, ToCommand, parse},
    outgoing::Outgoing,
    turn::{Fault, Next, Turn},
};

/// A command that runs, for whoever gives it runs. Dropping it ends the command.
pub(super) struct Session {
    pub(super) watched: Arc<Watched>,
    pub(super) out: Outgoing,
    /// What it is kept to, if it is.
    pub(super) confined: Option<(Plan, Confinement)>,
    turns: mpsc::Sender<Box<Turn>>,
    state: Arc<State>,
    _tasks: [OwnedTask; 2],
}

/// How far it is.
#[derive(Debug, Default)]
struct State {
    greeted: AtomicBool,
    /// It takes no further run.
    closing: AtomicBool,
}

/// What a session is made of, beside the command.
pub(super) struct Parts {
    pub(super) options: Arc<ExecOptions>,
    pub(super) memory: Arc<Memory>,
    pub(super) term_grace: Duration,
    pub(super) processes: ProcessSink,
}

impl Session {
    pub(super) fn new(launched: Launched, parts: Parts) -> Self {
        let watched = Arc::new(launched.watched);
        let (out, writing) = Outgoing::new(launched.stdin, parts.options.lines_waiting_max);
        let stderr_tail = StderrTail::new(parts.options.stderr_bytes_max);
        let stderr = Output::new(launched.stderr, watched.life());
        let stdout = Output::new(launched.stdout, watched.life());
        let (turns, given) = mpsc::channel(1);
        let state = Arc::new(State::default());
        let reader = Reader {
            lines: Lines::new(stdout, parts.options.line_bytes_max),
            parts,
            watched: watched.clone(),
            out: out.clone(),
            turns: given,
            turn: None,
            state: state.clone(),
            stderr: OwnedTask::spawn(stderr_tail.clone().collect(stderr)),
            stderr_tail,
            dropped_lines: 0,
            end_at: None,
        };
        Self {
            watched,
            out,
            confined: launched.confined,
            turns,
            state,
            _tasks: [OwnedTask::spawn(reader.run()), OwnedTask::spawn(writing)],
        }
    }

    /// Gives it a run.
    ///
    /// # Errors
    /// The run, when this command takes no more.
    pub(super) fn give(&self, turn: Box<Turn>) -> Result<(), Box<Turn>> {
        if self.state.closing.load(Ordering::SeqCst) {
            return Err(turn);
        }
        self.turns
            .try_send(turn)
            .map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Whether it knows of its run.
    pub(super) fn is_greeted(&self) -> bool {
        self.state.greeted.load(Ordering::SeqCst)
    }

    /// Asks it to end by itself.
    pub(super) fn shut_down(&self) {
        self.state.closing.store(true, Ordering::SeqCst);
        self.out.shut_down();
    }
}

pub(super) struct Reader {
    pub(super) lines: Lines,
    pub(super) parts: Parts,
    watched: Arc<Watched>,
    pub(super) out: Outgoing,
    turns: mpsc::Receiver<Box<Turn>>,
    pub(super) turn: Option<Box<Turn>>,
    state: Arc<State>,
    stderr: OwnedTask,
    stderr_tail: StderrTail,
    dropped_lines: u64,
    /// When the command is ended by force.
    end_at: Option<Instant>,
}

impl Reader {
    async fn run(mut self) {
        self.turn = self.turns.recv().await;
        match self.greet().await {
            Ok(()) => {
                self.state.greeted.store(true, Ordering::SeqCst);
                self.begin();
                self.read().await;
            }
            // It ended, which is told as the end of any run that is not finished.
            Err(StopReason::NoTerminator) => {}
            Err(stop) => {
                self.failing(stop);
                self.watched.ask_to_end(self.parts.term_grace).await;
            }
        }
        self.end().await;
    }

    /// Tells the command of its run.
    fn begin(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        if !self.out.send_line(std::mem::take(&mut turn.input_line)) {
            let message = "the command does not read its input";
            self.failing(failed("stdin_stalled", message));
        }
    }

    /// The run can't go well any more. It is over when the command says so, or is made to end.
    fn failing(&mut self, stop: StopReason) {
        let Some(turn) = &mut self.turn else { return };
        if turn.failing.is_none() {
            warn!(run_id = %turn.run_id, ?stop, "a command's run fails");
            turn.failing = Some(stop);
            let run_id = turn.run_id;
            self.out.send(&ToCommand::Cancel { run_id });
            self.end_at = Some(Instant::now() + self.parts.options.cancel_grace);
        }
    }

    async fn read(&mut self) {
        loop {
            tokio::select! {
                Some(turn) = self.turns.recv(), if self.turn.is_none() => {
                    self.turn = Some(turn);
                    self.begin();
                }
                line = self.lines.next() => match line {
                    None => return,
                    Some(Line::Text(line)) => self.take(&line).await,
                    Some(Line::TooLong { bytes }) => match &self.turn {
                        Some(_) => self.failing(self.too_long(bytes)),
                        None => self.drop_line(),
                    },
                },
                () = until(self.end_at) => {
                    self.end_at = None;
                    self.watched.ask_to_end(self.parts.term_grace).await;
                }
            }
        }
    }

    fn drop_line(&mut self) {
        self.dropped_lines = self.dropped_lines.saturating_add(1);
    }

    async fn take(&mut self, line: &str) {
        let parsed = parse(line);
        let Some(turn) = &mut self.turn else {
            return self.drop_line();
        };
        let is_of_run = |run_id: &Option<String>| *run_id == Some(turn.run_id.to_string());
        let next = match parsed {
            Parsed::Garbage => return turn.keep(line, None).await,
            Parsed::Message { run_id, .. } | Parsed::Malformed { run_id, .. }
                if !is_of_run(&run_id) =>
            {
                return self.drop_line();
            }
            Parsed::Malformed { fault, .. } => return turn.keep(line, Some(&fault)).await,
            Parsed::Message { message, .. } => {
                turn.take(message, &self.out, &self.parts.memory).await
            }
        };
        match next {
            Ok(Next::GoOn) => {}
            Ok(Next::End(end)) => {
                if end.last {
                    self.state.closing.store(true, Ordering::SeqCst);
                    self.out.shut_down();
                    self.end_at = Some(Instant::now() + self.parts.options.cancel_grace);
                } else {
                    self.end_at = None;
                }
                self.finish(end.stop_reason(), end.usage, None).await;
            }
            Err(Fault::Remark(remark)) => turn.keep(line, Some(&remark)).await,
            Err(Fault::Unknown) => turn.keep(line, None).await,
            Err(Fault::Gone) => self.watched.ask_to_end(self.parts.term_grace).await,
        }
    }

    /// The run is over for the command.
    async fn finish(&mut self, stop: StopReason, usage: Option<Usage>, detail: Option<String>) {
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        self.stderr_tail.tell(&turn.sink).await;
        let dropped_lines = std::mem::take(&mut self.dropped_lines);
        if dropped_lines > 0 {
            turn.tell_dropped(dropped_lines).await;
        }
        let (stop, detail) = match turn.failing.take() {
            Some(failing) => (failing, None),
            None => (stop, detail),
        };
        turn.finish(stop, usage, detail).await;
    }

    /// The command says no more: it is over, or is made to be.
    async fn end(self) {
        self.state.closing.store(true, Ordering::SeqCst);
        self.out.shut_down();
        let by_itself = within(self.parts.options.cancel_grace, self.watched.quiet()).await;
        if by_itself.is_none() {
            self.watched.ask_to_end(self.parts.term_grace).await;
        }
        let sink = self.turn.as_ref().map(|turn| turn.sink.clone());
        let exit = self.watched.quiet_at_last(sink.as_ref()).await;
        drop(sink);
        // Queued first, so that who sees the end of the run finds it off the record; and nothing waits
        // for it where the store can't take it.
        let telling = tell_dead(self.parts.processes.clone(), self.watched.clone());
        tokio::join!(telling, self.end_turns(exit));
    }

    async fn end_turns(mut self, exit: Option<Exit>) {
        self.stderr.ended().await;
        let lost = |turn: &Turn| match turn.claim.was_asked_to_end() {
            true => StopReason::Cancelled,
            false => StopReason::NoTerminator,
        };
        let detail = format!("the command ended ({}) before its run did", describe(exit));
        if let Some(stop) = self.turn.as_deref().map(lost) {
            self.finish(stop, None, Some(detail)).await;
        }
        self.turns.close();
        while let Some(turn) = self.turns.recv().await {
            let stop = lost(&turn);
            let detail = "the command ended before it was given the input".to_owned();
            self.turn = Some(turn);
            self.finish(stop, None, Some(detail)).await;
        }
    }
}

/// A command that is dead is nobody's process any more: its Worker's scope does not wait for the next
/// run to find that out.
async fn tell_dead(processes: ProcessSink, watched: Arc<Watched>) {
    let Ok(identity) = identity_bytes(watched.identity()) else {
        return;
    };
    if let Err(error) = persistently(|| processes.ended(identity.clone())).await {
        debug!(%error, "a command that is dead stays recorded");
    }
}

fn describe(exit: Option<Exit>) -> String {
    match exit {
        Some(Exit::Code(code)) => format!("exit code {code}"),
        Some(Exit::Signal(signal)) => format!("signal {signal}"),
        _ => "nobody knows how".to_owned(),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
