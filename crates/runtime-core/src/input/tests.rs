use serde_json::json;

use super::*;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding()
}

fn segments(value: &serde_json::Value) -> Vec<Segment> {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn input(segments: Vec<Segment>) -> Input {
    Input {
        input_id: InputId::new("i").unwrap(),
        kind: InputKind::User,
        segments: AsJson(segments),
        budget: AsJson(Budget::default()),
    }
}

#[test]
fn segments_of_every_kind_are_written_as_they_came() {
    let sent = json!([
        {"type": "text", "text": "look"},
        {"type": "image", "media_type": "image/png", "data": "aGk="},
        {"type": "resource", "uri": "file:///a", "text": "content"},
        {"type": "resource", "uri": "file:///b"},
        {"type": "hologram", "volume": [1, 2.5, null], "nested": {"deep": true}},
    ]);
    let read = segments(&sent);
    let known = |segment: &Segment| matches!(segment, Segment::Known(_));
    let which: Vec<bool> = read.iter().map(known).collect();
    assert_eq!(which, [true, true, true, true, false]);
    assert_eq!(serde_json::to_value(&read).unwrap(), sent);
}

#[test]
fn an_input_with_an_unknown_kind_survives_the_store() {
    let sent = json!([{"type": "text", "text": "a"}, {"type": "hologram", "of": {"b": "a"}}]);
    let input = input(segments(&sent));
    let bytes = bincode::serde::encode_to_vec(&input, config()).unwrap();
    let (back, read): (Input, _) = bincode::serde::decode_from_slice(&bytes, config()).unwrap();
    assert_eq!((&back, read), (&input, bytes.len()));
    assert_eq!(
        back.content_digest().unwrap(),
        input.content_digest().unwrap()
    );
}

#[test]
fn a_known_kind_without_its_fields_is_readable_but_at_fault() {
    let lacks = Some("it lacks a field of its type, or has one with another kind of value");
    let cases = [
        (json!({"type": "text", "text": "a"}), None),
        (json!({"type": "hologram"}), None),
        (json!({"type": "text", "txt": "a"}), lacks),
        (json!({"type": "text", "text": 5}), lacks),
        (json!({"type": "image", "data": "aGk="}), lacks),
        (json!({"type": "resource"}), lacks),
        (json!({"text": "a"}), Some("it has no type")),
        (json!({"type": 1}), Some("it has no type")),
    ];
    for (sent, fault) in cases {
        let read = segments(&json!([sent]));
        assert_eq!(read[0].fault(), fault, "{sent}");
        assert_eq!(serde_json::to_value(&read[0]).unwrap(), sent);
    }
    // serde names the kinds it knows when it meets another one.
    let told = KnownSegment::deserialize(&json!({"type": "?"})).unwrap_err();
    let kinds = KnownSegment::KINDS.join("`, `");
    assert!(
        told.to_string()
            .ends_with(&format!("expected one of `{kinds}`")),
        "{told}"
    );
}

#[test]
fn what_is_no_object_is_no_segment() {
    for value in [json!(["text"]), json!([null]), json!([["text", "a"]])] {
        assert!(serde_json::from_str::<Vec<Segment>>(&value.to_string()).is_err());
    }
}

#[test]
fn the_text_of_an_input_is_its_text_segments() {
    let sent = json!([
        {"type": "text", "text": "a"},
        {"type": "hologram", "text": "not this"},
        {"type": "resource", "uri": "u", "text": "nor this"},
        {"type": "text", "text": "b"},
    ]);
    assert_eq!(input(segments(&sent)).text(), "a\nb");
    assert_eq!(input(vec![]).text(), "");
}

#[test]
fn an_input_is_compared_by_kind_and_segments_and_not_by_its_id() {
    let one = input(vec![Segment::text("a")]);
    let digest = one.content_digest().unwrap();
    let mut other = one.clone();
    other.input_id = InputId::new("j").unwrap();
    assert_eq!(other.content_digest().unwrap(), digest);
    other.kind = InputKind::System;
    assert_ne!(other.content_digest().unwrap(), digest);
    let other = input(vec![Segment::text("b")]);
    assert_ne!(other.content_digest().unwrap(), digest);
}

#[test]
fn a_plain_text_needs_no_more_than_its_segment() {
    let text = r#"{"segments": [{"type": "text", "text": "go"}]}"#;
    let read: SubmitInput = serde_json::from_str(text).unwrap();
    assert_eq!(read, SubmitInput::text("go"));
    let id = InputId::new("k").unwrap();
    let full = SubmitInput::text("go").with_id(id).queued();
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<SubmitInput>(&text).unwrap(), full);
    for refused in [
        r#"{}"#,
        r#"{"segments": [], "text": "go"}"#,
        r#"{"segments": [], "budget": {"time": 5}}"#,
        r#"{"segments": [], "mode": "interrupt"}"#,
        r#"{"segments": [], "input_id": ""}"#,
    ] {
        assert!(
            serde_json::from_str::<SubmitInput>(refused).is_err(),
            "{refused}"
        );
    }
}
