//! What is done to the rows of a store, and what a check must say of it.

use std::sync::Arc;

use worker_runtime_core::{
    BlockId, Code, Digest, Fence, Generation, Position, Seq, Stream, WorkerId,
    record::{Lifecycle, UnfinishedRecord},
    store::BlockKind,
};

use super::{
    all, allocation_of, of, put_allocation, put_worker, refolded, remove_one, reseal, reseal_last,
    reseal_last_log, reseal_log, worker_of,
};
use crate::{
    codec,
    engine::Writing,
    layout::{
        age, allocation, history, in_flight,
        in_flight::Piece,
        input,
        large::{self, Owner},
        log,
        meta::State,
        stream,
        stream::Base,
        unfinished, worker,
    },
};

pub(super) type Edit = fn(&mut Writing<'_>, &mut State, &[WorkerId]);

/// What is done, and what a check of all of it says; which of these a quick one says too.
pub(super) struct Case(
    pub(super) &'static str,
    pub(super) Code,
    pub(super) bool,
    pub(super) Edit,
);

pub(super) const CASES: &[Case] = &[
    Case(
        "a text in a history",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal(rows, ids[2], |_, entries| {
                let at = entries.len() - 20;
                entries[at] ^= 1;
            });
        },
    ),
    Case(
        "an event's time in a history",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal(rows, ids[2], |_, entries| entries[9] ^= 1);
        },
    ),
    Case(
        "another event than the log has",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal_last(rows, ids[2], |header, entries| {
                entries[9] ^= 1;
                header.chain_after = refolded(*header, entries, Some(ids[2]));
            });
        },
    ),
    Case(
        "a last pack that follows on another history",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal_last(rows, ids[2], |header, entries| {
                header.chain_before = Digest([5; 16]);
                header.chain_after = refolded(*header, entries, Some(ids[2]));
            });
        },
    ),
    Case(
        "a last pack that follows on another log",
        Code::EventDamaged,
        false,
        |rows, state, _| {
            reseal_last_log(rows, |header, entries| {
                header.chain_before = Digest([5; 16]);
                header.chain_after = refolded(*header, entries, None);
                state.chain = header.chain_after;
            });
        },
    ),
    Case(
        "the chain before a pack",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal(rows, ids[2], |header, _| {
                header.chain_before = Digest([5; 16])
            });
        },
    ),
    Case(
        "the chain after a pack",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal(rows, ids[2], |header, _| {
                header.chain_after = Digest([5; 16])
            });
        },
    ),
    Case(
        "the count of a pack",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal(rows, ids[2], |header, _| header.count += 1);
        },
    ),
    Case(
        "the items before a pack",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            reseal(rows, ids[2], |header, _| header.first_item.0 += 1);
        },
    ),
    Case(
        "a text in the log",
        Code::EventDamaged,
        false,
        |rows, _, _| {
            reseal_log(rows, |_, entries| {
                let at = entries.len() - 20;
                entries[at] ^= 1;
            });
        },
    ),
    Case(
        "the chain of the log",
        Code::EventDamaged,
        false,
        |rows, _, _| {
            reseal_log(rows, |header, _| header.chain_before = Digest([5; 16]));
        },
    ),
    Case(
        "the chain of the last commit",
        Code::EventDamaged,
        false,
        |_, state, _| {
            state.chain = Digest([6; 16]);
        },
    ),
    Case(
        "a pack of the log is gone, with events of the Runtime",
        Code::EventDamaged,
        false,
        |rows, _, _| {
            let (key, _) = all(rows, log::TABLE).swap_remove(1);
            rows.remove(log::TABLE, &key).unwrap();
        },
    ),
    Case(
        "the newest pack of a history is gone",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            let (key, _) = of(rows, history::TABLE, ids[4]).pop().unwrap();
            rows.remove(history::TABLE, &key).unwrap();
        },
    ),
    Case(
        "the oldest pack of a history is gone",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            let (key, _) = of(rows, history::TABLE, ids[2]).remove(0);
            rows.remove(history::TABLE, &key).unwrap();
        },
    ),
    Case(
        "all of a history is gone",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            for (key, _) in of(rows, history::TABLE, ids[2]) {
                rows.remove(history::TABLE, &key).unwrap();
            }
        },
    ),
    Case(
        "a payload is gone",
        Code::EventDamaged,
        false,
        |rows, _, _| {
            remove_one(rows, large::TABLE);
        },
    ),
    Case(
        "a payload that nothing refers to",
        Code::CheckLeftover,
        false,
        |rows, _, ids| {
            let key = Owner::Worker(ids[1], Seq(1 << 30)).key(0);
            rows.put_bytes(large::TABLE, key.as_bytes(), &[7; 99])
                .unwrap();
        },
    ),
    Case(
        "a payload of the Runtime that nothing refers to",
        Code::CheckLeftover,
        false,
        |rows, _, _| {
            let key = Owner::Runtime(Position(1 << 30)).key(0);
            rows.put_bytes(large::TABLE, key.as_bytes(), &[7; 99])
                .unwrap();
        },
    ),
    Case(
        "a row of the index of ages is gone",
        Code::CheckDerived,
        false,
        |rows, _, _| {
            remove_one(rows, age::TABLE);
        },
    ),
    Case(
        "the index of ages names another",
        Code::CheckDerived,
        false,
        |rows, _, ids| {
            let key = age::key(Position(1 << 30));
            rows.put_bytes(age::TABLE, key.as_bytes(), &ids[1].to_bytes())
                .unwrap();
        },
    ),
    Case(
        "the bytes of the log",
        Code::CheckDerived,
        false,
        |_, state, _| state.log_bytes += 1,
    ),
    Case(
        "the bytes of histories",
        Code::CheckDerived,
        false,
        |_, state, _| {
            state.history_bytes += 1;
        },
    ),
    Case(
        "what was trimmed of a Worker",
        Code::EventDamaged,
        false,
        |rows, _, ids| {
            let key = stream::base_key(Stream::Worker(ids[4]));
            rows.put_record(stream::TABLE, key.as_bytes(), &Base::default())
                .unwrap();
        },
    ),
    Case(
        "a receipt is gone",
        Code::RecordDamaged,
        false,
        |rows, _, ids| {
            let (key, _) = of(rows, input::TABLE, ids[2]).remove(0);
            rows.remove(input::TABLE, &key).unwrap();
        },
    ),
    Case(
        "a Worker's record is gone",
        Code::WorkerDamaged,
        true,
        |rows, _, ids| {
            rows.remove(worker::TABLE, worker::key(ids[0]).as_bytes())
                .unwrap();
        },
    ),
    Case(
        "a scope of a Worker that ended",
        Code::CheckHolding,
        true,
        |rows, _, ids| {
            let mut record = worker_of(rows, ids[2]);
            record.lifecycle = Lifecycle::Stopped;
            put_worker(rows, &record);
        },
    ),
    Case(
        "a scope that is not there",
        Code::CheckHolding,
        true,
        |rows, _, ids| {
            rows.remove(allocation::TABLE, allocation::key(ids[2]).as_bytes())
                .unwrap();
        },
    ),
    Case(
        "another scope than the record says",
        Code::CheckHolding,
        true,
        |rows, _, ids| {
            let mut held = allocation_of(rows, ids[2]);
            held.scope = Arc::default();
            put_allocation(rows, &held);
        },
    ),
    Case(
        "two who may write at one path",
        Code::CheckHolding,
        true,
        |rows, _, ids| {
            let scope = allocation_of(rows, ids[1]).scope;
            let mut held = allocation_of(rows, ids[2]);
            held.scope = Arc::clone(&scope);
            put_allocation(rows, &held);
            let mut record = worker_of(rows, ids[2]);
            record.scope = Some(scope);
            put_worker(rows, &record);
        },
    ),
    Case(
        "a fence that was never granted",
        Code::CheckHolding,
        true,
        |rows, _, ids| {
            let mut held = allocation_of(rows, ids[2]);
            held.fence = Fence(1 << 20);
            put_allocation(rows, &held);
        },
    ),
    Case(
        "a fence of two",
        Code::CheckHolding,
        true,
        |rows, _, ids| {
            let mut held = allocation_of(rows, ids[2]);
            held.fence = allocation_of(rows, ids[1]).fence;
            put_allocation(rows, &held);
        },
    ),
    Case(
        "output of a run that has ended",
        Code::CheckLeftover,
        true,
        |rows, _, ids| {
            let piece = Piece {
                kind: BlockKind::Text,
                parent: None,
                bytes: b"left behind".to_vec(),
            };
            let block = BlockId {
                generation: Generation(2),
                index: 0,
            };
            let key = in_flight::key(ids[0], block, 0);
            rows.put_record(in_flight::TABLE, key.as_bytes(), &piece)
                .unwrap();
        },
    ),
    Case(
        "output whose front is gone",
        Code::RecordDamaged,
        true,
        |rows, _, ids| {
            let (key, _) = of(rows, in_flight::TABLE, ids[0]).remove(0);
            rows.remove(in_flight::TABLE, &key).unwrap();
        },
    ),
    Case(
        "an input of a Worker that was deleted",
        Code::CheckLeftover,
        true,
        |rows, _, ids| {
            let (key, value) = of(rows, unfinished::TABLE, ids[1]).remove(0);
            let mut record: UnfinishedRecord =
                codec::open_record(unfinished::TABLE, &key, &value).unwrap();
            record.worker_id = ids[5];
            let key = unfinished::key(ids[5], Seq(1));
            rows.put_record(unfinished::TABLE, key.as_bytes(), &record)
                .unwrap();
        },
    ),
];
