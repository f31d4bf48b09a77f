//! Lines mode, with a command that keeps to the protocol.

use libtest_mimic::Trial;
use serde_json::{Value, json};
use worker_runtime_core::{ActionId, input::SubmitInput};
use worker_runtime_execution::exec::ExecOptions;

use super::support::*;
use crate::support::{is_alive, within_tokio};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio("a_turn_becomes_blocks_tool_events_usage_and_status", turn),
        within_tokio("one_command_serves_many_runs", many_runs),
        within_tokio(
            "the_command_is_told_who_it_is_and_what_is_asked",
            told_to_command,
        ),
        within_tokio(
            "an_action_is_asked_answered_and_told_to_the_command",
            action,
        ),
        within_tokio("an_action_that_lapses_is_told_too", lapsed),
        within_tokio("a_long_block_goes_on_in_the_next_one", long_block),
        within_tokio(
            "a_command_that_ends_its_run_when_asked_lives_on",
            cancel_together,
        ),
        within_tokio("a_command_that_does_not_is_killed", cancel_by_force),
        within_tokio("a_command_that_ended_idle_is_started_again", restart),
        within_tokio("a_command_may_say_that_a_run_was_its_last", last),
        within_tokio("a_conversation_is_taken_up_by_its_reference", resume),
        within_tokio("stopping_a_worker_shuts_its_command_down", stop),
    ]
}

async fn turn() {
    let host = Host::open(options()).await;
    let script = r#"
{"type":"block_start","run_id":"$RUN","block":"t","kind":"thinking"}
{"type":"delta","run_id":"$RUN","block":"t","text":"hm"}
{"type":"block_start","run_id":"$RUN","block":"a","kind":"text","parent":"t"}
{"type":"delta","run_id":"$RUN","block":"a","text":"draft"}
{"type":"replace","run_id":"$RUN","block":"a","text":"good "}
{"type":"delta","run_id":"$RUN","block":"a","text":"answer"}
{"type":"block_end","run_id":"$RUN","block":"a"}
{"type":"block_end","run_id":"$RUN","block":"t"}
{"type":"tool_call","run_id":"$RUN","call_id":"c1","name":"grep","arguments":{"q":"x"}}
!wait recorded
{"type":"tool_result","run_id":"$RUN","call_id":"c1","text":"found"}
{"type":"usage","run_id":"$RUN","input_tokens":3,"output_tokens":4}
{"type":"status","run_id":"$RUN","name":"mode","value":"plan"}
{"type":"end","run_id":"$RUN","reason":"max_turns","usage":{"output_tokens":9}}"#;
    let worker = host.worker(agent("plain")).await;
    let told = host.run(worker, script).await;
    assert_eq!(told.outcome()["stop"]["type"], "max_turns");
    assert_eq!(told.outcome()["kind"], "completed");
    assert_eq!(told.blocks(), ["good answer", "hm"]);
    let blocks = told.of("block.finished");
    assert_eq!(blocks[0]["kind"], "text");
    assert_eq!(blocks[0]["parent"], blocks[1]["block"]);
    assert_eq!(
        told.of("tool.call"),
        [&json!({ "call_id": "c1", "name": "grep", "arguments": { "q": "x" } })]
    );
    assert_eq!(told.of("tool.result")[0]["text"], "found");
    assert_eq!(told.of("run.finished")[0]["usage"]["output_tokens"], 9);
    let status = told.of("worker.status");
    assert!(status.contains(&&json!({ "name": "mode", "value": "plan" })));
    assert!(told.of("backend.message").is_empty(), "{told:#?}");
}

async fn many_runs() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let first = host.run(worker, "!say-pid\n!end").await.text();
    for _ in 0..5 {
        let told = host.run(worker, "!say-pid\n!end").await;
        assert_eq!(told.text(), first);
        assert!(told.of("context.lost").is_empty());
    }
}

async fn told_to_command() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let hello: Value =
        serde_json::from_str(&host.run(worker, "!say-hello\n!end").await.text()).unwrap();
    assert_eq!(hello["protocol"], 1);
    assert_eq!(hello["worker_id"], worker.to_string());
    assert_eq!(hello["profile"]["name"], "default");
    assert_eq!(hello["spec"]["intent"]["type"], "assistant");
    assert!(hello.get("resume").is_none());
    let input: Value =
        serde_json::from_str(&host.run(worker, "!say-last\n!end").await.text()).unwrap();
    assert_eq!(input["input"]["kind"], "user");
    assert_eq!(input["input"]["segments"][0]["text"], "!say-last\n!end");
    // Input and answer of the first run, and this input.
    assert_eq!(input["transcript_len"], 3);
    assert!(input["generation"].as_u64().unwrap() >= 2);
}

const ASK: &str = r#"{"type":"action","run_id":"$RUN","action_id":"ok?","options":["yes","no"],"time_ms":TIME,"detail":{"why":"rm"}}
!wait answer
!say-last
!end"#;

async fn action() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let script = ASK.replace("TIME", "600000");
    let receipt = host.send(worker, SubmitInput::text(script)).await;
    let asked = host
        .until(worker, receipt.cursor, |kind, _| {
            kind == "run.requires_action"
        })
        .await;
    let action = asked.of("run.requires_action")[0];
    assert_eq!(action["options"], json!(["yes", "no"]));
    assert_eq!(action["detail"], json!({ "why": "rm" }));
    let (run_id, action_id) = (host.current_run(worker), ActionId::new("ok?").unwrap());
    host.runtime
        .interaction()
        .answer(worker, run_id, action_id, "no".to_owned())
        .await
        .unwrap();
    let told = host.told(worker, &receipt).await;
    let answer: Value = serde_json::from_str(&told.text()).unwrap();
    assert_eq!(
        (&answer["option"], &answer["action_id"]),
        (&json!("no"), &json!("ok?"))
    );
}

