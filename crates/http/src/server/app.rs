//! What every handler is given.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use worker_runtime_core::{Clock, Entropy, Runtime};

use super::{auth::Tokens, metrics::Metrics, observe::Encoded, waits::Waits};

/// What the server takes at most (I9).
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections beyond those, on which only `/healthz` and `/readyz` are answered, once each; one more
    /// waits to be accepted.
    pub connections_reserved: usize,
    /// How many headers a request may have.
    pub headers_max: usize,
    /// How large the headers of a request may be, all together.
    pub headers_bytes_max: usize,
    /// How long the address of a request may be.
    pub target_bytes_max: usize,
    /// How long the headers of a request may take.
    pub header_read_max: Duration,
    /// How long the body of a request may take.
    pub body_read_max: Duration,
    /// How long an answer may take to be sent.
    pub send_max: Duration,
    /// The largest body.
    pub body_bytes_max: usize,
    /// How long what an open stream sends may wait to be read; what was not read is read later.
    pub stream_send_max: Duration,
    /// How often a stream without news says how far it is.
    pub heartbeat_every: Duration,
    /// Long-polls that wait, and streams that are open, at a time.
    pub waiting_max: usize,
    /// Those of one access token.
    pub waiting_per_token_max: usize,
    /// The longest that a long-poll waits.
    pub wait_max: Duration,
    /// How long an end in order waits for requests that are under way.
    pub drain_max: Duration,
}

impl HttpLimits {
    /// How large the head of a request may be: its first line, and its headers.
    pub(super) const fn head_bytes_max(&self) -> usize {
        self.headers_bytes_max.saturating_add(self.target_bytes_max)
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            connections_reserved: 16,
            headers_max: 64,
            headers_bytes_max: 32 << 10,
            target_bytes_max: 8 << 10,
            header_read_max: Duration::from_secs(10),
            body_read_max: Duration::from_secs(30),
            send_max: Duration::from_secs(30),
            // An input of the largest size, with what JSON may add to it.
            body_bytes_max: 4 << 20,
            stream_send_max: Duration::from_secs(600),
            heartbeat_every: Duration::from_secs(15),
            waiting_max: 2_048,
            waiting_per_token_max: 512,
            wait_max: Duration::from_secs(60),
            drain_max: Duration::from_secs(10),
        }
    }
}

/// What every handler is given. Clones are the same.
#[derive(Clone)]
pub(super) struct App(pub(super) Arc<AppParts>);

pub(super) struct AppParts {
    pub(super) runtime: Runtime,
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: std::sync::Mutex<Box<dyn Entropy>>,
    pub(super) limits: HttpLimits,
    pub(super) metrics: Metrics,
    /// Names that the server goes by, lower case, without a port.
    pub(super) hosts: Vec<String>,
    /// Origins that may ask.
    pub(super) origins: Vec<String>,
    /// Long-polls that wait.
    pub(super) waits: Waits,
    /// What was written for those who follow.
    pub(super) encoded: Encoded,
    /// Turns true when the server is about to end.
    pub(super) draining: watch::Receiver<bool>,
}

impl App {
    pub(super) fn is_draining(&self) -> bool {
        *self.0.draining.borrow()
    }

    /// An id for a request that bears none.
    pub(super) fn request_id(&self) -> String {
        format!("{:016x}", self.random())
    }

    /// By chance, from 0 to 1: so that what is done by many is not done at once.
    pub(super) fn chance(&self) -> f64 {
        f64::from(u32::try_from(self.random() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        let mut entropy = self
            .0
            .entropy
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
