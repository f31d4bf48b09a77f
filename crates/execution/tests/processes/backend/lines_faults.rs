//! Lines mode, with a command that does not keep to the protocol.

use libtest_mimic::Trial;
use serde_json::json;
use std::time::Duration;
use worker_runtime_core::input::SubmitInput;
use worker_runtime_execution::exec::{ExecOptions, RunMarker};

use super::support::*;
use crate::support::{marked, within_tokio};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio("lines_of_another_run_are_dropped_and_counted", other_run),
        within_tokio(
            "garbage_and_unknown_types_are_kept_and_fail_nothing",
            garbage,
        ),
        within_tokio("a_message_that_cannot_be_taken_is_kept_with_why", malformed),
        within_tokio("bytes_that_are_no_utf8_are_replaced", bad_utf8),
        within_tokio(
            "a_line_that_is_too_long_fails_its_run_and_not_the_command",
            too_long,
        ),
        within_tokio("a_command_that_ends_within_a_run_interrupts_it", dies),
        within_tokio(
            "a_command_that_says_no_hello_fails_the_run_and_is_gone",
            silent,
        ),
        within_tokio("another_protocol_is_refused_by_number", newer),
        within_tokio("a_command_that_is_no_agent_fails_the_run", no_agent),
        within_tokio("standard_error_is_told_with_its_run", stderr),
    ]
}

async fn other_run() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let first = host.run(worker, "!end").await;
    assert!(first.of("backend.message").is_empty());
    let late = r#"{"type":"block_start","run_id":"EARLIER","block":"x","kind":"text"}
{"type":"end","run_id":"EARLIER","reason":"refusal"}
{"type":"end","reason":"refusal"}
!end"#;
    let earlier = first.run_id.unwrap().to_string();
    let told = host.run(worker, &late.replace("EARLIER", &earlier)).await;
    assert_eq!(told.outcome()["stop"]["type"], "end_turn");
    assert!(told.blocks().is_empty());
    assert_eq!(
        told.of("backend.message"),
        [&json!({ "stream": "stdout", "dropped_lines": 3 })]
    );
}

async fn garbage() {
    let host = Host::open(options()).await;
    let script = "this is no JSON\n{\"type\":\"later\",\"run_id\":\"$RUN\",\"n\":1}\n[1]\n\n!end";
    let told = host.once(agent("plain"), script).await;
    assert_eq!(told.outcome()["kind"], "completed");
    let kept = told.of("backend.message");
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(kept[0]["text"], "this is no JSON");
    assert_eq!(kept[1]["raw"]["n"], 1);
    assert_eq!(kept[2]["raw"], json!([1]));
}

async fn malformed() {
    let host = Host::open(options()).await;
    let script = r#"{"type":"delta","run_id":"$RUN","block":"nowhere","text":"x"}
{"type":"delta","run_id":"$RUN","block":"b"}
{"type":"block_start","run_id":"$RUN","block":"b","kind":"song"}
{"type":"block_start","run_id":"$RUN","block":"b","kind":"text","parent":"nowhere"}
{"type":"block_start","run_id":"$RUN","block":"b","kind":"text"}
{"type":"block_start","run_id":"$RUN","block":"b","kind":"text"}
{"type":"hello","run_id":"$RUN","protocol":1}
!end"#;
    let told = host.once(agent("plain"), script).await;
    assert_eq!(told.outcome()["kind"], "completed");
    let kept = told.of("backend.message");
    let remarks: Vec<&str> = kept
        .iter()
        .map(|data| data["remark"].as_str().unwrap())
        .collect();
    assert_eq!(remarks.len(), 6, "{remarks:?}");
    for (remark, part) in remarks.iter().zip([
        "\"nowhere\" is not open",
        "text",
        "song",
        "\"nowhere\" is not open",
        "open already",
        "not expected",
    ]) {
        assert!(remark.contains(part), "{remark} has no {part}");
    }
}

