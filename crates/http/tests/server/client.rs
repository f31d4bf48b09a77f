//! The typed client: every call once, and what it says when something is wrong.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use worker_runtime_core::{
    ActionId, Code, InputId, ListOrder, Stream, TranscriptFrom, WorkerFilter,
    cursor::From as Start,
    input::SubmitInput,
    record::Lifecycle,
    worker::{BackendSelection, CreateWorker, Intent, UpdateWorker},
};
use worker_runtime_http::{
    client::{Client, ClientError, ClientOptions, StillServes},
    wire::{AccessScope, CreateToken, EndWorker},
};

use crate::host::Host;

fn client(host: &Host) -> Client {
    let url = format!("http://{}/", host.address);
    Client::new(&ClientOptions::new(url, Some(host.admin.clone()))).unwrap()
}

fn shouting() -> CreateWorker {
    let backend = BackendSelection {
        name: "shout".into(),
        config: Default::default(),
    };
    CreateWorker {
        backend: Some(backend),
        display_name: Some("a b&c=d/é".into()),
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_gives_what_the_host_has() {
    let host = Host::start().await;
    let client = client(&host);
    let observation = host.runtime.observation();
    let version = client.version().await.unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let worker_id = client.create_worker(&shouting()).await.unwrap().worker_id;
    let input = SubmitInput::text("ask").with_id(InputId::new("one").unwrap());
    let receipt = client.send_input(worker_id, &input).await.unwrap();
    assert!(client.send_input(worker_id, &input).await.unwrap().repeated);
    let mut start = Start::After(receipt.cursor);
    let asked = loop {
        let page = client
            .events(
                Stream::Worker(worker_id),
                start,
                10,
                Duration::from_secs(10),
            )
            .await
            .unwrap();
        if let Some(asked) = page
            .events
            .iter()
            .find(|event| event.event.kind.as_str() == "run.requires_action")
        {
            break asked.clone();
        }
        start = Start::After(page.next);
    };
    let run_id = asked.event.run_id.unwrap();
    assert_eq!(client.runtime().await.unwrap(), observation.runtime());
    assert_eq!(
        client.worker(worker_id).await.unwrap(),
        observation.worker(worker_id).unwrap()
    );
    let filter = WorkerFilter {
        lifecycles: vec!["active".into()],
        name_contains: Some("b&c=d/é".into()),
        busy: Some(true),
        ..WorkerFilter::default()
    };
    let list = client
        .workers(&filter, ListOrder::Name, 0, 10)
        .await
        .unwrap();
    assert_eq!(
        list.workers,
        observation.workers(&filter, ListOrder::Name, 0, 10).workers
    );
    assert_eq!(list.total, 1);
    let transcript = client
        .transcript(worker_id, TranscriptFrom::Item(0), 10)
        .await
        .unwrap();
    assert_eq!(
        transcript,
        observation
            .transcript(worker_id, TranscriptFrom::Item(0), 10)
            .unwrap()
    );
    assert_eq!(
        client.diagnostics().await.unwrap(),
        observation.diagnostics()
    );
    assert_eq!(
        client.profiles().await.unwrap(),
        host.runtime.management().profiles()
    );
    assert_eq!(client.backends().await.unwrap().len(), 2);
    assert!(client.health().await.unwrap().ready);
    client
        .answer(worker_id, run_id, &ActionId::new("which").unwrap(), "left")
        .await
        .unwrap();
    client.cancel_run(worker_id, run_id).await.unwrap();
    let update = UpdateWorker {
        display_name: Some("ada".into()),
        ..UpdateWorker::default()
    };
    client.update_worker(worker_id, &update).await.unwrap();
    client.pause_worker(worker_id).await.unwrap();
    client.resume_worker(worker_id).await.unwrap();
    let end = EndWorker {
        reason: Some("enough".into()),
        assume_dead: false,
    };
    client.stop_worker(worker_id, &end).await.unwrap();
    while client.worker(worker_id).await.unwrap().lifecycle != Lifecycle::Stopped {
        tokio::task::yield_now().await;
    }
    client.archive_worker(worker_id).await.unwrap();
    client.restore_worker(worker_id).await.unwrap();
    client
        .cancel_worker(worker_id, &EndWorker::default())
        .await
        .unwrap();
    while client.worker(worker_id).await.unwrap().lifecycle != Lifecycle::Cancelled {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        client
            .delete_worker(worker_id, true)
            .await
            .unwrap()
            .lifecycle,
        Lifecycle::Deleted
    );
    client.stop_runtime(Some("night".into())).await.unwrap();
    client.start_runtime().await.unwrap();
    client.drain_runtime(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_and_ended() {
    let host = Host::start().await;
    let client = client(&host);
    let request = CreateToken {
        name: "reader".into(),
        scope: AccessScope::Observe,
        expires_in_seconds: Some(60),
    };
    let made = client.create_token(&request).await.unwrap();
    assert!(client.tokens().await.unwrap().contains(&made.view));
    let url = format!("http://{}", host.address);
    let reader = Client::new(&ClientOptions::new(url, Some(made.token))).unwrap();
    assert!(reader.runtime().await.is_ok());
    let refused = reader.create_worker(&shouting()).await.unwrap_err();
    assert_eq!(refused.code(), Code::TokenScope);
    client.revoke_token(&made.view.token_id).await.unwrap();
    assert_eq!(
        reader.runtime().await.unwrap_err().code(),
        Code::TokenInvalid
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_apart() {
    for (url, code) in [
        ("", Code::Usage),
        ("localhost:1", Code::Usage),
        ("https://localhost", Code::Usage),
        ("ftp://localhost", Code::Usage),
        ("http://user:pass@localhost", Code::Usage),
        ("http://localhost?x=1", Code::Usage),
    ] {
        let made = Client::new(&ClientOptions::new(url, None));
        assert_eq!(made.err().map(|error| error.code()), Some(code), "{url}");
    }
    let made = Client::new(&ClientOptions::new("http://localhost", Some("a\nb".into())));
    assert_eq!(made.err(), Some(ClientError::Token));
    // Nobody listens there: a port that was ours a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let nobody = Client::new(&ClientOptions::new(&url, None)).unwrap();
    let error = nobody.runtime().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { sent: false, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(&url), "{error}");
    // Somebody listens who is not who is meant: nothing is sent, the token least of all.
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", stranger.local_addr().unwrap());
    let wary = ClientOptions {
        still_serves: Some(StillServes::new(|| false)),
        ..ClientOptions::new(url, Some("secret".to_owned()))
    };
    let error = Client::new(&wary).unwrap().runtime().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { sent: false, .. }),
        "{error:?}"
    );
    let (mut visit, _) = stranger.accept().await.unwrap();
    let mut heard = Vec::new();
    visit.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"");
    // Somebody listens and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = ClientOptions {
        answer_max: Duration::from_millis(200),
        ..ClientOptions::new(url, None)
    };
    let error = Client::new(&silent).unwrap().runtime().await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    assert!(error.is_transient() && error.is_unknown());
}
