//! Events and records as the writer would make them, and what readers must get back.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    AsJson, Digest, Epoch, Event, EventType, Fence, Generation, HeldRule, HeldScope, InputId,
    ItemIndex, LeaseId, OperationId, Permission, Position, Revision, RunId, SeededEntropy, Seq,
    Stream, Timestamp, WorkerId, WorkerPlace,
    input::{Budget, Input, InputKind, InputMode, Segment},
    operation::{OperationKind, Operator},
    profile::{NamedProfiles, ProfileSelector},
    record::{
        LeaseRecord, Lifecycle, OperationRecord, ReceiptRecord, Recorded, UnfinishedRecord,
        WorkerRecord,
    },
    run::Usage,
    store::{Batch, KeepItems, ReplayRequest, Store, StoreReader, TranscriptRequest},
    worker::{CreateWorker, Intent},
};

/// A writer without a Runtime: it gives events their places.
#[derive(Debug, Clone)]
pub struct Script {
    entropy: SeededEntropy,
    at: Timestamp,
    heads: BTreeMap<WorkerId, (Seq, ItemIndex)>,
    /// Everything that was written, in order.
    pub events: Vec<Event>,
}

impl Default for Script {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Script {
    /// A script whose ids follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            entropy: SeededEntropy::new(seed),
            at: Timestamp::from_unix_ms(1_700_000_000_000),
            heads: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// A new Worker's id.
    pub fn worker(&mut self) -> WorkerId {
        WorkerId::mint(self.at, &mut self.entropy)
    }

    /// The newest position.
    pub fn position(&self) -> Position {
        self.events
            .last()
            .map(|event| event.position)
            .unwrap_or_default()
    }

    /// Where a Worker stands: its newest seq, and how many items it has.
    pub fn head(&self, worker_id: WorkerId) -> (Seq, ItemIndex) {
        self.heads.get(&worker_id).copied().unwrap_or_default()
    }

    /// The next event, of a Worker or of the Runtime.
    pub fn event(&mut self, worker: Option<WorkerId>, kind: EventType, data: String) -> Event {
        self.at = Timestamp::from_unix_ms(self.at.unix_ms() + 1);
        let place = worker.map(|worker_id| {
            let (seq, items) = self.heads.entry(worker_id).or_default();
            *seq = seq.next();
            let item = kind.in_transcript().then_some(*items);
            *items = ItemIndex(items.0 + u64::from(item.is_some()));
            WorkerPlace {
                worker_id,
                seq: *seq,
                item,
            }
        });
        let run_id = (place.is_some_and(|place| place.seq.0 % 3 == 0))
            .then(|| RunId::mint(self.at, &mut self.entropy));
        let data = Bytes::from(data);
        let event = Event {
            position: self.position().next(),
            at: self.at,
            worker: place,
            kind,
            run_id,
            data_digest: Digest::of(&data),
            data,
        };
        self.events.push(event.clone());
        event
    }

    /// A batch of events, round robin over these Workers; every other one bears transcript.
    pub fn batch(&mut self, workers: &[WorkerId], events: usize, data_len: usize) -> Batch {
        let events = (0..events).map(|index| {
            let kind = if index % 2 == 0 {
                EventType::BLOCK_FINISHED
            } else {
                EventType::USAGE
            };
            let worker = workers[index % workers.len()];
            let data = json(index, data_len);
            self.event(Some(worker), kind, data)
        });
        Batch {
            events: events.collect(),
            changes: Vec::new(),
            must_happen: false,
        }
    }

    /// The events of a stream.
    pub fn of(&self, stream: Stream) -> Vec<Event> {
        let of_stream = self.events.iter().filter(|event| event.is_in(stream));
        of_stream.cloned().collect()
    }

    /// Everything of a stream up to this position, as a reader gets it in pages of this many.
    ///
    /// # Panics
    /// When there is a gap or a page that doesn't go on.
    pub fn read(
        reader: &dyn StoreReader,
        stream: Stream,
        until: Position,
        events_max: usize,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut after = Position(0);
        loop {
            let page = reader
                .replay(&ReplayRequest {
                    stream,
                    after,
                    until,
                    events_max,
                    bytes_max: usize::MAX,
                })
                .unwrap();
            assert_eq!(page.gap, None, "after {after} of {stream:?}");
            assert!(page.events.len() <= events_max);
            events.extend(page.events);
            if page.up_to_date {
                assert_eq!(page.scanned_to, until);
                return events;
            }
            assert!(page.scanned_to > after, "a page goes on");
            after = page.scanned_to;
        }
    }

