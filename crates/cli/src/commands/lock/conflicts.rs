//! `lock conflicts`: whom a scope would meet.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{Scope, ScopeRule, view::ScopeOwner};

use super::lease;
use crate::{
    args::{Format, Global},
    commands::worker::{
        rules_text,
        spec::{Rules, parse_place},
    },
    error::Failure,
    exit::Exit,
    output::{Printer, Table},
    suggest::Suggestion,
    target::{self, Asked, Target},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct ConflictsArgs {
    #[command(flatten)]
    rules: Rules,
    /// The Worker below which one would be made: its id, the first digits of it, or its name
    #[arg(long, value_name = "WORKER")]
    parent: Option<String>,
    /// Where it would work: a place that the configuration names, and a path below it; without it, this
    /// directory
    #[arg(long, value_name = "MOUNT:PATH", value_parser = parse_place)]
    workspace: Option<(String, String)>,
}

pub(crate) fn run(
    args: &ConflictsArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    args.rules.refuse_none(&["lock", "conflicts"])?;
    let target = target::open(global, printer)?;
    let here = target.here(global)?;
    let named = args.workspace.clone();
    let here = match named {
        Some((mount, path)) => here.elsewhere(mount, path),
        None => here,
    };
    let parent = args.parent.as_deref();
    let parent = parent.map(|parent| worker_name::find_id(&target, parent));
    let asked = Asked {
        scope: args.rules.own(&here)?,
        delegation: args.rules.handed_on(&here)?,
        parent: parent.transpose()?,
    };
    let owners = target.in_the_way(asked, global)?;
    match printer.format() {
        Format::Json => printer.json(&target.sourced(&json!({ "owners": owners })))?,
        Format::Jsonl => owners.iter().try_for_each(|owner| printer.json(owner))?,
        Format::Name => {
            let mut owners = owners.iter();
            owners.try_for_each(|owner| printer.line(worker_name::holder_id(owner.holder)))?;
        }
        Format::Table | Format::Wide => table(&owners, &target, printer)?,
    }
    printer.flush()?;
    // A creation with it would be answered so, whatever they held.
    lease::warn_damaged(&lease::damaged(&target)?, printer);
    let Some(first) = owners.first() else {
        printer.words("it meets nobody's");
        return Ok(Exit::Done);
    };
    printer.hint(&Suggestion::lock_show(first.holder));
    Ok(Exit::Failed)
}

fn table(owners: &[ScopeOwner], target: &Target, printer: &mut Printer) -> Result<(), Failure> {
    let is_wide = printer.format() == Format::Wide;
    let everyone = worker_name::all(target)?;
    let ids = everyone.iter().map(|worker| worker.worker_id.into());
    let short = worker_name::short_holders(ids.chain(owners.iter().map(|owner| owner.holder)));
    let text = |rule: &ScopeRule| {
        rules_text(&Scope {
            allow: vec![rule.clone()],
            deny: Vec::new(),
        })
    };
    let mut table = Table::new(&["ID", "NAME", "HOLDS", "ASKED"]);
    for owner in owners {
        table.row([
            match is_wide {
                true => worker_name::holder_id(owner.holder),
                false => short(owner.holder),
            },
            owner.display_name.clone().unwrap_or_default(),
            text(&owner.holds),
            text(&owner.asked),
        ]);
    }
    printer.table(&table)
}
