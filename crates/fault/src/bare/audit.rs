//! Whether a store is what the model says, as far as a reader of it can see (I1, I2, I3).

use std::{fmt::Debug, sync::Arc};

use worker_runtime_core::{
    Event, Position, Stream, WorkerId,
    record::IncarnationRecord,
    store::{
        Gap, GapCause, InFlightBlock, KeepItems, Loaded, ReplayRequest, Store, StoreError,
        StoreReader, TranscriptRequest,
    },
};
use worker_runtime_persist::RetentionPolicy;

use super::state::{Place, State};
use crate::{
    audit::trims::{Trim, check_log, check_workers},
    report::Violation,
};

/// A state of the model, and all events of its script: those after the state's position are not
/// in it yet.
pub(super) struct Expected<'a> {
    pub(super) state: &'a State,
    pub(super) events: &'a [Event],
    /// The keys of all receipts that the script ever gave.
    pub(super) receipts: &'a [(WorkerId, [u8; 16])],
    /// How many events are asked for at once.
    pub(super) page_events: usize,
}

impl<'a> Expected<'a> {
    pub(super) fn events(&self) -> &'a [Event] {
        let count = usize::try_from(self.state.position.0).unwrap_or(usize::MAX);
        self.events.get(..count).unwrap_or(self.events)
    }
}

/// Compares a store that was opened on what a state had become.
pub(super) fn reopened(store: &mut dyn Store, expected: &Expected<'_>) -> Result<(), Violation> {
    let loaded = load(store)?;
    let Some((own, before)) = loaded.incarnations.split_last() else {
        return Err(Violation::new("I5 openings are counted", "there is none"));
    };
    let state = expected.state;
    let last = state
        .incarnations
        .last()
        .map(|last| last.incarnation.number);
    same(
        "I5 openings are counted",
        "openings",
        &before,
        &state.incarnations.as_slice(),
    )?;
    same(
        "I5 openings are counted",
        "this opening",
        &(own.incarnation.number, own.first_position),
        &(last.unwrap_or_default() + 1, state.position.next()),
    )?;
    rest(&loaded, store.reader().as_ref(), expected)
}

/// Compares a store that stayed open.
pub(super) fn open(store: &mut dyn Store, expected: &Expected<'_>) -> Result<(), Violation> {
    let loaded = load(store)?;
    let incarnations: &[IncarnationRecord] = &loaded.incarnations;
    let known = expected.state.incarnations.as_slice();
    same("I5 openings are counted", "openings", &incarnations, &known)?;
    rest(&loaded, store.reader().as_ref(), expected)
}

/// Where the store ends: what tells which of a few states it should be.
pub(super) fn load(store: &mut dyn Store) -> Result<Loaded, Violation> {
    store
        .load()
        .map_err(|error| Violation::new("I1 the store can be read", error.to_string()))
}

fn same<T: PartialEq + Debug>(
    promise: &str,
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), Violation> {
    if found == expected {
        return Ok(());
    }
    let mut detail = format!("{what}: {found:?}, and {expected:?} was expected");
    if detail.len() > 1500 {
        let cut = (0..=1500).rev().find(|at| detail.is_char_boundary(*at));
        detail.truncate(cut.unwrap_or_default());
    }
    Err(Violation::new(promise, detail))
}

fn rest(
    loaded: &Loaded,
    reader: &dyn StoreReader,
    expected: &Expected<'_>,
) -> Result<(), Violation> {
    let state = expected.state;
    same(
        "I1 acknowledged is kept",
        "the last position",
        &loaded.position,
        &state.position,
    )?;
    same(
        "I1 the store never goes back",
        "went back",
        &loaded.went_back,
        &None,
    )?;
    same(
        "I7 nothing is damaged",
        "damaged",
        &loaded.damaged,
        &Vec::new(),
    )?;
    if let Some(last) = expected.events().last() {
        same(
            "I1 acknowledged is kept",
            "the last time",
            &loaded.at,
            &last.at,
        )?;
    }
    let records = "I3 records are the events'";
    same(records, "the Runtime", &loaded.runtime, &state.runtime)?;
    all_same(records, "Workers", &loaded.workers, state.workers.values())?;
    all_same(
        records,
        "allocations",
        &loaded.allocations,
        state.allocations.values(),
    )?;
    all_same(records, "leases", &loaded.leases, state.leases.values())?;
    all_same(
        records,
        "operations",
        &loaded.operations,
        state.operations.values(),
    )?;
    all_same(
        records,
        "unfinished",
        &loaded.unfinished,
        state.unfinished.values(),
    )?;
    for place in state.places() {
        stream(reader, place, expected)?;
    }
    for worker_id in state.heads.keys() {
        let head = read(reader.worker_head(*worker_id))?;
        same(
            "I2 streams are dense",
            "a Worker's head",
            &head,
            &state.head(*worker_id),
        )?;
        let blocks = read(reader.in_flight(*worker_id))?;
        let expected = state
            .blocks
            .iter()
            .filter(|((owner, _), _)| owner == worker_id);
        let expected: Vec<&InFlightBlock> = expected.map(|(_, block)| block).collect();
        same(
            "I1 checkpoints are kept",
            "blocks",
            &blocks.iter().collect(),
            &expected,
        )?;
    }
    for (worker_id, key) in expected.receipts {
        let found = read(reader.receipt(*worker_id, *key))?;
        let known = state.receipts.get(&(*worker_id, *key)).copied();
        same("I5 receipts are kept", "a receipt", &found, &known)?;
    }
    Ok(())
}

