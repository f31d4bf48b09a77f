//! Changes of a Worker's life. On a stopped store: open, recover, change, close; nothing is
//! dispatched, and what would be refused is refused before the store is opened for writing.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Code, Dispatch, EndOptions, Runtime, WorkerId,
    error::LifecycleError,
    record::Lifecycle,
    view::{LifecycleReceipt, WorkerView},
};

use super::deleted;
use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    rehearsal,
    suggest::Suggestion,
    target::{self, About, Answered, Server, Writing},
    worker_name,
};
use worker_runtime_http::{
    client::{Client, ClientError},
    wire::EndWorker,
};

#[derive(Debug, Args)]
pub(crate) struct LifecycleArgs {
    /// The Worker: its id, the first digits of it, or its name
    pub(super) worker: String,
    /// Why, for the record of the operation
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Only say whether anything would change; exit 23 if so
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// What is to be done to a Worker.
#[derive(Debug, Clone)]
pub(crate) enum Verb {
    Stop(EndOptions),
    Cancel(EndOptions),
    Pause,
    Resume,
    Archive,
    Restore,
    Delete { purge: bool },
}

/// What a call would do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Change,
    /// It is so already.
    Nothing,
    Refused(LifecycleError),
}

impl Verb {
    /// What the Worker is afterwards.
    const fn done(&self) -> &'static str {
        match self {
            Self::Stop(_) => "stopped",
            Self::Cancel(_) => "cancelled",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Archive => "archived",
            Self::Restore => "restored",
            Self::Delete { .. } => "deleted",
        }
    }

    /// What the call would do to a Worker that looks like this. A conflict of scopes at a restore
    /// is found only by the Runtime.
    pub(super) fn plan(&self, worker: &WorkerView) -> Plan {
        let (worker_id, state) = (worker.worker_id, worker.lifecycle);
        let wanted = self.done();
        let is_active = state == Lifecycle::Active;
        let change_unless = |is_so: bool| if is_so { Plan::Nothing } else { Plan::Change };
        match self {
            Self::Stop(options) | Self::Cancel(options) => {
                change_unless(!is_active || (worker.ending.is_some() && !options.assume_dead))
            }
            Self::Pause | Self::Resume if is_active => {
                change_unless(worker.paused == matches!(self, Self::Pause))
            }
            Self::Archive if !is_active => change_unless(worker.archived),
            Self::Delete { .. } if !is_active => Plan::Change,
            Self::Restore if state == Lifecycle::Stopped => Plan::Change,
            Self::Restore if is_active && worker.ending.is_none() => Plan::Nothing,
            Self::Archive | Self::Delete { .. } => Plan::Refused(LifecycleError::NotEnded {
                worker_id,
                state: state.as_str(),
                wanted,
            }),
            Self::Pause | Self::Resume | Self::Restore => {
                Plan::Refused(LifecycleError::WrongState {
                    worker_id,
                    state: state.as_str(),
                    wanted,
                })
            }
        }
    }

    async fn call(
        self,
        runtime: &Runtime,
        worker_id: WorkerId,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        let catalog = runtime.catalog();
        match self {
            Self::Stop(options) => catalog.stop(worker_id, options).await,
            Self::Cancel(options) => catalog.cancel(worker_id, options).await,
            Self::Pause => catalog.pause(worker_id).await,
            Self::Resume => catalog.resume(worker_id).await,
            Self::Archive => catalog.archive(worker_id).await,
            Self::Restore => catalog.restore(worker_id).await,
            Self::Delete { purge } => catalog.delete(worker_id, purge).await,
        }
    }

    async fn ask(
        self,
        client: &Client,
        worker_id: WorkerId,
    ) -> Result<LifecycleReceipt, ClientError> {
        let end = |options: EndOptions| EndWorker {
            reason: options.reason,
            assume_dead: options.assume_dead,
        };
        match self {
            Self::Stop(options) => client.stop_worker(worker_id, &end(options)).await,
            Self::Cancel(options) => client.cancel_worker(worker_id, &end(options)).await,
            Self::Pause => client.pause_worker(worker_id).await,
            Self::Resume => client.resume_worker(worker_id).await,
            Self::Archive => client.archive_worker(worker_id).await,
            Self::Restore => client.restore_worker(worker_id).await,
            Self::Delete { purge } => client.delete_worker(worker_id, purge).await,
        }
    }

    /// The receipt of a change that is refused when it was made already: only a deletion is.
    async fn done_before(
        &self,
        client: &Client,
        worker: &WorkerView,
        code: Code,
    ) -> Option<LifecycleReceipt> {
        match (self, code) {
            (Self::Delete { .. }, Code::WorkerDeleted) => deleted::receipt(client, worker).await,
            _ => None,
        }
    }

    fn next(&self, worker_id: WorkerId, waiting: bool, live: bool) -> Option<Suggestion> {
        match self {
            Self::Stop(_) => Some(Suggestion::worker_restore(worker_id)),
            Self::Cancel(_) => Some(Suggestion::worker_archive(worker_id)),
            Self::Archive => Some(Suggestion::worker_rm(worker_id)),
            Self::Pause => Some(Suggestion::worker_resume(worker_id)),
            Self::Resume if waiting && live => Some(Suggestion::worker_attach(worker_id)),
            Self::Resume if waiting => Some(Suggestion::worker_run(worker_id)),
            Self::Resume | Self::Restore => Some(Suggestion::worker_send(worker_id)),
            Self::Delete { .. } => None,
        }
    }
}