async fn lapsed() {
    let host = Host::open(options()).await;
    let told = host.once(agent("plain"), &ASK.replace("TIME", "50")).await;
    let answer: Value = serde_json::from_str(&told.text()).unwrap();
    assert_eq!(answer["lapsed"], true);
    assert_eq!(told.outcome()["kind"], "completed");
}

async fn long_block() {
    let small = ExecOptions {
        block_bytes_max: 1000,
        ..options()
    };
    let host = Host::open(small).await;
    let text = "é".repeat(2600);
    let script = [
        r#"{"type":"block_start","run_id":"$RUN","block":"b","kind":"plan"}"#.to_owned(),
        format!(r#"{{"type":"delta","run_id":"$RUN","block":"b","text":"{text}"}}"#),
        r#"{"type":"block_end","run_id":"$RUN","block":"b"}"#.to_owned(),
        "!end".to_owned(),
    ];
    let told = host.once(agent("plain"), &script.join("\n")).await;
    assert_eq!(told.text(), text);
    assert_eq!(told.blocks().len(), 6);
    let kinds = told.of("block.finished");
    assert!(kinds.iter().all(|block| block["kind"] == "plan"));
}

async fn cancel_together() {
    let patient = ExecOptions {
        cancel_grace: crate::support::DEADLINE,
        ..options()
    };
    let host = Host::open(patient).await;
    let worker = host.worker(agent("plain")).await;
    let script =
        "!say-pid\n!wait cancel\n{\"type\":\"end\",\"run_id\":\"$RUN\",\"reason\":\"cancelled\"}";
    let receipt = host.send(worker, SubmitInput::text(script)).await;
    host.until(worker, receipt.cursor, |kind, _| kind == "block.finished")
        .await;
    host.cancel(worker).await;
    let told = host.told(worker, &receipt).await;
    assert_eq!(told.outcome()["kind"], "cancelled");
    assert_eq!(told.outcome()["stop"]["type"], "cancelled");
    let pid = told.text();
    assert!(is_alive(pid.parse().unwrap()));
    assert_eq!(host.run(worker, "!say-pid\n!end").await.text(), pid);
}

async fn cancel_by_force() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let receipt = host
        .send(worker, SubmitInput::text("!say-pid\n!hang"))
        .await;
    let said = host
        .until(worker, receipt.cursor, |kind, _| kind == "block.finished")
        .await;
    let pid: i32 = said.text().parse().unwrap();
    host.cancel(worker).await;
    let told = host.told(worker, &receipt).await;
    assert!(!is_alive(pid));
    assert_eq!(told.outcome()["kind"], "cancelled");
    // The next input gets another command, which knows nothing of this one.
    let told = host.run(worker, "!say-pid\n!end").await;
    assert_ne!(told.text(), pid.to_string());
    assert_eq!(told.of("context.lost").len(), 1);
}

async fn restart() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    // Far more often than processes may be on record at a time.
    for number in 0..20 {
        // That it ended is noticed by its stream: until then a run is given to it, and interrupted.
        let told = loop {
            let told = host.run(worker, "!say-pid\n!end").await;
            if told.outcome()["stop"]["type"] != "no_terminator" {
                break told;
            }
        };
        assert_eq!(told.outcome()["kind"], "completed", "{told:#?}");
        assert_eq!(told.of("context.lost").len(), usize::from(number > 0));
        let pid: i32 = told.text().parse().unwrap();
        crate::support::kill_9(pid);
        crate::support::eventually("it has ended", || !is_alive(pid));
    }
}

async fn last() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let script = "!say-pid\n{\"type\":\"end\",\"run_id\":\"$RUN\",\"reason\":\"end_turn\",\"last\":true}\n!exit 0";
    let mut receipts = Vec::new();
    for _ in 0..5 {
        receipts.push(host.send(worker, SubmitInput::text(script).queued()).await);
    }
    let mut pids = std::collections::BTreeSet::new();
    for receipt in &receipts {
        let told = host.told(worker, receipt).await;
        assert_eq!(told.outcome()["kind"], "completed", "{told:#?}");
        pids.insert(told.blocks().last().unwrap().to_string());
    }
    assert_eq!(pids.len(), 5);
}

const REFERENCE: &str = r#"{"type":"resume","run_id":"$RUN","reference":"thread-7"}
{"type":"end","run_id":"$RUN","reason":"end_turn","last":true}
!exit 0"#;

async fn resume() {
    let host = Host::open(options()).await;
    for (manner, lost) in [("restores", 0), ("forgets", 1), ("plain", 1)] {
        let worker = host.worker(agent(manner)).await;
        host.run(worker, REFERENCE).await;
        let told = host.run(worker, "!say-hello\n!end").await;
        let hello: Value = serde_json::from_str(&told.text()).unwrap();
        let reference = hello.get("resume").cloned().unwrap_or_default();
        assert_eq!(reference == json!("thread-7"), manner != "plain", "{hello}");
        assert_eq!(told.of("context.lost").len(), lost, "{manner}");
    }
}

async fn stop() {
    let patient = ExecOptions {
        cancel_grace: crate::support::DEADLINE,
        ..options()
    };
    let host = Host::open(patient).await;
    let worker = host.worker(agent("plain")).await;
    let told = host.run(worker, "!say-pid\n!end").await;
    let pid: i32 = told.text().parse().unwrap();
    let catalog = host.runtime.catalog();
    catalog.stop(worker, Default::default()).await.unwrap();
    host.until(worker, told.cursor, |kind, _| kind == "worker.stopped")
        .await;
    assert!(!is_alive(pid));
}
