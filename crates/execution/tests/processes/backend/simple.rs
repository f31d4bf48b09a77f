//! Simple mode: from the input to the command, and from its output to blocks and outcome.

use std::{collections::BTreeMap, fs, path::PathBuf};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use worker_runtime_core::{Mounts, input::Segment, input::SubmitInput, worker::MountRef};
use worker_runtime_execution::exec::{ExecOptions, HostEnvironment, Shim};

use super::support::*;
use crate::support::within_tokio;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio(
            "the_input_comes_on_stdin_or_as_argument_or_not_at_all",
            ways,
        ),
        within_tokio("the_exit_status_is_the_outcome", exits),
        within_tokio(
            "a_command_that_cannot_start_fails_its_run_and_no_more",
            no_start,
        ),
        within_tokio(
            "a_large_output_is_whole_and_in_order_over_several_blocks",
            large,
        ),
        within_tokio(
            "output_that_is_no_utf8_is_replaced_and_split_characters_survive",
            utf8,
        ),
        within_tokio("standard_error_is_kept_by_its_end_and_never_blocks", stderr),
        within_tokio(
            "a_command_that_does_not_read_its_input_is_no_error",
            unread_input,
        ),
        within_tokio(
            "the_environment_is_what_the_configuration_says",
            environment,
        ),
        within_tokio("a_secret_reaches_the_command_and_nobody_else", secret),
        within_tokio("the_workspace_is_the_working_directory", workspace),
        within_tokio(
            "an_input_that_cannot_be_text_or_argument_is_refused",
            not_text,
        ),
        within_tokio("containment_is_told_once", containment),
        within_tokio(
            "a_configuration_is_refused_at_creation_with_its_field",
            bad_config,
        ),
        within_tokio("inputs_that_wait_run_one_after_the_other", queue),
    ]
}

async fn ways() {
    let host = Host::open(options()).await;
    let told = host.once(shell("printf 'got:'; cat"), "a b\nc").await;
    assert_eq!(told.text(), "got:a b\nc");
    assert_eq!(told.outcome()["kind"], "completed");
    assert_eq!(
        told.outcome()["stop"],
        json!({ "type": "exit", "code": 0, "signal": null })
    );

    let mut config = json!({ "argv": ["printf", "<%s>", "x"], "input": "argument" });
    assert_eq!(host.once(config.clone(), "a b").await.text(), "<x><a b>");
    config["input"] = json!("none");
    assert_eq!(host.once(config, "a b").await.text(), "<x>");
    // Without its input, the same command finds its standard input at its end.
    let mut cat = shell("cat; echo over");
    cat["input"] = json!("none");
    assert_eq!(host.once(cat, "a b").await.text(), "over\n");
}

async fn exits() {
    let host = Host::open(options()).await;
    for (script, kind, code, signal) in [
        ("exit 0", "completed", json!(0), Value::Null),
        ("exit 3", "failed", json!(3), Value::Null),
        ("kill -KILL $$", "failed", Value::Null, json!(9)),
        ("kill -TERM $$", "failed", Value::Null, json!(15)),
    ] {
        let told = host.once(shell(script), "x").await;
        let stop = json!({ "type": "exit", "code": code, "signal": signal });
        assert_eq!(told.outcome()["kind"], kind, "{script}");
        assert_eq!(told.outcome()["stop"], stop, "{script}");
        assert!(told.blocks().is_empty());
    }
}

async fn no_start() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain-file");
    fs::write(&plain, "no program").unwrap();
    let host = Host::open(options()).await;
    for (program, name, reason) in [
        ("/no/such/program", "program", "No such file"),
        ("no-such-program", "no-such-program", "No such file"),
        (plain.to_str().unwrap(), "plain-file", "Permission denied"),
    ] {
        let worker = host.worker(json!({ "argv": [program] })).await;
        for _ in 0..2 {
            let told = host.run(worker, "x").await;
            assert_eq!(told.outcome()["kind"], "failed");
            let message = told.outcome()["stop"]["message"].as_str().unwrap();
            assert!(
                message.contains(name) && message.contains(reason),
                "{message}"
            );
            assert!(!message.contains('/'), "{message}");
        }
    }
    // What fails is the run; the Worker takes the next input as soon as the program is there.
    let program = directory.path().join("later");
    let worker = host.worker(json!({ "argv": [program] })).await;
    assert_eq!(host.run(worker, "x").await.outcome()["kind"], "failed");
    crate::support::write_executable(&program, "#!/bin/sh\necho there\n");
    assert_eq!(host.run(worker, "x").await.text(), "there\n");
}

