//! Limits so small that a hundred commands meet all of them: checkpoints of a few bytes, histories
//! that are written and trimmed, a log that is cut (I9).

use std::{sync::Arc, time::Duration};

use worker_runtime_core::{
    Clock, Dispatch, ManualClock, Mounts, RuntimeOptions, SeededEntropy, Timestamp,
    backend::BackendFactory, limits::Limits,
};
use worker_runtime_persist::{FileOptions, RetentionPolicy, StoreOptions};

use crate::report::{Doing, HarnessError};

/// The mount that scopes name; nothing is ever made there.
pub const MOUNT: &str = "repo";

/// New bytes of a block after which it is checkpointed at once.
pub const CHECKPOINT_BYTES: usize = 64;

/// The longest that new bytes of a block wait for a checkpoint.
pub const CHECKPOINT_EVERY: Duration = Duration::from_millis(3);

/// What is trimmed. A pack has about 16 KiB, and goes whole.
pub const RETENTION: RetentionPolicy = RetentionPolicy {
    worker_bytes_max: 20 << 10,
    runtime_bytes_max: 64 << 10,
    age_ms_max: None,
    log_bytes_max: 24 << 10,
};

const BEGINS_AT: Timestamp = Timestamp::from_unix_ms(1_767_312_000_000);

/// A clock that moves only when told, and begins where all begin.
pub fn clock() -> ManualClock {
    ManualClock::at(BEGINS_AT)
}

/// What the Runtime takes and keeps.
pub fn limits() -> Limits {
    Limits {
        workers_max: 24,
        leases_max: 8,
        input_bytes_max: 12 << 10,
        inputs_unfinished_max: 4,
        event_bytes_max: 24 << 10,
        block_bytes_max: 4 << 10,
        blocks_open_max: 3,
        checkpoint_bytes: CHECKPOINT_BYTES,
        checkpoint_every: CHECKPOINT_EVERY,
        actions_open_max: 2,
        processes_max: 2,
        status_fields_max: 4,
        queue_len_max: 64,
        batch_events_max: 12,
        batch_bytes_max: 8 << 10,
        page_events_max: 512,
        page_bytes_max: 256 << 10,
        idle_after: Duration::from_millis(9),
        ..Limits::default()
    }
}

/// How the store keeps it.
pub fn store_options(clock: &ManualClock, seed: u64) -> StoreOptions {
    StoreOptions {
        retention: RETENTION,
        cache_bytes: 4 << 20,
        tails_bytes_max: 8 << 10,
        log_window_bytes: 8 << 10,
        clock: Arc::new(clock.clone()),
        entropy: Box::new(SeededEntropy::new(seed)),
    }
}

/// How the store's file is opened: without ballast, as these disks are not filled.
pub fn file_options(clock: &ManualClock, seed: u64) -> FileOptions {
    FileOptions {
        store: store_options(clock, seed),
        ballast_bytes: 0,
        lock_wait: Duration::ZERO,
        ..FileOptions::default()
    }
}

/// What scopes are of.
///
/// # Errors
/// When the mount can't be made.
pub fn mounts() -> Result<Mounts, HarnessError> {
    let mut mounts = Mounts::default();
    let made = mounts.set(MOUNT, "/nonexistent/repo");
    made.doing("make a mount").map(|()| mounts)
}

/// How a Runtime is opened over it.
///
/// # Errors
/// When the mount can't be made.
pub fn runtime_options(
    backend: Arc<dyn BackendFactory>,
    dispatch: Dispatch,
    clock: &ManualClock,
    seed: u64,
) -> Result<RuntimeOptions, HarnessError> {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    Ok(RuntimeOptions {
        backends: vec![backend],
        mounts: mounts()?,
        limits: limits(),
        dispatch,
        clock,
        entropy: Box::new(SeededEntropy::new(seed)),
        ..RuntimeOptions::default()
    })
}
