//! What goes wrong between a command and a server, and what its user is told.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use worker_runtime_http::{
    client::{Client, ClientOptions},
    wire::{AccessScope, CreateToken},
};

use crate::{
    serving::Serving,
    support::{Place, Ran, snapshot},
};

fn write(place: &Place, name: &str, text: &str) {
    fs::write(place.project().join(name), text).unwrap();
}

#[test]
fn who_has_no_good_token_is_told_so() {
    let place = Place::new();
    let server = Serving::start(&place);
    write(
        &place,
        "wrong",
        "wrt_0000000000000000000000000000000000000000000000000000000000000000",
    );
    write(&place, "empty", "\n");
    write(&place, "words", "two words");
    let ask = |rest: &[&str]| {
        let mut args = vec!["--server", server.url.as_str()];
        args.extend(rest);
        place.run(&args)
    };
    let calls = [
        ask(&["status"]),
        ask(&["--token-file", "wrong", "status"]),
        ask(&["--token-file", "wrong", "worker", "ls", "-o", "json"]),
        ask(&["--token-file", "missing", "status"]),
        ask(&["--token-file", "empty", "status"]),
        ask(&["--token-file", "words", "status"]),
        place.run(&["--token-file", "wrong", "worker", "ls"]),
        ask(&["--token-file", "wrong", "event", "tail"]),
        ask(&["--token-file", "wrong", "run", "--", "true"]),
    ];
    assert!(calls.iter().all(|ran| ran.code == Some(12)));
    assert!(
        calls
            .iter()
            .all(|ran| !ran.to_string().contains("wrt_0000"))
    );
    let local = fs::read_to_string(place.state().join("access-token")).unwrap();
    let mut with_variable = place.command(&["--server", &server.url, "worker", "ls"]);
    let with_variable = with_variable
        .env("WORKER_RUNTIME_TOKEN", &local)
        .output()
        .unwrap();
    assert_eq!(with_variable.status.code(), Some(0));
    server.end();
    snapshot(&place, "live_token", &calls);
}

#[test]
fn a_token_that_allows_less_is_told_apart() {
    let place = Place::new();
    let server = Serving::start(&place);
    let local = fs::read_to_string(place.state().join("access-token")).unwrap();
    let options = ClientOptions::new(&server.url, Some(local.trim().to_owned()));
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (name, scope) in [
        ("observe", AccessScope::Observe),
        ("operate", AccessScope::Operate),
    ] {
        let request = CreateToken {
            name: name.to_owned(),
            scope,
            expires_in_seconds: None,
        };
        let created = tokio.block_on(async {
            Client::new(&options)
                .unwrap()
                .create_token(&request)
                .await
                .unwrap()
        });
        write(&place, name, &created.token);
    }
    let calls = [
        place.run(&["--token-file", "observe", "worker", "ls"]),
        place.run(&["--token-file", "observe", "worker", "create"]),
        place.run(&["--token-file", "operate", "worker", "create", "--name", "w"]),
        place.run(&["--token-file", "operate", "run", "--", "true"]),
        place.run(&[
            "--token-file",
            "operate",
            "worker",
            "cancel",
            "w",
            "--assume-dead",
        ]),
        // The token that is suggested does for the whole command, at the store that is meant.
        place.run(&["--token-file", "observe", "run", "--", "true"]),
        place.run(&[
            "--state",
            "../state",
            "--token-file",
            "observe",
            "worker",
            "create",
        ]),
    ];
    server.end();
    let codes: Vec<_> = calls.iter().map(|ran| ran.code).collect();
    assert_eq!(
        codes,
        [
            Some(0),
            Some(12),
            Some(0),
            Some(12),
            Some(12),
            Some(12),
            Some(12)
        ]
    );
    snapshot(&place, "live_scope", &calls);
}

#[test]
fn where_no_server_is_that_is_said() {
    let place = Place::new();
    // Taken and let go, so that nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{address}");
    let calls = [
        place.run(&["--server", &url, "status"]),
        place.run(&["--server", &url, "worker", "ls", "-o", "json"]),
        place.run(&["--server", &url, "run", "--", "true"]),
        place.run(&["--server", &url, "event", "tail"]),
        place.run(&["--server", "", "status"]),
        place.run(&["--server", "localhost:7621", "status"]),
        place.run(&["--server", "https://127.0.0.1:1", "status"]),
        place.run(&["--server", &url, "--state", "elsewhere", "status"]),
    ];
    let codes: Vec<_> = calls.iter().map(|ran| ran.code.unwrap()).collect();
    assert_eq!(codes, [14, 14, 14, 14, 2, 2, 2, 2]);
    assert!(!place.state().exists(), "asking a server made a store");
    snapshot(&place, "no_server", &calls);
}

/// Answers every request with these, by whether it asks for the description.
fn answering(description: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let is_description = request[..read].starts_with(b"GET /openapi.json");
            let body = if is_description {
                description
            } else {
                "{\"hello\":1}"
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn another_version_and_something_else_are_told_apart() {
    let place = Place::new();
    let newer = answering(r#"{"info":{"title":"worker-runtime","version":"99.0.0"}}"#);
    let foreign = answering("<html>");
    let ask = |url: &str| place.run(&["--server", url, "worker", "ls"]);
    let calls: [Ran; 2] = [ask(&newer), ask(&foreign)];
    assert!(calls.iter().all(|ran| ran.code == Some(14)));
    snapshot(&place, "other_server", &calls);
}

#[test]
fn what_is_typed_counts_more_than_the_environment() {
    let place = Place::new();
    assert_eq!(
        place.run(&["worker", "create", "--name", "w"]).code,
        Some(0)
    );
    let state = place.state();
    let mut command = place.command(&["--state", state.to_str().unwrap(), "worker", "ls"]);
    let command = command
        .env("WORKER_RUNTIME_SERVER", "http://127.0.0.1:9")
        .env_remove("WORKER_RUNTIME_STATE");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    let mut command = place.command(&["worker", "ls"]);
    let command = command.env("WORKER_RUNTIME_SERVER", "http://127.0.0.1:9");
    assert_eq!(command.output().unwrap().status.code(), Some(14));
}
