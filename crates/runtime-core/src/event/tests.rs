use serde_json::{Value, json};

use super::*;
use crate::{Cursor, RuntimeId};

fn event(worker: Option<WorkerPlace>, data: &str) -> Event {
    let draft = EventDraft::from_json(
        EventType::RUN_STARTED,
        None,
        Bytes::copy_from_slice(data.as_bytes()),
    );
    Event {
        position: Position(9),
        at: Timestamp::from_unix_ms(0),
        worker,
        kind: draft.kind,
        run_id: draft.run_id,
        data: draft.data,
        data_digest: draft.data_digest,
    }
}

fn place() -> WorkerPlace {
    WorkerPlace {
        worker_id: WorkerId::from_bytes([2; 16]),
        seq: Seq(3),
        item: None,
    }
}

fn wire(event: &Event) -> serde_json::Result<String> {
    let runtime_id = RuntimeId::from_bytes([1; 16]);
    let cursor = Cursor::new(runtime_id, Stream::Runtime, event.position, 0);
    serde_json::to_string(&WireEvent {
        event,
        runtime_id,
        cursor,
    })
}

fn fields(text: &str) -> Vec<String> {
    let value: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
    value.keys().cloned().collect()
}

#[test]
fn a_workers_event_tells_its_place_in_both_streams() {
    let mut event = event(Some(place()), "{\"n\":1}");
    event.run_id = Some(RunId::from_bytes([4; 16]));
    let value: Value = serde_json::from_str(&wire(&event).unwrap()).unwrap();
    assert_eq!(value["type"], "run.started");
    assert_eq!((&value["seq"], &value["position"]), (&json!(3), &json!(9)));
    assert_eq!(value["at"], "1970-01-01T00:00:00.000Z");
    assert_eq!(value["data"], json!({"n": 1}));
    assert_eq!(value["worker_id"], "02020202-0202-0202-0202-020202020202");
    assert_eq!(value["run_id"], "04040404-0404-0404-0404-040404040404");
    let cursor: Cursor = serde_json::from_value(value["cursor"].clone()).unwrap();
    assert_eq!(cursor.position(), Position(9));
}

#[test]
fn an_event_of_the_runtime_itself_names_no_worker() {
    let fields = fields(&wire(&event(None, "{}")).unwrap());
    assert_eq!(
        fields,
        ["at", "cursor", "data", "position", "runtime_id", "type"]
    );
}

#[test]
fn data_goes_out_byte_for_byte_as_it_was_kept() {
    // Spaces, the order of keys and the spelling of a number would not survive a decoder.
    let data = "{ \"b\": 1.0e3,\"a\" :\"\\u00e9\" }";
    let sent = wire(&event(Some(place()), data)).unwrap();
    assert!(sent.ends_with(&format!("\"data\":{data}}}")), "{sent}");
}

#[test]
fn data_that_is_no_json_is_an_error_and_is_not_sent() {
    for data in ["", "{", "{}x"] {
        assert!(wire(&event(None, data)).is_err(), "{data:?}");
    }
    let mut event = event(None, "{}");
    event.data = Bytes::from_static(b"\"\xff\"");
    assert!(wire(&event).is_err());
}

#[test]
fn every_type_is_a_short_dotted_word_of_its_own() {
    for (n, kind) in EventType::ALL.iter().enumerate() {
        let text = kind.as_str();
        assert!(text.len() <= EVENT_TYPE_LEN_MAX_BYTES);
        assert!(
            text.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'.' | b'_')),
            "{text}"
        );
        assert!(
            !EventType::ALL[n + 1..].contains(kind),
            "{text} is there twice"
        );
        assert_eq!(&EventType::from_text(text), kind);
    }
}

#[test]
fn a_type_of_a_later_version_is_kept_and_bears_no_transcript() {
    let kind: EventType = serde_json::from_str("\"worker.sang\"").unwrap();
    assert_eq!(kind.as_str(), "worker.sang");
    assert_eq!(serde_json::to_string(&kind).unwrap(), "\"worker.sang\"");
    assert!(!kind.in_transcript());
    assert!(EventType::INPUT_ACCEPTED.in_transcript());
    assert!(EventType::from_text("tool.result").in_transcript());
    assert!(!EventType::RUN_FINISHED.in_transcript());
}

#[test]
fn a_digest_is_the_published_xxh3_128() {
    assert_eq!(
        Digest::of(b"").to_string(),
        "99aa06d3014798d86001c324468d497f"
    );
    assert_ne!(Digest::of(b"a"), Digest::of(b"b"));
}

#[test]
fn an_event_is_in_its_workers_stream_and_in_the_runtimes() {
    let other = Stream::Worker(WorkerId::from_bytes([3; 16]));
    let of_worker = event(Some(place()), "{}");
    assert!(of_worker.is_in(Stream::Runtime));
    assert!(of_worker.is_in(Stream::Worker(place().worker_id)));
    assert!(!of_worker.is_in(other));
    assert!(!event(None, "{}").is_in(other));
}

#[test]
fn what_was_sent_is_read_back_whole() {
    let bearing = WorkerPlace {
        item: Some(ItemIndex(7)),
        ..place()
    };
    for worker in [None, Some(place()), Some(bearing)] {
        let mut event = event(worker, "{ \"b\": 1.0e3,\"a\" :\"\\u00e9\" }");
        event.run_id = worker.map(|_| RunId::from_bytes([4; 16]));
        let read = ReceivedEvent::from_json(&wire(&event).unwrap()).unwrap();
        assert_eq!(read.event, event);
        assert_eq!(read.runtime_id, RuntimeId::from_bytes([1; 16]));
        assert_eq!(read.cursor.position(), event.position);
    }
}

#[test]
fn fields_of_a_newer_version_are_ignored_and_missing_ones_are_an_error() {
    let sent = wire(&event(Some(place()), "{}")).unwrap();
    let newer = sent.replacen('{', "{\"what\":[1],", 1);
    assert!(ReceivedEvent::from_json(&newer).is_ok());
    for name in ["cursor", "position", "at", "type", "data", "runtime_id"] {
        let older = sent.replace(&format!("\"{name}\""), "\"was\"");
        assert!(ReceivedEvent::from_json(&older).is_err(), "{name}");
    }
}
