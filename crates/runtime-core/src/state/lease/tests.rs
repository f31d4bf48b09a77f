//! The time of leases, by a clock that moves when told; and what an opening makes of them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    Code, HeldRule, Incarnation, Permission, RuntimeId, Scope, SeededEntropy, Timestamp, WorkerId,
    limits::Limits,
    record::{IncarnationRecord, ReceiptRecord, RuntimeRecord},
    runtime::{Backends, LiveRuns},
    state::{Dispatch, Now, Surroundings},
    store::{
        InFlightBlock, Loaded, ReplayPage, ReplayRequest, StoreError, StoreReader, StreamBounds,
        TranscriptRequest, TranscriptSlice, WorkerHead,
    },
};

/// A store without history.
struct Nothing;

impl StoreReader for Nothing {
    fn receipt(&self, _: WorkerId, _: [u8; 16]) -> Result<Option<ReceiptRecord>, StoreError> {
        Ok(None)
    }

    fn worker_head(&self, _: WorkerId) -> Result<WorkerHead, StoreError> {
        Ok(WorkerHead::default())
    }

    fn bounds(&self, _: Stream) -> Result<StreamBounds, StoreError> {
        Ok(StreamBounds::default())
    }

    fn replay(&self, _: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        Ok(ReplayPage::default())
    }

    fn transcript(&self, _: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        Ok(TranscriptSlice::default())
    }

    fn in_flight(&self, _: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        Ok(Vec::new())
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_000_000 + seconds * 1_000)
}

/// What an opening finds: these leases, and the last fence that was granted.
fn open(leases: Vec<Arc<LeaseRecord>>, fence: Fence) -> State {
    let limits = Arc::new(Limits {
        leases_max: 3,
        ..Limits::default()
    });
    let loaded = Loaded {
        runtime: RuntimeRecord {
            runtime_id: RuntimeId::from_bytes([1; 16]),
            created_at: at(0),
            stopped: false,
            fence,
            went_back: None,
        },
        incarnations: vec![IncarnationRecord {
            incarnation: Incarnation { number: 1, id: 1 },
            first_position: Position(1),
            at: at(0),
        }],
        workers: Vec::new(),
        allocations: Vec::new(),
        leases,
        operations: Vec::new(),
        unfinished: Vec::new(),
        position: Position(0),
        at: at(0),
        damaged: Vec::new(),
        went_back: None,
    };
    let around = Surroundings {
        reader: Arc::new(Nothing),
        backends: Arc::new(Backends::new(Vec::new()).unwrap()),
        live: Arc::new(LiveRuns::new(limits.clone())),
        limits,
    };
    let entropy = Box::new(SeededEntropy::new(1));
    let mut state = State::new(loaded, Dispatch::None, around, entropy);
    state.set_now(Now { at: at(0) });
    state.begin_leases();
    state
}

fn prepared(path: &str, ttl: Duration) -> PreparedLease {
    let request = AcquireLease {
        lease_id: None,
        holder: "a tool".to_owned(),
        scope: Scope::default(),
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap(),
        reason: None,
    };
    PreparedLease {
        fingerprint: request.fingerprint().unwrap(),
        request,
        checked: Ok(HeldScope {
            allow: vec![HeldRule {
                mount: "repo".to_owned(),
                path: path.to_owned(),
                target: format!("/repo/{path}"),
                permission: Permission::Write,
                recursive: true,
            }],
            deny: Vec::new(),
        }),
    }
}

fn granted_at(state: &mut State, path: &str, ttl: Duration) -> LeaseView {
    state.acquire(prepared(path, ttl)).unwrap().lease
}

/// The writer looks at this moment; tells what became of the lease, and the events.
fn look(state: &mut State, now: Timestamp) -> Vec<EventType> {
    state.set_now(Now { at: now });
    state.expire().unwrap();
    let (batch, _, _) = state.take_batch();
    batch.events.into_iter().map(|event| event.kind).collect()
}

