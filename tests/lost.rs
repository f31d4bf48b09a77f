//! Records of a Worker that are lost: its id stays its own, and so does what it holds (I5, I6, I7).

use worker_runtime_core::{
    Code, EventType, PageSize, Position, Runtime, RuntimeOptions, Stream, WorkerId,
    cursor::From as Start,
    limits::Limits,
    open_read_only,
    run::{OutcomeKind, StopReason},
    store::{DamagedRecord, WentBack},
    worker::CreateWorker,
};
use worker_runtime_persist::{FileOptions, FileStore, ReadStore};

use crate::support::{Host, Lost, Script, assistant, input, queued, scripted, write};

const ID: WorkerId = WorkerId::from_bytes([7; 16]);

#[tokio::test]
async fn an_id_whose_record_is_lost_is_not_used_again() {
    for (allocation, unfinished) in [(true, true), (false, true), (true, false), (false, false)] {
        let host = Host::open().await;
        let request = || CreateWorker {
            worker_id: Some(ID),
            scope: write("src"),
            ..scripted()
        };
        host.create(request()).await;
        let run = host.start(ID, "one").await;
        host.faults.lose(Lost {
            worker_id: ID,
            allocation,
            unfinished,
        });
        let host = host.crash().await;
        drop(run);
        for request in [
            request(),
            CreateWorker {
                worker_id: Some(ID),
                ..assistant()
            },
        ] {
            let error = host.runtime.catalog().create(request).await.unwrap_err();
            assert_eq!(error.code(), Code::WorkerDamaged, "{error}");
        }
        if !allocation {
            let other = CreateWorker {
                worker_id: None,
                ..request()
            };
            let error = host.runtime.catalog().create(other).await.unwrap_err();
            assert_eq!(error.code(), Code::ScopeConflict);
        }
        if !(allocation && unfinished) {
            let interaction = host.runtime.interaction();
            let error = interaction.send_input(ID, input("two")).await.unwrap_err();
            assert_eq!(error.code(), Code::WorkerDamaged);
            let found = host.runtime.management().diagnostics();
            assert_eq!(found[0].worker_id, Some(ID));
        }
        let other = host.worker().await;
        let run = host.start(other, "beside").await;
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    }
}

#[tokio::test]
async fn state_that_went_back_is_told_until_somebody_acknowledges_it() {
    let host = Host::open().await;
    host.worker().await;
    let went = WentBack {
        witnessed: Position(90),
        found: Position(2),
    };
    host.faults
        .find(move |loaded| loaded.went_back = Some(went));
    let mut host = host.crash().await;
    for _ in 0..2 {
        let management = host.runtime.management();
        let told = management.status().went_back.unwrap();
        assert_eq!((told.witnessed, told.found), (went.witnessed, went.found));
        assert_eq!(management.diagnostics()[0].code, Code::StateWentBack);
        host.worker().await;
        host = host.crash().await;
    }
    let management = host.runtime.management();
    management.acknowledge_went_back().await.unwrap();
    assert_eq!(management.status().went_back, None);
    let position = management.acknowledge_went_back().await.unwrap();
    assert_eq!(position, host.observation().runtime().position);
    let host = host.crash().await;
    assert_eq!(host.runtime.management().status().went_back, None);
    host.end().await;
}

#[tokio::test]
async fn a_scope_whose_record_was_damaged_is_held_under_a_new_fence() {
    let host = Host::open().await;
    let worker_id = host
        .create(CreateWorker {
            scope: write("src"),
            ..scripted()
        })
        .await;
    let before = host.start(worker_id, "one").await.request.fence;
    host.faults.find(move |loaded| {
        loaded.allocations.clear();
        loaded.damaged.push(DamagedRecord {
            table: "allocation",
            worker_id: Some(worker_id),
            lease_id: None,
            operation_id: None,
            seq: None,
            detail: "the test wants it".into(),
        });
    });
    let host = host.crash().await;
    let fence = host.view(worker_id).fence;
    assert!(fence > before, "{fence:?} after {before:?}");
    let told = host.until(worker_id, EventType::DIAGNOSTIC).await;
    assert_eq!(told["code"], Code::RecordDamaged.as_str());
    let host = host.crash().await;
    assert_eq!(host.view(worker_id).fence, fence, "it is durable");
    assert_eq!(host.count(worker_id, EventType::DIAGNOSTIC), 1);
    host.end().await;
}

