//! `lock change WORKER`: what it holds from now on. What is not said stays: what that is, is looked up right
//! before, and nobody changes it in between.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Dispatch, EventType, Permission, Scope, ScopeRule, WorkerId,
    view::{AllocationReceipt, WorkerView},
};
use worker_runtime_http::{client::Client, wire::ChangeAllocation};

use crate::{
    args::{Format, Global},
    commands::worker::spec::Rules,
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    rehearsal,
    suggest::Suggestion,
    target::{self, About, Told, Writing},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
    #[command(flatten)]
    rules: Rules,
    /// Deny it nothing any more; denials stay when neither this nor --deny is said
    #[arg(long, requires = "scope", conflicts_with = "deny")]
    no_deny: bool,
    /// Have it hand on nothing any more
    #[arg(long, conflicts_with = "delegate")]
    no_delegate: bool,
    /// Why, for whoever reads its events
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say whether anything would change; exit 23 if so
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(
    args: &ChangeArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    if !args.no_delegate {
        args.rules.refuse_none(&["lock", "change"])?;
    }
    let (worker, here, server) = {
        let target = target::open(global, printer)?;
        let worker = worker_name::find(&target, &args.worker)?;
        // A store is closed before it is opened for writing, which waits for readers.
        (worker, target.here(global)?, target.into_server())
    };
    let worker_id = worker.worker_id;
    let about = About::worker(worker_id).of(&["lock", "change"]);
    if args.dry_run {
        let change = args.change(&worker, here.clone())?;
        let changes = match &server {
            Some(server) => {
                let client = &server.remote.client;
                server.ask(about, client.would_change_allocation(worker_id, &change))?
            }
            None => rehearsal::ask(global, &Here::current()?, async |runtime| {
                let (scope, delegation) = (&change.scope, &change.delegation);
                let allocations = runtime.allocations();
                allocations.would_change(worker_id, scope, delegation).await
            })?,
        };
        return would(worker_id, changes, printer);
    }
    let changed = match &server {
        Some(server) => {
            let decide = |worker: &WorkerView| {
                let change = args.change(worker, here.clone())?;
                let told = told(&change);
                Ok((change, told))
            };
            let ask = async |client: Client, change: ChangeAllocation| {
                client.change_allocation(worker_id, &change).await
            };
            let changing = server.remote.change_held(about, worker_id, decide, ask);
            server.wait_for(changing)
        }
        None => {
            let writing = Writing::new(global, Dispatch::None, Here::current()?)?;
            target::change(global, false, writing, printer, async |runtime| {
                // Decided on what is there now that nobody else can change it.
                let worker = runtime.catalog().get(worker_id)?;
                let ChangeAllocation {
                    scope,
                    delegation,
                    reason,
                } = args.change(&worker, here)?;
                let allocations = runtime.allocations();
                let changed = allocations.change(worker_id, &scope, &delegation, reason);
                Ok(changed.await?)
            })
        }
    };
    print(&changed?, printer)
}

/// What the events say of it.
fn told(change: &ChangeAllocation) -> Told {
    let gives_up = change.scope.is_empty() && change.delegation.is_empty();
    Told {
        kinds: match gives_up {
            true => vec![EventType::ALLOCATION_RELEASED],
            false => vec![EventType::ALLOCATION_CHANGED, EventType::ALLOCATION_GRANTED],
        },
        reason: change.reason.clone(),
        holds: (!gives_up).then(|| (change.scope.clone(), change.delegation.clone())),
    }
}

fn would(worker_id: WorkerId, changes: bool, printer: &mut Printer) -> Result<Exit, Failure> {
    if printer.format().is_json() {
        printer.json(&json!({
            "dry_run": true,
            "worker_id": worker_id,
            "would_be": "changed",
            "changes": changes,
        }))?;
    } else if changes {
        printer.words(format_args!("Worker {worker_id} would hold that"));
    } else {
        printer.words(format_args!("nothing would change for Worker {worker_id}"));
    }
    Ok(match changes {
        true => Exit::WouldChange,
        false => Exit::Done,
    })
}

impl ChangeArgs {
    fn change(&self, worker: &WorkerView, here: Here) -> Result<ChangeAllocation, CliError> {
        // Rules are below the Worker's own workspace, wherever they are typed.
        let workspace = worker.spec.workspace.clone();
        let here = match workspace.filter(|workspace| here.workspace() != *workspace) {
            Some(elsewhere) => here.elsewhere(elsewhere.mount, elsewhere.path),
            None => here,
        };
        let scope = match self.rules.has_scope() {
            true => {
                let mut scope = with_anchors(self.rules.own(&here)?, &worker.scope);
                if scope.deny.is_empty() && !self.no_deny {
                    scope.deny.clone_from(&worker.scope.deny);
                }
                scope
            }
            false => worker.scope.clone(),
        };
        let delegation = match self.rules.has_delegation() {
            true => self.rules.handed_on(&here)?,
            false if self.no_delegate => Scope::default(),
            false => worker.delegation.clone(),
        };
        Ok(ChangeAllocation {
            scope,
            delegation,
            reason: self.reason.clone(),
        })
    }
}

/// The scope with those rules of the old one by which the store knows what a mount's name stands for:
/// without them the Worker would not find the directory that it works in.
fn with_anchors(mut scope: Scope, old: &Scope) -> Scope {
    let is_anchor = |rule: &&ScopeRule| {
        rule.path.is_empty() && rule.permission == Permission::Read && rule.recursive
    };
    for anchor in old.allow.iter().filter(is_anchor) {
        if !scope.allow.contains(anchor) {
            scope.allow.push(anchor.clone());
        }
    }
    scope
}

fn print(receipt: &AllocationReceipt, printer: &mut Printer) -> Result<Exit, Failure> {
    let worker_id = receipt.worker_id;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(receipt)?,
        Format::Name => printer.line(worker_id)?,
        Format::Table | Format::Wide if receipt.repeated => {
            printer.words(format_args!(
                "nothing changed: Worker {worker_id} holds that already"
            ));
        }
        Format::Table | Format::Wide => {
            printer.words(format_args!("Worker {worker_id} holds that now"));
            printer.hint(&Suggestion::lock_show(worker_id));
        }
    }
    Ok(Exit::Done)
}
