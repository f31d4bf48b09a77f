//! `worker run WORKER`: runs what waits for a Worker on a stopped store, in order, in the foreground.
//! What an earlier Runtime left behind gets its outcome first, as at every opening for writing. A
//! server runs what waits by itself, and is followed.

use clap::Args;
use serde_json::{Value, json};
use worker_runtime_core::{
    Code, Dispatch, InputId,
    error::SubmitError,
    view::{Phase, WorkerView},
};

use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    foreground::{
        Account, Afterwards, Contact, Ended, Followed, Host, Seen, stop_text, to_outcome,
        to_outcomes,
    },
    here::Here,
    output::Printer,
    suggest::Suggestion,
    target::{self, Server, Target, Writing},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
}

pub(crate) fn run(
    args: &DrainArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    // Closed before the store is opened for writing, which waits for readers.
    let (worker, inputs) = {
        let target = target::open(global, printer)?;
        let worker = worker_name::find(&target, &args.worker)?;
        let store = match target {
            Target::Server(server) => return served(&server, &worker, printer),
            Target::Store(store) => store,
        };
        let unfinished = store.loaded.unfinished.iter();
        let waiting = unfinished
            .filter(|input| input.worker_id == worker.worker_id && input.run.is_none())
            .map(|input| input.input.input_id.clone());
        let waiting: Vec<InputId> = waiting.collect();
        (worker, waiting)
    };
    refuse(&worker, inputs.len())?;
    if worker.activity.phase.is_none() {
        printer.words(format_args!(
            "nothing waits for Worker {}",
            worker.worker_id
        ));
        return print(&worker, &Done::default(), printer);
    }
    if inputs.is_empty() {
        return settle(&worker, global, printer);
    }
    let inputs: Vec<Followed> = inputs
        .into_iter()
        .map(|input_id| Followed::new(worker.worker_id, input_id, worker.cursor))
        .collect();
    let writing = Writing::new(
        global,
        Dispatch::Only([worker.worker_id].into()),
        Here::current()?,
    )?;
    let store = target::open_files(global, false)?;
    let seen = target::block_on::<_, Failure>(async {
        // Before anything runs: no signal may end the process in between.
        let mut signals = target::signals()?;
        let host = Host::Here(target::open_write(store, writing, printer).await?);
        to_outcomes(&host, &inputs, printer, &mut signals).await
    })?;
    let done = Done {
        waiting: inputs.len() - seen.len(),
        inputs,
        seen,
        served: false,
    };
    print(&worker, &done, printer)
}

/// What became of inputs that waited.
#[derive(Default)]
struct Done {
    inputs: Vec<Followed>,
    /// Of the first of them.
    seen: Vec<Seen>,
    /// How many wait on.
    waiting: usize,
    /// Whether a server runs them.
    served: bool,
}

/// Follows what a server runs by itself, until nothing waits any more.
fn served(server: &Server, worker: &WorkerView, printer: &mut Printer) -> Result<Exit, Failure> {
    refuse(worker, worker.activity.queued)?;
    let done = server.block_on(async {
        let mut signals = target::signals()?;
        let host = Host::server(server.remote.clone()).await?;
        let mut done = Done {
            served: true,
            ..Done::default()
        };
        loop {
            if done
                .seen
                .last()
                .is_some_and(|seen| seen.contact != Contact::Kept)
            {
                // Nobody can be asked what waits.
                return Ok(done);
            }
            let now = host.worker(worker.worker_id).await?;
            done.waiting = now.activity.queued;
            let is_over = done.seen.last().is_some_and(|seen| {
                seen.exit() == Exit::Interrupted || !matches!(seen.ended, Ended::Outcome(_))
            });
            let Some(input_id) = now.activity.input_id.filter(|_| !is_over) else {
                return Ok(done);
            };
            let followed = Followed {
                run_id: now.activity.run_id,
                others_wait: now.activity.queued > 0,
                ..Followed::new(worker.worker_id, input_id, now.cursor)
            };
            done.inputs.push(followed.clone());
            let after = Afterwards::Stays;
            let seen = to_outcome(&host, followed, printer, &mut signals, after).await?;
            done.seen.push(seen);
        }
    })?;
    if done.inputs.is_empty() {
        let worker_id = worker.worker_id;
        printer.words(format_args!("nothing waits for Worker {worker_id}"));
    }
    print(worker, &done, printer)
}

/// Nothing waits, but a run was lost: an opening ends what is left of it and records its outcome.
fn settle(worker: &WorkerView, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let worker_id = worker.worker_id;
    let writing = Writing::new(global, Dispatch::None, Here::current()?)?;
    let settled = target::change(global, false, writing, printer, async |runtime| {
        Ok(runtime.catalog().get(worker_id)?)
    })?;
    refuse(&settled, 0)?;
    let last = settled.last_run.map(|last| stop_text(&last.outcome.stop));
    printer.words(format_args!(
        "the lost run of Worker {worker_id} has its outcome ({}), and nothing waits",
        last.unwrap_or_default()
    ));
    print(worker, &Done::default(), printer)
}

/// Refuses what would wait for ever.
fn refuse(worker: &WorkerView, waiting: usize) -> Result<(), CliError> {
    let worker_id = worker.worker_id;
    if worker.activity.phase == Some(Phase::Unproven) {
        let message = format!(
            "Worker {worker_id} runs nothing: processes of an earlier run can't be shown to be dead"
        );
        return Err(CliError::new(Code::RunUnproven, message)
            .hint(Suggestion::event_ls(Some(worker_id)))
            .hint(Suggestion::worker_assume_dead(worker_id)));
    }
    match worker.input_capable.reason.clone() {
        Some(reason) if waiting > 0 => Err(SubmitError::Incapable { worker_id, reason }.into()),
        _ => Ok(()),
    }
}

fn print(worker: &WorkerView, done: &Done, printer: &mut Printer) -> Result<Exit, Failure> {
    let Done {
        inputs,
        seen,
        waiting,
        served,
    } = done;
    let accounts: Vec<Account<'_>> = inputs
        .iter()
        .zip(seen)
        .map(|(followed, seen)| Account {
            followed,
            seen,
            name: worker.display_name.as_deref(),
            repeated: false,
            served: *served,
            holds_scope: false,
            one_of_many: inputs.len() > 1,
        })
        .collect();
    let exits = seen.iter().map(Seen::exit);
    // What was not reached waits.
    let rest = (*waiting > 0).then_some(Exit::Partly);
    let exit = exits.chain(rest).find(|exit| *exit != Exit::Done);
    let exit = exit.unwrap_or(Exit::Done);
    if printer.format() == Format::Json {
        let summaries: Result<Vec<Value>, _> = accounts
            .iter()
            .map(|account| serde_json::to_value(account.summary()))
            .collect();
        let summaries = summaries.map_err(|error| {
            let message = format!("a bug: a summary can't be written as JSON: {error}");
            CliError::new(Code::Bug, message)
        })?;
        printer.json(&json!({
            "worker_id": worker.worker_id,
            "inputs": summaries,
            "waiting": waiting,
            "exit_code": exit.number(),
        }))?;
        return Ok(exit);
    }
    if let Some((last, others)) = accounts.split_last() {
        for account in others {
            match printer.format() {
                Format::Jsonl => account.print(printer)?,
                _ => account.headline(printer),
            }
        }
        last.print(printer)?;
    }
    if *waiting > 0 {
        printer.next(
            format_args!("{waiting} more wait, and the Worker is paused"),
            &[Suggestion::worker_resume(worker.worker_id)],
        );
    }
    Ok(exit)
}
