//! `lock`: who holds what, offline and online; what is changed, given back, and taken from what runs.

use std::fs;

use serde_json::Value;

use crate::{
    serving::Serving,
    support::{PROGRAM, Place, Ran, Running, snapshot, until},
};

fn done(place: &Place, args: &[&str]) -> Ran {
    let ran = place.run(args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran
}

fn create(place: &Place, name: &str, more: &[&str]) -> Ran {
    let args = [
        &["worker", "create", "--name", name][..],
        more,
        &["--", "cat"],
    ]
    .concat();
    place.run(&args)
}

fn held(place: &Place, name: &str) -> Value {
    done(place, &["lock", "show", name, "-o", "json"]).json()
}

/// Whether some process has this file as its mark.
fn lives(place: &Place, name: &str) -> bool {
    let text = fs::read_to_string(place.project().join(name)).unwrap();
    let pid: i32 = text.trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

#[test]
fn what_is_held_is_shown_changed_given_back_and_taken_back() {
    let place = Place::new();
    let made = create(
        &place,
        "top",
        &["--scope", "read:.", "--delegate", "write:src"],
    );
    assert_eq!(made.code, Some(0), "{made}");
    let top = place.worker_id("top");
    let made = create(&place, "low", &["--parent", &top, "--scope", "write:src/a"]);
    assert_eq!(made.code, Some(0), "{made}");
    let low = place.worker_id("low");
    let calls: &[&[&str]] = &[
        &["lock", "ls"],
        &["lock", "show", "top"],
        &["lock", "who", "src/a/new/x"],
        &["lock", "who", "src"],
        &["lock", "who", "docs"],
        &["lock", "who", "docs", "-o", "json"],
        &["lock", "conflicts", "--scope", "write:src/a/b"],
        &["lock", "conflicts", "--scope", "write:docs"],
        &[
            "lock",
            "conflicts",
            "--scope",
            "write:docs",
            "--parent",
            &top,
        ],
        &["lock", "change", "top", "--no-delegate"],
        &["lock", "change", "top", "--no-delegate", "--dry-run"],
        &[
            "lock",
            "change",
            "low",
            "--scope",
            "write:src/b",
            "--dry-run",
        ],
        &[
            "lock",
            "change",
            "low",
            "--scope",
            "write:src/a",
            "--dry-run",
        ],
        &[
            "lock",
            "change",
            "low",
            "--delegate",
            "write:src/a",
            "--dry-run",
            "-o",
            "json",
        ],
        &[
            "lock",
            "change",
            "low",
            "--scope",
            "write:src/a",
            "--scope",
            "write:src/b",
        ],
        &["lock", "change", "low", "--scope", "write:docs"],
        &["lock", "show", "low"],
        &["lock", "release", "low", "--dry-run"],
        &["lock", "reclaim", "top", "--dry-run"],
        &["lock", "reclaim", "top", "--reason", "it is needed"],
        &["lock", "show", "low"],
        &["lock", "release", "top", "--force"],
        &["lock", "release", "top"],
        &["lock", "ls"],
        &["event", "ls", &low, "-o", "jsonl"],
    ];
    let hide = |mut ran: Ran| {
        for (id, shown) in [(&top, "[TOP]"), (&low, "[LOW]")] {
            ran.stdout = ran.stdout.replace(id.as_str(), shown);
            ran.stderr = ran.stderr.replace(id.as_str(), shown);
            ran = ran.hide_typed(id, shown);
        }
        ran
    };
    let mut ran: Vec<Ran> = calls.iter().map(|args| hide(place.run(args))).collect();
    // Of the events, what they tell of the lock.
    let events = ran.pop().unwrap();
    assert!(events.stdout.contains("\"allocation.changed\""), "{events}");
    assert!(events.stdout.contains("it is needed"), "{events}");
    snapshot(&place, "locks", &ran);
}

/// Through a server it says what it says of a store that nobody runs, and neither changes anything.
#[test]
fn a_dry_run_of_a_change_is_the_same_offline_and_online() {
    let place = Place::new();
    let made = create(
        &place,
        "top",
        &["--scope", "read:.", "--delegate", "write:src"],
    );
    assert_eq!(made.code, Some(0), "{made}");
    let top = place.worker_id("top");
    let made = create(&place, "low", &["--parent", &top, "--scope", "write:src/a"]);
    assert_eq!(made.code, Some(0), "{made}");
    let calls: &[(&[&str], Option<i32>)] = &[
        (&["top", "--no-delegate"], Some(1)),
        (&["top", "--delegate", "write:src"], Some(0)),
        (&["top", "--delegate", "write:."], Some(23)),
        (&["low", "--scope", "write:src/b"], Some(23)),
        (&["low", "--scope", "write:docs"], Some(1)),
        (&["low", "--scope", "write:../up"], Some(2)),
        (&["nobody", "--scope", "write:docs"], Some(1)),
    ];
    let ask = || {
        let ran = calls.iter().map(|(args, code)| {
            let dry = [&["lock", "change", "--dry-run", "-o", "json"][..], args].concat();
            let ran = place.run(&dry);
            assert_eq!(ran.code, *code, "{ran}");
            let said = ran.stderr.lines();
            let said = said.filter(|line| !line.contains("asking the server"));
            (
                ran.stdout.clone(),
                said.map(str::to_owned).collect::<Vec<_>>(),
            )
        });
        ran.collect::<Vec<_>>()
    };
    let position = || place.run(&["status", "-o", "json"]).json()["position"].clone();
    let (before, offline) = (position(), ask());
    assert_eq!(position(), before);
    let server = Serving::start(&place);
    let (before, online) = (position(), ask());
    assert_eq!(position(), before);
    server.end();
    assert_eq!(offline, online);
}

/// What is not said stays, what a Worker may not touch before all.
#[test]
fn a_change_keeps_what_was_denied_until_it_is_said_otherwise() {
    let place = Place::new();
    let rules = ["--scope", "write:src", "--deny", "write:src/secret"];
    assert_eq!(create(&place, "w", &rules).code, Some(0));
    let denied = || {
        let shown = place.run(&["worker", "show", "w", "-o", "json"]).json();
        // It is left out when there is none.
        let denied = shown["scope"]["deny"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        denied
            .iter()
            .map(|rule| rule["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let change = |more: &[&str]| {
        let ran = place.run(&[&["lock", "change", "w"], more].concat());
        assert_eq!(ran.code, Some(0), "{ran}");
    };
    change(&["--scope", "write:src", "--scope", "write:docs"]);
    assert_eq!(denied(), ["src/secret"]);
    change(&["--scope", "write:src", "--deny", "write:src/other"]);
    assert_eq!(denied(), ["src/other"]);
    change(&["--scope", "write:src", "--no-deny"]);
    assert_eq!(denied(), Vec::<String>::new());
    let both = [
        "lock",
        "change",
        "w",
        "--scope",
        "write:src",
        "--deny",
        "write:x",
        "--no-deny",
    ];
    assert_eq!(place.run(&both).code, Some(2));
}

#[test]
fn a_path_means_the_same_place_however_it_is_typed() {
    let place = Place::new();
    fs::create_dir_all(place.project().join("src/deep")).unwrap();
    std::os::unix::fs::symlink("src", place.project().join("link")).unwrap();
    assert_eq!(create(&place, "w", &["--scope", "write:src"]).code, Some(0));
    let rules = &held(&place, "w")["scope"]["allow"];
    let mount = rules[0]["mount"].as_str().unwrap().to_owned();
    let whole = place.project().join("src/x").display().to_string();
    let server = Serving::start(&place);
    let typed = [
        "src/x",
        "./src/../src/x",
        "link/x",
        "src/deep/../x",
        &whole,
        &format!("{mount}:src/x"),
    ];
    let ask = || typed.map(|typed| done(&place, &["lock", "who", typed, "-o", "name"]).stdout);
    let online = ask();
    server.end();
    let id = place.worker_id("w");
    for answer in online.iter().chain(&ask()) {
        assert_eq!(answer.trim(), id);
    }
    // Somebody looks everywhere in the project; that is in nobody's way.
    for nobodys in ["lib", "srcs", "/", "nothing/of/it"] {
        let ran = place.run(&["lock", "who", nobodys]);
        let expected = if nobodys == "/" { Some(0) } else { Some(4) };
        assert_eq!(ran.code, expected, "{ran}");
    }
    let ran = place.run(&["lock", "who", "nowhere:x"]);
    assert_eq!(ran.code, Some(2), "{ran}");
}

/// Ignores what asks it to end, with a child in a session of its own, and says that it lives.
const STUBBORN: &str = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > child; \
    while :; do sleep 600 & wait; done' & echo $$ > self; while :; do sleep 600 & wait; done";

/// A Worker whose command runs at a server, with another input waiting.
fn busy(place: &Place) -> Running {
    let run = [
        "run",
        "--name",
        "w",
        "--scope",
        "write:.",
        "--term-grace",
        "1s",
        "--",
        "sh",
        "-c",
        STUBBORN,
    ];
    let running = Running::start(place, &run);
    let is_said = |name: &str| {
        let text = fs::read_to_string(place.project().join(name));
        text.is_ok_and(|text| text.ends_with('\n'))
    };
    until("the command runs", || is_said("self") && is_said("child"));
    running
}

#[test]
fn what_runs_keeps_its_scope_until_it_is_taken_by_force_and_all_of_it_is_dead() {
    let place = Place::new();
    let server = Serving::start(&place);
    let running = busy(&place);
    done_or_waits(&place);
    // Refused before it starts, and told who is in the way.
    let second = place.run(&[
        "run",
        "--name",
        "second",
        "--scope",
        "write:src",
        "--",
        "true",
    ]);
    assert_eq!(second.code, Some(1), "{second}");
    let id = place.worker_id("w");
    assert!(second.stderr.contains("WR-SCOPE-CONFLICT"), "{second}");
    assert!(second.stderr.contains(&id), "{second}");
    assert!(second.stderr.contains("lock who "), "{second}");
    let who = done(&place, &["lock", "who", "src", "-o", "name"]);
    assert_eq!(who.stdout.trim(), id);

    let view = held(&place, "w");
    let (run, fence) = (view["run_id"].as_str().unwrap(), view["fence"].to_string());
    let verify = |path: &str| {
        let mut command = place.command(&["lock", "verify", path]);
        command
            .env("WORKER_RUNTIME_WORKER_ID", &id)
            .env("WORKER_RUNTIME_FENCE", &fence);
        Ran::new(&["lock", "verify", path], &command.output().unwrap())
    };
    let good = verify("src/x");
    assert_eq!((good.code, good.stdout.as_str()), (Some(0), ""), "{good}");
    let outside = verify("/etc/passwd");
    assert_eq!(outside.code, Some(1), "{outside}");
    assert!(outside.stderr.contains("WR-SCOPE-DENIED"), "{outside}");

    let gently = place.run(&["lock", "release", "w"]);
    assert_eq!(gently.code, Some(1), "{gently}");
    assert!(gently.stderr.contains("WR-SCOPE-IN-USE"), "{gently}");
    assert!(gently.stderr.contains(run), "{gently}");
    let hint = format!("lock release {id} --force --reason ");
    assert!(gently.stderr.contains(&hint), "{gently}");
    assert!(lives(&place, "self"));
    let wordless = place.run(&["lock", "release", "w", "--force"]);
    assert_eq!(wordless.code, Some(2), "{wordless}");

    let forced = place.run(&[
        "lock",
        "release",
        "w",
        "--force",
        "--reason",
        "it is needed",
    ]);
    assert_eq!(forced.code, Some(0), "{forced}");
    let told = format!("is taken from it: its run {run} is cancelled");
    assert!(forced.stderr.contains(&told), "{forced}");
    assert!(!lives(&place, "self") && !lives(&place, "child"));
    let (code, _, stderr) = running.wait();
    assert_eq!(code, Some(130), "{stderr}");
    let stale = verify("src/x");
    assert_eq!(stale.code, Some(1), "{stale}");
    assert!(stale.stderr.contains("WR-FENCE-STALE"), "{stale}");
    let events = done(&place, &["event", "ls", "w", "-o", "jsonl"]).stdout;
    assert!(events.contains("\"allocation.releasing\""), "{events}");
    assert_eq!(events.matches("it is needed").count(), 2, "{events}");
    let view = done(&place, &["worker", "show", "w", "-o", "json"]).json();
    assert_eq!(
        (&view["paused"], &view["activity"]["queued"]),
        (&true.into(), &1.into())
    );
    let second = place.run(&[
        "run",
        "--name",
        "second",
        "--scope",
        "write:src",
        "--",
        "true",
    ]);
    assert_eq!(second.code, Some(0), "{second}");
    server.end();
}

/// Another input for the Worker, which waits.
fn done_or_waits(place: &Place) {
    let client = worker_runtime_core::input::SubmitInput::text("later");
    let later = worker_runtime_core::input::SubmitInput {
        mode: worker_runtime_core::input::InputMode::Queue,
        ..client
    };
    let worker_id = place.worker_id("w").parse().unwrap();
    let url = worker_runtime_persist::serving(&place.state())
        .unwrap()
        .address;
    let token = crate::serving::local_token(place);
    let options = worker_runtime_http::client::ClientOptions::new(url, Some(token));
    let client = worker_runtime_http::client::Client::new(&options).unwrap();
    crate::serving::block_on(client.send_input(worker_id, &later)).unwrap();
}

#[test]
fn a_command_asks_with_what_it_was_told_whether_it_may_still_write() {
    let place = Place::new();
    let server = Serving::start(&place);
    let state = place.state().display().to_string();
    let script = format!(
        "may() {{ '{PROGRAM}' --state '{state}' lock verify \"$@\" 2>/dev/null; echo \"$? $1\"; }}
        may src/new/x; may src:x; may lib/x; may lib/x --read; may /etc/passwd; may ../x"
    );
    let run = ["run", "--scope", "write:src", "--", "sh", "-c", &script];
    let told = done(&place, &run).stdout;
    // To look it may in all of the directory that it works in.
    let expected = "0 src/new/x\n2 src:x\n1 lib/x\n0 lib/x\n1 /etc/passwd\n1 ../x\n";
    assert_eq!(told, expected);
    server.end();
}

#[test]
fn a_server_that_dies_in_the_middle_leaves_nothing_half_taken() {
    let place = Place::new();
    let server = Serving::start(&place);
    let running = busy(&place);
    done_or_waits(&place);
    let taking = [
        "lock",
        "release",
        "w",
        "--force",
        "--reason",
        "it is needed",
    ];
    let taking = Running::start(&place, &taking);
    let releasing = || held(&place, "w")["releasing"].is_object();
    until("it is asked for", releasing);
    server.kill();
    let (code, _, stderr) = taking.wait();
    assert_eq!(code, Some(14), "{stderr}");
    assert!(stderr.contains("it was asked for"), "{stderr}");
    drop(running.wait());
    // Nobody runs it: it is as it was, and still asked for.
    assert!(releasing(), "it is forgotten");
    let free = create(&place, "second", &["--scope", "write:src"]);
    assert_eq!(free.code, Some(0), "{free}");
    assert!(!lives(&place, "self") && !lives(&place, "child"));
    let view = done(&place, &["worker", "show", "w", "-o", "json"]).json();
    assert_eq!(
        (&view["paused"], &view["activity"]["queued"]),
        (&true.into(), &1.into())
    );
    let again = place.run(&["lock", "release", "w"]);
    assert_eq!(again.code, Some(1), "{again}");
    assert!(again.stderr.contains("WR-SCOPE-NOT-HELD"), "{again}");
    // It finds the directory that it works in, and goes on without what it held.
    assert_eq!(place.run(&["lock", "who", "lib"]).code, Some(4));
    done(&place, &["worker", "resume", "w"]);
    let view = held(&place, "w");
    assert_eq!(
        view["scope"]["allow"].as_array().unwrap().len(),
        1,
        "{view}"
    );
    assert_eq!(view["scope"]["allow"][0]["permission"], "read");
}
