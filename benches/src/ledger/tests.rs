//! A ledger that lets a fault pass would make every figure worthless: each kind of fault is put in
//! on purpose here, and must be named.

use super::*;

fn worker_id(worker: u32) -> WorkerId {
    WorkerId::from_bytes([worker as u8 + 1; 16])
}

/// Three Workers with four events each, as they were acknowledged and as they came back.
fn sound() -> (Ledger, Vec<Seen>) {
    let mut ledger = Ledger {
        workers: (0..3).map(worker_id).collect(),
        acked: Vec::new(),
    };
    let mut seen = Vec::new();
    for op in 0..4 {
        for worker in 0..3 {
            let position = seen.len() as u64 + 1;
            let data = Payload::new(worker, op).to_bytes().unwrap();
            ledger.acked.push(Acked {
                position,
                worker,
                op,
            });
            seen.push(Seen {
                position,
                worker: Some((worker_id(worker), op + 1)),
                kind: APPENDED,
                digest: digest(&data),
                data: Bytes::new(),
            });
        }
    }
    (ledger, seen)
}

/// Takes an event out without leaving a trace in any number, as a reader that lies would.
fn renumber(seen: &mut [Seen]) {
    for (position, event) in (1..).zip(&mut *seen) {
        event.position = position;
    }
    let mut seqs = HashMap::new();
    for event in seen {
        if let Some((worker_id, seq)) = &mut event.worker {
            let last = seqs.entry(*worker_id).or_insert(0);
            *last += 1;
            *seq = *last;
        }
    }
}

fn fault(change: impl FnOnce(&mut Ledger, &mut Vec<Seen>)) -> String {
    let (mut ledger, mut seen) = sound();
    change(&mut ledger, &mut seen);
    let failure = ledger.check_stream(&seen).unwrap_err();
    let mut other = sound().0;
    other.acked = ledger.acked;
    other.workers = ledger.workers;
    other.check_workers(&mut seen).unwrap_err();
    format!("{failure:?}")
}

#[test]
fn what_was_received_as_it_was_acknowledged_passes() {
    let (mut ledger, mut seen) = sound();
    ledger.acked.reverse();
    ledger.check_stream(&seen).unwrap();
    seen.sort_by_key(|event| event.worker);
    ledger.check_workers(&mut seen).unwrap();
}

#[test]
fn an_event_that_is_missing_at_the_end_is_named() {
    let message = fault(|_, seen| drop(seen.pop()));
    assert_eq!(
        message,
        "operation 3 of Worker 2 was acknowledged at position 12 and not received"
    );
}

#[test]
fn an_event_that_is_missing_in_the_middle_is_named() {
    let message = fault(|_, seen| drop(seen.remove(4)));
    assert!(message.contains("position 6 where 5"), "{message}");
}

#[test]
fn an_event_that_is_missing_without_a_gap_in_the_numbers_is_named() {
    let message = fault(|_, seen| {
        seen.remove(4);
        renumber(seen);
    });
    assert!(message.contains("position 5"), "{message}");
}

#[test]
fn an_event_that_came_twice_is_named() {
    let message = fault(|_, seen| {
        let twice = seen[4].clone();
        seen.insert(4, twice);
        renumber(seen);
    });
    assert!(message.contains("position 6"), "{message}");
}

#[test]
fn an_event_with_other_data_is_named() {
    let message = fault(|_, seen| seen[7].digest ^= 1);
    assert!(message.contains("position 8 came back"), "{message}");
}

#[test]
fn an_event_of_another_worker_is_named() {
    let message = fault(|ledger, _| ledger.workers.swap(0, 1));
    assert!(message.contains("position 1 came back"), "{message}");
}

#[test]
fn events_that_nobody_acknowledged_are_named() {
    let message = fault(|ledger, _| {
        ledger.acked.pop();
    });
    assert!(message.contains("never acknowledged"), "{message}");
}
