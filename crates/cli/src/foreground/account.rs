//! The short account at the end: on stderr for people, as one JSON object for programs.

use serde::Serialize;
use worker_runtime_core::{
    Code, Cursor, InputId, RunId, WorkerId,
    run::{Outcome, OutcomeKind, StopReason},
};

use super::{Cancel, Contact, Ended, Followed, Seen};
use crate::{
    error::{CliError, Failure},
    output::{Printer, duration_text},
    suggest::Suggestion,
};

/// What is told of an input and its Worker at the end.
pub(crate) struct Account<'a> {
    pub(crate) followed: &'a Followed,
    pub(crate) seen: &'a Seen,
    /// The Worker's name for people.
    pub(crate) name: Option<&'a str>,
    /// Whether the input had been accepted before this call.
    pub(crate) repeated: bool,
    /// Whether the Worker holds a scope after the run.
    pub(crate) holds_scope: bool,
    /// Whether a server runs it, which goes on by itself.
    pub(crate) served: bool,
    /// Whether it is one of several inputs, so that its id must be told.
    pub(crate) one_of_many: bool,
}

/// The summary object of `-o json` and the last line of `-o jsonl`.
#[derive(Serialize)]
struct Summary<'a> {
    r#type: &'static str,
    worker_id: WorkerId,
    display_name: Option<&'a str>,
    input_id: &'a InputId,
    repeated: bool,
    /// `completed`, `failed`, `cancelled`, `interrupted`, or what is the case instead.
    state: &'static str,
    outcome: Option<&'a Outcome>,
    detail: Option<&'a str>,
    run_id: Option<RunId>,
    duration_ms: Option<u64>,
    cursor: Cursor,
    exit_code: u8,
}

