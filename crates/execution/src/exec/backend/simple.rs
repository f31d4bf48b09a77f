//! Simple mode: one process per input.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{io::AsyncWriteExt, net::unix::pipe::Sender};
use tracing::debug;
use worker_runtime_core::{
    ActionId, RunId, RunSink,
    backend::{
        ActionAnswer, BackendError, BackendErrorKind, Cancelled, ExecutionBackend, RunRequest,
        Submitted,
    },
    error::SinkError,
    input::{Input, KnownSegment, Segment},
    record::ProcessLife,
    run::StopReason,
    store::BlockKind,
};

use super::super::Exit;
use super::{
    ExecOptions,
    config::{InputWay, argument_fault},
    launch::{Launcher, Start},
    life::{OwnedTask, Watched},
    output::{Output, READ_BYTES, Utf8Decoder},
    slot::{Claim, RunSlot},
    stderr::StderrTail,
    text::TextBlocks,
};

/// A Worker each of whose inputs is one process.
pub(super) struct SimpleBackend {
    launcher: Launcher,
    slot: RunSlot,
    /// Held while a command starts, so that a cancel or a stop meanwhile finds the command. What
    /// happens then is awaited on purpose, hence a lock that may be.
    command: tokio::sync::Mutex<Option<Command>>,
}

/// The command of the last run, and the task that brings the run to its end. Dropping it kills.
struct Command {
    watched: Arc<Watched>,
    _run: OwnedTask,
}

impl SimpleBackend {
    pub(super) fn new(launcher: Launcher) -> Self {
        Self {
            launcher,
            slot: RunSlot::default(),
            command: tokio::sync::Mutex::new(None),
        }
    }

    fn way(&self) -> InputWay {
        self.launcher.config.input.unwrap_or_default()
    }

    async fn watched(&self) -> Option<Arc<Watched>> {
        let command = self.command.lock().await;
        command.as_ref().map(|command| command.watched.clone())
    }

    fn term_grace(&self) -> std::time::Duration {
        self.launcher.config.term_grace(&self.launcher.options)
    }

    async fn start(
        &self,
        run: &RunRequest,
        text: String,
        sink: RunSink,
        claim: Claim,
    ) -> Result<Command, BackendError> {
        let way = self.way();
        let start = Start {
            life: ProcessLife::Run,
            run_id: run.run_id,
            fence: run.fence,
            scope: run.scope.as_ref(),
            last_argument: (way == InputWay::Argument).then_some(text.as_str()),
        };
        let launched = self.launcher.launch(start, &sink).await?;
        let watched = Arc::new(launched.watched);
        let run = SimpleRun {
            sink,
            claim,
            watched: watched.clone(),
            options: self.launcher.options.clone(),
            term_grace: self.term_grace(),
            input: (way == InputWay::Stdin).then_some(text),
        };
        let streams = Streams {
            stdin: launched.stdin,
            stdout: Output::new(launched.stdout, watched.life()),
            stderr: Output::new(launched.stderr, watched.life()),
        };
        Ok(Command {
            watched,
            _run: OwnedTask::spawn(run.execute(streams)),
        })
    }
}

#[async_trait]
impl ExecutionBackend for SimpleBackend {
    async fn submit(&self, run: RunRequest, sink: RunSink) -> Submitted {
        let text = match text_of(&run.input) {
            Ok(text) => text,
            Err(error) => return Submitted::Unsupported(error),
        };
        if self.way() == InputWay::Argument
            && let Some(fault) = argument_fault(&text)
        {
            let message = format!("the input can't be an argument: {fault}");
            return Submitted::Rejected(BackendError::new(BackendErrorKind::Config, message));
        }
        let mut command = self.command.lock().await;
        let Some(claim) = self.slot.claim(run.run_id).await else {
            return Submitted::Busy;
        };
        match self.start(&run, text, sink, claim).await {
            Ok(started) => {
                *command = Some(started);
                Submitted::Accepted
            }
            Err(error) => Submitted::Errored(error),
        }
    }

    async fn respond(
        &self,
        _run_id: RunId,
        _action_id: ActionId,
        _answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        let message = "a command in simple mode asks for no action";
        Err(BackendError::new(BackendErrorKind::Unsupported, message))
    }

