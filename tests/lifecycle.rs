//! A Worker's life: active -> stopped | cancelled -> deleted; repeated calls, epochs, scope.

use serde_json::json;
use worker_runtime_core::record::Lifecycle;
use worker_runtime_core::{
    Code, EndOptions, Epoch, EventType, Position, Stream, WorkerId,
    backend::{BackendError, BackendErrorKind},
    cursor::From as Start,
    error::{LifecycleError, SubmitError},
    run::{OutcomeKind, StopReason},
    view::{LifecycleReceipt, Phase},
    worker::{CreateWorker, EndKind, Intent, UpdateWorker},
};

use crate::support::{Host, Say, Told, assistant, data, input, queued, scripted, write};

fn no_reason() -> EndOptions {
    EndOptions::default()
}

fn holding(path: &str) -> CreateWorker {
    CreateWorker {
        scope: write(path),
        ..scripted()
    }
}

async fn scope_is_free(host: &Host, path: &str) -> bool {
    let request = CreateWorker {
        scope: write(path),
        ..assistant()
    };
    let catalog = host.runtime.catalog();
    match catalog.create(request).await {
        Ok(created) => {
            catalog.stop(created.worker_id, no_reason()).await.unwrap();
            true
        }
        Err(error) => {
            assert_eq!(error.code(), Code::ScopeConflict);
            false
        }
    }
}

#[tokio::test]
async fn a_stop_ends_the_run_and_what_waits_and_repeating_it_gives_the_first_receipt() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    let catalog = host.runtime.catalog();
    let reason = EndOptions {
        reason: Some("enough".into()),
        ..no_reason()
    };
    let first = catalog.stop(worker_id, reason).await.unwrap();
    assert_eq!(
        (first.ending, first.ending_kind),
        (true, Some(EndKind::Stop))
    );
    host.ends(
        worker_id,
        "two",
        OutcomeKind::Cancelled,
        StopReason::Cancelled,
    )
    .await;
    let again = catalog.cancel(worker_id, no_reason()).await.unwrap();
    assert_eq!(
        (again.position, again.cursor),
        (first.position, first.cursor)
    );
    assert_eq!(
        (again.repeated, again.ending_kind),
        (true, Some(EndKind::Stop))
    );
    assert!(!scope_is_free(&host, "src/x").await, "its run is not quiet");
    let error = host
        .runtime
        .interaction()
        .send_input(worker_id, input("three"))
        .await;
    assert!(matches!(
        error,
        Err(SubmitError::NotActive {
            state: "about to end",
            ..
        })
    ));
    let (_, quiet) = host.script.cancel_asked().await;
    quiet
        .unwrap()
        .send(Ok(worker_runtime_core::backend::Cancelled::Confirmed))
        .unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    assert!(scope_is_free(&host, "src/x").await);
    let again = catalog.stop(worker_id, no_reason()).await.unwrap();
    assert_eq!((again.position, again.repeated), (first.position, true));
    assert_eq!((again.lifecycle, again.ending), (Lifecycle::Stopped, false));
    let view = host.view(worker_id);
    assert_eq!(view.ending.unwrap().reason.as_deref(), Some("enough"));
    assert_eq!((view.fence, view.scope.is_empty()), (None, true));
    drop(run);
    host.end().await;
}

#[tokio::test]
async fn the_scope_is_free_only_when_the_backend_said_that_it_is_quiet() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    host.script.plan(|plan| plan.stop = Say::Ask);
    host.complete(worker_id, "one").await;
    host.runtime
        .catalog()
        .stop(worker_id, no_reason())
        .await
        .unwrap();
    let (_, quiet) = host.script.stop_asked().await;
    assert!(!scope_is_free(&host, "src").await);
    assert_eq!(host.view(worker_id).lifecycle, Lifecycle::Active);
    quiet.unwrap().send(Ok(())).unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    assert!(scope_is_free(&host, "src").await);
    host.end().await;
}

