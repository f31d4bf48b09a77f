//! How the store and the Runtime are opened: everything that decides what happens comes from the seed.

use std::{path::Path, sync::Arc};

use tokio::sync::mpsc;
use worker_runtime_core::{
    ManualClock, Mounts, Runtime, RuntimeOptions, SeededEntropy, backend::BackendFactory,
    limits::Limits, store::Store,
};
use worker_runtime_persist::{FileOptions, FileStore, MemoryStore, StoreOptions};

use super::{ACTIONS_MAX, LEASES_MAX, MOUNT, Shape, UNFINISHED_MAX};
use crate::{
    model::backend::{Call, Driven},
    report::{Doing, HarnessError},
};

/// What an opening needs.
pub(super) struct Opening<'a> {
    pub(super) shape: Shape,
    pub(super) seed: u64,
    pub(super) openings: u64,
    pub(super) clock: &'a ManualClock,
    pub(super) directory: &'a Path,
    pub(super) unproven: bool,
}

impl Opening<'_> {
    fn entropy(&self, of: u64) -> Box<SeededEntropy> {
        let seed = self.seed.wrapping_mul(1_000_003);
        Box::new(SeededEntropy::new(seed ^ (self.openings << 8) ^ of))
    }

    fn store_options(&self) -> StoreOptions {
        let base = match self.shape.in_file {
            true => StoreOptions::file(),
            false => StoreOptions::memory(),
        };
        let (tails_bytes_max, log_window_bytes) = match self.shape.trims {
            true => (4 << 10, 4 << 10),
            false => (base.tails_bytes_max, base.log_window_bytes),
        };
        StoreOptions {
            retention: self.shape.retention(),
            cache_bytes: 4 << 20,
            tails_bytes_max,
            log_window_bytes,
            clock: Arc::new(self.clock.clone()),
            entropy: self.entropy(1),
        }
    }

    fn store(&self) -> Result<Box<dyn Store>, HarnessError> {
        let store = self.store_options();
        Ok(match self.shape.in_file {
            true => {
                let options = FileOptions {
                    store,
                    ballast_bytes: 1 << 20,
                    ..FileOptions::default()
                };
                Box::new(FileStore::open(self.directory, options).doing("open the store")?)
            }
            false => Box::new(MemoryStore::new(store).doing("make a store")?),
        })
    }

    pub(super) async fn open(
        &self,
    ) -> Result<(Runtime, mpsc::UnboundedReceiver<Call>), HarnessError> {
        let (driven, calls) = Driven::new(self.unproven);
        let mut mounts = Mounts::default();
        mounts
            .set(MOUNT, "/nonexistent/repo")
            .doing("set a mount")?;
        let limits = Limits {
            inputs_unfinished_max: UNFINISHED_MAX,
            actions_open_max: ACTIONS_MAX,
            leases_max: LEASES_MAX,
            ..Limits::default()
        };
        let options = RuntimeOptions {
            backends: vec![Arc::new(driven) as Arc<dyn BackendFactory>],
            mounts,
            limits,
            clock: Arc::new(self.clock.clone()),
            entropy: self.entropy(2),
            ..RuntimeOptions::default()
        };
        let opened = Runtime::open(self.store()?, options).await;
        Ok((opened.doing("open the Runtime")?, calls))
    }
}
