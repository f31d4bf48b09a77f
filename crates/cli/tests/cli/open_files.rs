//! Each connection is an open file. A server that took as many connections as it is configured for ran out
//! of files before: nobody was answered any more, `/healthz` neither, and the store and the start of
//! commands went without. It raises its limit, and takes no more than fits into it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use crate::{
    serving::Serving,
    support::{Place, Running},
};

/// `serve`, begun by a shell that was given this limit.
fn serve_below(place: &Place, limit: &str) -> Serving {
    let serve = place.command(&["serve", "--bind", "127.0.0.1:0"]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
        .arg(serve.get_program())
        .args(serve.get_args())
        .current_dir(serve.get_current_dir().unwrap())
        .env_clear();
    for (name, value) in serve.get_envs() {
        shell.env(name, value.unwrap());
    }
    Serving::of(shell)
}

fn health(serving: &Serving) -> String {
    let mut stream = TcpStream::connect(serving.address()).unwrap();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn more_silent_connections_than_open_files_keep_nobody_from_health_nor_the_store_from_its_files() {
    let place = Place::new();
    let serving = serve_below(&place, "-n 128");
    let warned = "have 128 files open, so it takes 48 connections at a time instead of 4096";
    assert!(serving.said.contains(warned), "{}", serving.said);
    // One that is there already goes on, and so does what it asks for.
    let mut follower = Running::start(&place, &["run", "--", "sh", "-c", "echo ready; read line"]);
    assert_eq!(follower.line(), "ready");
    let silent: Vec<TcpStream> = (0..140)
        .map(|_| TcpStream::connect(serving.address()).unwrap())
        .collect();
    let answer = health(&serving);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let open = std::fs::read_dir(format!("/proc/{}/fd", serving.pid())).unwrap();
    assert!(
        open.count() <= 128 - 20,
        "nothing is left for store and commands"
    );
    drop(silent);
    follower.signal(rustix::process::Signal::INT);
    follower.wait();
    let said = serving.end();
    assert!(!said.contains("accepted"), "{said}");
}

#[test]
fn the_server_takes_what_the_system_allows_and_a_command_gets_what_the_server_was_started_with() {
    let place = Place::new();
    let mut limits = Command::new("sh");
    let hard = limits.args(["-c", "ulimit -Hn"]).output().unwrap().stdout;
    let hard = String::from_utf8(hard).unwrap();
    let serving = serve_below(&place, "-Sn 100");
    let of_server = std::fs::read_to_string(format!("/proc/{}/limits", serving.pid())).unwrap();
    let of_server = of_server
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let of_server: Vec<&str> = of_server.unwrap().split_whitespace().collect();
    assert_eq!(of_server[3], hard.trim(), "{of_server:?}");
    let ran = place.run(&["run", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    assert_eq!(ran.stdout, format!("100\n{hard}"), "{ran}");
    serving.end();
}
