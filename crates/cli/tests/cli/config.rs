//! The configuration file: what it does, what is in effect, and what is told of a bad one.

use std::fs;

use worker_runtime_core::{
    AsJson, Code,
    profile::ProfileSelector,
    worker::{BackendSelection, CreateWorker, Intent},
};

use crate::{
    serving::{Serving, block_on},
    support::{Place, snapshot, until},
};

fn write(place: &Place, text: &str) -> String {
    let file = place.project().join("wr.toml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn what_is_in_effect_says_where_it_came_from() {
    let place = Place::new();
    let file = write(
        &place,
        "[serve]\nbind = \"127.0.0.1:7700\"\nhosts = [\"a\", \"b\"]\n\n[mounts]\ndocs = \"/srv/docs\"\n\n[backends.words]\nkind = \"exec\"\nargv = [\"wc\", \"-w\"]\nenv = { KEY = \"nobody's business\" }\n",
    );
    let mut from_environment = place.command(&["config", "show", "-o", "json"]);
    from_environment
        .env("WORKER_RUNTIME_CONFIG", &file)
        .env("WORKER_RUNTIME_BIND", "127.0.0.1:7800");
    let shown: serde_json::Value =
        serde_json::from_slice(&from_environment.output().unwrap().stdout).unwrap();
    let value = |key: &str| {
        let values = shown["values"].as_array().unwrap();
        values
            .iter()
            .find(|value| value["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(value("serve.bind")["value"], "127.0.0.1:7800");
    assert_eq!(value("serve.bind")["from"]["at"], "WORKER_RUNTIME_BIND");
    assert_eq!(value("config")["from"]["kind"], "environment");
    assert_eq!(value("mounts.docs")["from"]["at"], format!("{file}:6"));
    let ran = place.run(&["config", "show", "--config", &file]);
    assert!(!ran.stdout.contains("business"));
    let calls = [ran, place.run(&["config", "show", "-o", "jsonl"])];
    snapshot(&place, "config_show", &calls);
}

#[test]
fn the_platforms_own_file_is_read_when_it_is_there() {
    let place = Place::new();
    let directory = place
        .project()
        .parent()
        .unwrap()
        .join(".config/worker-runtime");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("config.toml"), "[limits]\nworkers_max = 1\n").unwrap();
    assert_eq!(place.run(&["worker", "create", "--", "true"]).code, Some(0));
    // A limit that is written holds for a command on a stopped store too.
    let refused = place.run(&["worker", "create", "--", "true"]);
    assert!(refused.stderr.contains("WR-WORKER-LIMIT"), "{refused}");
    // What is named takes its place.
    let file = write(&place, "");
    let made = place.run(&["--config", &file, "worker", "create", "--", "true"]);
    assert_eq!(made.code, Some(0), "{made}");
}

#[test]
fn a_bad_one_is_told_by_line_and_key_and_nothing_is_opened() {
    let place = Place::new();
    let texts = [
        "bind = ",
        "[serve]\nbnd = \"127.0.0.1:0\"\n",
        "[serve]\nbind = \"localhost\"\n",
        "[mounts]\nhere = \"relative\"\n",
        "[profiles.poet]\ndescription = \"writes\"\ninstructions_file = \"poet.md\"\n",
        "[backends.agent]\nkind = \"exec\"\nargv = []\n",
        "[backends.exec]\nkind = \"exec\"\nargv = [\"sh\"]\n",
    ];
    let mut calls: Vec<_> = texts
        .map(|text| {
            let file = write(&place, text);
            place.run(&["serve", "--config", &file])
        })
        .into();
    calls.push(place.run(&["serve", "--config", "nowhere.toml"]));
    calls.push(place.run(&["--config", "", "run", "--", "true"]));
    let file = write(&place, "[limits]\nworkers_max = 0\n");
    calls.push(place.run(&["--config", &file, "run", "-o", "json", "--", "true"]));
    assert!(
        calls.iter().all(|ran| ran.code == Some(2)),
        "{}",
        calls.last().unwrap()
    );
    assert!(!place.state().exists(), "a mistake made a store");
    snapshot(&place, "bad_config", &calls);
}

#[test]
fn a_client_that_may_operate_runs_what_the_operator_wrote_down_and_nothing_else() {
    let place = Place::new();
    fs::write(place.project().join("poet.md"), "Rhyme.\n").unwrap();
    let file = write(
        &place,
        "[profiles.poet]\ndescription = \"writes\"\ninstructions_file = \"poet.md\"\n\n[backends.words]\nkind = \"exec\"\nargv = [\"wc\", \"-w\"]\n",
    );
    let serving = Serving::with(&place, &["--bind", "127.0.0.1:0", "--config", &file]);
    let args = ["token", "create", "--name", "ci", "--scope", "operate"];
    let token = place.run(&args).stdout.trim().to_owned();
    let client = serving.client(Some(&token));
    let request = |name: &str, config: serde_json::Value| {
        let mut request = CreateWorker::new(Intent::Assistant { purpose: None });
        request.spec.profile = ProfileSelector::Named {
            name: "poet".to_owned(),
        };
        request.backend = Some(BackendSelection {
            name: name.to_owned(),
            config: AsJson(config),
        });
        request.initial_input = Some(worker_runtime_core::input::SubmitInput::text(
            "one two three",
        ));
        request
    };
    let argv = serde_json::json!({ "argv": ["id"] });
    let refused = |request| block_on(client.create_worker(&request)).unwrap_err().code();
    assert_eq!(refused(request("exec", argv.clone())), Code::TokenScope);
    assert_eq!(refused(request("words", argv)), Code::BackendConfig);
    assert_eq!(
        refused(request("other", serde_json::Value::Null)),
        Code::BackendUnknown
    );
    let created =
        block_on(client.create_worker(&request("words", serde_json::Value::Null))).unwrap();
    until("the run ended", || {
        let view = block_on(client.worker(created.worker_id)).unwrap();
        view.last_run
            .is_some_and(|run| run.outcome.kind == worker_runtime_core::run::OutcomeKind::Completed)
    });
    serving.end();
    // The same on the stopped store, with the same file; without it there is no such backend.
    let id = created.worker_id.to_string();
    let sent = place.run(&["--config", &file, "worker", "send", &id, "four five"]);
    assert_eq!((sent.code, sent.stdout.trim()), (Some(0), "2"), "{sent}");
    let without = place.run(&["worker", "send", &id, "six"]);
    assert!(without.stderr.contains("WR-INPUT-INCAPABLE"), "{without}");
    let made = [
        "--config",
        &file,
        "run",
        "--backend",
        "words",
        "--input",
        "a b c d",
    ];
    let made = place.run(&made);
    assert_eq!((made.code, made.stdout.trim()), (Some(0), "4"), "{made}");
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let place = Place::new();
    let manual = place.run(&["man"]);
    assert_eq!(manual.code, Some(0), "{manual}");
    assert!(manual.stdout.contains(".TH worker-runtime 1"));
    for command in [
        "serve",
        "worker create",
        "token create",
        "event tail",
        "config show",
    ] {
        let heading = format!(".SS \"worker-runtime {command}\"");
        assert!(manual.stdout.contains(&heading), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{script}");
        assert!(script.stdout.contains("worker-runtime") && script.stdout.contains("token"));
    }
    assert_eq!(place.run(&["completions", "cmd.exe"]).code, Some(2));
    assert!(!place.state().exists());
}
