//! A turn of an agent that speaks the Agent Client Protocol fits the trait of execution backends as
//! it is: `player` needs nothing of the core that others don't.

mod player;

use std::sync::Arc;

use player::{NAME, Player};
use serde_json::{Value, json};
use worker_runtime_core::{
    AsJson, EventType, ObserveOptions, Observed, Runtime, RuntimeOptions, Stream,
    cursor::From as Start,
    error::SinkError,
    worker::{BackendSelection, CreateWorker},
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

use crate::support::{Told, action_id, assistant, audit, data, input, within};

const TURN: &str = include_str!("../fixtures/acp_turn.jsonl");

/// What each event tells, in short.
fn short(kind: &EventType, data: &Value) -> String {
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let detail = match kind.as_str() {
        "tool.call" => text("toolCallId"),
        "tool.update" | "tool.result" => format!("{} {}", text("toolCallId"), text("status")),
        "block.finished" => format!("{} {:?} {}", text("kind"), text("text"), data["marks"]),
        "run.requires_action" => format!("{} {}", text("action_id"), data["options"]),
        "run.action_answered" => format!("{} {}", text("action_id"), text("option")),
        "run.cancel_requested" => text("cause"),
        "run.finished" => data["outcome"].to_string(),
        _ => String::new(),
    };
    format!("{kind} {detail}").trim_end().to_owned()
}

const TOLD: &[&str] = &[
    "worker.created",
    "input.accepted",
    "run.started",
    r#"block.finished thinking "The user wants both files compared." []"#,
    "tool.call call_a",
    "tool.call call_b",
    "tool.update call_a in_progress",
    "tool.update call_b in_progress",
    r#"run.requires_action 5 ["allow-once","reject-once"]"#,
    "run.action_answered 5 allow-once",
    "tool.update call_a in_progress",
    "tool.update call_b in_progress",
    "tool.result call_a completed",
    "run.cancel_requested run",
    r#"block.finished thinking "Now the diff" []"#,
    "tool.result call_b failed",
    r#"run.finished {"kind":"cancelled","stop":{"type":"cancelled"}}"#,
];

#[tokio::test]
async fn a_recorded_turn_is_told_whole_and_nothing_that_came_after_its_end_is_in_the_log() {
    let (player, mut results) = Player::new(TURN);
    let options = RuntimeOptions {
        backends: vec![Arc::new(player)],
        ..RuntimeOptions::default()
    };
    let store = MemoryStore::new(StoreOptions::memory()).unwrap();
    let runtime = Runtime::open(Box::new(store), options).await.unwrap();
    let backend = BackendSelection {
        name: NAME.to_owned(),
        config: AsJson(json!({})),
    };
    let request = CreateWorker {
        backend: Some(backend),
        initial_input: Some(input("one")),
        ..assistant()
    };
    let worker_id = runtime.catalog().create(request).await.unwrap().worker_id;
    let stream = Stream::Worker(worker_id);
    let observe = ObserveOptions {
        deltas: true,
        ..ObserveOptions::default()
    };
    let mut seen = runtime
        .observation()
        .observe(stream, Start::Beginning, observe)
        .unwrap();
    let asked = seen
        .event_of(EventType::RUN_REQUIRES_ACTION, |_| true)
        .await;
    let run_id = asked.run_id.unwrap();
    let interaction = runtime.interaction();
    let answer = interaction.answer(worker_id, run_id, action_id("5"), "allow-once".into());
    answer.await.unwrap();
    // The agent thinks again: in the middle of that it is cancelled.
    let delta = async {
        loop {
            match seen.observed().await {
                Observed::Delta(delta) if delta.block.index == 1 => return,
                _ => {}
            }
        }
    };
    within("the second thought", delta).await;
    interaction.cancel_run(worker_id, run_id).await.unwrap();

    let mut late = Vec::new();
    for _ in TURN
        .lines()
        .filter(|line| line.starts_with(r#"{"from": "agent""#))
    {
        let result = within("a message to be told", results.recv())
            .await
            .unwrap();
        late.extend(result.err());
    }
    assert_eq!(
        late.len(),
        4,
        "a thought, an update, a call and another end"
    );
    assert!(
        late.iter()
            .all(|error| matches!(error, SinkError::Stale { .. }))
    );
    assert_eq!(runtime.management().status().late_messages, 4);
    let told: Vec<String> = audit(&runtime.observation())
        .events
        .iter()
        .filter(|event| event.is_in(stream))
        .map(|event| short(&event.kind, &data(event)))
        .collect();
    assert_eq!(told, TOLD);
    runtime.close().await.unwrap();
}
