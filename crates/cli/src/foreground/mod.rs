//! One input, followed to its outcome: what `run` and `worker send` share.
//!
//! # Layout
//! - `follow`: the loop over events, signals and output
//! - `host`: who runs it, a Runtime here or a server
//! - `events`: what comes, and a server that is asked again or whose place another one takes
//! - `blocks`: which text of a block is still to be printed; `previews`: what a block at a server has so far
//! - `outlet`: stdout, written by a thread of its own
//! - `question`: what a run asks for, and who answers
//! - `signals`: Ctrl-C and what asks a process to end
//! - `tail`: a stream, printed until somebody ends it
//! - `account`: the short account at the end, and the JSON summary
//!
//! The first Ctrl-C cancels the run and waits until everything that ran is quiet; a second one ends
//! the program at once, and with it its commands. SIGTERM and SIGHUP close the Runtime properly. A run
//! at a server goes on when the program ends. When that server ends, another one is followed from where the
//! stream was; without one, the store tells what became of the run.

mod account;
mod blocks;
mod events;
mod follow;
mod host;
mod outlet;
mod previews;
mod question;
mod signals;
mod tail;

use worker_runtime_core::{Code, Cursor, InputId, RunId, Timestamp, WorkerId, run::Outcome};

use crate::{
    error::{CliError, Failure},
    exit::Exit,
    output::Printer,
    suggest::Suggestion,
};

pub(crate) use account::{Account, outcome_word, stop_text};
pub(crate) use events::{Events, Item};
pub(crate) use host::Host;
pub(crate) use signals::{Asked, Signals};
pub(crate) use tail::{Tailed, tail};

/// How it ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// The input has its outcome.
    Outcome(RunEnd),
    /// The input is kept and was not run.
    Waits {
        /// Because its Worker is paused.
        paused: bool,
    },
    /// Nobody waited for the end: a second Ctrl-C, or the Runtime closed first.
    Left,
    /// Its server ended while it ran, and nobody runs the store: the next opening decides.
    Lost,
}

/// Whether who runs what is followed can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contact {
    /// It can.
    Kept,
    /// It can't now, so nothing is known of the run.
    Lost,
    /// It has ended, and nobody runs the store.
    Stopped,
}

/// Whether the server was asked to cancel the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// It was not.
    NotAsked,
    /// It was, and has not answered.
    Asked,
    /// It said that it does.
    Heard,
}

/// The end of a run, as its event tells it.
#[derive(Debug, Clone)]
pub(crate) struct RunEnd {
    pub(crate) outcome: Outcome,
    pub(crate) run_id: Option<RunId>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) at: Timestamp,
    /// Whether it had ended before this call.
    pub(crate) before: bool,
    /// What else there is to know, such as the exit status of an agent that died.
    pub(crate) detail: Option<String>,
}

/// Which input is followed, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) worker_id: WorkerId,
    pub(crate) input_id: InputId,
    pub(crate) after: Cursor,
    /// Its run, when it began before `after`.
    pub(crate) run_id: Option<RunId>,
    /// Whether other inputs wait behind it, which a cancel must not set off.
    pub(crate) others_wait: bool,
    /// Whether it is only looked at: no signal of this process ends it.
    pub(crate) only_looks_on: bool,
}

impl Followed {
    /// An input whose run begins after this cursor.
    pub(crate) const fn new(worker_id: WorkerId, input_id: InputId, after: Cursor) -> Self {
        Self {
            worker_id,
            input_id,
            after,
            run_id: None,
            others_wait: false,
            only_looks_on: false,
        }
    }
}

/// What becomes of the Worker when its run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// It waits for the next input.
    Stays,
    /// It is stopped, which frees its scope.
    Stops,
}

/// What was seen of an input.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) ended: Ended,
    /// Whether whoever read stdout has gone.
    pub(crate) pipe_closed: bool,
    /// Why stdout could not be written, other than that nobody reads it.
    pub(crate) output_error: Option<String>,
    /// Whether what was printed last ends a line.
    pub(crate) ends_line: bool,
    /// Whether the user wants no more waiting.
    pub(crate) at_once: bool,
    /// The last cursor that was seen.
    pub(crate) cursor: Cursor,
    /// Whether who runs it could be asked at the end.
    pub(crate) contact: Contact,
    /// Whether its server was asked to cancel it.
    pub(crate) cancel: Cancel,
}

/// Follows an input to its outcome and closes the Runtime, if it is one of this process.
///
/// # Errors
/// When the events can't be read, stdout can't be written, or the store can't be closed clean.
pub(crate) async fn to_outcome(
    host: &Host,
    followed: Followed,
    printer: &Printer,
    signals: &mut Signals,
    after: Afterwards,
) -> Result<Seen, Failure> {
    let (follow, seen) = watch(host, followed, printer, signals).await?;
    close(host, follow, seen, signals, after).await
}

