//! `lock change WORKER`: what it holds from now on. What is not said stays.

use clap::Args;
use worker_runtime_core::{
    Dispatch, Permission, Scope, ScopeRule,
    view::{AllocationReceipt, WorkerView},
};
use worker_runtime_http::wire::ChangeAllocation;

use crate::{
    args::{Format, Global},
    commands::worker::spec::Rules,
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    suggest::Suggestion,
    target::{self, About, Writing},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
    #[command(flatten)]
    rules: Rules,
    /// Have it hand on nothing any more
    #[arg(long, conflicts_with = "delegate")]
    no_delegate: bool,
    /// Why, for whoever reads its events
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
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
    let change = args.change(&worker, here)?;
    let changed = match &server {
        Some(server) => {
            let client = &server.remote.client;
            let about = About::worker(worker_id).of(&["lock", "change"]);
            let call = async || client.change_allocation(worker_id, &change).await;
            server.insist(about, call).map(|answered| answered.answer)
        }
        None => {
            let writing = Writing::new(global, Dispatch::None, Here::current()?)?;
            target::change(global, false, writing, printer, async |runtime| {
                let ChangeAllocation {
                    scope,
                    delegation,
                    reason,
                } = change;
                let allocations = runtime.allocations();
                let changed = allocations.change(worker_id, &scope, &delegation, reason);
                Ok(changed.await?)
            })
        }
    };
    print(&changed?, printer)
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
            true => with_anchors(self.rules.own(&here)?, &worker.scope),
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
        Format::Table | Format::Wide => {
            printer.words(format_args!("Worker {worker_id} holds that now"));
            printer.hint(&Suggestion::lock_show(worker_id));
        }
    }
    Ok(Exit::Done)
}
