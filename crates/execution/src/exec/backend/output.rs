//! Reads a command's stream, to its end or until the command is quiet.

use std::io;

use rustix::io::Errno;
use tokio::{net::unix::pipe::Receiver, sync::watch};
use tracing::debug;

use super::life::Life;

/// What is read at once.
pub(super) const READ_BYTES: usize = 16 << 10;

/// One of the command's streams.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Receiver,
    life: watch::Receiver<Life>,
}

impl Output {
    pub(super) fn new(pipe: Receiver, life: watch::Receiver<Life>) -> Self {
        Self { pipe, life }
    }

    /// The next bytes; `None` at the end. Nothing is lost if the future is dropped.
    ///
    /// Where nothing contains it, a descendant that got away may hold the stream open for ever. So
    /// once the command is quiet, what is in the pipe is the rest.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            let is_quiet = matches!(*self.life.borrow_and_update(), Life::Quiet(_));
            let read = if is_quiet {
                // Not through tokio, which may not have noticed yet that there is something.
                rustix::io::read(&self.pipe, &mut *buffer).map_err(io::Error::from)
            } else {
                self.pipe.try_read(buffer)
            };
            match read {
                Ok(0) => return None,
                Ok(bytes) => return Some(bytes),
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_quiet => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    debug!(%error, "a command's stream can't be read");
                    return None;
                }
            }
            tokio::select! {
                ready = self.pipe.readable() => ready.ok()?,
                changed = self.life.changed() => {
                    if changed.is_err() && !matches!(*self.life.borrow(), Life::Quiet(_)) {
                        return None;
                    }
                }
            }
        }
    }
}

/// Turns bytes into text as they come: a character that is split over two reads survives, and what
/// is no UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(super) struct Utf8Decoder {
    /// The beginning of a character.
    held: Vec<u8>,
}

impl Utf8Decoder {
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(bytes);
        let mut text = String::with_capacity(input.len());
        let mut chunks = input.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            if chunk.invalid().is_empty() {
                continue;
            }
            let may_go_on = std::str::from_utf8(chunk.invalid())
                .is_err_and(|error| error.error_len().is_none());
            if may_go_on && chunks.peek().is_none() {
                self.held = chunk.invalid().to_vec();
            } else {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// What is left at the end of the stream.
    pub(super) fn finish(&mut self) -> &'static str {
        match std::mem::take(&mut self.held).is_empty() {
            true => "",
            false => "\u{fffd}",
        }
    }
}

#[cfg(test)]
mod tests;
