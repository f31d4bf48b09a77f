//! Actions that a run asks for: durable, answered once, and lapsed by their deadline.

use std::time::Duration;

use serde_json::json;
use worker_runtime_core::{
    Code, EventType, RunId,
    backend::ActionAnswer,
    error::{RunError, SinkError},
    run::StopReason,
};

use crate::support::{Host, TakenRun, action_id, queued};

async fn asks(run: &TakenRun, id: &str, time_ms: Option<u64>) {
    let options = vec!["allow".to_owned(), "deny".to_owned()];
    let detail = json!({ "tool": "rm" });
    let asked = run
        .sink
        .request_action(action_id(id), options, time_ms, detail);
    asked.await.unwrap();
}

#[tokio::test]
async fn an_action_is_answered_once_and_its_backend_is_told() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let run_id = run.request.run_id;
    asks(&run, "a", None).await;
    let view = host.view(worker_id).activity;
    assert_eq!(view.actions.len(), 1);
    assert_eq!(view.actions[0].options, ["allow", "deny"]);
    let interaction = host.runtime.interaction();
    let answer =
        |option: &str| interaction.answer(worker_id, run_id, action_id("a"), option.into());
    let wrong = answer("maybe").await.unwrap_err();
    assert_eq!(wrong.code(), Code::ActionOption);
    assert!(wrong.to_string().contains("allow, deny"), "{wrong}");
    answer("allow").await.unwrap();
    let chosen = ActionAnswer::Chosen("allow".into());
    assert_eq!(
        host.script.answer_given().await,
        (run_id, action_id("a"), chosen)
    );
    assert_eq!(
        answer("deny").await.unwrap_err().code(),
        Code::ActionUnknown
    );
    assert!(host.script.try_answer().is_none());
    let told = host.until(worker_id, EventType::RUN_ACTION_ANSWERED).await;
    assert_eq!(told["option"], "allow");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn an_action_of_another_run_or_none_is_unknown() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let run_id = run.request.run_id;
    let interaction = host.runtime.interaction();
    let none = interaction
        .answer(worker_id, run_id, action_id("a"), "x".into())
        .await;
    assert_eq!(none.unwrap_err().code(), Code::ActionUnknown);
    asks(&run, "a", None).await;
    let other = RunId::from_bytes([1; 16]);
    let stale = interaction
        .answer(worker_id, other, action_id("a"), "allow".into())
        .await;
    assert_eq!(
        stale.unwrap_err(),
        RunError::Unknown {
            worker_id,
            run_id: other
        }
    );
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let over = interaction
        .answer(worker_id, run_id, action_id("a"), "allow".into())
        .await;
    assert_eq!(over.unwrap_err().code(), Code::RunUnknown);
    host.end().await;
}

#[tokio::test]
async fn two_answers_at_once_are_one() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    asks(&run, "a", None).await;
    let interaction = host.runtime.interaction();
    let answer = |option: &str| {
        interaction.answer(worker_id, run.request.run_id, action_id("a"), option.into())
    };
    let (a, b) = tokio::join!(answer("allow"), answer("deny"));
    assert!(a.is_ok() != b.is_ok());
    host.script.answer_given().await;
    assert_eq!(host.count(worker_id, EventType::RUN_ACTION_ANSWERED), 1);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn an_action_lapses_at_its_deadline_and_the_run_goes_on() {
    let (host, clock) = Host::at_rest().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    asks(&run, "soon", Some(20)).await;
    asks(&run, "later", Some(60_000)).await;
    clock.advance(Duration::from_millis(20));
    let (_, lapsed, answer) = host.script.answer_given().await;
    assert_eq!((lapsed, answer), (action_id("soon"), ActionAnswer::Lapsed));
    let told = host.until(worker_id, EventType::RUN_ACTION_ANSWERED).await;
    assert_eq!(told["lapsed"], true);
    let open = host.view(worker_id).activity.actions;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].action_id, action_id("later"));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn open_actions_are_bounded_and_have_different_ids() {
    let host = Host::limited(|limits| limits.actions_open_max = 2).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    asks(&run, "a", None).await;
    let ask = |id: &str| {
        run.sink
            .request_action(action_id(id), vec![], None, json!({}))
    };
    assert!(matches!(ask("a").await, Err(SinkError::Invalid { .. })));
    asks(&run, "b", None).await;
    assert!(matches!(
        ask("c").await,
        Err(SinkError::Limit { max: 2, .. })
    ));
    // Without options anything can be answered.
    let interaction = host.runtime.interaction();
    let answered = interaction.answer(worker_id, run.request.run_id, action_id("a"), "deny".into());
    answered.await.unwrap();
    ask("c").await.unwrap();
    let answered = interaction.answer(worker_id, run.request.run_id, action_id("c"), "x".into());
    answered.await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn an_action_without_a_bound_on_its_size_is_refused() {
    let host = Host::limited(|limits| limits.event_bytes_max = 8 << 10).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let long = "x".repeat(8 << 10);
    let ask = |options, detail| {
        run.sink
            .request_action(action_id("a"), options, None, detail)
    };
    assert!(matches!(
        ask(vec![], json!({ "d": long })).await,
        Err(SinkError::Limit { .. })
    ));
    assert!(matches!(
        ask(vec![long.clone()], json!({})).await,
        Err(SinkError::Limit { .. })
    ));
    let status = run.sink.status("modes", &long).await;
    assert!(matches!(status, Err(SinkError::Limit { .. })));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn an_action_goes_with_its_run() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    asks(&run, "a", Some(60_000)).await;
    host.send(worker_id, queued("two")).await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let next = host.script.run().await;
    assert_eq!(host.view(worker_id).activity.actions, []);
    asks(&next, "a", None).await;
    next.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}
