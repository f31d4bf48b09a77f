//! `serve`: from the first line to the end in order, and everything that can be in its way.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use worker_runtime_core::{
    Code,
    input::SubmitInput,
    worker::{BackendSelection, CreateWorker, Intent},
};

use crate::{
    serving::{Serving, block_on, local_token, token_file},
    support::{PROGRAM, Place, Ran, is_alive, snapshot, until},
};

/// A Worker of a free command line, with its first input.
fn command(script: &str) -> CreateWorker {
    let mut request = CreateWorker::new(Intent::Assistant { purpose: None });
    let config = serde_json::json!({
        "argv": ["sh", "-c", script],
        "input": "none",
        "term_grace_ms": 60_000,
    });
    request.backend = Some(BackendSelection {
        name: "exec".to_owned(),
        config: worker_runtime_core::AsJson(config),
    });
    request.initial_input = Some(SubmitInput::text("go"));
    request
}

#[test]
fn it_says_once_that_it_is_ready_and_ends_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let serving = Serving::start(&place);
        assert!(block_on(serving.client(None).health()).unwrap().ready);
        let status = block_on(serving.admin(&place).runtime()).unwrap();
        let said = format!(
            "serving: {}, Runtime {}; access token: {}",
            serving.url,
            status.runtime_id,
            token_file(&place).display()
        );
        assert!(
            serving.said.lines().any(|line| line == said),
            "{}",
            serving.said
        );
        assert!(!serving.said.contains(&local_token(&place)));
        let lock = fs::read_to_string(place.state().join("lock")).unwrap();
        assert!(lock.contains(&format!("\"{}\"", serving.url)), "{lock}");
        serving.signal(signal);
        let (code, said) = serving.wait();
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.ends_with("closed: the store is closed clean\n"),
            "{said}"
        );
        let status = place.run(&["status", "-o", "json"]);
        assert_eq!(status.code, Some(0), "{status}");
    }
}

#[test]
fn what_the_readme_asks_is_answered() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let readme = include_str!("../../../../README.md");
    let (_, rest) = readme.split_once("<!-- ci: ask -->\n```sh\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    let script = script
        .replace("~/.local/state/worker-runtime/access-token", "\"$TOKEN\"")
        .replace("http://127.0.0.1:7621", &serving.url);
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if has_curl {
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).env("TOKEN", token_file(&place));
        let output = shell.output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(status["live"], true, "{status}");
    }
    serving.end();
}

#[test]
fn what_it_says_can_be_json_to_the_last_line() {
    let place = Place::new();
    let args = ["--bind", "127.0.0.1:0", "--log-format", "json"];
    let mut command = place.command(&[&["serve"], args.as_slice(), &["--log", "debug"]].concat());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it serves", || {
        token_file(&place).exists() && served(&place)
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let output = child.wait_with_output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    for line in stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
    }
    assert!(stderr.contains("\"message\":\"serving\""), "{stderr}");
}

/// Whether a server answers for this state directory.
fn served(place: &Place) -> bool {
    let lock = fs::read_to_string(place.state().join("lock")).unwrap_or_default();
    let Some(url) = lock.split('"').find(|text| text.starts_with("http://")) else {
        return false;
    };
    let options = worker_runtime_http::client::ClientOptions::new(url, None);
    let client = worker_runtime_http::client::Client::new(&options).unwrap();
    block_on(client.health()).is_ok()
}

