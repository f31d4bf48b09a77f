use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::value::RawValue;
use worker_runtime_core::{Code, Cursor, Position, RuntimeId, Stream};

use super::{encode, wants_stream};
use crate::wire::{BusyBody, EventFrame, Frame};

fn encoded(frame: &Frame, retry: Option<Duration>) -> String {
    let mut text = String::new();
    encode(frame, retry, &mut text).unwrap();
    text
}

#[test]
fn a_durable_event_has_an_id_and_no_name() {
    let runtime_id = RuntimeId::from_bytes([7; 16]);
    let cursor = Cursor::new(runtime_id, Stream::Runtime, Position(3), 1);
    let json = RawValue::from_string(r#"{"data":{"text":"a\nb"}}"#.to_owned()).unwrap();
    let event = Frame::Event(EventFrame {
        cursor,
        json: json.into(),
    });
    assert_eq!(
        encoded(&event, None),
        format!("id: {cursor}\ndata: {{\"data\":{{\"text\":\"a\\nb\"}}}}\n\n")
    );
}

#[test]
fn busy_has_a_name_a_long_pause_and_no_id() {
    let busy = Frame::Busy(BusyBody {
        code: Code::ServerBusy,
        detail: "later".to_owned(),
        retry_ms: 7_000,
    });
    let text = encoded(&busy, Some(Duration::from_secs(7)));
    assert_eq!(
        text,
        "retry: 7000\nevent: busy\n\
         data: {\"code\":\"WR-SERVER-BUSY\",\"detail\":\"later\",\"retry_ms\":7000}\n\n"
    );
}

#[test]
fn a_stream_is_what_is_accepted_as_one() {
    let asked = |accept: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        wants_stream(&headers)
    };
    for yes in [
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        "application/json;q=0.1, text/event-stream",
        "text/event-stream;q=0.5",
    ] {
        assert!(asked(yes), "{yes}");
    }
    for no in [
        "*/*",
        "text/*",
        "application/json",
        "text/event-stream;q=0",
        "",
        "text/event-streams",
    ] {
        assert!(!asked(no), "{no}");
    }
    assert!(!wants_stream(&HeaderMap::new()));
}
