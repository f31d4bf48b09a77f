//! What a run asks for (`run.requires_action`): told on stderr, and answered where somebody is at
//! both ends. Standard input is read by a thread of its own, as nothing can take a read of a terminal
//! back; it ends with the process.

use std::{
    collections::VecDeque,
    io::{self, BufRead, IsTerminal},
};

use serde_json::Value;
use tokio::sync::mpsc;
use worker_runtime_core::{ActionId, Timestamp};

use crate::output::{Printer, one_line, write_words};

/// How much of a question is shown; the event has the whole of it.
const DETAIL_CHARS_MAX: usize = 400;

/// An action that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    action_id: ActionId,
    options: Vec<String>,
    deadline: Option<Timestamp>,
    detail: String,
}

impl Question {
    /// The question in an event's data.
    pub(super) fn of(data: &Value) -> Option<Self> {
        let options = data.get("options")?.as_array()?;
        let detail = match data.get("detail") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let deadline = data.get("deadline").cloned().unwrap_or_default();
        Some(Self {
            action_id: action_of(data)?,
            options: options
                .iter()
                .filter_map(|option| Some(option.as_str()?.to_owned()))
                .collect(),
            deadline: serde_json::from_value(deadline).ok(),
            detail,
        })
    }

    /// The option that a line means: its name, or its number as it was shown.
    fn choice(&self, line: &str) -> Option<&str> {
        let line = line.trim();
        let by_name = self.options.iter().find(|option| *option == line);
        let by_number = || {
            self.options
                .get(line.parse::<usize>().ok()?.checked_sub(1)?)
        };
        by_name.or_else(by_number).map(String::as_str)
    }

    fn tell(&self, printer: &Printer) {
        let name = one_line(self.action_id.as_str(), DETAIL_CHARS_MAX);
        printer.bad("question:", format_args!("the run asks for {name:?}"));
        if !self.detail.is_empty() {
            printer.words(format_args!(
                "  {}",
                one_line(&self.detail, DETAIL_CHARS_MAX)
            ));
        }
        for (at, option) in self.options.iter().enumerate() {
            printer.words(format_args!(
                "  {}  {}",
                at + 1,
                one_line(option, DETAIL_CHARS_MAX)
            ));
        }
        if let Some(deadline) = self.deadline {
            printer.words(format_args!("  lapses {}", printer.time().text(deadline)));
        }
    }
}

fn action_of(data: &Value) -> Option<ActionId> {
    let action_id = data.get("action_id").cloned()?;
    serde_json::from_value(action_id).ok()
}

/// The questions of a run that wait, and whoever may answer them.
pub(super) struct Questions {
    waiting: VecDeque<Question>,
    lines: Option<mpsc::UnboundedReceiver<String>>,
}

impl Questions {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            lines: None,
        }
    }

    /// Tells what is asked, and asks for the answer where somebody can give it.
    pub(super) fn asked(&mut self, question: Question, printer: &Printer) {
        question.tell(printer);
        let can_answer =
            !printer.format().is_json() && io::stdin().is_terminal() && io::stderr().is_terminal();
        if can_answer {
            self.waiting.push_back(question);
            self.lines.get_or_insert_with(lines_of_stdin);
            self.prompt();
        } else if question.deadline.is_some() {
            printer.words("nobody can answer here; the run goes on without one when it lapses");
        } else {
            printer.words(
                "nobody can answer here, and it does not lapse: the run waits until its --timeout, or Ctrl-C",
            );
        }
    }

    /// The action in an event's data was answered, or has lapsed.
    pub(super) fn over(&mut self, data: &Value) {
        let action_id = action_of(data);
        self.waiting
            .retain(|question| Some(&question.action_id) != action_id.as_ref());
    }

    /// The next answer of the user to the question that was asked first. Never ready without one.
    pub(super) async fn answer(&mut self) -> (ActionId, String) {
        loop {
            let line = match &mut self.lines {
                Some(lines) => lines.recv().await,
                None => std::future::pending().await,
            };
            let (Some(line), Some(question)) = (line, self.waiting.front()) else {
                // The terminal is gone, or nothing is asked any more.
                self.lines = self.lines.take().filter(|lines| !lines.is_closed());
                continue;
            };
            match question.choice(&line) {
                Some(option) => {
                    let answer = (question.action_id.clone(), option.to_owned());
                    self.waiting.pop_front();
                    self.prompt();
                    return answer;
                }
                None => self.prompt(),
            }
        }
    }

    fn prompt(&self) {
        if let Some(question) = self.waiting.front() {
            let name = one_line(question.action_id.as_str(), DETAIL_CHARS_MAX);
            write_words(&format!(
                "Type the number or the name of an option for {name:?}: "
            ));
        }
    }
}

fn lines_of_stdin() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    let read = move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    };
    // Without a thread nobody can answer: the channel is closed, and the question stands.
    let _ = std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(read);
    lines
}

#[cfg(test)]
mod tests;
