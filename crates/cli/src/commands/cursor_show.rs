//! `cursor show CURSOR`: what a cursor says, and whether one can go on from it here.

use clap::Args;
use serde::Serialize;
use worker_runtime_core::{
    Code, Cursor, EventFilter, RuntimeId, Stream, WorkerId, cursor::From as Start, view::EventPage,
};

use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    output::Printer,
    suggest::Suggestion,
    target::{self, Target},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The cursor, as an event, a receipt or a page has it
    cursor: String,
}

/// What is told of a cursor.
#[derive(Serialize)]
struct Told {
    cursor: Cursor,
    /// It stands after this position.
    position: u64,
    /// The random id of the opening that wrote the position.
    incarnation_id: String,
    /// `runtime` or `worker`; absent when it belongs to no stream here.
    stream: Option<&'static str>,
    worker_id: Option<WorkerId>,
    /// Whether one can go on from it.
    good: bool,
    /// Whether nothing comes after it yet.
    up_to_date: Option<bool>,
    /// Why not, when it is not good.
    code: Option<Code>,
}

pub(crate) fn run(
    args: &ShowArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let cursor: Cursor = args.cursor.parse().map_err(CliError::from)?;
    let target = target::open(global, printer)?;
    let stream = stream_of(&target, cursor)?;
    let checked = check(&target, cursor, stream)?;
    let worker_id = match stream {
        Some(Stream::Worker(worker_id)) => Some(worker_id),
        Some(Stream::Runtime) | None => None,
    };
    let told = Told {
        cursor,
        position: cursor.position().0,
        incarnation_id: format!("{:08x}", cursor.incarnation_id()),
        stream: stream.map(|stream| match stream {
            Stream::Runtime => "runtime",
            Stream::Worker(_) => "worker",
        }),
        worker_id,
        good: checked.is_ok(),
        up_to_date: checked.as_ref().ok().map(is_at_the_end),
        code: checked.as_ref().err().map(|error| error.code),
    };
    if printer.format().is_json() {
        printer.json(&target.sourced(&told))?;
    } else {
        print(&told, printer)?;
    }
    printer.flush()?;
    match checked {
        Ok(_) => {
            printer.hint(&Suggestion::event_ls_after(worker_id, cursor));
            Ok(Exit::Done)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_at_the_end(page: &EventPage) -> bool {
    page.up_to_date && page.events.is_empty() && page.gap.is_none()
}

/// Whose stream it stands in: the Runtime's or that of one of its Workers.
fn stream_of(target: &Target, cursor: Cursor) -> Result<Option<Stream>, CliError> {
    let runtime_id: RuntimeId = target.runtime()?.runtime_id;
    if cursor.is_of(runtime_id, Stream::Runtime) {
        return Ok(Some(Stream::Runtime));
    }
    let whole = worker_name::all(target)?.into_iter();
    let damaged = worker_name::damaged(target)?.into_keys();
    let mut workers = whole.map(|worker| worker.worker_id).chain(damaged);
    let found = workers.find(|worker_id| cursor.is_of(runtime_id, Stream::Worker(*worker_id)));
    Ok(found.map(Stream::Worker))
}

/// Reads on from it; the inner error is the cursor's own.
fn check(
    target: &Target,
    cursor: Cursor,
    stream: Option<Stream>,
) -> Result<Result<EventPage, CliError>, CliError> {
    let Some(stream) = stream else {
        let message = "the cursor belongs to another Runtime, or to a Worker that was deleted";
        let told = CliError::new(Code::CursorForeign, message);
        return Ok(Err(told.hint(Suggestion::event_ls(None))));
    };
    match target.events(stream, Start::After(cursor), 1, &EventFilter::ALL) {
        Err(error) if !is_of_cursor(error.code) => Err(error),
        checked => Ok(checked),
    }
}

const fn is_of_cursor(code: Code) -> bool {
    matches!(
        code,
        Code::CursorExpired | Code::CursorAhead | Code::CursorForeign | Code::CursorForked
    )
}

fn print(told: &Told, printer: &mut Printer) -> Result<(), Failure> {
    let stream = match (told.stream, told.worker_id) {
        (_, Some(worker_id)) => format!("Worker {worker_id}"),
        (Some(_), None) => "the Runtime".to_owned(),
        (None, None) => "none that is known here".to_owned(),
    };
    let follow = match (told.code, told.up_to_date) {
        (Some(code), _) => format!("no: {code}"),
        (None, Some(true)) => "yes; nothing comes after it yet".to_owned(),
        (None, _) => "yes".to_owned(),
    };
    for (name, value) in [
        ("cursor", told.cursor.to_string()),
        ("stream", stream),
        ("position", format!("after {}", told.position)),
        ("opening", told.incarnation_id.clone()),
        ("good", follow),
    ] {
        printer.line(format_args!("{name:<8}  {value}"))?;
    }
    Ok(())
}
