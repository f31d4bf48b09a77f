//! What anybody would write with axum: a channel that broadcasts, a stream of server-sent events for each
//! who asks, and pages of a list in memory. Nothing is durable: who lags misses, and who comes back after a
//! crash has nothing to come back to.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures_core::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Clock, RunId, RuntimeId, SystemClock, SystemEntropy, Timestamp, WorkerId,
};

use super::{Listening, Teller, Told, answer};
use crate::{Failure, ledger::APPENDED};

/// How many events somebody may lag.
const LAG_MAX: usize = 4_096;

/// The fields of an event of ours, so that as many bytes go over the wire.
#[derive(Serialize)]
struct Sent {
    cursor: String,
    runtime_id: RuntimeId,
    worker_id: WorkerId,
    seq: u64,
    position: u64,
    at: Timestamp,
    #[serde(rename = "type")]
    kind: &'static str,
    run_id: RunId,
    data: Told,
}

#[derive(Serialize)]
struct Page {
    events: Vec<Arc<Sent>>,
    next: String,
}

/// What was told, and who hears of it.
struct Peer {
    sender: broadcast::Sender<Arc<Sent>>,
    told: Mutex<Vec<Arc<Sent>>>,
}

/// Serves until stdin ends.
///
/// # Errors
/// When it can't listen.
pub async fn serve() -> Result<(), Failure> {
    let peer = Arc::new(Peer {
        sender: broadcast::Sender::new(LAG_MAX),
        told: Mutex::default(),
    });
    let router = Router::new()
        .route("/events", get(stream))
        .route("/pages/{after}/{limit}", get(page))
        .with_state(peer.clone());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let listening = Listening {
        address: listener.local_addr()?,
        events: "/events".to_owned(),
        token: "none".to_owned(),
    };
    tokio::spawn(async move { axum::serve(listener, router).await });
    answer(&listening, peer).await
}

async fn stream(
    State(peer): State<Arc<Peer>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let begun = tokio_stream::once(Ok(Event::default().event("started").data("{}")));
    let events = unfold(peer.sender.subscribe(), async |mut receiver| {
        // Who lags ends here: it would miss what it did not read.
        let sent = receiver.recv().await.ok()?;
        let event = Event::default().id(sent.cursor.as_str()).json_data(&*sent);
        Some((Ok(event.ok()?), receiver))
    });
    Sse::new(begun.chain(events)).keep_alive(KeepAlive::default())
}

async fn page(
    State(peer): State<Arc<Peer>>,
    Path((after, limit)): Path<(usize, usize)>,
) -> Json<Page> {
    let told = peer.told.lock().unwrap_or_else(PoisonError::into_inner);
    let events: Vec<_> = told.iter().skip(after).take(limit).cloned().collect();
    let next = (after + events.len()).to_string();
    Json(Page { events, next })
}

impl Teller for Arc<Peer> {
    async fn tell(&mut self, told: Told) -> Result<(), Failure> {
        let at = SystemClock::default().now();
        let sent = Arc::new(Sent {
            // As long as one of ours.
            cursor: format!("{:0>54}", told.number),
            runtime_id: RuntimeId::mint(at, &mut SystemEntropy),
            worker_id: WorkerId::mint(at, &mut SystemEntropy),
            seq: told.number,
            position: told.number,
            at,
            kind: APPENDED.as_str(),
            run_id: RunId::mint(at, &mut SystemEntropy),
            data: told,
        });
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(sent.clone());
        // Nobody listens: nobody hears.
        let _ = self.sender.send(sent);
        Ok(())
    }

    async fn tell_many(&mut self, many: Vec<Told>) -> Result<(), Failure> {
        for told in many {
            self.tell(told).await?;
        }
        Ok(())
    }
}