#[tokio::test]
async fn a_backend_that_cannot_be_shown_to_be_quiet_keeps_the_scope_until_an_operator_says_so() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    let error = BackendError::new(BackendErrorKind::Broken, "pid 7 does not answer");
    host.script.plan(|plan| plan.stop = Say::AtOnce(Err(error)));
    host.complete(worker_id, "one").await;
    let catalog = host.runtime.catalog();
    catalog.stop(worker_id, no_reason()).await.unwrap();
    let told = host.until(worker_id, EventType::DIAGNOSTIC).await;
    assert_eq!(told["code"], Code::RunUnproven.as_str());
    assert!(!scope_is_free(&host, "src").await);
    let found = host.runtime.management().diagnostics();
    assert_eq!(
        (found[0].code, found[0].worker_id),
        (Code::RunUnproven, Some(worker_id))
    );
    let assume_dead = EndOptions {
        assume_dead: true,
        ..no_reason()
    };
    catalog.cancel(worker_id, assume_dead).await.unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    assert!(scope_is_free(&host, "src").await);
    host.end().await;
}

#[tokio::test]
async fn a_backend_that_panics_when_it_is_stopped_keeps_the_scope_and_says_so() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    host.script.plan(|plan| plan.stop = Say::Panic);
    host.complete(worker_id, "one").await;
    host.runtime
        .catalog()
        .stop(worker_id, no_reason())
        .await
        .unwrap();
    let told = host.until(worker_id, EventType::DIAGNOSTIC).await;
    assert_eq!(told["code"], Code::RunUnproven.as_str());
    assert!(!scope_is_free(&host, "src").await);
    host.end().await;
}

#[tokio::test]
async fn restore_starts_the_next_epoch_and_takes_the_scope_again() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    host.complete(worker_id, "one").await;
    let before = host.view(worker_id).fence.unwrap();
    let catalog = host.runtime.catalog();
    catalog.stop(worker_id, no_reason()).await.unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    catalog.archive(worker_id).await.unwrap();
    let receipt = catalog.restore(worker_id).await.unwrap();
    assert_eq!(
        (receipt.lifecycle, receipt.repeated),
        (Lifecycle::Active, false)
    );
    let view = host.view(worker_id);
    assert_eq!((view.epoch, view.archived), (Epoch(2), false));
    assert_eq!(view.ending, None);
    assert!(view.fence.unwrap() > before);
    assert!(catalog.restore(worker_id).await.unwrap().repeated);
    assert!(
        host.send(worker_id, input("one")).await.repeated,
        "receipts outlive an epoch"
    );
    host.complete(worker_id, "two").await;
    // The first end wins within an epoch; in the next one another may.
    let end = catalog.cancel(worker_id, no_reason()).await.unwrap();
    assert_eq!(
        (end.repeated, end.ending_kind),
        (false, Some(EndKind::Cancel))
    );
    host.until(worker_id, EventType::WORKER_CANCELLED).await;
    let error = catalog.restore(worker_id).await.unwrap_err();
    assert!(matches!(
        error,
        LifecycleError::WrongState {
            state: "cancelled",
            ..
        }
    ));
    host.end().await;
}