async fn large() {
    let host = Host::open(options()).await;
    // More than five million bytes, every line with its number.
    let told = host.once(shell("seq -w 1 700000"), "x").await;
    assert_eq!(told.outcome()["kind"], "completed");
    let blocks = told.blocks();
    assert!(blocks.len() > 10, "{}", blocks.len());
    let largest = blocks.iter().map(|block| block.len()).max().unwrap();
    assert!(largest <= options().block_bytes_max, "{largest}");
    let wanted: String = (1..=700_000)
        .map(|number| format!("{number:06}\n"))
        .collect();
    assert!(wanted.len() > 4 << 20);
    assert_eq!(told.text(), wanted);
}

async fn utf8() {
    // A block limit that no character of three bytes meets exactly.
    let small = ExecOptions {
        block_bytes_max: 64,
        ..options()
    };
    let host = Host::open(small).await;
    let script = r"printf 'a\377b\342\202'; sleep 0.05; printf '\254!'; printf '\360\237'";
    let told = host.once(shell(script), "x").await;
    assert_eq!(told.text(), "a\u{fffd}b€!\u{fffd}");

    let text = "€".repeat(1000);
    let told = host.once(json!({ "argv": ["cat"] }), &text).await;
    assert_eq!(told.text(), text);
    assert!(told.blocks().iter().all(|block| block.len() <= 64));
    assert!(told.blocks().len() > 40);
}

async fn stderr() {
    let host = Host::open(options()).await;
    let script = "seq -w 1 300000 >&2; echo out; echo last >&2";
    let told = host.once(shell(script), "x").await;
    assert_eq!(told.text(), "out\n");
    let messages = told.of("backend.message");
    assert_eq!(messages.len(), 1);
    let text = messages[0]["text"].as_str().unwrap();
    assert_eq!(messages[0]["stream"], "stderr");
    assert_eq!(text.len(), options().stderr_bytes_max);
    assert!(text.ends_with("300000\nlast\n"));
    let written = 300_000 * 7 + 5;
    assert_eq!(
        messages[0]["truncated_bytes"],
        json!(written - options().stderr_bytes_max)
    );
    // Nothing written, nothing told.
    let silent = host.once(shell("true"), "x").await;
    assert!(silent.of("backend.message").is_empty());
}

async fn unread_input() {
    let host = Host::open(options()).await;
    let told = host.once(shell("echo done"), &"x".repeat(900_000)).await;
    assert_eq!(told.outcome()["kind"], "completed");
    assert_eq!(told.text(), "done\n");
}

async fn environment() {
    let fixed = [("PATH", "/usr/bin:/bin"), ("LANG", "xy"), ("TOKEN", "host")];
    let fixed: BTreeMap<_, _> = fixed
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let options = ExecOptions {
        environment: HostEnvironment::Fixed(fixed),
        ..options()
    };
    let host = Host::open(options).await;
    let variables = |told: &Told| -> BTreeMap<String, String> {
        let text = told.text();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let config = json!({ "argv": ["env"], "env": { "LANG": "own", "MORE": "m" } });
    let worker = host.worker(config).await;
    let told = host.run(worker, "x").await;
    let got = variables(&told);
    let names: Vec<&str> = got.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "LANG",
            "MORE",
            "PATH",
            "WORKER_RUNTIME_RUN_ID",
            "WORKER_RUNTIME_WORKER_ID"
        ]
    );
    assert_eq!(got["LANG"], "own");
    assert_eq!(got["WORKER_RUNTIME_WORKER_ID"], worker.to_string());
    let config = json!({ "argv": ["env"], "env_allow": ["PATH", "TOKEN"] });
    let got = variables(&host.once(config, "x").await);
    assert_eq!(got["TOKEN"], "host");
    assert!(!got.contains_key("LANG"));
}

