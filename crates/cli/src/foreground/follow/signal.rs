//! What a signal or the user asks of a run that is followed. Called by the loop alone.
//!
//! What is said of the run is what is known: while its server can't be reached, nobody can be asked to
//! cancel it, and nobody knows what it does.

use std::time::Duration;

use tokio::sync::watch;
use worker_runtime_core::{ActionId, RunId};

use super::{super::signals::Asked, Follow};
use crate::{
    error::CliError,
    foreground::{Cancel, Contact, Ended, Host},
    output::write_words,
    target::{is_passing, is_unknown},
};

/// How long a second Ctrl-C waits for the answer to the first.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

impl Follow<'_> {
    /// Does what a signal asks; `true` when the program is to end at once.
    pub(super) async fn asked(&mut self, asked: Asked) -> bool {
        let is_in_contact = self.contact == Contact::Kept;
        match asked {
            Asked::Interrupt if self.cancelling || self.closing.is_some() => {
                if self.host.is_server() {
                    self.await_answer().await;
                }
                self.printer.words(match (self.host, self.cancel_is()) {
                    (Host::Here(_), _) => "ending at once; the next command tells how the run ended",
                    (Host::Server(_), Cancel::Heard) => {
                        "ending at once; the server was asked to cancel the run, and does so"
                    }
                    (Host::Server(_), Cancel::Asked) => {
                        "ending at once; the server was asked to cancel the run, and nobody knows whether it heard"
                    }
                    (Host::Server(_), Cancel::NotAsked) => {
                        "ending at once; the server was not asked to cancel the run"
                    }
                });
                true
            }
            Asked::Interrupt | Asked::Terminate if self.followed.only_looks_on => {
                self.leave(match is_in_contact {
                    true => "looking away; the run goes on",
                    false => "looking away; the server can't be reached, so what the run does is not known",
                })
            }
            Asked::Interrupt if !is_in_contact => {
                self.leave("leaving; the server can't be reached, so nobody was asked to cancel the run")
            }
            Asked::Interrupt => {
                self.printer
                    .words("cancelling the run; Ctrl-C again ends at once");
                self.cancel().await;
                false
            }
            Asked::Terminate if self.host.is_server() => self.leave(match is_in_contact {
                true => "leaving; the run goes on at the server",
                false => "leaving; the server can't be reached, so what the run does is not known",
            }),
            Asked::Terminate => {
                if self.closing.is_none() {
                    self.printer.words("closing: what runs is interrupted");
                    let host = self.host.clone();
                    self.closing = Some(tokio::spawn(async move { host.close().await }));
                }
                false
            }
        }
    }

    fn leave(&mut self, words: &str) -> bool {
        self.printer.words(words);
        self.ended = Some(Ended::Left);
        false
    }

    /// That whoever read stdout has gone, with what that means for the run.
    pub(super) fn nothing_more_printed(&self) -> &'static str {
        match (self.contact, self.followed.only_looks_on) {
            (Contact::Kept, false) => {
                "nothing more can be printed; the run goes on, and Ctrl-C cancels it"
            }
            (Contact::Kept, true) => "nothing more can be printed; the run goes on",
            (Contact::Lost | Contact::Stopped, _) => {
                "nothing more can be printed, and the server can't be reached; Ctrl-C leaves"
            }
        }
    }

    /// Asks for the end of the run. Its outcome comes as an event when all is quiet.
    pub(super) async fn cancel(&mut self) {
        self.cancelling = true;
        let worker_id = self.followed.worker_id;
        let run_id = match self.run_id {
            Some(run_id) => Some(run_id),
            None => match self.running().await {
                Ok(run_id) => run_id,
                Err(error) => {
                    self.contact = Contact::Lost;
                    let words = format!("leaving; nobody was asked to cancel the run: {error}");
                    self.leave(&words);
                    return;
                }
            },
        };
        match run_id {
            Some(run_id) => {
                let (host, pause) = (self.host.clone(), self.followed.others_wait);
                let (heard, cancel_heard) = watch::channel(false);
                self.cancel_heard = Some(cancel_heard);
                tokio::spawn(async move {
                    match host.cancel_run(worker_id, run_id, pause).await {
                        Ok(()) => drop(heard.send_replace(true)),
                        Err(error) => write_words(&format!(
                            "the server may not have heard of the cancel: {error}\n"
                        )),
                    }
                });
            }
            // It waits behind another one: it stays where it is.
            None => self.ended = Some(Ended::Waits { paused: false }),
        }
    }

    /// What is known of the asking for the run's end.
    pub(super) fn cancel_is(&self) -> Cancel {
        match &self.cancel_heard {
            None => Cancel::NotAsked,
            Some(heard) if *heard.borrow() => Cancel::Heard,
            Some(_) => Cancel::Asked,
        }
    }

    /// Gives an answer that is on its way a moment: who types Ctrl-C twice in a row is told what is so.
    async fn await_answer(&mut self) {
        if let Some(heard) = &mut self.cancel_heard {
            let heard = heard.wait_for(|heard| *heard);
            let _ = tokio::time::timeout(ANSWER_WITHIN, heard).await;
        }
    }

    /// The run of our input, as the Worker's record has it.
    async fn running(&self) -> Result<Option<RunId>, CliError> {
        let worker = match self.host.worker(self.followed.worker_id).await {
            Ok(worker) => worker,
            Err(error) if is_passing(&error) => return Err(error),
            // There is no such Worker any more, and so no run.
            Err(_) => return Ok(None),
        };
        let is_ours = worker.activity.input_id.as_ref() == Some(&self.followed.input_id);
        Ok(worker.activity.run_id.filter(|_| is_ours))
    }

    /// Sends a user's answer; what became of it comes as an event.
    pub(super) fn answer(&self, action_id: ActionId, option: String) {
        let Some(run_id) = self.run_id else { return };
        let (host, worker_id, after) = (self.host.clone(), self.followed.worker_id, self.cursor);
        tokio::spawn(async move {
            let answered = host.answer(worker_id, run_id, action_id, option, after);
            if let Err(error) = answered.await {
                write_words(&match is_unknown(&error) {
                    true => format!("nobody knows whether the answer was taken: {error}\n"),
                    false => format!("the answer was not taken: {error}\n"),
                });
            }
        });
    }
}
