//! Creation: idempotent, whole or not at all (I3, I5, I6), and every refusal names what is wrong.

use serde_json::json;
use worker_runtime_core::record::Lifecycle;
use worker_runtime_core::{
    AsJson, Code, WorkerId,
    backend::{BackendError, BackendErrorKind, IncapableReason},
    error::CreateError,
    profile::{ProfileSelector, ProfileSource, ResolvedProfile},
    worker::{BackendSelection, BundleRef, CreateWorker, Intent, MountRef},
};

use crate::support::{Host, HostOptions, assistant, input, queued, scripted, write};

const ID: WorkerId = WorkerId::from_bytes([7; 16]);

fn with_profile(profile: ProfileSelector) -> CreateWorker {
    let mut request = assistant();
    request.spec.profile = profile;
    request
}

async fn refused(host: &Host, request: CreateWorker) -> CreateError {
    let workers = host.runtime.management().status().workers;
    let position = host.runtime.management().status().position;
    let tried = host.runtime.catalog().would_create(request.clone()).await;
    let error = host.runtime.catalog().create(request).await.unwrap_err();
    assert_eq!(tried, Err(error.clone()), "a dry run tells the same");
    assert_eq!(host.runtime.management().status().workers, workers);
    assert_eq!(
        host.runtime.management().status().position,
        position,
        "a refusal writes nothing"
    );
    error
}

#[tokio::test]
async fn a_dry_run_makes_and_holds_nothing_and_tells_what_was_made_before() {
    let host = Host::open().await;
    let catalog = host.runtime.catalog();
    let mut request = assistant();
    request.scope = write("src");
    request.worker_id = Some(ID);
    let before = host.runtime.management().status().position;
    for _ in 0..2 {
        assert_eq!(catalog.would_create(request.clone()).await, Ok(true));
    }
    assert_eq!(host.runtime.management().status().position, before);
    catalog.create(request.clone()).await.unwrap();
    let made = host.runtime.management().status().position;
    assert_eq!(catalog.would_create(request.clone()).await, Ok(false));
    request.display_name = Some("another".to_owned());
    let exists = catalog.would_create(request).await.unwrap_err();
    assert_eq!(exists.code(), Code::WorkerExists);
    let mut other = assistant();
    other.scope = write("src");
    let conflict = catalog.would_create(other).await.unwrap_err();
    assert_eq!(conflict.code(), Code::ScopeConflict);
    assert_eq!(host.runtime.management().status().position, made);
    host.end().await;
}

#[tokio::test]
async fn a_worker_is_made_of_each_builtin_profile_and_is_tools_less() {
    let host = Host::open().await;
    let builtin = host.runtime.management().profiles();
    assert_eq!(builtin.len(), 2);
    for profile in builtin {
        let name = profile.name.clone();
        let worker_id = host
            .create(with_profile(ProfileSelector::Builtin {
                name: name.clone(),
            }))
            .await;
        let view = host.view(worker_id);
        assert_eq!((view.profile, view.tools_less), (name, true));
        assert_eq!(view.lifecycle, Lifecycle::Active);
        assert_eq!(view.activity.phase, None);
    }
    let default = host.create(assistant()).await;
    assert_eq!(host.view(default).profile, "default");
    host.end().await;
}

#[tokio::test]
async fn a_profile_that_nobody_knows_fails_with_its_code_and_names_those_there_are() {
    let host = Host::open().await;
    for profile in [
        ProfileSelector::Builtin { name: "x".into() },
        ProfileSelector::Named { name: "x".into() },
    ] {
        let error = refused(&host, with_profile(profile)).await;
        assert_eq!(error.code(), Code::ProfileUnknown);
        assert!(error.to_string().contains("\"x\""), "{error}");
    }
    let error = refused(
        &host,
        with_profile(ProfileSelector::Builtin { name: "x".into() }),
    )
    .await;
    assert!(error.to_string().contains("companion"), "{error}");
    host.end().await;
}

#[tokio::test]
async fn a_configured_profile_is_kept_with_its_worker_when_it_is_gone() {
    let mut options = HostOptions::default();
    options.profiles.set(ResolvedProfile {
        source: ProfileSource::Named,
        name: "reviewer".into(),
        revision: 4,
        description: "reads changes".into(),
        instructions: "Read.".into(),
        tools: vec!["read_file".into()],
    });
    let host = Host::with(options).await;
    let name = "reviewer".to_owned();
    let worker_id = host
        .create(with_profile(ProfileSelector::Named { name }))
        .await;
    let view = host.view(worker_id);
    assert_eq!(
        (view.profile.as_str(), view.tools_less),
        ("reviewer", false)
    );
    host.end().await;
}

