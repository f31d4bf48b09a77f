//! `worker ls`.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::json;
use worker_runtime_core::{
    Code, ListOrder, WorkerFilter, WorkerId,
    record::Lifecycle,
    view::{Activity, WorkerView},
};

use super::spec::parse_label;
use crate::{
    args::{Format, Global},
    error::Failure,
    exit::Exit,
    output::{Printer, Table},
    suggest::Suggestion,
    target, worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Archived Workers too
    #[arg(short, long)]
    all: bool,
    /// Only those in this lifecycle (may be repeated)
    #[arg(long, value_name = "LIFECYCLE")]
    lifecycle: Vec<LifecycleArg>,
    /// Only those with this label (may be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// Only those whose name has this in it
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only those with an input that has no outcome
    #[arg(long)]
    busy: bool,
    /// What comes first
    #[arg(long, value_name = "ORDER", default_value = "created")]
    sort: Sort,
    /// How many to print at most
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// How many to leave out first
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    offset: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LifecycleArg {
    Active,
    Stopped,
    Cancelled,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sort {
    /// Oldest first
    Created,
    /// By name
    Name,
}

impl LsArgs {
    fn filter(&self) -> WorkerFilter {
        let word = |lifecycle: &LifecycleArg| match lifecycle {
            LifecycleArg::Active => "active".to_owned(),
            LifecycleArg::Stopped => "stopped".to_owned(),
            LifecycleArg::Cancelled => "cancelled".to_owned(),
        };
        WorkerFilter {
            lifecycles: self.lifecycle.iter().map(word).collect(),
            labels: self.label.iter().cloned().collect::<BTreeMap<_, _>>(),
            name_contains: self.name.clone(),
            busy: self.busy.then_some(true),
            archived: self.all,
        }
    }
}

pub(crate) fn run(args: &LsArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let order = match args.sort {
        Sort::Created => ListOrder::Created,
        Sort::Name => ListOrder::Name,
    };
    let list = target.workers(&args.filter(), order, args.offset, args.limit)?;
    let everyone = worker_name::all(&target)?;
    let damaged = worker_name::damaged(&target)?;
    // Nobody knows whether a filter takes them; so they are on the last page of any.
    let listed: Vec<_> = damaged
        .keys()
        .copied()
        .filter(|_| list.next.is_none())
        .collect();
    match printer.format() {
        Format::Json => printer.json(&json!({
            "source": target.source(),
            "workers": list.workers,
            "total": list.total,
            "damaged": list.damaged,
            "next": list.next,
            "cursor": list.cursor,
        }))?,
        Format::Jsonl => {
            list.workers
                .iter()
                .try_for_each(|worker| printer.json(worker))?;
            listed.iter().try_for_each(|worker_id| {
                printer.json(&json!({ "type": "damaged", "worker_id": worker_id, "code": Code::WorkerDamaged }))
            })?;
        }
        Format::Name => {
            let whole = list.workers.iter().map(|worker| worker.worker_id);
            let mut ids = whole.chain(listed.iter().copied());
            ids.try_for_each(|worker_id| printer.line(worker_id))?;
        }
        Format::Table | Format::Wide => table(&list.workers, &everyone, &listed, printer)?,
    }
    printer.flush()?;
    told_damaged(&damaged, printer);
    if list.total == 0 && !damaged.is_empty() {
        // What there is was told.
    } else if list.total == 0 && everyone.is_empty() {
        printer.words("no Workers");
        printer.hint(&Suggestion::run_example());
    } else if list.total == 0 {
        printer.words("no Worker is meant by that");
        printer.hint(&Suggestion::worker_ls_all());
    } else if let Some(next) = list.next {
        printer.words(format_args!(
            "{} of {} Workers; --offset {next} shows the next ones",
            list.workers.len(),
            list.total
        ));
    }
    Ok(match damaged.is_empty() {
        true => Exit::Done,
        false => Exit::Damaged,
    })
}

fn told_damaged(damaged: &BTreeMap<WorkerId, String>, printer: &Printer) {
    for (worker_id, detail) in damaged {
        printer.warn_code(
            Code::WorkerDamaged,
            format_args!("the record of Worker {worker_id} is damaged: {detail}"),
        );
        printer.hint(&Suggestion::event_ls(Some(*worker_id)));
    }
}

fn table(
    workers: &[WorkerView],
    everyone: &[WorkerView],
    damaged: &[WorkerId],
    printer: &mut Printer,
) -> Result<(), Failure> {
    let is_wide = printer.format() == Format::Wide;
    let mut header = vec!["ID", "NAME", "STATE", "ACTIVITY", "LAST RUN", "CREATED"];
    if is_wide {
        header.extend(["INPUTS", "BACKEND", "PROFILE", "SCOPE", "LABELS"]);
    }
    let ids = everyone.iter().map(|worker| worker.worker_id);
    let short = worker_name::short_ids(ids.chain(damaged.iter().copied()));
    let id_of = |worker_id: WorkerId| match is_wide {
        true => worker_id.to_string(),
        false => short(worker_id),
    };
    let mut table = Table::new(&header);
    for worker in workers {
        let mut cells = vec![
            id_of(worker.worker_id),
            worker.display_name.clone().unwrap_or_default(),
            state_text(worker),
            activity_text(&worker.activity),
            last_run_text(worker),
            printer.time().text(worker.created_at),
        ];
        if is_wide {
            let labels = worker
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            cells.extend([
                worker.input_count.to_string(),
                worker.backend.clone().unwrap_or_default(),
                worker.profile.clone(),
                rules_text(&worker.scope),
                labels.collect::<Vec<_>>().join(","),
            ]);
        }
        table.row(cells);
    }
    for worker_id in damaged {
        let mut cells = vec![String::new(); header.len()];
        for (cell, text) in
            cells
                .iter_mut()
                .zip([id_of(*worker_id), String::new(), "damaged".to_owned()])
        {
            *cell = text;
        }
        table.row(cells);
    }
    printer.table(&table)
}

/// Where a Worker stands, in a word or two.
pub(super) fn state_text(worker: &WorkerView) -> String {
    let mut text = worker.lifecycle.as_str().to_owned();
    if worker.ending.is_some() && worker.lifecycle == Lifecycle::Active {
        text.push_str(", ending");
    }
    if worker.releasing.is_some() {
        text.push_str(", giving up its scope");
    }
    if worker.paused && worker.lifecycle == Lifecycle::Active {
        text.push_str(", paused");
    }
    if worker.archived {
        text.push_str(", archived");
    }
    text
}

/// What a Worker does, in a word or two.
pub(super) fn activity_text(activity: &Activity) -> String {
    match (activity.phase, activity.queued) {
        (None, _) => "idle".to_owned(),
        (Some(phase), 0 | 1) => phase.to_string(),
        (Some(phase), waiting) => format!("{phase}, {waiting} waiting"),
    }
}

pub(super) fn last_run_text(worker: &WorkerView) -> String {
    let last = worker.last_run.as_ref();
    last.map_or_else(String::new, |last| {
        crate::foreground::outcome_word(last.outcome.kind).to_owned()
    })
}

/// A scope in a line.
pub(crate) fn rules_text(scope: &worker_runtime_core::Scope) -> String {
    use worker_runtime_core::Permission;
    let text = |rule: &worker_runtime_core::ScopeRule| {
        let permission = match rule.permission {
            Permission::Read => "read",
            Permission::Write => "write",
        };
        let direct = if rule.recursive { "" } else { ":direct" };
        format!("{permission}:{}:{}{direct}", rule.mount, rule.path)
    };
    let allow = scope.allow.iter().map(text);
    let deny = scope.deny.iter().map(|rule| format!("not {}", text(rule)));
    allow.chain(deny).collect::<Vec<_>>().join(" ")
}
