//! Limits of a store, all in one file (I9).

use std::{fmt, sync::Arc};

use worker_runtime_core::{Clock, Entropy, SystemClock, SystemEntropy};

const MIB: u64 = 1 << 20;

/// What is trimmed, whole packs from the front, in the commit that goes over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// The most bytes of one Worker's events.
    pub worker_bytes_max: u64,
    /// The most bytes of all Workers' events; the oldest go first.
    pub runtime_bytes_max: u64,
    /// The longest that an event is kept, in time that the store was open: a jump of the clock
    /// trims nothing.
    pub age_ms_max: Option<u64>,
    /// The most bytes of the Runtime-wide log.
    pub log_bytes_max: u64,
}

impl RetentionPolicy {
    /// For a store in a file: 256 MiB per Worker, 8 GiB in all, a log of 64 MiB.
    pub const FILE: Self = Self {
        worker_bytes_max: 256 * MIB,
        runtime_bytes_max: 8 * 1024 * MIB,
        age_ms_max: None,
        log_bytes_max: 64 * MIB,
    };

    /// For a store in memory: 256 MiB in all.
    pub const MEMORY: Self = Self {
        worker_bytes_max: 64 * MIB,
        runtime_bytes_max: 192 * MIB,
        age_ms_max: None,
        log_bytes_max: 64 * MIB,
    };
}

/// How a store is opened.
pub struct StoreOptions {
    /// What is trimmed.
    pub retention: RetentionPolicy,
    /// The engine's cache.
    pub cache_bytes: usize,
    /// The most bytes of events that wait in memory for their pack in a Worker's history.
    pub tails_bytes_max: usize,
    /// The most bytes of the log that an open after a crash reads: what is older is in the
    /// Workers' histories too.
    pub log_window_bytes: u64,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the ids of the Runtime and of the incarnation.
    pub entropy: Box<dyn Entropy>,
}

impl StoreOptions {
    /// What fits a store in a file.
    pub fn file() -> Self {
        Self {
            retention: RetentionPolicy::FILE,
            cache_bytes: 64 << 20,
            tails_bytes_max: 32 << 20,
            log_window_bytes: 32 * MIB,
            clock: Arc::new(SystemClock::default()),
            entropy: Box::new(SystemEntropy),
        }
    }

    /// What fits a store in memory.
    pub fn memory() -> Self {
        Self {
            retention: RetentionPolicy::MEMORY,
            cache_bytes: 8 << 20,
            ..Self::file()
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("retention", &self.retention)
            .field("cache_bytes", &self.cache_bytes)
            .field("tails_bytes_max", &self.tails_bytes_max)
            .field("log_window_bytes", &self.log_window_bytes)
            .finish_non_exhaustive()
    }
}
