//! One byte of a key is changed in a stopped store's file: the row is then another one's, or stands
//! where nobody looks for it. What is missing is told, and every reading ends (I7, I10).

use std::{fs, path::Path};

use worker_runtime_core::{
    ItemIndex, Position, Stream, WorkerId,
    store::{
        Gap, KeepItems, ReplayRequest, Store, StoreError, StoreReader, TranscriptRequest,
        conformance::Script,
    },
};

use super::{close, small};
use crate::{FileOptions, FileStore, ReadStore, layout::history};

/// Nothing is made again from the log, and a pack holds what one commit has.
fn without_log() -> FileOptions {
    let mut options = small();
    options.store.tails_bytes_max = 1;
    options.store.retention.log_bytes_max = 1;
    options
}

struct Filled {
    directory: tempfile::TempDir,
    script: Script,
    ids: Vec<WorkerId>,
}

/// Workers of several packs each, all in `history`.
fn filled() -> Filled {
    let directory = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(directory.path(), without_log()).unwrap();
    let mut script = Script::default();
    let ids: Vec<WorkerId> = (0..4).map(|_| script.worker()).collect();
    for _ in 0..3 {
        store.commit(&script.batch(&ids, 160, 300)).unwrap();
        store.idle().unwrap();
    }
    close(store);
    Filled {
        directory,
        script,
        ids,
    }
}

/// The first positions of a Worker's packs, as the engine has them.
fn packs(directory: &Path, worker_id: WorkerId) -> Vec<Position> {
    use redb::{ReadableDatabase, ReadableTable};
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("copy.redb");
    fs::copy(directory.join("runtime.redb"), &path).unwrap();
    let db = redb::Database::open(path).unwrap();
    let read = db.begin_read().unwrap();
    let rows = read.open_table(history::TABLE.definition()).unwrap();
    let keys = rows.iter().unwrap().map(|row| row.unwrap().0);
    let keys = keys.map(|key| history::parse(key.value()).unwrap());
    let own = keys.filter(|(owner, _)| *owner == worker_id);
    own.map(|(_, first)| first).collect()
}

/// Changes a byte of the key wherever it stands in the file.
fn change(directory: &Path, worker_id: WorkerId, first: Position, at: usize, to: u8) {
    let path = directory.join("runtime.redb");
    let mut bytes = fs::read(&path).unwrap();
    let key = history::key(worker_id, first);
    let key = key.as_bytes();
    let found: Vec<usize> = (0..bytes.len() - key.len())
        .filter(|from| bytes[*from..].starts_with(key))
        .collect();
    assert!(!found.is_empty(), "the key is in the file");
    for from in found {
        bytes[from + at] = to;
    }
    fs::write(path, bytes).unwrap();
}

/// What is read of a Worker's events, and what is told to be missing.
fn read(
    reader: &dyn StoreReader,
    worker_id: WorkerId,
    until: Position,
) -> Result<(Vec<Position>, Vec<Gap>), StoreError> {
    let (mut positions, mut gaps) = (Vec::new(), Vec::new());
    let mut after = Position(0);
    for _ in 0..1_000 {
        let page = reader.replay(&ReplayRequest {
            stream: Stream::Worker(worker_id),
            after,
            until,
            events_max: 50,
            bytes_max: 1 << 20,
        })?;
        positions.extend(page.events.iter().map(|event| event.position));
        gaps.extend(page.gap);
        if page.up_to_date {
            return Ok((positions, gaps));
        }
        assert!(page.scanned_to > after, "reading goes forward");
        after = page.scanned_to;
    }
    panic!("reading the events of {worker_id} does not end");
}

/// Everything that was written of every Worker is read, or told to be missing, of events and of
/// items; whether anything is.
fn check(filled: &Filled, context: &str) -> bool {
    let Ok(store) = ReadStore::open(filled.directory.path()) else {
        return true;
    };
    let (reader, until) = (store.reader(), filled.script.position());
    let mut is_told = false;
    for worker_id in &filled.ids {
        let Ok((positions, gaps)) = read(reader.as_ref(), *worker_id, until) else {
            is_told = true;
            continue;
        };
        is_told |= !gaps.is_empty();
        let written = filled.script.of(Stream::Worker(*worker_id));
        for event in &written {
            let position = event.position;
            let is_told = gaps
                .iter()
                .any(|gap| gap.from <= position && position <= gap.to && gap.code.is_some());
            assert!(
                positions.contains(&position) || is_told,
                "{context}: {position} of {worker_id} is missing, told are {gaps:?}"
            );
        }
        let items = written.iter().filter_map(|event| event.worker?.item);
        let items: Vec<ItemIndex> = items.collect();
        let slice = reader.transcript(&TranscriptRequest {
            worker_id: *worker_id,
            items: ItemIndex(0)..ItemIndex(u64::MAX),
            until,
            bytes_max: usize::MAX,
            keep: KeepItems::First,
        });
        let Ok(slice) = slice else { continue };
        let is_told = slice.gap.is_some() || slice.end_gap.is_some();
        assert!(
            slice.events.len() == items.len() || is_told,
            "{context}: items of {worker_id} are missing"
        );
    }
    is_told
}

#[test]
fn a_worker_whose_newest_pack_is_under_another_ones_key_does_not_end_earlier() {
    for pack in [0, 1, 2] {
        let filled = filled();
        let packs = packs(filled.directory.path(), filled.ids[3]);
        let first = packs[packs.len() - 1 - pack];
        change(filled.directory.path(), filled.ids[3], first, 15, 0xff);
        assert!(check(&filled, &format!("pack {pack} from the end")));
    }
}

#[test]
fn a_worker_of_which_every_pack_is_gone_does_not_look_new() {
    let filled = filled();
    let worker_id = filled.ids[1];
    for first in packs(filled.directory.path(), worker_id) {
        change(filled.directory.path(), worker_id, first, 14, 0);
    }
    assert!(check(&filled, "all packs"));
    let mut store = FileStore::open(filled.directory.path(), without_log()).unwrap();
    let reader = store.reader();
    let head = reader.worker_head(worker_id);
    assert!(matches!(head, Err(StoreError::Damaged { .. })), "{head:?}");
    let batch = filled.script.clone().batch(&[worker_id], 1, 10);
    let refused = store.commit(&batch);
    assert!(
        matches!(refused, Err(StoreError::Damaged { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_pack_whose_key_says_another_position_is_told_where_it_was() {
    for (at, to) in [(17, 0x45), (22, 0x70), (23, 0), (23, 0xff)] {
        for pack in [0, 1, 2] {
            let filled = filled();
            let first = packs(filled.directory.path(), filled.ids[2])[pack];
            change(filled.directory.path(), filled.ids[2], first, at, to);
            let is_same = history::key(filled.ids[2], first).as_bytes()[at] == to;
            let context = format!("byte {at} of pack {pack} is {to}");
            assert!(check(&filled, &context) || is_same, "{context}");
        }
    }
}

#[test]
fn reading_ends_when_keys_of_a_page_are_not_in_order() {
    for worker in 0..4 {
        for at in 6..24 {
            let filled = filled();
            let worker_id = filled.ids[worker];
            let first = packs(filled.directory.path(), worker_id)[1];
            let byte = history::key(worker_id, first).as_bytes()[at];
            change(filled.directory.path(), worker_id, first, at, byte ^ 0x51);
            assert!(check(&filled, &format!("worker {worker} byte {at}")));
        }
    }
}
