//! A stream, printed as it comes until the user ends it. Nothing is cancelled by that.

use worker_runtime_core::{Cursor, Observed};

use super::{Events, Item, Signals, outlet::Outlet};
use crate::{error::Failure, output::Printer};

/// How it ended.
pub(crate) struct Tailed {
    /// After the last item that was printed.
    pub(crate) cursor: Option<Cursor>,
    /// Whether the user ended it; else nothing more will come.
    pub(crate) interrupted: bool,
    /// Whether its server has ended, and nobody runs the store.
    pub(crate) stopped: bool,
}

/// Prints what `show` makes of each item. A slow reader of stdout keeps no signal from being heard.
///
/// # Errors
/// When the stream can't be followed any more, or stdout can't be written.
pub(crate) async fn tail(
    mut events: Events,
    printer: &Printer,
    signals: &mut Signals,
    mut show: impl FnMut(&Observed) -> Result<String, Failure>,
) -> Result<Tailed, Failure> {
    let outlet = Outlet::open().map_err(|error| Failure::of_output(&error))?;
    let (mut cursor, mut piece) = (None, None::<(Option<Cursor>, String)>);
    let mut stopped = false;
    let interrupted = loop {
        tokio::select! {
            biased;
            _ = signals.next() => break true,
            () = outlet.pieces.closed() => break false,
            room = outlet.pieces.reserve(), if piece.is_some() => {
                if let (Ok(room), Some((after, text))) = (room, piece.take()) {
                    room.send(text);
                    cursor = after.or(cursor);
                }
            }
            item = events.next(), if piece.is_none() => {
                let observed = match item {
                    None => break false,
                    Some(item) => match item? {
                        Item::Observed(observed) => observed,
                        Item::News(news) => {
                            news.tell(printer);
                            continue;
                        }
                        Item::Stopped => {
                            stopped = true;
                            break false;
                        }
                    },
                };
                let text = show(&observed)?;
                match text.is_empty() {
                    true => cursor = observed.cursor().or(cursor),
                    false => piece = Some((observed.cursor(), text)),
                }
            }
        }
    };
    tokio::select! {
        written = outlet.close() => written.map_err(|error| Failure::of_output(&error))?,
        // Whoever reads it does not; what is not read is after the cursor of what was.
        _ = signals.next(), if interrupted => {}
    }
    Ok(Tailed {
        cursor,
        interrupted,
        stopped,
    })
}
