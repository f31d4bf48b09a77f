//! A sealed value is what was written, where it was written, or it is damage.

use proptest::prelude::*;
use worker_runtime_core::{
    WorkerId,
    record::{UnfinishedRecord, WorkerRecord},
    store::conformance::{unfinished_record, worker_record},
};

use crate::{
    codec::{finish, open, open_record, seal_record, start},
    layout::{input, worker},
};

fn sealed(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    start(&mut value);
    value.extend_from_slice(payload);
    finish(worker::TABLE, key, &mut value);
    value
}

proptest! {
    #[test]
    fn every_changed_bit_is_noticed(
        key in prop::collection::vec(any::<u8>(), 1..40),
        payload in prop::collection::vec(any::<u8>(), 0..3000),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut value = sealed(&key, &payload);
        prop_assert_eq!(open(worker::TABLE, &key, &value).unwrap(), payload.as_slice());
        let at = at.index(value.len());
        value[at] ^= 1 << bit;
        prop_assert!(open(worker::TABLE, &key, &value).is_err());
    }

    #[test]
    fn a_value_under_another_key_or_in_another_table_is_noticed(
        key in prop::collection::vec(any::<u8>(), 1..40),
        other in prop::collection::vec(any::<u8>(), 1..40),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assume!(key != other);
        let value = sealed(&key, &payload);
        prop_assert!(open(worker::TABLE, &other, &value).is_err());
        prop_assert!(open(input::TABLE, &key, &value).is_err());
    }

    #[test]
    fn a_value_that_was_cut_off_is_noticed(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
    ) {
        let value = sealed(b"k", &payload);
        let cut = at.index(value.len());
        prop_assert!(open(worker::TABLE, b"k", &value[..cut]).is_err());
    }
}

#[test]
fn records_come_back_as_they_were() {
    let id = WorkerId::from_bytes([3; 16]);
    let mut value = Vec::new();
    let record = worker_record(id);
    seal_record(worker::TABLE, b"k", &record, &mut value).unwrap();
    let back: WorkerRecord = open_record(worker::TABLE, b"k", &value).unwrap();
    assert_eq!(back, record);
    let waiting = unfinished_record(id, worker_runtime_core::Seq(8));
    seal_record(worker::TABLE, b"k", &waiting, &mut value).unwrap();
    let back: UnfinishedRecord = open_record(worker::TABLE, b"k", &value).unwrap();
    assert_eq!(back, waiting);
}

#[test]
fn bytes_behind_a_record_are_damage() {
    let mut value = Vec::new();
    start(&mut value);
    value.extend_from_slice(&[1, 0, 0, 0, 9]);
    finish(worker::TABLE, b"k", &mut value);
    assert!(open_record::<u32>(worker::TABLE, b"k", &value).is_err());
    value.pop();
    finish(worker::TABLE, b"k", &mut value);
    assert_eq!(open_record::<u32>(worker::TABLE, b"k", &value).unwrap(), 1);
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_memory_is_taken() {
    let mut value = Vec::new();
    start(&mut value);
    value.extend_from_slice(&u64::MAX.to_le_bytes());
    finish(worker::TABLE, b"k", &mut value);
    assert!(open_record::<Vec<u8>>(worker::TABLE, b"k", &value).is_err());
}