#[tokio::test]
async fn the_same_request_again_gives_the_first_receipt() {
    let host = Host::open().await;
    let request = CreateWorker {
        worker_id: Some(ID),
        display_name: Some("ada".into()),
        scope: write("src"),
        initial_input: Some(input("first")),
        ..scripted()
    };
    let first = host
        .runtime
        .catalog()
        .create(request.clone())
        .await
        .unwrap();
    assert!(!first.repeated);
    let run = host.script.run().await;
    for _ in 0..2 {
        let again = host
            .runtime
            .catalog()
            .create(request.clone())
            .await
            .unwrap();
        assert!(again.repeated);
        assert_eq!(again.worker_id, first.worker_id);
        assert_eq!(
            (again.cursor, again.position),
            (first.cursor, first.position)
        );
        assert_eq!(again.created_at, first.created_at);
        let (again, first) = (again.input.unwrap(), first.input.clone().unwrap());
        assert_eq!(
            (again.accepted, again.cursor),
            (first.accepted, first.cursor)
        );
    }
    drop(run);
    host.outcome(ID, "first").await;
    let again = host.runtime.catalog().create(request).await.unwrap();
    assert_eq!(again.position, first.position);
    host.end().await;
}

#[tokio::test]
async fn a_repeated_creation_gives_the_receipt_of_an_initial_input_without_an_id_too() {
    let host = Host::open().await;
    let mut initial = input("unused");
    initial.input_id = None;
    let request = CreateWorker {
        worker_id: Some(ID),
        initial_input: Some(initial),
        ..scripted()
    };
    let first = host
        .runtime
        .catalog()
        .create(request.clone())
        .await
        .unwrap();
    let again = host.runtime.catalog().create(request).await.unwrap();
    let (first, again) = (first.input.unwrap(), again.input.unwrap());
    assert_eq!(
        (first.input_id, first.accepted),
        (again.input_id, again.accepted)
    );
    host.end().await;
}

#[tokio::test]
async fn two_equal_creations_at_once_make_one_worker() {
    let host = Host::open().await;
    let request = CreateWorker {
        worker_id: Some(ID),
        ..assistant()
    };
    let catalog = host.runtime.catalog();
    let (a, b) = tokio::join!(catalog.create(request.clone()), catalog.create(request));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.position, b.position);
    assert_ne!(a.repeated, b.repeated);
    host.end().await;
}

