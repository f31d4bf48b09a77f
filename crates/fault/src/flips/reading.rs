//! All that can be read of a stopped store, as values.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use worker_runtime_core::{
    Code, Cursor, Event, EventType, LeaseId, Observation, PageSize, Position, Stream,
    TranscriptFrom, WorkerId,
    cursor::From as Start,
    open_read_only,
    store::Gap,
    view::{DamagedView, LeaseView, TranscriptItem, WorkerView},
};
use worker_runtime_persist::ReadStore;

use crate::{audit, backend::Stage, workload::limits::limits};

/// More than any of these stores has; a stream that goes on beyond goes round in circles.
const PAGES_MAX: usize = 2_000;

/// What came of an opening.
pub(super) enum Opened {
    Read(Box<Reading>),
    /// The whole store was refused, which tells everything.
    Refused(String),
}

/// What is shown of a position of a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Shown {
    Event(Box<Event>),
    /// It was of this Worker, which is deleted. How many positions are told of at once depends on where
    /// a page ends, and on what beside them is lost.
    Redacted(WorkerId),
}

/// One stream, or a transcript.
#[derive(Default)]
pub(super) struct StreamRead<T> {
    pub(super) found: BTreeMap<u64, T>,
    pub(super) gaps: Vec<Gap>,
    /// Why it could not be read to its end.
    pub(super) error: Option<String>,
}

/// What is read.
pub(super) struct Reading {
    pub(super) log: StreamRead<Shown>,
    pub(super) events: BTreeMap<WorkerId, StreamRead<Shown>>,
    pub(super) transcripts: BTreeMap<WorkerId, StreamRead<TranscriptItem>>,
    pub(super) views: BTreeMap<WorkerId, WorkerView>,
    pub(super) leases: BTreeMap<LeaseId, LeaseView>,
    /// What who asks for a lease of the truth is told, where that is not shown.
    pub(super) lost_leases: BTreeMap<LeaseId, Code>,
    pub(super) position: Position,
    pub(super) went_back: bool,
    /// Records that are said to be damaged, one by one.
    pub(super) damaged: Vec<DamagedView>,
    /// Workers that are not there any more, as the log tells.
    pub(super) deleted: BTreeSet<WorkerId>,
}

impl<T> StreamRead<T> {
    fn is_whole(&self) -> bool {
        self.error.is_none() && self.gaps.iter().all(|gap| gap.code.is_none())
    }

    /// Whether something that should be at this position was said to be missing.
    pub(super) fn tells_of(&self, position: u64) -> bool {
        let covers = |gap: &Gap| (gap.from.0..=gap.to.0).contains(&position);
        self.error.is_some() || self.gaps.iter().any(covers)
    }
}

impl Reading {
    /// Whether nothing was told.
    pub(super) fn is_whole(&self) -> bool {
        self.damaged.is_empty()
            && !self.went_back
            && self.log.is_whole()
            && self.events.values().all(StreamRead::is_whole)
            && self.transcripts.values().all(StreamRead::is_whole)
    }

    pub(super) fn told(&self) -> String {
        format!(
            "records damaged of {:?}, went back {}, gaps {:?}, error {:?}",
            self.damaged, self.went_back, self.log.gaps, self.log.error
        )
    }
}

