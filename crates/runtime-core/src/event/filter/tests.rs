use bytes::Bytes;

use super::{EventFilter, TypePattern};
use crate::{Digest, Event, EventType, Position, RunId, Timestamp};

fn event(kind: &str, run_id: Option<RunId>) -> Event {
    Event {
        position: Position(1),
        at: Timestamp::from_unix_ms(0),
        worker: None,
        kind: EventType::from_text(kind),
        run_id,
        data: Bytes::from_static(b"{}"),
        data_digest: Digest::of(b"{}"),
    }
}

fn patterns(texts: &[&str]) -> Vec<TypePattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_word_takes_itself_and_a_star_what_is_below() {
    let filter = EventFilter {
        types: patterns(&["run.*", "usage"]),
        run_id: None,
    };
    for taken in ["run.started", "run.finished", "usage", "run.own.kind"] {
        assert!(filter.takes(&event(taken, None)), "{taken}");
    }
    for left in ["run", "runs.started", "usage.more", "worker.created"] {
        assert!(!filter.takes(&event(left, None)), "{left}");
    }
}

#[test]
fn types_and_run_are_both_asked_for() {
    let (one, other) = (RunId::from_bytes([1; 16]), RunId::from_bytes([2; 16]));
    let filter = EventFilter {
        types: patterns(&["tool.*"]),
        run_id: Some(one),
    };
    assert!(filter.takes(&event("tool.call", Some(one))));
    assert!(!filter.takes(&event("tool.call", Some(other))));
    assert!(!filter.takes(&event("tool.call", None)));
    assert!(!filter.takes(&event("usage", Some(one))));
    assert!(EventFilter::ALL.is_all() && EventFilter::ALL.takes(&event("x", None)));
}

#[test]
fn what_names_no_type_is_refused_and_said() {
    for text in [
        "",
        "*",
        ".",
        "run.",
        ".*",
        "run.*.x",
        "run *",
        "a..b",
        "ü",
        &"x".repeat(65),
    ] {
        let refused = text.parse::<TypePattern>().unwrap_err();
        assert!(refused.to_string().contains("`run.*`"), "{text}");
    }
    for text in ["run.*", "run.finished", "my-tool.did_it"] {
        assert_eq!(text.parse::<TypePattern>().unwrap().to_string(), text);
    }
}
