//! `lock ls`.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Code, Fence, WorkerId,
    view::{AllocationView, Holder, LeaseView},
};

use super::{lease, use_text};
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
    // Leases come behind what Workers hold, in one list with them.
    let room = args.limit.saturating_sub(list.allocations.len());
    let mut leases = target.leases(args.offset.saturating_sub(list.total), room.max(1))?;
    leases.leases.truncate(room);
    let total = list.total.saturating_add(leases.total);
    let leases = leases.leases;
    let damaged = lease::damaged(&target)?;
    let shown = list.allocations.len().saturating_add(leases.len());
    let end = args.offset.saturating_add(shown);
    let next = (end < total && shown > 0).then_some(end);
    match printer.format() {
        Format::Json => printer.json(&target.sourced(&json!({
            "allocations": list.allocations,
            "leases": leases,
            "total": total,
            "damaged": damaged,
            "next": next,
            "cursor": list.cursor,
        })))?,
        Format::Jsonl => {
            let mut held = list.allocations.iter();
            held.try_for_each(|held| printer.json(held))?;
            leases.iter().try_for_each(|held| printer.json(held))?;
            damaged.iter().try_for_each(|record| {
                printer.json(&json!({ "type": "damaged", "lease_id": record.lease_id, "code": Code::RecordDamaged }))
            })?;
        }
        Format::Name => {
            let mut held = list.allocations.iter();
            held.try_for_each(|held| printer.line(held.worker_id))?;
            let mut leases = leases.iter();
            leases.try_for_each(|held| printer.line(held.lease_id))?;
        }
        Format::Table | Format::Wide => table(&list.allocations, &leases, &target, printer)?,
    }
    printer.flush()?;
    lease::warn_damaged(&damaged, printer);
    if total == 0 && !damaged.is_empty() {
        // What there is was told.
    } else if total == 0 {
        printer.words("nobody holds anything");
        printer.hint(&Suggestion::worker_ls());
    } else if let Some(next) = next {
        printer.words(format_args!(
            "{shown} of {total} that hold something; --offset {next} shows the next ones"
        ));
    }
    Ok(match damaged.is_empty() {
        true => Exit::Done,
        false => Exit::Damaged,
    })
}

fn table(
    held: &[AllocationView],
    leases: &[LeaseView],
    target: &Target,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let is_wide = printer.format() == Format::Wide;
    let everyone = worker_name::all(target)?;
    let ids = everyone.iter().map(|worker| worker.worker_id);
    let ids = ids.chain(held.iter().map(|held| held.worker_id));
    let ids = ids.map(Holder::Worker);
    let leased = leases.iter().map(|lease| lease.lease_id.into());
    let short = worker_name::short_holders(ids.chain(leased));
    let text_of = |holder: Holder| match is_wide {
        true => worker_name::holder_id(holder),
        false => short(holder),
    };
    let id_of = |worker_id: WorkerId| text_of(worker_id.into());
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
                    .map(|fence| fence_text(fence, held.is_current))
                    .unwrap_or_default(),
                lent.collect::<Vec<_>>().join(","),
            ]);
        }
        table.row(cells);
    }
    for held in leases {
        let mut cells = vec![
            text_of(held.lease_id.into()),
            held.holder.clone(),
            rules_text(&held.scope),
            String::new(),
            lease::use_text(held, printer),
            printer.time().text(held.granted_at),
        ];
        if is_wide {
            let fence = fence_text(held.fence, held.is_current);
            cells.extend([String::new(), fence, String::new()]);
        }
        table.row(cells);
    }
    printer.table(&table)
}

/// A fence, and whether it is good for anything.
fn fence_text(fence: Fence, is_current: bool) -> String {
    match is_current {
        true => fence.to_string(),
        false => format!("{fence} void"),
    }
}
