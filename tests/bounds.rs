//! What is asked for and told is bounded at the door: refused by its field, and nothing is done (I9).

use serde_json::{Value, json};
use worker_runtime_core::{
    Code, EndOptions, EventDraft, EventType, WorkerId,
    error::{CreateError, SinkError},
    limits::Limits,
    record::{ProcessLife, ProcessRecord},
    run::StopReason,
    worker::{CreateWorker, Intent, MountRef},
};

use crate::support::{Host, action_id, assistant, input};

fn long(bytes: usize) -> String {
    "x".repeat(bytes + 1)
}

fn place(mount: &str, path: &str) -> MountRef {
    MountRef {
        mount: mount.into(),
        path: path.into(),
    }
}

#[tokio::test]
async fn each_field_of_a_creation_is_bounded_by_name() {
    let host = Host::open().await;
    let limits = Limits::default();
    let spec = |change: &dyn Fn(&mut CreateWorker)| {
        let mut request = assistant();
        change(&mut request);
        request
    };
    let cases = [
        (
            "purpose",
            spec(&|request| {
                request.spec.intent = Intent::Role {
                    role: "cook".into(),
                    purpose: Some(long(limits.intent_bytes_max)),
                };
            }),
        ),
        (
            "capabilities",
            spec(&|request| {
                request.spec.capabilities = vec!["one".into(); limits.capabilities_max + 1];
            }),
        ),
        (
            "capabilities",
            spec(&|request| request.spec.capabilities = vec![long(limits.text_bytes_max)]),
        ),
        (
            "mounts",
            spec(&|request| request.spec.mounts = vec![place("repo", ""); limits.mounts_max + 1]),
        ),
        (
            "peers",
            spec(&|request| {
                request.spec.peers = vec![WorkerId::from_bytes([1; 16]); limits.peers_max + 1];
            }),
        ),
    ];
    for (field, request) in cases {
        match host.runtime.catalog().create(request).await.unwrap_err() {
            CreateError::Field(error) => assert_eq!(error.field, field),
            other => panic!("{field}: {other}"),
        }
    }
    for mount in [place("elsewhere", ""), place("repo", "/etc")] {
        let request = spec(&|request| request.spec.mounts = vec![mount.clone()]);
        let error = host.runtime.catalog().create(request).await.unwrap_err();
        assert_eq!(error.code(), Code::ScopeInvalid, "{error}");
    }
    let fits = spec(&|request| {
        request.spec.mounts = vec![place("repo", "src")];
        request.spec.capabilities = vec!["read".into()];
    });
    host.create(fits).await;
    assert_eq!(host.observation().runtime().position.0, 2, "nothing else");
    host.end().await;
}

#[tokio::test]
async fn what_does_not_fit_into_an_event_is_refused_before_it_is_one() {
    let host = Host::limited(|limits| limits.event_bytes_max = 8 << 10).await;
    let request = CreateWorker::new(Intent::Task {
        objective: long(16 << 10),
    });
    match host.runtime.catalog().create(request).await.unwrap_err() {
        CreateError::Field(error) => assert_eq!(error.field, "request"),
        other => panic!("{other}"),
    }
    let worker_id = host.worker().await;
    let sent = worker_runtime_core::input::SubmitInput::text(long(8 << 10));
    let interaction = host.runtime.interaction();
    let error = interaction.send_input(worker_id, sent).await.unwrap_err();
    assert_eq!(error.code(), Code::InputTooLarge);
    let run = host.start(worker_id, "one").await;
    // Each of its bytes is six in JSON.
    let detail = Value::String("\u{1}".repeat(2 << 10));
    let asked = run
        .sink
        .request_action(action_id("a"), vec![], None, detail.clone());
    assert!(matches!(asked.await, Err(SinkError::Limit { .. })));
    let told = run.sink.status("mode", &detail).await;
    assert!(matches!(told, Err(SinkError::Limit { .. })));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn reasons_and_answers_are_bounded() {
    let host = Host::open().await;
    let limits = Limits::default();
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let reason = long(limits.reason_bytes_max);
    let catalog = host.runtime.catalog();
    let options = || EndOptions {
        reason: Some(reason.clone()),
        ..EndOptions::default()
    };
    let codes = [
        catalog.stop(worker_id, options()).await.unwrap_err().code(),
        catalog
            .cancel(worker_id, options())
            .await
            .unwrap_err()
            .code(),
    ];
    assert_eq!(codes, [Code::FieldInvalid; 2]);
    let management = host.runtime.management();
    let codes = [
        management
            .stop(Some(reason.clone()))
            .await
            .unwrap_err()
            .code(),
        management.drain(Some(reason)).await.unwrap_err().code(),
    ];
    assert_eq!(codes, [Code::FieldInvalid; 2]);
    assert!(!management.status().stopped);
    let asked = run
        .sink
        .request_action(action_id("a"), vec![], None, json!({}));
    asked.await.unwrap();
    let (run_id, interaction) = (run.request.run_id, host.runtime.interaction());
    let answer = |option: String| interaction.answer(worker_id, run_id, action_id("a"), option);
    let error = answer(long(limits.answer_bytes_max)).await.unwrap_err();
    assert_eq!(error.code(), Code::FieldInvalid);
    answer("whatever".into()).await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn what_a_backend_tells_at_once_is_bounded_in_number_and_bytes() {
    let host = Host::limited(|limits| {
        limits.batch_events_max = 8;
        limits.event_bytes_max = 32 << 10;
    })
    .await;
    let worker_id = host.worker().await;
    host.send(worker_id, input("one")).await;
    let run = host.script.run().await;
    let draft = |bytes: usize| {
        let data = json!({ "text": "x".repeat(bytes) });
        EventDraft::new(EventType::TOOL_UPDATE, None, &data).unwrap()
    };
    let before = host.observation().runtime().position;
    for drafts in [vec![draft(1); 9], vec![draft(20 << 10); 2]] {
        let told = run.sink.events(drafts).await;
        assert!(matches!(told, Err(SinkError::Limit { .. })), "{told:?}");
    }
    let process = |label: String, identity: Vec<u8>| ProcessRecord {
        life: ProcessLife::Run,
        label,
        identity,
    };
    let limits = Limits::default();
    for process in [
        process(long(limits.text_bytes_max), vec![1]),
        process("pid 1".into(), vec![1; limits.resume_bytes_max + 1]),
    ] {
        let told = run.sink.process_started(process).await;
        assert!(matches!(told, Err(SinkError::Limit { .. })), "{told:?}");
    }
    assert_eq!(host.observation().runtime().position, before);
    run.sink.events(vec![draft(1); 8]).await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}