impl Account<'_> {
    /// Prints it.
    ///
    /// # Errors
    /// When stdout can't be written.
    pub(crate) fn print(&self, printer: &mut Printer) -> Result<(), Failure> {
        if self.seen.pipe_closed {
            self.headline(printer);
            return self.written();
        }
        if printer.format().is_json() {
            return match printer.json(&self.summary()) {
                // The exit code is the run's, whoever reads its output.
                Err(Failure::ClosedPipe) => Ok(()),
                printed => printed,
            };
        }
        if printer.out_is_terminal() && !self.seen.ends_line {
            printer.words("");
        }
        self.headline(printer);
        let worker_id = self.followed.worker_id;
        let name = self
            .name
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        printer.words(format_args!("  worker      {worker_id}{name}"));
        printer.words(format_args!("  cursor      {}", self.seen.cursor));
        let mut rows = vec![
            ("transcript", Suggestion::transcript_show(worker_id)),
            ("events", Suggestion::event_ls(Some(worker_id))),
        ];
        if self.holds_scope {
            rows.push(("free scope", Suggestion::worker_stop(worker_id)));
        }
        if let Ended::Waits { paused: true } = self.seen.ended {
            rows.push(("resume it", Suggestion::worker_resume(worker_id)));
        }
        match (&self.seen.ended, self.seen.contact) {
            (Ended::Left, _) if self.served && self.seen.cancel != Cancel::NotAsked => {
                rows.push(("what it does", Suggestion::worker_show(worker_id)));
            }
            (Ended::Waits { .. } | Ended::Left, Contact::Kept) if self.served => {
                rows.push(("go on", Suggestion::worker_attach(worker_id)));
            }
            (Ended::Left, Contact::Lost) => {
                rows.push(("what it does", Suggestion::worker_show(worker_id)));
            }
            (Ended::Waits { .. }, _) => rows.push(("go on", Suggestion::worker_run(worker_id))),
            (Ended::Lost, _) => rows.push(("decide it", Suggestion::worker_run(worker_id))),
            (Ended::Left | Ended::Outcome(_), _) => {}
        }
        if let Some(code) = self.code() {
            rows.push(("details", Suggestion::explain(code)));
        }
        for (what, suggestion) in rows {
            printer.words(format_args!(
                "  {what:<10}  {}",
                printer.command(&suggestion)
            ));
        }
        Ok(())
    }

    /// That the output could not be written, with what became of the run all the same.
    fn written(&self) -> Result<(), Failure> {
        let Some(error) = &self.seen.output_error else {
            return Ok(());
        };
        let worker_id = self.followed.worker_id;
        let message = format!(
            "can't write the output: {error}; input {} of Worker {worker_id} is {}, and what it said is kept",
            self.followed.input_id.as_str(),
            self.state(),
        );
        let error = CliError::new(Code::OutputIo, message);
        Err(error.hint(Suggestion::transcript_show(worker_id)).into())
    }

    /// One line: what became of the input.
    pub(crate) fn headline(&self, printer: &Printer) {
        let end = match &self.seen.ended {
            Ended::Outcome(end) => end,
            Ended::Waits { paused: true } => {
                return printer.bad("waiting:", "the input is kept, and its Worker is paused");
            }
            Ended::Waits { paused: false } => {
                return printer.bad("waiting:", "the input is kept and was not run");
            }
            Ended::Left if self.served && self.seen.cancel == Cancel::Heard => {
                return printer.bad(
                    "left:",
                    "the server was asked to cancel the run, and does so",
                );
            }
            Ended::Left if self.served && self.seen.cancel == Cancel::Asked => {
                return printer.bad(
                    "left:",
                    "the server was asked to cancel the run, and nobody knows whether it heard",
                );
            }
            Ended::Left if self.served && self.seen.contact == Contact::Kept => {
                return printer.bad("left:", "the run goes on at the server");
            }
            Ended::Left if self.served => {
                return printer.bad(
                    "left:",
                    "the server can't be reached, and what the run does is not known",
                );
            }
            Ended::Lost => {
                return printer.bad(
                    "lost:",
                    "the server ended while it ran, and nobody runs the store: the next opening ends what is left of it and records its outcome",
                );
            }
            Ended::Left => return printer.bad("left:", "nobody waited for the run's end"),
        };
        let mut text = stop_text(&end.outcome.stop);
        if let Some(detail) = &end.detail {
            text = format!("{text}: {detail}");
        }
        if self.one_of_many {
            text = format!("input {}: {text}", self.followed.input_id.as_str());
        }
        if let Some(started_at) = end.started_at {
            text = format!("{text}, after {}", duration_text(end.at.since(started_at)));
        }
        if end.before {
            text.push_str(" (it had ended before, and was not run again)");
        }
        match end.outcome.kind {
            OutcomeKind::Completed => printer.good("completed:", text),
            OutcomeKind::Failed => match code_of(&end.outcome.stop) {
                Some(code) => printer.bad(&format!("failed[{code}]:"), text),
                None => printer.bad("failed:", text),
            },
            OutcomeKind::Cancelled => printer.bad("cancelled:", text),
            OutcomeKind::Interrupted => printer.bad("interrupted:", text),
        }
    }

    fn code(&self) -> Option<Code> {
        match &self.seen.ended {
            Ended::Outcome(end) => code_of(&end.outcome.stop),
            Ended::Waits { .. } | Ended::Left | Ended::Lost => None,
        }
    }

    /// The word for where the input stands.
    fn state(&self) -> &'static str {
        match &self.seen.ended {
            Ended::Outcome(end) => outcome_word(end.outcome.kind),
            Ended::Waits { .. } => "waiting",
            Ended::Left => "left",
            Ended::Lost => "lost",
        }
    }

    /// The same for a program.
    pub(crate) fn summary(&self) -> impl Serialize {
        let end = match &self.seen.ended {
            Ended::Outcome(end) => Some(end),
            Ended::Waits { .. } | Ended::Left | Ended::Lost => None,
        };
        let duration = end.and_then(|end| Some(end.at.since(end.started_at?)));
        Summary {
            r#type: "summary",
            worker_id: self.followed.worker_id,
            display_name: self.name,
            input_id: &self.followed.input_id,
            repeated: self.repeated,
            state: self.state(),
            outcome: end.map(|end| &end.outcome),
            detail: end.and_then(|end| end.detail.as_deref()),
            run_id: end.and_then(|end| end.run_id),
            duration_ms: duration.and_then(|duration| u64::try_from(duration.as_millis()).ok()),
            cursor: self.seen.cursor,
            exit_code: self.seen.exit().number(),
        }
    }
}

/// The code of an error that ended a run, if it has one of ours.
fn code_of(stop: &StopReason) -> Option<Code> {
    let StopReason::Error {
        code: Some(code), ..
    } = stop
    else {
        return None;
    };
    Code::ALL.iter().find(|ours| ours.as_str() == code).copied()
}

/// The word for an outcome, as in JSON.
pub(crate) const fn outcome_word(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Completed => "completed",
        OutcomeKind::Failed => "failed",
        OutcomeKind::Cancelled => "cancelled",
        OutcomeKind::Interrupted => "interrupted",
    }
}

/// Why a run stopped, in words.
pub(crate) fn stop_text(stop: &StopReason) -> String {
    match stop {
        StopReason::EndTurn => "it said that it is done".to_owned(),
        StopReason::MaxTokens => "it reached its limit of tokens".to_owned(),
        StopReason::MaxTurns => "it reached its limit of turns".to_owned(),
        StopReason::Refusal => "it refused".to_owned(),
        StopReason::Cancelled => "somebody asked for its end".to_owned(),
        StopReason::NoTerminator => "it stopped without saying that it is done".to_owned(),
        StopReason::Exit {
            signal: Some(signal),
            ..
        } => format!("signal {signal} ended the command"),
        StopReason::Exit { code, .. } => match code {
            Some(code) => format!("the command exited with {code}"),
            None => "the command ended".to_owned(),
        },
        StopReason::Timeout => "it took longer than it was given".to_owned(),
        StopReason::RuntimeLost => "its Runtime ended while it ran".to_owned(),
        StopReason::Error { message, .. } => message.clone(),
        StopReason::Other { reason } => reason.clone(),
    }
}