#[tokio::test]
async fn a_restore_is_refused_when_others_hold_the_scope_by_now() {
    let host = Host::open().await;
    let first = host.create(holding("src")).await;
    let catalog = host.runtime.catalog();
    catalog.stop(first, no_reason()).await.unwrap();
    let second = host.create(holding("src/a")).await;
    let error = catalog.restore(first).await.unwrap_err();
    let LifecycleError::ScopeRefused(refusal) = error else {
        panic!("{error}");
    };
    assert_eq!(refusal.owners()[0].holder, second.into());
    assert_eq!(host.view(first).lifecycle, Lifecycle::Stopped);
    catalog.stop(second, no_reason()).await.unwrap();
    catalog.restore(first).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn only_an_ended_worker_is_archived_or_deleted_and_only_an_active_one_is_paused() {
    let host = Host::open().await;
    let worker_id = host.create(assistant()).await;
    let catalog = host.runtime.catalog();
    let not_ended = Code::WorkerNotEnded;
    assert_eq!(
        catalog.archive(worker_id).await.unwrap_err().code(),
        not_ended
    );
    assert_eq!(
        catalog.delete(worker_id, false).await.unwrap_err().code(),
        not_ended
    );
    catalog.stop(worker_id, no_reason()).await.unwrap();
    assert_eq!(
        host.view(worker_id).lifecycle,
        Lifecycle::Stopped,
        "nothing ran: at once"
    );
    let not_active = Code::WorkerNotActive;
    assert_eq!(
        catalog.pause(worker_id).await.unwrap_err().code(),
        not_active
    );
    assert_eq!(
        catalog.resume(worker_id).await.unwrap_err().code(),
        not_active
    );
    assert!(!catalog.archive(worker_id).await.unwrap().repeated);
    assert!(catalog.archive(worker_id).await.unwrap().repeated);
    assert_eq!(host.types(worker_id).last().unwrap(), "worker.archived");
    host.observation().worker(worker_id).unwrap();
    let unknown = WorkerId::from_bytes([9; 16]);
    for result in [
        catalog.stop(unknown, no_reason()).await,
        catalog.archive(unknown).await,
        catalog.restore(unknown).await,
        catalog.delete(unknown, false).await,
    ] {
        assert_eq!(result.unwrap_err().code(), Code::WorkerUnknown);
    }
    host.end().await;
}

#[tokio::test]
async fn a_deleted_worker_is_gone_and_its_id_is_never_used_again() {
    let host = Host::open().await;
    let worker_id = WorkerId::from_bytes([5; 16]);
    let request = CreateWorker {
        worker_id: Some(worker_id),
        ..assistant()
    };
    host.create(request.clone()).await;
    let catalog = host.runtime.catalog();
    catalog.stop(worker_id, no_reason()).await.unwrap();
    let receipt = catalog.delete(worker_id, false).await.unwrap();
    assert_eq!(receipt.lifecycle, Lifecycle::Deleted);
    let deleted = Code::WorkerDeleted;
    assert_eq!(catalog.create(request).await.unwrap_err().code(), deleted);
    assert_eq!(
        catalog.delete(worker_id, false).await.unwrap_err().code(),
        deleted
    );
    assert_eq!(
        catalog.restore(worker_id).await.unwrap_err().code(),
        deleted
    );
    assert_eq!(
        host.observation().worker(worker_id).unwrap_err().code(),
        deleted
    );
    let sent = host
        .runtime
        .interaction()
        .send_input(worker_id, input("one"))
        .await;
    assert_eq!(sent.unwrap_err().code(), deleted);
    host.end().await;
}

#[tokio::test]
async fn a_pause_holds_what_waits_and_lets_what_runs_go_on() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let catalog = host.runtime.catalog();
    assert!(!catalog.pause(worker_id).await.unwrap().repeated);
    assert!(catalog.pause(worker_id).await.unwrap().repeated);
    host.send(worker_id, queued("two")).await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let view = host.view(worker_id);
    assert_eq!(
        (view.paused, view.activity.phase),
        (true, Some(Phase::Queued))
    );
    // Also an input that is not to wait is held, as nothing else is before it.
    let idle = host.worker().await;
    catalog.pause(idle).await.unwrap();
    host.send(idle, input("three")).await;
    assert_eq!(host.view(idle).activity.phase, Some(Phase::Queued));
    assert!(!catalog.resume(worker_id).await.unwrap().repeated);
    assert_eq!(host.script.run().await.input_id(), "two");
    assert!(host.script.try_run().is_none());
    host.end().await;
}

