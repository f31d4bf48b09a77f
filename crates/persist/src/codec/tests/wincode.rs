//! The codec can be replaced without touching a file: `wincode` reads and writes the same bytes.
//!
//! bincode is not maintained any more. The mirrors below are plain structs with the fields of the
//! stored records in the same order; a field that is added to a record must be added here.

use std::{collections::BTreeMap, sync::Arc};

use wincode::{SchemaRead, SchemaWrite};
use worker_runtime_core::{
    Digest, Epoch, Generation, Position, Revision, Seq, Timestamp, WorkerId,
    record::{Lifecycle, Recorded},
    store::{
        BlockKind,
        conformance::{receipt_record, unfinished_record, worker_record},
    },
};

use crate::{
    codec::{SEAL_LEN_BYTES, finish, open_record, seal_record, start},
    layout::{
        in_flight::Piece,
        meta::{State, TableSum},
        worker,
    },
};

#[derive(Debug, Clone, PartialEq, SchemaWrite, SchemaRead)]
struct RecordedMirror {
    seq: u64,
    position: u64,
    at: u64,
    incarnation_id: u32,
}

impl From<Recorded> for RecordedMirror {
    fn from(recorded: Recorded) -> Self {
        Self {
            seq: recorded.seq.0,
            position: recorded.position.0,
            at: recorded.at.unix_ms(),
            incarnation_id: recorded.incarnation_id,
        }
    }
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
struct ReceiptMirror {
    content_digest: [u8; 16],
    accepted: RecordedMirror,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
struct InputMirror {
    input_id: String,
    kind: u32,
    segments: String,
    budget: String,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
struct UnfinishedMirror {
    worker_id: [u8; 16],
    accepted: RecordedMirror,
    input: InputMirror,
    mode: u32,
    run: Option<u8>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
struct PieceMirror {
    kind: u32,
    parent: Option<(u64, u32)>,
    bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
struct StateMirror {
    position: u64,
    at: u64,
    chain: [u8; 16],
    store_ms: u64,
    tail_floor: u64,
    log_bytes: u64,
    history_bytes: u64,
    sums: [(u64, u64); 12],
}

/// The front of a Worker's record, up to its labels: text, options and maps.
#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
struct WorkerFrontMirror {
    worker_id: [u8; 16],
    fingerprint: [u8; 16],
    created: RecordedMirror,
    spec: String,
    display_name: Option<String>,
    labels: BTreeMap<String, String>,
}

fn payload<T: serde::Serialize>(record: &T) -> Vec<u8> {
    let mut value = Vec::new();
    seal_record(worker::TABLE, b"k", record, &mut value).unwrap();
    value.split_off(SEAL_LEN_BYTES)
}

fn back<T: serde::de::DeserializeOwned>(payload: &[u8]) -> T {
    let mut value = Vec::new();
    start(&mut value);
    value.extend_from_slice(payload);
    finish(worker::TABLE, b"k", &mut value);
    open_record(worker::TABLE, b"k", &value).unwrap()
}

#[test]
fn a_receipt_has_the_same_bytes() {
    let receipt = receipt_record(Seq(77));
    let mirror = ReceiptMirror {
        content_digest: receipt.content_digest.0,
        accepted: receipt.accepted.into(),
    };
    let bytes = wincode::serialize(&mirror).unwrap();
    assert_eq!(bytes, payload(&receipt));
    assert_eq!(
        wincode::deserialize::<ReceiptMirror>(&payload(&receipt)).unwrap(),
        mirror
    );
    assert_eq!(
        back::<worker_runtime_core::record::ReceiptRecord>(&bytes),
        receipt
    );
}

#[test]
fn an_unfinished_input_has_the_same_bytes() {
    let record = unfinished_record(WorkerId::from_bytes([5; 16]), Seq(9));
    let mirror = UnfinishedMirror {
        worker_id: [5; 16],
        accepted: record.accepted.into(),
        input: InputMirror {
            input_id: "input-9".to_owned(),
            kind: 0,
            segments: serde_json::to_string(&*record.input.segments).unwrap(),
            budget: serde_json::to_string(&*record.input.budget).unwrap(),
        },
        mode: 1,
        run: None,
    };
    let bytes = wincode::serialize(&mirror).unwrap();
    assert_eq!(bytes, payload(&Arc::new(record.clone())));
    assert_eq!(
        back::<worker_runtime_core::record::UnfinishedRecord>(&bytes),
        record
    );
}

#[test]
fn a_piece_of_a_block_has_the_same_bytes() {
    let piece = Piece {
        kind: BlockKind::ToolResult,
        parent: Some(worker_runtime_core::BlockId {
            generation: Generation(4),
            index: 2,
        }),
        bytes: vec![1, 2, 3],
    };
    let mirror = PieceMirror {
        kind: 3,
        parent: Some((4, 2)),
        bytes: vec![1, 2, 3],
    };
    let bytes = wincode::serialize(&mirror).unwrap();
    assert_eq!(bytes, payload(&piece));
    assert_eq!(back::<Piece>(&bytes), piece);
}

#[test]
fn the_state_has_the_same_bytes() {
    let mut state = State {
        position: Position(5),
        at: Timestamp::from_unix_ms(6),
        chain: Digest::of(b"chain"),
        store_ms: 7,
        tail_floor: Position(8),
        log_bytes: 9,
        history_bytes: 10,
        ..State::default()
    };
    state.sums[3] = TableSum {
        rows: 11,
        digest: 12,
    };
    let mut sums = [(0, 0); 12];
    sums[3] = (11, 12);
    let mirror = StateMirror {
        position: 5,
        at: 6,
        chain: state.chain.0,
        store_ms: 7,
        tail_floor: 8,
        log_bytes: 9,
        history_bytes: 10,
        sums,
    };
    let mut bytes = wincode::serialize(&mirror).unwrap();
    assert_eq!(
        bytes,
        payload(&state),
        "without a lease, as before there were any"
    );
    assert_eq!(back::<State>(&bytes), state);
    // The sum of the table that was added later stands behind all others.
    let lease = TableSum { rows: 2, digest: 9 };
    state.sums[12] = lease;
    bytes.push(1);
    bytes.extend(wincode::serialize(&(lease.rows, lease.digest)).unwrap());
    assert_eq!(bytes, payload(&state), "without an operation, as before");
    assert_eq!(back::<State>(&bytes), state);
    let operation = TableSum { rows: 4, digest: 3 };
    state.sums[13] = operation;
    bytes.push(1);
    bytes.extend(wincode::serialize(&(operation.rows, operation.digest)).unwrap());
    assert_eq!(bytes, payload(&state));
    assert_eq!(back::<State>(&bytes), state);
}

#[test]
fn the_front_of_a_workers_record_has_the_same_bytes() {
    let record = worker_record(WorkerId::from_bytes([5; 16]));
    assert_eq!((record.epoch, record.revision), (Epoch(1), Revision(1)));
    assert_eq!(record.lifecycle, Lifecycle::Active);
    let mirror = WorkerFrontMirror {
        worker_id: [5; 16],
        fingerprint: record.fingerprint.0,
        created: record.created.into(),
        spec: serde_json::to_string(&*record.spec).unwrap(),
        display_name: record.display_name.clone(),
        labels: record.labels.clone(),
    };
    let bytes = wincode::serialize(&mirror).unwrap();
    assert!(payload(&record).starts_with(&bytes));
}
