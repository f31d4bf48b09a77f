//! Reading rows, in a read or in a write transaction alike.

use std::ops::ControlFlow;

use worker_runtime_core::store::StoreError;

use crate::layout::Table;

/// From which end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

/// What is done with a row of a scan; it says whether the scan goes on.
pub(crate) type EachRow<'e> =
    &'e mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>;

/// Whether a key is where it was looked for.
pub(super) fn is_within(key: &[u8], (from, to): (&[u8], &[u8])) -> bool {
    let is_within = from <= key && key <= to;
    if !is_within {
        tracing::warn!("a key of a damaged page is not where it belongs");
    }
    is_within
}

/// Rows of tables. Ranges are inclusive at both ends; values are lent, so that nothing is copied
/// that isn't needed.
pub(crate) trait Rows {
    /// One row.
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, StoreError>;

    /// The rows of a range in order, until told to stop. In a damaged page a key may stand where it does
    /// not belong: what the engine gives from outside of the range is left out, so that whoever goes on
    /// from a key always goes forward. Its row is missing then, which readers tell from what is around it.
    fn scan(
        &mut self,
        table: Table,
        range: (&[u8], &[u8]),
        end: End,
        each: EachRow<'_>,
    ) -> Result<(), StoreError>;

    /// The row at one end of a range.
    fn at_end<T>(
        &mut self,
        table: Table,
        range: (&[u8], &[u8]),
        end: End,
        read: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let mut read = Some(read);
        let mut found = None;
        self.scan(table, range, end, &mut |key, value| {
            found = read.take().map(|read| read(key, value));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}
