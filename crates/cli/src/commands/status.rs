//! `status`: one screen with what there is, what needs attention, and what to type next.

use serde_json::json;
use worker_runtime_core::{
    Code, ListOrder, WorkerFilter,
    view::{Diagnostic, RuntimeStatus, WorkerView},
};

use crate::{
    advice,
    args::Global,
    error::Failure,
    exit::Exit,
    output::{Printer, Table, one_line},
    suggest::Suggestion,
    target::{self, Target},
};

/// How many busy Workers and diagnostics are shown: it is one screen.
const ROWS_MAX: usize = 10;
/// How much of a name is repeated.
const NAME_CHARS_MAX: usize = 40;

pub(crate) fn run(global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let status = target.runtime()?;
    let diagnostics = target.diagnostics()?;
    let filter = WorkerFilter {
        busy: Some(true),
        ..WorkerFilter::default()
    };
    let busy = target.workers(&filter, ListOrder::Created, 0, ROWS_MAX)?;
    if printer.format().is_json() {
        printer.json(&json!({
            "source": target.source(),
            "state": target.path(),
            "runtime": status,
            "busy": busy.workers,
            "diagnostics": diagnostics,
        }))?;
    } else {
        print(&target, &status, printer)?;
        print_busy(&busy.workers, busy.total, printer)?;
        printer.flush()?;
        if !target.is_live() {
            printer.words("nobody runs it: what waits is run by `worker run`, or by `serve`");
        }
        print_diagnostics(&diagnostics, printer);
        suggest(&target, &status, &busy.workers, printer);
    }
    Ok(match status.went_back {
        Some(_) => Exit::WentBack,
        None if status.damaged.is_empty() => Exit::Done,
        None => Exit::Damaged,
    })
}

fn print(target: &Target, status: &RuntimeStatus, printer: &mut Printer) -> Result<(), Failure> {
    let workers = status
        .workers
        .iter()
        .map(|(word, count)| format!("{count} {word}"));
    let workers = workers.collect::<Vec<_>>().join(", ");
    let workers = if workers.is_empty() { "none" } else { &workers };
    let stopped = if status.stopped {
        ", stopped by a user"
    } else {
        ""
    };
    printer.line(format_args!("runtime  {}{stopped}", status.runtime_id))?;
    if let Some(path) = target.path() {
        printer.line(format_args!("state    {}", path.display()))?;
    }
    printer.line(format_args!("workers  {workers}"))?;
    printer.line(format_args!(
        "inputs   {} dispatched without an outcome, {} waiting",
        status.dispatched, status.queued
    ))?;
    let scopes = status.allocations.saturating_add(status.leases);
    printer.line(format_args!("scopes   {scopes} held"))?;
    printer.line(format_args!("cursor   {}", status.cursor))
}

fn print_busy(workers: &[WorkerView], total: usize, printer: &mut Printer) -> Result<(), Failure> {
    let mut table = Table::new(&["BUSY WORKER", "NAME", "PHASE", "SINCE", "INPUT"]);
    for worker in workers {
        let activity = &worker.activity;
        let input_id = activity.input_id.as_ref();
        table.row([
            worker.worker_id.to_string(),
            worker.display_name.clone().unwrap_or_default(),
            activity
                .phase
                .map(|phase| phase.to_string())
                .unwrap_or_default(),
            activity
                .since
                .map(|at| printer.time().text(at))
                .unwrap_or_default(),
            input_id
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
        ]);
    }
    if !workers.is_empty() {
        printer.line("")?;
    }
    printer.table(&table)?;
    if total > workers.len() {
        printer.line(format_args!("and {} more", total - workers.len()))?;
    }
    Ok(())
}

fn print_diagnostics(diagnostics: &[Diagnostic], printer: &Printer) {
    for diagnostic in diagnostics.iter().take(ROWS_MAX) {
        let about = diagnostic
            .worker_id
            .map(|worker_id| format!("Worker {worker_id}: "));
        let about = about.unwrap_or_default();
        printer.warn_code(
            diagnostic.code,
            format_args!("{about}{}", diagnostic.message),
        );
        if let Some(command) = &diagnostic.command {
            printer.hint_command(command);
        }
    }
    if diagnostics.len() > ROWS_MAX {
        let more = diagnostics.len() - ROWS_MAX;
        printer.words(format_args!("and {more} more; -o json has all"));
    }
}

/// What to do first is first: what was lost, then what is held, then what waits.
fn suggest(target: &Target, status: &RuntimeStatus, busy: &[WorkerView], printer: &Printer) {
    let mut advised = false;
    // Where the directory is not known, whoever operates the server makes the copy.
    let copy = |suffix| target.path().map(|path| Suggestion::copy(path, suffix));
    if status.went_back.is_some() {
        let why =
            "keep a copy before anything else, then look for the newer state, or accept this one";
        let then = [
            Suggestion::explain(Code::StateWentBack),
            Suggestion::accept_older(),
        ];
        let suggestions: Vec<_> = copy("went-back").into_iter().chain(then).collect();
        printer.next(why, &suggestions);
        advised = true;
    }
    if !status.damaged.is_empty() {
        let why = "keep a copy; what is damaged is not used, and this version repairs nothing";
        let then = [Suggestion::state_info()];
        let suggestions: Vec<_> = copy("damaged").into_iter().chain(then).collect();
        printer.next(why, &suggestions);
        advised = true;
    }
    for worker in busy {
        if let Some(advice) = advice::for_worker(worker, target.is_live()) {
            let name = worker.display_name.as_deref().unwrap_or("unnamed");
            let name = one_line(name, NAME_CHARS_MAX);
            let about = format_args!("Worker {} ({name}): {}", worker.worker_id, advice.why);
            printer.next(about, &advice.suggestions);
            advised = true;
        }
    }
    let has_workers = !status.damaged.is_empty() || status.workers.values().any(|count| *count > 0);
    if advised {
        // What has to be done hides among what could be looked at.
    } else if has_workers {
        printer.hint(&Suggestion::worker_ls());
        printer.hint(&Suggestion::event_ls(None));
    } else {
        printer.hint(&Suggestion::run_example());
    }
}
