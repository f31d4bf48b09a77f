//! Any sequence of batches, idling, closing, crashing and trimming leaves what a plain model says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use worker_runtime_core::{
    BlockId, EventType, Generation, ItemIndex, Position, Seq, Stream, WorkerId,
    record::WorkerRecord,
    store::{
        Batch, BlockKind, Change, Checkpoint, ReplayRequest, Store,
        conformance::{
            Script, all_items, assert_same, receipt_record, unfinished_record, worker_record,
        },
    },
};

use super::{crashed_copy, small};
use crate::FileStore;

const WORKERS: usize = 5;

#[derive(Debug, Clone)]
enum Step {
    Events(Vec<(usize, bool, usize)>),
    Record(usize, bool),
    Receipt(usize, u8),
    Accept(usize, u64),
    Finish(usize, u64),
    Checkpoint(usize, u32, usize),
    Fold(usize, u32),
    Trim(usize, u64),
    Idle,
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    let len = prop_oneof![8 => 10..600_usize, 1 => 2_000..2_100_usize, 1 => 10_000..40_000_usize];
    let event = (0..WORKERS + 1, any::<bool>(), len);
    prop_oneof![
        8 => prop::collection::vec(event, 1..60).prop_map(Step::Events),
        1 => (worker.clone(), any::<bool>()).prop_map(|(w, paused)| Step::Record(w, paused)),
        1 => (worker.clone(), 0..4_u8).prop_map(|(w, key)| Step::Receipt(w, key)),
        1 => (worker.clone(), 1..5_u64).prop_map(|(w, seq)| Step::Accept(w, seq)),
        1 => (worker.clone(), 1..5_u64).prop_map(|(w, seq)| Step::Finish(w, seq)),
        1 => (worker.clone(), 0..2_u32, 1..20_000_usize)
            .prop_map(|(w, block, len)| Step::Checkpoint(w, block, len)),
        1 => (worker.clone(), 0..2_u32).prop_map(|(w, block)| Step::Fold(w, block)),
        1 => (worker, 1..150_u64).prop_map(|(w, seq)| Step::Trim(w, seq)),
        2 => Just(Step::Idle),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct Model {
    script: Script,
    ids: Vec<WorkerId>,
    records: BTreeMap<WorkerId, WorkerRecord>,
    receipts: BTreeSet<(WorkerId, u8)>,
    waiting: BTreeSet<(WorkerId, Seq)>,
    blocks: BTreeMap<(WorkerId, u32), Vec<u8>>,
    trimmed: BTreeMap<WorkerId, Seq>,
}

fn block(index: u32) -> BlockId {
    BlockId {
        generation: Generation(1),
        index,
    }
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        model.ids = (0..WORKERS).map(|_| model.script.worker()).collect();
        model
    }

    /// What the step commits; the model has it from then on.
    fn batch(&mut self, step: &Step) -> Batch {
        let mut batch = Batch::default();
        let change = match step {
            Step::Events(events) => {
                batch.events = self.events(events);
                return batch;
            }
            Step::Record(worker, paused) => {
                let mut record = worker_record(self.ids[*worker]);
                record.paused = *paused;
                self.records.insert(record.worker_id, record.clone());
                Change::Worker(Arc::new(record))
            }
            Step::Receipt(worker, key) => {
                self.receipts.insert((self.ids[*worker], *key));
                Change::Receipt(self.ids[*worker], [*key; 16], receipt_record(Seq(1)))
            }
            Step::Accept(worker, seq) => {
                let record = unfinished_record(self.ids[*worker], Seq(*seq));
                self.waiting.insert((record.worker_id, Seq(*seq)));
                Change::Unfinished(Arc::new(record))
            }
            Step::Finish(worker, seq) => {
                self.waiting.remove(&(self.ids[*worker], Seq(*seq)));
                Change::Finished(self.ids[*worker], Seq(*seq))
            }
            Step::Checkpoint(worker, index, len) => self.checkpoint(*worker, *index, *len),
            Step::Fold(worker, index) => {
                self.blocks.remove(&(self.ids[*worker], *index));
                Change::Fold(self.ids[*worker], block(*index))
            }
            Step::Trim(worker, seq) => {
                let id = self.ids[*worker];
                let reached = Seq(*seq).min(self.script.head(id).0);
                let trimmed = self.trimmed.entry(id).or_default();
                *trimmed = reached.max(*trimmed);
                Change::Trim(id, Seq(*seq))
            }
            Step::Idle | Step::Reopen | Step::Crash => return batch,
        };
        batch.changes.push(change);
        batch
    }

    fn events(&mut self, events: &[(usize, bool, usize)]) -> Vec<worker_runtime_core::Event> {
        let made = events.iter().map(|(worker, bears, len)| {
            let kind = if *bears {
                EventType::BLOCK_FINISHED
            } else {
                EventType::USAGE
            };
            let owner = self.ids.get(*worker).copied();
            self.script.event(owner, kind, "x".repeat(*len))
        });
        made.collect()
    }

    fn checkpoint(&mut self, worker: usize, index: u32, len: usize) -> Change {
        let id = self.ids[worker];
        let bytes = self.blocks.entry((id, index)).or_default();
        let offset_bytes = bytes.len() as u64;
        let new = vec![b'a' + (len % 26) as u8; len];
        bytes.extend_from_slice(&new);
        Change::Checkpoint(Checkpoint {
            worker_id: id,
            block: block(index),
            kind: BlockKind::Text,
            parent: None,
            offset_bytes,
            bytes: Bytes::from(new),
        })
    }

    fn compare(&self, store: &mut FileStore) {
        let loaded = store.load().unwrap();
        assert_eq!(loaded.damaged, []);
        assert_eq!(loaded.position, self.script.position());
        let records = loaded.workers.iter().map(|record| record.as_ref());
        assert!(records.eq(self.records.values()));
        let waiting = loaded.unfinished.iter();
        let waiting = waiting.map(|record| (record.worker_id, record.accepted.seq));
        assert!(waiting.eq(self.waiting.iter().copied()));
        let reader = store.reader();
        let all = Script::read(
            reader.as_ref(),
            Stream::Runtime,
            self.untrimmed_until(),
            500,
        );
        assert_same(&all, &self.script.events[..all.len()]);
        for id in &self.ids {
            self.compare_worker(store, *id);
            for key in 0..4 {
                let receipt = reader.receipt(*id, [key; 16]).unwrap();
                assert_eq!(receipt.is_some(), self.receipts.contains(&(*id, key)));
            }
            let blocks = reader.in_flight(*id).unwrap().into_iter();
            let blocks: Vec<_> = blocks.map(|one| (one.block.index, one.bytes)).collect();
            let expected = self.blocks.iter().filter(|((owner, _), _)| owner == id);
            let expected = expected.map(|((_, index), bytes)| (*index, Bytes::from(bytes.clone())));
            assert_eq!(blocks, expected.collect::<Vec<_>>());
        }
    }

    /// Up to here the Runtime's stream is whole: a large payload that was trimmed is a gap in it.
    fn untrimmed_until(&self) -> Position {
        let gone = self.script.events.iter().find(|event| {
            event.data.len() > 2048
                && event.worker.is_some_and(|place| {
                    let trimmed = self.trimmed.get(&place.worker_id);
                    trimmed.is_some_and(|trimmed| place.seq <= *trimmed)
                })
        });
        match gone {
            Some(event) => Position(event.position.0 - 1),
            None => self.script.position(),
        }
    }

    fn compare_worker(&self, store: &FileStore, id: WorkerId) {
        let reader = store.reader();
        let stream = Stream::Worker(id);
        let (seq, items) = self.script.head(id);
        let head = reader.worker_head(id).unwrap();
        assert_eq!((head.seq, head.items), (seq, items));
        let trimmed = self.trimmed.get(&id).copied().unwrap_or_default();
        let all = self.script.of(stream);
        let (gone, left) = all.split_at(trimmed.0 as usize);
        let bounds = reader.bounds(stream).unwrap();
        assert_eq!(bounds.trimmed_to_seq, trimmed);
        let last_gone = gone.last().map(|event| event.position).unwrap_or_default();
        assert_eq!(bounds.trimmed_to, last_gone);
        let request = ReplayRequest {
            stream,
            after: last_gone,
            until: self.script.position(),
            events_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        let page = reader.replay(&request).unwrap();
        assert_eq!(page.gap, None);
        assert_same(&page.events, left);
        let wanted = ItemIndex(items.0.saturating_sub(5))..items;
        let slice = reader
            .transcript(&all_items(id, wanted.clone(), self.script.position()))
            .unwrap();
        assert_eq!(slice.items, items);
        let in_range = left.iter().filter(|event| {
            let item = event.worker.and_then(|place| place.item);
            item.is_some_and(|item| wanted.contains(&item))
        });
        assert_same(&slice.events, &in_range.cloned().collect::<Vec<_>>());
    }
}

fn open(path: &Path) -> FileStore {
    FileStore::open(path, small()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_store_is_what_was_committed(steps in prop::collection::vec(step(), 1..60)) {
        let mut directory: TempDir = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let mut model = Model::new();
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Idle => store.idle().unwrap(),
                Step::Reopen => {
                    Box::new(store).close().unwrap();
                    store = open(directory.path());
                }
                Step::Crash => {
                    let copy = crashed_copy(directory.path());
                    drop(store);
                    directory = copy;
                    store = open(directory.path());
                }
                other => {
                    let batch = model.batch(other);
                    store.commit(&batch).unwrap();
                }
            }
            if index % 7 == 6 {
                model.compare(&mut store);
            }
        }
        model.compare(&mut store);
        Box::new(store).close().unwrap();
        model.compare(&mut open(directory.path()));
    }
}
