//! A change whose answer is lost on the way is asked again with the same id, and done once.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    live_runs::ASKS,
    serving::{Serving, token_file},
    support::{Place, Ran, Running, snapshot, until},
};

/// Between a command and the server. It passes everything on; of so many changes it swallows the answer,
/// and cuts the connection.
struct Between {
    url: String,
    swallows: Arc<AtomicUsize>,
    changes: Arc<AtomicUsize>,
    meanwhile: Meanwhile,
}

/// What is done once, right before the next change is passed on.
type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

impl Between {
    fn new(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let between = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            swallows: Arc::default(),
            changes: Arc::default(),
            meanwhile: Arc::default(),
        };
        let server = server.to_owned();
        let meanwhile = Arc::clone(&between.meanwhile);
        let (swallows, changes) = (Arc::clone(&between.swallows), Arc::clone(&between.changes));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (server, swallows) = (server.clone(), Arc::clone(&swallows));
                let (changes, meanwhile) = (Arc::clone(&changes), Arc::clone(&meanwhile));
                std::thread::spawn(move || {
                    pass_on(client, &server, &swallows, &changes, &meanwhile);
                });
            }
        });
        between
    }

    /// Runs a command through it, of whose changes so many answers are lost.
    fn run(&self, place: &Place, losing: usize, args: &[&str]) -> Ran {
        self.swallows.store(losing, Ordering::SeqCst);
        let token = token_file(place);
        let way = [
            "--server",
            &self.url,
            "--token-file",
            token.to_str().unwrap(),
        ];
        let ran = place.run(&[&way, args].concat());
        ran.hide_typed(&self.url, "http://[ADDRESS]")
            .hide_typed(token.to_str().unwrap(), "access-token")
    }
}

/// A request or an answer, whole; nothing when the connection has ended.
fn message(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut length = 0;
    loop {
        let begin = message.len();
        if from.read_until(b'\n', &mut message).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&message[begin..]).to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    message.extend(body);
    Some(message)
}

fn pass_on(
    client: TcpStream,
    server: &str,
    swallows: &AtomicUsize,
    changes: &AtomicUsize,
    meanwhile: &Mutex<Option<Box<dyn FnOnce() + Send>>>,
) {
    let mut from_client = BufReader::new(client.try_clone().unwrap());
    let mut client = client;
    while let Some(request) = message(&mut from_client) {
        let is_change = !request.starts_with(b"GET ");
        if is_change && let Some(meanwhile) = meanwhile.lock().unwrap().take() {
            meanwhile();
        }
        let mut upstream = TcpStream::connect(server).unwrap();
        upstream.write_all(&request).unwrap();
        let Some(answer) = message(&mut BufReader::new(upstream)) else {
            return;
        };
        if is_change {
            changes.fetch_add(1, Ordering::SeqCst);
            let less = |left: usize| left.checked_sub(1);
            if swallows
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_ok()
            {
                return;
            }
        }
        client.write_all(&answer).unwrap();
    }
}

#[test]
fn a_change_whose_answer_is_lost_is_done_once() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let between = Between::new(serving.address());
    let calls = [
        between.run(&place, 1, &["worker", "create", "--name", "w", "--", "cat"]),
        between.run(&place, 2, &["worker", "send", "w", "once\n"]),
        between.run(&place, 1, &["run", "--name", "v", "--", "echo", "once"]),
        between.run(&place, 1, &["worker", "pause", "w"]),
        between.run(&place, 1, &["worker", "resume", "w"]),
        between.run(&place, 1, &["worker", "stop", "w"]),
        between.run(&place, 1, &["worker", "restore", "w"]),
        between.run(&place, 1, &["worker", "cancel", "w"]),
        between.run(&place, 1, &["worker", "archive", "w"]),
        between.run(&place, 1, &["worker", "rm", "w", "--yes"]),
    ];
    // Each was asked once more for each answer that was lost.
    assert_eq!(between.changes.load(Ordering::SeqCst), 10 + 11);
    let events = place.run(&["event", "ls", "--limit", "1000", "-o", "jsonl"]);
    let count = |kind: &str| {
        let kind = format!("\"{kind}\"");
        events
            .stdout
            .lines()
            .filter(|line| line.contains(&kind))
            .count()
    };
    // Those of the deleted Worker are told as one stretch.
    assert_eq!(
        (count("worker.created"), count("input.accepted")),
        (1, 1),
        "{events}"
    );
    let workers = place.run(&["worker", "ls", "--all", "-o", "name"]);
    assert_eq!(workers.stdout.lines().count(), 1, "{workers}");
    serving.end();
    snapshot(&place, "answer_lost", &calls);
}

