//! `lock who PATH`.

use clap::Args;
use serde::Serialize;
use worker_runtime_core::{
    Permission, Scope,
    scope::HOLDERS_MAX,
    view::{PlaceHolder, PlaceHolders},
};

use super::lease;
use crate::{
    args::{Format, Global},
    commands::worker::rules_text,
    error::Failure,
    exit::Exit,
    output::{Printer, Table},
    place_arg,
    suggest::Suggestion,
    target::{self, Target},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct WhoArgs {
    /// A path of the file system, from this directory; or MOUNT:PATH, below a place that has a name
    path: String,
}

/// A line of JSON.
#[derive(Serialize)]
struct Holder<'a> {
    /// Whether it holds something below the path alone.
    below: bool,
    #[serde(flatten)]
    holder: &'a PlaceHolder,
}

pub(crate) fn run(args: &WhoArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let place = place_arg::place(&args.path, &["lock", "who"])?;
    let target = target::open(global, printer)?;
    let who = target.who(&place, global)?;
    match printer.format() {
        Format::Json => printer.json(&target.sourced(&who))?,
        Format::Jsonl => all(&who).try_for_each(|holder| printer.json(&holder))?,
        Format::Name => {
            let mut ids: Vec<_> = all(&who).map(|it| it.holder.holder).collect();
            ids.sort_unstable();
            ids.dedup();
            let mut ids = ids.into_iter();
            ids.try_for_each(|holder| printer.line(worker_name::holder_id(holder)))?;
        }
        Format::Table | Format::Wide => table(&who, &target, printer)?,
    }
    printer.flush()?;
    // The answer is what the Runtime goes by, so it ends as that says.
    lease::warn_damaged(&lease::damaged(&target)?, printer);
    if who.more {
        printer.words(format_args!(
            "there are more than {HOLDERS_MAX}: who may write is told first; ask about a place below {}",
            args.path
        ));
    }
    let Some(writer) = all(&who).find(|it| writes(it)) else {
        printer.words(format_args!(
            "nobody may write at {}, nor below it",
            args.path
        ));
        return Ok(Exit::Nobody);
    };
    printer.hint(&Suggestion::lock_show(writer.holder.holder));
    Ok(Exit::Done)
}

fn all(who: &PlaceHolders) -> impl Iterator<Item = Holder<'_>> {
    let of = |below: bool| move |holder| Holder { below, holder };
    let holders = who.holders.iter().map(of(false));
    holders.chain(who.below.iter().map(of(true)))
}

/// Whether it keeps others from writing there: to look is in nobody's way.
fn writes(it: &Holder<'_>) -> bool {
    let write = Some(Permission::Write);
    let holder = it.holder;
    match it.below {
        true => holder.rule.permission == Permission::Write,
        false => holder.permission == write || holder.delegates == write,
    }
}

fn table(who: &PlaceHolders, target: &Target, printer: &mut Printer) -> Result<(), Failure> {
    let is_wide = printer.format() == Format::Wide;
    let everyone = worker_name::all(target)?;
    let ids = everyone.iter().map(|worker| worker.worker_id.into());
    let ids = ids.chain(all(who).map(|it| it.holder.holder));
    let short = worker_name::short_holders(ids);
    let mut table = Table::new(&["ID", "NAME", "MAY", "BY", "RUN"]);
    for it in all(who) {
        let holder = it.holder;
        let rule = Scope {
            allow: vec![holder.rule.clone()],
            deny: Vec::new(),
        };
        table.row([
            match is_wide {
                true => worker_name::holder_id(holder.holder),
                false => short(holder.holder),
            },
            holder.display_name.clone().unwrap_or_default(),
            may_text(&it),
            rules_text(&rule),
            holder
                .run_id
                .map(|run_id| run_id.to_string())
                .unwrap_or_default(),
        ]);
    }
    printer.table(&table)
}

fn may_text(it: &Holder<'_>) -> String {
    let word = |permission| match permission {
        Permission::Read => "read",
        Permission::Write => "write",
    };
    if it.below {
        return "something below".to_owned();
    }
    let own = it.holder.permission.map(|own| word(own).to_owned());
    let delegates = it
        .holder
        .delegates
        .map(|on| format!("delegate {}", word(on)));
    let parts: Vec<String> = own.into_iter().chain(delegates).collect();
    parts.join(", ")
}