    /// Compares both kinds of stream with what was written.
    ///
    /// # Panics
    /// When they differ.
    pub fn compare(&self, store: &dyn Store) {
        let reader: Arc<dyn StoreReader> = store.reader();
        let until = self.position();
        let runtime = Self::read(reader.as_ref(), Stream::Runtime, until, 1000);
        assert_same(&runtime, &self.events);
        for (worker_id, (seq, items)) in &self.heads {
            let stream = Stream::Worker(*worker_id);
            let events = Self::read(reader.as_ref(), stream, until, 1000);
            assert_same(&events, &self.of(stream));
            let head = reader.worker_head(*worker_id).unwrap();
            assert_eq!((head.seq, head.items), (*seq, *items));
        }
    }
}

/// Compares events; tells the first that differs, not all of them.
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn assert_same(found: &[Event], expected: &[Event]) {
    let differs = found.iter().zip(expected).find(|(a, b)| a != b);
    assert!(differs.is_none(), "the first that differs: {differs:?}");
    let last = |events: &[Event]| events.last().map(|event| event.position);
    assert_eq!(
        (found.len(), last(found)),
        (expected.len(), last(expected)),
        "the number of events and the last position"
    );
}

/// A JSON object of about this length.
pub(super) fn json(index: usize, len: usize) -> String {
    let text: String = (0..len.saturating_sub(20))
        .map(|at| char::from(b'a' + ((at * 7 + index) % 26) as u8))
        .collect();
    format!("{{\"n\":{index},\"t\":\"{text}\"}}")
}

/// A Worker's record.
pub fn worker_record(worker_id: WorkerId) -> WorkerRecord {
    let create = CreateWorker::new(Intent::Assistant { purpose: None });
    let created = Recorded {
        seq: Seq(1),
        position: Position(1),
        at: Timestamp::from_unix_ms(5),
        incarnation_id: 7,
    };
    WorkerRecord {
        worker_id,
        fingerprint: create.fingerprint().unwrap(),
        created,
        spec: AsJson(create.spec),
        display_name: Some("ada".to_owned()),
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        profile: NamedProfiles::default()
            .resolve(&ProfileSelector::RuntimeDefault)
            .unwrap(),
        backend: None,
        scope: None,
        lifecycle: Lifecycle::Active,
        epoch: Epoch(1),
        ending: None,
        paused: false,
        archived: false,
        changed: created,
        generation: Generation(3),
        revision: Revision(1),
        input_count: 0,
        resume: None,
        last_run: None,
        usage: Usage::default(),
        processes: Vec::new(),
        unproven: None,
        status: BTreeMap::new(),
        delegation: None,
    }
}

/// All of these items, without a bound of bytes.
pub fn all_items(
    worker_id: WorkerId,
    items: Range<ItemIndex>,
    until: Position,
) -> TranscriptRequest {
    TranscriptRequest {
        worker_id,
        items,
        until,
        bytes_max: usize::MAX,
        keep: KeepItems::First,
    }
}

/// A lease that holds one place to write.
pub fn lease_record(lease_id: LeaseId) -> LeaseRecord {
    let rule = HeldRule {
        mount: "repo".into(),
        path: "src".into(),
        target: "/repo/src".into(),
        permission: Permission::Write,
        recursive: true,
    };
    LeaseRecord {
        lease_id,
        holder: "a tool".into(),
        fingerprint: Digest::of(b"what was asked for"),
        scope: Arc::new(HeldScope {
            allow: vec![rule],
            deny: Vec::new(),
        }),
        ttl_ms: 60_000,
        fence: Fence(3),
        shown: Some(Fence(2)),
        granted_at: Timestamp::from_unix_ms(1_700_000_000_000),
        reason: Some("to tidy up".into()),
    }
}

/// An operation.
pub fn operation_record(operation_id: OperationId) -> OperationRecord {
    OperationRecord {
        operation_id,
        at: Timestamp::from_unix_ms(9),
        by: AsJson(Operator::User {
            name: "ana".to_owned(),
            pid: 12,
        }),
        kind: OperationKind::WorkerPause,
        worker_id: Some(WorkerId::from_bytes([4; 16])),
        run_id: None,
        lease_id: None,
        reason: Some("it loops".to_owned()),
        before: Some("active".to_owned()),
        after: Some("active, paused".to_owned()),
        position: Position(3),
    }
}

/// A receipt.
pub fn receipt_record(seq: Seq) -> ReceiptRecord {
    ReceiptRecord {
        content_digest: Digest::of(b"content"),
        accepted: Recorded {
            seq,
            position: Position(seq.0 + 10),
            at: Timestamp::from_unix_ms(6),
            incarnation_id: 7,
        },
    }
}

/// An accepted input.
pub fn unfinished_record(worker_id: WorkerId, seq: Seq) -> UnfinishedRecord {
    UnfinishedRecord {
        worker_id,
        accepted: receipt_record(seq).accepted,
        input: Arc::new(Input {
            input_id: InputId::new(format!("input-{seq}")).unwrap(),
            kind: InputKind::User,
            segments: AsJson(vec![Segment::text("hello")]),
            budget: AsJson(Budget::default()),
        }),
        mode: InputMode::Queue,
        run: None,
    }
}
