//! `transcript show WORKER`: what was said, oldest first, the newest items unless asked otherwise.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Code, TranscriptFrom,
    store::StoreError,
    view::{TranscriptItem, TranscriptPage, UnfinishedBlock},
};

use crate::{
    args::{Format, Global},
    error::Failure,
    exit::Exit,
    output::{Printer, shown},
    suggest::Suggestion,
    target, worker_name,
};

/// The most items that one call prints.
const ITEMS_MAX: u64 = 1_000;

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
    /// How many items to print, the newest ones
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=ITEMS_MAX))]
    last: u64,
    /// Print the items before this one instead
    #[arg(long, value_name = "ITEM")]
    before: Option<u64>,
}

pub(crate) fn run(
    args: &ShowArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open_read(global)?;
    let worker_id = worker_name::find_id(&target.observation, &args.worker)?;
    let from = args
        .before
        .map_or(TranscriptFrom::End, TranscriptFrom::Before);
    let count = usize::try_from(args.last).unwrap_or(usize::MAX);
    let page = target.observation.transcript(worker_id, from, count)?;
    // How much was said is in the newest events: with them damaged, nobody knows what is missing.
    let newest = target.store.reader().worker_head(worker_id);
    match printer.format() {
        Format::Json => printer.json(&page)?,
        Format::Jsonl => jsonl(&page, printer)?,
        Format::Table | Format::Wide | Format::Name => text(&page, newest.is_ok(), printer)?,
    }
    let mut exit = Exit::of_gaps(&page.gap);
    if let Err(StoreError::Damaged { detail, .. }) = newest {
        printer.flush()?;
        printer.warn_code(
            Code::EventDamaged,
            format_args!("what was said last can't be read: {detail}"),
        );
        exit = Exit::Damaged;
    }
    if exit == Exit::Damaged {
        printer.flush()?;
        printer.hint(&Suggestion::event_ls(Some(worker_id)));
        printer.hint(&Suggestion::explain(Code::EventDamaged));
    }
    Ok(exit)
}

fn jsonl(page: &TranscriptPage, printer: &mut Printer) -> Result<(), Failure> {
    if let Some(gap) = &page.gap {
        printer.json(&json!({ "type": "gap", "gap": gap }))?;
    }
    page.items.iter().try_for_each(|item| printer.json(item))?;
    let unfinished = |block| printer.json(&json!({ "type": "unfinished", "block": block }));
    page.unfinished.iter().try_for_each(unfinished)
}

fn text(page: &TranscriptPage, is_whole: bool, printer: &mut Printer) -> Result<(), Failure> {
    if let Some(gap) = &page.gap {
        printer.warn_gap(gap);
    }
    for item in &page.items {
        let head = heading(item, printer);
        part(&head, &item.text, printer)?;
    }
    for UnfinishedBlock { block, text, .. } in &page.unfinished {
        part(&format!("worker, block {block}, unfinished"), text, printer)?;
    }
    let first = page
        .items
        .first()
        .map_or(page.items_total, |item| item.item);
    if page.items.is_empty() && page.unfinished.is_empty() {
        if is_whole && page.gap.is_none() {
            printer.words("nothing was said yet");
        }
    } else if first > 0 && page.gap.is_none() {
        printer.words(format_args!(
            "{first} earlier items are not shown; --before {first} shows those before these"
        ));
    }
    Ok(())
}

fn heading(item: &TranscriptItem, printer: &Printer) -> String {
    let TranscriptItem {
        item: number,
        role,
        kind,
        ..
    } = item;
    let at = printer.time().text(item.at);
    let kind = match kind.as_str() {
        // What is usual need not be said.
        "input" | "text" => String::new(),
        kind => format!(", {kind}"),
    };
    let marks = match item.marks.is_empty() {
        true => String::new(),
        false => format!(", {}", item.marks.join(", ")),
    };
    format!("{role}{kind}{marks}, item {number}, {at}")
}

fn part(head: &str, text: &str, printer: &mut Printer) -> Result<(), Failure> {
    printer.line(format_args!("== {head}"))?;
    // Into a file or a pipe goes what was said; a terminal obeys nobody but its user.
    if printer.out_is_terminal() {
        printer.raw(&shown(text))?;
    } else {
        printer.raw(text)?;
    }
    if !text.ends_with('\n') {
        printer.raw("\n")?;
    }
    Ok(())
}
