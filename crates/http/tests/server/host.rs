//! A server over a Runtime in memory, and the short ways to ask it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use worker_runtime_core::{
    Clock, Mounts, RunId, RunSink, Runtime, RuntimeOptions, SystemClock, SystemEntropy, Timestamp,
    backend::{
        BackendError, BackendFactory, Cancelled, ExecutionBackend, RunRequest, StartWorker,
        Submitted,
    },
    run::StopReason,
    store::BlockKind,
};
use worker_runtime_http::{
    server::{HttpLimits, Server, ServerOptions, Tokens},
    wire::{AccessScope, CreateToken, Problem},
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

/// What takes longer hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What is said before `drip` is.
const DROPS: [&str; 5] = ["dr", "o", "p é ", "by", " drop "];

/// Says what it was sent in capitals, `drip` in drops and `trickle` for longer, both until it is let go on; keeps
/// `wait` running, and asks about `ask`.
pub(crate) struct Shout(&'static str, Arc<Notify>);

#[async_trait]
impl BackendFactory for Shout {
    fn name(&self) -> &str {
        self.0
    }

    async fn start(&self, _start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        Ok(Box::new(Shout(self.0, self.1.clone())))
    }
}

#[async_trait]
impl ExecutionBackend for Shout {
    async fn submit(&self, run: RunRequest, sink: RunSink) -> Submitted {
        let go_on = self.1.clone();
        tokio::spawn(async move {
            let text = run.input.text();
            if text == "ask" {
                let action = "which".parse().unwrap();
                let options = vec!["left".to_owned(), "right".to_owned()];
                sink.request_action(action, options, None, json!({}))
                    .await
                    .unwrap();
            }
            if text == "ask" || text == "wait" {
                // A run whose sink is let go has ended.
                std::future::pending::<()>().await;
            }
            let block = sink.open_block(BlockKind::Text, None).unwrap();
            let times = match &*text {
                "drip" => 1,
                "trickle" => 10,
                _ => 0,
            };
            for _ in 0..times {
                for drop in DROPS {
                    sink.append(block, drop).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            sink.append(block, &text.to_uppercase()).await.unwrap();
            if times > 0 {
                go_on.notified().await;
            }
            let _ = sink.finish(StopReason::EndTurn, None).await;
        });
        Submitted::Accepted
    }

    async fn cancel(&self, _run_id: RunId) -> Result<Cancelled, BackendError> {
        Ok(Cancelled::Confirmed)
    }

    async fn stop(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

/// A clock that says the same moment for ever; what is slept by it is slept.
pub(crate) fn clock_that_stands() -> Arc<dyn Clock> {
    struct Stands(Timestamp);
    impl Clock for Stands {
        fn now(&self) -> Timestamp {
            self.0
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }
    Arc::new(Stands(SystemClock::default().now()))
}

/// A server that runs, with a token of each scope.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Runtime,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) observe: String,
    pub(crate) operate: String,
    pub(crate) admin: String,
    /// Lets what drips end.
    pub(crate) go_on: Arc<Notify>,
    end: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::with(HttpLimits::default()).await
    }

    pub(crate) async fn with(limits: HttpLimits) -> Self {
        Self::over(limits, StoreOptions::memory()).await
    }

    /// Over a store that keeps little.
    pub(crate) async fn small() -> Self {
        let mut store = StoreOptions::memory();
        store.retention.worker_bytes_max = 64 << 10;
        store.retention.runtime_bytes_max = 128 << 10;
        store.retention.log_bytes_max = 64 << 10;
        Self::over(HttpLimits::default(), store).await
    }

    /// Over a store that keeps less of each Worker than of them all.
    pub(crate) async fn small_workers() -> Self {
        let mut store = StoreOptions::memory();
        store.retention.worker_bytes_max = 64 << 10;
        Self::over(HttpLimits::default(), store).await
    }

    /// Whose server, and whose tokens, go by this clock.
    pub(crate) async fn by(clock: Arc<dyn Clock>) -> Self {
        Self::set_up(HttpLimits::default(), StoreOptions::memory(), clock).await
    }

    async fn over(limits: HttpLimits, store: StoreOptions) -> Self {
        Self::set_up(limits, store, Arc::new(SystemClock::default())).await
    }

    async fn set_up(limits: HttpLimits, store: StoreOptions, clock: Arc<dyn Clock>) -> Self {
        let mut mounts = Mounts::default();
        // Nothing is ever made there: scopes are compared as names.
        mounts.set("repo", "/nonexistent/repo").unwrap();
        let go_on = Arc::new(Notify::new());
        let runtime = RuntimeOptions {
            backends: vec![
                Arc::new(Shout("shout", go_on.clone())),
                Arc::new(Shout("exec", go_on.clone())),
            ],
            mounts,
            ..RuntimeOptions::default()
        };
        let store = MemoryStore::new(store).unwrap();
        let runtime = Runtime::open(Box::new(store), runtime).await.unwrap();
        let tokens = Arc::new(Tokens::in_memory(clock.clone()));
        let make = |scope| {
            let request = CreateToken {
                name: "a test".into(),
                scope,
                expires_in_seconds: None,
            };
            tokens.create(&request, &mut SystemEntropy).unwrap().token
        };
        let (observe, operate, admin) = (
            make(AccessScope::Observe),
            make(AccessScope::Operate),
            make(AccessScope::Admin),
        );
        let options = ServerOptions {
            limits,
            clock,
            ..ServerOptions::default()
        };
        let server = Server::bind(runtime.clone(), tokens.clone(), options)
            .await
            .unwrap();
        let address = server.address();
        let (end, ended) = oneshot::channel();
        let served = tokio::spawn(server.run(async {
            let _ = ended.await;
        }));
        Self {
            address,
            runtime,
            tokens,
            observe,
            operate,
            admin,
            go_on,
            end: Some(end),
            served: Some(served),
        }
    }

    /// Ends the server in order.
    pub(crate) async fn end(&mut self) {
        self.end.take().unwrap().send(()).unwrap();
        let served = self.served.take().unwrap();
        tokio::time::timeout(DEADLINE, served)
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        Ask {
            host: self,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
        .header(HOST.as_str(), &self.address.to_string())
    }

    /// A read with the token that may only read.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path)
            .token(&self.observe)
            .send()
            .await
    }

    /// A command with the token that may only operate.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask(Method::POST, path)
            .token(&self.operate)
            .json(&body)
            .send()
            .await
    }

    /// Returns once the server says that so many long-polls wait.
    pub(crate) async fn waiting_are(&self, count: usize) {
        let told = format!("\nworker_runtime_http_long_polls_waiting {count}\n");
        let deadline = Instant::now() + DEADLINE;
        while !self.get("/metrics").await.text().contains(&told) {
            assert!(Instant::now() < deadline, "{count} long-polls never wait");
            tokio::task::yield_now().await;
        }
    }

    /// A Worker that shouts.
    pub(crate) async fn worker(&self) -> String {
        let reply = self.post("/v1/workers", shouting()).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        reply.json()["worker_id"].as_str().unwrap().to_owned()
    }
}

/// A request for a Worker that shouts.
pub(crate) fn shouting() -> Value {
    json!({ "intent": { "type": "assistant" }, "backend": { "name": "shout" } })
}

/// An input of plain text.
pub(crate) fn text(id: &str, text: &str) -> Value {
    json!({ "input_id": id, "segments": [{ "type": "text", "text": text }] })
}

/// A request that is being put together.
pub(crate) struct Ask<'a> {
    host: &'a Host,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: hyper::header::HeaderName = name.parse().unwrap();
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
            .header(CONTENT_TYPE.as_str(), "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> Reply {
        let path = self.path.clone();
        let sent = tokio::time::timeout(DEADLINE, self.send_now()).await;
        sent.unwrap_or_else(|_| panic!("{path} hangs"))
    }

    async fn send_now(self) -> Reply {
        let stream = TcpStream::connect(self.host.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .body(Full::new(self.body))
            .unwrap();
        *request.headers_mut() = self.headers;
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        connection.abort();
        Reply {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }
}

/// What was answered.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// A refusal of this code, whole and fit for a client.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Problem = serde_json::from_slice(&self.bytes).unwrap();
        assert_eq!(problem.code.as_str(), code, "{}", self.text());
        assert_eq!(problem.status, status);
        assert_eq!(problem.page, format!("/errors/{code}"));
        assert_eq!(
            problem.request_id.as_deref(),
            Some(self.header("x-request-id"))
        );
        assert!(!problem.title.is_empty() && !problem.detail.is_empty());
        assert!(
            !self.text().contains("/nonexistent"),
            "an absolute path: {}",
            self.text()
        );
        problem
    }
}
