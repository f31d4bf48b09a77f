//! A session: a client over a store whose every call is recorded, and what must be found after it.

use std::sync::Arc;

use tempfile::TempDir;
use worker_runtime_persist::FileStore;

use super::slow::slow;
use crate::{
    disk::{Recorder, Tape},
    report::{Doing, HarnessError},
    settings::Settings,
    workload::{Client, ClientOptions, Journal, limits, on_one_thread},
};

/// A session that is over.
pub(crate) struct Session {
    /// What every choice was made from.
    pub(crate) seed: u64,
    /// All calls.
    pub(crate) tape: Tape,
    /// What the client kept.
    pub(crate) journal: Journal,
}

impl Session {
    /// Plays one. Every third is closed clean, the others are left.
    pub(crate) fn play(settings: &Settings, seed: u64, steps: usize) -> Result<Self, HarnessError> {
        let place: TempDir = settings.scratch()?;
        let recorder = Recorder::new(place.path());
        let (clock, meter) = (limits::clock(), recorder.clone());
        let mut options = limits::file_options(&clock, seed);
        options.wrap_backend = Some(recorder.wrap_over(slow()));
        let mut client = Client::new(ClientOptions {
            seed,
            meter: Arc::new(move || meter.index()),
            clock,
        });
        on_one_thread()?.block_on(async {
            let store = FileStore::open(place.path(), options).doing("make a store")?;
            let opened = client.open(Box::new(store)).await?;
            opened.doing("open a Runtime")?;
            client.play(steps).await;
            client.settle().await;
            if seed.is_multiple_of(3) {
                client.close().await.doing("close a Runtime")?;
            } else {
                client.abandon().await;
            }
            Ok::<(), HarnessError>(())
        })?;
        Ok(Self {
            seed,
            tape: recorder.tape(),
            journal: client.into_journal(),
        })
    }
}
