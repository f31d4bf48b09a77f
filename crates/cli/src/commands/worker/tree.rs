//! `worker tree`: Workers below those that they were made by.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use worker_runtime_core::{ListOrder, WorkerFilter, WorkerId, record::Lifecycle, view::WorkerView};

use super::ls::{activity_text, state_text};
use crate::{
    args::{Format, Global},
    error::Failure,
    exit::Exit,
    output::{Printer, Table},
    suggest::Suggestion,
    target, worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct TreeArgs {
    /// Archived Workers too
    #[arg(short, long)]
    all: bool,
}

/// A Worker at its place.
#[derive(Serialize)]
struct Node<'a> {
    worker_id: WorkerId,
    parent: Option<WorkerId>,
    /// How many are above it.
    depth: usize,
    display_name: Option<&'a str>,
    lifecycle: Lifecycle,
    #[serde(skip)]
    worker: &'a WorkerView,
    /// Whether it is the last one below its parent, and so for each one above it.
    #[serde(skip)]
    lasts: Vec<bool>,
}

pub(crate) fn run(
    args: &TreeArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let filter = WorkerFilter {
        archived: args.all,
        ..WorkerFilter::default()
    };
    let list = target.workers(&filter, ListOrder::Created, 0, usize::MAX)?;
    let nodes = nodes(&list.workers);
    match printer.format() {
        Format::Json => printer.json(&json!({
            "source": target.source(),
            "workers": nodes,
            "cursor": list.cursor,
        }))?,
        Format::Jsonl => nodes.iter().try_for_each(|node| printer.json(node))?,
        Format::Name => {
            let mut ids = nodes.iter().map(|node| node.worker_id);
            ids.try_for_each(|worker_id| printer.line(worker_id))?;
        }
        Format::Table | Format::Wide => table(&nodes, printer)?,
    }
    printer.flush()?;
    if nodes.is_empty() {
        printer.words("no Workers");
        printer.hint(&Suggestion::run_example());
    }
    Ok(Exit::Done)
}

/// Each Worker behind its parent, oldest first. Whose parent is not among them stands at the top.
fn nodes(workers: &[WorkerView]) -> Vec<Node<'_>> {
    let known: BTreeSet<WorkerId> = workers.iter().map(|worker| worker.worker_id).collect();
    let mut below: BTreeMap<Option<WorkerId>, Vec<&WorkerView>> = BTreeMap::new();
    for worker in workers {
        let parent = worker.spec.parent.filter(|parent| known.contains(parent));
        below.entry(parent).or_default().push(worker);
    }
    let mut nodes = Vec::with_capacity(workers.len());
    // What is to be visited, the next one last. A Worker is made after its parent, so there is no ring.
    let mut open: Vec<(&WorkerView, Vec<bool>)> = Vec::new();
    let mut push = |open: &mut Vec<_>, parent: Option<WorkerId>, above: &[bool]| {
        let children = below.remove(&parent).unwrap_or_default();
        for (at, child) in children.into_iter().rev().enumerate() {
            let mut lasts = above.to_vec();
            lasts.push(at == 0);
            open.push((child, lasts));
        }
    };
    push(&mut open, None, &[]);
    while let Some((worker, lasts)) = open.pop() {
        push(&mut open, Some(worker.worker_id), &lasts);
        nodes.push(Node {
            worker_id: worker.worker_id,
            parent: worker.spec.parent,
            depth: lasts.len() - 1,
            display_name: worker.display_name.as_deref(),
            lifecycle: worker.lifecycle,
            worker,
            lasts,
        });
    }
    nodes
}

fn table(nodes: &[Node<'_>], printer: &mut Printer) -> Result<(), Failure> {
    let short = worker_name::short_ids(nodes.iter().map(|node| node.worker_id));
    let is_wide = printer.format() == Format::Wide;
    let mut table = Table::new(&["ID", "NAME", "STATE", "ACTIVITY"]);
    for node in nodes {
        let id = match is_wide {
            true => node.worker_id.to_string(),
            false => short(node.worker_id),
        };
        table.row([
            format!("{}{id}", lines_to(&node.lasts)),
            node.display_name.unwrap_or_default().to_owned(),
            state_text(node.worker),
            activity_text(&node.worker.activity),
        ]);
    }
    printer.table(&table)
}

/// The lines that lead to a Worker from those above it.
fn lines_to(lasts: &[bool]) -> String {
    // At the top nothing leads to it.
    let below = lasts.get(1..).unwrap_or_default();
    let (last, above) = match below.split_last() {
        Some((last, above)) => (*last, above),
        None => return String::new(),
    };
    let above = above.iter().map(|last| if *last { "   " } else { "│  " });
    let end = if last { "└─ " } else { "├─ " };
    above.chain([end]).collect()
}
