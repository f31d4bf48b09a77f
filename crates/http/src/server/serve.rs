//! Connections, their limits, and the end in order.
//!
//! axum's own server has no limit for the time that the headers of a request take, so connections are
//! served by hyper itself.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Extension, Router};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tower_service::Service as _;
use worker_runtime_core::{Clock, Entropy, Runtime, SystemClock, SystemEntropy};

use super::{
    app::{App, AppParts, HttpLimits},
    auth::Tokens,
    metrics::{Counted, Metrics},
    observe::Encoded,
    routes::{InReserve, router},
    seldom::Seldom,
    send::{Hurry, SendWithin, Unhurried},
    waits::Waits,
};

/// How much more hyper takes of a request's head than the limits say: within it, what is too much is
/// answered with a problem; beyond it, hyper answers with the bare status.
const HEAD_SLACK: usize = 4;
/// How long the headers may take, and the sending of an answer, on a connection of the reserve.
const RESERVE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long is waited after the system had no descriptor or memory left for a connection.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often that is told while it goes on.
const ACCEPT_FAILURE_TOLD_EVERY: Duration = Duration::from_secs(30);

/// How a server is set up.
pub struct ServerOptions {
    /// Where to listen; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Further names that the server goes by, beside `localhost` and the address that it listens on.
    pub hosts: Vec<String>,
    /// Origins whose pages may ask; none by default: browsers don't talk to a Runtime.
    pub origins: Vec<String>,
    /// What is taken at most.
    pub limits: HttpLimits,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Box<dyn Entropy>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            hosts: Vec::new(),
            origins: Vec::new(),
            limits: HttpLimits::default(),
            clock: Arc::new(SystemClock::default()),
            entropy: Box::new(SystemEntropy),
        }
    }
}

/// A server that listens, and serves once it is [`run`](Self::run).
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
    router: Router,
    /// What serves connections of the reserve.
    reserve: Router,
    limits: HttpLimits,
    draining: watch::Sender<bool>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, .. } = self;
        f.debug_struct("Server")
            .field("address", address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens. Nothing is answered before [`run`](Self::run), so an address that is told to others
    /// is one that will be served.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn bind(
        runtime: Runtime,
        tokens: Arc<Tokens>,
        options: ServerOptions,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(options.bind).await?;
        Self::on(listener, runtime, tokens, options)
    }

    /// As [`bind`](Self::bind), with a listener that is there already; `options.bind` is not used.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn on(
        listener: TcpListener,
        runtime: Runtime,
        tokens: Arc<Tokens>,
        options: ServerOptions,
    ) -> io::Result<Self> {
        let ServerOptions {
            bind: _,
            hosts,
            origins,
            limits,
            clock,
            entropy,
        } = options;
        let address = listener.local_addr()?;
        let (draining, drained) = watch::channel(false);
        let app = App(Arc::new(AppParts {
            metrics: Metrics::new(runtime.clone()),
            runtime,
            tokens,
            clock,
            entropy: Mutex::new(entropy),
            waits: Waits::new(&limits),
            encoded: Encoded::default(),
            limits: limits.clone(),
            hosts: names(address, hosts),
            origins,
            draining: drained,
        }));
        let router = router(&app);
        Ok(Self {
            listener,
            address,
            reserve: router.clone().layer(Extension(InReserve)),
            router,
            app,
            limits,
            draining,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves; then takes no connection any more, ends long-polls, and waits
    /// for requests that are under way, for as long as its limits say.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let places = Places::new(&self.limits);
        tokio::pin!(shutdown);
        let mut failures = Seldom::new(ACCEPT_FAILURE_TOLD_EVERY);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&self.listener, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => self.serve(stream, place),
                Err(error) => {
                    if let Some(times) = failures.happened(Instant::now()) {
                        tracing::warn!(%error, times, "connections could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
        drop(self.listener);
        self.draining.send_replace(true);
        // Each connection has its place until it ends, also as a WebSocket.
        let all_ended = places.all.acquire_many(places.count);
        let drained = tokio::time::timeout(self.limits.drain_max, all_ended).await;
        if drained.is_err() {
            tracing::warn!("requests were still under way when the server ended");
        }
    }

    /// Serves a connection, which holds its place until it ends.
    fn serve(&self, stream: TcpStream, place: Place) {
        // Answers are small and whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let limits = &self.limits;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .max_headers(limits.headers_max.saturating_mul(HEAD_SLACK))
            .max_header_size(limits.head_bytes_max().saturating_mul(HEAD_SLACK));
        let (router, time_max) = match place.is_of_reserve() {
            false => (&self.router, Duration::MAX),
            true => {
                http.keep_alive(false);
                (&self.reserve, RESERVE_TIME_MAX)
            }
        };
        http.header_read_timeout(limits.header_read_max.min(time_max));
        let hurry = Hurry::new(
            limits.send_max.min(time_max),
            limits.stream_send_max.min(time_max),
        );
        let stream = SendWithin::new(stream, hurry.clone());
        let held = Connection {
            hurry,
            _held: Arc::new((place, self.app.0.metrics.connection())),
        };
        let (router, of_request) = (router.clone(), held.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(of_request.clone());
            // It is always ready.
            router.clone().call(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let mut draining = self.app.0.draining.clone();
        tokio::spawn(async move {
            let _held = held;
            let mut connection = pin!(connection.with_upgrades());
            let drained = async {
                let _ = draining.wait_for(|draining| *draining).await;
            };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = drained => {
                    // What is under way is answered, and nothing after it.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

/// The connection that a request came on: it has its place for as long as any clone of this is held.
#[derive(Clone)]
pub(super) struct Connection {
    hurry: Hurry,
    _held: Arc<(Place, Counted)>,
}

impl Connection {
    /// It sends an open stream, for as long as the answer is held.
    pub(super) fn unhurried(&self) -> Unhurried {
        self.hurry.unhurried()
    }
}

/// The connections that there may be at a time.
struct Places {
    /// Every one, those of the reserve too.
    all: Arc<Semaphore>,
    ordinary: Arc<Semaphore>,
    count: u32,
}

/// One of them, for as long as it is held.
struct Place {
    _any: OwnedSemaphorePermit,
    ordinary: Option<OwnedSemaphorePermit>,
}

impl Places {
    fn new(limits: &HttpLimits) -> Self {
        let ordinary = limits.connections_max;
        let all = ordinary.saturating_add(limits.connections_reserved);
        let count = u32::try_from(all).unwrap_or(u32::MAX);
        Self {
            all: Arc::new(Semaphore::new(all)),
            ordinary: Arc::new(Semaphore::new(ordinary)),
            count,
        }
    }
}

impl Place {
    /// Whether all ordinary places were taken when it came.
    const fn is_of_reserve(&self) -> bool {
        self.ordinary.is_none()
    }
}

/// The next connection, once there is a place for it: until then it waits in the system's queue.
async fn accept(listener: &TcpListener, places: &Places) -> io::Result<(TcpStream, Place)> {
    let any = Arc::clone(&places.all).acquire_owned().await;
    let any = any.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Only now: an ordinary place may have become free while nobody came.
    let ordinary = Arc::clone(&places.ordinary).try_acquire_owned().ok();
    let place = Place {
        _any: any,
        ordinary,
    };
    Ok((stream, place))
}

/// The names that a request's `Host` may have.
fn names(address: SocketAddr, more: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = more.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.push(address.ip().to_string());
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    }
    names
}
