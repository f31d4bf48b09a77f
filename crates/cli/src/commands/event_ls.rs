//! `event ls [WORKER]`: a page of events, oldest first, and the cursor to go on from.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use worker_runtime_core::{
    Code, Cursor, PageSize, Stream, WireEvent, WorkerId, cursor::From as Start, view::EventPage,
};

use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    output::{
        Printer, Table,
        summary::{event_summary, gap_text},
    },
    suggest::Suggestion,
    target, worker_name,
};

/// The most events that one call prints.
const EVENTS_MAX: u64 = 1_000;

#[derive(Debug, Args)]
pub(crate) struct EventLsArgs {
    /// Only this Worker's: its id, the first digits of it, or its name
    worker: Option<String>,
    /// The same as WORKER
    #[arg(long = "worker", value_name = "WORKER", conflicts_with = "worker")]
    worker_option: Option<String>,
    /// Only events after this cursor
    #[arg(long, value_name = "CURSOR", conflicts_with = "from")]
    after: Option<String>,
    /// Where to start without a cursor
    #[arg(long, value_name = "START", default_value = "beginning")]
    from: From,
    /// How many events to print at most
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    limit: u64,
}

/// A start that is no cursor.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// The earliest event that is left
    Beginning,
    /// After the newest one: what comes next
    Now,
}

pub(crate) fn run(
    args: &EventLsArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    // Before the store is opened: what is wrong with the text is wrong with any store.
    let after = args.after.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(CliError::from)?;
    let target = target::open_read(global)?;
    let named = args.worker.as_ref().or(args.worker_option.as_ref());
    let worker_id = named
        .map(|text| stream_of(&target.observation, text))
        .transpose()?;
    let stream = worker_id.map_or(Stream::Runtime, Stream::Worker);
    let start = match (after, args.from) {
        (Some(cursor), _) => Start::After(cursor),
        (None, From::Beginning) => Start::Beginning,
        (None, From::Now) => Start::Now,
    };
    let size = PageSize {
        events_max: usize::try_from(args.limit).unwrap_or(usize::MAX),
        ..PageSize::default()
    };
    let page = target
        .observation
        .events(stream, start, size)
        .map_err(|error| told_with_stream(error, worker_id))?;
    match printer.format() {
        Format::Json => json_page(&page, printer)?,
        Format::Jsonl => jsonl(&page, printer)?,
        Format::Table | Format::Wide | Format::Name => table(&page, worker_id, printer)?,
    }
    printer.flush()?;
    printer.words(format_args!("next cursor: {}", page.next));
    if !page.up_to_date {
        printer.hint(&Suggestion::event_ls_after(worker_id, page.next));
    }
    Ok(Exit::Done)
}

/// Whose stream is meant. A Worker that was deleted or whose record is damaged still has one.
fn stream_of(
    observation: &worker_runtime_core::Observation,
    text: &str,
) -> Result<WorkerId, CliError> {
    match text.parse::<WorkerId>() {
        Ok(worker_id) => Ok(worker_id),
        Err(_) => Ok(worker_name::find(observation, text)?.worker_id),
    }
}

/// The suggestion of a cursor must be for the stream that was asked for.
fn told_with_stream(
    error: worker_runtime_core::error::ReadError,
    worker_id: Option<WorkerId>,
) -> CliError {
    use worker_runtime_core::{CursorError, error::ReadError};
    let cursor = match &error {
        ReadError::Cursor(CursorError::Expired { earliest, .. }) => Some(*earliest),
        ReadError::Cursor(CursorError::Ahead { tail }) => Some(*tail),
        ReadError::Cursor(CursorError::Forked { fork_at, .. }) => Some(*fork_at),
        _ => None,
    };
    let mut told = CliError::from(error);
    if matches!(told.code, Code::CursorForeign) {
        told.hints = vec![Suggestion::event_ls(worker_id)];
    } else if let Some(cursor) = cursor {
        told.hints = vec![Suggestion::event_ls_after(worker_id, cursor)];
    }
    told
}

fn wire(page: &EventPage) -> impl Iterator<Item = WireEvent<'_>> {
    page.events.iter().map(|(cursor, event)| WireEvent {
        event,
        runtime_id: page.runtime_id,
        cursor: *cursor,
    })
}

fn json_page(page: &EventPage, printer: &mut Printer) -> Result<(), Failure> {
    let events: Result<Vec<Value>, _> = wire(page).map(serde_json::to_value).collect();
    let events = events.map_err(|error| {
        CliError::new(
            Code::Bug,
            format!("a bug: an event can't be written as JSON: {error}"),
        )
    })?;
    printer.json(&json!({
        "runtime_id": page.runtime_id,
        "gap": page.gap,
        "events": events,
        "next": page.next,
        "up_to_date": page.up_to_date,
    }))
}

fn jsonl(page: &EventPage, printer: &mut Printer) -> Result<(), Failure> {
    if let Some(gap) = &page.gap {
        printer.json(&json!({ "type": "gap", "gap": gap }))?;
    }
    wire(page).try_for_each(|event| printer.json(&event))
}

fn table(
    page: &EventPage,
    worker_id: Option<WorkerId>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    if let Some(gap) = &page.gap {
        printer.warn(gap_text(gap));
    }
    let mut header = vec!["SEQ", "POSITION", "TIME", "TYPE", "SUMMARY"];
    let with_worker = worker_id.is_none();
    if with_worker {
        header.insert(3, "WORKER");
    }
    if printer.format() == Format::Wide {
        header.push("CURSOR");
    }
    let mut table = Table::new(&header);
    for (cursor, event) in &page.events {
        let place = event.worker;
        let mut cells = vec![
            place.map_or_else(String::new, |place| place.seq.to_string()),
            event.position.to_string(),
            printer.time().text(event.at),
            event.kind.to_string(),
            event_summary(event),
        ];
        if with_worker {
            let worker = place.map(|place| place.worker_id.to_string());
            cells.insert(3, worker.unwrap_or_default());
        }
        match printer.format() {
            Format::Name => {
                printer.line(cursor)?;
                continue;
            }
            Format::Wide => cells.push(cursor.to_string()),
            _ => {}
        }
        table.row(cells);
    }
    printer.table(&table)
}