fn all_same<'a, T: PartialEq + Debug + 'a>(
    promise: &str,
    what: &str,
    found: &[Arc<T>],
    expected: impl ExactSizeIterator<Item = &'a Arc<T>>,
) -> Result<(), Violation> {
    same(
        promise,
        &format!("the number of {what}"),
        &found.len(),
        &expected.len(),
    )?;
    found
        .iter()
        .zip(expected)
        .try_for_each(|(found, expected)| same(promise, what, found, expected))
}

fn read<T>(result: Result<T, StoreError>) -> Result<T, Violation> {
    result.map_err(|error| Violation::new("I1 the store can be read", error.to_string()))
}

/// Reads a stream to its end, and its transcript.
fn stream(
    reader: &dyn StoreReader,
    place: Place,
    expected: &Expected<'_>,
) -> Result<(), Violation> {
    let state = expected.state;
    let bounds = read(reader.bounds(place.stream()))?;
    same(
        "I2 what is left is known",
        "bounds",
        &bounds,
        &state.bounds(place),
    )?;
    let mut walk = Walk {
        state,
        place,
        trimmed_to: bounds.trimmed_to,
        left: expected.events().iter(),
    };
    let mut after = Position(0);
    loop {
        let page = read(reader.replay(&ReplayRequest {
            stream: place.stream(),
            after,
            until: state.position,
            events_max: expected.page_events,
            bytes_max: usize::MAX,
        }))?;
        if let Some(gap) = &page.gap {
            walk.gap(gap)?;
        }
        for event in &page.events {
            walk.event(event)?;
        }
        if page.up_to_date {
            walk.end(page.scanned_to)?;
            break;
        }
        if page.scanned_to <= after {
            return Err(Violation::new(
                "I10 a page goes on",
                format!("after {after} of {place:?}"),
            ));
        }
        after = page.scanned_to;
    }
    match place {
        Place::Runtime => Ok(()),
        Place::Worker(worker_id) => transcript(reader, worker_id, expected),
    }
}

/// A reader's way along the events of a stream that there should be.
struct Walk<'a> {
    state: &'a State,
    place: Place,
    trimmed_to: Position,
    left: std::slice::Iter<'a, Event>,
}

