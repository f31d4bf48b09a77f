//! `worker answer WORKER ACTION OPTION`: what a run waits for. Somebody has to run it, so this is for a
//! live one.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{ActionId, Code, RunId, view::WorkerView};

use super::attach::not_run;
use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    output::{Printer, one_line},
    suggest::Suggestion,
    target::{self, Answer, Target},
    worker_name,
};

/// How much of a name is repeated.
const NAME_CHARS_MAX: usize = 80;

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
    /// The action that its run asks for
    action: String,
    /// One of its options
    #[arg(allow_hyphen_values = true)]
    option: String,
}

pub(crate) fn run(
    args: &AnswerArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let worker = worker_name::find(&target, &args.worker)?;
    let Target::Server(server) = &target else {
        return Err(not_run(&worker).into());
    };
    let worker_id = worker.worker_id;
    let (run_id, action_id) = waiting(&worker, &args.action)?;
    let answer = Answer {
        worker_id,
        run_id,
        action_id: action_id.clone(),
        option: args.option.clone(),
    };
    // An action takes one answer: a second one is refused, and that is told.
    let position = server.wait_for(server.remote.answer(&answer, worker.cursor))?;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(&json!({
            "worker_id": worker_id,
            "run_id": run_id,
            "action_id": action_id,
            "option": args.option,
            "position": position,
        }))?,
        Format::Name => printer.line(worker_id)?,
        Format::Table | Format::Wide => {
            let name = one_line(action_id.as_str(), NAME_CHARS_MAX);
            printer.good("answered:", format_args!("{name:?} of Worker {worker_id}"));
            printer.hint(&Suggestion::worker_attach(worker_id));
        }
    }
    Ok(Exit::Done)
}

/// The action that is meant, among those that wait.
fn waiting(worker: &WorkerView, action: &str) -> Result<(RunId, ActionId), CliError> {
    let actions = &worker.activity.actions;
    let found = actions
        .iter()
        .find(|waiting| waiting.action_id.as_str() == action);
    if let (Some(run_id), Some(found)) = (worker.activity.run_id, found) {
        return Ok((run_id, found.action_id.clone()));
    }
    let names = actions
        .iter()
        .map(|waiting| format!("{:?}", one_line(waiting.action_id.as_str(), NAME_CHARS_MAX)));
    let names: Vec<String> = names.collect();
    let worker_id = worker.worker_id;
    let action = one_line(action, NAME_CHARS_MAX);
    let message = match names.is_empty() {
        true => format!("Worker {worker_id} waits for no answer"),
        false => format!(
            "Worker {worker_id} does not wait for an answer to {action:?}, but to {}",
            names.join(", ")
        ),
    };
    let told = CliError::new(Code::ActionUnknown, message);
    Err(told.hint(Suggestion::worker_show(worker_id)))
}
