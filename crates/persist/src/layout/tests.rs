//! Keys come back as they were made, sort like what they name, and tables are told apart.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use worker_runtime_core::{
    BlockId, Generation, LeaseId, OperationId, Position, Seq, Stream, WorkerId,
};

use super::{
    SUM_COUNT, TABLES, age, allocation, history, in_flight, incarnation, input,
    large::{self, Owner},
    lease, log, operation, pin, stream, unfinished, worker,
};

fn id() -> impl Strategy<Value = WorkerId> {
    any::<[u8; 16]>().prop_map(WorkerId::from_bytes)
}

fn block() -> impl Strategy<Value = BlockId> {
    (any::<u64>(), any::<u32>()).prop_map(|(generation, index)| BlockId {
        generation: Generation(generation),
        index,
    })
}

#[test]
fn every_table_has_its_own_name_and_its_own_sum() {
    let names: BTreeSet<_> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(names.len(), TABLES.len());
    let sums: Vec<_> = TABLES.iter().filter_map(|table| table.sum).collect();
    assert_eq!(sums, (0..SUM_COUNT).collect::<Vec<_>>());
    for (index, table) in TABLES.iter().enumerate() {
        assert_eq!(table.index(), index, "{}", table.name);
    }
}

proptest! {
    #[test]
    fn keys_of_packs_come_back_and_sort(a in (id(), any::<u64>()), b in (id(), any::<u64>())) {
        let key = |(id, first): (WorkerId, u64)| history::key(id, Position(first));
        prop_assert_eq!(history::parse(key(a).as_bytes()).unwrap(), (a.0, Position(a.1)));
        prop_assert_eq!(key(a).as_bytes().cmp(key(b).as_bytes()), a.cmp(&b));
        let (log_a, log_b) = (log::key(Position(a.1)), log::key(Position(b.1)));
        prop_assert_eq!(log::parse(log_a.as_bytes()).unwrap(), Position(a.1));
        prop_assert_eq!(log_a.as_bytes().cmp(log_b.as_bytes()), a.1.cmp(&b.1));
        let age_a = age::key(Position(a.1));
        prop_assert_eq!(age::parse(age_a.as_bytes()).unwrap(), Position(a.1));
    }

    #[test]
    fn keys_of_records_sort(a in (id(), any::<u64>()), b in (id(), any::<u64>())) {
        let key = |(id, seq): (WorkerId, u64)| unfinished::key(id, Seq(seq));
        prop_assert_eq!(key(a).as_bytes().cmp(key(b).as_bytes()), a.cmp(&b));
        let (worker_a, worker_b) = (worker::key(a.0), worker::key(b.0));
        prop_assert_eq!(worker_a.as_bytes().cmp(worker_b.as_bytes()), a.0.cmp(&b.0));
        let lease = |id: WorkerId| lease::key(LeaseId::from_bytes(id.to_bytes()));
        let (lease_a, lease_b) = (lease(a.0), lease(b.0));
        prop_assert_eq!(lease_a.as_bytes().cmp(lease_b.as_bytes()), a.0.cmp(&b.0));
        let (held_a, held_b) = (allocation::key(a.0), allocation::key(b.0));
        prop_assert_eq!(held_a.as_bytes().cmp(held_b.as_bytes()), a.0.cmp(&b.0));
        let number = |of: u64| operation::key(OperationId(of));
        let (number_a, number_b) = (number(a.1), number(b.1));
        prop_assert_eq!(number_a.as_bytes().cmp(number_b.as_bytes()), a.1.cmp(&b.1));
        for number in [incarnation::key, pin::key] {
            prop_assert_eq!(number(a.1).as_bytes().cmp(number(b.1).as_bytes()), a.1.cmp(&b.1));
        }
    }

    #[test]
    fn keys_of_receipts_hold_the_worker_and_the_digest(id in id(), digest in any::<[u8; 16]>()) {
        let key = input::key(id, digest);
        prop_assert_eq!(key.as_bytes(), [id.to_bytes(), digest].concat());
    }

    #[test]
    fn keys_of_pieces_come_back_and_sort(
        a in (id(), block(), any::<u64>()),
        b in (id(), block(), any::<u64>()),
    ) {
        let key = |(id, block, offset)| in_flight::key(id, block, offset);
        prop_assert_eq!(in_flight::parse(key(a).as_bytes()).unwrap(), a);
        prop_assert_eq!(key(a).as_bytes().cmp(key(b).as_bytes()), a.cmp(&b));
    }

    #[test]
    fn a_streams_base_stands_before_its_gaps_and_apart_from_others(
        id in id(),
        from in any::<u64>(),
    ) {
        let of_worker = Stream::Worker(id);
        let base = stream::base_key(of_worker);
        let gap = stream::gap_key(of_worker, Position(from));
        prop_assert!(base.as_bytes() < gap.as_bytes());
        let of_runtime = stream::gap_key(Stream::Runtime, Position(u64::MAX));
        prop_assert!(of_runtime.as_bytes() < base.as_bytes());
    }

    #[test]
    fn pieces_of_a_payload_join_and_stand_in_order(
        payload in prop::collection::vec(any::<u8>(), 0..200_000),
        id in id(),
        seq in any::<u64>(),
    ) {
        let pieces: Vec<_> = large::pieces(&payload).collect();
        prop_assert_eq!(&pieces.concat(), &payload);
        prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() < 64 << 10));
        let owner = Owner::Worker(id, Seq(seq));
        let keys: Vec<_> = (0..pieces.len() as u32).map(|piece| owner.key(piece)).collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes()));
    }
}