async fn secret() {
    let host = Host::open(options()).await;
    let mut config = shell(r#"printf "$TOKEN" | wc -c; [ "$TOKEN" = s3cret ]"#);
    config["env"] = json!({ "TOKEN": { "secret": "known" } });
    let worker = host.worker(config.clone()).await;
    let told = host.run(worker, "x").await;
    assert_eq!(told.outcome()["kind"], "completed");
    assert_eq!(told.text().trim(), "6");
    let everything = format!("{told:?}{:?}", host.runtime.catalog().get(worker).unwrap());
    assert!(!everything.contains("s3cret"));

    config["env"] = json!({ "TOKEN": { "secret": "unknown" } });
    let told = host.once(config, "x").await;
    assert_eq!(told.outcome()["kind"], "failed");
    let message = told.outcome()["stop"]["message"].as_str().unwrap();
    assert!(message.contains("\"unknown\""), "{message}");
}

async fn workspace() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().canonicalize().unwrap();
    fs::create_dir(place.join("inner")).unwrap();
    let mut mounts = Mounts::default();
    mounts.set("here", &place).unwrap();
    let options = ExecOptions {
        directory: PathBuf::from("/usr"),
        ..options()
    };
    let host = Host::open_with(options, mounts).await;
    let mut request = Host::request(json!({ "argv": ["pwd"] }));
    request.spec.workspace = Some(MountRef {
        mount: "here".to_owned(),
        path: "inner".to_owned(),
    });
    let worker = host
        .runtime
        .catalog()
        .create(request)
        .await
        .unwrap()
        .worker_id;
    let told = host.run(worker, "x").await;
    assert_eq!(
        told.text().trim_end(),
        place.join("inner").to_str().unwrap()
    );
    // Without a workspace, where the embedder said.
    let told = host.once(json!({ "argv": ["pwd"] }), "x").await;
    assert_eq!(told.text(), "/usr\n");
    // A workspace that is gone fails the run, and no absolute path is told.
    fs::remove_dir(place.join("inner")).unwrap();
    let told = host.run(worker, "x").await;
    let message = told.outcome()["stop"]["message"].as_str().unwrap();
    assert!(message.contains("working directory"), "{message}");
    assert!(!message.contains('/'), "{message}");
}

async fn not_text() {
    let host = Host::open(options()).await;
    let worker = host.worker(json!({ "argv": ["cat"] })).await;
    let mut input = SubmitInput::text("look");
    let resource = json!({ "type": "resource", "uri": "file:x" });
    input
        .segments
        .push(serde_json::from_value::<Segment>(resource).unwrap());
    let receipt = host.send(worker, input).await;
    let told = host.told(worker, &receipt).await;
    assert_eq!(told.outcome()["stop"]["code"], "unsupported");

    let worker = host
        .worker(json!({ "argv": ["echo"], "input": "argument" }))
        .await;
    let told = host.run(worker, &"x".repeat(200_000)).await;
    assert_eq!(told.outcome()["stop"]["code"], "rejected");
    assert_eq!(host.run(worker, "short").await.text(), "short\n");
}

async fn containment() {
    let status = |told: &Told| -> Vec<Value> {
        let all = told.of("worker.status");
        all.iter().map(|data| data["value"].clone()).collect()
    };
    let host = Host::open(options()).await;
    let worker = host.worker(shell("true")).await;
    assert_eq!(status(&host.run(worker, "x").await), [json!("enforced")]);
    assert!(status(&host.run(worker, "x").await).is_empty());

    let without = ExecOptions {
        shim: Shim::Without,
        ..options()
    };
    let host = Host::open(without).await;
    let told = host.once(shell("cat"), "also without a shim").await;
    assert_eq!(status(&told), [json!("not_enforced")]);
    assert_eq!(told.text(), "also without a shim");
}

async fn bad_config() {
    let host = Host::open(options()).await;
    let request = Host::request(json!({ "argv": ["a"], "mode": "lines", "input": "none" }));
    let error = host.runtime.catalog().create(request).await.unwrap_err();
    assert!(error.to_string().contains("input"), "{error}");
}

async fn queue() {
    let host = Host::open(options()).await;
    let worker = host.worker(json!({ "argv": ["cat"] })).await;
    let mut receipts = Vec::new();
    for number in 0..20 {
        let input = SubmitInput::text(format!("n{number}")).queued();
        receipts.push(host.send(worker, input).await);
    }
    let told = host.told(worker, receipts.last().unwrap()).await;
    assert_eq!(told.outcome()["kind"], "completed");
    let all = host
        .until(worker, receipts[0].cursor, |kind, data| {
            kind == "run.finished" && data["input_id"] == receipts[19].input_id.as_str()
        })
        .await;
    let wanted: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
    assert_eq!(all.blocks(), wanted);
}
