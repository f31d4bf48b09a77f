//! The auditing reader: pages everything that a reader can read, and checks what must hold at any
//! moment (I2, I4, I6).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use worker_runtime_core::{
    Event, EventType, ListOrder, Observation, PageSize, Position, Seq, Stream, Timestamp,
    WorkerFilter, WorkerId, cursor::From as Start,
};

use super::observed::data;

/// Small and odd, so that pages end everywhere.
const PAGE: PageSize = PageSize {
    events_max: 7,
    bytes_max: 1 << 20,
};

/// What was audited.
pub(crate) struct Audited {
    pub(crate) events: Vec<Event>,
}

/// Every event of a stream, page by page; a gap is a failure.
pub(crate) fn read_all(observation: &Observation, stream: Stream) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut start = Start::Beginning;
    loop {
        let page = observation.events(stream, start, PAGE).unwrap();
        assert_eq!(page.gap, None, "nothing was trimmed and nothing is damaged");
        for (cursor, event) in page.events {
            assert_eq!(
                cursor.position(),
                event.position,
                "the cursor after an event"
            );
            assert!(event.is_in(stream));
            events.push(event);
        }
        if page.up_to_date {
            return events;
        }
        start = Start::After(page.next);
    }
}

/// Reads everything, and checks it. Workers that were deleted are left out.
pub(crate) fn audit(observation: &Observation) -> Audited {
    // Views first: what is read after them may be more, never less.
    let filter = WorkerFilter {
        archived: true,
        ..WorkerFilter::default()
    };
    let views = observation.workers(&filter, ListOrder::Created, 0, usize::MAX);
    let until = views.cursor.position();
    let mut events = read_all(observation, Stream::Runtime);
    events.retain(|event| event.position <= until);
    check_runtime(&events);
    for view in &views.workers {
        let mut own = read_all(observation, Stream::Worker(view.worker_id));
        own.retain(|event| event.position <= until);
        let part: Vec<&Event> = events
            .iter()
            .filter(|event| event.is_in(Stream::Worker(view.worker_id)))
            .collect();
        assert_eq!(
            own.iter().collect::<Vec<_>>(),
            part,
            "both streams tell the same"
        );
        let unfinished = view.activity.queued + usize::from(view.activity.run_id.is_some());
        check_worker(view.worker_id, &own, unfinished);
    }
    Audited { events }
}

/// Positions are dense, time never goes back, and fences grow.
fn check_runtime(events: &[Event]) {
    let (mut fence, mut last) = (0, Position(0));
    let mut at = Timestamp::default();
    for event in events {
        // A stretch of a deleted Worker's events is told as one.
        let from = match event.kind == EventType::REDACTED {
            true => data(event)["from"].as_u64().map(Position).unwrap(),
            false => event.position,
        };
        assert_eq!(from, last.next(), "positions are dense");
        assert!(at <= event.at, "store time never goes back");
        (last, at) = (event.position, event.at);
        let grants = [
            EventType::ALLOCATION_GRANTED,
            EventType::RUN_STARTED,
            EventType::LEASE_GRANTED,
        ];
        if let (true, Some(next)) = (grants.contains(&event.kind), data(event)["fence"].as_u64()) {
            assert!(next > fence, "fence {next} after {fence}");
            fence = next;
        }
    }
}

/// What one Worker's stream tells of its inputs and runs.
#[derive(Default)]
struct Told {
    accepted: BTreeSet<String>,
    started: BTreeSet<String>,
    outcomes: BTreeMap<String, Value>,
    running: Option<(String, String)>,
    generation: u64,
    items: u64,
}

fn check_worker(worker_id: WorkerId, events: &[Event], unfinished: usize) {
    let mut told = Told::default();
    for (index, event) in events.iter().enumerate() {
        let place = event.worker.expect("an event of a Worker has a place");
        assert_eq!(place.worker_id, worker_id);
        assert_eq!(
            place.seq,
            Seq(index as u64 + 1),
            "seqs of {worker_id} are dense"
        );
        assert_eq!(place.item.is_some(), event.kind.in_transcript());
        if let Some(item) = place.item {
            assert_eq!(item.0, told.items, "transcript items are dense");
            told.items += 1;
        }
        check_event(&mut told, event);
    }
    let without = told
        .accepted
        .iter()
        .filter(|id| !told.outcomes.contains_key(*id))
        .count();
    assert_eq!(without, unfinished, "inputs of {worker_id} without outcome");
}

fn check_event(told: &mut Told, event: &Event) {
    let data = data(event);
    let id = data["input_id"].as_str().unwrap_or_default().to_owned();
    let run = event.run_id.map(|run_id| run_id.to_string());
    let kind = event.kind.as_str();
    match kind {
        "input.accepted" => assert!(told.accepted.insert(id.clone()), "{id} accepted twice"),
        "input.finished" => {
            assert!(!told.started.contains(&id), "{id} ran, so its run ends it");
            outcome(told, id, &data);
        }
        "run.started" => {
            assert!(
                told.accepted.contains(&id),
                "{id} runs before it is accepted"
            );
            assert_eq!(told.running, None, "{id} runs beside another one");
            assert!(told.started.insert(id.clone()), "{id} runs twice");
            let generation = data["generation"].as_u64().unwrap();
            assert!(generation > told.generation, "generations grow");
            told.generation = generation;
            told.running = Some((id, run.unwrap()));
        }
        "run.finished" => {
            assert_eq!(told.running.take(), Some((id.clone(), run.unwrap())));
            assert_eq!(data["generation"].as_u64(), Some(told.generation));
            outcome(told, id, &data);
        }
        _ => {
            let now = told.running.as_ref().map(|(_, run)| run);
            if let Some(run) = &run {
                assert_eq!(
                    now,
                    Some(run),
                    "{kind} of a run that is not the current one"
                );
            }
        }
    }
}

fn outcome(told: &mut Told, id: String, data: &Value) {
    assert!(
        told.accepted.contains(&id),
        "{id} ends before it is accepted"
    );
    let kinds = ["completed", "failed", "cancelled", "interrupted"];
    assert!(kinds.contains(&data["outcome"]["kind"].as_str().unwrap()));
    let before = told.outcomes.insert(id.clone(), data["outcome"].clone());
    assert_eq!(before, None, "{id} has two outcomes");
}
