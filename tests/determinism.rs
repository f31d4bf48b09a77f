//! The core is a function of state, commands, time and randomness: the same ones twice give the
//! same log, byte for byte.

use std::time::Duration;

use serde_json::json;
use worker_runtime_core::{
    EndOptions, Event, EventType, ManualClock, Timestamp, WorkerId,
    backend::Cancelled,
    input::{Budget, SubmitInput},
    run::StopReason,
    store::BlockKind,
    worker::CreateWorker,
};

use crate::support::{Host, HostOptions, Say, Told, action_id, input, scripted, write};

/// So many that the order of a map is hardly ever the same twice.
const WORKERS: usize = 8;

async fn log_of(seed: u64) -> Vec<Event> {
    let clock = ManualClock::at(Timestamp::from_unix_ms(1_767_312_000_000));
    let options = HostOptions {
        clock: Some(clock.clone()),
        seed,
        ..HostOptions::default()
    };
    let host = Host::with(options).await;
    let mut workers = Vec::new();
    for index in 0..WORKERS {
        let scope = write(&format!("part{index}"));
        let request = CreateWorker {
            scope,
            ..scripted()
        };
        workers.push(host.create(request).await);
        clock.advance(Duration::from_millis(7));
    }
    talk(&host, &clock, workers[0]).await;
    time_out(&host, &clock, &workers).await;
    let catalog = host.runtime.catalog();
    for worker_id in workers {
        catalog
            .stop(worker_id, EndOptions::default())
            .await
            .unwrap();
        host.until(worker_id, EventType::WORKER_STOPPED).await;
    }
    host.audit().events
}

/// One turn with everything in it.
async fn talk(host: &Host, clock: &ManualClock, worker_id: WorkerId) {
    let mut unnamed = input("unnamed");
    unnamed.input_id = None;
    host.send(worker_id, unnamed).await;
    let run = host.script.run().await;
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, "some words").await.unwrap();
    clock.advance(Duration::from_millis(100));
    run.sink.finish_block(block).await.unwrap();
    let asked = run
        .sink
        .request_action(action_id("a"), vec![], None, json!({ "b": 1, "a": 2 }));
    asked.await.unwrap();
    let interaction = host.runtime.interaction();
    let answer = interaction.answer(worker_id, run.request.run_id, action_id("a"), "x".into());
    answer.await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
}

/// All time out in one look, and their actions lapse.
async fn time_out(host: &Host, clock: &ManualClock, workers: &[WorkerId]) {
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let mut runs = Vec::new();
    for worker_id in workers {
        let budget = Budget {
            time_ms: Some(40),
            ..Budget::default()
        };
        let slow = SubmitInput {
            budget,
            ..input("slow")
        };
        host.send(*worker_id, slow).await;
        let run = host.script.run().await;
        let asked = run
            .sink
            .request_action(action_id("a"), vec![], Some(40), json!({}));
        asked.await.unwrap();
        runs.push(run);
    }
    clock.advance(Duration::from_millis(40));
    let mut quiet = Vec::new();
    for run in &runs {
        let mut stream = host.stream(run.sink.worker_id());
        let asked = stream.event_of(EventType::RUN_CANCEL_REQUESTED, |_| true);
        asked.await;
        quiet.extend(host.script.cancel_asked().await.1);
    }
    for run in runs {
        run.sink.finish(StopReason::Cancelled, None).await.unwrap();
    }
    for quiet in quiet {
        quiet.send(Ok(Cancelled::Confirmed)).unwrap();
    }
}

#[tokio::test]
async fn the_same_seed_clock_and_commands_give_the_same_log() {
    let first = log_of(7).await;
    assert!(first.len() > 60, "{}", first.len());
    assert_eq!(first, log_of(7).await);
    let other = log_of(8).await;
    assert_eq!(first.len(), other.len());
    assert_ne!(first, other, "the seed decides ids");
}
