//! One request and its answer.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    http::response::Parts,
};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::{Serialize, de::DeserializeOwned};
use worker_runtime_core::patience::within;

use super::{
    ClientError,
    connect::{Connector, StillServes},
};
use crate::wire::Problem;

/// Larger than any page.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How a client calls.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Where the server is, as `http://127.0.0.1:7621`.
    pub url: String,
    /// The access token.
    pub token: Option<String>,
    /// How long a connection may take.
    pub connect_max: Duration,
    /// How long an answer may take, beside the time that a long-poll asks for.
    pub answer_max: Duration,
    /// Asked before anything is sent over a new connection, where somebody can tell.
    pub still_serves: Option<StillServes>,
}

impl ClientOptions {
    /// To this address, with this token.
    pub fn new(url: impl Into<String>, token: Option<String>) -> Self {
        Self {
            url: url.into(),
            token,
            connect_max: Duration::from_secs(5),
            answer_max: Duration::from_secs(30),
            still_serves: None,
        }
    }
}

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    only_if: Option<EntityTag>,
    pub(super) reason: Option<String>,
}

/// What a Worker was seen as: it has another one as soon as anything that is shown of it is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(HeaderValue);

struct Inner {
    pool: Pool<Connector, Full<Bytes>>,
    address: String,
    token: Option<HeaderValue>,
    answer_max: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.inner.address)
            .finish_non_exhaustive()
    }
}

/// A request that is being put together.
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<Result<Bytes, String>>,
    /// What the request asks the server to wait.
    wait: Duration,
}

impl Call {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            wait: Duration::ZERO,
        }
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body);
        self.body = Some(json.map(Bytes::from).map_err(|error| error.to_string()));
        self
    }

    pub(super) const fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl Client {
    /// A client of the server at an address. Nothing is sent yet. Needs a tokio runtime when it calls.
    ///
    /// # Errors
    /// [`ClientError::Url`] and [`ClientError::Token`].
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let wrong = |reason| ClientError::Url {
            url: options.url.clone(),
            reason,
        };
        let uri: Uri = options.url.parse().map_err(|_| wrong("it is no URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong(
                    "this client speaks plain HTTP: use what stands in front of the server",
                ));
            }
            _ => return Err(wrong("it does not begin with http://")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user in it: a token comes by itself"));
        }
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let path = uri.path().trim_end_matches('/');
        let token = options.token.as_ref().map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(options.connect_max));
        connector.set_nodelay(true);
        let connector = Connector {
            http: connector,
            still_serves: options.still_serves.clone(),
        };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Shorter than the server waits for the next request of a connection.
            .pool_idle_timeout(Duration::from_secs(5))
            .build(connector);
        let inner = Inner {
            pool,
            address: format!("http://{authority}{path}"),
            token: token.transpose()?,
            answer_max: options.answer_max,
        };
        Ok(Self {
            inner: Arc::new(inner),
            only_if: None,
            reason: None,
        })
    }

    /// The same, for changes that are made only while their Worker is as it was
    /// [seen](Self::worker_tagged); they are refused with [`Code::WorkerChanged`] once it is not. A change of
    /// no Worker is refused as well. Reads are as ever.
    ///
    /// [`Code::WorkerChanged`]: worker_runtime_core::Code::WorkerChanged
    #[must_use]
    pub fn only_if(&self, seen: &EntityTag) -> Self {
        Self {
            only_if: Some(seen.clone()),
            ..self.clone()
        }
    }

    /// The same, for changes that are asked for because of this, where their request has no field for it:
    /// it is kept in the record of the operation. Reads are as ever.
    #[must_use]
    pub fn because(&self, reason: Option<String>) -> Self {
        Self {
            reason,
            ..self.clone()
        }
    }

    /// Where the server is.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// Sends a request and reads the answer as JSON.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let (_, bytes) = self.send(call).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.protocol(error.to_string()))
    }

    /// As [`call`](Self::call), with the tag of what is answered.
    pub(super) async fn call_tagged<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<(T, EntityTag), ClientError> {
        let (head, bytes) = self.send(call).await?;
        let answer = serde_json::from_slice(&bytes);
        let answer = answer.map_err(|error| self.protocol(error.to_string()))?;
        match head.headers.get(header::ETAG) {
            Some(tag) => Ok((answer, EntityTag(tag.clone()))),
            None => Err(self.protocol("the answer has no entity tag")),
        }
    }

    /// Sends a request whose answer has no body.
    pub(super) async fn call_for_nothing(&self, call: Call) -> Result<(), ClientError> {
        self.send(call).await.map(drop)
    }

    async fn send(&self, call: Call) -> Result<(Parts, Bytes), ClientError> {
        let after = self.inner.answer_max.saturating_add(call.wait);
        let request = self.request(call)?;
        let answered = within(after, async {
            let response = self.inner.pool.request(request).await;
            let response =
                response.map_err(|error| self.unreachable(&error, !error.is_connect()))?;
            self.read(response).await
        });
        answered.await.ok_or_else(|| ClientError::TimedOut {
            address: self.inner.address.clone(),
            after,
        })?
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(&call.method)
            .uri(format!("{}{}", self.inner.address, call.path))
            .header(header::ACCEPT, "application/json");
        if let Some(EntityTag(tag)) = &self.only_if
            && call.method != Method::GET
        {
            request = request.header(header::IF_MATCH, tag);
        }
        if let Some(token) = &self.inner.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let body = match call.body {
            None => Bytes::new(),
            Some(json) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                json.map_err(|reason| self.protocol(reason))?
            }
        };
        request
            .body(Full::new(body))
            .map_err(|error| self.protocol(error.to_string()))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<(Parts, Bytes), ClientError> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let bytes = body
            .map_err(|error| self.unreachable(&*error, true))?
            .to_bytes();
        if parts.status.is_success() {
            return Ok((parts, bytes));
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            // A proxy in front of a server that is away answers in its own words.
            Err(_) if parts.status.is_server_error() => Err(ClientError::Unreachable {
                address: self.inner.address.clone(),
                reason: format!("the answer was {}", parts.status),
                sent: true,
            }),
            Err(_) => Err(self.protocol(format!("the answer was {}", parts.status))),
        }
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static), sent: bool) -> ClientError {
        // The outermost words are only that something failed.
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        ClientError::Unreachable {
            address: self.inner.address.clone(),
            reason: innermost.to_string(),
            sent,
        }
    }

    pub(super) fn protocol(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Protocol {
            address: self.inner.address.clone(),
            reason: reason.into(),
        }
    }
}

/// A text as one segment of a path or one value of a query.
pub(super) fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
        escaped
    })
}
