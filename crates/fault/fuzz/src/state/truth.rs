//! The stores that are changed, and what was written into them: one that was closed, and one whose
//! process was killed.

use std::{fs, sync::Arc, sync::OnceLock};

use worker_runtime_core::{
    Event, Position, SeededEntropy, Stream, WorkerId,
    record::WorkerRecord,
    store::{
        Batch, Change, Loaded, ReplayRequest, Store, StoreReader,
        conformance::{Script, worker_record},
    },
};
use worker_runtime_persist::{FileOptions, FileStore, StoreOptions};

use super::directory::temporary;

/// The files of a store.
pub const FILES: [&str; 3] = ["runtime.redb", "head", "lock"];

/// A store, and what stands in it.
pub struct Truth {
    /// The bytes of each of [`FILES`].
    pub files: [Vec<u8>; 3],
    script: Script,
    ids: Vec<WorkerId>,
    workers: Vec<Arc<WorkerRecord>>,
}

impl Truth {
    /// One of the stores.
    pub fn of(choice: u8) -> &'static Self {
        static STORES: [OnceLock<Truth>; 2] = [OnceLock::new(), OnceLock::new()];
        let is_killed = choice % 2 == 1;
        STORES[usize::from(is_killed)].get_or_init(|| Self::make(is_killed))
    }

    fn make(is_killed: bool) -> Self {
        let directory = temporary();
        let options = FileOptions {
            store: StoreOptions {
                cache_bytes: 1 << 20,
                tails_bytes_max: 4 << 10,
                log_window_bytes: 8 << 10,
                entropy: Box::new(SeededEntropy::new(5)),
                ..StoreOptions::file()
            },
            ballast_bytes: 0,
            ..FileOptions::default()
        };
        let mut store = FileStore::open(directory.path(), options).unwrap();
        let mut script = Script::new(11);
        let ids: Vec<WorkerId> = (0..3).map(|_| script.worker()).collect();
        let workers: Vec<_> = ids.iter().map(|id| Arc::new(worker_record(*id))).collect();
        for round in 0..6 {
            let mut batch = script.batch(&ids[..2 + round % 2], 20, 200);
            if round == 0 {
                batch.changes = workers.iter().cloned().map(Change::Worker).collect();
            }
            store.commit(&batch).unwrap();
        }
        // One whose data stands apart, in pieces.
        store.commit(&script.batch(&ids[..1], 1, 9_000)).unwrap();
        let read = || FILES.map(|name| fs::read(directory.path().join(name)).unwrap_or_default());
        let files = match is_killed {
            true => read(),
            false => {
                Box::new(store).close().unwrap();
                read()
            }
        };
        Self {
            files,
            script,
            ids,
            workers,
        }
    }

    /// Records are as they were written, or named as damaged; a store that went back says so while its
    /// witness stands.
    pub fn check_loaded(&self, loaded: &Loaded, has_whole_head: bool) {
        for record in &loaded.workers {
            let mut record = WorkerRecord::clone(record);
            if loaded.went_back.is_some() {
                // An opening that finds acknowledged state gone skips generations, so that none that
                // was given out is used again.
                record.generation.0 &= u64::from(u32::MAX);
            }
            let is_ours = self.workers.iter().any(|written| **written == record);
            assert!(is_ours, "nobody wrote {record:?}");
        }
        assert!(loaded.position <= self.script.position());
        if loaded.position < self.script.position() && has_whole_head {
            let is_told = loaded.went_back.is_some() || !loaded.damaged.is_empty();
            assert!(is_told, "it went back to {} in silence", loaded.position);
        }
        // The first commit made them all.
        if loaded.position > Position(0) {
            let missing = self.workers.len() - loaded.workers.len();
            let is_told = missing == 0 || !loaded.damaged.is_empty();
            assert!(is_told, "{missing} records are missing in silence");
        }
    }

    /// Every stream holds what was written or tells what is missing, and nothing twice.
    pub fn check_streams(&self, reader: &dyn StoreReader, until: Position) {
        let of_workers = self.ids.iter().map(|id| Stream::Worker(*id));
        for stream in of_workers.chain([Stream::Runtime]) {
            self.check_stream(reader, stream, until);
        }
    }

    fn check_stream(&self, reader: &dyn StoreReader, stream: Stream, until: Position) {
        let written = self.script.of(stream);
        let mut left = written.iter().filter(|event| event.position <= until);
        let mut after = Position(0);
        loop {
            let request = ReplayRequest {
                stream,
                after,
                until,
                events_max: 50,
                bytes_max: 1 << 20,
            };
            let Ok(page) = reader.replay(&request) else {
                return;
            };
            if let Some(gap) = &page.gap {
                assert!(
                    gap.to > after && gap.from <= gap.to,
                    "{gap:?} after {after}"
                );
                after = gap.to;
            }
            for event in &page.events {
                // Up to here everything that was not given must be in the gap.
                let wanted = left.find(|wanted| wanted.position > page_start(&page, request.after));
                assert_eq!(Some(event), wanted, "{stream:?} after {after}");
                after = event.position;
            }
            if page.up_to_date {
                let forgotten = left.find(|event| event.position > after);
                assert_eq!(forgotten, None, "the end of {stream:?}");
                return;
            }
            assert!(page.scanned_to > request.after, "a page goes on");
            let between =
                |event: &&&Event| event.position > after && event.position <= page.scanned_to;
            let skipped = left.clone().find(|event| between(&event));
            assert_eq!(skipped, None, "skipped in {stream:?}");
            after = page.scanned_to;
        }
    }

    /// An event of the Runtime's own that can follow, whatever is left.
    pub fn one_more(&self, position: Position) -> (Batch, Event) {
        let mut event = self.script.events[0].clone();
        event.worker = None;
        event.position = position.next();
        let batch = Batch {
            events: vec![event.clone()],
            changes: Vec::new(),
            must_happen: false,
        };
        (batch, event)
    }

    /// What was committed is read, or told to be missing.
    pub fn check_one_more(&self, reader: &dyn StoreReader, after: Position, wanted: &Event) {
        let page = reader.replay(&ReplayRequest {
            stream: Stream::Runtime,
            after,
            until: after.next(),
            events_max: 1,
            bytes_max: 1 << 20,
        });
        // The page that it stands in may be what was changed, and that is told.
        if let Ok(page) = page {
            let is_told = page.gap.is_some();
            assert!(is_told || page.events == [wanted.clone()], "{page:?}");
        }
    }
}

/// Where a page's events begin: after its gap.
fn page_start(page: &worker_runtime_core::store::ReplayPage, after: Position) -> Position {
    page.gap.as_ref().map_or(after, |gap| gap.to.max(after))
}