#[test]
fn what_is_gone_by_an_attempt_whose_answer_was_lost_is_told_as_done() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let between = Between::new(serving.address());
    let mut receipts = Vec::new();
    for (name, losing) in [("kept", 0), ("lost", 1)] {
        let made = place.run(&["worker", "create", "--name", name]);
        assert_eq!(made.code, Some(0), "{made}");
        assert_eq!(place.run(&["worker", "cancel", name]).code, Some(0));
        let worker_id = place.worker_id(name);
        let rm = ["worker", "rm", name, "--yes", "-o", "json"];
        let ran = between.run(&place, losing, &rm);
        assert_eq!(ran.code, Some(0), "{ran}");
        let mut receipt = ran.json();
        assert_eq!(receipt["worker_id"], worker_id.as_str());
        let events = place.run(&["event", "ls", "--limit", "1000", "-o", "jsonl"]);
        let deletion = events
            .stdout
            .lines()
            .find(|line| line.contains("\"worker.deleted\"") && line.contains(worker_id.as_str()));
        let deletion: serde_json::Value = serde_json::from_str(deletion.unwrap()).unwrap();
        assert_eq!(receipt["position"], deletion["position"], "{ran}");
        for differs in ["worker_id", "position", "cursor"] {
            receipt[differs].take();
        }
        receipts.push(receipt);
    }
    assert_eq!(receipts[0], receipts[1]);
    let made = [
        "token", "create", "--name", "t", "--scope", "observe", "-o", "json",
    ];
    let token_id = place.run(&made).json()["token_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let revoked = between.run(&place, 1, &["token", "revoke", &token_id]);
    assert_eq!(revoked.code, Some(0), "{revoked}");
    let unknown = between.run(&place, 0, &["token", "revoke", &token_id]);
    assert_eq!(unknown.code, Some(1), "{unknown}");
    serving.end();
}

#[test]
fn an_input_without_an_id_is_taken_once_and_its_fate_is_told() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let between = Between::new(serving.address());
    let made = place.run(&["worker", "create", "--name", "w", "--", "cat"]);
    assert_eq!(made.code, Some(0), "{made}");
    let calls = [
        between.run(&place, usize::MAX, &["worker", "send", "w", "once\n"]),
        between.run(&place, usize::MAX, &["worker", "create", "--name", "v"]),
        between.run(
            &place,
            usize::MAX,
            &["token", "create", "--name", "t", "--scope", "observe"],
        ),
    ];
    let codes: Vec<_> = calls.iter().map(|ran| ran.code).collect();
    assert_eq!(codes, [Some(14); 3], "{}", calls[0]);
    let view = place.run(&["worker", "show", "w", "-o", "json"]).json();
    assert_eq!(view["input_count"], 1);
    let hinted = calls[0]
        .stderr
        .lines()
        .find_map(|line| line.split(" --id ").nth(1));
    let id = hinted.unwrap().to_owned();
    // What is told to be typed does nothing twice.
    let again = place.run(&["worker", "send", "w", "once\n", "--id", &id]);
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (Some(0), "once\n"),
        "{again}"
    );
    let view = place.run(&["worker", "show", "w", "-o", "json"]).json();
    assert_eq!(view["input_count"], 1);
    let tokens = place.run(&["token", "ls", "-o", "name"]);
    assert_eq!(
        tokens.stdout.lines().count(),
        2,
        "the local one and one more"
    );
    serving.end();
    snapshot(&place, "answer_never_comes", &calls);
}

/// An action takes one answer, so the second attempt of one whose own answer was lost is refused: it was
/// told as not taken, although it was.
#[test]
fn an_answer_that_was_taken_is_told_so_although_its_receipt_was_lost() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let between = Between::new(serving.address());
    fs::write(place.project().join("asks.sh"), ASKS).unwrap();
    let run = [
        "run", "--name", "w", "--mode", "lines", "--input", "go", "--", "sh", "asks.sh",
    ];
    let running = Running::start(&place, &run);
    until("it asks", || {
        let shown = place.run(&["worker", "show", "w", "-o", "json"]);
        shown.code == Some(0) && shown.json()["activity"]["phase"] == "requires_action"
    });
    let answer = ["worker", "answer", "w", "write", "deny", "-o", "json"];
    let ran = between.run(&place, 1, &answer);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(between.changes.load(Ordering::SeqCst), 2);
    let events = place.run(&["event", "ls", "w", "-o", "jsonl"]);
    let mut answered = events
        .stdout
        .lines()
        .filter(|line| line.contains("\"run.action_answered\""));
    let told: serde_json::Value = serde_json::from_str(answered.next().unwrap()).unwrap();
    assert_eq!(ran.json()["position"], told["position"]);
    assert_eq!(answered.next(), None);
    let (code, stdout, stderr) = running.wait();
    assert_eq!(
        (code, stdout.as_slice()),
        (Some(0), &["told to deny".to_owned()][..]),
        "{stderr}"
    );
    // Nothing waits for an answer now, and that is told as what it is.
    let late = between.run(&place, 1, &answer);
    assert_eq!(late.code, Some(1), "{late}");
    serving.end();
}

