use worker_runtime_core::{Digest, Position, Stream, Timestamp};

use super::*;

const RUNTIME: RuntimeId = RuntimeId::from_bytes([7; 16]);

fn event(position: u64, kind: EventType, data: &'static str) -> Event {
    Event {
        position: Position(position),
        at: Timestamp::default(),
        worker: None,
        kind,
        run_id: None,
        data: data.as_bytes().into(),
        data_digest: Digest::of(data.as_bytes()),
    }
}

fn cursor(position: u64) -> Cursor {
    Cursor::new(RUNTIME, Stream::Runtime, Position(position), 1)
}

#[test]
fn an_event_is_written_once_for_all_who_are_sent_it() {
    let encoded = Encoded::default();
    let event = event(5, EventType::DIAGNOSTIC, r#"{"a":1}"#);
    let first = encoded.json(&event, RUNTIME, cursor(5)).unwrap();
    let second = encoded.json(&event, RUNTIME, cursor(5)).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert!(first.get().contains(r#""data":{"a":1}"#), "{first}");
}

#[test]
fn another_one_at_its_place_is_another_one() {
    let encoded = Encoded::default();
    let (near, far) = (5, 5 + PLACES as u64);
    for position in [near, far, near] {
        let event = event(position, EventType::DIAGNOSTIC, "{}");
        let json = encoded.json(&event, RUNTIME, cursor(position)).unwrap();
        let text = format!(r#""position":{position}"#);
        assert!(json.get().contains(&text), "{json}");
    }
}

#[test]
fn what_a_deleted_worker_was_is_not_shown_from_memory() {
    let encoded = Encoded::default();
    let said = event(5, EventType::DIAGNOSTIC, r#"{"secret":1}"#);
    encoded.json(&said, RUNTIME, cursor(5)).unwrap();
    let redacted = event(5, EventType::REDACTED, "{}");
    let json = encoded.json(&redacted, RUNTIME, cursor(5)).unwrap();
    assert!(!json.get().contains("secret"), "{json}");
}
