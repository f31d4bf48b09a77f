//! A read transaction, with the tables it has opened.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableError};
use worker_runtime_core::store::StoreError;

use super::{EachRow, End, Rows, rows::is_within, unread};
use crate::layout::{TABLES, Table};

type Open = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// One short read.
pub(crate) struct Reading {
    transaction: ReadTransaction,
    tables: [Option<Open>; TABLES.len()],
}

impl Reading {
    pub(super) fn new(transaction: ReadTransaction) -> Self {
        Self {
            transaction,
            tables: Default::default(),
        }
    }

    /// Whether nothing was ever written.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        let mut tables = self
            .transaction
            .list_tables()
            .map_err(|error| StoreError::Read {
                detail: error.to_string(),
            })?;
        Ok(tables.next().is_none())
    }

    /// `None` when the file was made before there was the table.
    fn table(&mut self, table: Table) -> Result<Option<&Open>, StoreError> {
        let Some(slot) = self.tables.get_mut(table.index()) else {
            return Err(StoreError::Bug {
                invariant: format!("table {} has a slot", table.name),
            });
        };
        match slot {
            Some(open) => Ok(Some(open)),
            None => match self.transaction.open_table(table.definition()) {
                Ok(open) => Ok(Some(slot.insert(open))),
                Err(TableError::TableDoesNotExist(_)) if table.came_later() => Ok(None),
                Err(error) => Err(StoreError::Damaged {
                    table: table.name,
                    detail: error.to_string(),
                }),
            },
        }
    }
}

impl Rows for Reading {
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, StoreError> {
        let Some(open) = self.table(table)? else {
            return Ok(read(None));
        };
        let row = open.get(key).map_err(|error| unread(table, error))?;
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
        let Some(open) = self.table(table)? else {
            return Ok(());
        };
        let mut rows =
            ReadableTable::range::<&[u8]>(open, from..=to).map_err(|error| unread(table, error))?;
        loop {
            let row = match end {
                End::First => rows.next(),
                End::Last => rows.next_back(),
            };
            let Some(row) = row else { return Ok(()) };
            let (key, value) = row.map_err(|error| unread(table, error))?;
            if !is_within(key.value(), (from, to)) {
                continue;
            }
            if each(key.value(), value.value())?.is_break() {
                return Ok(());
            }
        }
    }
}