#[test]
fn what_runs_ends_with_it_and_what_was_killed_is_ended_by_the_next_one() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let script =
        "echo $$ >\"$HOME/pid\"; mv \"$HOME/pid\" \"$HOME/started\"; while :; do sleep 600; done";
    let created = block_on(serving.admin(&place).create_worker(&command(script))).unwrap();
    let started = place.project().parent().unwrap().join("started");
    until("the command runs", || started.exists());
    let pid = fs::read_to_string(&started).unwrap();
    serving.kill();
    // Nobody is there to ask: the store is a stopped one, whatever the lock's file says.
    let stopped = place.run(&["status", "-o", "json"]);
    assert_eq!(stopped.code, Some(0), "{stopped}");
    let next = Serving::start(&place);
    assert!(!is_alive(&pid));
    let admin = next.admin(&place);
    let view = block_on(admin.worker(created.worker_id)).unwrap();
    let outcome = view.last_run.unwrap().outcome;
    assert_eq!(
        outcome.kind,
        worker_runtime_core::run::OutcomeKind::Interrupted
    );
    // The token is still the same: clients go on.
    next.end();
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_what_does_not_end() {
    let place = Place::new();
    let mut serving = Serving::start(&place);
    let script = "trap 'echo >\"$HOME/asked\"' TERM; echo $$ >\"$HOME/pid\"; mv \"$HOME/pid\" \"$HOME/started\"; while :; do sleep 600 & wait; done";
    block_on(serving.admin(&place).create_worker(&command(script))).unwrap();
    let home = place.project().parent().unwrap().to_owned();
    until("the command runs", || home.join("started").exists());
    serving.signal(Signal::INT);
    assert!(serving.line().contains("Ctrl-C once more ends it at once"));
    until("the command is asked to end", || {
        home.join("asked").exists()
    });
    serving.signal(Signal::INT);
    let (code, said) = serving.wait();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.starts_with("left: "), "{said}");
    let next = place.run(&["run", "--", "true"]);
    assert_eq!(next.code, Some(0), "{next}");
    let pid = fs::read_to_string(home.join("started")).unwrap();
    assert!(!is_alive(&pid));
}

#[test]
fn a_second_one_is_told_who_serves_and_a_taken_port_makes_no_store() {
    let place = Place::new();
    let other = Place::new();
    let serving = Serving::start(&place);
    let bind = serving.url.trim_start_matches("http://");
    let pid = serving.pid().to_string();
    let mut calls = vec![
        place.run(&["serve", "--bind", bind]),
        place.run(&["serve", "--bind", "127.0.0.1:0"]),
        other.run(&["serve", "--bind", bind]),
        other.run(&["serve", "--bind", bind, "-o", "json"]),
    ];
    let codes: Vec<_> = calls.iter().map(|ran| ran.code).collect();
    assert_eq!(codes, [Some(11), Some(11), Some(1), Some(1)]);
    assert!(calls[0].stderr.contains(&pid), "{}", calls[0]);
    assert!(!other.state().exists(), "a mistake made a store");
    calls = calls.into_iter().map(|ran| serving.hide(ran)).collect();
    snapshot(&place, "serve_taken", &calls);
    serving.end();
}

#[test]
fn an_address_that_is_none_makes_no_store() {
    let place = Place::new();
    let calls = [
        place.run(&["serve", "--bind", "localhost"]),
        place.run(&["serve", "--bind", "127.0.0.1"]),
        place.run(&["serve", "--bind", "127.0.0.1:65536"]),
        // A test address, which no machine has.
        place.run(&["serve", "--bind", "203.0.113.1:7621"]),
        place.run(&["serve", "--log-format", "xml"]),
        place.run(&["serve", "--server", "http://127.0.0.1:7621"]),
    ];
    let codes: Vec<_> = calls.iter().map(|ran| ran.code).collect();
    assert_eq!(
        codes,
        [Some(2), Some(2), Some(2), Some(1), Some(2), Some(2)]
    );
    assert!(!place.state().exists(), "a mistake made a store");
    snapshot(&place, "serve_address", &calls);
}

#[test]
fn tokens_that_can_not_be_read_are_told_and_the_store_is_let_go() {
    let place = Place::new();
    Serving::start(&place).end();
    let others = place.state().join("access-tokens.json");
    fs::write(&others, "{ no").unwrap();
    let calls = [
        place.run(&["serve", "--bind", "127.0.0.1:0"]),
        place.run(&["token", "ls"]),
    ];
    assert!(calls.iter().all(|ran| ran.code == Some(1)));
    snapshot(&place, "serve_tokens_unreadable", &calls);
    fs::remove_file(others).unwrap();
    Serving::start(&place).end();
}

/// The program as another user of this machine, who has no part in the state directory.
fn as_nobody(program: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program)
        .args(args)
        .current_dir("/")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    Ran::new(args, &output)
}