#[test]
fn a_lease_lasts_its_time_and_not_longer() {
    let mut state = open(Vec::new(), Fence(4));
    let lease = granted_at(&mut state, "src", 10 * MINUTE);
    assert_eq!((lease.fence, lease.is_current), (Fence(5), true));
    assert_eq!(lease.expires_at, Some(at(600)));
    drop(state.take_batch());
    for minute in 1..10 {
        assert_eq!(state.next_deadline(), Some(at(minute * 60)));
        assert_eq!(look(&mut state, at(minute * 60)), [], "minute {minute}");
        assert_eq!(state.lease_expires_at(lease.lease_id), Some(at(600)));
    }
    assert_eq!(look(&mut state, at(600)), [EventType::LEASE_EXPIRED]);
    assert_eq!(state.next_deadline(), None);
    assert_eq!(look(&mut state, at(700)), []);
    granted_at(&mut state, "src/a", MINUTE);
}

#[test]
fn a_stop_of_the_process_uses_up_one_look_of_ten() {
    let mut state = open(Vec::new(), Fence(0));
    let lease = granted_at(&mut state, "src", 10 * MINUTE);
    drop(state.take_batch());
    let day = 24 * 60 * 60;
    assert_eq!(look(&mut state, at(day)), []);
    assert_eq!(
        state.lease_expires_at(lease.lease_id),
        Some(at(day + 9 * 60))
    );
    for minute in 1..9 {
        assert_eq!(look(&mut state, at(day + minute * 60)), []);
    }
    assert_eq!(
        look(&mut state, at(day + 9 * 60)),
        [EventType::LEASE_EXPIRED]
    );
}

#[test]
fn looks_that_lie_close_are_taken_together_and_none_delays_the_next() {
    let mut state = open(Vec::new(), Fence(0));
    let ms = |ms: u64| Timestamp::from_unix_ms(1_000_000 + ms);
    for (path, begun) in [("a", 0), ("b", 13), ("c", 49)] {
        state.set_now(Now { at: ms(begun) });
        granted_at(&mut state, path, Duration::from_secs(1));
    }
    drop(state.take_batch());
    // Of three, which end up to 49 ms one after another: 21 wake-ups in place of 30, and none too early.
    let (mut ended, mut wakes) = (Vec::new(), 0);
    while let Some(next) = state.next_deadline() {
        let count = look(&mut state, next).len();
        ended.extend(std::iter::repeat_n(next, count));
        wakes += 1;
    }
    assert_eq!(ended, [ms(1_000), ms(1_050), ms(1_050)]);
    assert!(wakes <= 21, "{wakes}");
}

#[test]
fn a_look_that_comes_too_early_takes_nothing() {
    let mut state = open(Vec::new(), Fence(0));
    granted_at(&mut state, "src", 10 * MINUTE);
    drop(state.take_batch());
    for second in 0..60 {
        assert_eq!(look(&mut state, at(second)), []);
    }
    assert_eq!(state.next_deadline(), Some(at(60)));
}

#[test]
fn a_renewal_begins_the_time_again_and_writes_nothing() {
    let mut state = open(Vec::new(), Fence(0));
    let lease = granted_at(&mut state, "src", 10 * MINUTE);
    drop(state.take_batch());
    for minute in 1..10 {
        look(&mut state, at(minute * 60));
    }
    let renewal = Renewal {
        lease_id: lease.lease_id,
        fence: lease.fence,
        ttl_ms: None,
    };
    let renewed = state.renew(renewal).unwrap();
    assert_eq!(renewed.lease.fence, lease.fence);
    assert_eq!(renewed.lease.expires_at, Some(at(9 * 60 + 600)));
    assert!(state.is_unchanged());
    // Another time is kept: an opening lets it have that again.
    let ttl_ms = Some(60_000);
    let shorter = state.renew(Renewal { ttl_ms, ..renewal }).unwrap();
    assert_eq!(shorter.lease.expires_at, Some(at(10 * 60)));
    let (batch, _, _) = state.take_batch();
    assert!(batch.events.is_empty());
    assert!(matches!(&batch.changes[..], [Change::Lease(held)] if held.ttl_ms == 60_000));
    let other = Renewal {
        fence: Fence(99),
        ..renewal
    };
    let error = state.renew(other).unwrap_err();
    assert_eq!(error.code(), Code::FenceStale, "{error}");
}

