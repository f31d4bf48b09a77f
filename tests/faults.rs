//! The store fails while it is written: what was in the batch is answered as unknown, nothing is
//! run twice, nothing is lost, and the Runtime goes on (I1, I4, I5).

use std::time::Duration;

use worker_runtime_core::{
    Code, EventType, WorkerId,
    error::{SubmitError, Unavailable},
    input::{Budget, SubmitInput},
    run::{OutcomeKind, StopReason},
    worker::UpdateWorker,
};

use crate::support::{Fault, Host, assistant, input, poll_once, queued, within};

/// Something that is always committed.
async fn poke(host: &Host, worker_id: WorkerId) -> Result<(), Unavailable> {
    let catalog = host.runtime.catalog();
    let changed = catalog.update(worker_id, UpdateWorker::default()).await;
    changed.map(drop).map_err(|error| match error {
        worker_runtime_core::error::LifecycleError::Unavailable(error) => error,
        other => panic!("{other}"),
    })
}

/// Waits until the Runtime takes commands again.
async fn until_back(host: &Host, worker_id: WorkerId) {
    let back = async { while poke(host, worker_id).await.is_err() {} };
    within("the Runtime to be back", back).await;
}

fn is_unknown(result: &Result<worker_runtime_core::input::InputReceipt, SubmitError>) -> bool {
    matches!(
        result,
        Err(SubmitError::Unavailable(Unavailable::OutcomeUnknown))
    )
}

/// Sends two equal inputs so that one commit holds both, which fails.
async fn two_in_one_batch(host: &Host, worker_id: WorkerId, fault: Fault) {
    host.faults.hold();
    let other = host.runtime.interaction();
    let mut poked = Box::pin(poke(host, worker_id));
    assert!(poll_once(poked.as_mut()).await);
    host.faults.until_held().await;
    host.faults.fail_next([Fault::Passes, fault]);
    let mut a = Box::pin(other.send_input(worker_id, input("one")));
    let mut b = Box::pin(other.send_input(worker_id, input("one")));
    assert!(poll_once(a.as_mut()).await && poll_once(b.as_mut()).await);
    host.faults.release();
    poked.await.unwrap();
    let (a, b) = (a.await, b.await);
    assert!(is_unknown(&a) && is_unknown(&b), "{a:?} {b:?}");
}

#[tokio::test]
async fn two_equal_inputs_in_a_batch_that_was_not_written_run_once_when_they_are_sent_again() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    two_in_one_batch(&host, worker_id, Fault::UnknownBefore).await;
    assert_eq!(host.view(worker_id).input_count, 0);
    let receipt = host.send(worker_id, input("one")).await;
    assert!(!receipt.repeated);
    let run = host.script.run().await;
    assert!(host.send(worker_id, input("one")).await.repeated);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert!(host.script.try_run().is_none());
    assert_eq!(host.runtime.management().status().commits_unknown, 1);
    host.end().await;
}

#[tokio::test]
async fn two_equal_inputs_in_a_batch_that_was_written_after_all_run_once() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    two_in_one_batch(&host, worker_id, Fault::UnknownAfter).await;
    // It is durable, so it runs although nobody was told.
    let run = host.script.run().await;
    let receipt = host.send(worker_id, input("one")).await;
    assert!(receipt.repeated);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Completed,
        StopReason::EndTurn,
    )
    .await;
    assert!(host.script.try_run().is_none());
    host.end().await;
}

#[tokio::test]
async fn a_creation_whose_outcome_is_unknown_is_made_once() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter] {
        let host = Host::open().await;
        let mut request = crate::support::scripted();
        request.worker_id = Some(WorkerId::from_bytes([4; 16]));
        request.initial_input = Some(input("one"));
        host.faults.fail_next([fault]);
        let catalog = host.runtime.catalog();
        let error = catalog.create(request.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown);
        let receipt = catalog.create(request).await.unwrap();
        assert_eq!(receipt.repeated, fault == Fault::UnknownAfter);
        let run = host.script.run().await;
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        assert!(host.script.try_run().is_none());
        host.end().await;
    }
}

#[tokio::test]
async fn refusals_and_repeated_receipts_of_a_failed_batch_are_unknown_too() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.complete(worker_id, "one").await;
    host.faults.hold();
    let mut poked = Box::pin(poke(&host, worker_id));
    assert!(poll_once(poked.as_mut()).await);
    host.faults.until_held().await;
    host.faults.fail_next([Fault::Passes, Fault::UnknownBefore]);
    let interaction = host.runtime.interaction();
    let unknown = WorkerId::from_bytes([9; 16]);
    let mut written = Box::pin(interaction.send_input(worker_id, queued("two")));
    let mut repeated = Box::pin(interaction.send_input(worker_id, input("one")));
    let mut refused = Box::pin(interaction.send_input(unknown, input("one")));
    assert!(poll_once(written.as_mut()).await);
    assert!(poll_once(repeated.as_mut()).await);
    assert!(poll_once(refused.as_mut()).await);
    host.faults.release();
    poked.await.unwrap();
    for result in [written.await, repeated.await, refused.await] {
        assert!(is_unknown(&result), "{result:?}");
    }
    host.end().await;
}

