//! `lock ls`.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{WorkerId, view::AllocationView};

use super::use_text;
use crate::{
    args::{Format, Global},
    commands::worker::rules_text,
    error::Failure,
    exit::Exit,
    output::{Printer, Table},
    suggest::Suggestion,
    target::{self, Target},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// How many to print at most
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// How many to leave out first
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    offset: usize,
}

pub(crate) fn run(args: &LsArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let list = target.allocations(args.offset, args.limit)?;
    match printer.format() {
        Format::Json => printer.json(&target.sourced(&json!({
            "allocations": list.allocations,
            "total": list.total,
            "next": list.next,
            "cursor": list.cursor,
        })))?,
        Format::Jsonl => {
            let mut held = list.allocations.iter();
            held.try_for_each(|held| printer.json(held))?;
        }
        Format::Name => {
            let mut held = list.allocations.iter();
            held.try_for_each(|held| printer.line(held.worker_id))?;
        }
        Format::Table | Format::Wide => table(&list.allocations, &target, printer)?,
    }
    printer.flush()?;
    if list.total == 0 {
        printer.words("nobody holds anything");
        printer.hint(&Suggestion::worker_ls());
    } else if let Some(next) = list.next {
        printer.words(format_args!(
            "{} of {} Workers that hold something; --offset {next} shows the next ones",
            list.allocations.len(),
            list.total
        ));
    }
    Ok(Exit::Done)
}

fn table(held: &[AllocationView], target: &Target, printer: &mut Printer) -> Result<(), Failure> {
    let is_wide = printer.format() == Format::Wide;
    let everyone = worker_name::all(target)?;
    let ids = everyone.iter().map(|worker| worker.worker_id);
    let short = worker_name::short_ids(ids.chain(held.iter().map(|held| held.worker_id)));
    let id_of = |worker_id: WorkerId| match is_wide {
        true => worker_id.to_string(),
        false => short(worker_id),
    };
    let mut header = vec!["ID", "NAME", "HOLDS", "DELEGATES", "USE", "SINCE"];
    if is_wide {
        header.extend(["PARENT", "FENCE", "LENT TO"]);
    }
    let mut table = Table::new(&header);
    for held in held {
        let mut cells = vec![
            id_of(held.worker_id),
            held.display_name.clone().unwrap_or_default(),
            rules_text(&held.scope),
            rules_text(&held.delegation),
            use_text(held),
            printer.time().text(held.granted_at),
        ];
        if is_wide {
            let lent = held.lent_to.iter().map(|child| id_of(*child));
            cells.extend([
                held.parent.map(id_of).unwrap_or_default(),
                held.fence
                    .map(|fence| fence.to_string())
                    .unwrap_or_default(),
                lent.collect::<Vec<_>>().join(","),
            ]);
        }
        table.row(cells);
    }
    printer.table(&table)
}
