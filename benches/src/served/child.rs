//! The server of this project over a Runtime in a directory, with one Worker at work.

use std::{path::Path, sync::Arc};

use worker_runtime_core::{
    Clock, EventDraft, RunSink, RuntimeOptions, SystemClock, SystemEntropy, store::Store,
};
use worker_runtime_http::{
    server::{HttpLimits, Server, ServerOptions, Tokens},
    wire::{AccessScope, CreateToken},
};
use worker_runtime_persist::{FileOptions, FileStore};

use super::{Listening, Teller, Told, answer};
use crate::{Failure, backend::Hold, host::Host, ledger::APPENDED};

/// More than any bench has.
const STREAMS_MAX: usize = 4_000;
/// More than any bench tells.
const WORKER_BYTES_MAX: u64 = 4 << 30;

/// Serves until stdin ends.
///
/// # Errors
/// When store, Runtime or server fail.
pub async fn serve(dir: &Path) -> Result<(), Failure> {
    let (backend, mut held) = Hold::new();
    let options = RuntimeOptions {
        backends: vec![backend],
        ..RuntimeOptions::default()
    };
    let host = Host::over(|| store(dir), options).await?;
    let workers = host.create_workers(1, Hold::NAME).await?;
    let sinks = host.hold_runs(&workers, &mut held).await?;
    let (Some(worker_id), Some(sink)) = (workers.first(), sinks.into_iter().next()) else {
        return Err(Failure::new("there is no Worker"));
    };
    let (tokens, token) = observer()?;
    let options = ServerOptions {
        limits: HttpLimits {
            waiting_max: STREAMS_MAX,
            waiting_per_token_max: STREAMS_MAX,
            ..HttpLimits::default()
        },
        ..ServerOptions::default()
    };
    let server = Server::bind(host.runtime.clone(), tokens, options).await?;
    let listening = Listening {
        address: server.address(),
        events: format!("/v1/workers/{worker_id}/events"),
        token,
    };
    tokio::spawn(server.run(std::future::pending()));
    answer(&listening, Durably(sink)).await
}

/// An access token for whoever observes, and those that a server takes.
///
/// # Errors
/// When there is no randomness.
pub fn observer() -> Result<(Arc<Tokens>, String), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let tokens = Arc::new(Tokens::in_memory(clock));
    let request = CreateToken {
        name: "bench".to_owned(),
        scope: AccessScope::Observe,
        expires_in_seconds: None,
    };
    let token = tokens.create(&request, &mut SystemEntropy)?.token;
    Ok((tokens, token))
}

/// One that keeps what a bench tells.
fn store(dir: &Path) -> Result<Box<dyn Store>, Failure> {
    let mut options = FileOptions::default();
    options.store.retention.worker_bytes_max = WORKER_BYTES_MAX;
    Ok(Box::new(FileStore::open(dir, options)?))
}

struct Durably(RunSink);

impl Teller for Durably {
    async fn tell(&mut self, told: Told) -> Result<(), Failure> {
        self.0.event(APPENDED, &told).await?;
        Ok(())
    }

    async fn tell_many(&mut self, many: Vec<Told>) -> Result<(), Failure> {
        let drafts = many
            .iter()
            .map(|told| EventDraft::new(APPENDED, None, told));
        self.0.events(drafts.collect::<Result<_, _>>()?).await?;
        Ok(())
    }
}