#[tokio::test]
async fn while_the_store_is_brought_back_commands_are_refused_with_nothing_done_and_reads_go_on() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.faults.fail_recovers(3);
    host.faults.fail_next([Fault::UnknownBefore]);
    assert_eq!(
        poke(&host, worker_id).await,
        Err(Unavailable::OutcomeUnknown)
    );
    let events = host.audit().events.len();
    let refused = poke(&host, worker_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::StateIo);
    until_back(&host, worker_id).await;
    assert_eq!(*host.faults.recovers().borrow(), 4);
    assert_eq!(host.audit().events.len(), events + 1);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn a_runtime_that_is_dropped_while_its_store_is_broken_does_not_hang() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.faults.set_recovers_fail(true);
    host.faults.fail_next([Fault::UnknownBefore]);
    assert!(poke(&host, worker_id).await.is_err());
    let mut recovers = host.faults.recovers();
    within("a recovery", recovers.wait_for(|count| *count > 1))
        .await
        .unwrap();
    let host = within("the next opening", host.crash_and(|_| {}));
    let host = host.await;
    host.faults.set_recovers_fail(false);
    host.end().await;
}

#[tokio::test]
async fn a_close_while_the_store_is_broken_ends_when_it_is_back() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let _run = host.start(worker_id, "one").await;
    host.faults.fail_recovers(2);
    host.faults.fail_next([Fault::UnknownBefore]);
    assert!(poke(&host, worker_id).await.is_err());
    within("a close", host.runtime.close()).await.unwrap();
    let host = host.crash().await;
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Interrupted,
        StopReason::RuntimeLost,
    )
    .await;
    host.end().await;
}

#[tokio::test]
async fn a_state_that_cannot_be_read_again_answers_nothing_until_it_can() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let interaction = host.runtime.interaction();
    host.faults.fail_loads(2);
    host.faults.fail_next([Fault::UnknownBefore]);
    let lost = interaction.send_input(worker_id, input("one")).await;
    assert!(is_unknown(&lost));
    // The working state still has what was never written: nothing of it is told.
    let again = interaction.send_input(worker_id, input("one")).await;
    assert!(
        matches!(&again, Ok(receipt) if !receipt.repeated) || again.is_err(),
        "{again:?}"
    );
    until_back(&host, worker_id).await;
    let receipt = host.send(worker_id, input("one")).await;
    let run = host.script.run().await;
    let types = host.types(worker_id);
    assert_eq!(
        types
            .iter()
            .filter(|kind| *kind == "input.accepted")
            .count(),
        1
    );
    assert!(receipt.accepted.position <= host.runtime.management().status().position);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert!(host.script.try_run().is_none());
    host.end().await;
}

#[tokio::test]
async fn a_stop_that_was_lost_with_its_batch_is_not_answered_as_repeated() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let catalog = host.runtime.catalog();
    host.faults.fail_loads(1);
    host.faults.fail_next([Fault::UnknownBefore]);
    let lost = catalog.stop(worker_id, Default::default()).await;
    assert_eq!(lost.unwrap_err().code(), Code::OutcomeUnknown);
    let again = catalog.stop(worker_id, Default::default()).await;
    if let Ok(receipt) = again {
        assert!(!receipt.repeated);
        assert_eq!(host.count(worker_id, EventType::WORKER_ENDING), 1);
    }
    until_back(&host, worker_id).await;
    host.end().await;
}

#[tokio::test]
async fn a_full_disk_refuses_work_with_its_code_serves_reads_and_goes_on_when_there_is_room() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.faults.set_full(true);
    let interaction = host.runtime.interaction();
    let error = interaction
        .send_input(worker_id, queued("two"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::StorageFull);
    let error = host
        .runtime
        .catalog()
        .create(assistant())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::StorageFull);
    host.audit();
    let sink = run.sink.clone();
    let mut finish = Box::pin(sink.finish(StopReason::EndTurn, None));
    assert!(
        poll_once(finish.as_mut()).await,
        "an outcome waits for room"
    );
    let until = tokio::time::timeout(Duration::from_millis(100), finish.as_mut()).await;
    assert!(until.is_err(), "an outcome waits for room");
    host.faults.set_full(false);
    within("the end of the run", finish).await.unwrap();
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Completed,
        StopReason::EndTurn,
    )
    .await;
    assert!(!host.send(worker_id, queued("two")).await.repeated);
    assert_eq!(host.script.run().await.input_id(), "two");
    assert_eq!(host.runtime.management().status().commits_unknown, 0);
    host.end().await;
}

#[tokio::test]
async fn a_deadline_on_a_full_disk_is_tried_again_without_a_busy_loop() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let budget = Budget {
        time_ms: Some(1),
        ..Budget::default()
    };
    host.faults.hold();
    let interaction = host.runtime.interaction();
    let mut sent = Box::pin(interaction.send_input(
        worker_id,
        SubmitInput {
            budget,
            ..input("one")
        },
    ));
    assert!(poll_once(sent.as_mut()).await);
    host.faults.until_held().await;
    host.faults.fail_next([Fault::Passes]);
    host.faults
        .fail_next(std::iter::repeat_n(Fault::Full, 100_000));
    host.faults.release();
    sent.await.unwrap();
    let before = host.faults.commits();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let tried = host.faults.commits() - before;
    assert!((1..20).contains(&tried), "{tried} commits in 300 ms");
    host.faults.clear();
    host.ends(worker_id, "one", OutcomeKind::Failed, StopReason::Timeout)
        .await;
    host.end().await;
}

#[tokio::test]
async fn an_idle_step_that_fails_changes_nothing() {
    for fault in [Fault::UnknownBefore, Fault::Full] {
        let host = Host::limited(|limits| limits.idle_after = Duration::from_millis(5)).await;
        host.faults.fail_idle(fault);
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        within("the idle step", host.faults.until_idle_failed()).await;
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        host.complete(worker_id, "two").await;
        host.end().await;
    }
}
