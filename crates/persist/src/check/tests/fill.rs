//! A store with rows in every table, as a Runtime would leave it: what Workers hold is what their records
//! say, what is in flight is a run's, the log and one history were trimmed.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use tempfile::TempDir;
use worker_runtime_core::{
    BlockId, Event, EventType, Fence, Generation, HeldRule, HeldScope, LeaseId, OperationId,
    Permission, Position, RunId, Seq, Stream, Timestamp, WorkerId,
    record::{AllocationRecord, Lifecycle, RunRecord, WorkerRecord},
    store::{
        Batch, BlockKind, Change, Checkpoint, Gap, ReplayRequest, Store, StoreReader,
        conformance::{
            Script, lease_record, operation_record, receipt_record, unfinished_record,
            worker_record,
        },
    },
};

use crate::{FileOptions, FileStore, OpenError, ReadStore, StoreOptions};

/// How a store is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    Closed,
    /// As a process that was killed leaves it.
    Killed,
}

pub(super) struct Filled {
    pub(super) directory: TempDir,
    pub(super) ids: Vec<WorkerId>,
    pub(super) position: Position,
    /// The file as it was some commits before.
    pub(super) older: Vec<u8>,
}

impl Filled {
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn options() -> FileOptions {
    let mut options = FileOptions {
        store: StoreOptions {
            cache_bytes: 4 << 20,
            ..StoreOptions::file()
        },
        ballast_bytes: 0,
        ..FileOptions::default()
    };
    options.store.tails_bytes_max = 8 << 10;
    options.store.log_window_bytes = 24 << 10;
    options.store.retention.log_bytes_max = 64 << 10;
    options.store.retention.worker_bytes_max = 40 << 10;
    options
}

fn scope(path: &str) -> Arc<HeldScope> {
    Arc::new(HeldScope {
        allow: vec![HeldRule {
            mount: "repo".into(),
            path: path.into(),
            target: format!("/repo/{path}"),
            permission: Permission::Write,
            recursive: true,
        }],
        deny: Vec::new(),
    })
}

/// The record of a Worker, and that of what it holds.
fn worker(id: WorkerId, path: &str, fence: u64) -> [Change; 2] {
    let record = WorkerRecord {
        scope: Some(scope(path)),
        input_count: 1,
        ..worker_record(id)
    };
    let held = AllocationRecord {
        worker_id: id,
        parent: None,
        scope: scope(path),
        fence: Fence(fence),
        granted_at: Timestamp::from_unix_ms(9),
        delegation: None,
    };
    [
        Change::Worker(Arc::new(record)),
        Change::Allocation(Arc::new(held)),
    ]
}

fn changes(changes: Vec<Change>) -> Batch {
    Batch {
        changes,
        ..Batch::default()
    }
}

/// Of six Workers the first runs something, the second waits for a turn, and the last was deleted.
fn begin(script: &mut Script, ids: &[WorkerId], store: &mut FileStore) {
    let mut runtime = store.load().unwrap().runtime;
    runtime.fence = Fence(20);
    let mut records = vec![Change::Runtime(runtime)];
    for (index, id) in ids.iter().enumerate() {
        records.extend(worker(*id, &format!("part-{index}"), index as u64 + 4));
        records.push(Change::Receipt(*id, [1; 16], receipt_record(Seq(1))));
    }
    let mut running = unfinished_record(ids[0], Seq(1));
    running.run = Some(RunRecord {
        run_id: RunId::from_bytes([7; 16]),
        generation: Generation(3),
        fence: Some(Fence(4)),
        started_at: Timestamp::from_unix_ms(9),
        deadline: None,
        cancel: None,
        actions: Vec::new(),
        usage: None,
    });
    records.push(Change::Unfinished(Arc::new(running)));
    let waiting = unfinished_record(ids[1], Seq(1));
    records.push(Change::Unfinished(Arc::new(waiting)));
    records.push(Change::Lease(Arc::new(lease_record(LeaseId::from_bytes(
        [9; 16],
    )))));
    let done = (1..4).map(|id| Change::Operation(Arc::new(operation_record(OperationId(id)))));
    records.extend(done);
    let mut batch = script.batch(ids, 60, 300);
    batch.changes = records;
    store.commit(&batch).unwrap();
}

fn checkpoint(worker_id: WorkerId) -> Change {
    Change::Checkpoint(Checkpoint {
        worker_id,
        block: BlockId {
            generation: Generation(3),
            index: 0,
        },
        kind: BlockKind::Text,
        parent: None,
        offset_bytes: 0,
        bytes: Bytes::from("not ended yet ".repeat(3_000)),
    })
}

/// Fills a store and leaves it so.
pub(super) fn filled(left: Left) -> Filled {
    let directory = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(directory.path(), options()).unwrap();
    let mut script = Script::default();
    let ids: Vec<WorkerId> = (0..6).map(|_| script.worker()).collect();
    begin(&mut script, &ids, &mut store);
    for round in 0..12 {
        let mut batch = script.batch(&ids, 48, 200 + 40 * round);
        let text = |len| format!("{{\"t\":\"{}\"}}", "z".repeat(len));
        batch.events.push(script.event(
            Some(ids[round % 6]),
            EventType::BLOCK_FINISHED,
            text(9_000),
        ));
        batch
            .events
            .push(script.event(None, EventType::DIAGNOSTIC, text(2_500)));
        store.commit(&batch).unwrap();
    }
    let older = fs::read(directory.path().join("runtime.redb")).unwrap();
    let mut gone = worker_record(ids[5]);
    gone.lifecycle = Lifecycle::Deleted;
    let last = vec![
        Change::Trim(ids[4], Seq(30)),
        Change::Release(ids[5]),
        Change::Worker(Arc::new(gone)),
        Change::Purge(ids[5]),
        checkpoint(ids[0]),
    ];
    store.commit(&changes(last)).unwrap();
    store.pin(Position(1 << 40)).unwrap();
    store.commit(&script.batch(&ids[..4], 24, 250)).unwrap();
    // The first waits for its turn to be flushed, and the second fills packs meanwhile.
    let mut batch = script.batch(&ids[..1], 1, 50);
    batch
        .events
        .extend(script.batch(&ids[1..2], 120, 300).events);
    store.commit(&batch).unwrap();
    if left == Left::Closed {
        Box::new(store).close().unwrap();
        return Filled {
            directory,
            ids,
            position: script.position(),
            older,
        };
    }
    let copy = tempfile::tempdir().unwrap();
    for name in ["runtime.redb", "head"] {
        fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    drop(store);
    Filled {
        directory: copy,
        ids,
        position: script.position(),
        older,
    }
}

/// All that a stream gives.
type Streamed = (Vec<Event>, Vec<Gap>);

/// What a reader gets of a store.
#[derive(Debug, PartialEq)]
pub(super) struct Export {
    records: String,
    workers: Vec<(Streamed, String)>,
    runtime: Streamed,
    /// Whether something of it is told as damaged.
    pub(super) tells: bool,
}

/// Everything that a reader gets of a stopped store.
pub(super) fn export(path: &Path, ids: &[WorkerId]) -> Result<Export, OpenError> {
    let store = ReadStore::open(path)?;
    let loaded = store.load()?;
    let reader = store.reader();
    let reader = reader.as_ref();
    let runtime = stream(reader, Stream::Runtime, loaded.position)?;
    let mut workers = Vec::new();
    for id in ids {
        let streamed = stream(reader, Stream::Worker(*id), loaded.position)?;
        let head = reader.worker_head(*id)?;
        let receipt = reader.receipt(*id, [1; 16])?;
        let blocks = reader.in_flight(*id)?;
        workers.push((streamed, format!("{head:?} {receipt:?} {blocks:?}")));
    }
    let records = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {}",
        loaded.runtime,
        loaded.incarnations,
        loaded.workers,
        loaded.allocations,
        loaded.leases,
        loaded.operations,
        loaded.unfinished,
        loaded.position,
    );
    let tells_gap = |streamed: &Streamed| streamed.1.iter().any(|gap| gap.code.is_some());
    let tells = !loaded.damaged.is_empty()
        || loaded.went_back.is_some()
        || workers.iter().any(|(streamed, _)| tells_gap(streamed))
        || tells_gap(&runtime);
    Ok(Export {
        records,
        workers,
        runtime,
        tells,
    })
}

fn stream(
    reader: &dyn StoreReader,
    stream: Stream,
    until: Position,
) -> Result<Streamed, OpenError> {
    let (mut events, mut gaps, mut after) = (Vec::new(), Vec::new(), Position(0));
    loop {
        let page = reader.replay(&ReplayRequest {
            stream,
            after,
            until,
            events_max: usize::MAX,
            bytes_max: usize::MAX,
        })?;
        events.extend(page.events);
        gaps.extend(page.gap);
        if page.up_to_date || page.scanned_to <= after {
            return Ok((events, gaps));
        }
        after = page.scanned_to;
    }
}