#[test]
fn another_user_of_the_machine_can_neither_read_nor_run_anything() {
    let place = Place::new();
    if !rustix::process::geteuid().is_root() {
        // Only root can become somebody else; the modes are looked at all the same.
        let serving = Serving::start(&place);
        assert_modes(&place);
        serving.end();
        return;
    }
    // Nothing but the state directory's own mode is in the way.
    let home = place.project().parent().unwrap().to_owned();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let program = home.join("worker-runtime");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let serving = Serving::start(&place);
    assert_modes(&place);
    let state = place.state().display().to_string();
    let token = token_file(&place).display().to_string();
    let calls = [
        as_nobody(&program, &["--state", &state, "status"]),
        as_nobody(&program, &["--state", &state, "run", "--", "true"]),
        as_nobody(&program, &["--state", &state, "token", "ls"]),
        as_nobody(&program, &["--server", &serving.url, "status"]),
        as_nobody(&program, &["--server", &serving.url, "run", "--", "true"]),
        as_nobody(
            &program,
            &["--server", &serving.url, "--token-file", &token, "status"],
        ),
    ];
    for ran in &calls {
        assert_eq!(ran.code, Some(12), "{ran}");
        assert!(!ran.stderr.contains(&local_token(&place)));
    }
    // What needs no token tells nothing of the Workers.
    let refused = block_on(serving.client(None).runtime()).unwrap_err();
    assert_eq!(refused.code(), Code::TokenMissing);
    let status = block_on(serving.admin(&place).runtime()).unwrap();
    assert!(status.workers.values().all(|count| *count == 0));
    let calls: Vec<Ran> = calls.into_iter().map(|ran| serving.hide(ran)).collect();
    snapshot(&place, "another_user", &calls);
    serving.end();
}

/// Everything in the state directory is its owner's alone.
fn assert_modes(place: &Place) {
    for path in place.files().keys() {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

/// What the server answers to a request that is sent to this name, from a page of this origin.
fn status_of(serving: &Serving, host: &str, origin: Option<&str>) -> String {
    let address = serving.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n"));
    let origin = origin.unwrap_or_default();
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {host}\r\n{origin}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn names_and_origins_come_from_the_command_line_else_from_the_file() {
    let place = Place::new();
    let file = place.project().join("wr.toml");
    let text = "[serve]\nbind = \"127.0.0.1:0\"\nhosts = [\"file.test\"]\norigins = [\"http://page.test\"]\n";
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let serving = Serving::with(&place, &["--config", &file]);
    assert_eq!(status_of(&serving, "file.test", None), "200");
    assert_eq!(status_of(&serving, "typed.test", None), "421");
    let page = Some("http://page.test");
    assert_eq!(status_of(&serving, "localhost", page), "200");
    assert_eq!(
        status_of(&serving, "localhost", Some("http://a.test")),
        "403"
    );
    serving.end();
    let typed = [
        "--config",
        &file,
        "--host",
        "typed.test",
        "--allow-origin",
        "http://a.test",
    ];
    let serving = Serving::with(&place, &typed);
    assert_eq!(status_of(&serving, "file.test", None), "421");
    assert_eq!(status_of(&serving, "typed.test", None), "200");
    assert_eq!(status_of(&serving, "localhost", page), "403");
    serving.end();
}

#[test]
fn an_address_that_other_machines_reach_is_warned_of_and_found_all_the_same() {
    let place = Place::new();
    let serving = Serving::with(&place, &["--bind", "0.0.0.0:0"]);
    assert!(
        serving.said.contains("warning: other machines reach"),
        "{}",
        serving.said
    );
    assert!(
        serving.url.starts_with("http://127.0.0.1:"),
        "{}",
        serving.url
    );
    let status = place.run(&["status"]);
    assert_eq!(status.code, Some(0), "{status}");
    serving.end();
}

#[test]
fn what_it_takes_is_told() {
    let place = Place::new();
    let commands: [&[&str]; 7] = [
        &["serve"],
        &["token"],
        &["token", "create"],
        &["token", "ls"],
        &["token", "revoke"],
        &["config"],
        &["completions"],
    ];
    let calls = commands.map(|words| place.run(&[words, &["--help"]].concat()));
    assert!(calls.iter().all(|ran| ran.code == Some(0)));
    snapshot(&place, "serve_help", &calls);
}

#[test]
fn a_name_is_no_address_to_listen_at() {
    let place = Place::new();
    let ran = place.run(&["serve", "--bind", "localhost:0"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("give an address: 127.0.0.1:0 or [::1]:0"),
        "{ran}"
    );
    assert!(!place.state().exists(), "a mistake made a store");
}