/// A release whose answer was lost was refused when it was repeated (`WR-SCOPE-NOT-HELD`), and a change or a
/// reclaim was made again, over what others were granted in between.
#[test]
fn what_is_held_is_changed_and_taken_once_although_answers_are_lost() {
    let place = Place::new();
    let serving = Serving::start(&place);
    let between = Between::new(serving.address());
    let make = |args: &[&str]| {
        let args = [&["worker", "create"][..], args, &["--", "cat"]].concat();
        let made = place.run(&args);
        assert_eq!(made.code, Some(0), "{made}");
    };
    make(&["--name", "top", "--delegate", "write:src"]);
    let top = place.worker_id("top");
    for name in ["a", "b"] {
        let scope = format!("write:src/{name}");
        make(&["--name", name, "--parent", &top, "--scope", &scope]);
    }
    make(&["--name", "w", "--scope", "write:lib"]);
    let by_force = ["--force", "--reason", "it is needed"];
    let calls: &[(&str, &[&str], &str)] = &[
        ("w", &["change", "w", "--scope", "write:docs"], "changed"),
        ("w", &["release", "w", "--reason", "done"], "released"),
        ("w", &["change", "w", "--scope", "write:docs"], "changed"),
        (
            "w",
            &[&["release", "w"][..], &by_force].concat(),
            "releasing",
        ),
        ("top", &["reclaim", "top"], "reclaimed"),
    ];
    for (name, call, kind) in calls {
        let told = || {
            let events = place.run(&["event", "ls", name, "--limit", "1000", "-o", "jsonl"]);
            let kind = format!("\"allocation.{kind}\"");
            let lines = events.stdout.lines().filter(|line| line.contains(&kind));
            let events = lines.map(|line| serde_json::from_str(line).unwrap());
            events.collect::<Vec<serde_json::Value>>()
        };
        let (before, asked) = (told().len(), between.changes.load(Ordering::SeqCst));
        let args = [&["lock"][..], call, &["-o", "json"]].concat();
        let ran = between.run(&place, 1, &args);
        assert_eq!(ran.code, Some(0), "{ran}");
        let told = told();
        assert_eq!(told.len(), before + 1, "{ran}");
        assert_eq!(between.changes.load(Ordering::SeqCst), asked + 1, "{ran}");
        let receipt = ran.json();
        assert_eq!(receipt["position"], told[before]["position"], "{ran}");
        let shown = place.run(&["worker", "show", name, "-o", "json"]).json();
        assert_eq!(receipt["fence"], shown["fence"], "{ran}");
        assert_eq!(receipt.get("waits_for"), None, "{ran}");
    }
    // What nobody holds by another's doing is told as what it is.
    let gone = between.run(&place, 0, &["lock", "release", "a"]);
    assert_eq!(gone.code, Some(1), "{gone}");
    serving.end();
}

/// What is not said stays as it is then: what another had granted since it was read was taken back.
#[test]
fn what_another_changed_meanwhile_is_kept() {
    let place = Arc::new(Place::new());
    let serving = Serving::start(&place);
    let between = Between::new(serving.address());
    let made = place.run(&["worker", "create", "--name", "w", "--scope", "write:lib"]);
    assert_eq!(made.code, Some(0), "{made}");
    let other = Arc::clone(&place);
    *between.meanwhile.lock().unwrap() = Some(Box::new(move || {
        let ran = other.run(&["lock", "change", "w", "--delegate", "write:gen"]);
        assert_eq!(ran.code, Some(0), "{ran}");
    }));
    let ran = between.run(&place, 0, &["lock", "change", "w", "--scope", "write:docs"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(between.changes.load(Ordering::SeqCst), 2, "{ran}");
    let held = place.run(&["lock", "show", "w", "-o", "json"]).json();
    assert_eq!(held["scope"]["allow"][0]["path"], "docs", "{held}");
    assert_eq!(held["delegation"]["allow"][0]["path"], "gen", "{held}");
    serving.end();
}
