//! Lines to the command: a bounded queue, so that nobody waits for one that does not read.

use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe::Sender,
    sync::mpsc::{self, Receiver},
};
use tracing::debug;

use super::message::ToCommand;

/// Where lines to the command are queued.
#[derive(Debug, Clone)]
pub(super) struct Outgoing(mpsc::Sender<Item>);

#[derive(Debug)]
enum Item {
    Line(String),
    Close,
}

impl Outgoing {
    /// The queue, and what works it off.
    pub(super) fn new(stdin: Sender, lines_max: usize) -> (Self, impl Future<Output = ()>) {
        let (sender, items) = mpsc::channel(lines_max.max(1));
        (Self(sender), write(stdin, items))
    }

    /// Queues a message; `false` when the command does not read, or is gone.
    pub(super) fn send(&self, message: &ToCommand<'_>) -> bool {
        match serde_json::to_string(message) {
            Ok(line) => self.send_line(line),
            Err(error) => {
                debug!(%error, "a message to a command can't be written");
                false
            }
        }
    }

    pub(super) fn send_line(&self, mut line: String) -> bool {
        line.push('\n');
        self.0.try_send(Item::Line(line)).is_ok()
    }

    /// Says that nothing more comes, and closes the command's standard input.
    pub(super) fn shut_down(&self) {
        self.send(&ToCommand::Shutdown);
        // A full queue: the command does not read, so it would not see this either.
        let _ = self.0.try_send(Item::Close);
    }
}

async fn write(mut stdin: Sender, mut items: Receiver<Item>) {
    while let Some(Item::Line(line)) = items.recv().await {
        if let Err(error) = stdin.write_all(line.as_bytes()).await {
            debug!(%error, "a command reads no more lines");
            return;
        }
    }
}
