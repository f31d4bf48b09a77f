use std::sync::Arc;

use worker_runtime_core::{
    InputId, Permission, Scope, ScopeRule,
    worker::{BackendSelection, Intent},
};

use super::*;
use crate::{
    audit::world::Held,
    workload::{Done, limits::MOUNT},
};

const WORKER: WorkerId = WorkerId::from_bytes([7; 16]);
const OTHER: WorkerId = WorkerId::from_bytes([8; 16]);

fn life() -> Life {
    Life {
        created_at: worker_runtime_core::Timestamp::from_unix_ms(0),
        display_name: None,
        labels: Default::default(),
        backend: Some(BACKEND.to_owned()),
        lifecycle: Lifecycle::Active,
        ending: None,
        releasing: false,
        epoch: 1,
        paused: false,
        archived: false,
        accepted: Default::default(),
        ended: Default::default(),
        queue: Default::default(),
        run: None,
        last_run: None,
        usage: Default::default(),
        status: Default::default(),
        held: None,
        generation: 0,
        seq: 1,
        items: 0,
        is_unseen: false,
    }
}

fn world(change: impl FnOnce(&mut Life)) -> World {
    let mut life = life();
    change(&mut life);
    let mut world = World::default();
    world.workers.insert(WORKER, Arc::new(life));
    world
}

fn send(mode: InputMode) -> Asked {
    let mut input = SubmitInput::text("hello").with_id(InputId::new("input-1").unwrap());
    input.mode = mode;
    Asked::Send(WORKER, input)
}

fn create(paths: &[&str]) -> CreateWorker {
    let mut request = CreateWorker::new(Intent::Assistant { purpose: None });
    request.worker_id = Some(OTHER);
    let rules = paths.iter().map(|path| ScopeRule {
        mount: MOUNT.to_owned(),
        path: (*path).to_owned(),
        permission: Permission::Write,
        recursive: true,
    });
    request.scope = Scope {
        allow: rules.collect(),
        deny: Vec::new(),
    };
    request
}

fn takes(asked: &Asked, world: &World, answer: &Answer) -> bool {
    Fitting::of(asked, world).unwrap().takes(answer)
}

fn done() -> Answer {
    Answer::Done(Done::default())
}

#[test]
fn a_worker_that_is_free_takes_an_input_and_refuses_none() {
    let (free, send) = (world(|_| {}), send(InputMode::Reject));
    assert!(takes(&send, &free, &done()));
    for code in Code::ALL {
        assert!(!takes(&send, &free, &Answer::Refused(*code)), "{code}");
    }
}

#[test]
fn an_outcome_that_nobody_knows_never_fits() {
    let free = world(|_| {});
    let ended = world(|life| life.lifecycle = Lifecycle::Stopped);
    for world in [&free, &ended, &World::default()] {
        assert!(!takes(&send(InputMode::Queue), world, &Answer::Unknown));
    }
}

#[test]
fn what_stands_in_the_way_of_an_input_is_the_only_cause_to_refuse_it() {
    let mut stopped = world(|_| {});
    stopped.stopped = true;
    let worlds = [
        (World::default(), Code::WorkerUnknown),
        (stopped, Code::RuntimeStopped),
        (
            world(|life| life.lifecycle = Lifecycle::Deleted),
            Code::WorkerDeleted,
        ),
        (
            world(|life| life.lifecycle = Lifecycle::Cancelled),
            Code::WorkerNotActive,
        ),
        (world(|life| life.backend = None), Code::InputIncapable),
        (
            world(|life| {
                life.queue.push_back("input-0".to_owned());
                life.paused = true;
            }),
            Code::InputBusy,
        ),
    ];
    for (world, wanted) in &worlds {
        let send = send(InputMode::Reject);
        for code in Code::ALL {
            let is_taken = takes(&send, world, &Answer::Refused(*code));
            assert_eq!(is_taken, code == wanted, "{code} where {wanted} fits");
        }
        assert!(!takes(&send, world, &done()), "done where {wanted} fits");
    }
}

#[test]
fn a_worker_may_have_got_to_what_waited() {
    let waiting = world(|life| {
        let waiting = (0..limits().inputs_unfinished_max).map(|number| number.to_string());
        life.queue.extend(waiting);
    });
    for (mode, code) in [
        (InputMode::Reject, Code::InputBusy),
        (InputMode::Queue, Code::InputQueueFull),
    ] {
        assert!(takes(&send(mode), &waiting, &done()));
        assert!(takes(&send(mode), &waiting, &Answer::Refused(code)));
    }
}

#[test]
fn a_creation_is_refused_where_another_one_holds_its_scope_and_only_there() {
    let holding = world(|life| {
        life.held = Some(Held {
            fence: 1,
            allow: create(&["a"]).scope.allow,
            deny: Vec::new(),
            lends: Vec::new(),
            parent: None,
        });
    });
    let conflict = Answer::Refused(Code::ScopeConflict);
    for (path, is_taken) in [("a/b", true), ("d", false)] {
        let asked = Asked::Create(OTHER, Box::new(create(&[path])));
        assert_eq!(takes(&asked, &holding, &conflict), is_taken, "{path}");
        assert_eq!(takes(&asked, &holding, &done()), !is_taken, "{path}");
    }
}

#[test]
fn a_creation_with_a_backend_that_is_not_there_is_refused_each_time() {
    let mut request = create(&[]);
    request.backend = Some(BackendSelection {
        name: "missing".to_owned(),
        config: worker_runtime_core::AsJson(serde_json::json!({})),
    });
    let asked = Asked::Create(OTHER, Box::new(request));
    assert!(!takes(&asked, &World::default(), &done()));
    let unknown = Answer::Refused(Code::BackendUnknown);
    assert!(takes(&asked, &World::default(), &unknown));
}

#[test]
fn of_what_nobody_saw_nothing_is_said() {
    let mut world = world(|life| life.is_unseen = true);
    world.unseen = 1;
    assert!(Fitting::of(&send(InputMode::Queue), &world).is_none());
    let asked = Asked::Create(OTHER, Box::new(create(&[])));
    assert!(Fitting::of(&asked, &world).is_none());
}