#[tokio::test]
async fn names_and_labels_change_and_stay_within_their_limits() {
    let host = Host::limited(|limits| limits.labels_max = 3).await;
    let worker_id = host.create(assistant()).await;
    let catalog = host.runtime.catalog();
    let set = |pairs: &[(&str, Option<&str>)]| UpdateWorker {
        labels: pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
            .collect(),
        ..UpdateWorker::default()
    };
    let update = set(&[("a", Some("1")), ("b", Some("2"))]);
    catalog.update(worker_id, update).await.unwrap();
    let revision = host.view(worker_id).revision;
    let update = UpdateWorker {
        display_name: Some("ada".into()),
        ..set(&[("a", None), ("c", Some("3"))])
    };
    catalog.update(worker_id, update).await.unwrap();
    let view = host.view(worker_id);
    assert_eq!(view.labels.keys().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(view.display_name.as_deref(), Some("ada"));
    assert!(view.display_ref.starts_with("ada@") && view.revision > revision);
    let error = catalog
        .update(worker_id, set(&[("d", Some("4")), ("e", Some("5"))]))
        .await;
    assert_eq!(
        error.unwrap_err().code(),
        Code::FieldInvalid,
        "four would be too many"
    );
    assert_eq!(host.view(worker_id).labels.len(), 2);
    host.end().await;
}

#[tokio::test]
async fn a_call_that_is_repeated_gives_the_receipt_of_the_one_that_made_the_change() {
    let host = Host::open().await;
    let worker_id = host.create(assistant()).await;
    let catalog = host.runtime.catalog();
    let same = |first: LifecycleReceipt, again: LifecycleReceipt| {
        assert_eq!((first.repeated, again.repeated), (false, true));
        assert_eq!(
            (first.position, first.cursor),
            (again.position, again.cursor)
        );
    };
    let first = catalog.pause(worker_id).await.unwrap();
    host.create(assistant()).await;
    same(first, catalog.pause(worker_id).await.unwrap());
    let first = catalog.resume(worker_id).await.unwrap();
    same(first, catalog.resume(worker_id).await.unwrap());
    let first = catalog.cancel(worker_id, no_reason()).await.unwrap();
    let position = host.observation().runtime().position;
    same(
        first.clone(),
        catalog.cancel(worker_id, no_reason()).await.unwrap(),
    );
    let archived = catalog.archive(worker_id).await.unwrap();
    same(archived, catalog.archive(worker_id).await.unwrap());
    same(first, catalog.stop(worker_id, no_reason()).await.unwrap());
    assert_eq!(
        host.observation().runtime().position.0,
        position.0 + 1,
        "repeating tells nothing"
    );
    let other = host.create(assistant()).await;
    catalog.stop(other, no_reason()).await.unwrap();
    let first = catalog.restore(other).await.unwrap();
    same(first, catalog.restore(other).await.unwrap());
    host.end().await;
}

#[tokio::test]
async fn nothing_of_what_a_deleted_worker_was_is_kept() {
    for purge in [false, true] {
        let host = Host::open().await;
        let mut request = CreateWorker {
            display_name: Some("secret-name".into()),
            labels: [("secret-key".to_owned(), "secret-value".to_owned())].into(),
            ..holding("secret-path")
        };
        request.spec.intent = Intent::Assistant {
            purpose: Some("secret-purpose".into()),
        };
        let worker_id = host.create(request).await;
        let run = host.start(worker_id, "secret-input").await;
        run.sink.status("mode", &"secret-mode").await.unwrap();
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        let reason = EndOptions {
            reason: Some("secret-reason".into()),
            ..no_reason()
        };
        let catalog = host.runtime.catalog();
        catalog.stop(worker_id, reason).await.unwrap();
        host.until(worker_id, EventType::WORKER_STOPPED).await;
        catalog.delete(worker_id, purge).await.unwrap();
        let kept = format!("{:?}", host.faults.loaded());
        assert!(kept.contains(&worker_id.to_string()), "its id");
        assert!(!kept.contains("secret"), "{kept}");
        drop(run);
        host.end().await;
    }
}

/// A payload that is kept beside its event went with its Worker's history, and the Runtime's stream had a
/// gap for it, as if an operator's limits had trimmed it, between stretches that told of the delete.
#[tokio::test]
async fn all_that_a_deleted_worker_said_is_redacted_whatever_its_size() {
    for purge in [false, true] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        for len in [10, 5_000, 10, 200_000] {
            let said = json!({ "text": "x".repeat(len) });
            let told = run.sink.event(EventType::BACKEND_MESSAGE, &said);
            told.await.unwrap();
        }
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        let catalog = host.runtime.catalog();
        catalog.stop(worker_id, no_reason()).await.unwrap();
        host.until(worker_id, EventType::WORKER_STOPPED).await;
        let deleted = catalog.delete(worker_id, purge).await.unwrap();
        let host = host.crash().await;
        let mut stream = host.observe(Stream::Runtime, Start::Beginning);
        assert_eq!(stream.event().await.kind, EventType::RUNTIME_STARTED);
        let stretch = stream.event().await;
        assert_eq!(stretch.kind, EventType::REDACTED);
        let until = Position(deleted.position.0 - 1);
        let told = json!({ "worker_id": worker_id, "from": 2, "to": until });
        assert_eq!(data(&stretch), told);
        assert_eq!(stream.event().await.kind, EventType::WORKER_DELETED);
        host.end().await;
    }
}
