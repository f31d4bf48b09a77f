use bytes::Bytes;
use worker_runtime_core::{
    Digest, Event, EventType, Position, Timestamp,
    store::{Gap, GapCause},
};

use super::{event_summary, gap_text};

fn summary(kind: &str, data: serde_json::Value) -> String {
    let data = Bytes::from(data.to_string());
    event_summary(&Event {
        position: Position(1),
        at: Timestamp::default(),
        worker: None,
        kind: EventType::from_text(kind),
        run_id: None,
        data_digest: Digest::of(&data),
        data,
    })
}

#[test]
fn an_outcome_is_told_in_words() {
    let of = |stop| {
        let kind = if stop == serde_json::json!({"type": "cancelled"}) {
            "cancelled"
        } else {
            "failed"
        };
        summary(
            "run.finished",
            serde_json::json!({"outcome": {"kind": kind, "stop": stop}}),
        )
    };
    assert_eq!(
        of(serde_json::json!({"type": "exit", "code": 3, "signal": null})),
        "failed: exit 3"
    );
    assert_eq!(
        of(serde_json::json!({"type": "exit", "code": null, "signal": 9})),
        "failed: signal 9"
    );
    assert_eq!(
        of(serde_json::json!({"type": "error", "message": "no such program"})),
        "failed: no such program"
    );
    assert_eq!(of(serde_json::json!({"type": "cancelled"})), "cancelled");
}

#[test]
fn a_type_of_a_later_version_shows_its_data() {
    assert_eq!(
        summary("moon.rose", serde_json::json!({"at": 3})),
        "{\"at\":3}"
    );
    assert_eq!(summary("moon.rose", serde_json::json!({})), "");
}

#[test]
fn an_input_is_told_by_its_text() {
    let data = serde_json::json!({
        "kind": "user",
        "segments": [{"type": "text", "text": "one\ntwo"}, {"type": "image"}],
    });
    assert_eq!(
        summary("input.accepted", data),
        "user: one two {\"type\":\"image\"}"
    );
}

#[test]
fn what_becomes_of_a_lock_is_told_in_words() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let rule = serde_json::json!({"mount": "project", "path": "src", "permission": "write"});
    for (kind, data, told) in [
        (
            "allocation.changed",
            serde_json::json!({"allow": [rule], "fence": 7}),
            "write project:src".to_owned(),
        ),
        (
            "allocation.releasing",
            serde_json::json!({"fence": 7, "reason": "it is needed"}),
            "by force: it is needed".to_owned(),
        ),
        (
            "allocation.released",
            serde_json::json!({"fence": 7, "reason": "it is needed"}),
            "fence 7: it is needed".to_owned(),
        ),
        (
            "allocation.reclaimed",
            serde_json::json!({"from": [id], "waits_for": [], "reason": null}),
            id.to_owned(),
        ),
        (
            "allocation.reparented",
            serde_json::json!({"from": id, "to": id}),
            format!("below {id}"),
        ),
        (
            "allocation.reparented",
            serde_json::json!({"from": id, "to": null}),
            "below nobody".to_owned(),
        ),
    ] {
        assert_eq!(summary(kind, data), told, "{kind}");
    }
}

#[test]
fn a_gap_names_its_stretch_and_its_cause() {
    let gap = Gap {
        cause: GapCause::Retention,
        from: Position(3),
        to: Position(9),
        seqs: None,
        code: None,
    };
    assert_eq!(
        gap_text(&gap),
        "events are missing, positions 3 to 9: retention"
    );
}

#[test]
fn a_lease_is_told_by_its_holder_and_what_is_held() {
    let of = |kind: &str, more: serde_json::Value| {
        let mut data = serde_json::json!({"lease_id": "01890a5d-ac96-774b-bcce-b302099a8057"});
        let fields = data.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        summary(kind, data)
    };
    let rule = serde_json::json!({"permission": "write", "mount": "repo", "path": "src"});
    assert_eq!(
        of(
            "lease.granted",
            serde_json::json!({"holder": "fmt", "fence": 3, "allow": [rule]})
        ),
        "01890a5d-ac96 fmt, fence 3: write repo:src"
    );
    assert_eq!(
        of(
            "lease.released",
            serde_json::json!({"holder": "fmt", "fence": 3, "by_force": true, "reason": "it hangs"})
        ),
        "01890a5d-ac96 fmt, fence 3, by force: it hangs"
    );
    assert_eq!(
        of(
            "lease.released",
            serde_json::json!({"by_force": true, "reason": "damaged"})
        ),
        "01890a5d-ac96, by force: damaged"
    );
    assert_eq!(
        of(
            "lease.expired",
            serde_json::json!({"holder": "fmt", "fence": 4})
        ),
        "01890a5d-ac96 fmt, fence 4"
    );
}
