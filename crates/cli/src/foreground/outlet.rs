//! stdout, written by a thread of its own: a reader that pauses (a pager, say) must not keep Ctrl-C
//! from being heard. What waits is bounded; the events are in the store, so nothing is lost (I10).

use std::io::{self, Write};

use tokio::sync::{mpsc, oneshot};

/// How many pieces wait for a slow reader.
const PIECES_MAX: usize = 16;

/// The way to stdout.
pub(super) struct Outlet {
    /// Closed when stdout can't be written any more.
    pub(super) pieces: mpsc::Sender<String>,
    written: oneshot::Receiver<io::Result<()>>,
}

impl Outlet {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn open() -> io::Result<Self> {
        let (pieces, queue) = mpsc::channel(PIECES_MAX);
        let (done, written) = oneshot::channel();
        std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || {
                // Nobody waits for the result when the program ends at once.
                let _ = done.send(write_all(queue));
            })?;
        Ok(Self { pieces, written })
    }

    /// Waits until everything is written, and gives what became of it.
    pub(super) async fn close(self) -> io::Result<()> {
        drop(self.pieces);
        self.written
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread that writes stdout panicked")))
    }
}

fn write_all(mut queue: mpsc::Receiver<String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    while let Some(piece) = queue.blocking_recv() {
        out.write_all(piece.as_bytes())?;
        // A preview is of use only now.
        out.flush()?;
    }
    Ok(())
}
