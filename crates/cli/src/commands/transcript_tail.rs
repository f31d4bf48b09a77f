//! `transcript tail WORKER`: what was said last, and what is said next as it comes. Through a server
//! that is what has ended: a block that grows is printed when it is whole.

use clap::Args;
use worker_runtime_core::{
    EventFilter, Observed, Stream, TranscriptFrom, WorkerId,
    cursor::From as Start,
    view::{TranscriptItem, TranscriptPage},
};

use super::{event_tail, transcript_show};
use crate::{
    args::Global,
    error::Failure,
    exit::Exit,
    foreground::{Events, tail},
    output::Printer,
    suggest::Suggestion,
    target::{self, Current, Server, Target},
    worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
    /// How many items that were said before to print, the newest ones
    #[arg(long, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=1_000))]
    last: u64,
}

pub(crate) fn run(
    args: &TailArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    event_tail::refuse_document(printer, &["transcript", "tail"])?;
    let target = target::open(global, printer)?;
    let worker_id = worker_name::find_id(&target, &args.worker)?;
    let count = usize::try_from(args.last).unwrap_or(usize::MAX);
    let mut page = target.transcript(worker_id, TranscriptFrom::End, count)?;
    if target.is_live() {
        // What has not ended comes again when it has.
        page.unfinished.clear();
    }
    transcript_show::print(&page, printer)?;
    printer.flush()?;
    match &target {
        Target::Store(_) => {
            printer.words("nobody runs this store, so nothing more is said");
            Ok(Exit::of_gaps(&page.gap))
        }
        Target::Server(server) => follow(server, worker_id, &page, printer),
    }
}

fn follow(
    server: &Server,
    worker_id: WorkerId,
    page: &TranscriptPage,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let (stream, start) = (Stream::Worker(worker_id), Start::After(page.cursor));
    let tailed = server.block_on(async {
        let mut signals = target::signals()?;
        let current = Current::new(server.remote.clone());
        let events = Events::of_server(&current, stream, start, EventFilter::ALL).await?;
        let show = |observed: &Observed| text(observed, printer);
        tail(events, printer, &mut signals, show).await
    })?;
    if tailed.stopped {
        printer.words("the server has ended and nobody runs this store, so nothing more is said");
    }
    if !tailed.interrupted {
        return Ok(Exit::Done);
    }
    printer.hint(&Suggestion::transcript_show(worker_id));
    Ok(Exit::Interrupted)
}

fn text(observed: &Observed, printer: &Printer) -> Result<String, Failure> {
    let event = match observed {
        Observed::Event(_, event) => event,
        Observed::Gap(_, gap) => {
            printer.warn_gap(gap);
            return Ok(String::new());
        }
        _ => return Ok(String::new()),
    };
    let Some(item) = TranscriptItem::from_event(event) else {
        return Ok(String::new());
    };
    match printer.format().is_json() {
        true => Ok(format!("{}\n", event_tail::line_of(&item)?)),
        false => Ok(transcript_show::item_text(&item, printer)),
    }
}
