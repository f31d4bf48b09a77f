//! What the fuzz targets call (`--cfg fuzzing` only; `crates/fault/fuzz`): the codec of records and
//! packs, each with what must hold of any bytes (I7). A broken promise is a panic, as a fuzzer wants it.

#![allow(clippy::expect_used, reason = "a broken promise is a panic here")]

use serde::{Serialize, de::DeserializeOwned};
use worker_runtime_core::{
    Event, Position, WorkerId,
    record::{
        AllocationRecord, IncarnationRecord, LeaseRecord, OperationRecord, ReceiptRecord,
        RuntimeRecord, UnfinishedRecord, WorkerRecord,
    },
};

use crate::{
    codec,
    cut::Cut,
    layout::{
        Table, allocation, history, in_flight, incarnation, input, lease, log, meta, operation,
        pin, stream, unfinished, worker,
    },
    pack::{self, Body, Header, Kind, Pack},
};

const KEY: &[u8] = b"any key";
const WORKER: WorkerId = WorkerId::from_bytes([7; 16]);

/// How many kinds of stored value there are.
pub const KINDS: u8 = 16;

/// The payload of a stored value of this kind: it is decoded or refused, never a panic; what decodes
/// is the same after it was stored again.
pub fn value(kind: u8, payload: &[u8]) {
    match kind % KINDS {
        0 => record::<WorkerRecord>(worker::TABLE, payload),
        1 => record::<AllocationRecord>(allocation::TABLE, payload),
        2 => record::<UnfinishedRecord>(unfinished::TABLE, payload),
        3 => record::<ReceiptRecord>(input::TABLE, payload),
        4 => record::<IncarnationRecord>(incarnation::TABLE, payload),
        5 => record::<RuntimeRecord>(meta::TABLE, payload),
        6 => record::<meta::State>(meta::TABLE, payload),
        7 => record::<meta::Format>(meta::TABLE, payload),
        8 => record::<Vec<meta::Loss>>(meta::TABLE, payload),
        9 => record::<pin::Pin>(pin::TABLE, payload),
        10 => record::<stream::Base>(stream::TABLE, payload),
        11 => record::<in_flight::Piece>(in_flight::TABLE, payload),
        12 => packed(Kind::Log, payload),
        13 => packed(Kind::History, payload),
        14 => record::<LeaseRecord>(lease::TABLE, payload),
        _ => record::<OperationRecord>(operation::TABLE, payload),
    }
}

/// The keys of rows: parsed or refused, and the same when made again.
pub fn key(bytes: &[u8]) {
    if let Ok(first) = log::parse(bytes) {
        assert_eq!(log::key(first).as_bytes(), bytes);
    }
    if let Ok((worker_id, first)) = history::parse(bytes) {
        assert_eq!(history::key(worker_id, first).as_bytes(), bytes);
    }
    if let Ok((worker_id, block, offset)) = in_flight::parse(bytes) {
        assert_eq!(in_flight::key(worker_id, block, offset).as_bytes(), bytes);
    }
}

/// A sealed value is taken as it is, and with any bit changed, cut short, or under another key or
/// table it is refused.
pub fn sealed(payload: &[u8], at: usize, bit: u8) {
    let value = seal(log::TABLE, payload);
    assert_eq!(codec::open(log::TABLE, KEY, &value).ok(), Some(payload));
    assert!(codec::open(history::TABLE, KEY, &value).is_err());
    assert!(codec::open(log::TABLE, b"another key", &value).is_err());
    let at = at % value.len();
    let short = value.get(..at).unwrap_or_default();
    assert!(codec::open(log::TABLE, KEY, short).is_err());
    let mut changed = value;
    if let Some(byte) = changed.get_mut(at) {
        *byte ^= 1 << (bit % 8);
    }
    assert!(codec::open(log::TABLE, KEY, &changed).is_err());
}

/// Bytes that nobody sealed.
pub fn unsealed(value: &[u8]) {
    let opened = codec::open(log::TABLE, KEY, value);
    assert!(opened.is_err(), "nobody makes a checksum by chance");
    assert!(Pack::open_log(log::TABLE, KEY, value).is_err());
}

fn seal(table: Table, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    codec::start(&mut value);
    value.extend_from_slice(payload);
    codec::finish(table, KEY, &mut value);
    value
}

fn record<T>(table: Table, payload: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let value = seal(table, payload);
    let Ok(record) = codec::open_record::<T>(table, KEY, &value) else {
        return;
    };
    let mut again = Vec::new();
    codec::seal_record(table, KEY, &record, &mut again).expect("what was read can be written");
    if again != value {
        // Maps are sorted and JSON texts made anew when they are written: once, and then no more.
        let read: T = codec::open_record(table, KEY, &again).expect("what was written can be read");
        assert_eq!(read, record);
        let mut third = Vec::new();
        codec::seal_record(table, KEY, &read, &mut third).expect("what was read can be written");
        assert_eq!(third, again);
    }
}

fn packed(kind: Kind, payload: &[u8]) {
    let Ok(header) = Header::decode(&mut Cut::new(payload)) else {
        return;
    };
    let mut encoded = Vec::new();
    header.encode(&mut encoded);
    let (table, key) = match kind {
        Kind::Log => (log::TABLE, log::key(header.first_position)),
        Kind::History => (history::TABLE, history::key(WORKER, header.first_position)),
    };
    let mut value = Vec::new();
    codec::start(&mut value);
    value.extend_from_slice(payload);
    codec::finish(table, key.as_bytes(), &mut value);
    let opened = match kind {
        Kind::Log => Pack::open_log(table, key.as_bytes(), &value),
        Kind::History => Pack::open_history(table, key.as_bytes(), &value, WORKER),
    };
    let Ok(pack) = opened else { return };
    assert_eq!(pack.header, header);
    let _ = pack.redacted(WORKER, Position(u64::MAX));
    let mut is_purged = false;
    for entry in pack.events() {
        let Ok(entry) = entry else { return };
        is_purged |= entry.purged.is_some();
        let body = Body::of_entry(&entry);
        pack::encode(kind, &entry.event, body, &mut encoded).expect("what was read can be written");
    }
    // A purged event's mark is set on its bytes, and its data is not there to be written again.
    if !is_purged {
        assert_eq!(encoded, payload, "the same bytes");
    }
}

/// A pack of these events, to begin with.
///
/// # Panics
/// Never with events that can be stored.
pub fn sample_pack(in_log: bool, events: &[Event]) -> Vec<u8> {
    let kind = if in_log { Kind::Log } else { Kind::History };
    let (mut header, mut entries, mut scratch) = (Header::empty(kind), Vec::new(), Vec::new());
    for event in events {
        let body = Body::of(event);
        let digest = pack::event_digest(event, body, &mut scratch).expect("it can be stored");
        header.add(event, pack::EncodedEvent { digest, body }, 0);
        pack::encode(kind, event, body, &mut entries).expect("it can be stored");
    }
    let mut payload = Vec::new();
    header.encode(&mut payload);
    payload.extend_from_slice(&entries);
    payload
}

/// A record as it is stored, without its seal, to begin with.
///
/// # Panics
/// Never with records that can be stored.
pub fn sample_record<T: Serialize>(record: &T) -> Vec<u8> {
    let mut value = Vec::new();
    codec::seal_record(worker::TABLE, KEY, record, &mut value).expect("it can be stored");
    value.split_off(codec::SEAL_LEN_BYTES)
}
