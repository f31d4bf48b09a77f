//! The bytes of the memory store: pieces that take memory when they are first written (I9).
//!
//! redb's own `InMemoryBackend` is one `Vec`, and redb doubles its storage when that is full.
//! Measured with 280 MiB of records: there the process took 521 MiB, and the commit that doubled it
//! 519 ms, most of it writing zeros; with pieces 287 MiB, and no commit over 1.3 ms. A file does
//! not have this cost, because it is sparse.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::StorageBackend;

#[cfg(test)]
mod tests;

const PIECE_BYTES: usize = 64 << 10;

type Piece = Box<[u8]>;

/// A storage in memory. It has no locks: nobody else can open it.
#[derive(Default)]
pub(crate) struct MemoryBackend(RwLock<State>);

#[derive(Default)]
struct State {
    length_bytes: u64,
    pieces: Vec<Option<Piece>>,
}

impl MemoryBackend {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// How much memory the pieces take.
    #[cfg(test)]
    pub(crate) fn taken_bytes(&self) -> usize {
        self.state().pieces.iter().flatten().count() * PIECE_BYTES
    }

    // A panic can't leave a piece half made, and a half written one is redb's to find out.
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Not the bytes: redb prints its backend into its log.
impl fmt::Debug for MemoryBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length_bytes = self.state().length_bytes;
        formatter
            .debug_struct("MemoryBackend")
            .field("length_bytes", &length_bytes)
            .finish_non_exhaustive()
    }
}

impl State {
    /// The place of `length` bytes at `offset`: number of the first piece, and start within it.
    fn place(&self, offset: u64, length: usize) -> io::Result<(usize, usize)> {
        let end = offset.checked_add(length as u64);
        let at = usize::try_from(offset).ok();
        match (end, at) {
            (Some(end), Some(at)) if end <= self.length_bytes => {
                Ok((at / PIECE_BYTES, at % PIECE_BYTES))
            }
            _ => {
                let end = self.length_bytes;
                let message = format!("{length} bytes at {offset} are beyond the end at {end}");
                Err(io::Error::new(ErrorKind::UnexpectedEof, message))
            }
        }
    }
}

impl StorageBackend for MemoryBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length_bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let (first, mut start) = state.place(offset, out.len())?;
        let mut rest = out;
        for piece in state.pieces.iter().skip(first) {
            let (to, after) = rest.split_at_mut(rest.len().min(PIECE_BYTES - start));
            match piece
                .as_ref()
                .and_then(|piece| piece.get(start..start + to.len()))
            {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
            (rest, start) = (after, 0);
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let count = usize::try_from(len.div_ceil(PIECE_BYTES as u64))
            .map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
        let mut state = self.state_mut();
        state.length_bytes = len;
        state.pieces.resize_with(count, || None);
        // Bytes cut off inside the last piece must come back as zeros.
        let cut = usize::try_from(len % PIECE_BYTES as u64).unwrap_or(0);
        if cut > 0
            && let Some(Some(last)) = state.pieces.last_mut()
            && let Some(tail) = last.get_mut(cut..)
        {
            tail.fill(0);
        }
        Ok(())
    }

    /// Nothing here outlives the process, so there is nothing to make durable.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state_mut();
        let (first, mut start) = state.place(offset, data.len())?;
        let mut rest = data;
        for piece in state.pieces.iter_mut().skip(first) {
            let (from, after) = rest.split_at(rest.len().min(PIECE_BYTES - start));
            let piece = piece.get_or_insert_with(|| vec![0; PIECE_BYTES].into_boxed_slice());
            if let Some(to) = piece.get_mut(start..start + from.len()) {
                to.copy_from_slice(from);
            }
            (rest, start) = (after, 0);
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }
}
