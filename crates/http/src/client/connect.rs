//! The connections of a client, and the question whether who is at the other end is still who is meant
//! (I11): it is asked once a connection stands, before anything is sent over it.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::net::TcpStream;
use tower_service::Service;

/// Says whether the server that is meant still listens at its address.
///
/// An access token goes to whoever listens at an address. A port that a server let go of, or died with,
/// is free for any process of the machine; a client that reconnects would send its token there. Where
/// the server was found by something that tells of its end (a lock that it holds), that is asked again
/// for each new connection: a server that still says so *after* the connection stands is its other end.
#[derive(Clone)]
pub struct StillServes(Arc<dyn Fn() -> bool + Send + Sync>);

impl StillServes {
    /// `ask` may block for a moment.
    pub fn new(ask: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    async fn ask(&self) -> bool {
        let ask = Arc::clone(&self.0);
        // A question that was not answered is no yes.
        let answered = tokio::task::spawn_blocking(move || ask()).await;
        answered.unwrap_or(false)
    }
}

impl fmt::Debug for StillServes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StillServes")
    }
}

/// Connects, and asks.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) http: HttpConnector,
    pub(super) still_serves: Option<StillServes>,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.http.poll_ready(context).map_err(Failed::from)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.http.call(to);
        let still_serves = self.still_serves.clone();
        Box::pin(async move {
            let stream = connecting.await?;
            if let Some(still_serves) = still_serves
                && !still_serves.ask().await
            {
                let reason = "the server has ended, and somebody else listens there";
                return Err(io::Error::other(reason).into());
            }
            Ok(stream)
        })
    }
}
