//! What goes with a Worker that is deleted: its receipts, and with a purge every byte of its text.
//!
//! A purge trims the Worker's history and takes the data out of its events in the log; their places,
//! digests and the chains stay, so that the Runtime's stream is as dense as before (I2). Nothing of its
//! text is in a row after the commit. Pages that the engine has freed keep old bytes until they are
//! used again, as does the file system under it. A pack of the log that is damaged can't be rewritten;
//! it is named in the log of the process and goes when the log is trimmed.

use worker_runtime_core::{BlockId, Generation, Position, Seq, WorkerId, store::StoreError};

use super::apply::Applying;
use crate::{
    cut::Key,
    engine::{End, Rows, Writing},
    layout::large::Owner,
    layout::{Table, in_flight, input, large, log, unfinished},
    pack::{self, Pack},
};

/// Removes what is only of use while its Worker may be sent something.
pub(super) fn receipts(rows: &mut Writing<'_>, worker_id: WorkerId) -> Result<(), StoreError> {
    let (first, last) = (
        input::key(worker_id, [0; 16]),
        input::key(worker_id, [u8::MAX; 16]),
    );
    remove(rows, input::TABLE, &first, &last)?;
    let block = |generation, index| BlockId {
        generation: Generation(generation),
        index,
    };
    let first = in_flight::key(worker_id, block(0, 0), 0);
    let last = in_flight::key(worker_id, block(u64::MAX, u32::MAX), u64::MAX);
    remove(rows, in_flight::TABLE, &first, &last)
}

fn remove(rows: &mut Writing<'_>, table: Table, first: &Key, last: &Key) -> Result<(), StoreError> {
    let range = (first.as_bytes(), last.as_bytes());
    rows.remove_range(table, range).map(|_| ())
}

impl Applying<'_, '_> {
    /// Removes everything that a Worker ever wrote or was sent, up to `until`: what this batch appends
    /// stays, and so does where its stream goes on.
    pub(super) fn purge(&mut self, worker_id: WorkerId, until: Position) -> Result<(), StoreError> {
        let tail = self.tails.by_worker.get(&worker_id);
        let last = tail.map_or(Seq(0), |tail| tail.state.header.last_seq());
        self.let_go(worker_id)?;
        self.trim_to(worker_id, last)?;
        receipts(self.out.rows, worker_id)?;
        let (first, end) = (
            unfinished::key(worker_id, Seq(0)),
            unfinished::key(worker_id, Seq(u64::MAX)),
        );
        remove(self.out.rows, unfinished::TABLE, &first, &end)?;
        let (first, end) = (
            Owner::Worker(worker_id, Seq(0)).key(0),
            Owner::Worker(worker_id, last).key(u32::MAX),
        );
        remove(self.out.rows, large::TABLE, &first, &end)?;
        self.redact_log(worker_id, until)
    }

    fn redact_log(&mut self, worker_id: WorkerId, until: Position) -> Result<(), StoreError> {
        // The tail pack was just written; what comes next begins another one.
        self.log_stage.end();
        let mut from = Position(0);
        loop {
            let (first, last) = (log::key(from), log::key(until));
            let range = (first.as_bytes(), last.as_bytes());
            let rows = &mut *self.out.rows;
            let found = rows.at_end(log::TABLE, range, End::First, |key, value| {
                let pack = Pack::open_log(log::TABLE, key, value);
                log::parse(key).map(|first| (first, pack, value.len() as u64))
            })?;
            let Some(found) = found else { return Ok(()) };
            let (first, pack, len) = found.map_err(|damage| damage.in_table(log::TABLE))?;
            from = first.next();
            let redacted = match pack.and_then(|pack| pack.redacted(worker_id, until)) {
                Ok(redacted) => redacted,
                Err(damage) => {
                    tracing::warn!(%worker_id, position = %first, %damage, "a damaged pack of the log can't be purged");
                    continue;
                }
            };
            let Some((header, entries)) = redacted else {
                continue;
            };
            let (key, value) = (log::key(first), &mut *self.out.value);
            pack::seal(log::TABLE, key.as_bytes(), &header, [&entries, &[]], value);
            self.out.rows.put(log::TABLE, key.as_bytes(), value)?;
            let gone = len.saturating_sub(value.len() as u64);
            self.state.log_bytes = self.state.log_bytes.saturating_sub(gone);
        }
    }
}