/// Carries it out, or says what it would do.
///
/// # Errors
/// When no Worker is meant, or it can't be done to this one.
pub(crate) fn run(
    verb: Verb,
    args: &LifecycleArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    run_confirmed(verb, args, global, printer, |_| Ok(()))
}

/// As [`run`], once `confirm` has nothing against it.
///
/// # Errors
/// As [`run`], and what `confirm` says.
pub(super) fn run_confirmed(
    verb: Verb,
    args: &LifecycleArgs,
    global: &Global,
    printer: &mut Printer,
    confirm: impl FnOnce(&WorkerView) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let (worker, server) = {
        let target = target::open(global, printer)?;
        let worker = worker_name::find(&target, &args.worker)?;
        // A store is closed before it is opened for writing, which waits for readers.
        (worker, target.into_server())
    };
    let plan = verb.plan(&worker);
    if let Plan::Refused(error) = plan {
        return Err(error.into());
    }
    if args.dry_run {
        // Others may hold by now what it would take again: only the Runtime knows.
        if matches!(verb, Verb::Restore) && plan == Plan::Change {
            would_restore(server.as_ref(), global, worker.worker_id)?;
        }
        return would(&verb, &plan, worker.worker_id, printer);
    }
    if plan == Plan::Change {
        confirm(&worker)?;
    }
    let (worker_id, call) = (worker.worker_id, verb.clone());
    let receipt = match &server {
        Some(server) => {
            let client = &server.remote.client.because(args.reason.clone());
            let call = async || call.clone().ask(client, worker_id).await;
            let done = async |code| verb.done_before(client, &worker, code).await;
            let about = About::worker(worker_id);
            let insisting = server.remote.insist_or(about, call, done);
            let Answered { mut answer, again } = server.wait_for(insisting)?;
            // Then it was so by the first attempt.
            answer.repeated &= !again;
            answer
        }
        None => {
            let writing = Writing::new(global, Dispatch::None, Here::current()?)?;
            let writing = writing.because(args.reason.clone());
            target::change(global, false, writing, printer, async |runtime| {
                Ok(call.call(runtime, worker_id).await?)
            })?
        }
    };
    let waiting = worker.activity.queued > 0;
    let next = verb.next(worker_id, waiting, server.is_some());
    print(&verb, &receipt, next, printer)
}

/// That nothing is against a restore, by the very checks of that.
fn would_restore(
    server: Option<&Server>,
    global: &Global,
    worker_id: WorkerId,
) -> Result<bool, CliError> {
    match server {
        Some(server) => {
            let about = About::worker(worker_id);
            server.ask(about, server.remote.client.would_restore_worker(worker_id))
        }
        None => rehearsal::ask(global, &Here::current()?, async |runtime| {
            runtime.catalog().would_restore(worker_id).await
        }),
    }
}

fn would(
    verb: &Verb,
    plan: &Plan,
    worker_id: WorkerId,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let changes = *plan == Plan::Change;
    let done = verb.done();
    if printer.format().is_json() {
        printer.json(&json!({
            "dry_run": true,
            "worker_id": worker_id,
            "would_be": done,
            "changes": changes,
        }))?;
    } else if changes {
        printer.words(format_args!("Worker {worker_id} would be {done}"));
    } else {
        printer.words(format_args!("nothing would change for Worker {worker_id}"));
    }
    Ok(if changes {
        Exit::WouldChange
    } else {
        Exit::Done
    })
}

fn print(
    verb: &Verb,
    receipt: &LifecycleReceipt,
    next: Option<Suggestion>,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let worker_id = receipt.worker_id;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(receipt)?,
        Format::Name => printer.line(worker_id)?,
        Format::Table | Format::Wide if receipt.repeated => {
            printer.words(format_args!(
                "nothing changed: Worker {worker_id} is {} already",
                match verb {
                    // What ended first counts, so this may be another word than the command's.
                    Verb::Stop(_) | Verb::Cancel(_) => receipt.lifecycle.as_str(),
                    verb => verb.done(),
                }
            ));
        }
        Format::Table | Format::Wide => {
            printer.good(
                &format!("{}:", verb.done()),
                format_args!("Worker {worker_id}"),
            );
            if receipt.ending {
                printer.words("it ends when everything that it ran is quiet");
            }
            if let Some(next) = next {
                printer.hint(&next);
            }
        }
    }
    Ok(Exit::Done)
}
