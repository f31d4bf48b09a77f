//! Packs come back as they were written, from any events, and notice every change.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;
use worker_runtime_core::{
    Digest, Event, EventType, ItemIndex, Position, RunId, Seq, Timestamp, WorkerId, WorkerPlace,
};

use super::{
    Body, EncodedEvent, HEADER_LEN_BYTES, Header, Kind, PACK_LEN_MAX_BYTES, Pack, encode,
    event_digest, link, seal,
};
use crate::{
    cut::Cut,
    layout::{history, log},
};

const OWNER: WorkerId = WorkerId::from_bytes([7; 16]);

#[derive(Debug, Clone)]
struct Sketch {
    of_worker: bool,
    item: bool,
    run: Option<[u8; 16]>,
    kind: String,
    data: Vec<u8>,
    skipped: u64,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<Option<[u8; 16]>>(),
        prop_oneof![Just("usage".to_owned()), "[a-z.]{1,64}"],
        prop::collection::vec(any::<u8>(), 0..2100),
        0..1000_u64,
    )
        .prop_map(|(of_worker, item, run, kind, data, skipped)| Sketch {
            of_worker,
            item,
            run,
            kind,
            data,
            skipped,
        })
}

/// Events of both kinds of stream: dense positions in the log, dense seqs in history.
fn events(kind: Kind, sketches: &[Sketch]) -> Vec<Event> {
    let (mut position, mut seq, mut items) = (100, 40, 9);
    let made = sketches.iter().map(|sketch| {
        let of_worker = sketch.of_worker || kind == Kind::History;
        position += 1 + if kind == Kind::History {
            sketch.skipped
        } else {
            0
        };
        let worker = of_worker.then(|| {
            seq += 1;
            let item = sketch.item.then(|| {
                items += 1;
                ItemIndex(items - 1)
            });
            WorkerPlace {
                worker_id: OWNER,
                seq: Seq(seq),
                item,
            }
        });
        let data = Bytes::from(sketch.data.clone());
        Event {
            position: Position(position),
            at: Timestamp::from_unix_ms(position * 3),
            worker,
            kind: EventType::from_text(&sketch.kind),
            run_id: sketch.run.map(RunId::from_bytes),
            data_digest: Digest::of(&data),
            data,
        }
    });
    made.collect()
}

fn pack_of(kind: Kind, events: &[Event]) -> (Vec<u8>, Vec<u8>, Header) {
    let mut header = Header::empty(kind);
    if kind == Kind::History {
        header.first_seq = Seq(41);
        header.first_item = ItemIndex(9);
    }
    let (mut entries, mut scratch) = (Vec::new(), Vec::new());
    for event in events {
        let body = Body::of(event);
        let digest = event_digest(event, body, &mut scratch).unwrap();
        encode(kind, event, body, &mut entries).unwrap();
        header.add(event, EncodedEvent { digest, body }, 5);
    }
    let mut value = Vec::new();
    let half = entries.len() / 2;
    let (table, key) = match kind {
        Kind::Log => (log::TABLE, log::key(header.first_position)),
        Kind::History => (history::TABLE, history::key(OWNER, header.first_position)),
    };
    let parts = [&entries[..half], &entries[half..]];
    seal(table, key.as_bytes(), &header, parts, &mut value);
    (key.as_bytes().to_vec(), value, header)
}