/// Whose the record is may be what is damaged: then it named nobody, its Worker held nothing any more,
/// and another one was granted the same scope.
#[tokio::test]
async fn a_scope_whose_record_names_nobody_any_more_is_held_by_its_worker() {
    let host = Host::open().await;
    let request = CreateWorker {
        scope: write("src"),
        ..scripted()
    };
    let worker_id = host.create(request.clone()).await;
    let before = host.view(worker_id).fence;
    host.faults.find(move |loaded| {
        loaded.allocations.clear();
        loaded.damaged.push(DamagedRecord {
            table: "allocation",
            worker_id: Some(WorkerId::from_bytes([9; 16])),
            lease_id: None,
            operation_id: None,
            seq: None,
            detail: "the test wants it".into(),
        });
    });
    let host = host.crash().await;
    let view = host.view(worker_id);
    assert!(view.fence > before, "{:?} after {before:?}", view.fence);
    assert_eq!(view.scope.allow, request.scope.allow);
    let again = host.runtime.catalog().create(request).await;
    assert_eq!(again.unwrap_err().code(), Code::ScopeConflict);
    let damaged = host.observation().runtime().damaged;
    assert!(damaged.iter().any(|it| it.worker_id == Some(worker_id)));
    host.end().await;
}

#[tokio::test]
async fn a_stopped_store_shows_what_a_worker_holds_whose_record_names_nobody() {
    let place = tempfile::tempdir().unwrap();
    let script = Script::default();
    let store = FileStore::open(place.path(), FileOptions::default()).unwrap();
    let mut options = RuntimeOptions {
        backends: vec![script.factory()],
        ..RuntimeOptions::default()
    };
    options.mounts.set("repo", "/nonexistent/repo").unwrap();
    let runtime = Runtime::open(Box::new(store), options).await.unwrap();
    let request = CreateWorker {
        scope: write("src"),
        ..scripted()
    };
    let created = runtime.catalog().create(request.clone()).await.unwrap();
    runtime.close().await.unwrap();

    let store = ReadStore::open(place.path()).unwrap();
    let mut loaded = store.load().unwrap();
    loaded.allocations.clear();
    let read = open_read_only(loaded, store.reader(), Vec::new(), Limits::default()).unwrap();
    let view = read.worker(created.worker_id).unwrap();
    assert_eq!(view.scope.allow, request.scope.allow);
    assert_eq!(view.fence, None, "nobody knows it");
    let damaged = read.runtime().damaged;
    let named = damaged.iter().map(|it| (it.table.as_str(), it.worker_id));
    assert_eq!(
        named.collect::<Vec<_>>(),
        [("allocation", Some(created.worker_id))]
    );
}

#[tokio::test]
async fn an_input_whose_record_is_damaged_is_interrupted_and_the_next_one_runs() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let second = host.send(worker_id, queued("two")).await;
    host.send(worker_id, queued("three")).await;
    host.faults.find(move |loaded| {
        let seq = second.accepted.seq;
        loaded.unfinished.retain(|input| input.accepted.seq != seq);
        loaded.damaged.push(DamagedRecord {
            table: "unfinished",
            worker_id: Some(worker_id),
            lease_id: None,
            operation_id: None,
            seq: Some(seq),
            detail: "the test wants it".into(),
        });
    });
    let host = host.crash().await;
    drop(run);
    let stop = StopReason::RuntimeLost;
    for id in ["one", "two"] {
        host.ends(worker_id, id, OutcomeKind::Interrupted, stop.clone())
            .await;
    }
    let run = host.script.run().await;
    assert_eq!(run.input_id(), "three");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let host = host.crash().await;
    assert_eq!(host.count(worker_id, EventType::INPUT_FINISHED), 1);
    assert!(host.script.try_run().is_none(), "nothing runs again");
    host.end().await;
}

/// The tombstone says that a Worker was deleted. When it was damaged, the log of the Runtime showed
/// again what the Worker had been told.
#[tokio::test]
async fn what_a_deleted_worker_was_is_not_shown_again_when_its_record_is_damaged() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "a secret").await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let catalog = host.runtime.catalog();
    catalog.stop(worker_id, Default::default()).await.unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    catalog.delete(worker_id, false).await.unwrap();
    host.faults.find(move |loaded| {
        loaded.workers.retain(|it| it.worker_id != worker_id);
        loaded.damaged.push(DamagedRecord {
            table: "worker",
            worker_id: Some(worker_id),
            lease_id: None,
            operation_id: None,
            seq: None,
            detail: "the test wants it".into(),
        });
    });
    let host = host.crash().await;
    let log = host
        .observation()
        .events(Stream::Runtime, Start::Beginning, PageSize::default())
        .unwrap();
    let kinds: Vec<&EventType> = log.events.iter().map(|(_, event)| &event.kind).collect();
    assert!(kinds.contains(&&EventType::REDACTED), "{kinds:?}");
    assert!(!kinds.contains(&&EventType::INPUT_ACCEPTED), "{kinds:?}");
    assert!(kinds.contains(&&EventType::WORKER_DELETED), "{kinds:?}");
    host.end().await;
}