#[tokio::test]
async fn another_request_under_the_same_id_is_refused() {
    let host = Host::open().await;
    host.create(CreateWorker {
        worker_id: Some(ID),
        ..assistant()
    })
    .await;
    let other = CreateWorker {
        worker_id: Some(ID),
        display_name: Some("another".into()),
        ..assistant()
    };
    assert_eq!(refused(&host, other).await, CreateError::Exists(ID));
    host.end().await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_by_its_code() {
    let host = Host::open().await;
    let cases: Vec<(Code, CreateWorker)> = vec![
        (
            Code::ObjectiveEmpty,
            CreateWorker::new(Intent::Task {
                objective: " ".into(),
            }),
        ),
        (
            Code::ObjectiveEmpty,
            CreateWorker::new(Intent::Role {
                role: String::new(),
                purpose: None,
            }),
        ),
        (Code::BackendUnknown, {
            let name = "nobody".to_owned();
            let config = AsJson(json!({}));
            CreateWorker {
                backend: Some(BackendSelection { name, config }),
                ..assistant()
            }
        }),
        (Code::ParentUnknown, {
            let mut request = assistant();
            request.spec.parent = Some(ID);
            request
        }),
        (Code::BundleUnknown, {
            let mut request = assistant();
            let (id, digest) = ("b".into(), "d".into());
            request.spec.bundle = Some(BundleRef { id, digest });
            request
        }),
        (Code::ScopeInvalid, {
            let mut request = assistant();
            let (mount, path) = ("elsewhere".into(), String::new());
            request.spec.workspace = Some(MountRef { mount, path });
            request
        }),
        (
            Code::ScopeInvalid,
            CreateWorker {
                scope: write("../outside"),
                ..assistant()
            },
        ),
        (
            Code::FieldInvalid,
            CreateWorker {
                display_name: Some("a\nb".into()),
                ..assistant()
            },
        ),
        (Code::FieldInvalid, {
            let label = ("x".repeat(300), "1".to_owned());
            CreateWorker {
                labels: [label].into(),
                ..assistant()
            }
        }),
        (
            Code::InputIncapable,
            CreateWorker {
                initial_input: Some(input("a")),
                ..assistant()
            },
        ),
    ];
    for (code, request) in cases {
        let error = refused(&host, request).await;
        assert_eq!(error.code(), code, "{error}");
    }
    host.end().await;
}

#[tokio::test]
async fn a_configuration_that_the_backend_refuses_is_refused_with_its_words() {
    let host = Host::open().await;
    let error = BackendError::new(BackendErrorKind::Config, "command is empty");
    host.script.plan(|plan| plan.resolve = Err(error));
    let error = refused(&host, scripted()).await;
    assert_eq!(error.code(), Code::BackendConfig);
    assert!(error.to_string().contains("command is empty"), "{error}");
    host.end().await;
}

#[tokio::test]
async fn a_scope_conflict_names_every_owner_deepest_first() {
    let host = Host::open().await;
    let named = |name: &str, path: &str| CreateWorker {
        display_name: Some(name.to_owned()),
        scope: write(path),
        ..assistant()
    };
    let shallow = host.create(named("ada", "src")).await;
    let deep = host.create(named("bob", "docs/guide")).await;
    let CreateError::ScopeRefused(refusal) = refused(&host, named("eve", "")).await else {
        panic!("not a conflict");
    };
    let owners = refusal.owners();
    let held: Vec<_> = owners
        .iter()
        .map(|owner| (owner.holder.worker_id().unwrap(), owner.holds.path.as_str()))
        .collect();
    assert_eq!(held, [(deep, "docs/guide"), (shallow, "src")]);
    assert_eq!(owners[0].display_name.as_deref(), Some("bob"));
    let free = host.create(named("eve", "tests")).await;
    assert_eq!(host.view(free).scope, write("tests"));
    host.end().await;
}

#[tokio::test]
async fn worker_scope_and_initial_input_are_told_together_and_the_input_runs() {
    let host = Host::open().await;
    let request = CreateWorker {
        scope: write("src"),
        initial_input: Some(input("first")),
        ..scripted()
    };
    let held = host.faults.commits();
    let receipt = host.runtime.catalog().create(request).await.unwrap();
    assert_eq!(host.faults.commits(), held + 1, "one transaction");
    let types = host.types(receipt.worker_id);
    assert_eq!(
        types,
        [
            "worker.created",
            "allocation.granted",
            "input.accepted",
            "run.started"
        ]
    );
    let run = host.script.run().await;
    assert_eq!(run.request.input.text(), "do first");
    assert_eq!(run.request.fence, host.view(receipt.worker_id).fence);
    host.end().await;
}

#[tokio::test]
async fn an_initial_input_that_cannot_run_makes_no_worker() {
    let host = Host::open().await;
    let reason = IncapableReason::SecretMissing { name: "KEY".into() };
    host.script.plan(|plan| plan.capable = Err(reason.clone()));
    let request = CreateWorker {
        worker_id: Some(ID),
        initial_input: Some(input("first")),
        ..scripted()
    };
    let error = refused(&host, request.clone()).await;
    let CreateError::Incapable { reason: told } = error else {
        panic!("{error}");
    };
    assert_eq!(told, reason);
    host.script.plan(|plan| plan.capable = Ok(()));
    host.create(request).await;
    host.end().await;
}

#[tokio::test]
async fn there_are_no_more_workers_than_the_limit() {
    let host = Host::limited(|limits| limits.workers_max = 2).await;
    host.create(assistant()).await;
    host.create(assistant()).await;
    let error = refused(&host, assistant()).await;
    assert_eq!(error, CreateError::Limit { workers_max: 2 });
    host.end().await;
}

#[tokio::test]
async fn creations_are_refused_when_their_initial_input_is_and_an_input_can_wait_at_once() {
    let host = Host::open().await;
    let request = CreateWorker {
        initial_input: Some(queued("first")),
        ..scripted()
    };
    host.runtime.management().stop(None).await.unwrap();
    let error = refused(&host, request.clone()).await;
    assert_eq!(error.code(), Code::RuntimeStopped);
    host.runtime.management().start().await.unwrap();
    let worker_id = host.create(request).await;
    host.script.run().await;
    host.outcome(worker_id, "first").await;
    host.end().await;
}