fn open(kind: Kind, key: &[u8], value: &[u8]) -> Result<Pack, crate::codec::Damage> {
    match kind {
        Kind::Log => Pack::open_log(log::TABLE, key, value),
        Kind::History => Pack::open_history(history::TABLE, key, value, OWNER),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_come_back_as_they_were(
        sketches in prop::collection::vec(sketch(), 1..30),
        is_log in any::<bool>(),
    ) {
        let kind = if is_log { Kind::Log } else { Kind::History };
        let events = events(kind, &sketches);
        let (key, value, header) = pack_of(kind, &events);
        let pack = open(kind, &key, &value).unwrap();
        prop_assert_eq!(pack.header, header);
        let found: Result<Vec<_>, _> = pack.events().collect();
        let found = found.unwrap();
        prop_assert_eq!(found.len(), events.len());
        let mut chain = header.chain_before;
        let mut scratch = Vec::new();
        for (entry, event) in found.into_iter().zip(&events) {
            let body = Body::of_entry(&entry);
            prop_assert_eq!(body, Body::of(event));
            let digest = event_digest(&entry.event, body, &mut scratch).unwrap();
            chain = link(chain, digest);
            let whole = match entry.large_len {
                Some(_) => Event { data: event.data.clone(), ..entry.event },
                None => entry.event,
            };
            prop_assert_eq!(&whole, event);
        }
        prop_assert_eq!(chain, header.chain_after);
    }

    #[test]
    fn every_changed_bit_of_a_pack_is_noticed(
        sketches in prop::collection::vec(sketch(), 1..6),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let events = events(Kind::History, &sketches);
        let (key, mut value, _) = pack_of(Kind::History, &events);
        let at = at.index(value.len());
        value[at] ^= 1 << bit;
        prop_assert!(open(Kind::History, &key, &value).is_err());
    }

    #[test]
    fn any_bytes_as_entries_are_damage_or_events_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        count in 0..50_u32,
    ) {
        let header = Header { count, ..Header::empty(Kind::Log) };
        let mut value = Vec::new();
        let key = log::key(Position(0));
        seal(log::TABLE, key.as_bytes(), &header, [&bytes, &[]], &mut value);
        let pack = Pack::open_log(log::TABLE, key.as_bytes(), &value).unwrap();
        let read = pack.events().filter(Result::is_ok).count();
        prop_assert!(read <= count as usize);
    }
}

#[test]
fn a_header_is_as_long_as_it_says() {
    let mut bytes = Vec::new();
    let header = Header {
        runtime_large: true,
        large_bytes: 8,
        bytes_before: 9,
        ..Header::empty(Kind::History)
    };
    header.encode(&mut bytes);
    assert_eq!(bytes.len(), HEADER_LEN_BYTES);
    let mut cut = Cut::new(&bytes);
    assert_eq!(Header::decode(&mut cut).unwrap(), header);
    cut.end().unwrap();
}

#[test]
fn a_full_pack_fills_a_page_run_and_no_more() {
    let db = redb::Database::builder()
        .create_with_backend(redb::backends::InMemoryBackend::new())
        .unwrap();
    let write = db.begin_write().unwrap();
    {
        let mut table = write.open_table(history::TABLE.definition()).unwrap();
        for index in 0..50 {
            let key = history::key(OWNER, Position(index * 100));
            let value = vec![1; PACK_LEN_MAX_BYTES];
            table.insert(key.as_bytes(), value.as_slice()).unwrap();
        }
    }
    write.commit().unwrap();
    let write = db.begin_write().unwrap();
    let stats = write.stats().unwrap();
    let used = stats.stored_bytes() as f64 / (stats.allocated_pages() * 4096) as f64;
    assert!(used > 0.97, "{used}: {stats:?}");
}

#[test]
fn what_nobody_writes_into_a_pack_is_refused_and_not_read_as_something_else() {
    let sketch = Sketch {
        of_worker: false,
        item: false,
        run: None,
        kind: "usage".to_owned(),
        data: b"{}".to_vec(),
        skipped: 0,
    };
    let events = events(Kind::Log, &[sketch]);
    let (key, value, header) = pack_of(Kind::Log, &events);
    let flags_at = crate::codec::SEAL_LEN_BYTES + HEADER_LEN_BYTES;
    let entries = &value[flags_at..];
    let read = |flags: u8, header: &Header| {
        let changed = [&[flags], &entries[1..]].concat();
        let mut value = Vec::new();
        seal(log::TABLE, &key, header, [&changed, &[]], &mut value);
        let pack = Pack::open_log(log::TABLE, &key, &value).unwrap();
        pack.events().collect::<Result<Vec<_>, _>>().is_ok()
    };
    assert!(read(entries[0], &header));
    for unknown in [32, 64, 128] {
        assert!(!read(entries[0] | unknown, &header), "flag {unknown}");
    }
    let of_item = Header { items: 1, ..header };
    assert!(!read(super::HAS_ITEM, &of_item), "an item of no Worker");
    let mark_at = crate::codec::SEAL_LEN_BYTES + 1;
    let mut payload = value[crate::codec::SEAL_LEN_BYTES..].to_vec();
    payload[mark_at - crate::codec::SEAL_LEN_BYTES] = 2;
    assert!(Header::decode(&mut Cut::new(&payload)).is_err());
}