impl Walk<'_> {
    fn next(&mut self) -> Option<&Event> {
        let stream: Stream = self.place.stream();
        self.left.find(|event| event.is_in(stream))
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Violation> {
        let promise = "I2 only what was trimmed is missing";
        let place = self.place;
        same(
            promise,
            "the cause of a gap",
            &gap.cause,
            &GapCause::Retention,
        )?;
        let stream = place.stream();
        let (state, trimmed_to) = (self.state, self.trimmed_to);
        let mut missing = 0;
        while let Some(event) = self.left.as_slice().first() {
            if event.position > gap.to {
                break;
            }
            self.left.next();
            if !event.is_in(stream) {
                continue;
            }
            let is_trimmed = event.position <= trimmed_to || state.is_gone(event);
            if event.position < gap.from || !is_trimmed {
                let detail = format!("position {} of {place:?}, beside {gap:?}", event.position);
                return Err(Violation::new(promise, detail));
            }
            missing += 1;
        }
        if missing == 0 {
            return Err(Violation::new(
                promise,
                format!("nothing is missing in {gap:?} of {place:?}"),
            ));
        }
        Ok(())
    }

    fn event(&mut self, found: &Event) -> Result<(), Violation> {
        let promise = "I1 acknowledged is kept, in order";
        let (state, place) = (self.state, self.place);
        let Some(expected) = self.next() else {
            let detail = format!("position {} of {place:?} was never written", found.position);
            return Err(Violation::new(promise, detail));
        };
        if found == expected {
            return Ok(());
        }
        if place == Place::Runtime && state.is_emptied(expected) {
            let emptied = Event {
                data: "{}".into(),
                data_digest: found.data_digest,
                ..expected.clone()
            };
            return same(promise, "an event without its data", found, &emptied);
        }
        same(promise, "an event", found, expected)
    }

    fn end(&mut self, scanned_to: Position) -> Result<(), Violation> {
        let until = self.state.position;
        same("I2 a stream has its end", "scanned to", &scanned_to, &until)?;
        let place = self.place;
        match self.next() {
            None => Ok(()),
            Some(missing) => {
                let detail = format!("position {} of {place:?} is missing", missing.position);
                Err(Violation::new("I1 acknowledged is kept, in order", detail))
            }
        }
    }
}

fn transcript(
    reader: &dyn StoreReader,
    worker_id: WorkerId,
    expected: &Expected<'_>,
) -> Result<(), Violation> {
    let promise = "I2 the transcript is the events'";
    let state = expected.state;
    let bounds = state.bounds(Place::Worker(worker_id));
    let item = |event: &Event| {
        let place = event.worker?;
        let is_left = place.worker_id == worker_id && place.seq > bounds.trimmed_to_seq;
        place.item.filter(|_| is_left)
    };
    let events = expected
        .events()
        .iter()
        .filter(|event| item(event).is_some());
    let events: Vec<&Event> = events.collect();
    let items = state.head(worker_id).items;
    let first = events.first().and_then(|event| item(event));
    let slice = read(reader.transcript(&TranscriptRequest {
        worker_id,
        items: first.unwrap_or(items)..items,
        until: state.position,
        bytes_max: usize::MAX,
        keep: KeepItems::First,
    }))?;
    same(promise, "the number of items", &slice.items, &items)?;
    same(
        promise,
        "a gap",
        &(&slice.gap, &slice.end_gap),
        &(&None, &None),
    )?;
    same(promise, "items", &slice.events.iter().collect(), &events)
}

/// Whether as much was trimmed as was asked for, and no more than that or than limits want. `before` is
/// what the store had been.
pub(super) fn trimmed(
    expected: &Expected<'_>,
    before: &State,
    retention: &RetentionPolicy,
) -> Result<(), Violation> {
    let state = expected.state;
    let log = Trim {
        what: "the log".to_owned(),
        events: expected.events().iter().collect(),
        before: before.bounds(Place::Runtime).trimmed_to,
        now: state.bounds(Place::Runtime).trimmed_to,
    };
    check_log(&log, retention.log_bytes_max)?;
    let mut workers = Vec::new();
    for place in state.places() {
        let bounds = state.bounds(place);
        let Place::Worker(worker_id) = place else {
            continue;
        };
        let asked = state.trimmed.get(&worker_id).copied().unwrap_or_default();
        if bounds.trimmed_to_seq < asked {
            let detail = format!("{bounds:?} of {worker_id}, and seq {asked} was asked for");
            return Err(Violation::new("I2 a trim is a trim", detail));
        }
        let events = expected.events().iter();
        let mut events = events.filter(|event| event.is_in(place.stream()));
        let last = events.rfind(|event| {
            let place = event.worker;
            place.is_some_and(|place| place.seq <= bounds.trimmed_to_seq)
        });
        let position = last.map(|event| event.position).unwrap_or_default();
        same(
            "I2 what is left is known",
            "trimmed to",
            &bounds.trimmed_to,
            &position,
        )?;
        let events = expected.events().iter();
        let events: Vec<&Event> = events.filter(|event| event.is_in(place.stream())).collect();
        let seq = |event: &&&Event| event.worker.is_some_and(|place| place.seq <= asked);
        let asked = events.iter().rfind(seq).map(|event| event.position);
        workers.push(Trim {
            what: worker_id.to_string(),
            before: before
                .bounds(place)
                .trimmed_to
                .max(asked.unwrap_or_default()),
            now: bounds.trimmed_to,
            events,
        });
    }
    check_workers(&workers, retention)
}
