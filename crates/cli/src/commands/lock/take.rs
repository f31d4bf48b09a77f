//! `lock release` and `lock reclaim`: what is given back, and what is taken back. From whoever runs
//! something it is taken by force alone, loud and for a reason: the Runtime pauses that Worker, cancels
//! its run, and frees the scope when all of it is dead; here is only waited for that.

mod what;

use std::time::Duration;

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Code, Dispatch, Permission, ScopeRule, Stream, WorkerId,
    cursor::From as Start,
    record::Lifecycle,
    view::{AllocationReceipt, AllocationView, WorkerView},
};
use worker_runtime_http::{client::Client, wire::TakeAllocation};

use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    rehearsal,
    suggest::Suggestion,
    target::{self, About, Remote, Server, Target, Writing},
    worker_name,
};
pub(super) use what::What;

/// How long one question for news waits.
const NEWS_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Args)]
pub(crate) struct TakeArgs {
    /// The Worker: its id, the first digits of it, or its name; to release, also a lease by its id
    pub(super) worker: String,
    /// Why, for whoever reads its events
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Also while something runs with it: cancel that, keep what waits waiting, and wait until all of it
    /// is dead
    #[arg(long, requires = "reason")]
    pub(super) force: bool,
    /// Only say whether anything would change; exit 23 if so
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Who it is taken from, as it was found.
pub(super) struct Found {
    pub(super) target: Target,
    pub(super) worker_id: WorkerId,
}

/// `lock reclaim`.
pub(super) fn reclaim(
    args: &TakeArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    args.refuse_silence(What::Lent)?;
    let target = target::open(global, printer)?;
    let worker_id = worker_name::find_id(&target, &args.worker)?;
    run(
        What::Lent,
        Found { target, worker_id },
        args,
        global,
        printer,
    )
}

/// Takes it from a Worker that was found.
pub(super) fn run(
    what: What,
    found: Found,
    args: &TakeArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let Found { target, worker_id } = found;
    let about = About::worker(worker_id).of(what.command());
    let (holders, server) = {
        let held = target.allocation(worker_id)?;
        let holders: Result<Vec<_>, _> = match what {
            What::Own => Ok(vec![held]),
            What::Lent => {
                let children = held.lent_to.iter();
                let children = children.map(|child| target.allocation(*child));
                children
                    .filter(|held| !held.as_ref().is_ok_and(only_looks))
                    .collect()
            }
        };
        // A store is closed before it is opened for writing, which waits for readers.
        (holders?, target.into_server())
    };
    let take = TakeAllocation {
        reason: args.reason.clone(),
        force: args.force,
    };
    if args.dry_run {
        let would = match &server {
            Some(server) => {
                let ask = what.would_ask(&server.remote.client, worker_id, &take);
                server.ask(about, ask)
            }
            None => rehearsal::ask(global, &Here::current()?, async |runtime| {
                what.would_call(runtime, worker_id, take).await
            }),
        };
        let from = would.map_err(|error| with_this_command(error, what, worker_id))?;
        return would_be(what, worker_id, &from, printer);
    }
    if args.force {
        holders.iter().for_each(|held| warn(held, printer));
    }
    let taken = match &server {
        Some(server) => {
            let decide = |_: &WorkerView| Ok(((), what.told(&take)));
            let ask = async |client: Client, ()| what.ask(&client, worker_id, &take).await;
            server.wait_for(server.remote.change_held(about, worker_id, decide, ask))
        }
        None => {
            let writing = Writing::new(global, Dispatch::None, Here::current()?)?;
            target::change(global, false, writing, printer, async |runtime| {
                Ok(what.call(runtime, worker_id, take).await?)
            })
        }
    };
    let mut receipt = taken.map_err(|error| with_this_command(error, what, worker_id))?;
    until_free(&receipt, server.as_ref(), printer)?;
    receipt.waits_for.clear();
    print(what, &receipt, &holders, args.force, printer)
}

impl TakeArgs {
    /// Whoever takes something by force says why: told before it is warned of.
    pub(super) fn refuse_silence(&self, what: What) -> Result<(), CliError> {
        let reason = self.reason.as_deref().unwrap_or_default();
        if !self.force || !reason.trim().is_empty() {
            return Ok(());
        }
        let message = "--reason is empty; say why it is taken by force";
        Err(CliError::new(Code::FieldInvalid, message).hint(Suggestion::help(what.command())))
    }
}

/// What is in use is told with the very command that takes it all the same.
fn with_this_command(mut error: CliError, what: What, worker_id: WorkerId) -> CliError {
    if error.code == Code::ScopeInUse {
        error.hints.insert(0, what.by_force(worker_id));
        error.hints.dedup();
    }
    error
}

/// Whether it holds nothing that could be taken: to look at the top of where it works it keeps.
fn only_looks(held: &AllocationView) -> bool {
    let looks = |rule: &ScopeRule| rule.path.is_empty() && rule.permission == Permission::Read;
    held.delegation.is_empty() && held.scope.allow.iter().all(looks)
}

/// Tells, whatever the format, what is done to whom.
fn warn(held: &AllocationView, printer: &Printer) {
    let name = held.display_name.as_deref().unwrap_or("unnamed");
    let run = match held.run_id {
        Some(run_id) => format!("its run {run_id} is cancelled, "),
        None => String::new(),
    };
    printer.warn(format_args!(
        "what Worker {} ({name}) holds is taken from it: {run}what waits for it stays waiting",
        held.worker_id
    ));
}

fn would_be(
    what: What,
    worker_id: WorkerId,
    from: &[WorkerId],
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let changes = !from.is_empty();
    if printer.format().is_json() {
        let told = json!({ "dry_run": true, "worker_id": worker_id, "would_be": "free", "changes": changes });
        printer.json(&told)?;
    } else {
        match what {
            What::Own if changes => printer.words(format_args!(
                "Worker {worker_id} would give up what it holds"
            )),
            What::Own => printer.words(format_args!(
                "nothing would change: what Worker {worker_id} holds is being taken from it"
            )),
            What::Lent => printer.words(format_args!(
                "Worker {worker_id} would take back what {} below it hold",
                from.len()
            )),
        }
    }
    Ok(match changes {
        true => Exit::WouldChange,
        false => Exit::Done,
    })
}

/// Waits until what was taken is free.
fn until_free(
    receipt: &AllocationReceipt,
    server: Option<&Server>,
    printer: &Printer,
) -> Result<(), CliError> {
    let Some(first) = receipt.waits_for.first() else {
        return Ok(());
    };
    let Some(server) = server else {
        // The opening has ended what it could: what is left, nobody can show to be dead.
        return Err(unproven(*first));
    };
    printer.words("waiting until all of it is dead; it is done also if this is interrupted");
    server.wait_for(async {
        for worker_id in &receipt.waits_for {
            until_quiet(&server.remote, *worker_id).await?;
        }
        Ok(())
    })
}

async fn until_quiet(remote: &Remote, worker_id: WorkerId) -> Result<(), CliError> {
    let about = About::worker(worker_id);
    loop {
        let seen = remote.or_told(about, remote.client.worker(worker_id));
        let seen = seen.await.map_err(|error| asked_for(error, worker_id))?;
        let is_ending = seen.ending.is_some() && seen.lifecycle == Lifecycle::Active;
        if seen.releasing.is_none() && !is_ending {
            return Ok(());
        }
        if seen.unproven {
            return Err(unproven(worker_id));
        }
        let (stream, start) = (Stream::Worker(worker_id), Start::After(seen.cursor));
        let news = remote.client.events(stream, start, 1, NEWS_WAIT);
        let news = remote.or_told(about, news).await;
        news.map_err(|error| asked_for(error, worker_id))?;
    }
}

/// Nobody can be asked how it goes on; it was recorded, and goes on by itself.
fn asked_for(mut error: CliError, worker_id: WorkerId) -> CliError {
    let told = "; it was asked for, and what is held is free once all of it is dead";
    error.message.push_str(told);
    error.hint(Suggestion::lock_show(worker_id))
}

fn unproven(worker_id: WorkerId) -> CliError {
    let message = format!(
        "Worker {worker_id} keeps what it holds: its processes can't be shown to be dead; it is free when an opening of the store can, or when you say that they are"
    );
    CliError::new(Code::RunUnproven, message)
        .hint(Suggestion::event_ls(Some(worker_id)))
        .hint(Suggestion::worker_assume_dead(worker_id))
}

fn print(
    what: What,
    receipt: &AllocationReceipt,
    holders: &[AllocationView],
    force: bool,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let worker_id = receipt.worker_id;
    match (printer.format(), what) {
        (Format::Json | Format::Jsonl, _) => printer.json(receipt)?,
        (Format::Name, _) => printer.line(worker_id)?,
        (Format::Table | Format::Wide, What::Own) => {
            printer.words(format_args!("Worker {worker_id} has given up what it held"));
        }
        (Format::Table | Format::Wide, What::Lent) => {
            let from = holders.iter().map(|held| held.worker_id.to_string());
            let from: Vec<String> = from.collect();
            printer.words(match from.as_slice() {
                [] => format!("nobody below Worker {worker_id} holds anything"),
                _ => format!("taken back from {}", from.join(", ")),
            });
        }
    }
    if force && !printer.format().is_json() {
        let paused = holders.iter().map(|held| held.worker_id);
        let resume: Vec<_> = paused.take(3).map(Suggestion::worker_resume).collect();
        if !resume.is_empty() {
            printer.next("what waits is run, without that scope, by", &resume);
        }
    }
    Ok(Exit::Done)
}
