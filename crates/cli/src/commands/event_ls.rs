//! `event ls [WORKER]`: a page of events, oldest first, and the cursor to go on from.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use worker_runtime_core::{
    Code, Cursor, EventFilter, PageSize, RuntimeId, Stream, WireEvent, WorkerId,
    cursor::From as Start, store::Gap, view::EventPage,
};

use super::event_filter::FilterArgs;
use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    output::{Printer, Table, summary::event_summary},
    suggest::Suggestion,
    target::{self, Source, Target},
    worker_name,
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
    #[command(flatten)]
    filter: FilterArgs,
}

/// A start that is no cursor.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum From {
    /// The earliest event that is left
    Beginning,
    /// After the newest one: what comes next
    Now,
}

impl From {
    /// Where to start: after the cursor, if there is one.
    pub(super) fn start(self, after: Option<Cursor>) -> Start {
        match (after, self) {
            (Some(cursor), _) => Start::After(cursor),
            (None, Self::Beginning) => Start::Beginning,
            (None, Self::Now) => Start::Now,
        }
    }
}

pub(crate) fn run(
    args: &EventLsArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    // Before the store is opened: what is wrong with the text is wrong with any store.
    let after = args.after.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(CliError::from)?;
    let filter = args.filter.filter(&["event", "ls"])?;
    let target = target::open(global, printer)?;
    let named = args.worker.as_ref().or(args.worker_option.as_ref());
    let worker_id = named
        .map(|text| worker_name::find_id(&target, text))
        .transpose()?;
    let stream = worker_id.map_or(Stream::Runtime, Stream::Worker);
    let start = args.from.start(after);
    let count = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let read = read(&target, stream, start, count, &filter)?;
    match printer.format() {
        Format::Json => json_page(&read, target.source(), printer)?,
        Format::Jsonl => jsonl(&read, printer)?,
        Format::Table | Format::Wide | Format::Name => table(&read, worker_id, printer)?,
    }
    printer.flush()?;
    printer.words(format_args!("next cursor: {}", read.next));
    if !read.up_to_date {
        let next = Suggestion::event_ls_after(worker_id, read.next);
        printer.hint(&args.filter.said_in(next));
    }
    let exit = Exit::of_gaps(read.gaps());
    if exit == Exit::Damaged {
        printer.hint(&Suggestion::explain(Code::EventDamaged));
    }
    Ok(exit)
}

/// What was read: a page ends before a gap, and a user wants what is behind it too.
struct Read {
    runtime_id: RuntimeId,
    pages: Vec<EventPage>,
    next: Cursor,
    up_to_date: bool,
}

impl Read {
    fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.pages.iter().filter_map(|page| page.gap.as_ref())
    }
}

fn read(
    target: &Target,
    stream: Stream,
    start: Start,
    count: usize,
    filter: &EventFilter,
) -> Result<Read, CliError> {
    let PageSize { bytes_max, .. } = PageSize::default();
    let (mut pages, mut events_max, mut bytes) = (Vec::new(), count, 0_usize);
    let mut start = start;
    loop {
        let page = target.events(stream, start, events_max, filter)?;
        let read: usize = page.events.iter().map(|(_, event)| event.data.len()).sum();
        bytes = bytes.saturating_add(read);
        events_max = events_max.saturating_sub(page.events.len());
        let (runtime_id, next, up_to_date) = (page.runtime_id, page.next, page.up_to_date);
        start = Start::After(next);
        pages.push(page);
        if up_to_date || events_max == 0 || bytes >= bytes_max {
            return Ok(Read {
                runtime_id,
                pages,
                next,
                up_to_date,
            });
        }
    }
}

fn wire(page: &EventPage) -> impl Iterator<Item = WireEvent<'_>> {
    page.events.iter().map(|(cursor, event)| WireEvent {
        event,
        runtime_id: page.runtime_id,
        cursor: *cursor,
    })
}

fn json_page(read: &Read, source: Source, printer: &mut Printer) -> Result<(), Failure> {
    let events = read.pages.iter().flat_map(wire);
    let events: Result<Vec<Value>, _> = events.map(serde_json::to_value).collect();
    let events = events.map_err(|error| {
        CliError::new(
            Code::Bug,
            format!("a bug: an event can't be written as JSON: {error}"),
        )
    })?;
    printer.json(&json!({
        "source": source,
        "runtime_id": read.runtime_id,
        "gaps": read.gaps().collect::<Vec<_>>(),
        "events": events,
        "next": read.next,
        "up_to_date": read.up_to_date,
    }))
}

fn jsonl(read: &Read, printer: &mut Printer) -> Result<(), Failure> {
    for page in &read.pages {
        if let Some(gap) = &page.gap {
            printer.json(&json!({ "type": "gap", "gap": gap }))?;
        }
        wire(page).try_for_each(|event| printer.json(&event))?;
    }
    Ok(())
}

fn table(read: &Read, worker_id: Option<WorkerId>, printer: &mut Printer) -> Result<(), Failure> {
    read.gaps().for_each(|gap| printer.warn_gap(gap));
    let mut header = vec!["SEQ", "POSITION", "TIME", "TYPE", "SUMMARY"];
    let with_worker = worker_id.is_none();
    if with_worker {
        header.insert(3, "WORKER");
    }
    if printer.format() == Format::Wide {
        header.push("CURSOR");
    }
    let mut table = Table::new(&header);
    for (cursor, event) in read.pages.iter().flat_map(|page| &page.events) {
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
