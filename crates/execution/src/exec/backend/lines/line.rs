//! Lines of bounded length: one that is longer is skipped as it comes, not gathered first (I9).

use super::super::output::{Output, READ_BYTES};

/// A line of the command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end. What was no UTF-8 is U+FFFD.
    Text(String),
    /// Longer than is taken; gone. With all of its bytes but the `\n`.
    TooLong { bytes: u64 },
}

/// Cuts bytes into lines.
#[derive(Debug)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// So far there is no line end.
    searched: usize,
    /// What is gone of a line that is too long.
    skipped: u64,
}

impl LineBuffer {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_max,
            searched: 0,
            skipped: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line that is whole and not empty.
    pub(super) fn pop(&mut self) -> Option<Line> {
        loop {
            let unsearched = self.bytes.iter().skip(self.searched);
            let Some(end) = unsearched.clone().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                // One more, as the last may be the `\r` of a line end.
                if self.bytes.len() > self.bytes_max.saturating_add(1) {
                    self.skipped = self.skipped.saturating_add(self.bytes.len() as u64);
                    self.bytes.clear();
                    self.searched = 0;
                }
                return None;
            };
            let end = self.searched.saturating_add(end);
            let later = self.bytes.split_off(end.saturating_add(1));
            let mut line = std::mem::replace(&mut self.bytes, later);
            line.truncate(end);
            self.searched = 0;
            if let Some(line) = self.take(line) {
                return Some(line);
            }
        }
    }

    /// How many bytes are held.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// What is left at the end of the stream.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.bytes);
        self.take(line)
    }

    fn take(&mut self, mut line: Vec<u8>) -> Option<Line> {
        let skipped = std::mem::take(&mut self.skipped);
        let bytes = skipped.saturating_add(line.len() as u64);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if skipped > 0 || line.len() > self.bytes_max {
            return Some(Line::TooLong { bytes });
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        (!text.trim().is_empty()).then_some(Line::Text(text))
    }
}

/// Reads the command's lines.
#[derive(Debug)]
pub(super) struct Lines {
    output: Output,
    buffer: LineBuffer,
    read: Vec<u8>,
    ended: bool,
}

impl Lines {
    pub(super) fn new(output: Output, bytes_max: usize) -> Self {
        Self {
            output,
            buffer: LineBuffer::new(bytes_max),
            read: vec![0; READ_BYTES],
            ended: false,
        }
    }

    /// The next line; `None` at the end. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.buffer.pop() {
                return Some(line);
            }
            if self.ended {
                return self.buffer.finish();
            }
            match self.output.read(&mut self.read).await {
                Some(bytes) => self.buffer.push(self.read.get(..bytes).unwrap_or_default()),
                None => self.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests;
