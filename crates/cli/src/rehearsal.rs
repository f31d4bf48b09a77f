//! A change, tried on a copy in memory: the Runtime itself says what would become of it. Used by dry
//! runs, and before a store is made, so that a mistake makes none.
//!
//! The copy has every Worker and every scope that is held, by whomever, and none of the inputs and processes: nothing is run,
//! and no process is looked after.

use std::sync::Arc;

use worker_runtime_core::{
    Dispatch, Runtime, RuntimeOptions,
    record::WorkerRecord,
    store::{Batch, Change, Loaded, Store},
    view::CreateReceipt,
    worker::CreateWorker,
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

use crate::{args::Global, config::Config, error::CliError, here::Here, target};

/// What would become of a request to make a Worker.
///
/// # Errors
/// As the request itself; also when the store can't be read.
pub(crate) fn create(
    global: &Global,
    here: &Here,
    request: CreateWorker,
) -> Result<CreateReceipt, CliError> {
    let path = target::path(global)?;
    let config = Config::load(global)?;
    let loaded = match target::has_store(&path) {
        true => Some(target::open_read(global)?.loaded),
        false => None,
    };
    target::block_on(async {
        let runtime = copy(loaded.as_ref(), here, &config).await?;
        let created = runtime.catalog().create(request).await;
        runtime.close().await?;
        Ok(created?)
    })
}

/// What the copy's Runtime says to a question that changes nothing, of a store that nobody runs.
///
/// # Errors
/// What it is answered with; also when the store can't be read.
pub(crate) fn ask<T, E: Into<CliError>>(
    global: &Global,
    here: &Here,
    question: impl AsyncFnOnce(&Runtime) -> Result<T, E>,
) -> Result<T, CliError> {
    let config = Config::load(global)?;
    let loaded = target::open_read(global)?.loaded;
    target::block_on(async {
        let runtime = copy(Some(&loaded), here, &config).await?;
        let answer = question(&runtime).await;
        runtime.close().await?;
        answer.map_err(Into::into)
    })
}

async fn copy(loaded: Option<&Loaded>, here: &Here, config: &Config) -> Result<Runtime, CliError> {
    let mut store = MemoryStore::new(StoreOptions::memory())?;
    if let Some(loaded) = loaded {
        store.commit(&batch(loaded))?;
    }
    let options = RuntimeOptions {
        dispatch: Dispatch::None,
        ..config.options(here.mounts(&store.load()?)?)?
    };
    Ok(Runtime::open(Box::new(store), options).await?)
}

fn batch(loaded: &Loaded) -> Batch {
    let workers = loaded.workers.iter().map(|worker| {
        Change::Worker(Arc::new(WorkerRecord {
            // An opening proves processes dead, and ends those that are not.
            processes: Vec::new(),
            unproven: None,
            ..WorkerRecord::clone(worker)
        }))
    });
    let held = loaded.allocations.iter().cloned().map(Change::Allocation);
    let leases = loaded.leases.iter().cloned().map(Change::Lease);
    let runtime = Change::Runtime(loaded.runtime.clone());
    Batch {
        events: Vec::new(),
        changes: std::iter::once(runtime)
            .chain(workers)
            .chain(held)
            .chain(leases)
            .collect(),
        must_happen: false,
    }
}
