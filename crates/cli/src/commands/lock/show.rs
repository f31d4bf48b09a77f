//! `lock show WORKER`, or a lease.

use clap::Args;
use worker_runtime_core::{
    LeaseId,
    view::{AllocationView, Holder},
};

use super::{lease, use_text};
use crate::{
    args::{Format, Global},
    commands::worker::rules_text,
    error::Failure,
    exit::Exit,
    output::{Printer, one_line},
    suggest::Suggestion,
    target::{self, Target},
};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The Worker: its id, the first digits of it, or its name; or a lease by its id
    worker: String,
}

pub(crate) fn run(
    args: &ShowArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let worker_id = match lease::find_holder(&target, &args.worker)? {
        Holder::Worker(worker_id) => worker_id,
        Holder::Lease(lease_id) => return show_lease(lease_id, &target, printer),
    };
    let held = target.allocation(worker_id)?;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(&target.sourced(&held))?,
        Format::Name => printer.line(held.worker_id)?,
        Format::Table | Format::Wide => {
            print(&held, printer)?;
            printer.flush()?;
            if held.unproven {
                let why = "processes that can't be shown to be dead may still write there; look for them, end what is left, and only then say so";
                printer.next(why, &[Suggestion::worker_assume_dead(worker_id)]);
            }
            printer.hint(&Suggestion::worker_show(worker_id));
        }
    }
    Ok(Exit::Done)
}

fn show_lease(lease_id: LeaseId, target: &Target, printer: &mut Printer) -> Result<Exit, Failure> {
    let held = target.lease(lease_id)?;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(&target.sourced(&held))?,
        Format::Name => printer.line(held.lease_id)?,
        Format::Table | Format::Wide => {
            lease::print(&held, printer)?;
            printer.flush()?;
            match target.is_live() {
                true if !held.is_current => {
                    printer.hint(&Suggestion::lock_renew(lease_id, held.fence));
                }
                true => {}
                // To renew it takes a server.
                false => printer.hint(&Suggestion::serve_here()),
            }
        }
    }
    Ok(Exit::Done)
}

fn print(held: &AllocationView, printer: &mut Printer) -> Result<(), Failure> {
    let list = |ids: &[worker_runtime_core::WorkerId]| {
        let ids = ids.iter().map(ToString::to_string);
        ids.collect::<Vec<_>>().join(" ")
    };
    let reason = held.releasing.as_ref();
    let reason = reason.and_then(|releasing| releasing.reason.clone());
    let lines = [
        ("worker", held.worker_id.to_string()),
        ("name", held.display_name.clone().unwrap_or_default()),
        ("holds", rules_text(&held.scope)),
        ("delegates", rules_text(&held.delegation)),
        ("parent", list(held.parent.as_slice())),
        ("lent to", list(&held.lent_to)),
        (
            "fence",
            held.fence
                .map(|fence| match held.is_current {
                    true => fence.to_string(),
                    false => format!("{fence}; void, as no run goes on with it"),
                })
                .unwrap_or_default(),
        ),
        ("use", use_text(held)),
        ("reason", reason.unwrap_or_default()),
        ("since", printer.time().text(held.granted_at)),
    ];
    for (name, value) in lines {
        if !value.is_empty() {
            printer.line(format_args!("{name:<9}  {}", one_line(&value, usize::MAX)))?;
        }
    }
    Ok(())
}