#[test]
fn an_opening_voids_the_fence_and_the_old_one_gives_the_next_however_often_it_is_shown() {
    let mut state = open(Vec::new(), Fence(4));
    let lease = granted_at(&mut state, "src", 10 * MINUTE);
    let held = state.holdings.lease(lease.lease_id).unwrap().clone();
    let old = held.fence;
    let mut state = open(vec![held], Fence(7));
    assert_eq!(state.lease_expires_at(lease.lease_id), Some(at(600)));
    let renewal = |fence| Renewal {
        lease_id: lease.lease_id,
        fence,
        ttl_ms: None,
    };
    let renewed = state.renew(renewal(old)).unwrap();
    assert_eq!(
        (renewed.lease.fence, renewed.lease.is_current),
        (Fence(8), true)
    );
    let (batch, _, _) = state.take_batch();
    assert_eq!(batch.events[0].kind, EventType::LEASE_GRANTED);
    // The answer was lost.
    let again = state.renew(renewal(old)).unwrap();
    assert_eq!((again.lease.fence, again.repeated), (Fence(8), true));
    assert!(state.is_unchanged());
    // And again with the next opening.
    let held = state.holdings.lease(lease.lease_id).unwrap().clone();
    let mut state = open(vec![held], Fence(8));
    assert_eq!(state.renew(renewal(old)).unwrap().lease.fence, Fence(9));
    // What was never told to anybody who shows the old one is nobody's.
    let error = state.renew(renewal(Fence(8))).unwrap_err();
    assert_eq!(error.code(), Code::FenceStale, "{error}");
    assert_eq!(
        state.renew(renewal(Fence(9))).unwrap().lease.fence,
        Fence(9)
    );
    // Now its holder has heard: whoever still has the old one is somebody else, also after an opening.
    let error = state.renew(renewal(old)).unwrap_err();
    assert_eq!(error.code(), Code::FenceStale, "{error}");
    let held = state.holdings.lease(lease.lease_id).unwrap().clone();
    let mut state = open(vec![held], Fence(9));
    let error = state.renew(renewal(old)).unwrap_err();
    assert_eq!(error.code(), Code::FenceStale, "{error}");
}

#[test]
fn there_are_at_most_as_many_as_the_limit_says() {
    let mut state = open(Vec::new(), Fence(0));
    for path in ["a", "b", "c"] {
        granted_at(&mut state, path, MINUTE);
    }
    let error = state.acquire(prepared("d", MINUTE)).unwrap_err();
    assert_eq!(error.code(), Code::LeaseLimit, "{error}");
}

#[test]
fn those_that_end_at_one_look_end_in_the_order_of_their_ids() {
    let mut state = open(Vec::new(), Fence(0));
    let mut ids: Vec<_> = ["a", "b", "c"]
        .map(|path| granted_at(&mut state, path, MINUTE).lease_id)
        .into();
    ids.sort_unstable();
    drop(state.take_batch());
    for second in 1..10 {
        look(&mut state, at(second * 6));
    }
    state.set_now(Now { at: at(60) });
    state.expire().unwrap();
    let (batch, _, _) = state.take_batch();
    let ended = batch.changes.iter().map(|change| match change {
        Change::EndLease(lease_id) => *lease_id,
        other => panic!("{other:?}"),
    });
    assert_eq!(ended.collect::<Vec<_>>(), ids);
    assert_eq!(batch.events.first().unwrap().worker, None);
}
