//! One input, followed to its outcome: what `run` and `worker send` share.
//!
//! # Layout
//! - `follow`: the loop over events, signals and output
//! - `blocks`: which text of a block is still to be printed
//! - `outlet`: stdout, written by a thread of its own
//! - `question`: what a run asks for, and who answers
//! - `signals`: Ctrl-C and what asks a process to end
//! - `account`: the short account at the end, and the JSON summary
//!
//! The first Ctrl-C cancels the run and waits until everything that ran is quiet; a second one ends
//! the program at once, and with it its commands. SIGTERM and SIGHUP close the Runtime properly.

mod account;
mod blocks;
mod follow;
mod outlet;
mod question;
mod signals;

use worker_runtime_core::{
    Cursor, EndOptions, InputId, RunId, Runtime, Timestamp, WorkerId, run::Outcome,
};

use crate::{error::Failure, exit::Exit, output::Printer};

pub(crate) use account::{Account, outcome_word, stop_text};
pub(crate) use signals::{Asked, Signals};

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
}

/// Follows an input to its outcome and closes the Runtime.
///
/// # Errors
/// When the events can't be read, stdout can't be written, or the store can't be closed clean.
pub(crate) async fn to_outcome(
    runtime: Runtime,
    followed: Followed,
    printer: &Printer,
    mut signals: Signals,
    after: Afterwards,
) -> Result<Seen, Failure> {
    let mut follow = follow::Follow::new(&runtime, followed, false, printer)?;
    let seen = follow.run(&mut signals).await?;
    close(&runtime, follow, seen, signals, after).await
}

/// Follows inputs that wait to their outcomes, one after the other, and closes the Runtime. A
/// cancelled run leaves those behind it waiting, and their Worker paused.
///
/// # Errors
/// As [`to_outcome`].
pub(crate) async fn to_outcomes(
    runtime: Runtime,
    inputs: &[Followed],
    printer: &Printer,
    mut signals: Signals,
) -> Result<Vec<Seen>, Failure> {
    let mut all: Vec<Seen> = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        let followed = Followed {
            after: all.last().map_or(input.after, |seen| seen.cursor),
            ..input.clone()
        };
        let is_last = at + 1 == inputs.len();
        let mut follow = follow::Follow::new(&runtime, followed, !is_last, printer)?;
        let seen = follow.run(&mut signals).await?;
        let has_outcome = matches!(seen.ended, Ended::Outcome(_));
        if is_last || follow.is_over() || !has_outcome {
            all.push(close(&runtime, follow, seen, signals, Afterwards::Stays).await?);
            return Ok(all);
        }
        all.push(seen);
    }
    runtime.close().await?;
    Ok(all)
}

/// Closes the Runtime after the last input that was followed.
async fn close(
    runtime: &Runtime,
    mut follow: follow::Follow<'_>,
    mut seen: Seen,
    mut signals: Signals,
    after: Afterwards,
) -> Result<Seen, Failure> {
    let closing = follow.closing();
    if seen.at_once {
        // Dropped, not closed: what ran ends with this process, and the next opening says so.
        return Ok(seen);
    }
    let close = async {
        if let Some(closing) = closing {
            return closing.await.unwrap_or(Ok(()));
        }
        if after == Afterwards::Stops {
            let options = EndOptions {
                reason: Some("its run is over".to_owned()),
                ..EndOptions::default()
            };
            // Refused only when it has ended already, and then there is nothing left to do.
            let _ = runtime.catalog().stop(follow.worker_id(), options).await;
        }
        runtime.close().await
    };
    tokio::select! {
        closed = close => match closed {
            Ok(()) | Err(worker_runtime_core::error::Unavailable::Closed) => {}
            Err(error) => return Err(error.into()),
        },
        () = signals.insisted() => return Ok(seen),
    }
    if let (Ended::Left, Some(ended)) = (&seen.ended, follow.recorded(false)) {
        seen.ended = ended;
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
            Ended::Outcome(end) => match end.outcome.kind {
                OutcomeKind::Completed => Exit::Done,
                OutcomeKind::Failed => Exit::Failed,
                OutcomeKind::Cancelled | OutcomeKind::Interrupted => Exit::Interrupted,
            },
        }
    }
}