    async fn cancel(&self, run_id: RunId) -> Result<Cancelled, BackendError> {
        let watched = self.watched().await;
        let (Some(watched), Some(run)) = (watched, self.slot.of(run_id)) else {
            return Ok(Cancelled::Confirmed);
        };
        watched.ask_to_end(self.term_grace()).await;
        let exit = watched.quiet().await?;
        run.over().await;
        Ok(how_it_stopped(exit))
    }

    async fn stop(&self) -> Result<(), BackendError> {
        if let Some(watched) = self.watched().await {
            watched.ask_to_end(self.term_grace()).await;
            watched.quiet().await?;
        }
        self.slot.empty().await;
        Ok(())
    }
}

/// What it took to end a command that was asked to.
pub(super) fn how_it_stopped(exit: Option<Exit>) -> Cancelled {
    const KILL: i32 = 9;
    match exit {
        Some(Exit::Signal(KILL)) | None => Cancelled::Escalated,
        Some(_) => Cancelled::Confirmed,
    }
}

/// The stop reason that a command's exit means.
pub(super) fn stop_reason(exit: Option<Exit>) -> StopReason {
    let (code, signal) = match exit {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(Exit::Signal(signal)) => (None, Some(signal)),
        Some(_) => (None, None),
        None => {
            return StopReason::Error {
                code: Some("monitor_lost".to_owned()),
                message: "what watched over the command was killed; nothing of the command is left"
                    .to_owned(),
            };
        }
    };
    StopReason::Exit { code, signal }
}

fn text_of(input: &Input) -> Result<String, BackendError> {
    let is_text = |segment: &Segment| matches!(segment, Segment::Known(KnownSegment::Text { .. }));
    match input.segments.iter().position(|segment| !is_text(segment)) {
        None => Ok(input.text()),
        Some(index) => {
            let message = format!("segments[{index}]: a command in simple mode takes only text");
            Err(BackendError::new(BackendErrorKind::Unsupported, message))
        }
    }
}

struct Streams {
    stdin: Sender,
    stdout: Output,
    stderr: Output,
}

/// A run, from when its command executes to its outcome.
struct SimpleRun {
    sink: RunSink,
    claim: Claim,
    watched: Arc<Watched>,
    options: Arc<ExecOptions>,
    term_grace: std::time::Duration,
    input: Option<String>,
}

impl SimpleRun {
    async fn execute(self, streams: Streams) {
        let Streams {
            stdin,
            stdout,
            stderr,
        } = streams;
        let stderr_tail = StderrTail::new(self.options.stderr_bytes_max);
        let read_stdout = async {
            let read = read_text(stdout, &self.sink, self.options.block_bytes_max).await;
            if read.is_err() {
                // Nobody takes what it writes: it must not go on as if somebody did.
                self.watched.ask_to_end(self.term_grace).await;
            }
            read
        };
        let (exit, read, (), ()) = tokio::join!(
            self.watched.quiet_at_last(Some(&self.sink)),
            read_stdout,
            stderr_tail.clone().collect(stderr),
            async {
                tokio::select! {
                    () = feed(stdin, self.input.as_deref()) => {}
                    // Whoever got away may hold the other end for ever.
                    _ = self.watched.quiet_at_last(None) => {}
                }
            },
        );
        stderr_tail.tell(&self.sink).await;
        let stop = match read {
            Ok(()) => stop_reason(exit),
            Err(error) => StopReason::Error {
                code: Some(error.code().as_str().to_owned()),
                message: format!("the command's output could not be kept: {error}"),
            },
        };
        self.claim.ends();
        if let Err(error) = self.sink.finish(stop, None).await {
            debug!(run_id = %self.sink.run_id(), %error, "the run had ended already");
        }
    }
}

/// That the command does not read its input, or not all of it, is no error.
async fn feed(mut stdin: Sender, input: Option<&str>) {
    if let Some(input) = input
        && let Err(error) = stdin.write_all(input.as_bytes()).await
    {
        debug!(%error, "a command did not take its whole input");
    }
}

async fn read_text(
    mut stdout: Output,
    sink: &RunSink,
    block_bytes_max: usize,
) -> Result<(), SinkError> {
    let mut blocks = TextBlocks::new(BlockKind::Text, None, block_bytes_max);
    let mut decoder = Utf8Decoder::default();
    let mut buffer = vec![0; READ_BYTES];
    while let Some(bytes) = stdout.read(&mut buffer).await {
        let text = decoder.push(buffer.get(..bytes).unwrap_or_default());
        blocks.append(sink, &text).await?;
    }
    blocks.append(sink, decoder.finish()).await?;
    blocks.finish(sink).await
}
