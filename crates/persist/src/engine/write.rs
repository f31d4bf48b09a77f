//! A write transaction: rows go in and out through here only, and the sums of the tables follow.

use std::ops::ControlFlow;

use redb::{ReadableTable, WriteTransaction};
use serde::Serialize;
use worker_runtime_core::store::StoreError;

use super::{EachRow, End, Rows, rows::is_within, unwritten};
use crate::{
    codec,
    layout::{SUM_COUNT, TABLES, Table, meta::TableSum},
};

type Open<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// One write transaction.
pub(crate) struct Writing<'t> {
    transaction: &'t WriteTransaction,
    tables: [Option<Open<'t>>; TABLES.len()],
    sums: [TableSum; SUM_COUNT],
    value: Vec<u8>,
}

impl<'t> Writing<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, sums: [TableSum; SUM_COUNT]) -> Self {
        Self {
            transaction,
            tables: Default::default(),
            sums,
            value: Vec::new(),
        }
    }

    fn table(&mut self, table: Table) -> Result<&mut Open<'t>, StoreError> {
        let Some(slot) = self.tables.get_mut(table.index()) else {
            return Err(StoreError::Bug {
                invariant: format!("table {} has a slot", table.name),
            });
        };
        match slot {
            Some(open) => Ok(open),
            None => {
                let open = self
                    .transaction
                    .open_table(table.definition())
                    .map_err(|error| StoreError::Damaged {
                        table: table.name,
                        detail: error.to_string(),
                    })?;
                Ok(slot.insert(open))
            }
        }
    }

    /// Makes the table if it is not there.
    pub(crate) fn touch(&mut self, table: Table) -> Result<(), StoreError> {
        self.table(table).map(|_| ())
    }

    /// The sums as they will be.
    pub(crate) fn sums(&self) -> [TableSum; SUM_COUNT] {
        self.sums
    }

    /// Writes a sealed value.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let old = self
            .table(table)?
            .insert(key, value)
            .map_err(|error| unwritten(table, error))?
            .map(|old| codec::stored_checksum(old.value()));
        if let Some(sum) = table.sum.and_then(|index| self.sums.get_mut(index)) {
            sum.rows += u64::from(old.is_none());
            sum.digest ^= old.unwrap_or_default() ^ codec::stored_checksum(value);
        }
        Ok(())
    }

    /// Seals and writes a record; tells the length of its value.
    pub(crate) fn put_record<T: Serialize>(
        &mut self,
        table: Table,
        key: &[u8],
        record: &T,
    ) -> Result<(), StoreError> {
        let mut value = std::mem::take(&mut self.value);
        let put = codec::seal_record(table, key, record, &mut value)
            .and_then(|()| self.put(table, key, &value));
        self.value = value;
        put
    }

    /// Seals and writes bytes.
    pub(crate) fn put_bytes(
        &mut self,
        table: Table,
        key: &[u8],
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut value = std::mem::take(&mut self.value);
        codec::start(&mut value);
        value.extend_from_slice(bytes);
        codec::finish(table, key, &mut value);
        let put = self.put(table, key, &value);
        self.value = value;
        put
    }

    /// Removes a row; tells how long its value was.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let old = self
            .table(table)?
            .remove(key)
            .map_err(|error| unwritten(table, error))?
            .map(|old| {
                (
                    codec::stored_checksum(old.value()),
                    old.value().len() as u64,
                )
            });
        let sum = table.sum.and_then(|index| self.sums.get_mut(index));
        if let (Some(sum), Some((checksum, _))) = (sum, old) {
            sum.rows = sum.rows.saturating_sub(1);
            sum.digest ^= checksum;
        }
        Ok(old.map(|(_, len)| len))
    }

    /// Removes every row of a range; tells how many bytes of payload they had.
    pub(crate) fn remove_range(
        &mut self,
        table: Table,
        range: (&[u8], &[u8]),
    ) -> Result<u64, StoreError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        self.scan(table, range, End::First, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let mut bytes = 0;
        for key in keys {
            let len = self.remove(table, &key)?.unwrap_or_default();
            bytes += len.saturating_sub(codec::SEAL_LEN_BYTES as u64);
        }
        Ok(bytes)
    }
}

impl Rows for Writing<'_> {
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, StoreError> {
        let row = self
            .table(table)?
            .get(key)
            .map_err(|error| unwritten(table, error))?;
        Ok(read(row.as_ref().map(|row| row.value())))
    }

    fn scan(
        &mut self,
        table: Table,
        (from, to): (&[u8], &[u8]),
        end: End,
        each: EachRow<'_>,
    ) -> Result<(), StoreError> {
        if from > to {
            return Ok(());
        }
        let mut rows = self
            .table(table)?
            .range::<&[u8]>(from..=to)
            .map_err(|error| unwritten(table, error))?;
        loop {
            let row = match end {
                End::First => rows.next(),
                End::Last => rows.next_back(),
            };
            let Some(row) = row else { return Ok(()) };
            let (key, value) = row.map_err(|error| unwritten(table, error))?;
            if !is_within(key.value(), (from, to)) {
                continue;
            }
            if each(key.value(), value.value())?.is_break() {
                return Ok(());
            }
        }
    }
}
