//! `event tail [WORKER]`: events as they come, oldest first. A stopped store has no news: what there is
//! is printed, and that is said.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Cursor, Event, EventFilter, Observed, RuntimeId, Stream, WireEvent, WorkerId,
    cursor::From as Start, view::EventPage,
};

use super::{event_filter::FilterArgs, event_ls::From};
use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    foreground::{Events, Tailed, tail},
    output::{Printer, summary::event_summary},
    suggest::Suggestion,
    target::{self, Current, Server, Target},
    worker_name,
};

/// How many events are read at once.
const PAGE_EVENTS: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct EventTailArgs {
    /// Only this Worker's: its id, the first digits of it, or its name
    worker: Option<String>,
    /// Only events after this cursor
    #[arg(long, value_name = "CURSOR", conflicts_with = "from")]
    after: Option<String>,
    /// Where to start without a cursor
    #[arg(long, value_name = "START", default_value = "beginning")]
    from: From,
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) fn run(
    args: &EventTailArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    refuse_document(printer, &["event", "tail"])?;
    // Before the store is opened: what is wrong with the text is wrong with any store.
    let after = args.after.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(CliError::from)?;
    let filter = args.filter.filter(&["event", "tail"])?;
    let target = target::open(global, printer)?;
    let named = args.worker.as_ref();
    let worker_id = named
        .map(|text| worker_name::find_id(&target, text))
        .transpose()?;
    let start = args.from.start(after);
    match &target {
        Target::Store(_) => whole(&target, worker_id, start, &filter, printer),
        Target::Server(server) => {
            // What can't be followed is refused as it is of a stopped store; a gap that comes later is told.
            target.events(stream_of(worker_id), start, 1, &filter)?;
            let tailed = follow(server, worker_id, start, filter, printer)?;
            if tailed.stopped {
                printer.words(
                    "the server has ended and nobody runs this store, so nothing more comes",
                );
            }
            if let Some(cursor) = tailed.cursor {
                printer.words(format_args!("next cursor: {cursor}"));
                if tailed.interrupted || tailed.stopped {
                    let next = Suggestion::event_tail(worker_id, Some(cursor));
                    printer.hint(&args.filter.said_in(next));
                }
            }
            Ok(match tailed.interrupted {
                true => Exit::Interrupted,
                false => Exit::Done,
            })
        }
    }
}

/// A stream has no end at which one document could be closed.
///
/// # Errors
/// When one is asked for.
pub(super) fn refuse_document(printer: &Printer, command: &[&str]) -> Result<(), CliError> {
    match printer.format() {
        Format::Json => Err(CliError::usage(
            "-o json is one document, and this has no end; -o jsonl prints a line for each",
            command,
        )),
        _ => Ok(()),
    }
}

const fn stream_of(worker_id: Option<WorkerId>) -> Stream {
    match worker_id {
        Some(worker_id) => Stream::Worker(worker_id),
        None => Stream::Runtime,
    }
}

fn whole(
    target: &Target,
    worker_id: Option<WorkerId>,
    start: Start,
    filter: &EventFilter,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let mut start = start;
    let mut exit = Exit::Done;
    loop {
        let page = target.events(stream_of(worker_id), start, PAGE_EVENTS, filter)?;
        print(&page, printer)?;
        if let Exit::Damaged = Exit::of_gaps(&page.gap) {
            exit = Exit::Damaged;
        }
        start = Start::After(page.next);
        if page.up_to_date {
            printer.flush()?;
            printer.words(format_args!("next cursor: {}", page.next));
            printer.words("nobody runs this store, so nothing more comes");
            return Ok(exit);
        }
    }
}

fn print(page: &EventPage, printer: &mut Printer) -> Result<(), Failure> {
    if let Some(gap) = &page.gap {
        let cursor = page.after_gap.unwrap_or(page.next);
        let text = text(
            &Observed::Gap(cursor, gap.clone()),
            page.runtime_id,
            printer,
        )?;
        printer.raw(&text)?;
    }
    for (cursor, event) in &page.events {
        let observed = Observed::Event(*cursor, event.clone());
        printer.raw(&text(&observed, page.runtime_id, printer)?)?;
    }
    Ok(())
}

fn follow(
    server: &Server,
    worker_id: Option<WorkerId>,
    start: Start,
    filter: EventFilter,
    printer: &Printer,
) -> Result<Tailed, Failure> {
    server.block_on(async {
        let mut signals = target::signals()?;
        let current = Current::new(server.remote.clone());
        let runtime = server.remote.client.runtime();
        let status = server
            .remote
            .or_told(target::About::RUNTIME, runtime)
            .await?;
        let events = Events::of_server(&current, stream_of(worker_id), start, filter).await?;
        let show = |observed: &Observed| text(observed, status.runtime_id, printer);
        tail(events, printer, &mut signals, show).await
    })
}

/// What is printed of an item, the same for a store and for a server.
fn text(observed: &Observed, runtime_id: RuntimeId, printer: &Printer) -> Result<String, Failure> {
    let line = match (observed, printer.format()) {
        (Observed::Event(cursor, event), Format::Json | Format::Jsonl) => line_of(&WireEvent {
            event,
            runtime_id,
            cursor: *cursor,
        })?,
        (Observed::Gap(_, gap), Format::Json | Format::Jsonl) => {
            line_of(&json!({ "type": "gap", "gap": gap }))?
        }
        (Observed::Event(cursor, _), Format::Name) => cursor.to_string(),
        (Observed::Event(cursor, event), format) => row(*cursor, event, format, printer),
        (Observed::Gap(_, gap), _) => {
            printer.warn_gap(gap);
            return Ok(String::new());
        }
        _ => return Ok(String::new()),
    };
    Ok(format!("{line}\n"))
}

/// One line of JSON.
pub(super) fn line_of(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| {
        let message = format!("a bug: an event can't be written as JSON: {error}");
        CliError::new(worker_runtime_core::Code::Bug, message)
    })?;
    Ok(text)
}

/// A row without the widths of those that come later.
fn row(cursor: Cursor, event: &Event, format: Format, printer: &Printer) -> String {
    let place = event.worker.map_or("-".to_owned(), |place| {
        format!("{}#{}", place.worker_id, place.seq)
    });
    let cursor = match format {
        Format::Wide => format!("  {cursor}"),
        _ => String::new(),
    };
    let row = format!(
        "{}  {place}{cursor}  {}  {}",
        printer.time().text(event.at),
        event.kind,
        event_summary(event)
    );
    row.trim_end().to_owned()
}
