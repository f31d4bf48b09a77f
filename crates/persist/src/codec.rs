//! How values become bytes: the record codec, and the seal that every stored value bears.
//!
//! This is the one module that knows bincode. A sealed value is `checksum: u64 | version: u8 |
//! payload`; the checksum is XXH3-64 over table name, key, version and payload, so a value that was
//! changed, or that stands under another key or in another table, is noticed on every read (I7).
//! Called by every module that reads or writes a row.

use std::{borrow::Cow, fmt};

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Serialize, de::DeserializeOwned};
use twox_hash::XxHash3_64;
use worker_runtime_core::{
    sabotage::{self, Sabotage},
    store::StoreError,
};

use crate::{cut::Cut, layout::Table};

/// The largest record that is written or read.
pub(crate) const RECORD_LEN_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The bytes that a seal adds in front of a payload.
pub(crate) const SEAL_LEN_BYTES: usize = 9;
/// The version that this program writes; readers refuse others as damage of that one value.
const VALUE_VERSION: u8 = 1;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<RECORD_LEN_MAX_BYTES>> =
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit();

/// Why a value can't be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) Cow<'static, str>);

impl Damage {
    pub(crate) fn of(table: Table, detail: impl Into<Cow<'static, str>>) -> StoreError {
        Self(detail.into()).in_table(table)
    }

    pub(crate) fn in_table(self, table: Table) -> StoreError {
        StoreError::Damaged {
            table: table.name,
            detail: self.0.into_owned(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for Damage {
    fn from(detail: &'static str) -> Self {
        Self(Cow::Borrowed(detail))
    }
}

/// Starts a sealed value in `out`, whose payload is appended afterwards.
pub(crate) fn start(out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; SEAL_LEN_BYTES - 1]);
    out.push(VALUE_VERSION);
}

/// Ends it: computes the checksum of what stands in `out`.
pub(crate) fn finish(table: Table, key: &[u8], out: &mut [u8]) {
    let Some((checksum, covered)) = out.split_first_chunk_mut::<8>() else {
        return;
    };
    *checksum = sum(table, key, covered).to_le_bytes();
}

/// The payload of a sealed value.
pub(crate) fn open<'a>(table: Table, key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Damage> {
    let (stored, covered) = value
        .split_first_chunk::<8>()
        .ok_or("the value is shorter than its seal")?;
    let is_trusted = sabotage::is(Sabotage::SkipChecksum);
    if u64::from_le_bytes(*stored) != sum(table, key, covered) && !is_trusted {
        return Err("the checksum does not fit".into());
    }
    match covered.split_first() {
        Some((&VALUE_VERSION, payload)) => Ok(payload),
        Some((version, _)) => Err(Damage(
            format!("version {version} of the value is not known").into(),
        )),
        None => Err("the value is shorter than its seal".into()),
    }
}

/// The checksum that a sealed value bears, right or not.
pub(crate) fn stored_checksum(value: &[u8]) -> u64 {
    Cut::new(value).u64().unwrap_or_default()
}

fn sum(table: Table, key: &[u8], covered: &[u8]) -> u64 {
    let of_table = XxHash3_64::oneshot(table.name.as_bytes());
    let of_key = XxHash3_64::oneshot_with_seed(of_table, key);
    XxHash3_64::oneshot_with_seed(of_key, covered)
}

/// Writes a record as a sealed value.
pub(crate) fn seal_record<T: Serialize>(
    table: Table,
    key: &[u8],
    record: &T,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    start(out);
    bincode::serde::encode_into_std_write(record, out, CONFIG).map_err(|error| {
        StoreError::Bug {
            invariant: format!(
                "every record of table {} can be encoded: {error}",
                table.name
            ),
        }
    })?;
    if out.len() > RECORD_LEN_MAX_BYTES {
        return Err(StoreError::Bug {
            invariant: format!(
                "a record of table {} has at most {RECORD_LEN_MAX_BYTES} bytes, not {}",
                table.name,
                out.len()
            ),
        });
    }
    finish(table, key, out);
    Ok(())
}

/// Reads a record from a sealed value.
pub(crate) fn open_record<T: DeserializeOwned>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<T, Damage> {
    let payload = open(table, key, value)?;
    let (record, len): (T, usize) = bincode::serde::decode_from_slice(payload, CONFIG)
        .map_err(|error| Damage(format!("the record can't be decoded: {error}").into()))?;
    if len == payload.len() {
        Ok(record)
    } else {
        Err("there are bytes after the record".into())
    }
}

#[cfg(test)]
mod tests;