async fn bad_utf8() {
    let host = Host::open(options()).await;
    let script = "{\"type\":\"block_start\",\"run_id\":\"$RUN\",\"block\":\"b\",\"kind\":\"text\"}\n!bytes\n!end";
    let told = host.once(agent("plain"), script).await;
    assert_eq!(told.text(), "a\u{fffd}b");
}

async fn too_long() {
    let patient = ExecOptions {
        cancel_grace: crate::support::DEADLINE,
        ..options()
    };
    let host = Host::open(patient).await;
    let worker = host.worker(agent("plain")).await;
    // As long as may be is taken, and is garbage; one more is too long.
    let max = options().line_bytes_max;
    let told = host
        .run(worker, &format!("!say-pid\n!long {max}\n!end"))
        .await;
    assert_eq!(told.outcome()["kind"], "completed");
    let pid = told.text();
    let script = format!("!long {}\n!wait cancel\n!say-pid\n!end", max + 1);
    let told = host.run(worker, &script).await;
    assert_eq!(told.outcome()["kind"], "failed");
    assert_eq!(told.outcome()["stop"]["code"], "line_too_long");
    assert_eq!(host.run(worker, "!say-pid\n!end").await.text(), pid);
}

async fn dies() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let script = r#"{"type":"block_start","run_id":"$RUN","block":"b","kind":"text"}
{"type":"delta","run_id":"$RUN","block":"b","text":"half"}
!exit 3"#;
    let told = host.run(worker, script).await;
    assert_eq!(told.outcome()["kind"], "interrupted");
    assert_eq!(told.outcome()["stop"]["type"], "no_terminator");
    let detail = told.of("run.finished")[0]["detail"].as_str().unwrap();
    assert!(detail.contains("exit code 3"), "{detail}");
    assert_eq!(told.text(), "half");
    assert_eq!(
        told.of("block.finished")[0]["marks"],
        json!(["interrupted"])
    );
    let next = host.run(worker, "!end").await;
    assert_eq!(next.outcome()["kind"], "completed");
    assert_eq!(next.of("context.lost").len(), 1);
}

async fn silent() {
    let hasty = ExecOptions {
        hello_within: Duration::from_millis(100),
        ..options()
    };
    let host = Host::open(hasty).await;
    let told = host.once(agent("silent"), "x").await;
    assert_eq!(told.outcome()["kind"], "failed");
    assert_eq!(told.outcome()["stop"]["code"], "hello_timeout");
    let marker = RunMarker::new(format!("backend-{}", told.run_id.unwrap())).unwrap();
    assert_eq!(marked(&marker), Vec::<i32>::new());
}

async fn newer() {
    let host = Host::open(options()).await;
    let told = host.once(agent("newer"), "x").await;
    assert_eq!(told.outcome()["stop"]["code"], "protocol_unsupported");
    let message = told.outcome()["stop"]["message"].as_str().unwrap();
    assert!(message.contains('7') && message.contains('1'), "{message}");
}

async fn no_agent() {
    let host = Host::open(options()).await;
    let mut config = shell("echo what is this; sleep 1000");
    config["mode"] = json!("lines");
    let told = host.once(config, "x").await;
    assert_eq!(told.outcome()["stop"]["code"], "hello_expected");
    let mut config = shell("exit 0");
    config["mode"] = json!("lines");
    let told = host.once(config, "x").await;
    assert_eq!(told.outcome()["stop"]["type"], "no_terminator");
}

async fn stderr() {
    let host = Host::open(options()).await;
    let worker = host.worker(agent("plain")).await;
    let receipt = host
        .send(worker, SubmitInput::text("!stderr oh\n!exit 1"))
        .await;
    let told = host.told(worker, &receipt).await;
    let kept = told.of("backend.message");
    assert_eq!(
        kept,
        [&json!({ "stream": "stderr", "text": "oh", "truncated_bytes": 0 })]
    );
}
