use bytes::Bytes;

use super::*;
use crate::{Seq, Timestamp};

fn event(position: u64, worker_id: WorkerId, said: &'static [u8], kept: &'static [u8]) -> Event {
    Event {
        position: Position(position),
        at: Timestamp::from_unix_ms(1),
        worker: Some(WorkerPlace {
            worker_id,
            seq: Seq(position),
            item: None,
        }),
        kind: EventType::DIAGNOSTIC,
        run_id: None,
        data: Bytes::from_static(kept),
        data_digest: Digest::of(said),
    }
}

/// The store is read beside the writer: a delete may be in it and not in what was published.
#[test]
fn what_is_gone_is_never_shown_as_if_it_had_been_said() {
    let worker_id = WorkerId::from_bytes([1; 16]);
    let nobody = HashSet::new();
    let gone = |position| event(position, worker_id, b"something", b"{}");
    let shown = redact(vec![gone(3), gone(4)], &nobody);
    let kinds: Vec<_> = shown.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds, [EventType::REDACTED]);
    assert_eq!(shown[0].position, Position(4));
    let said = event(3, worker_id, b"{}", b"{}");
    let shown = redact(vec![said.clone()], &nobody);
    assert_eq!(shown, std::slice::from_ref(&said));
    let deleted = HashSet::from([worker_id]);
    assert_eq!(redact(vec![said], &deleted)[0].kind, EventType::REDACTED);
}
