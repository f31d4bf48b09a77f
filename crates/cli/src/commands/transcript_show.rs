//! `transcript show WORKER`: what was said, oldest first, the newest items unless asked otherwise.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Code, TranscriptFrom,
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
    let target = target::open(global, printer)?;
    let worker_id = worker_name::find_id(&target, &args.worker)?;
    let from = args
        .before
        .map_or(TranscriptFrom::End, TranscriptFrom::Before);
    let count = usize::try_from(args.last).unwrap_or(usize::MAX);
    let page = target.transcript(worker_id, from, count)?;
    match printer.format() {
        Format::Json => printer.json(&target.sourced(&page))?,
        _ => {
            print(&page, printer)?;
            tell_earlier(&page, printer);
        }
    }
    let mut exit = Exit::of_gaps(&page.gap);
    // How much was said is in the newest events: with them damaged, nobody knows what is missing.
    if !page.items_total_exact {
        printer.flush()?;
        printer.warn_code(Code::EventDamaged, "what was said last can't be read");
        exit = Exit::Damaged;
    }
    if exit == Exit::Damaged {
        printer.flush()?;
        printer.hint(&Suggestion::event_ls(Some(worker_id)));
        printer.hint(&Suggestion::explain(Code::EventDamaged));
    }
    Ok(exit)
}

/// A page, but for the form of one document.
///
/// # Errors
/// When stdout can't be written.
pub(super) fn print(page: &TranscriptPage, printer: &mut Printer) -> Result<(), Failure> {
    match printer.format().is_json() {
        true => jsonl(page, printer),
        false => text(page, printer),
    }
}

fn jsonl(page: &TranscriptPage, printer: &mut Printer) -> Result<(), Failure> {
    if let Some(gap) = &page.gap {
        printer.json(&json!({ "type": "gap", "gap": gap }))?;
    }
    page.items.iter().try_for_each(|item| printer.json(item))?;
    let unfinished = |block| printer.json(&json!({ "type": "unfinished", "block": block }));
    page.unfinished.iter().try_for_each(unfinished)
}

fn text(page: &TranscriptPage, printer: &mut Printer) -> Result<(), Failure> {
    if let Some(gap) = &page.gap {
        printer.warn_gap(gap);
    }
    for item in &page.items {
        printer.raw(&item_text(item, printer))?;
    }
    for UnfinishedBlock { block, text, .. } in &page.unfinished {
        let head = format!("worker, block {block}, unfinished");
        printer.raw(&part(&head, text, printer))?;
    }
    let is_empty = page.items.is_empty() && page.unfinished.is_empty();
    if is_empty && page.items_total_exact && page.gap.is_none() {
        printer.words("nothing was said yet");
    }
    Ok(())
}

/// What was said before the items of a page, and how to see it.
fn tell_earlier(page: &TranscriptPage, printer: &Printer) {
    let Some(item) = page.items.first() else {
        return;
    };
    let first = item.item;
    if first > 0 && page.gap.is_none() {
        printer.words(format_args!(
            "{first} earlier items are not shown; --before {first} shows those before these"
        ));
    }
}

/// An item as people read it.
pub(super) fn item_text(item: &TranscriptItem, printer: &Printer) -> String {
    part(&heading(item, printer), &item.text, printer)
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

fn part(head: &str, text: &str, printer: &Printer) -> String {
    // Into a file or a pipe goes what was said; a terminal obeys nobody but its user.
    let text = match printer.out_is_terminal() {
        true => shown(text),
        false => text.to_owned(),
    };
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("== {head}\n{text}{end}")
}