/// Follows an input to its outcome. What can't be followed any more still ends in order: the Runtime
/// is closed before that is told, and nothing that it ran outlives the program.
async fn watch<'a>(
    host: &'a Host,
    followed: Followed,
    printer: &'a Printer,
    signals: &mut Signals,
) -> Result<(follow::Follow<'a>, Seen), Failure> {
    let watched = async {
        let mut follow = follow::Follow::new(host, followed, printer).await?;
        let seen = follow.run(signals).await?;
        Ok((follow, seen))
    };
    let failure: Failure = match watched.await {
        Ok(watched) => return Ok(watched),
        Err(failure) => failure,
    };
    if !host.is_server() {
        let why = match &failure {
            Failure::Error(error) => error.message.as_str(),
            Failure::ClosedPipe => "nobody reads what it says",
        };
        printer.warn(format_args!(
            "the run can't be followed any more: {why}; closing, which ends what runs, and Ctrl-C ends it at once"
        ));
    }
    tokio::select! {
        closed = host.close() => if let Err(error) = closed {
            tracing::warn!(%error, "the store was not closed clean");
        },
        () = signals.insisted() => {}
    }
    Err(failure)
}

/// Follows inputs that wait to their outcomes, one after the other, and closes the Runtime. A
/// cancelled run leaves those behind it waiting, and their Worker paused.
///
/// # Errors
/// As [`to_outcome`].
pub(crate) async fn to_outcomes(
    host: &Host,
    inputs: &[Followed],
    printer: &Printer,
    signals: &mut Signals,
) -> Result<Vec<Seen>, Failure> {
    let mut all: Vec<Seen> = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        let is_last = at + 1 == inputs.len();
        let followed = Followed {
            after: all.last().map_or(input.after, |seen| seen.cursor),
            others_wait: !is_last,
            ..input.clone()
        };
        let (follow, seen) = watch(host, followed, printer, signals).await?;
        let has_outcome = matches!(seen.ended, Ended::Outcome(_));
        if is_last || follow.is_over() || !has_outcome {
            all.push(close(host, follow, seen, signals, Afterwards::Stays).await?);
            return Ok(all);
        }
        all.push(seen);
    }
    host.close().await?;
    Ok(all)
}

/// Closes the Runtime after the last input that was followed.
async fn close(
    host: &Host,
    mut follow: follow::Follow<'_>,
    mut seen: Seen,
    signals: &mut Signals,
    after: Afterwards,
) -> Result<Seen, Failure> {
    let closing = follow.closing();
    if seen.at_once {
        // Dropped, not closed: what ran ends with this process, and the next opening says so.
        return Ok(seen);
    }
    if closing.is_none() && host.ended_by_itself() {
        let message = "the Runtime ended by itself: a contradiction inside, which is named above; the next opening ends what ran, and what was acknowledged is durable";
        let told = CliError::new(Code::Bug, message);
        return Err(told.hint(Suggestion::worker_run(follow.worker_id())).into());
    }
    let close = async {
        if let Some(closing) = closing {
            return closing.await.unwrap_or(Ok(()));
        }
        if after == Afterwards::Stops
            && let Err(error) = host.stop_worker(follow.worker_id()).await
        {
            follow.printer().warn(format_args!(
                "the Worker may not have been stopped: {error}"
            ));
        }
        host.close().await
    };
    tokio::select! {
        closed = close => match closed {
            Ok(()) | Err(worker_runtime_core::error::Unavailable::Closed) => {}
            Err(error) => return Err(error.into()),
        },
        () = signals.insisted() => return Ok(seen),
    }
    // A store that is closed is read all the same; a server goes on, and so does the run.
    if matches!(seen.ended, Ended::Left) && !host.is_server() {
        seen.ended = follow.recorded(false).await.unwrap_or(Ended::Left);
    }
    Ok(seen)
}

impl Seen {
    /// What the program ends with.
    pub(crate) fn exit(&self) -> Exit {
        use worker_runtime_core::run::OutcomeKind;
        match &self.ended {
            Ended::Waits { .. } => Exit::Partly,
            Ended::Left => Exit::Interrupted,
            Ended::Lost => Exit::TryAgain,
            Ended::Outcome(end) => match end.outcome.kind {
                OutcomeKind::Completed => Exit::Done,
                OutcomeKind::Failed => Exit::Failed,
                OutcomeKind::Cancelled | OutcomeKind::Interrupted => Exit::Interrupted,
            },
        }
    }
}

#[cfg(test)]
mod tests;
