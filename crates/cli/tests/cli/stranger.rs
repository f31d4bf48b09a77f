//! The access token goes to nobody but the server. A port that a server has let go of, or died with, is
//! anybody's; commands on the same machine find a server by an address in a file. A stranger who listens
//! where a server was is sent nothing.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    serving::{Serving, block_on},
    support::{Place, Running, until},
};

/// Another process's program at the port of a server, as soon as it can have it.
struct Stranger {
    visits: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Stranger {
    fn at(address: &str) -> Self {
        let mut bound = None;
        until("the port is free", || {
            bound = TcpListener::bind(address).ok();
            bound.is_some()
        });
        let listener = bound.unwrap();
        let stranger = Self {
            visits: Arc::default(),
            heard: Arc::default(),
        };
        let (visits, heard) = (Arc::clone(&stranger.visits), Arc::clone(&stranger.heard));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever sends something does so at once.
                stream
                    .set_read_timeout(Some(Duration::from_millis(300)))
                    .unwrap();
                let mut sent = Vec::new();
                let mut stream = stream;
                let _ = stream.read_to_end(&mut sent);
                heard.lock().unwrap().extend(sent);
                visits.fetch_add(1, Ordering::SeqCst);
            }
        });
        stranger
    }

    fn heard_nothing(&self) {
        let heard = self.heard.lock().unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), "");
    }
}

#[test]
fn who_listens_where_a_killed_server_was_hears_nothing() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let address = serving.address().to_owned();
    serving.kill();
    let stranger = Stranger::at(&address);
    let stopped = place.run(&["status"]);
    assert_eq!(stopped.code, Some(0), "{stopped}");
    // Its address must not count for the next process that holds the store, either.
    let command = ["run", "--", "sh", "-c", "echo ready; exec sleep 600"];
    let mut holder = Running::start(&place, &command);
    assert_eq!(holder.line(), "ready");
    for args in [
        &["status"][..],
        &["run", "--", "true"],
        &["worker", "ls"],
        &["lock", "ls"],
        &["lock", "who", "src"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(11), "{ran}");
    }
    holder.signal(Signal::TERM);
    holder.wait();
    assert_eq!(stranger.visits.load(Ordering::SeqCst), 0);
    stranger.heard_nothing();
}

#[test]
fn who_listens_where_a_server_is_ending_hears_nothing() {
    let place = Place::new();
    let mut serving = Serving::start(&place);
    let address = serving.address().to_owned();
    let home = place.project().parent().unwrap().to_owned();
    let script = "trap '' TERM; echo >\"$HOME/started\"; while :; do sleep 600 & wait; done";
    let config = format!(
        r#"{{"argv": ["sh", "-c", {}], "input": "none", "term_grace_ms": 60000}}"#,
        serde_json::to_string(script).unwrap()
    );
    let mut create = worker_runtime_core::worker::CreateWorker::new(
        worker_runtime_core::worker::Intent::Assistant { purpose: None },
    );
    create.backend = Some(worker_runtime_core::worker::BackendSelection {
        name: "exec".to_owned(),
        config: worker_runtime_core::AsJson(serde_json::from_str(&config).unwrap()),
    });
    create.initial_input = Some(worker_runtime_core::input::SubmitInput::text("go"));
    block_on(serving.admin(&place).create_worker(&create)).unwrap();
    until("the command runs", || home.join("started").exists());
    serving.signal(Signal::TERM);
    // The store is held until the command is dead; the port is not.
    let stranger = Stranger::at(&address);
    for args in [
        &["status"][..],
        &["run", "--", "true"],
        &["worker", "ls"],
        &["lock", "who", "src"],
        &["token", "ls"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(11), "{ran}");
        assert!(
            ran.stderr.contains("a server that is starting or ending"),
            "{ran}"
        );
    }
    assert_eq!(stranger.visits.load(Ordering::SeqCst), 0);
    stranger.heard_nothing();
    assert!(serving.line().starts_with("ending: "));
    serving.signal(Signal::INT);
    assert_eq!(serving.wait().0, Some(130));
}

#[test]
fn a_tail_whose_server_died_says_nothing_to_whoever_has_the_port_now() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let address = serving.address().to_owned();
    let mut tail = Running::start(&place, &["event", "tail", "-o", "name"]);
    let _ = tail.line();
    serving.kill();
    let stranger = Stranger::at(&address);
    // It looks who has the store, and nobody has.
    let (code, _, stderr) = tail.wait();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("the server has ended"), "{stderr}");
    stranger.heard_nothing();
}

#[test]
fn an_address_is_told_only_while_the_server_listens_there() {
    for _ in 0..10 {
        let place = Place::new();
        let mut command = place.command(&["serve", "--bind", "127.0.0.1:0"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let told = || worker_runtime_persist::serving(&place.state());
        let listens = |address: &str| {
            let address = address.strip_prefix("http://").unwrap();
            TcpStream::connect(address).is_ok()
        };
        let mut serving = None;
        // Without a pause: a moment in which it is told too early is to be met.
        while serving.is_none() {
            serving = told();
            assert!(child.try_wait().unwrap().is_none(), "it ended");
        }
        assert!(listens(&serving.unwrap().address), "told before it listens");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM)
            .unwrap();
        while let Some(serving) = told() {
            let listened = listens(&serving.address);
            assert!(
                listened || told().is_none(),
                "told after it stopped listening"
            );
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
