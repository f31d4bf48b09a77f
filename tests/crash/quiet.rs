//! A command that ignores TERM, with a child in a session of its own that does the same and keeps
//! the output open, is gone when the Runtime says that it is quiet: after a cancel, a stop, a close,
//! and a kill of the host. Until then its scope is nobody else's (I6).

use worker_runtime_core::{
    Dispatch, InputId, Mounts, Permission, Runtime, RuntimeOptions, Scope, ScopeRule, WorkerId,
    error::CreateError,
    input::SubmitInput,
    worker::{CreateWorker, Intent},
};
use worker_runtime_persist::{FileOptions, FileStore};

use super::{
    order::{MOUNT, Request},
    place::{HostProcess, Place, shell, wait_until},
    processes::{kill_tagged, nothing_left, stop_monitors, tagged},
};

const STUBBORN: &str = r#"
    trap '' TERM
    read -r id
    setsid sh -c 'trap "" TERM; echo $$ > "$SIDE/grandchild"; sleep 1000; :' &
    echo began
    echo $$ > "$SIDE/child"
    sleep 1000
    :
"#;
/// Long enough for other calls to come in between.
const SOON_MS: u64 = 2_000;
/// Not within the time of a test.
const NEVER_MS: u64 = 600_000;

fn scope(path: &str) -> Scope {
    Scope {
        allow: vec![ScopeRule {
            mount: MOUNT.to_owned(),
            path: path.to_owned(),
            permission: Permission::Write,
            recursive: true,
        }],
        deny: Vec::new(),
    }
}

/// Asks for a part of what the stubborn Worker holds.
fn rival() -> CreateWorker {
    CreateWorker {
        scope: scope("source/part"),
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    }
}

fn input(id: &str) -> SubmitInput {
    SubmitInput::text(id).with_id(InputId::new(id).unwrap())
}

/// A Worker whose command runs, with its child.
fn stubborn(place: &Place, host: &mut HostProcess, term_grace_ms: u64) -> WorkerId {
    let worker_id = host.create(CreateWorker {
        scope: scope("source"),
        ..shell(STUBBORN, term_grace_ms)
    });
    host.send(worker_id, input("one"));
    both_live(place);
    worker_id
}

/// Waits until command and child say that they live.
fn both_live(place: &Place) {
    for name in ["child", "grandchild"] {
        place.until_noted(name);
        wait_until("a process id", || pid_of(place, name).is_some());
        assert!(lives(place, name), "{name}");
    }
}

fn pid_of(place: &Place, name: &str) -> Option<i32> {
    let text = std::fs::read_to_string(place.side().join(name)).ok()?;
    text.trim().parse().ok()
}

fn lives(place: &Place, name: &str) -> bool {
    let pid = pid_of(place, name).unwrap();
    tagged(&place.tag).iter().any(|process| process.pid == pid)
}

/// A rival is refused, and told who is in its way.
fn rival_is_refused(host: &mut HostProcess, owner: WorkerId) {
    let (code, message) = host.refused(&Request::Create(Box::new(rival())));
    assert_eq!(code, "WR-SCOPE-CONFLICT");
    assert!(message.contains(&owner.to_string()), "{message}");
}

fn rival_is_taken(host: &mut HostProcess) {
    host.create(rival());
}

#[test]
fn when_a_cancelled_run_has_its_outcome_nothing_of_it_is_left() {
    let place = Place::new();
    let mut host = place.serve();
    let worker_id = stubborn(&place, &mut host, 200);
    host.done(&Request::CancelRun(worker_id));
    let finished = host.until(worker_id, "run.finished", Some("one"));
    nothing_left(&place.tag);
    assert_eq!(finished["outcome"]["kind"], "cancelled");
    // The Worker lives on, with its scope, and takes the next input.
    rival_is_refused(&mut host, worker_id);
    host.send(worker_id, input("two"));
    host.done(&Request::CancelRun(worker_id));
    host.until(worker_id, "run.finished", Some("two"));
    nothing_left(&place.tag);
}

#[test]
fn a_stopped_worker_keeps_its_scope_until_nothing_of_it_is_left() {
    let place = Place::new();
    let mut host = place.serve();
    let worker_id = stubborn(&place, &mut host, SOON_MS);
    host.done(&Request::Stop(worker_id));
    rival_is_refused(&mut host, worker_id);
    assert!(lives(&place, "child") && lives(&place, "grandchild"));
    host.until(worker_id, "worker.stopped", None);
    nothing_left(&place.tag);
    rival_is_taken(&mut host);
}

#[test]
fn a_host_that_is_asked_to_end_leaves_nothing() {
    let place = Place::new();
    let mut host = place.serve();
    let worker_id = stubborn(&place, &mut host, 200);
    assert!(host.terminate().success());
    nothing_left(&place.tag);
    let mut host = place.serve();
    let finished = host.until(worker_id, "run.finished", Some("one"));
    assert_eq!(finished["outcome"]["kind"], "interrupted");
    // It was not stopped, so it still holds what it was given.
    rival_is_refused(&mut host, worker_id);
    host.done(&Request::Stop(worker_id));
    host.until(worker_id, "worker.stopped", None);
    rival_is_taken(&mut host);
}

#[test]
fn after_a_kill_of_the_host_the_next_opening_finds_nothing_left() {
    let place = Place::new();
    let mut host = place.serve();
    let worker_id = stubborn(&place, &mut host, NEVER_MS);
    host.done(&Request::Stop(worker_id));
    rival_is_refused(&mut host, worker_id);
    host.kill();
    // `serve` looks for what is left the moment that the host is open.
    let mut host = place.serve();
    host.until(worker_id, "worker.stopped", None);
    rival_is_taken(&mut host);
}

#[test]
fn what_outlives_host_and_monitor_keeps_its_scope_until_it_is_shown_to_be_dead() {
    let place = Place::new();
    let mut host = place.serve();
    let worker_id = stubborn(&place, &mut host, NEVER_MS);
    host.done(&Request::Stop(worker_id));
    rival_is_refused(&mut host, worker_id);
    stop_monitors(&place.tag);
    host.kill();
    kill_tagged(&place.tag, |process| process.is_shim);
    // The command dies with its monitor; the child in a session of its own does not.
    wait_until("the command to die", || !lives(&place, "child"));
    assert!(lives(&place, "grandchild"));

    // A Runtime that can't look after them neither ends them nor gives their scope away.
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let store = FileStore::open(&place.state(), FileOptions::default()).unwrap();
        let mut mounts = Mounts::default();
        mounts.set(MOUNT, place.side()).unwrap();
        let options = RuntimeOptions {
            mounts,
            dispatch: Dispatch::None,
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::open(Box::new(store), options).await.unwrap();
        let refused = runtime.catalog().create(rival()).await.unwrap_err();
        let CreateError::ScopeRefused(refusal) = &refused else {
            panic!("{refused}");
        };
        assert_eq!(refusal.owners()[0].holder, worker_id.into());
        let diagnostics = runtime.management().diagnostics();
        let unproven = diagnostics.iter();
        let mut unproven = unproven.filter(|told| told.code.as_str() == "WR-RUN-UNPROVEN");
        assert_eq!(unproven.next().unwrap().worker_id, Some(worker_id));
        runtime.close().await.unwrap();
    });
    assert!(lives(&place, "grandchild"));

    let mut host = place.serve();
    host.until(worker_id, "worker.stopped", None);
    rival_is_taken(&mut host);
}
