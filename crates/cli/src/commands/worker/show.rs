//! `worker show WORKER`.

use clap::Args;
use worker_runtime_core::{error::describe_incapable, view::WorkerView, worker::Intent};

use super::ls::{activity_text, rules_text, state_text};
use crate::{
    advice,
    args::{Format, Global},
    error::Failure,
    exit::Exit,
    foreground::{outcome_word, stop_text},
    output::{Printer, one_line},
    suggest::Suggestion,
    target, worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
}

pub(crate) fn run(
    args: &ShowArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let worker = worker_name::find(&target, &args.worker)?;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(&target.sourced(&worker))?,
        Format::Name => printer.line(worker.worker_id)?,
        Format::Table | Format::Wide => {
            print(&worker, printer)?;
            printer.flush()?;
            if let Some(advice) = advice::for_worker(&worker, target.is_live()) {
                printer.next(advice.why, &advice.suggestions);
            }
            printer.hint(&Suggestion::transcript_show(worker.worker_id));
            printer.hint(&Suggestion::event_ls(Some(worker.worker_id)));
        }
    }
    Ok(Exit::Done)
}

fn print(worker: &WorkerView, printer: &mut Printer) -> Result<(), Failure> {
    for (name, value) in lines(worker, printer) {
        if !value.is_empty() {
            printer.line(format_args!("{name:<9}  {}", one_line(&value, usize::MAX)))?;
        }
    }
    Ok(())
}

fn lines(worker: &WorkerView, printer: &Printer) -> Vec<(&'static str, String)> {
    let time = |at| printer.time().text(at);
    let activity = &worker.activity;
    let since = activity.since.map(|at| format!(", {}", time(at)));
    let input = activity
        .input_id
        .as_ref()
        .map(|id| format!(", input {}", id.as_str()));
    let last = worker.last_run.as_ref().map(|last| {
        let kind = outcome_word(last.outcome.kind);
        format!(
            "{kind}: {}, {}",
            stop_text(&last.outcome.stop),
            time(last.at)
        )
    });
    let takes = match &worker.input_capable.reason {
        None => "yes".to_owned(),
        Some(reason) => format!("no: {}", describe_incapable(reason)),
    };
    let labels = worker
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let fence = worker
        .fence
        .map(|fence| format!(" (fence {fence})"))
        .unwrap_or_default();
    let scope = rules_text(&worker.scope);
    vec![
        ("worker", worker.worker_id.to_string()),
        ("runtime", worker.runtime_id.to_string()),
        ("name", worker.display_name.clone().unwrap_or_default()),
        ("labels", labels.collect::<Vec<_>>().join(" ")),
        ("intent", intent_text(&worker.spec.intent)),
        ("state", state_text(worker)),
        (
            "activity",
            format!(
                "{}{}{}",
                activity_text(activity),
                input.unwrap_or_default(),
                since.unwrap_or_default()
            ),
        ),
        ("input", takes),
        ("backend", worker.backend.clone().unwrap_or_default()),
        ("profile", worker.profile.clone()),
        (
            "scope",
            if scope.is_empty() {
                scope
            } else {
                format!("{scope}{fence}")
            },
        ),
        ("delegates", rules_text(&worker.delegation)),
        ("confined", confined_text(worker)),
        ("last run", last.unwrap_or_default()),
        ("inputs", worker.input_count.to_string()),
        ("created", time(worker.created_at)),
        ("cursor", worker.cursor.to_string()),
    ]
}

/// What its backend said: `whole`, `outer`, `off` or `unavailable`, and what there is to say of it.
fn confined_text(worker: &WorkerView) -> String {
    let confinement = worker.status.get("confinement");
    let field = |name| confinement.and_then(|told| told.get(name)?.as_str());
    match (field("state"), field("reason")) {
        (Some(state), Some(reason)) => format!("{state}: {reason}"),
        (Some(state), None) => state.to_owned(),
        (None, _) => String::new(),
    }
}

fn intent_text(intent: &Intent) -> String {
    match intent {
        Intent::Assistant { purpose: None } => "assistant".to_owned(),
        Intent::Assistant {
            purpose: Some(purpose),
        } => format!("assistant: {purpose}"),
        Intent::Task { objective } => format!("task: {objective}"),
        Intent::Role {
            role,
            purpose: None,
        } => format!("role {role}"),
        Intent::Role {
            role,
            purpose: Some(purpose),
        } => format!("role {role}: {purpose}"),
    }
}
