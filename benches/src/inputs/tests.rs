//! Each fault is put in on purpose here, and must be named.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;

fn worker_id() -> WorkerId {
    WorkerId::from_bytes([7; 16])
}

fn seen(position: u64, kind: EventType, data: &Value) -> Seen {
    let data = Bytes::from(serde_json::to_vec(data).unwrap());
    Seen {
        position,
        worker: Some((worker_id(), position)),
        kind,
        digest: 0,
        data,
    }
}

/// Two inputs, each accepted and finished.
fn sound() -> (SentById, Vec<Seen>) {
    let mut sent = SentById::new();
    let mut all = Vec::new();
    for op in 0..2 {
        let payload = Payload::new(0, op);
        let (input_id, position) = (format!("input-{op}"), all.len() as u64 + 1);
        let text = payload.to_text().unwrap();
        let accepted =
            json!({ "input_id": input_id, "segments": [{ "type": "text", "text": text }] });
        let finished = json!({ "input_id": input_id, "outcome": { "kind": "completed" } });
        all.push(seen(position, EventType::INPUT_ACCEPTED, &accepted));
        all.push(seen(position + 1, EventType::RUN_FINISHED, &finished));
        let worker_id = worker_id();
        sent.insert(
            input_id,
            Sent {
                worker_id,
                payload,
                position,
            },
        );
    }
    (sent, all)
}

fn fault(change: impl FnOnce(&mut SentById, &mut Vec<Seen>)) -> String {
    let (mut sent, mut all) = sound();
    change(&mut sent, &mut all);
    format!("{:?}", check(&sent, &all).unwrap_err())
}

#[test]
fn inputs_with_one_outcome_each_pass() {
    let (sent, all) = sound();
    check(&sent, &all).unwrap();
}

#[test]
fn an_outcome_that_is_missing_is_named() {
    let message = fault(|_, all| all.truncate(3));
    assert_eq!(message, "2 inputs got a receipt, 1 an outcome, 1 wait");
}

#[test]
fn a_second_outcome_is_named() {
    let message = fault(|_, all| {
        let mut again = all[3].clone();
        again.position = 5;
        all.push(again);
    });
    assert!(message.contains("a second or another outcome"), "{message}");
}

#[test]
fn an_input_elsewhere_than_its_receipt_says_is_named() {
    let message = fault(|sent, _| sent.get_mut("input-1").unwrap().position = 4);
    assert_eq!(message, "position 3 is not the input of the receipt");
}

#[test]
fn another_text_than_was_sent_is_named() {
    let message = fault(|sent, _| sent.get_mut("input-1").unwrap().payload = Payload::new(0, 9));
    assert_eq!(message, "position 3 is not the input of the receipt");
}

#[test]
fn an_input_that_nobody_received_is_named() {
    let message = fault(|_, all| all.truncate(2));
    assert_eq!(message, "2 inputs got a receipt, 1 an outcome, 0 wait");
}