/// Reads all of it; Workers that the truth has, or had, are asked for too.
pub(super) fn read(directory: &Path, truth: Option<&Reading>) -> Opened {
    let store = match ReadStore::open(directory) {
        Ok(store) => store,
        Err(error) => return Opened::Refused(error.to_string()),
    };
    let loaded = match store.load() {
        Ok(loaded) => loaded,
        Err(error) => return Opened::Refused(error.to_string()),
    };
    let backends = vec![Stage::default().factory()];
    let seen = match open_read_only(loaded, store.reader(), backends, limits()) {
        Ok(seen) => seen,
        Err(error) => return Opened::Refused(error.to_string()),
    };
    let filter = worker_runtime_core::WorkerFilter {
        archived: true,
        ..Default::default()
    };
    let list = seen.workers(&filter, Default::default(), 0, usize::MAX);
    let status = seen.runtime();
    let views: BTreeMap<WorkerId, WorkerView> = list
        .workers
        .into_iter()
        .map(|view| (view.worker_id, view))
        .collect();
    let mut workers: Vec<WorkerId> = views.keys().copied().collect();
    workers.extend(truth.iter().flat_map(|truth| truth.views.keys()));
    workers.sort_unstable();
    workers.dedup();
    let stream = |worker_id: &WorkerId| (*worker_id, events(&seen, Stream::Worker(*worker_id)));
    let said = |worker_id: &WorkerId| (*worker_id, transcript(&seen, *worker_id));
    let log = events(&seen, Stream::Runtime);
    let leases = seen.leases(0, usize::MAX).leases.into_iter();
    let known = truth.iter().flat_map(|truth| truth.leases.keys());
    let lost = known.filter_map(|id| Some((*id, seen.lease(*id).err()?.code())));
    let mut reading = Reading {
        lost_leases: lost.collect(),
        leases: leases.map(|view| (view.lease_id, view)).collect(),
        deleted: deleted(&log),
        log,
        events: workers.iter().map(stream).collect(),
        transcripts: workers.iter().map(said).collect(),
        views,
        position: status.position,
        went_back: status.went_back.is_some(),
        damaged: status.damaged,
    };
    // Reading what was deleted is refused; what is served of it all the same is looked at.
    for worker_id in truth.iter().flat_map(|truth| &truth.deleted) {
        let (whose, stream) = stream(worker_id);
        if !stream.found.is_empty() {
            reading.events.insert(whose, stream);
        }
        let (whose, said) = said(worker_id);
        if !said.found.is_empty() {
            reading.transcripts.insert(whose, said);
        }
    }
    Opened::Read(Box::new(reading))
}

/// Workers of whose end the log tells, or of which it tells nothing else any more.
fn deleted(log: &StreamRead<Shown>) -> BTreeSet<WorkerId> {
    let told = log.found.values().filter_map(|shown| match shown {
        Shown::Redacted(worker_id) => Some(*worker_id),
        Shown::Event(event) => {
            let place = event.worker?;
            (event.kind == EventType::WORKER_DELETED).then_some(place.worker_id)
        }
    });
    told.collect()
}

fn events(seen: &Observation, stream: Stream) -> StreamRead<Shown> {
    let mut read = StreamRead {
        found: BTreeMap::new(),
        gaps: Vec::new(),
        error: None,
    };
    let mut start = Start::Beginning;
    let mut last: Option<Cursor> = None;
    for _ in 0..PAGES_MAX {
        let page = match seen.events(stream, start, PageSize::default()) {
            Ok(page) => page,
            Err(error) => {
                read.error = Some(error.to_string());
                return read;
            }
        };
        read.gaps.extend(page.gap);
        for (_, event) in page.events {
            show(&mut read.found, event);
        }
        if page.up_to_date {
            return read;
        }
        if last.replace(page.next) == Some(page.next) {
            break;
        }
        start = Start::After(page.next);
    }
    // Not an error that it tells: whoever reads on reads on for ever.
    read.found.clear();
    read
}

/// Notes an event at each position that it stands for.
pub(super) fn show(found: &mut BTreeMap<u64, Shown>, event: Event) {
    match audit::redacted(&event) {
        Some((from, worker_id)) => {
            let places = from.0..=event.position.0;
            found.extend(places.map(|at| (at, Shown::Redacted(worker_id))));
        }
        None => {
            let at = event.position.0;
            found.insert(at, Shown::Event(Box::new(event)));
        }
    }
}

fn transcript(seen: &Observation, worker_id: WorkerId) -> StreamRead<TranscriptItem> {
    let mut read = StreamRead {
        found: BTreeMap::new(),
        gaps: Vec::new(),
        error: None,
    };
    let mut from = 0;
    for _ in 0..PAGES_MAX {
        let page = match seen.transcript(worker_id, TranscriptFrom::Item(from), 50) {
            Ok(page) => page,
            Err(error) => {
                read.error = Some(error.to_string());
                return read;
            }
        };
        // Of which items it is, is not said; which are missing is seen beside the truth.
        let gap = page.gap.filter(|gap| gap.code.is_some());
        read.gaps.extend(gap.map(|gap| Gap {
            from: Position(0),
            to: Position(u64::MAX),
            ..gap
        }));
        let items = page.items.into_iter();
        read.found.extend(items.map(|item| (item.item, item)));
        match page.next {
            Some(next) if next > from => from = next,
            Some(_) => break,
            None => return read,
        }
    }
    read.found.clear();
    read
}
